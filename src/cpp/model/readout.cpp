// readout.cpp: packing of the readout's weights, and its passes over blocks of time.
#include "model/readout.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/profile.h"
#include "sequence/products.h"

namespace bptt {
namespace {

// Calls body(i, row, t, n, index) for the targets i = 0, 1, ... of a block, with the row in the
// block, the step, the sequence within the shard, and the number among all targets. Returns the
// number of targets in the block.
template <class T, class Body>
int64_t each_target(const Block<T>& block, const TargetRows& targets, const Body& body) {
  int64_t count = 0;
  for_rows(block, 0, block.rows(), [&](int64_t r, int64_t t, int64_t n) {
    const int64_t index = targets.of(block.all->first(t) + block.shard.begin + n);
    if (index >= 0 && t >= block.counted) body(count++, r, t, n, index);
  });
  return count;
}

// Returns whether every row of the block is a target.
template <class T>
bool all_targets(const Block<T>& block, const TargetRows& targets) {
  return targets.index.empty() && block.counted <= block.first;
}
template <class T>
int64_t target_count(const Block<T>& block, const TargetRows& targets) {
  if (all_targets(block, targets)) return block.rows();
  return each_target(block, targets, [](int64_t, int64_t, int64_t, int64_t, int64_t) {});
}

}  // namespace

TargetRows target_rows(const Order& order, bool last_only,
                       const std::function<bool(int64_t t, int64_t n)>& wanted) {
  TargetRows targets;
  targets.count = order.rows();
  if (!last_only && !wanted) return targets;
  targets.index.assign(size_t(order.rows()), -1);
  targets.count = 0;
  for (int64_t t = 0; t < order.steps(); ++t) {
    for (int64_t n = 0; n < order.live(t); ++n) {
      if (last_only && t != order.length(n) - 1) continue;
      if (!wanted || wanted(t, order.sequence(n)))
        targets.index[size_t(order.first(t) + n)] = targets.count++;
    }
  }
  // all rows: no look-up or copy is needed
  if (targets.count == order.rows()) targets.index.clear();
  return targets;
}

template <class T>
std::shared_ptr<const PackedReadout<T>> Network<T>::packed_readout(Way way, Weights weights) const {
  const bool back = way == Way::back;
  const KernelTable* table = active_kernels();
  PackCache<PackedReadout<T>>& cache = weights != Weights::as_computed ? readout_narrow_
                                       : back                          ? readout_back_
                                                                       : readout_forth_;
  return cache.get({params_.version(), table, false, weights}, [&](PackedReadout<T>& packed) {
    const Kernels<T>& kernels = kernels_of<T>(*table, config_.compute, weights);
    const int64_t H = config_.features(), O = config_.output;
    const int64_t depth = back ? O : H, units = back ? H : O;
    packed.weight.reserve(packed_size(kernels, depth, units, 1));
    run_team(stack_.team_size(kBlockRows), [&](const Team& team) {
      const T* weight = params_.data(*readout_weight_);
      T* const to = packed.weight.data();
      pack_share(team, kernels,
                 back ? packing(kernels, {weight, H}, depth, units, to)
                      : transposed_packing(kernels, weight, depth, units, 1, to));
    });
    if (back) return;
    packed.bias.reserve(padded_plane<T>(O));
    std::memcpy(packed.bias.data(), params_.data(*readout_bias_), size_t(O) * sizeof(T));
    std::fill(packed.bias.data() + O, packed.bias.data() + padded_plane<T>(O), T(0));
  });
}

template <class T>
ReadoutForwardPass<T>::ReadoutForwardPass(const Network<T>& network,
                                          const ReadoutForward<T>& readout, const Tape<T>& tape)
    : network_(network),
      readout_(readout),
      packed_(network.packed_readout(Way::forth)),
      kernels_(kernels_of<T>(*packed_->key.table, network.config().compute)),
      operands_(kernels_, tape.order().block_rows(), network.config().features()) {
  const int64_t rows = tape.order().block_rows();
  if (!readout.keep) out_ = Buffer<T>(checked_count(rows, network.output_row()));
  if (!readout.targets->index.empty())
    gathered_ = Buffer<T>(checked_count(rows, network.stack().geometry().features_row));
}

template <class T>
void ReadoutForwardPass<T>::block(const Team& team, const Block<T>& block) {
  const Timed timed(Phase::readout);
  const TargetRows& targets = *readout_.targets;
  const int64_t count = target_count(block, targets), r0 = team.begin(count), r1 = team.end(count);
  if (r0 == r1) return;
  const NetworkConfig& config = network_.config();
  const int64_t row = network_.output_row(), features = config.features();
  const int64_t gathered_row = network_.stack().geometry().features_row;
  const bool all = all_targets(block, targets);
  int64_t first = all ? block.all->first(block.first) : -1;  // index of the block's first target
  if (!all) {
    each_target(block, targets, [&](int64_t i, int64_t, int64_t t, int64_t n, int64_t index) {
      if (i == 0) first = index;
      if (i < r0 || i >= r1) return;
      std::memcpy(gathered_.data() + i * gathered_row, block.top_rows(t) + n * block.top_row_length,
                  size_t(features) * sizeof(T));
    });
  }
  T* out = readout_.keep ? readout_.keep + first * row : out_.data();
  const int64_t read_row = all ? block.top_row_length : gathered_row;
  const T* read = (all ? block.top : gathered_.data()) + r0 * read_row;
  ProductArgs<T> p = product_args(kernels_, r1 - r0, features, config.output, {read, read_row},
                                  packed_->weight.data(), {out + r0 * row, row}, operands_.at(r0));
  p.bias = packed_->bias.data();
  kernels_.product(p);
  each_target(block, targets, [&](int64_t i, int64_t, int64_t t, int64_t n, int64_t index) {
    if (i >= r0 && i < r1) readout_.each_row(index, t, block.order->sequence(n), out + i * row);
  });
}

template <class T>
ReadoutBackwardPass<T>::ReadoutBackwardPass(const Network<T>& network,
                                            const ReadoutBackward<T>& readout,
                                            std::shared_ptr<const PackedReadout<T>> packed,
                                            const Tape<T>& tape, bool gradients, int64_t shards)
    : network_(network),
      readout_(readout),
      packed_(std::move(packed)),
      kernels_(kernels_of<T>(*packed_->key.table, network.config().compute)) {
  const int64_t features = network.config().features();
  const int64_t features_row = network.stack().geometry().features_row;
  for (int64_t i = 0; i < shards; ++i) {
    const int64_t begin = tape.order().boundary(i, shards);
    const int64_t count = tape.order().boundary(i + 1, shards) - begin;
    const int64_t rows = std::max(count, kBlockRows);
    Scratch scratch;
    scratch.dout = Buffer<T>(checked_count(rows, network.output_row()));
    scratch.operands = OperandRows<T>(kernels_, rows, network.config().output);
    scratch.rows = Buffer<T>(checked_count(rows, features_row));
    if (gradients) scratch.panels = Buffer<T>(packed_size(kernels_, rows, features, 1));
    scratch_.push_back(std::move(scratch));
  }
}

template <class T>
bool ReadoutBackwardPass<T>::block(const Team& team, const Block<T>& block, T* dy) {
  const Timed timed(Phase::readout);
  const TargetRows& targets = *readout_.targets;
  const int64_t count = target_count(block, targets);
  if (count == 0) return false;
  Scratch& scratch = scratch_[size_t(block.shard.index)];
  const NetworkConfig& config = network_.config();
  const int64_t features = config.features(), O = config.output, row = network_.output_row();
  const int64_t dy_row = network_.stack().geometry().features_row;
  const int64_t r0 = team.begin(count), r1 = team.end(count);
  const bool all = all_targets(block, targets);
  T* const dout = scratch.dout.data();
  const auto own = [r0, r1](int64_t i) { return i >= r0 && i < r1; };
  each_target(block, targets, [&](int64_t i, int64_t, int64_t t, int64_t n, int64_t index) {
    if (!own(i)) return;
    if (readout_.kept) {
      std::memcpy(dout + i * row, readout_.kept + index * row, size_t(O) * sizeof(T));
    } else {
      readout_.each_row(index, t, block.order->sequence(n), dout + i * row);
    }
  });
  T* const product = all ? dy : scratch.rows.data();
  if (r0 < r1) {
    kernels_.product(product_args<T>(kernels_, r1 - r0, O, features, {dout + r0 * row, row},
                                     packed_->weight.data(), {product + r0 * dy_row, dy_row},
                                     scratch.operands.at(r0)));
  }
  if (!all) {
    // Rows without a target get zeros; the other rows are copied below.
    for (int64_t r = team.begin(block.rows()); r < team.end(block.rows()); ++r)
      std::fill_n(dy + r * dy_row, features, T(0));
    team.wait();
    each_target(block, targets, [&](int64_t i, int64_t r, int64_t t, int64_t n, int64_t) {
      if (!own(i)) return;
      std::memcpy(dy + r * dy_row, product + i * dy_row, size_t(features) * sizeof(T));
      // Reuse the row for the state that the readout read.
      std::memcpy(product + i * dy_row, block.top_rows(t) + n * block.top_row_length,
                  size_t(features) * sizeof(T));
    });
  }
  T* const gradients = block.shard.gradients;
  if (!gradients) return true;
  if (all) {
    const bool joined = block.top_order == block.order ||
                        (block.all->uniform() && block.order->batch() == block.all->batch());
    pack_rows(
        kernels_, team, block, joined, [&](int64_t t) { return block.top_rows(t); },
        block.top_row_length, features, scratch.panels.data());
  } else {
    team.wait();
    pack_share(team, kernels_,
               packing<T>(kernels_, {product, dy_row}, count, features, scratch.panels.data()));
  }
  team.wait();
  const int64_t m0 = team.begin(O), m1 = team.end(O);
  kernels_.outer(
      OuterArgs<T>{dout + m0, row, count, scratch.panels.data(), 0, 0, 0, m1 - m0, features,
                   gradients + network_.readout_weight()->offset + m0 * features, features});
  kernels_.add_column_sums(dout + m0, row, count, m1 - m0,
                           gradients + network_.readout_bias()->offset + m0);
  return true;
}

#define BPTT_READOUT_OF(T)                                                                         \
  template std::shared_ptr<const PackedReadout<T>> Network<T>::packed_readout(Way, Weights) const; \
  template class ReadoutForwardPass<T>;                                                            \
  template class ReadoutBackwardPass<T>;
BPTT_READOUT_OF(float)
BPTT_READOUT_OF(double)
#undef BPTT_READOUT_OF

}  // namespace bptt
