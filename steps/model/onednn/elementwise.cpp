// What MindSpore lacks for bfloat16 or does slowly: sums of two tensors of one shape, and changes of type.
#include "common.h"
#include "storage.h"

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
