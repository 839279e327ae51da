// seeds.h: losses of single outputs at single steps, taken back over one tape side by side.
#pragma once

#include <cstdint>
#include <vector>

#include "model/network.h"

namespace bptt {

// Arrays as in bptt_diagnostics.h: bptt_seeds.
template <class T>
struct SeedsCall {
  std::vector<int64_t> times, samples;  // [S]; samples in the tape's order
  std::vector<int64_t> outputs;  // [S]: loss s is this element of the output; empty: dy is given
  const T* dy = nullptr;         // [S, O], with respect to the output
  int64_t horizon = 0;           // 0: none
  double* dx_norms = nullptr;    // [S, T]
  double* flow = nullptr;        // [L * D, S, T]
  double* flow_c = nullptr;
};

// Throws std::bad_alloc, Error (cancelled).
template <class T>
void walk_seeds(const Network<T>& network, const SeedsCall<T>& call, const Tape<T>& tape);

}  // namespace bptt
