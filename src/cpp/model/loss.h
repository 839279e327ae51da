// loss.h: the loss of one row of outputs and its gradient, in place.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace bptt {

// Softmax cross-entropy -log softmax(out)[target]; out [n] becomes dL/dout * factor.
template <class T>
double cross_entropy_row(const Kernels<T>& kernels, T* out, int64_t n, int64_t target,
                         double factor);

// Sum of squared errors; out [n] becomes dL/dout * factor.
template <class T>
double squared_error_row(T* out, const T* target, int64_t n, double factor);

}  // namespace bptt
