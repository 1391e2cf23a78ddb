// What MindSpore lacks for bfloat16 or does slowly: sums of two tensors of one shape, changes of type, and sums of rows
// of a float32 matrix (rows, width). For each of several kinds, `where` lists the row that each sum of rows takes.
#include "common.h"

namespace {

constexpr int64_t kPiece = 8192;  // values: enough work for a thread

int64_t size_of(const int64_t* shape, int rank) {
  int64_t size = 1;
  for (int axis = 0; axis < rank; ++axis) size *= shape[axis];
  return size;
}

template <class Work>
void share_values(int64_t size, const Work& work) {
  share((size + kPiece - 1) / kPiece, [&](int64_t first, int64_t last, int) {
    work(first * kPiece, std::min(size, last * kPiece));
  });
}

template <class T>
void add(const T* a, const T* b, T* sum, int64_t size) {
  share_values(size, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) store(load(a[i]) + load(b[i]), sum[i]);
  });
}

template <class From, class To>
void convert(const From* from, To* to, int64_t size) {
  share_values(size, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) store(load(from[i]), to[i]);
  });
}

constexpr int64_t kLanes = 16;  // columns that a thread takes at least: a cache line of floats

void add_to(const float* from, float* to, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) to[i] += from[i];
}

}  // namespace

// a, b -> a + b
OPERATOR(add) {
  const Turn turn = take_turn();
  with_storage(types[0], [&](auto zero) {
    using T = decltype(zero);
    add(static_cast<const T*>(params[0]), static_cast<const T*>(params[1]), static_cast<T*>(params[2]),
        size_of(shapes[0], ranks[0]));
  });
  return 0;
}

// x -> x in the other type
OPERATOR(convert) {
  const Turn turn = take_turn();
  with_storage(types[0], [&](auto from) {
    with_storage(types[1], [&](auto to) {
      convert(static_cast<const decltype(from)*>(params[0]), static_cast<decltype(to)*>(params[1]),
              size_of(shapes[0], ranks[0]));
    });
  });
  return 0;
}

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
        add_to(matrix + where[kind * sums + sum] * width, out + sum * width, 0, width);
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
        add_to(gradient + sum * width, out + where[kind * sums + sum] * width, begin, end);
      }
    }
  });
  return 0;
}
