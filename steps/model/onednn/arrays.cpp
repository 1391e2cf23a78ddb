// Operators over whole arrays. Sums of two tensors of one shape and changes of type, which MindSpore lacks for bfloat16;
// sums of rows of a float32 matrix (rows, width), where `where` lists the row that each sum takes of each of several
// kinds; and what ends a step: clipping gradients to a norm, and AdamW, each over all arrays in one call.
#include <cmath>
#include <vector>

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

// A part of one of several arrays of floats.
struct Piece {
  int array;
  int64_t begin, end;
};

std::vector<Piece> pieces_of(int arrays, const int* ranks, int64_t** shapes) {
  std::vector<Piece> pieces;
  for (int array = 0; array < arrays; ++array) {
    const int64_t size = size_of(shapes[array], ranks[array]);
    for (int64_t begin = 0; begin < size; begin += kPiece) {
      pieces.push_back({array, begin, std::min(size, begin + kPiece)});
    }
  }
  return pieces;
}

template <class Work>
void share_pieces(const std::vector<Piece>& pieces, const Work& work) {
  share(pieces.size(), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) work(i);
  });
}

float sum_of_squares(const float* x, int64_t begin, int64_t end) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = begin; i < end; ++i) sum += x[i] * x[i];
  return sum;
}

float norm_of(void** gradients, const std::vector<Piece>& pieces) {
  std::vector<float> sums(pieces.size());
  share_pieces(pieces, [&](int64_t i) {
    const Piece& piece = pieces[i];
    sums[i] = sum_of_squares(static_cast<const float*>(gradients[piece.array]), piece.begin, piece.end);
  });
  double total = 0;
  for (const float sum : sums) total += sum;
  return std::sqrt(total);
}

float number(const void* parameter) { return *static_cast<const float*>(parameter); }

struct Adam {
  float rate, keep1, keep2, epsilon;

  // As MindSpore's AdamWeightDecay. The caller corrects the bias by changed hyperparameters (steps/model/optimizer.py).
  void update(float* weight, float* moment1, float* moment2, const float* gradient, float decay, int64_t begin,
              int64_t end) const {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      moment1[i] += (gradient[i] - moment1[i]) * (1 - keep1);
      moment2[i] += (gradient[i] * gradient[i] - moment2[i]) * (1 - keep2);
      weight[i] -= rate * (moment1[i] / (std::sqrt(moment2[i]) + epsilon) + decay * weight[i]);
    }
  }
};

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

// gradients…, limit (0: none) -> clipped gradients…, their norm before
OPERATOR(clip) {
  const Turn turn = take_turn();
  const int arrays = (count - 2) / 2;
  const auto pieces = pieces_of(arrays, ranks, shapes);
  const float limit = number(params[arrays]), norm = norm_of(params, pieces);
  const float scale = limit == 0 || norm <= limit ? 1 : limit / norm;  // NaN stays NaN
  share_pieces(pieces, [&](int64_t i) {
    const Piece& piece = pieces[i];
    const auto* from = static_cast<const float*>(params[piece.array]);
    auto* to = static_cast<float*>(params[arrays + 1 + piece.array]);
    for (int64_t k = piece.begin; k < piece.end; ++k) to[k] = from[k] * scale;
  });
  *static_cast<float*>(params[count - 1]) = norm;
  return 0;
}

// weights…, first moments…, second moments…, gradients…, rate, beta1, beta2, epsilon, decay by array -> rate
// Weights and moments are changed in place.
OPERATOR(adamw) {
  const Turn turn = take_turn();
  const int arrays = (count - 6) / 4;
  void** hyper = params + 4 * arrays;
  const Adam adam{number(hyper[0]), number(hyper[1]), number(hyper[2]), number(hyper[3])};
  const auto* decay = static_cast<const float*>(hyper[4]);
  const auto pieces = pieces_of(arrays, ranks, shapes);
  share_pieces(pieces, [&](int64_t i) {
    const Piece& piece = pieces[i];
    const auto array = [&](int kind) { return static_cast<float*>(params[kind * arrays + piece.array]); };
    adam.update(array(0), array(1), array(2), array(3), decay[piece.array], piece.begin, piece.end);
  });
  *static_cast<float*>(params[count - 1]) = adam.rate;
  return 0;
}
