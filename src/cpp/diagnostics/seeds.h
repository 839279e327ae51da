// seeds.h: backward passes for many losses at once, each a single output at a single step of one
// tape.
#pragma once

#include <cstdint>
#include <vector>

#include "model/network.h"

namespace bptt {

// The arrays are those of bptt_seeds (bptt_diagnostics.h).
template <class T>
struct SeedsCall {
  std::vector<int64_t> times, samples;  // [S]; samples are in the tape's order
  std::vector<int64_t> outputs;  // [S]: loss s is this element of the output; empty: dy is used
  const T* dy = nullptr;         // [S, O], gradient with respect to the output
  int64_t horizon = 0;           // 0: no horizon
  double* dx_norms = nullptr;    // [S, T]
  double* flow = nullptr;        // [L * D, S, T]
  double* flow_c = nullptr;
};

// Throws std::bad_alloc, Error (cancelled).
template <class T>
void walk_seeds(const Network<T>& network, const SeedsCall<T>& call, const Tape<T>& tape);

}  // namespace bptt
