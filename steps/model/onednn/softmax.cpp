#include "softmax.h"

#include "common.h"

void softmax(const float* x, float* y, int64_t rows, int64_t width) {
  using dnnl::memory;
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
