// row_losses.h: the loss of a batch, target by target: which outputs are targets, their weights,
// losses and gradients, and the sum of the losses in an order that does not depend on the
// threads.
#pragma once

#include <cstdint>

#include "model/loss.h"
#include "model/model.h"

namespace bptt {

// Returns the weight of target (t, n) in a mean: its own weight, times the weight of its class for
// losses of classes; 0 if the class is ignored.
template <class T>
double mean_weight(const ModelConfig& config, const Target<T>& target, int64_t t, int64_t n);

// Sets target.total_weight, the sum of these weights over all targets, step by step
// (LossKind::divisor computes the divisor of a mean from it), and target.all.
template <class T>
void weigh(const ModelConfig& config, Target<T>& target);

template <class T>
class RowLosses {
 public:
  // Requires target.total_weight.
  RowLosses(const ModelConfig& config, const Target<T>& target);

  // Before row(), call one of the next two. rows() returns the rows of the order that are targets;
  // row() must follow for each of them.
  TargetRows rows(const Order& order);
  // The caller will call row() for `count` rows of its choice.
  void expect(int64_t count) { losses_ = Buffer<double>::zeros(count); }

  // Returns whether (t, n) of the caller's arrays adds to the loss: it has a weight and is not
  // ignored.
  bool is_target(int64_t t, int64_t n) const;

  // Replaces out [O] of target (t, n) with the gradient of the batch's loss with respect to it, or
  // with 0 if it is no target. Stores its loss at position `index` of the sum. Several threads may
  // call it for different rows.
  void row(int64_t index, int64_t time, int64_t n, T* out);

  // Returns the batch's loss. Call it after all rows.
  double total() const;

 private:
  const Kernels<T>& kernels_;
  const ModelConfig& config_;
  const LossKind& kind_;
  const Target<T>& target_;
  int64_t outputs_;
  double divisor_;
  Buffer<double> losses_;
};

}  // namespace bptt
