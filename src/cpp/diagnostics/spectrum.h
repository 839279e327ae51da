// spectrum.h: how steps of a layer stretch and shrink small changes of its state: Lyapunov exponents and
// singular values of products of step Jacobians.
#pragma once

#include <cstdint>

#include "diagnostics/state_rows.h"

namespace bptt {

template <class T>
struct SpectrumCall {
  int64_t first = 0, last = 0;  // steps of the walk
  int64_t count = 0;            // rows
  int64_t interval = 1, discard = 0;
  const T* start = nullptr;               // [count, size], made orthonormal first; null: drawn
  double* exponents = nullptr;            // [count]
  double* log_singular_values = nullptr;  // [count], all of a state's
  double* log_extremes = nullptr;         // [last - first, 2], all of a state's, interval 1
};

// Rows of Q^T J_t for t = last - 1, ..., first, orthonormalised (by modified Gram-Schmidt, twice) every
// `interval` steps. An interval over which rows would be lost to under- or overflow, or to rounding
// beside stronger ones, is walked again with fewer steps, and so are those that follow. The exponents
// are the means of log R_ii over the steps that count. Backward rows have the spectrum of the forward ones (the
// adjoint; Benettin et al. 1980, Ginelli et al. 2007). The product's singular values come from the
// triangular factors, with logarithmic scales, by one-sided Jacobi rotations: nothing over- or
// underflows. Both descending. `log_extremes` are the largest and the smallest singular value of the
// product of the last d + 1 steps. Throws std::bad_alloc, Error (cancelled).
template <class T>
void spectrum(StateRows<T>& rows, const SpectrumCall<T>& call);

// J_s = d state_s / d state_{s-1} [size, size]; `rows` has as many rows.
template <class T>
void jacobian(StateRows<T>& rows, int64_t step, T* out);

}  // namespace bptt
