// Batch norm, with or without ReLU behind it, over (batch, frames, bins, channels). It passes over memory as few times
// as possible and stores no mask: the backward pass computes again what ReLU let through. T is the type of activations
// and their gradients. All else is float32.
#include <cmath>
#include <vector>

#include "common.h"

namespace {

constexpr double kEpsilon = 1e-5;
constexpr double kMomentum = 0.9;  // the weight of the old moving average
constexpr int64_t kWidth = 512;    // values: long enough for vector loops with any number of channels
constexpr int64_t kBlock = 8192;   // values: a block stays in the first-level cache

// Activations as a matrix of channels. A narrow matrix is read several rows at a time, as rows of `width` values. These
// hold each channel `width / channels` times.
struct Matrix {
  int64_t rows, channels, width, size;

  explicit Matrix(const int64_t* shape)
      : rows(shape[0] * shape[1] * shape[2]),
        channels(shape[3]),
        width(channels * std::max<int64_t>(1, kWidth / channels)),
        size(rows * channels) {}

  int64_t wide_rows() const { return (size + width - 1) / width; }
  int64_t length(int64_t wide_row) const { return std::min(width, size - wide_row * width); }
  int64_t wide_rows_a_block() const { return std::max<int64_t>(1, kBlock / width); }

  std::vector<float> widen(const std::vector<float>& of_channels) const {
    std::vector<float> wide(width);
    for (int64_t i = 0; i < width; ++i) wide[i] = of_channels[i % channels];
    return wide;
  }
};

// Number, mean and summed squared deviation of what was seen, by position in a wide row.
struct Moments {
  std::vector<double> count, mean, deviation;

  explicit Moments(int64_t width) : count(width), mean(width), deviation(width) {}

  // Chan et al. 1979.
  void add(int64_t i, double n, double other_mean, double other_deviation) {
    const double total = count[i] + n, delta = other_mean - mean[i];
    mean[i] += delta * n / total;
    deviation[i] += other_deviation + delta * delta * count[i] * n / total;
    count[i] = total;
  }
};

// Passes twice over a block, which stays in the cache, and so once over memory.
template <class T>
void add_block(const T* x, const Matrix& m, int64_t begin, int64_t end, Moments& moments,
               float* sum, float* deviation) {
  std::fill(sum, sum + m.width, 0.f);
  std::fill(deviation, deviation + m.width, 0.f);
  for (int64_t row = begin; row < end; ++row) {
    const T* values = x + row * m.width;
    const int64_t length = m.length(row);
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) sum[i] += load(values[i]);
  }
  const int64_t last = m.length(end - 1);  // only the matrix's last row may be shorter
  for (int64_t i = 0; i < m.width; ++i) sum[i] /= std::max<int64_t>(1, end - begin - (i >= last));
  for (int64_t row = begin; row < end; ++row) {
    const T* values = x + row * m.width;
    const int64_t length = m.length(row);
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) {
      const float from_mean = load(values[i]) - sum[i];
      deviation[i] += from_mean * from_mean;
    }
  }
  for (int64_t i = 0; i < m.width; ++i) {
    const int64_t n = end - begin - (i >= last);
    if (n > 0) moments.add(i, n, sum[i], deviation[i]);
  }
}

template <class T>
Moments moments_of(const T* x, const Matrix& m) {
  std::vector<Moments> parts(parts_of(m.wide_rows()), Moments(m.width));
  share(m.wide_rows(), [&](int64_t begin, int64_t end, int part) {
    std::vector<float> sum(m.width), deviation(m.width);
    for (int64_t row = begin; row < end; row += m.wide_rows_a_block()) {
      const int64_t block_end = std::min(end, row + m.wide_rows_a_block());
      add_block(x, m, row, block_end, parts[part], sum.data(), deviation.data());
    }
  });
  Moments moments(m.channels);
  for (const Moments& part : parts) {
    for (int64_t i = 0; i < m.width; ++i) {
      if (part.count[i] > 0) moments.add(i % m.channels, part.count[i], part.mean[i], part.deviation[i]);
    }
  }
  return moments;
}

// What ReLU, if any, makes of z. NaN stays NaN, so that a divergence shows.
template <bool kRelu>
float rectify(float z) {
  return kRelu && z < 0.f ? 0.f : z;
}

// y = relu(x * scale + shift)
template <bool kRelu, class T>
void apply(const T* x, T* y, const Matrix& m, const std::vector<float>& scale,
           const std::vector<float>& shift) {
  const auto wide_scale = m.widen(scale), wide_shift = m.widen(shift);
  share(m.wide_rows(), [&](int64_t begin, int64_t end, int) {
    const float *a = wide_scale.data(), *b = wide_shift.data();
    for (int64_t row = begin; row < end; ++row) {
      const T* from = x + row * m.width;
      T* to = y + row * m.width;
      const int64_t length = m.length(row);
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) store(rectify<kRelu>(load(from[i]) * a[i] + b[i]), to[i]);
    }
  });
}

// gamma * (x - mean) / deviation + beta as x * scale + shift
struct Affine {
  std::vector<float> scale, shift;

  Affine(int64_t channels, const float* gamma, const float* beta, const float* mean, const float* inverse_deviation)
      : scale(channels), shift(channels) {
    for (int64_t c = 0; c < channels; ++c) {
      scale[c] = gamma[c] * inverse_deviation[c];
      shift[c] = beta[c] - mean[c] * scale[c];
    }
  }
};

// x, gamma, beta, moving mean, moving variance -> y, mean, 1 / deviation. The moving averages are changed in place.
template <bool kRelu, class T>
void train(void** params, const int64_t* shape) {
  const Matrix m(shape);
  const auto* x = static_cast<const T*>(params[0]);
  const auto *gamma = static_cast<const float*>(params[1]), *beta = static_cast<const float*>(params[2]);
  auto *moving_mean = static_cast<float*>(params[3]), *moving_variance = static_cast<float*>(params[4]);
  auto *mean = static_cast<float*>(params[6]), *inverse_deviation = static_cast<float*>(params[7]);
  const Moments moments = moments_of(x, m);
  for (int64_t c = 0; c < m.channels; ++c) {
    const double unbiased = moments.deviation[c] / std::max<int64_t>(1, m.rows - 1);
    mean[c] = moments.mean[c];
    inverse_deviation[c] = 1 / std::sqrt(moments.deviation[c] / m.rows + kEpsilon);
    moving_mean[c] = kMomentum * moving_mean[c] + (1 - kMomentum) * moments.mean[c];
    moving_variance[c] = kMomentum * moving_variance[c] + (1 - kMomentum) * unbiased;
  }
  const Affine affine(m.channels, gamma, beta, mean, inverse_deviation);
  apply<kRelu>(x, static_cast<T*>(params[5]), m, affine.scale, affine.shift);
}

std::vector<float> inverse_deviation_of(const float* variance, int64_t channels) {
  std::vector<float> inverse(channels);
  for (int64_t c = 0; c < channels; ++c) inverse[c] = 1 / std::sqrt(variance[c] + kEpsilon);
  return inverse;
}

// x, gamma, beta, moving mean, moving variance -> y
template <bool kRelu, class T>
void infer(void** params, const int64_t* shape) {
  const Matrix m(shape);
  const auto inverse_deviation = inverse_deviation_of(static_cast<const float*>(params[4]), m.channels);
  const Affine affine(m.channels, static_cast<const float*>(params[1]), static_cast<const float*>(params[2]),
                      static_cast<const float*>(params[3]), inverse_deviation.data());
  apply<kRelu>(static_cast<const T*>(params[0]), static_cast<T*>(params[5]), m, affine.scale, affine.shift);
}

// The gradient at ReLU's input.
template <bool kRelu>
float unrectify(float dy, float z) {
  return kRelu && !(z > 0.f) ? 0.f : dy;
}

// Sums over all rows, by channel, of dz and of dz * (x - mean), where dz is the gradient behind ReLU.
template <bool kRelu, class T>
std::vector<double> gradient_sums(const T* dy, const T* x, const Matrix& m, const Affine& affine, const float* mean) {
  const auto wide_scale = m.widen(affine.scale), wide_shift = m.widen(affine.shift);
  const auto wide_mean = m.widen(std::vector<float>(mean, mean + m.channels));
  std::vector<std::vector<double>> parts(parts_of(m.wide_rows()), std::vector<double>(2 * m.width));
  share(m.wide_rows(), [&](int64_t begin, int64_t end, int part) {
    std::vector<float> block(2 * m.width);
    float *plain = block.data(), *weighted = block.data() + m.width;
    const float *a = wide_scale.data(), *b = wide_shift.data(), *u = wide_mean.data();
    for (int64_t first = begin; first < end; first += m.wide_rows_a_block()) {
      std::fill(block.begin(), block.end(), 0.f);
      for (int64_t row = first; row < std::min(end, first + m.wide_rows_a_block()); ++row) {
        const T *from = x + row * m.width, *gradient = dy + row * m.width;
        const int64_t length = m.length(row);
#pragma omp simd
        for (int64_t i = 0; i < length; ++i) {
          const float value = load(from[i]), dz = unrectify<kRelu>(load(gradient[i]), value * a[i] + b[i]);
          plain[i] += dz;
          weighted[i] += dz * (value - u[i]);
        }
      }
      for (int64_t i = 0; i < 2 * m.width; ++i) parts[part][i] += block[i];
    }
  });
  std::vector<double> sums(2 * m.channels);
  for (const auto& part : parts) {
    for (int64_t i = 0; i < m.width; ++i) {
      sums[i % m.channels] += part[i];
      sums[m.channels + i % m.channels] += part[m.width + i];
    }
  }
  return sums;
}

// dx = dz * scale + x * slope + offset
template <bool kRelu, class T>
void apply_backward(const T* dy, const T* x, T* dx, const Matrix& m, const Affine& affine,
                    const std::vector<float>& slope, const std::vector<float>& offset) {
  const auto wide_scale = m.widen(affine.scale), wide_shift = m.widen(affine.shift);
  const auto wide_slope = m.widen(slope), wide_offset = m.widen(offset);
  share(m.wide_rows(), [&](int64_t begin, int64_t end, int) {
    const float *a = wide_scale.data(), *b = wide_shift.data();
    const float *s = wide_slope.data(), *o = wide_offset.data();
    for (int64_t row = begin; row < end; ++row) {
      const T *from = x + row * m.width, *gradient = dy + row * m.width;
      T* to = dx + row * m.width;
      const int64_t length = m.length(row);
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) {
        const float value = load(from[i]), dz = unrectify<kRelu>(load(gradient[i]), value * a[i] + b[i]);
        store(dz * a[i] + (value * s[i] + o[i]), to[i]);
      }
    }
  });
}

// dy, x, gamma, beta, mean -> dx, dgamma, dbeta. Mean and deviation are either the batch's, and have gradients of their
// own, or given from outside.
template <bool kRelu, class T>
void gradients(void** params, const Matrix& m, const float* inverse_deviation, bool of_batch) {
  const auto *dy = static_cast<const T*>(params[0]), *x = static_cast<const T*>(params[1]);
  const auto* mean = static_cast<const float*>(params[4]);
  auto *dgamma = static_cast<float*>(params[7]), *dbeta = static_cast<float*>(params[8]);
  const Affine affine(m.channels, static_cast<const float*>(params[2]), static_cast<const float*>(params[3]), mean,
                      inverse_deviation);
  const auto sums = gradient_sums<kRelu>(dy, x, m, affine, mean);
  std::vector<float> slope(m.channels), offset(m.channels);
  for (int64_t c = 0; c < m.channels; ++c) {
    const double plain = sums[c], normalised = sums[m.channels + c] * inverse_deviation[c];
    dbeta[c] = plain;
    dgamma[c] = normalised;
    if (!of_batch) continue;
    slope[c] = -affine.scale[c] * inverse_deviation[c] * normalised / m.rows;
    offset[c] = -affine.scale[c] * plain / m.rows - double(slope[c]) * mean[c];
  }
  apply_backward<kRelu>(dy, x, static_cast<T*>(params[6]), m, affine, slope, offset);
}

// dy, x, gamma, beta, mean, 1 / deviation -> dx, dgamma, dbeta
template <bool kRelu, class T>
void train_backward(void** params, const int64_t* shape) {
  gradients<kRelu, T>(params, Matrix(shape), static_cast<const float*>(params[5]), true);
}

// dy, x, gamma, beta, moving mean, moving variance -> dx, dgamma, dbeta
template <bool kRelu, class T>
void infer_backward(void** params, const int64_t* shape) {
  const Matrix m(shape);
  const auto inverse_deviation = inverse_deviation_of(static_cast<const float*>(params[5]), m.channels);
  gradients<kRelu, T>(params, m, inverse_deviation.data(), false);
}

}  // namespace

// The operators norm_<way> and norm_relu_<way>; input number `activations` has the shape of the activations.
#define NORM_OPERATORS(way, activations)       \
  NORM_OPERATOR(norm_, way, false, activations) \
  NORM_OPERATOR(norm_relu_, way, true, activations)

#define NORM_OPERATOR(prefix, way, relu, activations)                                                           \
  OPERATOR(prefix##way) {                                                                                       \
    const Turn turn = take_turn();                                                                              \
    with_storage(types[0], [&](auto zero) { way<relu, decltype(zero)>(params, shapes[activations]); });         \
    return 0;                                                                                                   \
  }

NORM_OPERATORS(train, 0)
NORM_OPERATORS(infer, 0)
NORM_OPERATORS(train_backward, 1)
NORM_OPERATORS(infer_backward, 1)
