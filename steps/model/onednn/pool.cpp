// Max pooling over (batch, frames, bins, channels), its windows side by side; what does not fill a window is left out.
#include "common.h"

namespace {

struct Windows {
  int64_t frames, bins, channels;  // of the input
  int64_t out_frames, out_bins, rows, height, width;

  Windows(const int64_t* x, const int64_t* y, const void* size)
      : frames(x[1]), bins(x[2]), channels(x[3]), out_frames(y[1]), out_bins(y[2]), rows(y[0] * y[1]),
        height(static_cast<const int64_t*>(size)[0]), width(static_cast<const int64_t*>(size)[1]) {}

  // Where the windows of an output row begin in the input, in floats.
  int64_t first(int64_t row) const {
    return (row / out_frames * frames + row % out_frames * height) * bins * channels;
  }

  // Where a part of a window lies in it, in floats.
  int64_t inside(int64_t part) const { return (part / width * bins + part % width) * channels; }
};

// Of equal values the first wins, and of NaNs too: divergence shows.
void pool_row(const float* x, float* __restrict y, uint8_t* __restrict winner, const Windows& w) {
  for (int64_t bin = 0; bin < w.out_bins; ++bin) {
    std::copy(x, x + w.channels, y);
    std::fill(winner, winner + w.channels, uint8_t{0});
    for (int64_t part = 1; part < w.height * w.width; ++part) {
      const float* __restrict value = x + w.inside(part);
      for (int64_t c = 0; c < w.channels; ++c) {
        const bool more = value[c] > y[c];
        winner[c] = more ? static_cast<uint8_t>(part) : winner[c];
        y[c] = more ? value[c] : y[c];
      }
    }
    x += w.width * w.channels, y += w.channels, winner += w.channels;
  }
}

void unpool_row(const float* __restrict dy, const uint8_t* __restrict winner, float* dx, const Windows& w) {
  for (int64_t bin = 0; bin < w.out_bins; ++bin) {
    for (int64_t part = 0; part < w.height * w.width; ++part) {
      float* __restrict value = dx + w.inside(part);
      for (int64_t c = 0; c < w.channels; ++c) value[c] = winner[c] == part ? dy[c] : 0.f;
    }
    dx += w.width * w.channels, dy += w.channels, winner += w.channels;
  }
}

// The inputs that no window covers have no gradient.
void clear_rest(float* dx, int64_t utterance, const Windows& w) {
  const int64_t row = w.bins * w.channels, covered = w.out_bins * w.width * w.channels;
  float* frame = dx + utterance * w.frames * row;
  for (int64_t t = 0; t < w.frames; ++t, frame += row) {
    std::fill(frame + (t < w.out_frames * w.height ? covered : 0), frame + row, 0.f);
  }
}

}  // namespace

// x, size -> y, winner
OPERATOR(max_pool_forward) {
  const Turn turn = take_turn();
  const Windows w(shapes[0], shapes[2], params[1]);
  const auto* x = static_cast<const float*>(params[0]);
  auto* y = static_cast<float*>(params[2]);
  auto* winner = static_cast<uint8_t*>(params[3]);
  const int64_t length = w.out_bins * w.channels;
  share(w.rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      pool_row(x + w.first(row), y + row * length, winner + row * length, w);
    }
  });
  return 0;
}

// dy, winner, size, x -> dx
OPERATOR(max_pool_backward) {
  const Turn turn = take_turn();
  const Windows w(shapes[3], shapes[0], params[2]);
  const auto* dy = static_cast<const float*>(params[0]);
  const auto* winner = static_cast<const uint8_t*>(params[1]);
  auto* dx = static_cast<float*>(params[4]);
  const int64_t length = w.out_bins * w.channels;
  share(w.rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      unpool_row(dy + row * length, winner + row * length, dx + w.first(row), w);
    }
  });
  share(shapes[3][0], [&](int64_t begin, int64_t end, int) {
    for (int64_t utterance = begin; utterance < end; ++utterance) clear_rest(dx, utterance, w);
  });
  return 0;
}
