// loss.h: the table of losses, one row each. It holds all that depends on the loss, except for the
// loss's name and its own options, which are in the table of options.
#pragma once

#include <cstdint>
#include <span>

#include "bptt.h"
#include "kernels/kernels.h"

namespace bptt {

// Returns the weight c of a class or of an output (bptt.h: bptt_target). `weights` [O] may be null:
// all are 1.
inline double class_weight(const double* weights, int64_t index) {
  return weights ? weights[index] : 1;
}

// One row of outputs and its target.
template <class T>
struct LossRow {
  const Kernels<T>& kernels;
  const bptt_model_options& options;
  const double* class_weights;  // [O], or null
  T* out;                       // [O]; becomes dL/dout times factor
  int64_t outputs;              // O
  int64_t chosen;               // the target class, for losses of classes
  const T* values;              // [O], the target values, for other losses
  double factor;                // multiplies the gradient, not the returned loss
};

struct LossKind {
  bptt_loss loss;
  const char* title;   // name of the mean loss, with its unit, for texts and axes
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
