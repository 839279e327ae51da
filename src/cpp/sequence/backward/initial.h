// initial.h: the gradients of learnt initial states: the sums of dL/dh and dL/dc before the first
// steps of the sequences and after resets.
#pragma once

#include "sequence/backward/context.h"

namespace bptt {

// Collects the shares of each sequence of a shard, and adds them at the end in their order: the sums
// do not depend on the members of the team.
template <class T>
class InitialGradients {
 public:
  explicit InitialGradients(const BackwardContext<T>& context) : in(context) {
    if (!in.config.learn_initial_state || !in.shard.gradients) return;
    const int64_t rows = checked_count(in.config.walks(), in.count);
    h_ = Buffer<T>::zeros(checked_count(rows, in.geometry.state_row));
    if (in.shape.has_c) c_ = Buffer<T>::zeros(checked_count(rows, in.geometry.cell_row));
  }

  // Adds the gradient of the state before the first step, unless the caller gave that state.
  void add_start(int64_t walk, int64_t n, const T* dh, const T* dc) {
    if (!in.tape.given_h0()) add(h_, walk, n, in.geometry.state_row, dh, in.R);
    if (!in.tape.given_c0()) add(c_, walk, n, in.geometry.cell_row, dc, in.H);
  }
  // Adds the gradient of a state after a reset.
  void add_reset(int64_t walk, int64_t n, const T* dh, const T* dc) {
    add(h_, walk, n, in.geometry.state_row, dh, in.R);
    add(c_, walk, n, in.geometry.cell_row, dc, in.H);
  }

  // Adds the sums to their places in the flat vector. Call it after a barrier.
  void finish(const Team& team) const {
    for (int64_t walk = 0; h_.count() && walk < in.config.walks(); ++walk) {
      const LayerOffsets& at = in.offsets[size_t(walk)];
      sum(team, h_, walk, in.geometry.state_row, in.R, at.h0);
      if (c_.count()) sum(team, c_, walk, in.geometry.cell_row, in.H, at.c0);
    }
  }

 private:
  void add(Buffer<T>& shares, int64_t walk, int64_t n, int64_t row, const T* d, int64_t count) {
    if (shares.count()) in.kernels.add(shares.data() + (walk * in.count + n) * row, d, count);
  }
  void sum(const Team& team, const Buffer<T>& shares, int64_t walk, int64_t row, int64_t units,
           int64_t offset) const {
    const int64_t begin = team.begin(units), end = team.end(units);
    in.kernels.add_column_sums(shares.data() + walk * in.count * row + begin, row, in.count,
                               end - begin, in.shard.gradients + offset + begin);
  }

  const BackwardContext<T>& in;
  Buffer<T> h_, c_;  // [L * D, sequences, R | H]; empty: not wanted
};

}  // namespace bptt
