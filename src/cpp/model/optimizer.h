// optimizer.h: SGD with momentum, Adagrad, Adam with decoupled weight decay, RMSprop and Lion over one
// parameter vector (bptt.h gives sources).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "bptt_optimizer.h"
#include "kernels/kernels.h"
#include "model/params.h"

namespace bptt {

enum class Algorithm { sgd, adagrad, adam, rmsprop, lion };

// The options as bptt.h has them, with what the engine derives. `algorithm` is the engine's enumerator of the
// option of the same name.
struct OptimizerConfig : bptt_optimizer_options {
  OptimizerConfig(const bptt_optimizer_options& options)
      : bptt_optimizer_options(options),
        algorithm(Algorithm(options.algorithm - BPTT_SGD)),
        graves(options.rmsprop_form == BPTT_RMSPROP_GRAVES) {}

  Algorithm algorithm;
  bool graves;  // the form of RMSprop
};
static_assert(int(Algorithm::lion) == BPTT_LION - BPTT_SGD);

// What one parameter tensor has of its own.
struct ParamGroup {
  double lr_scale = 1;
  double weight_decay = std::numeric_limits<double>::quiet_NaN();  // NaN: as the config says
};

// The names of the moments that an optimiser keeps, as in bptt.h.
std::vector<const char*> moment_names_of(const OptimizerConfig& config);
// Updates compute in T: whether a factor of theirs is finite in it.
template <class T>
constexpr bool fits(double factor) {
  return factor >= 0 && factor <= double(std::numeric_limits<T>::max());
}

// Counters of steps stop here, where double and JSON still hold every integer.
constexpr int64_t kMostSteps = int64_t{1} << 53;

// Bounds of the absolute values of parameters and moments (by their slot).
struct UpdateBounds {
  double parameter = 0, moments[3] = {};
};

template <class T>
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config,
            Params<T>& params);  // eps and rmsprop_alpha are resolved here; throws std::bad_alloc

  const OptimizerConfig& config() const { return config_; }
  double lr() const { return config_.lr; }
  void set_lr(double lr) { config_.lr = lr; }

  // How many updates were made, and how many each tensor has had: one that is frozen has none. All
  // are from 0 to kMostSteps.
  int64_t steps() const { return steps_; }
  const std::vector<int64_t>& tensor_steps() const { return tensor_steps_; }
  void set_steps(int64_t steps);  // those of all tensors too
  void set_tensor_steps(size_t tensor, int64_t steps) { tensor_steps_[tensor] = steps; }

  // By position among params.tensors().
  const std::vector<ParamGroup>& groups() const { return groups_; }
  std::vector<ParamGroup>& groups() { return groups_; }

  // The moments: names as in bptt.h, each [P].
  const std::vector<const char*>& moment_names() const { return names_; }
  const std::vector<Buffer<T>>& moments() const { return moments_; }
  bool never_negative(size_t moment) const { return squares_[moment]; }  // a root is taken of it
  // Returns the index of the first of `values` [P] that no moment can be (not finite, or below 0 where
  // it is under a root), or -1. State dicts and files are judged by it.
  int64_t first_impossible(size_t moment, const T* values) const;
  void set_moment(size_t moment, const T* values);  // those that are possible

  // One update with gradient * scale; frozen tensors are left alone. Returns false, with no bit
  // changed, if it would turn a finite parameter or moment into one that is not. The caller holds
  // params.lock exclusively and has seen that the gradient is finite; no element of it exceeds
  // `largest`. Work is split over threads; elements are independent, so bits do not depend on it.
  // Throws Error (state) if a counter is at its end, std::bad_alloc; then nothing has changed.
  bool step(const T* gradient, double largest, double scale = 1);

 private:
  void prepare(double scale);
  void measure();
  bool after_update(const UpdateBounds& now, double gradient, UpdateBounds& then) const;
  void update(T* parameters, std::vector<Buffer<T>>& moments, const T* gradient) const;
  bool update_on_copies(const T* gradient);

  OptimizerConfig config_;
  Params<T>& params_;
  int64_t steps_ = 0;
  std::vector<int64_t> tensor_steps_;
  std::vector<ParamGroup> groups_;
  std::vector<const char*> names_;
  std::vector<int> slots_;     // of the moments in UpdateArgs::moments
  std::vector<bool> squares_;  // by moment
  std::vector<Buffer<T>> moments_;
  std::vector<UpdateArgs<T>> updates_;  // of the step under way, by tensor, without arrays
  UpdateBounds bounds_;                 // at params_.version() bounded_
  uint64_t bounded_ = 0;                // 0: nothing is known
};

}  // namespace bptt
