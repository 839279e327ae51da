// norms.h: norms of the gradient in a backward walk: those of the flow and those of seeds.
#pragma once

#include <vector>

#include "sequence/backward/context.h"
#include "sequence/norms.h"

namespace bptt {

// Records the norms of a walk. The row norms of the flow are indexed as the block's rows or, with
// two directions, as all of the shard's rows in the caller's time. The norms of seeds go to the
// caller's arrays.
template <class T>
class BackwardNorms {
 public:
  explicit BackwardNorms(const BackwardContext<T>& context) : in(context) {
    const int64_t kept = in.D == 2 ? in.own.rows() : in.block_rows;
    if (in.shard.flow[0]) h_ = Buffer<double>::zeros(kept);
    if (in.shard.flow[1]) c_ = Buffer<double>::zeros(kept);
    if (in.shard.flow[2]) a_ = Buffer<double>::zeros(kept);
    if (c_.count() || (in.call.seeds && !in.call.seeds->flow_c.empty()))
      step_c_ = Buffer<double>(in.count);
    if (in.D == 2 && of_dx()) dx_ = Buffer<T>(checked_count(kept, in.geometry.input_row));
  }

  // The destinations for norms that a cell computes itself, for rows from `row` of a block or, for
  // put_c, sequences from n on; null if they are not required.
  double* cell_h(int64_t row) { return h_.count() ? h_.data() + row : nullptr; }
  double* cell_a(int64_t row) { return a_.count() ? a_.data() + row : nullptr; }
  double* cell_c(int64_t row) { return c_.count() ? c_.data() + row : nullptr; }
  double* step_c(int64_t n) { return step_c_.count() ? step_c_.data() + n : nullptr; }
  bool of_a() const { return a_.count() > 0; }
  // Returns whether norms of dL/dx are required for seeds.
  bool of_dx() const { return in.call.seeds && !in.call.seeds->dx_norms.empty(); }

  void put_h(int64_t walk, const Block<T>& block, int64_t t, int64_t n, const T* dh) {
    if (in.call.seeds && !in.call.seeds->flow.empty())
      *of_seed(in.call.seeds->flow, walk, t, n) = row_norm(in.kernels, dh, in.R);
    if (h_.count()) h_[place(walk, block, t, n)] = row_norm(in.kernels, dh, in.R);
  }
  void put_a(int64_t walk, const Block<T>& block, int64_t t, int64_t n, const T* dz) {
    if (a_.count()) a_[place(walk, block, t, n)] = planes_norm(in.kernels, in.geometry, in.H, dz);
  }
  // Stores the norms that the cell left in step_c.
  void put_c(int64_t walk, const Block<T>& block, int64_t t, int64_t n0, int64_t n1) {
    for (int64_t n = n0; step_c_.count() && n < n1; ++n) {
      double* to = in.call.seeds ? of_seed(in.call.seeds->flow_c, walk, t, n)
                                 : c_.data() + place(walk, block, t, n);
      *to = step_c_[n];
    }
  }

  // With two directions: the rows in which dL/dx of both is summed, in the caller's time.
  T* dx_row(int64_t row) { return dx_.data() + row * in.geometry.input_row; }
  void put_dx() {
    if (!dx_.count()) return;
    put_dx(Block<T>{&in.own, &in.all, 0, in.own.steps(), 0, nullptr, in.geometry.state_row,
                    in.shard.begin, &in.all, in.shard},
           dx_.data());
  }
  // Stores the norms of all rows of a block.
  void put_dx(const Block<T>& block, const T* dx) const {
    for_rows(block, 0, block.rows(), [&](int64_t r, int64_t t, int64_t n) {
      in.call.seeds->dx_norms[in.seed(n)][t] =
          row_norm(in.kernels, dx + r * in.geometry.input_row, in.config.input);
    });
  }

  // Computes the flow of a block's steps from the norms of its rows.
  void record(int64_t walk, const Block<T>& block) const {
    if (!h_.count() && !c_.count() && !a_.count()) return;
    for (int64_t t = block.first; t < block.last; ++t) {
      const int64_t row = block.row(t), live = in.own.live(t), at = walk * in.tape.steps() + t;
      if (h_.count()) in.shard.flow[0][at] = norm_of(h_.data() + row, live);
      if (c_.count()) in.shard.flow[1][at] = norm_of(c_.data() + row, live);
      if (a_.count()) in.shard.flow[2][at] = norm_of(a_.data() + row, live);
    }
  }

 private:
  int64_t place(int64_t walk, const Block<T>& block, int64_t s, int64_t n) const {
    return in.D == 2 ? in.own.first(in.own.time(walk % in.D, s, n)) + n : block.row(s) + n;
  }
  double* of_seed(const std::vector<double*>& flow, int64_t walk, int64_t s, int64_t n) const {
    return flow[in.seed(n)] + walk * in.call.seeds->flow_walk + in.own.time(walk % in.D, s, n);
  }

  const BackwardContext<T>& in;
  Buffer<double> h_, c_, a_, step_c_;
  Buffer<T> dx_;
};

}  // namespace bptt
