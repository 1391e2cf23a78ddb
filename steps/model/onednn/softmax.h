// What the losses share: probabilities from logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

// Probabilities of x (rows, width), float32. Within the operator's turn only.
void softmax(const float* x, float* y, int64_t rows, int64_t width);

inline float most(const float* x, int64_t size) {
  float result = x[0];
#pragma omp simd reduction(max : result)
  for (int64_t i = 0; i < size; ++i) result = std::max(result, x[i]);
  return result;
}

// What a logit lacks to a logarithm of a probability, in a row of both: the logarithm of a small one itself is inexact.
inline double log_offset(const float* logits, const float* probabilities, int64_t size) {
  return std::log(most(probabilities, size)) - most(logits, size);
}
