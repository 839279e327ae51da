// spectral_radius.h: the spectral radius of a matrix, with the same bits on every platform.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/pace.h"

namespace bptt {

// Returns the largest absolute value of the eigenvalues, real or complex, of the n x n matrix A
// (row by row): to within 1e-9 for matrices whose eigenvalues are well-conditioned, and exactly 0
// for a matrix that is nilpotent because of its pattern of zeros. Throws std::bad_alloc, Error
// (cancelled).
double spectral_radius(const Buffer<double>& a, int64_t n, Pace& pace);

}  // namespace bptt
