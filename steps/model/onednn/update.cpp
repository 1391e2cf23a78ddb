// Clipping gradients to a norm, and AdamW: each over all arrays in one call.
#include <cmath>
#include <vector>

#include "common.h"

namespace {

constexpr int64_t kPiece = 8192;  // floats: enough work for a thread

// A part of one of several arrays of floats.
struct Piece {
  int array;
  int64_t begin, end;
};

std::vector<Piece> pieces_of(int arrays, const int* ranks, int64_t** shapes) {
  std::vector<Piece> pieces;
  for (int array = 0; array < arrays; ++array) {
    int64_t size = 1;
    for (int axis = 0; axis < ranks[array]; ++axis) size *= shapes[array][axis];
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

  // As MindSpore's AdamWeightDecay. The caller corrects the bias by changed hyperparameters (steps/model/layers.py).
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
