// optimizer.h: SGD with momentum, Adagrad, Adam with decoupled weight decay, RMSprop and Lion over
// one parameter vector (bptt.h names the sources).
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

// The options of bptt.h, and values that the engine derives from them. `algorithm` is the engine's
// enumerator for the option of the same name.
struct OptimizerConfig : bptt_optimizer_options {
  OptimizerConfig(const bptt_optimizer_options& options)
      : bptt_optimizer_options(options),
        algorithm(Algorithm(options.algorithm - BPTT_SGD)),
        graves(options.rmsprop_form == BPTT_RMSPROP_GRAVES) {}

  Algorithm algorithm;
  bool graves;  // Graves' form of RMSprop
};
static_assert(int(Algorithm::lion) == BPTT_LION - BPTT_SGD);

// Settings of a single parameter tensor.
struct ParamGroup {
  double lr_scale = 1;
  double weight_decay = std::numeric_limits<double>::quiet_NaN();  // NaN: use the config's
};

// Returns the defaults of an algorithm's options. The algorithm and the form must exist.
bptt_optimizer_options options_of(bptt_algorithm algorithm, bptt_rmsprop_form form);
// Returns the names of the moments that an optimiser keeps, as in bptt.h.
std::vector<const char*> moment_names_of(const OptimizerConfig& config);
// Returns whether a factor of an update is finite in T, the type in which updates compute.
template <class T>
constexpr bool fits(double factor) {
  return factor >= 0 && factor <= double(std::numeric_limits<T>::max());
}

// Step counters stop at this number: double and JSON represent every integer up to it.
constexpr int64_t kMostSteps = int64_t{1} << 53;
// Throws Error (state): a counter has reached kMostSteps.
[[noreturn]] void refuse_step();

// Bounds of the absolute values of parameters and of moments (by slot).
struct UpdateBounds {
  double parameter = 0, moments[3] = {};
};

template <class T>
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config,
            Params<T>& params);  // resolves eps and rmsprop_alpha; throws std::bad_alloc

  const OptimizerConfig& config() const { return config_; }
  double lr() const { return config_.lr; }
  void set_lr(double lr) { config_.lr = lr; }

  // The number of updates, and of updates of each tensor (a frozen tensor is not updated); each
  // from 0 to kMostSteps.
  int64_t steps() const { return steps_; }
  const std::vector<int64_t>& tensor_steps() const { return tensor_steps_; }
  void set_steps(int64_t steps);  // for all tensors, too
  void set_tensor_steps(size_t tensor, int64_t steps) { tensor_steps_[tensor] = steps; }

  // By index in params.tensors().
  const std::vector<ParamGroup>& groups() const { return groups_; }
  std::vector<ParamGroup>& groups() { return groups_; }

  // The moments: named as in bptt.h, each [P].
  const std::vector<const char*>& moment_names() const { return names_; }
  const std::vector<Buffer<T>>& moments() const { return moments_; }
  bool never_negative(size_t moment) const { return squares_[moment]; }  // its root is taken
  // Returns the index of the first of `values` [P] that cannot occur in this moment (not finite, or
  // negative although its root is taken), or -1. State dicts and files are checked with it.
  int64_t first_impossible(size_t moment, const T* values) const;
  void set_moment(size_t moment, const T* values);  // requires possible values

  // Updates with gradient * scale and leaves frozen tensors unchanged. Parameters then obey their
  // constraints (params.h), and moments of masked elements are 0. Returns false, with no bit
  // changed, if a finite parameter or moment would become non-finite. The caller holds params.lock
  // exclusively and has checked that the gradient is finite and that no element exceeds `largest`.
  // Threads share the work; since elements are independent, the bits do not depend on the threads.
  // Throws Error (state) if a counter is at its limit, and std::bad_alloc; nothing has changed
  // then.
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
  std::vector<int> slots_;     // index of each moment in UpdateArgs::moments
  std::vector<bool> squares_;  // by index of the moment
  std::vector<Buffer<T>> moments_;
  std::vector<UpdateArgs<T>> updates_;  // of the current step, by tensor, without arrays
  UpdateBounds bounds_;                 // valid if params_.version() is bounded_
  uint64_t bounded_ = 0;                // 0: no bounds are known
};

}  // namespace bptt
