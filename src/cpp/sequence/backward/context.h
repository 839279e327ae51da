// context.h: the context shared by the parts of a backward walk: its shard and the positions of
// rows.
#pragma once

#include <algorithm>
#include <vector>

#include "sequence/forward/step.h"
#include "sequence/gather.h"
#include "sequence/stack.h"

namespace bptt {

// Sequences n are counted within the shard; `own` numbers the shard's rows, `all` the tape's.
template <class T>
struct BackwardContext {
  BackwardContext(const Stack<T>& stack, const BackwardCall<T>& call_, const Tape<T>& tape_,
                  const Packed<T>& packed_, const Shard<T>& shard_)
      : config(stack.config()),
        geometry(stack.geometry()),
        offsets(stack.offsets()),
        call(call_),
        tape(tape_),
        packed(packed_),
        shard(shard_),
        kernels(kernels_of<T>(*packed_.key.table, config.compute)),
        stepper(config, geometry, kernels),
        gather(config, geometry, kernels, tape_),
        shape(geometry.shape),
        all(tape_.order()),
        own(rows_of(call_, tape_, shard_)),
        count(own.batch()),
        H(config.hidden),
        R(config.state()),
        D(config.directions()),
        block_rows(own.block_rows()),
        operands(kernels, block_rows, shape.gates * H),
        joined(all.uniform() && !shard_.shared && count == all.batch()),
        cuts(tape_.cuts()),
        extended(config.extended()) {}

  const StackConfig& config;
  const Geometry<T>& geometry;
  const std::vector<LayerOffsets>& offsets;
  const BackwardCall<T>& call;
  const Tape<T>& tape;
  const Packed<T>& packed;
  const Shard<T> shard;
  const Kernels<T>& kernels;
  const Stepper<T> stepper;
  const Gather<T> gather;
  const CellShape& shape;
  const Order& all;
  const Order own;
  const int64_t count, H, R, D;
  const int64_t block_rows;  // of the largest block
  const OperandRows<T> operands;
  const bool joined;  // the shard's rows of all steps are contiguous
  const bool cuts, extended;

  const T* after(const T* states, int64_t t, int64_t n, int64_t row) const {
    return states + (all.batch() + all.first(t) + shard.place(n)) * row;
  }
  const T* before(const T* states, int64_t t, int64_t n, int64_t row) const {
    return t == 0 ? states + shard.place(n) * row : after(states, t - 1, n, row);
  }
  const T* planes(const typename Tape<T>::Layer& layer, int64_t t, int64_t n) const {
    return layer.planes + (all.first(t) + shard.place(n)) * geometry.planes_row;
  }
  int64_t tape_row(int64_t t, int64_t n) const { return all.first(t) + shard.place(n); }
  int64_t sequence(int64_t n) const { return all.sequence(shard.place(n)); }
  int64_t input_size(int64_t walk) const { return walk < D ? config.input : config.features(); }
  int64_t input_row(int64_t walk) const {
    return walk < D ? geometry.input_row : geometry.features_row;
  }
  // Seeds: returns the index of the loss of row n.
  size_t seed(int64_t n) const { return size_t(own.sequence(n)); }
  bool truncated() const { return call.settings.k1 > 0; }
  // The stride between rows of an array that a walk only reads.
  int64_t stride(int64_t row) const { return shard.shared ? 0 : row; }

 private:
  // Seeds of one direction enter at their own steps, like sequences of that length. With two
  // directions, each direction walks them through all steps.
  static Order rows_of(const BackwardCall<T>& call, const Tape<T>& tape, const Shard<T>& shard) {
    if (!shard.shared) return tape.order().part(shard.begin, shard.end);
    const std::vector<int64_t>& times = call.seeds->times;
    const int64_t rows = int64_t(times.size());
    if (tape.config().directions() == 2) return {tape.order().length(shard.begin), rows, nullptr};
    std::vector<int64_t> lengths;
    for (const int64_t t : times) lengths.push_back(t + 1);
    return {*std::max_element(lengths.begin(), lengths.end()), rows, lengths.data()};
  }
};

}  // namespace bptt
