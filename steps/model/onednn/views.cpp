// How far the two views of an utterance are from each other (CR-CTC, Yao et al. 2024): rows 2i and 2i + 1 of a batch.
#include <vector>

#include "common.h"
#include "softmax.h"

namespace {

// A frame of a view, and what the other view says: probabilities p and q, and q's divergence from p. What moves p is
// p - q, for q stands still.
float compare(const float* x, const float* p, const float* other_x, const float* q, int64_t tokens, float* gradient) {
  const float offset = log_offset(other_x, q, tokens) - log_offset(x, p, tokens);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < tokens; ++k) {
    sum += q[k] * (other_x[k] - x[k] + offset);
    gradient[k] = p[k] - q[k];
  }
  return sum;
}

}  // namespace

// logits (2n, frames, tokens), lengths -> each view's divergence from the other (2n), their gradients
OPERATOR(views) {
  const Turn turn = take_turn();
  const int64_t batch = shapes[0][0], frames = shapes[0][1], tokens = shapes[0][2], size = frames * tokens;
  const auto* logits = static_cast<const float*>(params[0]);
  const auto* lengths = static_cast<const int32_t*>(params[1]);
  auto *losses = static_cast<float*>(params[2]), *gradient = static_cast<float*>(params[3]);
  if (batch % 2 != 0) return 1;
  for (int64_t i = 0; i < batch; ++i) {
    if (lengths[i] < 0 || lengths[i] > frames || lengths[i] != lengths[i / 2 * 2]) return 1;
  }
  auto* probabilities = static_cast<float*>(scratch(batch * size * sizeof(float), Scratch::kX));
  softmax(logits, probabilities, batch * frames, tokens);
  share(batch, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t other = i ^ 1;
      double sum = 0;
      for (int64_t at = 0; at < lengths[i] * tokens; at += tokens) {
        sum += compare(logits + i * size + at, probabilities + i * size + at, logits + other * size + at,
                       probabilities + other * size + at, tokens, gradient + i * size + at);
      }
      losses[i] = sum;
      std::fill(gradient + i * size + lengths[i] * tokens, gradient + (i + 1) * size, 0.f);
    }
  });
  return 0;
}
