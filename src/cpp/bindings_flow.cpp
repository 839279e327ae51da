// bindings_flow.cpp: arrays for the gradient's flow.
#include "bindings.h"

namespace bindings {

void new_flow(const Net& net, const Extent& extent, int detail, Flow& flow) {
  const auto array = [&](std::initializer_list<int64_t> more, double** data) {
    int64_t dims[4] = {net.walks, extent.steps};
    int rank = 2;
    for (const int64_t count : more) dims[rank++] = count;
    py::object made = new_array(12, dims, rank);
    *data = static_cast<double*>(data_of(made));
    return made;
  };
  if (!detail) return;
  flow.h_array = array({}, &flow.h);
  flow.a_array = array({}, &flow.a);
  if (net.lstm) flow.c_array = array({}, &flow.c);
  if (detail == 1) return;
  flow.has_detail = true;
  flow.detail.struct_size = sizeof flow.detail;
  py::dict arrays;
  const int64_t N = extent.batch, gates = net.gates * net.hidden;
  if (detail & kSamples) {
    arrays["samples_h"] = array({N}, &flow.detail.samples_h);
    if (net.lstm) arrays["samples_c"] = array({N}, &flow.detail.samples_c);
    arrays["samples_a"] = array({N}, &flow.detail.samples_a);
    arrays["share_ih"] = array({N}, &flow.detail.share_ih);
    if (!net.reset_before) arrays["share_hh"] = array({N}, &flow.detail.share_hh);
  }
  if (detail & kUnits) {
    arrays["units_h"] = array({net.state}, &flow.detail.units_h);
    if (net.lstm) arrays["units_c"] = array({net.hidden}, &flow.detail.units_c);
    arrays["units_a"] = array({gates}, &flow.detail.units_a);
  }
  if (detail & kWeights) {
    arrays["weight_ih"] = array({}, &flow.detail.weight_ih);
    if (!net.reset_before) arrays["weight_hh"] = array({}, &flow.detail.weight_hh);
  }
  flow.detail_arrays = arrays;
}

}  // namespace bindings
