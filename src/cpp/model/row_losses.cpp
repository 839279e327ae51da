// row_losses.cpp: target weights, the loss of each target row, and their sum.
#include "model/row_losses.h"

#include <algorithm>

namespace bptt {
namespace {

template <class T>
double own_weight(const Target<T>& target, int64_t t, int64_t n) {
  return target.weights ? double(target.weights[t * target.weights_t + n * target.weights_n]) : 1;
}

}  // namespace

template <class T>
double mean_weight(const ModelConfig& config, const Target<T>& target, int64_t t, int64_t n) {
  const double weight = own_weight(target, t, n);
  if (!kind_of(config.loss).classes) return weight;
  const int64_t chosen = target.classes[t * target.t + n * target.n];
  return chosen == config.ignore_index ? 0 : weight * class_weight(config.weights(), chosen);
}

template <class T>
void weigh(const ModelConfig& config, Target<T>& target) {
  target.total_weight = 0;
  target.all = true;
  for (int64_t t = 0; t < target.steps; ++t) {
    for (int64_t n = 0; n < target.batch; ++n) {
      if (!target.exists(t, n)) continue;
      const double weight = mean_weight(config, target, t, n);
      target.total_weight += weight;
      target.all = target.all && weight > 0;
    }
  }
}

template <class T>
RowLosses<T>::RowLosses(const ModelConfig& config, const Target<T>& target)
    : kernels_(kernels_of<T>(*active_kernels())),
      config_(config),
      kind_(kind_of(config.loss)),
      target_(target),
      outputs_(config.network.output),
      divisor_(config.mean ? kind_.divisor(target.total_weight, outputs_) : 1) {}

template <class T>
TargetRows RowLosses<T>::rows(const Order& order) {
  const bool last_only = config_.network.last_only;
  const TargetRows rows =
      !target_.all
          ? target_rows(order, last_only,
                        [&](int64_t t, int64_t n) { return is_target(last_only ? 0 : t, n); })
          : target_rows(order, last_only, nullptr);
  expect(rows.count);
  return rows;
}

template <class T>
bool RowLosses<T>::is_target(int64_t t, int64_t n) const {
  if (own_weight(target_, t, n) == 0) return false;
  if (!kind_.classes) return true;
  const int64_t chosen = target_.classes[t * target_.t + n * target_.n];
  if (chosen == config_.ignore_index) return false;
  return config_.label_smoothing > 0 || class_weight(config_.weights(), chosen) > 0;
}

template <class T>
void RowLosses<T>::row(int64_t index, int64_t time, int64_t n, T* out) {
  const int64_t t = config_.network.last_only ? 0 : time;
  if (!is_target(t, n)) {
    std::fill_n(out, outputs_, T(0));
    losses_[index] = 0;
    return;
  }
  const double factor = own_weight(target_, t, n) / divisor_;
  const int64_t at = t * target_.t + n * target_.n;
  const LossRow<T> given = {.kernels = kernels_,
                            .options = config_,
                            .class_weights = config_.weights(),
                            .out = out,
                            .outputs = outputs_,
                            .chosen = kind_.classes ? target_.classes[at] : 0,
                            .values = kind_.classes ? nullptr : target_.values + at,
                            .factor = factor};
  losses_[index] = factor * kind_.template of_row<T>()(given);
}

template <class T>
double RowLosses<T>::total() const {
  double sum = 0;
  for (int64_t i = 0; i < losses_.count(); ++i) sum += losses_[i];
  return sum;
}

#define BPTT_INSTANTIATE(T)                                                            \
  template double mean_weight(const ModelConfig&, const Target<T>&, int64_t, int64_t); \
  template void weigh(const ModelConfig&, Target<T>&);                                 \
  template class RowLosses<T>;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
