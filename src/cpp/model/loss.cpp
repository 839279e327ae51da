// loss.cpp: the formulas of the losses and their derivatives.
#include "model/loss.h"

#include <algorithm>
#include <cmath>

namespace bptt {
namespace {

// Softmax cross-entropy -c[y] log p[y], p = softmax(out), of the class y.
template <class T>
double plain_cross_entropy(const LossRow<T>& row) {
  const double weight = class_weight(row.class_weights, row.chosen);
  double largest = 0, sum = 0, chosen = 0;
  row.kernels.softmax_row(row.out, row.outputs, row.chosen, row.factor * weight, &largest, &sum,
                          &chosen);
  return weight * (std::log(sum) + (largest - chosen));
}

// The same with label smoothing e (Szegedy et al. 2016), combined with class weights as in PyTorch:
// -(1 - e) c[y] log p[y] - e/n sum_k c[k] log p[k].
//
// dL/dout = (own + share W) p - own onehot(y) - share c with W = sum_k c[k]. It is computed as
// (own + share W) (p - onehot(y)), which the kernel returns, plus share (W onehot(y) - c).
template <class T>
double smoothed_cross_entropy(const LossRow<T>& row) {
  T* const out = row.out;
  const int64_t n = row.outputs, y = row.chosen;
  const double smoothing = row.options.label_smoothing;
  const double own = (1 - smoothing) * class_weight(row.class_weights, y),
               share = smoothing / double(n);
  const double top = double(*std::max_element(out, out + n));
  double weight_sum = 0, below_top = 0;
  for (int64_t i = 0; i < n; ++i) {
    weight_sum += class_weight(row.class_weights, i);
    below_top += class_weight(row.class_weights, i) * (top - double(out[i]));
  }
  double largest = 0, sum = 0, chosen = 0;
  row.kernels.softmax_row(out, n, y, row.factor * (own + share * weight_sum), &largest, &sum,
                          &chosen);
  for (int64_t i = 0; i < n; ++i) {
    const double pull = (i == y ? weight_sum : 0) - class_weight(row.class_weights, i);
    out[i] = T(double(out[i]) + row.factor * share * pull);
  }
  const double log_sum = std::log(sum);
  return own * (log_sum + (largest - chosen)) + share * (weight_sum * log_sum + below_top);
}

template <class T>
double cross_entropy(const LossRow<T>& row) {
  return row.options.label_smoothing > 0 ? smoothed_cross_entropy(row) : plain_cross_entropy(row);
}

// The loss of one output, and its derivative.
struct Element {
  double loss, slope;
};

// Sums of_output(out, target, c) over the outputs.
template <class T, class OfOutput>
double by_outputs(const LossRow<T>& row, const OfOutput& of_output) {
  double sum = 0;
  for (int64_t i = 0; i < row.outputs; ++i) {
    const Element element =
        of_output(double(row.out[i]), double(row.values[i]), class_weight(row.class_weights, i));
    sum += element.loss;
    row.out[i] = T(element.slope * row.factor);
  }
  return sum;
}

// c (out - target)^2
template <class T>
double squared_error(const LossRow<T>& row) {
  return by_outputs(row, [](double out, double target, double weight) -> Element {
    const double error = out - target;
    return {weight * error * error, 2 * weight * error};
  });
}

// -c (target log s + (1 - target) log(1 - s)), s = sigmoid(out), without overflow for any finite
// out. With e = exp(-|out|): 1 - s = e / (1 + e) if out >= 0, and s = e / (1 + e) otherwise; in
// both cases the logarithm of the other one is -log(1 + e).
template <class T>
double binary_cross_entropy(const LossRow<T>& row) {
  return by_outputs(row, [](double out, double target, double weight) -> Element {
    const double e = std::exp(-std::fabs(out)), tail = e / (1 + e);
    return {weight * ((out >= 0 ? (1 - target) * out : -target * out) + std::log1p(e)),
            weight * (out >= 0 ? (1 - target) - tail : tail - target)};
  });
}

// With d = out - target: c d^2 / 2 if |d| <= delta, otherwise c delta (|d| - delta / 2) (Huber
// 1964). Both are q (|d| - q / 2), q = min(|d|, delta); the comparison is written so that NaN stays
// NaN.
template <class T>
double huber(const LossRow<T>& row) {
  const double delta = row.options.huber_delta;
  return by_outputs(row, [delta](double out, double target, double weight) -> Element {
    const double error = out - target, size = std::fabs(error);
    const double q = size > delta ? delta : size;
    return {weight * (q * (size - 0.5 * q)), weight * std::copysign(q, error)};
  });
}

constexpr LossKind kLossKinds[] = {
    {.loss = BPTT_CROSS_ENTROPY,
     .title = "cross-entropy, nats",
     .classes = true,
     .unit_interval = false,
     .of_float = cross_entropy<float>,
     .of_double = cross_entropy<double>},
    {.loss = BPTT_MSE,
     .title = "mean squared error",
     .classes = false,
     .unit_interval = false,
     .of_float = squared_error<float>,
     .of_double = squared_error<double>},
    {.loss = BPTT_BINARY_CROSS_ENTROPY,
     .title = "binary cross-entropy, nats",
     .classes = false,
     .unit_interval = true,
     .of_float = binary_cross_entropy<float>,
     .of_double = binary_cross_entropy<double>},
    {.loss = BPTT_HUBER,
     .title = "mean Huber loss",
     .classes = false,
     .unit_interval = false,
     .of_float = huber<float>,
     .of_double = huber<double>},
};

constexpr bool in_order() {
  for (size_t i = 0; i < std::size(kLossKinds); ++i) {
    if (kLossKinds[i].loss != static_cast<bptt_loss>(BPTT_CROSS_ENTROPY + i)) return false;
  }
  return true;
}
static_assert(in_order());

}  // namespace

std::span<const LossKind> loss_kinds() { return kLossKinds; }

const LossKind& kind_of(bptt_loss loss) { return kLossKinds[loss - BPTT_CROSS_ENTROPY]; }

}  // namespace bptt
