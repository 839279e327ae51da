// vectors.h: dot products and sums of vectors in double precision, in one order on every platform.
#pragma once

#include <cstdint>
#include <cstring>

namespace bptt {

constexpr int64_t kLanes = 8;  // partial sums of a dot product
using Lanes = double __attribute__((vector_size(kLanes * sizeof(double))));

inline double dot(const double* a, const double* b, int64_t n) {
  Lanes sum{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes x, y;
    std::memcpy(&x, a + i, sizeof x);
    std::memcpy(&y, b + i, sizeof y);
    sum += x * y;
  }
  double rest = 0;
  for (; i < n; ++i) rest += a[i] * b[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7])) + rest;
}

// a += factor * b
inline void add_multiple(double* a, double factor, const double* b, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes x, y;
    std::memcpy(&x, a + i, sizeof x);
    std::memcpy(&y, b + i, sizeof y);
    x += factor * y;
    std::memcpy(a + i, &x, sizeof x);
  }
  for (; i < n; ++i) a[i] += factor * b[i];
}

}  // namespace bptt
