// Convolution without bias: activations (batch, frames, bins, channels), weights (out, in, k, k), padded by k / 2; and
// max pooling. Activations and their gradients are float32 or bfloat16, weights and their gradients float32.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "common.h"

namespace {

using dnnl::memory;
using Key = std::vector<int64_t>;

constexpr int64_t kShort = 8;  // bins of an output row
constexpr int64_t kNarrowestSingle = 32, kNarrowestBFloat16 = 64;  // channels; bfloat16: for the weight gradient

// A tensor in MindSpore's layout and in the primitive's, and the conversion between them; empty where they are equal.
struct Tensor {
  memory::desc kept, wanted;
  dnnl::primitive reorder;
};

struct Plan {
  dnnl::primitive compute;
  Tensor x, y, weights;
  memory::desc scratchpad;
};

struct Descriptors {
  memory::desc x, y, weights, packed, packed_gradient;
  memory::dims stride, padding;
  dnnl::primitive_attr attributes;
};

memory::desc activations(const memory::dims& dims, memory::data_type type) {
  return memory::desc(dims, type, memory::format_tag::nhwc);
}

Descriptors describe(const int64_t* x, const int64_t* weights, const int64_t* y, const int64_t* stride,
                     bool bfloat16) {
  const auto single = memory::data_type::f32, type = bfloat16 ? memory::data_type::bf16 : single;
  const memory::dims kernel{weights[0], weights[1], weights[2], weights[3]};
  Descriptors d;
  d.x = activations({x[0], x[3], x[1], x[2]}, type);
  d.y = activations({y[0], y[3], y[1], y[2]}, type);
  d.weights = memory::desc(kernel, single, memory::format_tag::oihw);
  d.packed = memory::desc(kernel, type, memory::format_tag::any);
  d.packed_gradient = memory::desc(kernel, single, memory::format_tag::any);
  d.stride = {stride[0], stride[1]};
  d.padding = {weights[2] / 2, weights[3] / 2};
  d.attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return d;
}

// The description of the same tensor in float32.
Descriptors widened(Descriptors d) {
  d.x = activations(d.x.get_dims(), memory::data_type::f32);
  d.y = activations(d.y.get_dims(), memory::data_type::f32);
  d.packed = d.packed_gradient;
  return d;
}

dnnl::convolution_forward::primitive_desc forward_desc(const Descriptors& d) {
  return {engine(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, d.x, d.packed, d.y,
          d.stride, d.padding, d.padding, d.attributes};
}

dnnl::convolution_backward_weights::primitive_desc backward_weights_desc(const Descriptors& d) {
  return {engine(), dnnl::algorithm::convolution_direct, d.x, d.packed_gradient, d.y, d.stride, d.padding, d.padding,
          forward_desc(d), d.attributes};
}

dnnl::primitive reorder(const memory::desc& from, const memory::desc& to) {
  if (from == to) return {};
  return dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to));
}

Tensor input(const memory::desc& kept, const memory::desc& wanted) { return {kept, wanted, reorder(kept, wanted)}; }

Tensor output(const memory::desc& kept, const memory::desc& wanted) { return {kept, wanted, reorder(wanted, kept)}; }

Plan plan_forward(const Descriptors& d) {
  const auto desc = forward_desc(d);
  return {dnnl::convolution_forward(desc), input(d.x, d.x), output(d.y, d.y), input(d.weights, desc.weights_desc()),
          desc.scratchpad_desc()};
}

Plan plan_backward_data(const Descriptors& d) {
  const dnnl::convolution_backward_data::primitive_desc desc(
      engine(), dnnl::algorithm::convolution_direct, d.x, d.packed, d.y, d.stride, d.padding, d.padding,
      forward_desc(d), d.attributes);
  return {dnnl::convolution_backward_data(desc), output(d.x, d.x), input(d.y, d.y),
          input(d.weights, desc.weights_desc()), desc.scratchpad_desc()};
}

// Without AMX, oneDNN takes as long for a short row of bfloat16 as for a longer one, and longer than in float32.
bool is_slow(const dnnl::convolution_backward_weights::primitive_desc& desc) {
  return std::string(desc.impl_info_str()).rfind("jit_bf16:", 0) == 0 && desc.diff_dst_desc().get_dims()[3] < kShort;
}

Plan plan_backward_weights(const Descriptors& d) {
  auto desc = backward_weights_desc(d);
  if (is_slow(desc)) desc = backward_weights_desc(widened(d));
  return {dnnl::convolution_backward_weights(desc), input(d.x, desc.src_desc()), input(d.y, desc.diff_dst_desc()),
          output(d.weights, desc.diff_weights_desc()), desc.scratchpad_desc()};
}

// Plans are kept by shape and type. Only the operator whose turn it is uses the table.
class Plans {
 public:
  explicit Plans(Plan (*make)(const Descriptors&)) : make_(make) {}

  const Plan& of(const int64_t* x, const int64_t* weights, const int64_t* y, const void* stride, const char* type) {
    const auto* strides = static_cast<const int64_t*>(stride);
    const bool bfloat16 = is_bfloat16(type);
    Key key(x, x + 4);
    key.insert(key.end(), weights, weights + 4);
    key.insert(key.end(), strides, strides + 2);
    key.push_back(bfloat16);
    auto found = plans_.find(key);
    if (found == plans_.end()) {
      plan_for_all_threads();
      found = plans_.emplace(key, make_(describe(x, weights, y, strides, bfloat16))).first;
    }
    return found->second;
  }

 private:
  Plan (*make_)(const Descriptors&);
  std::map<Key, Plan> plans_;
};

memory view(const memory::desc& desc, void* data) { return memory(desc, engine(), data); }

memory scratchpad(const Plan& plan) { return view(plan.scratchpad, scratch(plan.scratchpad.get_size())); }

// An input in the layout that the primitive wants.
memory given(const Tensor& tensor, void* data, Scratch use) {
  if (!tensor.reorder) return view(tensor.kept, data);
  auto to = view(tensor.wanted, scratch(tensor.wanted.get_size(), use));
  tensor.reorder.execute(stream_of_turn(), {{DNNL_ARG_FROM, view(tensor.kept, data)}, {DNNL_ARG_TO, to}});
  return to;
}

// Whether Winograd's algorithm is faster. With few channels its additions take longer than it saves.
bool by_winograd(const int64_t* weights, const void* stride, int64_t narrowest) {
  return std::min(weights[0], weights[1]) >= narrowest &&
         Winograd::can(weights, static_cast<const int64_t*>(stride));
}

float* floats(void* data) { return static_cast<float*>(data); }

Winograd winograd(const int64_t* x, const int64_t* weights) { return {x[0], x[1], x[2], x[3], weights[0]}; }

}  // namespace

// x, weights, stride -> y
OPERATOR(conv_forward) {
  const Turn turn = take_turn();
  if (!is_bfloat16(types[0]) && by_winograd(shapes[1], params[2], kNarrowestSingle)) {
    winograd(shapes[0], shapes[1]).forward(floats(params[0]), floats(params[1]), floats(params[3]));
    return 0;
  }
  static Plans& plans = *new Plans(plan_forward);
  const Plan& plan = plans.of(shapes[0], shapes[1], shapes[3], params[2], types[0]);
  plan.compute.execute(stream_of_turn(), {{DNNL_ARG_SRC, view(plan.x.kept, params[0])},
                                          {DNNL_ARG_WEIGHTS, given(plan.weights, params[1], Scratch::kWeights)},
                                          {DNNL_ARG_DST, view(plan.y.kept, params[3])},
                                          {DNNL_ARG_SCRATCHPAD, scratchpad(plan)}});
  stream_of_turn().wait();
  return 0;
}

// dy, weights, stride, x -> dx
OPERATOR(conv_backward_data) {
  const Turn turn = take_turn();
  if (!is_bfloat16(types[0]) && by_winograd(shapes[1], params[2], kNarrowestSingle)) {
    winograd(shapes[3], shapes[1]).backward_data(floats(params[0]), floats(params[1]), floats(params[4]));
    return 0;
  }
  static Plans& plans = *new Plans(plan_backward_data);
  const Plan& plan = plans.of(shapes[3], shapes[1], shapes[0], params[2], types[0]);
  plan.compute.execute(stream_of_turn(), {{DNNL_ARG_DIFF_DST, view(plan.y.kept, params[0])},
                                          {DNNL_ARG_WEIGHTS, given(plan.weights, params[1], Scratch::kWeights)},
                                          {DNNL_ARG_DIFF_SRC, view(plan.x.kept, params[4])},
                                          {DNNL_ARG_SCRATCHPAD, scratchpad(plan)}});
  stream_of_turn().wait();
  return 0;
}

// dy, x, stride, weights -> dweights
OPERATOR(conv_backward_weights) {
  const Turn turn = take_turn();
  if (by_winograd(shapes[3], params[2], is_bfloat16(types[0]) ? kNarrowestBFloat16 : kNarrowestSingle)) {
    with_storage(types[0], [&](auto stored) {
      using Stored = decltype(stored);
      winograd(shapes[1], shapes[3])
          .backward_weights(static_cast<const Stored*>(params[0]), static_cast<const Stored*>(params[1]),
                            floats(params[4]));
    });
    return 0;
  }
  static Plans& plans = *new Plans(plan_backward_weights);
  const Plan& plan = plans.of(shapes[1], shapes[3], shapes[0], params[2], types[0]);
  const Tensor& weights = plan.weights;
  void* gradient = weights.reorder ? scratch(weights.wanted.get_size(), Scratch::kWeights) : params[4];
  plan.compute.execute(stream_of_turn(), {{DNNL_ARG_DIFF_DST, given(plan.y, params[0], Scratch::kY)},
                                          {DNNL_ARG_SRC, given(plan.x, params[1], Scratch::kX)},
                                          {DNNL_ARG_DIFF_WEIGHTS, view(weights.wanted, gradient)},
                                          {DNNL_ARG_SCRATCHPAD, scratchpad(plan)}});
  if (weights.reorder) {
    weights.reorder.execute(stream_of_turn(), {{DNNL_ARG_FROM, view(weights.wanted, gradient)},
                                               {DNNL_ARG_TO, view(weights.kept, params[4])}});
  }
  stream_of_turn().wait();
  return 0;
}

// Max pooling. Windows do not overlap. Frames and bins at the end that do not fill a window are left out.
namespace {

struct PoolPlan {
  dnnl::primitive forward, backward;
  memory::desc x, y, winners;
};

PoolPlan plan_pool(const int64_t* x, const int64_t* y, const int64_t* size, bool bfloat16) {
  plan_for_all_threads();
  PoolPlan plan;
  const auto type = bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  plan.x = activations({x[0], x[3], x[1], x[2]}, type);
  plan.y = activations({y[0], y[3], y[1], y[2]}, type);
  const memory::dims window{size[0], size[1]}, none{0, 0};
  const auto max = dnnl::algorithm::pooling_max;
  const dnnl::pooling_forward::primitive_desc forward(engine(), dnnl::prop_kind::forward_training, max, plan.x, plan.y,
                                                      window, window, none, none, none);
  const dnnl::pooling_backward::primitive_desc backward(engine(), max, plan.x, plan.y, window, window, none, none,
                                                        none, forward);
  plan.forward = dnnl::pooling_forward(forward);
  plan.backward = dnnl::pooling_backward(backward);
  plan.winners = forward.workspace_desc();
  if (plan.winners.get_size() != static_cast<size_t>(y[0] * y[1] * y[2] * y[3])) {
    throw std::runtime_error("oneDNN does not keep the winner of a window in a byte");
  }
  return plan;
}

// Plans are kept by shape and type. Only the operator whose turn it is uses the table.
const PoolPlan& pool_plan_of(const int64_t* x, const int64_t* y, const void* size, const char* type) {
  static auto& plans = *new std::map<Key, PoolPlan>;
  const auto* window = static_cast<const int64_t*>(size);
  const bool bfloat16 = is_bfloat16(type);
  Key key(x, x + 4);
  key.insert(key.end(), {window[0], window[1], bfloat16});
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(key, plan_pool(x, y, window, bfloat16)).first;
  return found->second;
}

}  // namespace

// x, size -> y, winner
OPERATOR(max_pool_forward) {
  const Turn turn = take_turn();
  const PoolPlan& plan = pool_plan_of(shapes[0], shapes[2], params[1], types[0]);
  plan.forward.execute(stream_of_turn(), {{DNNL_ARG_SRC, view(plan.x, params[0])},
                                          {DNNL_ARG_DST, view(plan.y, params[2])},
                                          {DNNL_ARG_WORKSPACE, view(plan.winners, params[3])}});
  stream_of_turn().wait();
  return 0;
}

// dy, winner, size, x -> dx
OPERATOR(max_pool_backward) {
  const Turn turn = take_turn();
  const PoolPlan& plan = pool_plan_of(shapes[3], shapes[0], params[2], types[0]);
  plan.backward.execute(stream_of_turn(), {{DNNL_ARG_DIFF_DST, view(plan.y, params[0])},
                                           {DNNL_ARG_WORKSPACE, view(plan.winners, params[1])},
                                           {DNNL_ARG_DIFF_SRC, view(plan.x, params[4])}});
  stream_of_turn().wait();
  return 0;
}
