// Max pooling over (batch, frames, bins, channels) by oneDNN. Windows do not overlap. Frames and bins at the end that do
// not fill a window are left out.
#include <map>
#include <vector>

#include "common.h"

namespace {

using dnnl::memory;
using Key = std::vector<int64_t>;

struct Plan {
  dnnl::primitive forward, backward;
  memory::desc x, y, winners;
};

memory::desc activations(const int64_t* shape, bool bfloat16) {
  return memory::desc({shape[0], shape[3], shape[1], shape[2]},
                      bfloat16 ? memory::data_type::bf16 : memory::data_type::f32, memory::format_tag::nhwc);
}

Plan make_plan(const int64_t* x, const int64_t* y, const int64_t* size, bool bfloat16) {
  plan_for_all_threads();
  Plan plan;
  plan.x = activations(x, bfloat16);
  plan.y = activations(y, bfloat16);
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
const Plan& plan_of(const int64_t* x, const int64_t* y, const void* size, const char* type) {
  static auto& plans = *new std::map<Key, Plan>;
  const auto* window = static_cast<const int64_t*>(size);
  const bool bfloat16 = is_bfloat16(type);
  Key key(x, x + 4);
  key.insert(key.end(), {window[0], window[1], bfloat16});
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(key, make_plan(x, y, window, bfloat16)).first;
  return found->second;
}

memory view(const memory::desc& desc, void* data) { return memory(desc, engine(), data); }

}  // namespace

// x, size -> y, winner
OPERATOR(max_pool_forward) {
  const Turn turn = take_turn();
  const Plan& plan = plan_of(shapes[0], shapes[2], params[1], types[0]);
  plan.forward.execute(stream_of_turn(), {{DNNL_ARG_SRC, view(plan.x, params[0])},
                                          {DNNL_ARG_DST, view(plan.y, params[2])},
                                          {DNNL_ARG_WORKSPACE, view(plan.winners, params[3])}});
  stream_of_turn().wait();
  return 0;
}

// dy, winner, size, x -> dx
OPERATOR(max_pool_backward) {
  const Turn turn = take_turn();
  const Plan& plan = plan_of(shapes[3], shapes[0], params[2], types[0]);
  plan.backward.execute(stream_of_turn(), {{DNNL_ARG_DIFF_DST, view(plan.y, params[0])},
                                           {DNNL_ARG_WORKSPACE, view(plan.winners, params[1])},
                                           {DNNL_ARG_DIFF_SRC, view(plan.x, params[4])}});
  stream_of_turn().wait();
  return 0;
}
