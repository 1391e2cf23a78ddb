#include "common.h"

#include <cstdlib>
#include <new>
#include <oneapi/dnnl/dnnl_threadpool.hpp>
#include <oneapi/dnnl/dnnl_threadpool_iface.hpp>

namespace {

// Runs oneDNN's loops. MindSpore's build of oneDNN has no threads of its own.
class Cores : public dnnl::threadpool_interop::threadpool_iface {
 public:
  int get_num_threads() const override { return threads(); }
  bool get_in_parallel() const override { return within_part(); }
  uint64_t get_flags() const override { return 0; }

  void parallel_for(int parts, const std::function<void(int, int)>& work) override {
    run_parts(parts, [&](int part) { work(part, parts); });
  }
};

// The memory grows to the largest request and is kept: fresh pages would take longer than most operators.
class Buffer {
 public:
  void* at_least(size_t bytes) {
    if (bytes > size_) {
      std::free(memory_);
      memory_ = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
      size_ = memory_ == nullptr ? 0 : bytes;
      if (memory_ == nullptr) throw std::bad_alloc();
    }
    return memory_;
  }

 private:
  void* memory_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

// None of these is ever destroyed: MindSpore's threads may still run when static objects are destroyed.
const dnnl::engine& engine() {
  static const dnnl::engine& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& stream_of_turn() {
  static dnnl::stream& stream = *new dnnl::stream(dnnl::threadpool_interop::make_stream(engine(), new Cores));
  return stream;
}

void* scratch(size_t bytes, Scratch use) {
  static Buffer* buffers = new Buffer[4];
  return buffers[static_cast<int>(use)].at_least(bytes);
}

void plan_for_all_threads() { dnnl_threadpool_interop_set_max_concurrency(threads()); }

extern "C" void use_all_instructions() { dnnl_set_max_cpu_isa(dnnl_cpu_isa_default); }

extern "C" int onednn_fits() {
  const dnnl_version_t& there = *dnnl_version();
  return there.major == DNNL_VERSION_MAJOR && there.minor >= DNNL_VERSION_MINOR &&
         there.cpu_runtime == DNNL_RUNTIME_THREADPOOL;
}
