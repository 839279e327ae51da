// clip.h: norms and clipping of a gradient vector; norms in double precision, safe from 1e-30 to
// 1e30 in float and from 1e-300 to 1e300 in double (rescaled where the plain sum of squares over-
// or underflows), in an order that does not depend on the number of threads.
#pragma once

#include <cstdint>

#include "model/params.h"

namespace bptt {

template <class T>
double gradient_norm(const T* gradient, int64_t count);  // not finite if any element is not

// Returns the number of elements changed.
template <class T>
int64_t clip_value(T* gradient, int64_t count, double value);

// Rescales to max_norm if norm > max_norm; returns the factor (1: nothing was touched).
template <class T>
double clip_norm(T* gradient, int64_t count, double norm, double max_norm, double eps);

// Each tensor by its own norm; returns true if any was rescaled.
template <class T>
bool clip_tensor_norm(const Params<T>& params, T* gradient, double max_norm);

// The angle between two vectors of these norms, in radians; 0 if one is zero (Kahan 2006: exact for
// small ones).
template <class T>
double angle(const T* a, double norm_a, const T* b, double norm_b, int64_t count);

}  // namespace bptt
