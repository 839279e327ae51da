// loss.h: the losses: a table with a row for each. Whatever depends on the loss is read there, but for its
// name and the options that it alone has, which are in the table of options.
#pragma once

#include <cstdint>
#include <span>

#include "bptt.h"
#include "kernels/kernels.h"

namespace bptt {

// c of an output; weights [O] may be null: all 1.
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
  int64_t chosen;               // the target of a loss of classes
  const T* values;              // [n], that of the others
  double factor;                // of the gradient; the returned loss is without it
};

struct LossKind {
  bptt_loss loss;
  const char* title;   // in words, as a mean
  bool classes;        // a target is one class; otherwise a value for each output
  bool unit_interval;  // these values are in [0, 1]
  // The loss of a row, and its gradient in place.
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
  // The number that a mean is divided by, for targets whose weights add up to `weight`.
  double divisor(double weight, int64_t outputs) const {
    return classes ? weight : weight * double(outputs);
  }
};

std::span<const LossKind> loss_kinds();
const LossKind& kind_of(bptt_loss loss);

}  // namespace bptt
