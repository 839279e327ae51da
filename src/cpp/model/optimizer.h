// optimizer.h: SGD with momentum, Adagrad, Adam with decoupled weight decay and RMSprop over one
// parameter vector (bptt.h gives sources).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "model/params.h"

namespace bptt {

enum class Algorithm { sgd, adagrad, adam, rmsprop };

struct OptimizerConfig {
  Algorithm algorithm = Algorithm::adam;
  double lr = 1e-3, momentum = 0, beta1 = 0.9, beta2 = 0.999;
  double eps = std::numeric_limits<double>::quiet_NaN();  // NaN: the algorithm's own
  double weight_decay = 0;
  bool decay_biases = false;                                // weight decay on tensors of rank 1 too
  bool nesterov = false;                                    // sgd
  bool amsgrad = false;                                     // adam
  double alpha = std::numeric_limits<double>::quiet_NaN();  // rmsprop; NaN: the form's own
  bool centered = false;                                    // rmsprop, not of Graves' form
  bool graves = false;                                      // rmsprop: the form
};

// What one parameter tensor has of its own.
struct ParamGroup {
  double lr_scale = 1;
  double weight_decay = std::numeric_limits<double>::quiet_NaN();  // NaN: as the config says
};

// The names of the moments that an optimiser keeps, as in bptt.h.
std::vector<const char*> moment_names_of(const OptimizerConfig& config);

template <class T>
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config,
            Params<T>& params);  // eps and alpha are resolved here; throws std::bad_alloc

  const OptimizerConfig& config() const { return config_; }
  double lr() const { return config_.lr; }
  void set_lr(double lr) { config_.lr = lr; }
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  // By position among params.tensors().
  const std::vector<ParamGroup>& groups() const { return groups_; }
  std::vector<ParamGroup>& groups() { return groups_; }

  // The moments: names as in bptt.h, each [P].
  const std::vector<const char*>& moment_names() const { return names_; }
  std::vector<Buffer<T>>& moments() { return moments_; }
  const std::vector<Buffer<T>>& moments() const { return moments_; }
  bool never_negative(size_t moment) const;  // it is under a root

  // One update with gradient * scale; frozen tensors are left alone. The caller holds params.lock
  // exclusively and has seen that the gradient is finite. Work is split over threads; elements are
  // independent, so bits do not depend on it.
  void step(const T* gradient, double scale = 1);

 private:
  OptimizerConfig config_;
  Params<T>& params_;
  int64_t steps_ = 0;
  std::vector<ParamGroup> groups_;
  std::vector<const char*> names_;
  std::vector<int> slots_;  // of the moments in UpdateArgs::moments
  std::vector<Buffer<T>> moments_;
};

}  // namespace bptt
