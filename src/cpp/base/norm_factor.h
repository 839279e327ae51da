// norm_factor.h: norms beyond the range of float64, and the factor that scales a vector to a norm.
#pragma once

#include <cmath>
#include <limits>

namespace bptt {

// The number fraction * 2^exponent. It can hold the norm of any finite elements, even if that
// exceeds every float64.
struct Norm {
  double fraction = 0;
  int exponent = 0;
  double value() const { return std::ldexp(fraction, exponent); }  // infinity if too large
  bool finite() const { return std::isfinite(fraction); }          // all elements are
};

// The factor first * second. If one float64 can hold it, first is 1; else apply both in turn.
struct Factor {
  double first = 1, second = 1;
  bool none() const { return first == 1 && second == 1; }
};

// Returns max_norm / (norm + eps) if norm > max_norm, else 1. The norm must be finite().
inline Factor factor_to(double max_norm, const Norm& norm, double eps = 0) {
  const double value = norm.value();
  if (!(value > max_norm)) return {};
  const double plain = max_norm / (value + eps);
  const bool exact = std::isfinite(value + eps) && plain >= std::numeric_limits<double>::min();
  if (exact || max_norm == 0) return {1, plain};
  int above = 0, below = 0;
  const double part = std::frexp(max_norm, &above) /
                      std::frexp(norm.fraction + std::ldexp(eps, -norm.exponent), &below);
  const int power = above - below - norm.exponent;
  return {std::ldexp(1.0, power / 2), std::ldexp(part, power - power / 2)};
}

}  // namespace bptt
