// stack.h: a stack of recurrent layers, and its walks through time.
//
// Time is walked in blocks of about 256 rows (steps x batch), so that the data of a block stay in
// cache. Within a block, layer by layer: one product computes the input part of the pre-activations
// for all steps, then the recurrent part follows step by step. The backward pass does the same from
// the end: step by step the pre-activation gradients dz, then the block's weight gradients and dx
// (again products). With two directions, each layer needs the other direction's end, so they cannot
// share blocks: each direction walks through all blocks before the next layer begins.
// Forward, threads share the rows of a block and of the batch. Backward, each takes whole shards of
// the batch or, if there is only one shard, a share of its rows. Every sum is computed by one
// thread in one order, and blocks and shards depend on sizes only, so bits do not depend on the
// number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/pool.h"
#include "kernels/kernels.h"
#include "sequence/batch.h"
#include "sequence/calls.h"
#include "sequence/packed.h"
#include "sequence/tape.h"

namespace bptt {

// Offsets of a direction's tensors in the flat vector; -1 if there is no such tensor.
struct LayerOffsets {
  int64_t weight_ih = -1, weight_hh = -1, bias_ih = -1, bias_hh = -1;
  int64_t weight_hr = -1, peephole = -1, ln_ih = -1, ln_hh = -1, ln_c = -1, bias_ln_c = -1;
  int64_t h0 = -1, c0 = -1;
};

template <class T>
class Stack {
 public:
  Stack(const StackConfig& config, std::vector<LayerOffsets> offsets)
      : config_(config), geometry_(config), offsets_(std::move(offsets)) {}

  const StackConfig& config() const { return config_; }
  const Geometry<T>& geometry() const { return geometry_; }
  const std::vector<LayerOffsets>& offsets() const { return offsets_; }  // by walk
  bool reads_input(size_t walk) const { return int64_t(walk) < config_.directions(); }
  int64_t input_size(size_t walk) const {
    return reads_input(walk) ? config_.input : config_.features();
  }
  // Returns the number of threads worth using for a pass over `rows` rows at a time.
  int64_t team_size(int64_t rows) const;

  const std::shared_ptr<Shelf>& shelf() const { return shelf_; }  // memory of its tapes
  PackCache<Packed<T>>& forward_weights() const { return forward_weights_; }
  PackCache<Packed<T>>& backward_weights() const { return backward_weights_; }
  PackCache<Packed<T>>& narrow_weights() const { return narrow_weights_; }  // of streams

 private:
  StackConfig config_;
  Geometry<T> geometry_;
  std::vector<LayerOffsets> offsets_;
  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
  mutable PackCache<Packed<T>> forward_weights_, backward_weights_, narrow_weights_;
};

// Returns a tape for all of T (remember), or for as few steps at a time as possible.
template <class T>
std::unique_ptr<Tape<T>> new_tape(const Stack<T>& stack, const Sequence<T>& sequence, bool table,
                                  bool remember);

// Throw std::bad_alloc, or Error if the caller's cancel callback stops the call.
template <class T>
void walk_forward(const Stack<T>& stack, const ForwardCall<T>& call, Tape<T>& tape);
template <class T>
void walk_backward(const Stack<T>& stack, const BackwardCall<T>& call, const Tape<T>& tape);

// Returns the number of parts into which a backward pass divides a batch.
int64_t shard_count(int64_t batch, int64_t parameters);

// Returns whether a team shares the units of each step's product with W_hh instead of the
// sequences. It does if there are too few sequences for equal shares and a step is long enough to
// pay for a barrier or two. (Operands in pairs have only one place per sequence.)
template <class T>
bool shares_units(const Team& team, const StackConfig& config, const Kernels<T>& kernels,
                  int64_t batch) {
  constexpr double kWorth = double(kUndivided / 2);  // multiply-adds of a member
  const double step = double(batch) * double(config.hidden) * double(config.hidden) *
                      double(config.shape().product_gates);
  return team.size > 1 && batch < 2 * team.size && !config.extended() && !kernels.pairs &&
         panel_count(kernels, config.hidden) >= team.size && step >= kWorth * team.size;
}

}  // namespace bptt
