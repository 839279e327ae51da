// clip.h: norms and clipping of a gradient vector. Norms are summed in double precision and
// rescaled where the plain sum of squares overflows or underflows, so that every finite vector has
// a norm. The order of summation does not depend on the number of threads.
#pragma once

#include <cstdint>

#include "base/norm_factor.h"
#include "model/params.h"

namespace bptt {

template <class T>
Norm gradient_norm(const T* gradient, int64_t count);  // finite() if all elements are finite

// Returns the largest magnitude of an element; NaN if any is NaN.
template <class T>
double gradient_largest(const T* gradient, int64_t count);

// Returns the number of elements changed.
template <class T>
int64_t clip_value(T* gradient, int64_t count, double value);

template <class T>
void rescale(T* gradient, int64_t count, double factor);

// Rescales the gradient to max_norm if its norm is finite() and exceeds max_norm; returns whether
// it did.
template <class T>
bool clip_norm(T* gradient, int64_t count, const Norm& norm, double max_norm, double eps);

// Rescales each tensor by its own norm; returns whether any was rescaled.
template <class T>
bool clip_tensor_norm(const Params<T>& params, T* gradient, double max_norm);

// Returns the angle in radians between two vectors with these norms, or 0 if one of them is zero
// (Kahan 2006: accurate for small angles).
template <class T>
double angle(const T* a, const Norm& norm_a, const T* b, const Norm& norm_b, int64_t count);

}  // namespace bptt
