// Sums of rows of a float32 matrix (rows, width). For each of several kinds, `where` lists the row that each sum takes.
#include <algorithm>

#include "common.h"

namespace {

constexpr int64_t kLanes = 16;  // columns that a thread takes at least: a cache line of floats

void add(const float* from, float* to, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) to[i] += from[i];
}

}  // namespace

// matrix, int32 where (kinds, sums) -> sums (sums, width)
OPERATOR(sum_rows) {
  const Turn turn = take_turn();
  const int64_t width = shapes[0][1], kinds = shapes[1][0], sums = shapes[1][1];
  const auto* matrix = static_cast<const float*>(params[0]);
  const auto* where = static_cast<const int32_t*>(params[1]);
  auto* out = static_cast<float*>(params[2]);
  share(sums, [&](int64_t begin, int64_t end, int) {
    std::fill(out + begin * width, out + end * width, 0.f);
    for (int64_t sum = begin; sum < end; ++sum) {
      for (int64_t kind = 0; kind < kinds; ++kind) {
        add(matrix + where[kind * sums + sum] * width, out + sum * width, 0, width);
      }
    }
  });
  return 0;
}

// gradient of the sums, where, matrix -> gradient of the matrix
OPERATOR(sum_rows_backward) {
  const Turn turn = take_turn();
  const int64_t width = shapes[0][1], kinds = shapes[1][0], sums = shapes[1][1], rows = shapes[2][0];
  const auto* gradient = static_cast<const float*>(params[0]);
  const auto* where = static_cast<const int32_t*>(params[1]);
  auto* out = static_cast<float*>(params[3]);
  // Each thread has columns of its own, so that no two threads write the same numbers.
  share((width + kLanes - 1) / kLanes, [&](int64_t first, int64_t last, int) {
    const int64_t begin = first * kLanes, end = std::min(last * kLanes, width);
    for (int64_t row = 0; row < rows; ++row) std::fill(out + row * width + begin, out + row * width + end, 0.f);
    for (int64_t sum = 0; sum < sums; ++sum) {
      for (int64_t kind = 0; kind < kinds; ++kind) {
        add(gradient + sum * width, out + where[kind * sums + sum] * width, begin, end);
      }
    }
  });
  return 0;
}
