// loss.h: the loss of one row of outputs and its gradient, in place. `factor` scales the gradient
// alone; class weights [n] may be null: all 1.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace bptt {

// Softmax cross-entropy -log p[target], p = softmax(out); out [n] becomes dL/dout * factor.
template <class T>
double cross_entropy_row(const Kernels<T>& kernels, T* out, int64_t n, int64_t target,
                         double factor);

// The same with label smoothing e (Szegedy et al. 2016) and class weights c, as PyTorch combines
// them: -(1 - e) c[target] log p[target] - e/n sum_k c[k] log p[k].
template <class T>
double smoothed_cross_entropy_row(const Kernels<T>& kernels, T* out, int64_t n, int64_t target,
                                  double factor, double smoothing, const double* weights);

// Sum of c (out - target)^2; out [n] becomes dL/dout * factor.
template <class T>
double squared_error_row(T* out, const T* target, int64_t n, double factor, const double* weights);

// Sum of -c (target log s + (1 - target) log(1 - s)), s = sigmoid(out), targets in [0, 1]; without
// overflow for any finite out. out [n] becomes dL/dout * factor.
template <class T>
double binary_cross_entropy_row(T* out, const T* target, int64_t n, double factor,
                                const double* weights);

}  // namespace bptt
