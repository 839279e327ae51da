// row_losses.h: the loss of a batch, target by target: which outputs are targets, what each counts,
// its loss and gradient, and their sum in an order that no thread changes.
#pragma once

#include <cstdint>

#include "model/loss.h"
#include "model/model.h"

namespace bptt {

// What the target (t, n) counts in a mean: its weight, times that of its class if it is one; 0 where
// its class is ignored.
template <class T>
double mean_weight(const ModelConfig& config, const Target<T>& target, int64_t t, int64_t n);

// Sets target.total_weight, the sum of these over all targets, step by step: what a mean is divided by
// (LossKind::divisor); and target.all.
template <class T>
void weigh(const ModelConfig& config, Target<T>& target);

template <class T>
class RowLosses {
 public:
  // target.total_weight is set.
  RowLosses(const ModelConfig& config, const Target<T>& target);

  // The rows of the order that are targets; row() is going to be called for these, or for `count`
  // rows of the caller's own choice.
  TargetRows rows(const Order& order);
  void expect(int64_t count) { losses_ = Buffer<double>::zeros(count); }

  // Whether (t, n) of the caller's arrays adds to the loss: not without weight or if ignored.
  bool is_target(int64_t t, int64_t n) const;

  // out [O] of target (t, n) becomes the gradient of the batch's loss with respect to it, 0 if it is
  // no target. Its loss is the `index`-th of the sum. Rows may come from several threads.
  void row(int64_t index, int64_t time, int64_t n, T* out);

  // The batch's loss, after all rows.
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
