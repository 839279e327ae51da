// loss.h: the table of losses, one row each. It holds all that depends on the loss, except for the
// loss's name and its own options, which are in the table of options.
#pragma once

#include <cstdint>
#include <span>

#include "bptt.h"
#include "kernels/kernels.h"

namespace bptt {

// Returns c of an output. `weights` [O] may be null: all are 1.
inline double class_weight(const double* weights, int64_t output) {
  return weights ? weights[output] : 1;
}

// One row of outputs and its target.
template <class T>
struct LossRow {
  const Kernels<T>& kernels;
  const bptt_model_options& options;
  const double* class_weights;  // [n], or null
  T* out;                       // [n]; becomes dL/dout times factor
  int64_t n;                    // O
  int64_t chosen;               // the target class, for losses of classes
  const T* values;              // [n], the target values, for other losses
  double factor;                // multiplies the gradient, not the returned loss
};

struct LossKind {
  bptt_loss loss;
  const char* title;   // in words, for a mean
  bool classes;        // a target is one class; otherwise one value per output
  bool unit_interval;  // these values must be in [0, 1]
  // Return the loss of a row and replace its outputs with the gradient.
  double (*of_float)(const LossRow<float>& row);
  double (*of_double)(const LossRow<double>& row);

  template <class T>
  auto of_row() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return of_float;
    } else {
      return of_double;
    }
  }
  // The divisor of a mean over targets whose weights add up to `weight`.
  double divisor(double weight, int64_t outputs) const {
    return classes ? weight : weight * double(outputs);
  }
};

std::span<const LossKind> loss_kinds();
const LossKind& kind_of(bptt_loss loss);

}  // namespace bptt
