// Connectionist temporal classification (Graves et al. 2006, section 4.1) behind a softmax of its own, blank 0.
#include <cmath>
#include <limits>
#include <vector>

#include "common.h"

namespace {

using dnnl::memory;

constexpr double kNever = -std::numeric_limits<double>::infinity();

double add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNever ? a : a + std::log1p(std::exp(b - a));
}

void softmax(const float* x, float* y, int64_t rows, int64_t width) {
  plan_for_all_threads();
  const memory::desc shape({rows, width}, memory::data_type::f32, memory::format_tag::ab);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::softmax_forward::primitive_desc desc(engine(), dnnl::prop_kind::forward_training,
                                                   dnnl::algorithm::softmax_accurate, shape, shape, 1, attributes);
  dnnl::softmax_forward(desc).execute(
      stream_of_turn(), {{DNNL_ARG_SRC, memory(shape, engine(), const_cast<float*>(x))},
                         {DNNL_ARG_DST, memory(shape, engine(), y)},
                         {DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine(),
                                                      scratch(desc.scratchpad_desc().get_size()))}});
  stream_of_turn().wait();
}

float most(const float* x, int64_t size) {
  float result = x[0];
#pragma omp simd reduction(max : result)
  for (int64_t i = 0; i < size; ++i) result = std::max(result, x[i]);
  return result;
}

// One utterance. `path` holds its labels with a blank before, between and behind them. Each place in it is a state.
class Utterance {
 public:
  Utterance(const int32_t* labels, int64_t count, int64_t frames) : frames_(frames), path_(2 * count + 1, 0) {
    for (int64_t i = 0; i < count; ++i) path_[2 * i + 1] = labels[i];
  }

  // Subtracts the labels' occupancies from the probabilities, which makes them the gradient at the logits. Returns the
  // loss.
  float run(const float* logits, float* probabilities, int64_t tokens) const {
    const int64_t states = path_.size();
    std::vector<double> emitted(frames_ * states), alpha(frames_ * states, kNever);
    for (int64_t t = 0; t < frames_; ++t) {
      const float *x = logits + t * tokens, *p = probabilities + t * tokens;
      const double offset = std::log(most(p, tokens)) - most(x, tokens);  // the logarithm of a small p is inexact
      for (int64_t s = 0; s < states; ++s) emitted[t * states + s] = x[path_[s]] + offset;
    }
    for (int64_t t = 0; t < frames_; ++t) {
      for (int64_t s = 0; s < states; ++s) {
        alpha[t * states + s] = emitted[t * states + s] + (t == 0 ? start(s) : arrive(&alpha[(t - 1) * states], s));
      }
    }
    const double total = frames_ == 0 ? (states == 1 ? 0 : kNever) : finish(&alpha[(frames_ - 1) * states]);
    std::vector<double> beta(states), next(states);  // of what comes after the frame
    for (int64_t t = frames_ - 1; t >= 0; --t) {
      for (int64_t s = 0; s < states; ++s) {
        beta[s] = t == frames_ - 1 ? (s + 2 >= states ? 0 : kNever) : leave(next, s);
        probabilities[t * tokens + path_[s]] -= std::exp(alpha[t * states + s] + beta[s] - total);
      }
      for (int64_t s = 0; s < states; ++s) next[s] = beta[s] + emitted[t * states + s];
    }
    return -total;
  }

 private:
  bool skips_to(int64_t s) const { return s >= 2 && path_[s] != 0 && path_[s] != path_[s - 2]; }

  static double start(int64_t s) { return s < 2 ? 0 : kNever; }

  double arrive(const double* before, int64_t s) const {
    double sum = before[s];
    if (s >= 1) sum = add(sum, before[s - 1]);
    return skips_to(s) ? add(sum, before[s - 2]) : sum;
  }

  double leave(const std::vector<double>& after, int64_t s) const {
    const int64_t states = path_.size();
    double sum = after[s];
    if (s + 1 < states) sum = add(sum, after[s + 1]);
    return s + 2 < states && skips_to(s + 2) ? add(sum, after[s + 2]) : sum;
  }

  double finish(const double* last) const {
    const int64_t states = path_.size();
    return states == 1 ? last[0] : add(last[states - 1], last[states - 2]);
  }

  int64_t frames_;
  std::vector<int32_t> path_;
};

}  // namespace

// logits (batch, frames, tokens), lengths, labels (batch, most), label counts -> losses (batch), their gradients
OPERATOR(ctc) {
  const Turn turn = take_turn();
  const int64_t batch = shapes[0][0], frames = shapes[0][1], tokens = shapes[0][2], most_labels = shapes[2][1];
  const auto* logits = static_cast<const float*>(params[0]);
  const auto *lengths = static_cast<const int32_t*>(params[1]), *labels = static_cast<const int32_t*>(params[2]);
  const auto* counts = static_cast<const int32_t*>(params[3]);
  auto *losses = static_cast<float*>(params[4]), *gradient = static_cast<float*>(params[5]);
  for (int64_t i = 0; i < batch; ++i) {
    if (lengths[i] < 0 || lengths[i] > frames || counts[i] < 0 || counts[i] > most_labels) return 1;
    for (int64_t k = 0; k < counts[i]; ++k) {
      if (labels[i * most_labels + k] < 0 || labels[i * most_labels + k] >= tokens) return 1;
    }
  }
  softmax(logits, gradient, batch * frames, tokens);
  share(batch, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * frames * tokens;
      const Utterance utterance(labels + i * most_labels, counts[i], lengths[i]);
      losses[i] = utterance.run(logits + first, gradient + first, tokens);
      std::fill(gradient + first + lengths[i] * tokens, gradient + first + frames * tokens, 0.f);
    }
  });
  return 0;
}

// gradients at the losses, gradients of the losses -> gradient at the logits
OPERATOR(ctc_backward) {
  const Turn turn = take_turn();
  const int64_t frames = shapes[1][1], tokens = shapes[1][2];
  const auto *outer = static_cast<const float*>(params[0]), *inner = static_cast<const float*>(params[1]);
  auto* out = static_cast<float*>(params[2]);
  share(shapes[1][0] * frames, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t k = row * tokens; k < (row + 1) * tokens; ++k) out[k] = inner[k] * outer[row / frames];
    }
  });
  return 0;
}
