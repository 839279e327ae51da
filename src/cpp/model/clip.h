// clip.h: norms and clipping of a gradient vector. Norms are summed in double precision and rescaled
// where the plain sum of squares over- or underflows, so that any finite elements have one; the order
// of the sums does not depend on the number of threads.
#pragma once

#include <cstdint>

#include "base/norm_factor.h"
#include "model/params.h"

namespace bptt {

template <class T>
Norm gradient_norm(const T* gradient, int64_t count);  // finite() if all elements are

// Returns the number of elements changed.
template <class T>
int64_t clip_value(T* gradient, int64_t count, double value);

template <class T>
void rescale(T* gradient, int64_t count, double factor);

// Rescales to max_norm if the norm exceeds it and is finite(); returns whether it did.
template <class T>
bool clip_norm(T* gradient, int64_t count, const Norm& norm, double max_norm, double eps);

// Each tensor by its own norm; returns true if any was rescaled.
template <class T>
bool clip_tensor_norm(const Params<T>& params, T* gradient, double max_norm);

// The angle between two vectors of these norms, in radians; 0 if one is zero (Kahan 2006: exact for
// small ones).
template <class T>
double angle(const T* a, const Norm& norm_a, const T* b, const Norm& norm_b, int64_t count);

}  // namespace bptt
