// Shares the cores among the operators.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <mutex>

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
