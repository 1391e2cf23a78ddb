// 3×3 convolutions of stride 1, padded by 1, with fewer multiplications.
#pragma once

#include <cstdint>

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
