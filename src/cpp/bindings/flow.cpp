// flow.cpp: the arrays that receive the gradient's flow.
#include "bindings/bindings.h"
#include "bindings/package.h"

namespace bindings {
namespace {

// The bits of nn.flow's levels, which add details to h, c and a over time.
constexpr int kSamples = 2, kUnits = 4, kWeights = 8;

int level_of(py::handle wanted, const Where& where) {
  if (wanted.ptr() == Py_True) return 1;
  if (wanted.ptr() == Py_False) return 0;
  return py::cast<int>(py::handle(package.flow_level)(wanted, where.text()));
}

}  // namespace

void new_flow(const Net& net, const Extent& extent, py::handle wanted, bool overlapping,
              const Where& where, Flow& flow) {
  const int level = level_of(wanted, where);
  if (!level || overlapping) return;
  const auto each_step = [&](double** data) {
    return new_doubles({net.walks, extent.steps}, data);
  };
  const auto array = [&](int64_t width, double** data) {
    return new_doubles({net.walks, extent.steps, width}, data);
  };
  flow.wanted = true;
  flow.to.struct_size = sizeof flow.to;
  flow.h_array = each_step(&flow.to.h);
  flow.a_array = each_step(&flow.to.a);
  if (net.cell.has_c) flow.c_array = each_step(&flow.to.c);
  if (level == 1) return;
  FlowDetail arrays;
  const int64_t N = extent.batch, gates = net.cell.gates * net.hidden;
  if (level & kSamples) {
    arrays.samples_h = array(N, &flow.to.samples_h);
    if (net.cell.has_c) arrays.samples_c = array(N, &flow.to.samples_c);
    arrays.samples_a = array(N, &flow.to.samples_a);
    arrays.share_ih = array(N, &flow.to.share_ih);
    if (net.cell.products == 1) arrays.share_hh = array(N, &flow.to.share_hh);
  }
  if (level & kUnits) {
    arrays.units_h = array(net.state, &flow.to.units_h);
    if (net.cell.has_c) arrays.units_c = array(net.hidden, &flow.to.units_c);
    arrays.units_a = array(gates, &flow.to.units_a);
  }
  if (level & kWeights) {
    arrays.weight_ih = each_step(&flow.to.weight_ih);
    if (net.cell.products == 1) arrays.weight_hh = each_step(&flow.to.weight_hh);
  }
  flow.detail_arrays = package.flow_detail.make(std::move(arrays));
}

}  // namespace bindings
