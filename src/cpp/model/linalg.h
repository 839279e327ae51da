// linalg.h: dense linear algebra in double precision from + - * / sqrt only, so that its bits are
// the same on every platform.
#pragma once

#include <cstdint>

#include "sequence/buffer.h"

namespace bptt {

// Replaces the m x n matrix A, m >= n (row by row) by the Q of A = QR (Householder 1958) with
// orthonormal columns whose R has a diagonal >= 0. With A of independent normals, Q is uniformly
// distributed over such matrices (Mezzadri 2007). Throws std::bad_alloc.
void orthogonal_factor(Buffer<double>& a, int64_t m, int64_t n);

// The largest absolute value of the eigenvalues of the n x n matrix A, real or complex: within 1e-9
// of it for matrices whose eigenvalues are not themselves ill-conditioned and whose elements can be
// squared. Takes ten to twenty products of n x n matrices, 40 at most (about a second at n = 512).
// Throws std::bad_alloc.
double spectral_radius(const Buffer<double>& a, int64_t n);

}  // namespace bptt
