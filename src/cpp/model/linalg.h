// linalg.h: dense linear algebra in double precision from + - * / sqrt only, so that its bits are
// the same on every platform.
#pragma once

#include <cstdint>

#include "sequence/buffer.h"

namespace bptt {

// Replaces the n x n matrix A (row by row) by the orthogonal Q of A = QR (Householder 1958) whose R
// has a diagonal >= 0. With A of independent normals, Q is uniformly distributed over the
// orthogonal matrices (Mezzadri 2007). Throws std::bad_alloc.
void orthogonal_factor(Buffer<double>& a, int64_t n);

}  // namespace bptt
