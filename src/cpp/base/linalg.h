// linalg.h: a QR factorisation in double precision from + - * / sqrt only, so that its bits are the
// same on every platform.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/pace.h"

namespace bptt {

// Replaces the m x n matrix A, m >= n (row by row), by the Q of A = QR (Householder 1958), which
// has orthonormal columns; the diagonal of R is >= 0. If A has independent normal elements, Q is
// uniformly distributed over such matrices (Mezzadri 2007). Throws std::bad_alloc, Error
// (cancelled).
void orthogonal_factor(Buffer<double>& a, int64_t m, int64_t n, Pace& pace);

}  // namespace bptt
