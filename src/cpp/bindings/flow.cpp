// flow.cpp: arrays for the gradient's flow.
#include "bindings/bindings.h"

namespace bindings {

void new_flow(const Net& net, const Extent& extent, int detail, Flow& flow) {
  const auto each_step = [&](double** data) {
    return new_doubles({net.walks, extent.steps}, data);
  };
  const auto array = [&](int64_t width, double** data) {
    return new_doubles({net.walks, extent.steps, width}, data);
  };
  if (!detail) return;
  flow.h_array = each_step(&flow.h);
  flow.a_array = each_step(&flow.a);
  if (net.lstm) flow.c_array = each_step(&flow.c);
  if (detail == 1) return;
  flow.has_detail = true;
  flow.detail.struct_size = sizeof flow.detail;
  py::dict arrays;
  const int64_t N = extent.batch, gates = net.gates * net.hidden;
  if (detail & kSamples) {
    arrays["samples_h"] = array(N, &flow.detail.samples_h);
    if (net.lstm) arrays["samples_c"] = array(N, &flow.detail.samples_c);
    arrays["samples_a"] = array(N, &flow.detail.samples_a);
    arrays["share_ih"] = array(N, &flow.detail.share_ih);
    if (!net.reset_before) arrays["share_hh"] = array(N, &flow.detail.share_hh);
  }
  if (detail & kUnits) {
    arrays["units_h"] = array(net.state, &flow.detail.units_h);
    if (net.lstm) arrays["units_c"] = array(net.hidden, &flow.detail.units_c);
    arrays["units_a"] = array(gates, &flow.detail.units_a);
  }
  if (detail & kWeights) {
    arrays["weight_ih"] = each_step(&flow.detail.weight_ih);
    if (!net.reset_before) arrays["weight_hh"] = each_step(&flow.detail.weight_hh);
  }
  flow.detail_arrays = arrays;
}

}  // namespace bindings
