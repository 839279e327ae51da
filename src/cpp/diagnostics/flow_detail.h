// flow_detail.h: details of the gradient's flow: per sample, per unit, and the contribution of each
// step to the gradients of the weights.
#pragma once

#include "sequence/calls.h"

namespace bptt {

// The arrays that receive the detail (bptt_diagnostics.h: bptt_flow); null: not wanted.
struct FlowDetail {
  double* samples[3] = {};  // of h, c, a
  double* units[3] = {};
  double* share[2] = {};  // of W_ih, W_hh
  double* weight[2] = {};
};

// Throws std::bad_alloc.
template <class T>
void write_flow_detail(const FlowDetail& detail, const FlowRecord<T>& record, const Tape<T>& tape);

}  // namespace bptt
