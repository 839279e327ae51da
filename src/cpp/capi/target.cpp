// target.cpp: checks of a model's targets.
#include <cmath>

#include "capi/arrays.h"
#include "model/option_text.h"
#include "model/row_losses.h"

namespace bptt {

template <class T>
Target<T> check_target(const ModelConfig& config, const Sequence<T>& sequence,
                       const bptt_target* given, Arrays& arrays) {
  const bptt_target known = read_struct(given, "target");
  const LossKind& kind = kind_of(config.loss);
  const int64_t steps = config.network.last_only ? 1 : sequence.steps;
  not_null(kind.classes ? static_cast<const void*>(known.classes) : known.values,
           kind.classes ? "classes" : "values");
  if (kind.classes ? known.values : static_cast<const void*>(known.classes)) {
    fail(BPTT_ERR_ARGUMENT, kind.classes ? "values" : "classes",
         "NULL, because the loss is " + text_of(row_of("loss"), {config.loss}, Wording::c),
         "a pointer");
  }
  Target<T> target;
  target.classes = known.classes;
  target.values = static_cast<const T*>(known.values);
  target.t = config.network.last_only ? 0 : known.stride_t;
  target.n = known.stride_n;
  target.weights = static_cast<const T*>(known.weights);
  target.weights_t = config.network.last_only ? 0 : known.weights_stride_t;
  target.weights_n = known.weights_stride_n;
  target.steps = steps;
  target.batch = sequence.batch;
  arrays.strided("classes", target.classes, target.steps, target.batch, 1, target.t, target.n,
                 false);
  arrays.strided("values", target.values, target.steps, target.batch, config.network.output,
                 target.t, target.n, false);
  arrays.strided("weights", target.weights, target.steps, target.batch, 1, target.weights_t,
                 target.weights_n, false);
  return target;
}

// Requires that the values of targets with a weight are in [0, 1].
template <class T, class Counts>
void check_unit_interval(const Target<T>& target, int64_t outputs, const Counts& counts) {
  for (int64_t t = 0; t < target.steps; ++t) {
    for (int64_t n = 0; n < target.batch; ++n) {
      if (!counts(t, n)) continue;
      const T* values = target.values + t * target.t + n * target.n;
      for (int64_t i = 0; i < outputs; ++i) {
        if (values[i] >= 0 && values[i] <= 1) continue;
        fail(BPTT_ERR_ARGUMENT, "target.values", "numbers in [0, 1]",
             text(double{values[i]}) + " in output " + text(i) + place_text(t, n));
      }
    }
  }
}

template <class T>
void own_target(const ModelConfig& config, const Sequence<T>& sequence, Target<T>& target,
                TargetCopy<T>& copy) {
  target.lengths = config.network.last_only ? nullptr : sequence.lengths;
  if (target.weights) {
    copy.weights = copy_checked(
        BPTT_ERR_ARGUMENT, "weights", "finite numbers >= 0", target.weights, target.steps,
        target.batch, target.weights_t, target.weights_n,
        [&](int64_t t, int64_t n) { return target.exists(t, n); },
        [](T weight) { return std::isfinite(weight) && weight >= 0; });
    target.weights = copy.weights.data();
    target.weights_t = target.batch;
    target.weights_n = 1;
  }
  const auto counts = [&](int64_t t, int64_t n) {
    return target.exists(t, n) &&
           !(target.weights && target.weights[t * target.weights_t + n * target.weights_n] == 0);
  };
  if (target.classes) {
    const int64_t outputs = config.network.output, ignored = config.ignore_index;
    const std::string also = ignored < 0 || ignored >= outputs ? " or " + text(ignored) : "";
    copy.classes = copy_checked(
        BPTT_ERR_RANGE, "classes", "integers from 0 to " + text(outputs - 1) + also, target.classes,
        target.steps, target.batch, target.t, target.n, counts,
        [&](int64_t chosen) { return (chosen >= 0 && chosen < outputs) || chosen == ignored; });
    target.classes = copy.classes.data();
    target.t = target.batch;
    target.n = 1;
  }
  if (kind_of(config.loss).unit_interval)
    check_unit_interval(target, config.network.output, counts);
  weigh(config, target);
  if (!(target.total_weight > 0 && std::isfinite(target.total_weight))) {
    fail(BPTT_ERR_ARGUMENT, target.weights ? "weights" : "classes",
         "targets whose weights have a finite sum > 0", text(target.total_weight));
  }
}

#define BPTT_TARGET_OF(T)                                                                     \
  template Target<T> check_target(const ModelConfig&, const Sequence<T>&, const bptt_target*, \
                                  Arrays&);                                                   \
  template void own_target(const ModelConfig&, const Sequence<T>&, Target<T>&, TargetCopy<T>&);
BPTT_TARGET_OF(float)
BPTT_TARGET_OF(double)
#undef BPTT_TARGET_OF

}  // namespace bptt

using namespace bptt;

bptt_status bptt_target_init(bptt_target* target, size_t struct_size) {
  return guard("bptt_target_init",
               [&] { write_struct(target, struct_size, defaults_of<bptt_target>(), "target"); });
}
