// What the operators share: the view of MindSpore's arguments, oneDNN's engine, threads, and numbers in memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <stdexcept>
#include <string>

// The signature that MindSpore's ops.Custom (func_type "aot") calls. `params` and `shapes` hold the inputs, then the
// outputs. A result other than 0, or an exception, fails the step.
#define OPERATOR(name)                                                                                              \
  extern "C" int name([[maybe_unused]] int count, [[maybe_unused]] void** params, [[maybe_unused]] int* ranks,      \
                      [[maybe_unused]] int64_t** shapes, [[maybe_unused]] const char** types,                       \
                      [[maybe_unused]] void* stream, [[maybe_unused]] void* extra)

const dnnl::engine& engine();

// Only the operator whose turn it is may use the stream and its memory.
dnnl::stream& stream_of_turn();
enum class Scratch { kPrimitive, kWeights, kX, kY };
void* scratch(size_t bytes, Scratch use = Scratch::kPrimitive);

// Call this before a primitive is planned: the number of threads is part of the plan.
void plan_for_all_threads();

// Lifts the limit that ONEDNN_MAX_CPU_ISA sets on oneDNN's instructions. The limit helps MindSpore's own convolutions
// and slows these operators down. Once oneDNN has run anything, this has no effect.
extern "C" void use_all_instructions();

// Whether the library that is loaded is the one that the headers describe: of the same major version, no older than
// they are, and with MindSpore's kind of threads.
extern "C" int onednn_fits();

// Threads: the operators share the cores.

// Returns OMP_NUM_THREADS, or the number of cores that this process may run on.
int threads();

// Each operator uses all cores, so they take turns: MindSpore may start two at once.
using Turn = std::unique_lock<std::mutex>;
Turn take_turn();

// Calls work(0) … work(parts - 1), each once, on any free thread. Only the operator whose turn it is may call it.
void run_parts(int parts, const std::function<void(int)>& work);

// Whether this thread is running a part.
bool within_part();

// There are several parts for each thread: where another process holds a core, the other cores do more.
inline int parts_of(int64_t total) {
  return static_cast<int>(std::clamp<int64_t>(total, 1, threads() == 1 ? 1 : 4 * threads()));
}

// Calls work(begin, end, part) for each part of 0 … total.
template <class Work>
void share(int64_t total, const Work& work) {
  const int parts = parts_of(total);
  run_parts(parts, [&](int part) { work(total * part / parts, total * (part + 1) / parts, part); });
}

// How numbers lie in memory: float, or bfloat16. Arithmetic on them is in float.

// The upper half of a float.
struct BFloat16 {
  uint16_t bits;
};

inline float load(float stored) { return stored; }

inline float load(BFloat16 stored) {
  const uint32_t bits = uint32_t{stored.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store(float value, float& to) { to = value; }

// Rounds to the nearest, of two equally near ones to the even one. NaN stays NaN.
inline void store(float value, BFloat16& to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1), quiet = bits | 0x400000;
  to.bits = ((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16;
}

inline bool is_bfloat16(const char* type) {
  const std::string name(type);
  if (name != "float32" && name != "bfloat16") throw std::invalid_argument("neither float32 nor bfloat16: " + name);
  return name == "bfloat16";
}

// Calls work(T{}), where T is how a tensor of MindSpore's type `type` is stored.
template <class Work>
void with_storage(const char* type, const Work& work) {
  if (is_bfloat16(type)) {
    work(BFloat16{});
  } else {
    work(float{});
  }
}

// 3×3 convolutions of stride 1, padded by 1, with fewer multiplications.
// x is (batch, rows, columns, in), y (batch, rows, columns, out), the kernel (out, in, 3, 3).
struct Winograd {
  int64_t batch, rows, columns, in, out;

  // Whether a convolution is of this kind, and its channels fill whole vectors.
  static bool can(const int64_t* weights, const int64_t* stride);

  void forward(const float* x, const float* kernel, float* y) const;
  void backward_data(const float* dy, const float* kernel, float* dx) const;

  template <class Stored>
  void backward_weights(const Stored* dy, const Stored* x, float* dkernel) const;
};
