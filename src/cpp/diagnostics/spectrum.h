// spectrum.h: Lyapunov exponents, and singular values of products of step Jacobians: how the steps
// of a layer stretch and shrink small changes of its state.
#pragma once

#include <cstdint>

#include "diagnostics/state_rows.h"

namespace bptt {

template <class T>
struct SpectrumCall {
  int64_t first = 0, last = 0;  // steps of the walk
  int64_t count = 0;            // rows
  int64_t interval = 1, discard = 0;
  const T* start = nullptr;               // [count, size], orthonormalised first; null: random rows
  double* exponents = nullptr;            // [count]
  double* log_singular_values = nullptr;  // [count], all of the state's
  double* log_extremes = nullptr;  // [last - first, 2]; needs all rows of a state and interval 1
};

// Propagates rows Q^T J_t for t = last - 1, ..., first, and orthonormalises them (by modified
// Gram-Schmidt, twice) every `interval` steps. If rows would overflow, underflow, or be lost to
// rounding relative to stronger rows, the interval is repeated with fewer steps, and later
// intervals are shortened, too. The exponents are the means of log R_ii over the steps that count.
// Rows that go backward have the same spectrum as columns that go forward (the adjoint; Benettin et
// al. 1980, Ginelli et al. 2007). The singular values of the product come from the triangular
// factors, with logarithmic scales, by one-sided Jacobi rotations, so that nothing overflows or
// underflows. Exponents and singular values are in descending order. `log_extremes` receives, for
// each d, the largest and the smallest singular value of the product of the last d + 1 steps.
// Throws std::bad_alloc, Error (cancelled).
template <class T>
void spectrum(StateRows<T>& rows, const SpectrumCall<T>& call);

// Writes J_s = d state_s / d state_{s-1} [size, size]; `rows` must have `size` rows.
template <class T>
void jacobian(StateRows<T>& rows, int64_t step, T* out);

}  // namespace bptt
