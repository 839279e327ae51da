// flow.cpp: what a caller asks of the gradient's flow (bptt_diagnostics.h: bptt_flow).
#include "capi/arrays.h"

namespace bptt {

template <>
bptt_flow defaults_of<bptt_flow>() {
  bptt_flow flow = {};
  flow.struct_size = sizeof flow;
  return flow;
}
template <>
const char* struct_name<bptt_flow>() {
  return "bptt_flow";
}

FlowCall check_flow(const NetworkConfig& config, int64_t steps, int64_t batch, double* flow,
                    double* flow_c, double* flow_a, const bptt_flow* detail, bool overlapping,
                    Arrays& arrays) {
  FlowCall call{flow, flow_c, flow_a, {}, detail != nullptr};
  const bptt_flow known = detail ? read_struct(detail, "detail") : defaults_of<bptt_flow>();
  const int64_t walks = checked_count(config.walks(), steps), all = checked_count(walks, batch);
  const int64_t gates = checked_count(config.shape().gates, config.hidden);
  const struct {
    const char* name;
    double* values;
    int64_t count;
    bool of_c, of_hh;
    double** into;
  } wishes[] = {
      {"flow", flow, walks, false, false, nullptr},
      {"flow_c", flow_c, walks, true, false, nullptr},
      {"flow_a", flow_a, walks, false, false, nullptr},
      {"samples_h", known.samples_h, all, false, false, &call.detail.samples[0]},
      {"samples_c", known.samples_c, all, true, false, &call.detail.samples[1]},
      {"samples_a", known.samples_a, all, false, false, &call.detail.samples[2]},
      {"units_h", known.units_h, checked_count(walks, config.state()), false, false,
       &call.detail.units[0]},
      {"units_c", known.units_c, checked_count(walks, config.hidden), true, false,
       &call.detail.units[1]},
      {"units_a", known.units_a, checked_count(walks, gates), false, false, &call.detail.units[2]},
      {"share_ih", known.share_ih, all, false, false, &call.detail.share[0]},
      {"share_hh", known.share_hh, all, false, true, &call.detail.share[1]},
      {"weight_ih", known.weight_ih, walks, false, false, &call.detail.weight[0]},
      {"weight_hh", known.weight_hh, walks, false, true, &call.detail.weight[1]},
  };
  for (const auto& wish : wishes) {
    if (!wish.values) continue;
    const auto null = [&](const char* why) {
      fail(BPTT_ERR_ARGUMENT, wish.name, std::string("NULL, because ") + why, "a pointer");
    };
    if (wish.of_c) lstm_only(config, wish.values, wish.name);
    if (wish.of_hh && !config.reset_after) null("with reset_before W_hh has two products");
    if (overlapping) null("truncation_k2 > truncation_k1");
    if (wish.into) *wish.into = wish.values;
    arrays.flat(wish.name, wish.values, wish.count, true);
  }
  return call;
}

}  // namespace bptt

using namespace bptt;

bptt_status bptt_flow_init(bptt_flow* flow, size_t struct_size) {
  return guard("bptt_flow_init",
               [&] { write_struct(flow, struct_size, defaults_of<bptt_flow>(), "flow"); });
}
