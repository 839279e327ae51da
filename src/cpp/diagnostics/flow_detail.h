// flow_detail.h: details of the gradient's flow: per sample, per unit, and the share of each step in
// the gradients of the weights.
#pragma once

#include "sequence/calls.h"

namespace bptt {

// The arrays that receive the detail (bptt_diagnostics.h: bptt_flow); null: not wanted.
struct FlowDetail {
  double* samples[3] = {};  // [L * D, T, N]: norms of dL/dh_t, dL/dc_t, dL/da_t of each sample
  double* units[3] = {};    // [L * D, T, R | H | G * H]: the same of each unit, over the samples
  double* share[2] = {};    // [L * D, T, N]: norm of a sample's share in dL/dW_ih, dL/dW_hh
  double* weight[2] = {};   // [L * D, T]: the same of all samples together
};

// Writes the wanted arrays of `detail` from the record of a backward pass over `tape`; zeros beyond
// a sequence's length. Throws std::bad_alloc.
template <class T>
void write_flow_detail(const FlowDetail& detail, const FlowRecord<T>& record, const Tape<T>& tape);

}  // namespace bptt
