// optimizer.h: SGD with momentum, Adagrad, Adam with decoupled weight decay over one parameter
// vector (bptt.h gives sources).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "model/params.h"

namespace bptt {

enum class Algorithm { sgd, adagrad, adam };

struct OptimizerConfig {
  Algorithm algorithm = Algorithm::adam;
  double lr = 1e-3, momentum = 0, beta1 = 0.9, beta2 = 0.999;
  double eps = std::numeric_limits<double>::quiet_NaN();  // NaN: the algorithm's own
  double weight_decay = 0;
};

template <class T>
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config,
            Params<T>& params);  // eps is resolved here; throws std::bad_alloc

  const OptimizerConfig& config() const { return config_; }
  double lr() const { return config_.lr; }
  void set_lr(double lr) { config_.lr = lr; }
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  // The moments: names as in bptt.h, each [P].
  const std::vector<const char*>& moment_names() const { return names_; }
  std::vector<Buffer<T>>& moments() { return moments_; }
  const std::vector<Buffer<T>>& moments() const { return moments_; }

  // One update with gradient * scale; frozen tensors are left alone. The caller holds params.lock
  // exclusively and has seen that the gradient is finite. Work is split over threads; elements are
  // independent, so bits do not depend on it.
  void step(const T* gradient, double scale = 1);

 private:
  OptimizerConfig config_;
  Params<T>& params_;
  int64_t steps_ = 0;
  std::vector<const char*> names_;
  std::vector<Buffer<T>> moments_;
};

}  // namespace bptt
