// spectral_radius.h: the largest absolute value of a matrix's eigenvalues, the same bits on every
// platform.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/pace.h"

namespace bptt {

// The largest absolute value of the eigenvalues of the n x n matrix A (row by row), real or complex:
// within 1e-9 of it for matrices whose eigenvalues are not themselves ill-conditioned; exactly 0 for
// a matrix that only its pattern of zeros makes nilpotent. Throws std::bad_alloc, Error (cancelled).
double spectral_radius(const Buffer<double>& a, int64_t n, Pace& pace);

}  // namespace bptt
