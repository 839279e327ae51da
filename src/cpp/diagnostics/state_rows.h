// state_rows.h: many gradients with respect to the state of one sequence in one layer and
// direction, propagated backward together, step by step: rows of Q^T dh_t/dh_{t-1} (LSTM: of the
// state (h, c)). If the rows are unit vectors, one step returns the Jacobian.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "model/network.h"
#include "sequence/backward/step.h"

namespace bptt {

template <class T>
class StateRows {
 public:
  // `sample` is in the tape's order.
  StateRows(const Network<T>& network, const Tape<T>& tape, int64_t walk, int64_t sample,
            int64_t rows)
      : packed_(network.packed_backward(tape)),
        walk_(walk),
        rows_(rows),
        seeds_(seeds(tape, sample, rows)),
        call_(call(seeds_)),
        in_(network.stack(), call_, tape, *packed_,
            Shard<T>{.begin = sample, .end = sample + 1, .shared = true}),
        steps_(in_) {}

  int64_t rows() const { return rows_; }
  int64_t steps() const { return in_.own.steps(); }  // of the sequence
  int64_t size() const { return in_.R + cells(); }   // of a state
  // without rounding to bfloat16
  const Kernels<T>& kernels() const { return kernels_of<T>(*packed_->key.table); }

  // Copy rows from and to a matrix [rows, size] whose rows are `row` apart.
  void put(const T* matrix, int64_t row) {
    for (int64_t n = 0; n < rows_; ++n) {
      std::memcpy(steps_.dh(walk_, n), matrix + n * row, size_t(in_.R) * sizeof(T));
      if (cells())
        std::memcpy(steps_.dc(walk_, n), matrix + n * row + in_.R, size_t(cells()) * sizeof(T));
    }
  }
  void get(T* matrix, int64_t row) {
    for (int64_t n = 0; n < rows_; ++n) {
      std::memcpy(matrix + n * row, steps_.dh(walk_, n), size_t(in_.R) * sizeof(T));
      if (cells())
        std::memcpy(matrix + n * row + in_.R, steps_.dc(walk_, n), size_t(cells()) * sizeof(T));
    }
  }

  // Returns whether the largest absolute value of each row is between `least` and `most`.
  bool within(double least, double most) {
    for (int64_t n = 0; n < rows_; ++n) {
      double largest = kernels().max_abs(steps_.dh(walk_, n), in_.R);
      if (cells()) largest = std::max(largest, kernels().max_abs(steps_.dc(walk_, n), cells()));
      if (!(largest >= least && largest <= most)) return false;
    }
    return true;
  }

  // Propagates the rows backward through step s of the walk.
  void step(int64_t s) {
    const Block<T> block{&in_.own, &in_.all, s, s + 1, 0, nullptr, 0, 0, &in_.all, in_.shard};
    typename BackwardSteps<T>::Common common = steps_.begin(walk_);
    steps_.run(common, walk_, block, s, 0, rows_, nullptr, nullptr, nullptr, nullptr);
    steps_.finish(walk_, s, 0, rows_, [](int64_t, const T*, const T*) {});
  }

 private:
  int64_t cells() const { return in_.shape.has_c ? in_.H : 0; }
  static Seeds<T> seeds(const Tape<T>& tape, int64_t sample, int64_t rows) {
    Seeds<T> seeds;
    seeds.sample = sample;
    seeds.times.assign(size_t(rows), tape.order().length(sample) - 1);
    return seeds;
  }
  static BackwardCall<T> call(const Seeds<T>& seeds) {
    BackwardCall<T> call{};
    call.seeds = &seeds;
    return call;
  }

  const std::shared_ptr<const Packed<T>> packed_;
  const int64_t walk_, rows_;
  const Seeds<T> seeds_;
  const BackwardCall<T> call_;
  const BackwardContext<T> in_;
  BackwardSteps<T> steps_;
};

}  // namespace bptt
