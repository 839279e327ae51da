// norms.h: norms of gradient rows, safe from overflow and underflow.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"
#include "sequence/geometry.h"

namespace bptt {

// Returns the sum of the squares of elements * 2^shift.
template <class T>
double shifted_squares(const Kernels<T>& kernels, const T* values, int64_t count, int shift) {
  T part[512];
  double total = 0;
  for (int64_t i = 0; i < count; i += 512) {
    const int64_t length = std::min<int64_t>(512, count - i);
    for (int64_t j = 0; j < length; ++j) part[j] = std::ldexp(values[i + j], shift);
    total += kernels.sum_squares(part, length);
  }
  return total;
}

// Returns the norm of a row. If the sum of squares overflows or underflows, it is computed again with
// the row scaled by the power of two that brings its largest element to between 1 and 2.
template <class T>
double row_norm(const Kernels<T>& kernels, const T* row, int64_t n) {
  const double squares = kernels.sum_squares(row, n);
  if ((squares > 1e-280 && squares < 1e280) || std::isnan(squares)) return std::sqrt(squares);
  const double largest = kernels.max_abs(row, n);
  if (largest == 0 || !std::isfinite(largest)) return largest;
  const int exponent = std::ilogb(largest);
  return std::ldexp(std::sqrt(shifted_squares(kernels, row, n, -exponent)), exponent);
}

// Returns the norm of `count` norms, added in order.
inline double norm_of(const double* norms, int64_t count) {
  double largest = 0, sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (std::isnan(norms[i])) return norms[i];
    largest = std::max(largest, norms[i]);
  }
  if (largest == 0 || std::isinf(largest)) return largest;
  for (int64_t i = 0; i < count; ++i) sum += (norms[i] / largest) * (norms[i] / largest);
  return largest * std::sqrt(sum);
}

// Returns the norm of a row of dL/da_t: the planes of all gates, starting at `planes`.
template <class T>
double planes_norm(const Kernels<T>& kernels, const Geometry<T>& geometry, int64_t units,
                   const T* planes) {
  const int64_t G = geometry.shape.gates;
  if (geometry.plane == units) return row_norm(kernels, planes, G * units);
  double norms[4];
  for (int64_t g = 0; g < G; ++g) norms[g] = row_norm(kernels, planes + g * geometry.plane, units);
  return norm_of(norms, G);
}

}  // namespace bptt
