// norm.h: layer normalisation of a row v of n elements (Ba, Kiros & Hinton 2016):
//     hat = (v - mean(v)) / sqrt(variance(v) + 1e-5),
// and backward, with d = dL/dhat:  dL/dv = (d - mean(d) - hat mean(d hat)) / sqrt(variance + 1e-5).
// Sums are kept in double precision.
#pragma once

#include "kernels/cells/cell.h"

namespace bptt {
namespace {

BPTT_INLINE DoubleV add_to(FloatV v, DoubleV sum) {
  const Doubles d = widen(v);
  return sum + d.low + d.high;
}
BPTT_INLINE DoubleV add_to(DoubleV v, DoubleV sum) { return sum + v; }

template <class T>
struct RowStatistics {
  using V = typename Vec<T>::V;
  T mean, rest, inverse;  // mean + rest is the mean in double precision
  BPTT_INLINE V normalised(V v) const {
    return ((v - splat<T>(mean)) - splat<T>(rest)) * splat<T>(inverse);
  }
};

// The statistics of `groups` runs of n elements, `stride` apart.
template <class T>
BPTT_INLINE RowStatistics<T> row_statistics(const T* v, int64_t n, int64_t groups = 1,
                                            int64_t stride = 0) {
  DoubleV sum{}, squares{};
  const double count = double(n * groups);
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t i = 0; i < n; i += kLanes<T>) {
      sum = add_to(first_lanes<T>(load(v + g * stride + i), n - i), sum);
    }
  }
  const double mean = sum_lanes(sum) / count;
  const T high = T(mean), low = T(mean - double(high));
  const auto centre = splat<T>(high);
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t i = 0; i < n; i += kLanes<T>) {
      squares = add_squares(first_lanes<T>(load(v + g * stride + i) - centre, n - i), squares);
    }
  }
  return {high, low, T(1 / __builtin_sqrt(sum_lanes(squares) / count + 1e-5))};
}

// The two sums over a row that the backward pass needs.
template <class T>
class RowSums {
 public:
  using V = typename Vec<T>::V;
  BPTT_INLINE void add(V d, V hat, int64_t left) {
    sum_ = add_to(first_lanes<T>(d, left), sum_);
    with_hat_ = add_to(first_lanes<T>(d * hat, left), with_hat_);
  }
  BPTT_INLINE V through(V d, V hat, T inverse, int64_t count) const {
    const V mean = splat<T>(T(sum_lanes(sum_) / double(count)));
    const V slope = splat<T>(T(sum_lanes(with_hat_) / double(count)));
    return (d - mean - hat * slope) * splat<T>(inverse);
  }

 private:
  DoubleV sum_{}, with_hat_{};
};

template <class T>
void norm_forward(const NormArgs<T>& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    T* z = a.z + row * a.z_row;
    T* hat = a.hat + row * a.hat_row;
    const RowStatistics<T> of = row_statistics<T>(z, a.units, a.gates, a.plane_stride);
    a.inverse[row * a.hat_row] = of.inverse;
    for (int64_t g = 0; g < a.gates; ++g) {
      const int64_t plane = g * a.plane_stride;
      for (int64_t unit = 0; unit < a.units; unit += kLanes<T>) {
        const int64_t at = plane + unit;
        const auto value = of.normalised(load(z + at));
        store(hat + at, value);
        const auto bias = a.bias ? load(a.bias + at) : typename Vec<T>::V{};
        store(z + at, fma(load(a.gain + at), value, bias));
      }
    }
  }
}

template <class T>
void norm_backward(const NormArgs<T>& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const T* da = a.da + row * a.z_row;
    const T* hats = a.hat + row * a.hat_row;
    RowSums<T> sums;
    for (int64_t p = 0; p < a.gates; ++p) {
      const int64_t plane = p * a.plane_stride, gate = a.gate_of[p] * a.plane_stride;
      for (int64_t unit = 0; unit < a.units; unit += kLanes<T>) {
        const auto d = load(da + plane + unit), hat = load(hats + gate + unit);
        sums.add(load(a.gain + gate + unit) * d, hat, a.units - unit);
        store(a.dgain + row * a.z_row + gate + unit, d * hat);
      }
    }
    const T inverse = a.inverse[row * a.hat_row];
    for (int64_t p = 0; p < a.gates; ++p) {
      const int64_t plane = p * a.plane_stride, gate = a.gate_of[p] * a.plane_stride;
      for (int64_t unit = 0; unit < a.units; unit += kLanes<T>) {
        const auto d = load(a.gain + gate + unit) * load(da + plane + unit);
        store(a.dz + row * a.z_row + plane + unit,
              sums.through(d, load(hats + gate + unit), inverse, a.units * a.gates));
      }
    }
  }
}

}  // namespace
}  // namespace bptt
