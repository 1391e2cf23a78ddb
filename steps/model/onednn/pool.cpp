// Max pooling over (batch, frames, bins, channels), its windows side by side; what does not fill a window is left out.
#include <cstring>

#include "common.h"
#include "storage.h"

namespace {

struct Windows {
  int64_t batch, frames, bins, channels;  // of the input
  int64_t out_frames, out_bins, rows, height, width;

  Windows(const int64_t* x, const int64_t* y, const void* size)
      : batch(x[0]), frames(x[1]), bins(x[2]), channels(x[3]), out_frames(y[1]), out_bins(y[2]), rows(y[0] * y[1]),
        height(static_cast<const int64_t*>(size)[0]), width(static_cast<const int64_t*>(size)[1]) {}

  // Where the windows of an output row begin in the input, in values.
  int64_t first(int64_t row) const {
    return (row / out_frames * frames + row % out_frames * height) * bins * channels;
  }

  // Where a part of a window lies in it, in values.
  int64_t inside(int64_t part) const { return (part / width * bins + part % width) * channels; }
};

// Sixteen channels at a time, as g++'s vectors: it makes none of loops that mix floats and bytes.
constexpr int64_t kLanes = 16;
using Floats = float __attribute__((vector_size(64)));
using Ints = int32_t __attribute__((vector_size(64)));
using Shorts = uint16_t __attribute__((vector_size(32)));
using Bytes = uint8_t __attribute__((vector_size(16)));

template <class Vector>
Vector load_lanes(const void* from, int64_t lanes) {
  Vector vector{};
  if (lanes == kLanes) {
    std::memcpy(&vector, from, sizeof vector);
  } else {
    std::memcpy(&vector, from, lanes * sizeof vector[0]);
  }
  return vector;
}

template <class Vector>
void store_lanes(const Vector& vector, void* to, int64_t lanes) {
  if (lanes == kLanes) {
    std::memcpy(to, &vector, sizeof vector);
  } else {
    std::memcpy(to, &vector, lanes * sizeof vector[0]);
  }
}

Floats load(const float* from, int64_t lanes) { return load_lanes<Floats>(from, lanes); }

Floats load(const BFloat16* from, int64_t lanes) {
  return reinterpret_cast<Floats>(__builtin_convertvector(load_lanes<Shorts>(from, lanes), Ints) << 16);
}

void store(const Floats& values, float* to, int64_t lanes) { store_lanes(values, to, lanes); }

// Of values that once were loaded: there is nothing to round.
void store(const Floats& values, BFloat16* to, int64_t lanes) {
  store_lanes(__builtin_convertvector(reinterpret_cast<const Ints&>(values) >> 16, Shorts), to, lanes);
}

// Of equal values the first wins. A NaN is more than nothing, and nothing is more than a NaN.
template <class T>
void pool_row(const T* x, T* y, uint8_t* winner, const Windows& w) {
  for (int64_t bin = 0; bin < w.out_bins; ++bin) {
    for (int64_t c = 0; c < w.channels; c += kLanes) {
      const int64_t lanes = std::min(kLanes, w.channels - c);
      auto most = load(x + c, lanes);
      Ints at{};
      for (int64_t part = 1; part < w.height * w.width; ++part) {
        const auto value = load(x + w.inside(part) + c, lanes);
        const Ints more = value > most;
        most = more ? value : most;
        at = more ? Ints{} + static_cast<int32_t>(part) : at;
      }
      store(most, y + c, lanes);
      store_lanes(__builtin_convertvector(at, Bytes), winner + c, lanes);
    }
    x += w.width * w.channels, y += w.channels, winner += w.channels;
  }
}

template <class T>
void unpool_row(const T* dy, const uint8_t* winner, T* dx, const Windows& w) {
  for (int64_t bin = 0; bin < w.out_bins; ++bin) {
    for (int64_t c = 0; c < w.channels; c += kLanes) {
      const int64_t lanes = std::min(kLanes, w.channels - c);
      const auto gradient = load(dy + c, lanes);
      const auto at = __builtin_convertvector(load_lanes<Bytes>(winner + c, lanes), Ints);
      for (int64_t part = 0; part < w.height * w.width; ++part) {
        store(at == static_cast<int32_t>(part) ? gradient : Floats{}, dx + w.inside(part) + c, lanes);
      }
    }
    dx += w.width * w.channels, dy += w.channels, winner += w.channels;
  }
}

// The inputs that no window covers have no gradient.
template <class T>
void clear_rest(T* dx, int64_t utterance, const Windows& w) {
  const int64_t row = w.bins * w.channels, covered = w.out_bins * w.width * w.channels;
  T* frame = dx + utterance * w.frames * row;
  for (int64_t t = 0; t < w.frames; ++t, frame += row) {
    std::fill(frame + (t < w.out_frames * w.height ? covered : 0), frame + row, T{});
  }
}

template <class T>
void forward(void** params, const Windows& w) {
  const auto* x = static_cast<const T*>(params[0]);
  auto* y = static_cast<T*>(params[2]);
  auto* winner = static_cast<uint8_t*>(params[3]);
  const int64_t length = w.out_bins * w.channels;
  share(w.rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      pool_row(x + w.first(row), y + row * length, winner + row * length, w);
    }
  });
}

template <class T>
void backward(void** params, const Windows& w) {
  const auto* dy = static_cast<const T*>(params[0]);
  const auto* winner = static_cast<const uint8_t*>(params[1]);
  auto* dx = static_cast<T*>(params[4]);
  const int64_t length = w.out_bins * w.channels;
  share(w.rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      unpool_row(dy + row * length, winner + row * length, dx + w.first(row), w);
    }
  });
  share(w.batch, [&](int64_t begin, int64_t end, int) {
    for (int64_t utterance = begin; utterance < end; ++utterance) clear_rest(dx, utterance, w);
  });
}

}  // namespace

// x, size -> y, winner
OPERATOR(max_pool_forward) {
  const Turn turn = take_turn();
  const Windows w(shapes[0], shapes[2], params[1]);
  with_storage(types[0], [&](auto zero) { forward<decltype(zero)>(params, w); });
  return 0;
}

// dy, winner, size, x -> dx
OPERATOR(max_pool_backward) {
  const Turn turn = take_turn();
  const Windows w(shapes[3], shapes[0], params[2]);
  with_storage(types[0], [&](auto zero) { backward<decltype(zero)>(params, w); });
  return 0;
}
