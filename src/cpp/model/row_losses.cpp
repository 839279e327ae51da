#include "model/row_losses.h"

#include <algorithm>

#include "model/loss.h"

namespace bptt {
namespace {

template <class T>
double own_weight(const Target<T>& target, int64_t t, int64_t n) {
  return target.weights ? double(target.weights[t * target.weights_t + n * target.weights_n]) : 1;
}

double class_weight(const ModelConfig& config, int64_t index) {
  return config.class_weights.empty() ? 1 : config.class_weights[size_t(index)];
}

}  // namespace

template <class T>
double mean_weight(const ModelConfig& config, const Target<T>& target, int64_t t, int64_t n) {
  const double weight = own_weight(target, t, n);
  if (config.loss != Loss::cross_entropy) return weight;
  const int64_t chosen = target.classes[t * target.t + n * target.n];
  return chosen == config.ignore_index ? 0 : weight * class_weight(config, chosen);
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
      target_(target),
      outputs_(config.network.output),
      divisor_(!config.mean                         ? 1
               : config.loss == Loss::cross_entropy ? target.total_weight
                                                    : target.total_weight * double(outputs_)) {}

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
  if (config_.loss != Loss::cross_entropy) return true;
  const int64_t chosen = target_.classes[t * target_.t + n * target_.n];
  if (chosen == config_.ignore_index) return false;
  return config_.label_smoothing > 0 || class_weight(config_, chosen) > 0;
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
  losses_[index] = factor * unscaled(t, n, factor, out);
}

// The loss of a row without `factor`; out becomes its gradient times `factor`.
template <class T>
double RowLosses<T>::unscaled(int64_t t, int64_t n, double factor, T* out) const {
  const int64_t at = t * target_.t + n * target_.n;
  const double* weights = config_.class_weights.empty() ? nullptr : config_.class_weights.data();
  if (config_.loss == Loss::mse)
    return squared_error_row(out, target_.values + at, outputs_, factor, weights);
  if (config_.loss == Loss::binary_cross_entropy)
    return binary_cross_entropy_row(out, target_.values + at, outputs_, factor, weights);
  const int64_t chosen = target_.classes[at];
  if (config_.label_smoothing > 0) {
    return smoothed_cross_entropy_row(kernels_, out, outputs_, chosen, factor,
                                      config_.label_smoothing, weights);
  }
  const double weight = class_weight(config_, chosen);
  return weight * cross_entropy_row(kernels_, out, outputs_, chosen, factor * weight);
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
