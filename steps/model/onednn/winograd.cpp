// Winograd's minimal filtering F(2×2, 3×3): 2×2 outputs from a tile of 4×4 inputs by 16 multiplications instead of 36
// (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks"). Additions transform a tile to 16 places.
// At each place oneDNN multiplies the channels as matrices. Additions transform the products back.
#include <oneapi/dnnl/dnnl_threadpool.h>

#include "common.h"

namespace {

typedef float Vec __attribute__((vector_size(64)));
typedef Vec AnywhereVec __attribute__((aligned(4), may_alias));
typedef uint32_t Bits __attribute__((vector_size(64)));
typedef uint16_t AnywhereHalves __attribute__((vector_size(32), aligned(2), may_alias));

constexpr int64_t kLanes = sizeof(Vec) / sizeof(float);  // channels in a Vec
constexpr int64_t kPlaces = 16;                          // of a tile, 4×4
constexpr int64_t kChunk = 100;  // tiles at a time: enough for fast products, and few enough for the cache

// Transforms of one axis, in place. `step` is the distance between its numbers, of which there are up to 4.

void input_axis(Vec* x, int step) {  // 4 to 4, Bᵀ in the paper
  const Vec a = x[0], b = x[step], c = x[2 * step], d = x[3 * step];
  x[0] = a - c, x[step] = b + c, x[2 * step] = c - b, x[3 * step] = b - d;
}

void output_axis(Vec* x, int step) {  // 4 to 2, Aᵀ
  const Vec a = x[0], b = x[step], c = x[2 * step], d = x[3 * step];
  x[0] = a + b + c, x[step] = b - c - d;
}

void output_gradient_axis(Vec* x, int step) {  // 2 to 4, A
  const Vec a = x[0], b = x[step];
  x[step] = a + b, x[2 * step] = a - b, x[3 * step] = -b;
}

void kernel_axis(Vec* x, int step) {  // 3 to 4, G
  const Vec a = x[0], b = x[step], c = x[2 * step];
  x[step] = (a + b + c) * 0.5f, x[2 * step] = (a - b + c) * 0.5f, x[3 * step] = c;
}

void kernel_gradient_axis(Vec* x, int step) {  // 4 to 3, Gᵀ
  const Vec a = x[0], b = x[step], c = x[2 * step], d = x[3 * step];
  x[0] = a + (b + c) * 0.5f, x[step] = (b - c) * 0.5f, x[2 * step] = (b + c) * 0.5f + d;
}

template <void (*axis)(Vec*, int)>
void both_axes(Vec* x) {
  for (int row = 0; row < 4; ++row) axis(x + 4 * row, 1);
  for (int column = 0; column < 4; ++column) axis(x + column, 4);
}

Vec load(const float* from) { return *reinterpret_cast<const AnywhereVec*>(from); }

Vec load(const BFloat16* from) {
  const auto halves = *reinterpret_cast<const AnywhereHalves*>(from);
  return reinterpret_cast<Vec>(__builtin_convertvector(halves, Bits) << 16);
}

void store(const Vec& vec, float* to) { *reinterpret_cast<AnywhereVec*>(to) = vec; }

// Some of the tiles. The places are float (kPlaces, count, channels).
struct Chunk {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};

// The tiles of a convolution.
struct Grid {
  explicit Grid(const Winograd& w)
      : rows(w.rows), columns(w.columns), down((rows + 1) / 2), across((columns + 1) / 2),
        tiles(w.batch * down * across), chunks((tiles + kChunk - 1) / kChunk) {}

  Chunk chunk(int64_t number) const { return {number * kChunk, std::min((number + 1) * kChunk, tiles)}; }

  // Calls visit(number, offset) for each of a tile's `size`×`size` pixels that lies in the image. The first pixel lies
  // `before` rows and columns before the tile's first output. `number` counts in rows of 4, `offset` in the batch.
  template <int size, class Visit>
  void pixels(int64_t tile, int before, const Visit& visit) const {
    const int64_t image = tile / (down * across), place = tile % (down * across);
    const int64_t row = place / across * 2 - before, column = place % across * 2 - before;
    for (int r = 0; r < size; ++r) {
      for (int c = 0; c < size; ++c) {
        if (row + r >= 0 && row + r < rows && column + c >= 0 && column + c < columns) {
          visit(4 * r + c, (image * rows + row + r) * columns + column + c);
        }
      }
    }
  }

  int64_t rows, columns, down, across, tiles, chunks;
};

// Computes the places of a chunk's tiles of `size`×`size` pixels.
template <int size, void (*axis)(Vec*, int), class Stored>
void spread(const Grid& grid, const Chunk& chunk, const Stored* images, int64_t channels, float* places) {
  for (int64_t tile = chunk.begin; tile < chunk.end; ++tile, places += channels) {
    const Stored* at[kPlaces] = {};
    grid.pixels<size>(tile, size == 4, [&](int number, int64_t pixel) { at[number] = images + pixel * channels; });
    for (int64_t channel = 0; channel < channels; channel += kLanes) {
      Vec x[kPlaces] = {};
      for (int r = 0; r < size; ++r) {
        for (int c = 0; c < size; ++c) {
          if (at[4 * r + c] != nullptr) x[4 * r + c] = load(at[4 * r + c] + channel);
        }
      }
      both_axes<axis>(x);
      for (int place = 0; place < kPlaces; ++place) store(x[place], places + place * chunk.count() * channels + channel);
    }
  }
}

// Computes the outputs of a chunk's tiles from their places.
void collect(const Grid& grid, const Chunk& chunk, const float* places, int64_t channels, float* images) {
  for (int64_t tile = chunk.begin; tile < chunk.end; ++tile, places += channels) {
    float* at[kPlaces] = {};
    grid.pixels<2>(tile, 0, [&](int number, int64_t pixel) { at[number] = images + pixel * channels; });
    for (int64_t channel = 0; channel < channels; channel += kLanes) {
      Vec x[kPlaces];
      for (int place = 0; place < kPlaces; ++place) x[place] = load(places + place * chunk.count() * channels + channel);
      both_axes<output_axis>(x);
      for (const int number : {0, 1, 4, 5}) {
        if (at[number] != nullptr) store(x[number], at[number] + channel);
      }
    }
  }
}

// C = A B, or with `add` C += A B, row by row: A (m, k), transposed where `transposed` is 'T', B (k, n), C (m, n).
void multiply(char transposed, int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c, bool add) {
  const auto status = dnnl_threadpool_interop_sgemm(transposed, 'N', m, n, k, 1.0f, a, transposed == 'T' ? m : k, b, n,
                                                    add ? 1.0f : 0.0f, c, n, nullptr);
  if (status != dnnl_success) throw std::runtime_error("oneDNN cannot multiply these matrices");
}

// The kernel's places, (kPlaces, from, to): kernel[f, t] has its nine numbers at f × from_step + t × to_step.
void spread_kernel(const float* kernel, int64_t from, int64_t to, int64_t from_step, int64_t to_step, bool turned,
                   float* places) {
  share(from, [&](int64_t begin, int64_t end, int) {
    for (int64_t f = begin; f < end; ++f) {
      for (int64_t t = 0; t < to; t += kLanes) {
        Vec x[kPlaces] = {};
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const float* nine = kernel + f * from_step + (t + lane) * to_step;
          for (int i = 0; i < 9; ++i) x[i / 3 * 4 + i % 3][lane] = nine[turned ? 8 - i : i];
        }
        both_axes<kernel_axis>(x);
        for (int place = 0; place < kPlaces; ++place) store(x[place], places + (place * from + f) * to + t);
      }
    }
  });
}

float* floats(int64_t count, Scratch use) { return static_cast<float*>(scratch(count * sizeof(float), use)); }

// Multiplies images (…, from) by the kernel's places (kPlaces, from, to).
void convolve(const Winograd& w, const float* images, int64_t from, const float* kernel, int64_t to, float* result) {
  const Grid grid(w);
  float* before = floats(parts_of(grid.chunks) * kPlaces * kChunk * from, Scratch::kX);
  float* after = floats(parts_of(grid.chunks) * kPlaces * kChunk * to, Scratch::kY);
  share(grid.chunks, [&](int64_t begin, int64_t end, int part) {
    float* x = before + part * kPlaces * kChunk * from;
    float* y = after + part * kPlaces * kChunk * to;
    for (int64_t number = begin; number < end; ++number) {
      const Chunk chunk = grid.chunk(number);
      spread<4, input_axis>(grid, chunk, images, from, x);
      for (int64_t place = 0; place < kPlaces; ++place) {
        multiply('N', chunk.count(), to, from, x + place * chunk.count() * from, kernel + place * from * to,
                 y + place * chunk.count() * to, false);
      }
      collect(grid, chunk, y, to, result);
    }
  });
}

}  // namespace

bool Winograd::can(const int64_t* weights, const int64_t* stride) {
  return weights[2] == 3 && weights[3] == 3 && stride[0] == 1 && stride[1] == 1 && weights[0] % kLanes == 0 &&
         weights[1] % kLanes == 0;
}

void Winograd::forward(const float* x, const float* kernel, float* y) const {
  float* places = floats(kPlaces * in * out, Scratch::kWeights);
  spread_kernel(kernel, in, out, 9, 9 * in, false, places);
  convolve(*this, x, in, places, out, y);
}

// A convolution by the kernel, which is turned by 180 degrees.
void Winograd::backward_data(const float* dy, const float* kernel, float* dx) const {
  float* places = floats(kPlaces * in * out, Scratch::kWeights);
  spread_kernel(kernel, out, in, 9 * in, 9, true, places);
  convolve(*this, dy, out, places, in, dx);
}

template <class Stored>
void Winograd::backward_weights(const Stored* dy, const Stored* x, float* dkernel) const {
  const Grid grid(*this);
  const int64_t parts = std::min<int64_t>(threads(), grid.chunks), size = kPlaces * in * out;
  float* before = floats(parts * kPlaces * kChunk * in, Scratch::kX);
  float* after = floats(parts * kPlaces * kChunk * out, Scratch::kY);
  float* sums = floats(parts * size, Scratch::kWeights);
  run_parts(parts, [&](int part) {
    float* places_x = before + part * kPlaces * kChunk * in;
    float* places_y = after + part * kPlaces * kChunk * out;
    for (int64_t number = part; number < grid.chunks; number += parts) {
      const Chunk chunk = grid.chunk(number);
      spread<4, input_axis>(grid, chunk, x, in, places_x);
      spread<2, output_gradient_axis>(grid, chunk, dy, out, places_y);
      for (int64_t place = 0; place < kPlaces; ++place) {
        multiply('T', in, out, chunk.count(), places_x + place * chunk.count() * in,
                 places_y + place * chunk.count() * out, sums + part * size + place * in * out, number != part);
      }
    }
  });
  share(in, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t o = 0; o < out; o += kLanes) {
        Vec g[kPlaces] = {};
        for (int64_t part = 0; part < parts; ++part) {
          for (int place = 0; place < kPlaces; ++place) g[place] += load(sums + part * size + (place * in + i) * out + o);
        }
        both_axes<kernel_gradient_axis>(g);
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          for (int n = 0; n < 9; ++n) dkernel[((o + lane) * in + i) * 9 + n] = g[n / 3 * 4 + n % 3][lane];
        }
      }
    }
  });
}

template void Winograd::backward_weights(const float*, const float*, float*) const;
template void Winograd::backward_weights(const BFloat16*, const BFloat16*, float*) const;
