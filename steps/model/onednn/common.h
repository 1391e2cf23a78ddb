// What all operators share: the cores, oneDNN's engine, and the view of MindSpore's arguments.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>

// The signature that MindSpore's ops.Custom (func_type "aot") calls. `params` and `shapes` hold the inputs, then the
// outputs. A result other than 0, or an exception, fails the step.
#define OPERATOR(name)                                                                                              \
  extern "C" int name([[maybe_unused]] int count, [[maybe_unused]] void** params, [[maybe_unused]] int* ranks,      \
                      [[maybe_unused]] int64_t** shapes, [[maybe_unused]] const char** types,                       \
                      [[maybe_unused]] void* stream, [[maybe_unused]] void* extra)

// OMP_NUM_THREADS, else the cores that this process may run on.
inline int threads() {
  static const int number = omp_get_max_threads();
  return number;
}

// Each operator uses all cores, so they take turns: MindSpore may start two at once.
inline std::mutex& turn() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

// Calls work(begin, end, thread) for each thread's share of `total`.
template <class Work>
void share(int64_t total, const Work& work) {
  const int number = static_cast<int>(std::min<int64_t>(threads(), std::max<int64_t>(total, 1)));
#pragma omp parallel for schedule(static, 1) num_threads(number)
  for (int thread = 0; thread < number; ++thread) work(total * thread / number, total * (thread + 1) / number, thread);
}

const dnnl::engine& engine();
dnnl::stream& stream_of_turn();

// Memory that lasts as long as the operator's turn.
void* scratch(size_t bytes);
void* weights_scratch(size_t bytes);

// Must run before a primitive is planned: the number of threads is part of the plan.
void plan_for_all_threads();

// Lifts the limit on oneDNN's instruction sets that ONEDNN_MAX_CPU_ISA sets: it helps MindSpore's own convolutions and
// harms these. Too late, and without effect, once oneDNN has run anything.
extern "C" void use_all_instructions();
