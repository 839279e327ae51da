// input.h: the context shared by the parts of a forward walk, and the input part of its steps.
#pragma once

#include <algorithm>
#include <cstring>

#include "sequence/forward/step.h"
#include "sequence/gather.h"
#include "sequence/noise.h"
#include "sequence/stack.h"

namespace bptt {

template <class T>
struct ForwardContext {
  ForwardContext(const Stack<T>& stack, const ForwardCall<T>& call_, Tape<T>& tape_,
                 const Packed<T>& packed_)
      : config(stack.config()),
        geometry(stack.geometry()),
        call(call_),
        sequence(call_.sequence),
        tape(tape_),
        order(tape_.order()),
        packed(packed_),
        kernels(kernels_of<T>(*packed_.key.table, config.compute)),
        stepper(config, geometry, kernels),
        gather(config, geometry, kernels, tape_) {}

  const StackConfig& config;
  const Geometry<T>& geometry;
  const ForwardCall<T>& call;
  const Sequence<T>& sequence;
  Tape<T>& tape;
  const Order& order;
  const Packed<T>& packed;
  const Kernels<T>& kernels;
  const Stepper<T> stepper;
  const Gather<T> gather;

  // Positions of rows. If the tape is not whole, all blocks use the same rows in turn.
  int64_t at(const Block<T>& block, int64_t t) const {
    return tape.whole() ? order.first(t) : block.row(t);
  }
  T* planes(const typename Tape<T>::Layer& layer, const Block<T>& block, int64_t t,
            int64_t n) const {
    return layer.planes + (at(block, t) + n) * geometry.planes_row;
  }
  T* after(T* states, const Block<T>& block, int64_t t, int64_t n, int64_t row) const {
    return states + (order.batch() + at(block, t) + n) * row;
  }
  T* after(T* h, const Block<T>& block, int64_t t, int64_t n) const {
    return after(h, block, t, n, geometry.state_row);
  }
  T* before(T* states, const Block<T>& block, int64_t t, int64_t n, int64_t row) const {
    const bool first = tape.whole() ? t == 0 : t == block.first;
    return first ? states + n * row : after(states, block, t - 1, n, row);
  }
};

// The number of sequences from which a step's tiles are high enough to multiply its input as well;
// the input part then never leaves the first-level cache. For fewer sequences, the rows of a whole
// block make better tiles. The sums are the same.
constexpr int64_t kFusedBatch = 8;

template <class T>
class ForwardInput {
 public:
  explicit ForwardInput(const ForwardContext<T>& context)
      : in(context),
        operands_(in.kernels, in.order.block_rows(), in.config.hidden, widest_row()),
        noise_(in.config) {
    if (in.gather.copies_input())
      scratch_ = Buffer<T>(checked_count(in.order.block_rows(), widest_row()));
  }

  // Scratch of products, from this row on.
  T* operands(int64_t row) const { return operands_.at(row); }
  T* scratch() const { return scratch_.data(); }  // [rows of a block, I or D*R]
  int64_t token(int64_t t, int64_t n) const {
    return in.sequence
        .tokens[t * in.sequence.tokens_t + in.order.sequence(n) * in.sequence.tokens_n];
  }

  // Returns the room for a sequence's assembled input, at the same place in every layer.
  T* scratch_of(int64_t n) const {
    return scratch_.count() ? scratch_.data() + n * widest_row() : nullptr;
  }

  // The input of a walk: rows of a block from r0 on. Assembled input is at `own` or, if that is
  // null, at the block's rows.
  struct Rows {
    const T* rows;
    int64_t row, depth;
  };
  Rows rows_of(int64_t walk, const Block<T>& block, int64_t r0, T* own) const {
    const int64_t l = walk / in.config.directions(), d = walk % in.config.directions();
    const int64_t row = l == 0 ? in.geometry.input_row : in.geometry.features_row;
    T* const copy = own ? own : scratch_.data() + r0 * row;
    if (l == 0) {
      // Direction 0 reads in the caller's time, and its copy is the tape's.
      const int64_t at = in.at(block, block.first) + r0;
      return {d == 0 ? in.tape.x() + at * row : copy, row, in.config.input};
    }
    if (in.gather.copies_input()) return {copy, row, in.config.features()};
    return {in.after(in.tape.layer(walk - 1).h, block, block.first, 0) + r0 * in.geometry.state_row,
            in.geometry.state_row, in.config.features()};
  }

  // Assembles rows [r0, r1) of the input if they are not already in this layout.
  void put_together(int64_t walk, const Block<T>& block, const Rows& input, int64_t r0,
                    int64_t r1) const {
    const int64_t l = walk / in.config.directions(), d = walk % in.config.directions();
    T* copy = const_cast<T*>(input.rows);
    if (l > 0) {
      if (in.gather.copies_input()) in.gather.inputs(l, d, block, r0, r1, copy);
      return;
    }
    for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
      const int64_t t = in.order.time(d, s, n);
      const T* from = in.sequence.tokens ? in.call.table + token(t, n) * in.config.input
                                         : in.sequence.x + t * in.sequence.x_t +
                                               in.order.sequence(n) * in.sequence.x_n;
      std::memcpy(copy + (r - r0) * input.row, from, size_t(in.config.input) * sizeof(T));
    });
  }

  bool one_hot(int64_t walk) const {
    return walk < in.config.directions() && in.packed.key.one_hot;
  }

  // Returns whether each step multiplies its own input, instead of one product per block.
  bool fuses(int64_t walk) const {
    return !in.stepper.extended() && in.order.batch() >= kFusedBatch && !one_hot(walk);
  }

  // Prepares the input of rows [r0, r1) of the block, assembled at `own`. Unless the steps multiply
  // it themselves, this also computes W_ih x_t + bias, in the
  // place from which the step reads it.
  Rows make(int64_t walk, const Block<T>& block, int64_t r0, int64_t r1, T* own,
            int64_t operands_row) const {
    const Timed timed(Phase::input);
    const Rows input = one_hot(walk) ? Rows{} : rows_of(walk, block, r0, own);
    const int64_t d = walk % in.config.directions();
    const CellShape& shape = in.stepper.shape();
    const auto& layer = in.tape.layer(walk);
    const auto& weights = in.packed.layers[size_t(walk)];
    const int64_t out_row = shape.planes ? in.geometry.planes_row : in.geometry.state_row;
    T* out = (shape.planes ? in.planes(layer, block, block.first, 0)
                           : in.after(layer.h, block, block.first, 0)) +
             r0 * out_row;
    if (one_hot(walk)) {
      const int64_t row = shape.gates * in.geometry.plane;
      const size_t bytes = size_t(shape.planes ? row : in.config.hidden) * sizeof(T);
      for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
        const T* from = weights.token_rows.data() + token(in.order.time(d, s, n), n) * row;
        std::memcpy(out + (r - r0) * out_row, from, bytes);
      });
      if (in.config.layer_norm) in.stepper.normalise_input(weights, out, r1 - r0);
    } else {
      put_together(walk, block, input, r0, r1);
      if (fuses(walk)) return input;
      in.stepper.input_part(weights, input.rows, input.row, input.depth, out, out_row, r1 - r0,
                            operands_.at(operands_row));
    }
    if (noise_.on() && in.tape.noisy()) {
      const Masks masks = in.tape.masks(MaskKind::noise, walk);
      for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
        noise_.add(masks, out + (r - r0) * out_row, in.order.time(d, s, n), in.order.sequence(n));
      });
    }
    return input;
  }

 private:
  int64_t widest_row() const { return std::max(in.geometry.input_row, in.geometry.features_row); }

  const ForwardContext<T>& in;
  const OperandRows<T> operands_;  // of a block
  const Noise noise_;
  mutable Buffer<T> scratch_;
};

}  // namespace bptt
