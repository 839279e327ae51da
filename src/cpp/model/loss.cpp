#include "model/loss.h"

#include <algorithm>
#include <cmath>

namespace bptt {
namespace {

double weight_of(const double* weights, int64_t i) { return weights ? weights[i] : 1; }

}  // namespace

template <class T>
double cross_entropy_row(const Kernels<T>& kernels, T* out, int64_t n, int64_t target,
                         double factor) {
  double largest = 0, sum = 0, chosen = 0;
  kernels.softmax_row(out, n, target, factor, &largest, &sum, &chosen);
  return std::log(sum) + (largest - chosen);
}

// dL/dout = (own + share W) p - own onehot(target) - share c with W = sum_k c[k], written as
// (own + share W) (p - onehot(target)), which the kernel gives, + share (W onehot(target) - c).
template <class T>
double smoothed_cross_entropy_row(const Kernels<T>& kernels, T* out, int64_t n, int64_t target,
                                  double factor, double smoothing, const double* weights) {
  const double own = (1 - smoothing) * weight_of(weights, target), share = smoothing / double(n);
  const double top = double(*std::max_element(out, out + n));
  double weight_sum = 0, below_top = 0;
  for (int64_t i = 0; i < n; ++i) {
    weight_sum += weight_of(weights, i);
    below_top += weight_of(weights, i) * (top - double(out[i]));
  }
  double largest = 0, sum = 0, chosen = 0;
  kernels.softmax_row(out, n, target, factor * (own + share * weight_sum), &largest, &sum, &chosen);
  for (int64_t i = 0; i < n; ++i) {
    const double pull = (i == target ? weight_sum : 0) - weight_of(weights, i);
    out[i] = T(double(out[i]) + factor * share * pull);
  }
  const double log_sum = std::log(sum);
  return own * (log_sum + (largest - chosen)) + share * (weight_sum * log_sum + below_top);
}

template <class T>
double squared_error_row(T* out, const T* target, int64_t n, double factor, const double* weights) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double error = double(out[i]) - double(target[i]), weight = weight_of(weights, i);
    sum += weight * error * error;
    out[i] = T(2 * weight * error * factor);
  }
  return sum;
}

// With e = exp(-|out|), which never overflows: 1 - s = e / (1 + e) where out >= 0, s = e / (1 + e)
// elsewhere; in both cases the other one's logarithm is -log(1 + e).
template <class T>
double binary_cross_entropy_row(T* out, const T* target, int64_t n, double factor,
                                const double* weights) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double z = double(out[i]), aim = double(target[i]), weight = weight_of(weights, i);
    const double e = std::exp(-std::fabs(z)), tail = e / (1 + e);
    sum += weight * ((z >= 0 ? (1 - aim) * z : -aim * z) + std::log1p(e));
    out[i] = T(weight * (z >= 0 ? (1 - aim) - tail : tail - aim) * factor);
  }
  return sum;
}

#define BPTT_INSTANTIATE(T)                                                                   \
  template double cross_entropy_row(const Kernels<T>&, T*, int64_t, int64_t, double);         \
  template double smoothed_cross_entropy_row(const Kernels<T>&, T*, int64_t, int64_t, double, \
                                             double, const double*);                          \
  template double squared_error_row(T*, const T*, int64_t, double, const double*);            \
  template double binary_cross_entropy_row(T*, const T*, int64_t, double, const double*);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
