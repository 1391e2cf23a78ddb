// Convolution without bias: activations (batch, frames, bins, channels), weights (out, in, k, k), padded by k / 2.
// Activations and their gradients are float32 or bfloat16, weights and their gradients float32.
#include <map>
#include <vector>

#include "common.h"
#include "storage.h"

namespace {

using dnnl::memory;
using Key = std::vector<int64_t>;

// A primitive, and the step between the weights as MindSpore keeps them and as the primitive wants them.
struct Plan {
  dnnl::primitive compute;
  dnnl::primitive reorder;  // empty where the two are the same
  memory::desc x, y, weights, packed, scratchpad;
};

struct Descriptors {
  memory::desc x, y, weights, packed, packed_gradient;
  memory::dims stride, padding;
  dnnl::primitive_attr attributes;
};

Descriptors describe(const int64_t* x, const int64_t* weights, const int64_t* y, const int64_t* stride,
                     bool bfloat16) {
  const auto single = memory::data_type::f32, type = bfloat16 ? memory::data_type::bf16 : single;
  const auto layout = memory::format_tag::nhwc;
  const memory::dims kernel{weights[0], weights[1], weights[2], weights[3]};
  Descriptors d;
  d.x = memory::desc({x[0], x[3], x[1], x[2]}, type, layout);
  d.y = memory::desc({y[0], y[3], y[1], y[2]}, type, layout);
  d.weights = memory::desc(kernel, single, memory::format_tag::oihw);
  d.packed = memory::desc(kernel, type, memory::format_tag::any);
  d.packed_gradient = memory::desc(kernel, single, memory::format_tag::any);
  d.stride = {stride[0], stride[1]};
  d.padding = {weights[2] / 2, weights[3] / 2};
  d.attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return d;
}

dnnl::convolution_forward::primitive_desc forward_desc(const Descriptors& d) {
  return {engine(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, d.x, d.packed, d.y,
          d.stride, d.padding, d.padding, d.attributes};
}

template <class Desc>
Plan plan(const Descriptors& d, const Desc& desc, const dnnl::primitive& compute, const memory::desc& packed) {
  return {compute, {}, d.x, d.y, d.weights, packed, desc.scratchpad_desc()};
}

dnnl::primitive reorder(const memory::desc& from, const memory::desc& to) {
  if (from == to) return {};
  return dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to));
}

Plan plan_forward(const Descriptors& d) {
  const auto desc = forward_desc(d);
  auto result = plan(d, desc, dnnl::convolution_forward(desc), desc.weights_desc());
  result.reorder = reorder(d.weights, result.packed);
  return result;
}

Plan plan_backward_data(const Descriptors& d) {
  const dnnl::convolution_backward_data::primitive_desc desc(
      engine(), dnnl::algorithm::convolution_direct, d.x, d.packed, d.y, d.stride, d.padding, d.padding,
      forward_desc(d), d.attributes);
  auto result = plan(d, desc, dnnl::convolution_backward_data(desc), desc.weights_desc());
  result.reorder = reorder(d.weights, result.packed);
  return result;
}

Plan plan_backward_weights(const Descriptors& d) {
  const dnnl::convolution_backward_weights::primitive_desc desc(
      engine(), dnnl::algorithm::convolution_direct, d.x, d.packed_gradient, d.y, d.stride, d.padding, d.padding,
      forward_desc(d), d.attributes);
  auto result = plan(d, desc, dnnl::convolution_backward_weights(desc), desc.diff_weights_desc());
  result.reorder = reorder(result.packed, d.weights);
  return result;
}

// Plans are made once a shape and type. The operator's turn guards the table.
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

// The weights as the primitive wants them.
memory packed(const Plan& plan, void* weights) {
  if (!plan.reorder) return view(plan.packed, weights);
  auto to = view(plan.packed, weights_scratch(plan.packed.get_size()));
  plan.reorder.execute(stream_of_turn(), {{DNNL_ARG_FROM, view(plan.weights, weights)}, {DNNL_ARG_TO, to}});
  return to;
}

}  // namespace

// x, weights, stride -> y
OPERATOR(conv_forward) {
  const Turn turn = take_turn();
  static Plans& plans = *new Plans(plan_forward);
  const Plan& plan = plans.of(shapes[0], shapes[1], shapes[3], params[2], types[0]);
  plan.compute.execute(stream_of_turn(), {{DNNL_ARG_SRC, view(plan.x, params[0])},
                                          {DNNL_ARG_WEIGHTS, packed(plan, params[1])},
                                          {DNNL_ARG_DST, view(plan.y, params[3])},
                                          {DNNL_ARG_SCRATCHPAD, scratchpad(plan)}});
  stream_of_turn().wait();
  return 0;
}

// dy, weights, stride, x -> dx
OPERATOR(conv_backward_data) {
  const Turn turn = take_turn();
  static Plans& plans = *new Plans(plan_backward_data);
  const Plan& plan = plans.of(shapes[3], shapes[1], shapes[0], params[2], types[0]);
  plan.compute.execute(stream_of_turn(), {{DNNL_ARG_DIFF_DST, view(plan.y, params[0])},
                                          {DNNL_ARG_WEIGHTS, packed(plan, params[1])},
                                          {DNNL_ARG_DIFF_SRC, view(plan.x, params[4])},
                                          {DNNL_ARG_SCRATCHPAD, scratchpad(plan)}});
  stream_of_turn().wait();
  return 0;
}

// dy, x, stride, weights -> dweights
OPERATOR(conv_backward_weights) {
  const Turn turn = take_turn();
  static Plans& plans = *new Plans(plan_backward_weights);
  const Plan& plan = plans.of(shapes[1], shapes[3], shapes[0], params[2], types[0]);
  void* packed = plan.reorder ? weights_scratch(plan.packed.get_size()) : params[4];
  plan.compute.execute(stream_of_turn(), {{DNNL_ARG_DIFF_DST, view(plan.y, params[0])},
                                          {DNNL_ARG_SRC, view(plan.x, params[1])},
                                          {DNNL_ARG_DIFF_WEIGHTS, view(plan.packed, packed)},
                                          {DNNL_ARG_SCRATCHPAD, scratchpad(plan)}});
  if (plan.reorder) {
    plan.reorder.execute(stream_of_turn(), {{DNNL_ARG_FROM, view(plan.packed, packed)},
                                            {DNNL_ARG_TO, view(plan.weights, params[4])}});
  }
  stream_of_turn().wait();
  return 0;
}
