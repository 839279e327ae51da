// flow.cpp: the caller's arrays for the gradient's flow (bptt_diagnostics.h: bptt_flow).
#include "capi/arrays.h"
#include "diagnostics/flow_detail.h"

namespace bptt {

template <class T>
FlowRequest<T> check_flow(const NetworkConfig& config, const bptt_flow* given, int64_t steps,
                          int64_t batch, bool overlapping, Arrays& arrays) {
  FlowRequest<T> request;
  if (!given) return request;
  FlowDetail detail;
  bool any = false;  // whether any array of the detail is wanted
  const bptt_flow known = read_struct(given, "flow");
  const int64_t walks = checked_count(config.walks(), steps), all = checked_count(walks, batch);
  const CellShape shape = config.shape();
  const int64_t gates = checked_count(shape.gates, config.hidden);
  const struct {
    const char* name;
    double* values;
    int64_t count;
    bool of_c, of_hh;
    double** into;
    bool of_detail = true;
  } wishes[] = {
      {"flow.h", known.h, walks, false, false, &request.norms[0], false},
      {"flow.c", known.c, walks, true, false, &request.norms[1], false},
      {"flow.a", known.a, walks, false, false, &request.norms[2], false},
      {"flow.samples_h", known.samples_h, all, false, false, &detail.samples[0]},
      {"flow.samples_c", known.samples_c, all, true, false, &detail.samples[1]},
      {"flow.samples_a", known.samples_a, all, false, false, &detail.samples[2]},
      {"flow.units_h", known.units_h, checked_count(walks, config.state()), false, false,
       &detail.units[0]},
      {"flow.units_c", known.units_c, checked_count(walks, config.hidden), true, false,
       &detail.units[1]},
      {"flow.units_a", known.units_a, checked_count(walks, gates), false, false, &detail.units[2]},
      {"flow.share_ih", known.share_ih, all, false, false, &detail.share[0]},
      {"flow.share_hh", known.share_hh, all, false, true, &detail.share[1]},
      {"flow.weight_ih", known.weight_ih, walks, false, false, &detail.weight[0]},
      {"flow.weight_hh", known.weight_hh, walks, false, true, &detail.weight[1]},
  };
  for (const auto& wish : wishes) {
    if (!wish.values) continue;
    const auto null = [&](const char* why) {
      fail(BPTT_ERR_ARGUMENT, wish.name, std::string("NULL, because ") + why, "a pointer");
    };
    if (wish.of_c) lstm_only(config, wish.values, wish.name);
    if (wish.of_hh && shape.late_gates) null("with reset_before W_hh has two products");
    if (wish.of_hh && !shape.recurrent()) null("the cell has no W_hh");
    if (overlapping) null("truncation_k2 > truncation_k1");
    *wish.into = wish.values;
    any |= wish.of_detail;
    arrays.flat(wish.name, wish.values, wish.count, true);
  }
  if (any) {
    request.detail = [detail](const FlowRecord<T>& record, const Tape<T>& tape) {
      write_flow_detail(detail, record, tape);
    };
  }
  return request;
}

#define BPTT_FLOW_OF(T)                                                                        \
  template FlowRequest<T> check_flow(const NetworkConfig&, const bptt_flow*, int64_t, int64_t, \
                                     bool, Arrays&);
BPTT_FLOW_OF(float)
BPTT_FLOW_OF(double)
#undef BPTT_FLOW_OF

}  // namespace bptt

using namespace bptt;

bptt_status bptt_flow_init(bptt_flow* flow, size_t struct_size) {
  return guard("bptt_flow_init",
               [&] { write_struct(flow, struct_size, defaults_of<bptt_flow>(), "flow"); });
}
