#include "common.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <new>
#include <oneapi/dnnl/dnnl_threadpool.hpp>
#include <oneapi/dnnl/dnnl_threadpool_iface.hpp>
#include <stdexcept>
#include <thread>
#include <utility>

namespace {

constexpr int kSpins = 2000;  // some 50 µs: the next loop usually begins before a sleeping thread would wake

thread_local bool within = false;

template <class Condition>
void spin_until(const Condition& condition) {
  for (int i = 0; i < kSpins && !condition(); ++i) _mm_pause();
}

// Threads that help the calling one. These are not OpenMP's: those wait by spinning, which takes the cores from
// MindSpore's threads and from other processes, and they do not survive a fork.
class Pool {
 public:
  Pool() {
    for (int i = 1; i < threads(); ++i) std::thread([this] { serve(); }).detach();
  }

  void run(int parts, const std::function<void(int)>& work) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work;
      parts_ = parts;
      next_ = 0;
      ++calls_;
    }
    wake_.notify_all();
    work_off(work, parts);
    spin_until([this] { return helping_ == 0; });
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = nullptr;  // A thread that wakes up after this finds no work and sleeps again.
    done_.wait(lock, [this] { return helping_ == 0; });
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  void serve() {
    uint64_t seen = 0;
    for (;;) {
      spin_until([&] { return calls_ != seen; });
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return calls_ != seen && work_ != nullptr; });
      seen = calls_;
      ++helping_;
      const auto& work = *work_;
      const int parts = parts_;
      lock.unlock();
      work_off(work, parts);
      lock.lock();
      if (--helping_ == 0) done_.notify_one();
    }
  }

  void work_off(const std::function<void(int)>& work, int parts) {
    within = true;
    try {
      for (int part = next_++; part < parts; part = next_++) work(part);
    } catch (...) {  // `run` throws it again; here it would end the process
      next_ = parts;
      const std::lock_guard<std::mutex> lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    within = false;
  }

  std::mutex mutex_, failure_mutex_;
  std::condition_variable wake_, done_;
  std::exception_ptr failure_;
  const std::function<void(int)>* work_ = nullptr;
  int parts_ = 0;
  std::atomic<int> next_{0}, helping_{0};
  std::atomic<uint64_t> calls_{0};
};

// Nothing here is ever destroyed: MindSpore's threads may still run when static objects are destroyed.
Pool* pool = nullptr;

std::mutex& turn() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

void before_fork() { turn().lock(); }

void after_fork_in_parent() { turn().unlock(); }

void after_fork_in_child() {
  pool = nullptr;  // its threads stayed in the parent
  turn().unlock();
}

const int registered = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);

int count_threads() {
  const char* wanted = std::getenv("OMP_NUM_THREADS");
  if (wanted != nullptr && std::atoi(wanted) > 0) return std::atoi(wanted);
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return std::max(1u, std::thread::hardware_concurrency());
}

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

int threads() {
  static const int number = count_threads();
  return number;
}

Turn take_turn() { return Turn(turn()); }

bool within_part() { return within; }

void run_parts(int parts, const std::function<void(int)>& work) {
  if (parts == 1 || threads() == 1 || within_part()) {
    for (int part = 0; part < parts; ++part) work(part);
    return;
  }
  if (pool == nullptr) pool = new Pool;
  pool->run(parts, work);
}

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

// For tests: all threads but the calling one throw. Returns whether the exception has reached the calling one.
extern "C" int throw_in_helpers() {
  const Turn turn = take_turn();
  const auto caller = std::this_thread::get_id();
  try {
    run_parts(200, [&](int) {
      if (std::this_thread::get_id() != caller) throw std::runtime_error("planted");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  } catch (const std::runtime_error&) {
    return 1;
  }
  return 0;
}
