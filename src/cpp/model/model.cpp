// model.cpp: training steps, their two halves, and evaluation.
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <string>

#include "base/error.h"
#include "base/pool.h"
#include "base/profile.h"
#include "model/row_losses.h"
#include "model/weight_penalty.h"

namespace bptt {

ModelConfig::ModelConfig(const ModelOptions& options)
    : ModelOptions(options), network(options.layer), mean(options.reduction == BPTT_MEAN) {
  network.tokens_only = options.vocab_size > 0;
  if (network.tokens_only) network.input = options.vocab_size;
  network.embedding = options.embedding_size;
  network.output = options.output_size;
  network.last_only = options.targets != BPTT_EVERY_STEP;
  network.last_row = options.targets == BPTT_LAST_ROW;
  network.prefix = "rnn.";
  if (options.class_weights)
    class_weights.assign(options.class_weights, options.class_weights + options.output_size);
  bptt_model_options::class_weights = nullptr;  // the caller may free it after the call
  layer.alphas = nullptr;
}

ModelOptions options_of(const ModelConfig& config, const OptimizerConfig& optimizer) {
  ModelOptions options = config;
  options.optimizer = optimizer;
  options.class_weights = config.weights();
  options.layer = config.network.options();
  return options;
}

template <class T>
Model<T>::Model(const ModelConfig& config, Blank blank)
    : config_(config), network_(config.network), optimizer_(config.optimizer, network_.params()) {
  if (blank == Blank::no) initialise(network_);
}

template <class T>
StepResult Model<T>::train_step(ForwardCall<T> call, const Target<T>& target,
                                const FlowRequest<T>& flow) {
  Params<T>& params = network_.params();
  const std::unique_lock<Lock> guard(params.lock);
  call.sequence.draw = uint64_t(steps_taken);  // a skipped step does not consume a draw
  if (!tape_ || !tape_->renew(call.sequence)) {
    tape_.reset();  // first, so that the new tape can reuse its memory
    tape_ = network_.new_tape(call.sequence, true);
  }
  gradient_.reserve(params.count());
  double omega = 0, activity = 0;
  BackwardCall<T> backward;
  backward.gradients = gradient_.data();
  backward.omega_value = &omega;
  backward.activity_penalty = &activity;
  backward.flow = flow;
  const double loss = loss_and_gradients(call, target, backward, *tape_, kept_);
  const double penalty = add_weight_penalty(config_, params, gradient_.data());
  StepResult result = update();
  result.loss = loss;
  result.weight_penalty = penalty;
  result.omega = omega;
  result.activity_penalty = activity;
  return result;
}

template <class T>
StepResult Model<T>::gradients(const ForwardCall<T>& call, const Target<T>& target,
                               BackwardCall<T> backward) const {
  const auto tape = network_.new_tape(call.sequence, true);
  Buffer<T> kept;
  StepResult result;
  backward.omega_value = &result.omega;
  backward.activity_penalty = &result.activity_penalty;
  result.loss = loss_and_gradients(call, target, backward, *tape, kept);
  result.weight_penalty = add_weight_penalty(config_, network_.params(), backward.gradients);
  result.grad_norm = gradient_norm(backward.gradients, network_.params().count()).value();
  result.clipped_norm = result.grad_norm;
  return result;
}

template <class T>
StepResult Model<T>::apply(const T* gradients) {
  const Params<T>& params = network_.params();
  const std::unique_lock<Lock> guard(network_.params().lock);
  gradient_.reserve(params.count());
  std::memcpy(gradient_.data(), gradients, size_t(params.count()) * sizeof(T));
  params.restrict_gradient(gradient_.data());
  return update();
}

template <class T>
TargetRows Model<T>::run_losses(const ForwardCall<T>& call, RowLosses<T>& losses, Tape<T>& tape,
                                Buffer<T>* kept) const {
  TargetRows targets;
  if (call.y) {
    targets = target_rows(tape.order(), config_.network.last_only, nullptr);
    losses.expect(targets.count);
    network_.clear_padding(tape.order(), call);
  } else {
    targets = losses.rows(tape.order());
  }
  const size_t bytes = size_t(config_.network.output) * sizeof(T);
  ReadoutForward<T> readout;
  readout.targets = &targets;
  readout.each_row = [&](int64_t i, int64_t t, int64_t n, T* out) {
    if (call.y) std::memcpy(network_.output_at(call, t, n), out, bytes);
    losses.row(i, t, n, out);
  };
  if (kept) {
    kept->reserve(checked_count(targets.count, network_.output_row()));
    readout.keep = kept->data();
  }
  network_.forward(call, readout, tape);
  return targets;
}

template <class T>
double Model<T>::loss_and_gradients(const ForwardCall<T>& call, const Target<T>& target,
                                    BackwardCall<T>& backward, Tape<T>& tape,
                                    Buffer<T>& kept) const {
  RowLosses<T> losses(config_, target);
  const TargetRows targets = run_losses(call, losses, tape, &kept);
  backward.settings = settings_of(config_);
  network_.backward(backward, {&targets, nullptr, kept.data()}, tape);
  return losses.total();
}

// Clips gradient_ and updates the parameters with it. Skips the step, or fails, if the gradient or
// the result of the update is not finite.
template <class T>
StepResult Model<T>::update() {
  if (std::max(steps_taken, steps_skipped) >= kMostSteps) refuse_step();
  StepResult result;
  Norm norm;
  double scale = 1;
  {
    const Timed timed(Phase::clip);
    if (!usable(result, norm)) {
      result.skipped = true;
      ++steps_skipped;
      return result;
    }
    scale = clip(result, norm);
  }
  const Timed timed(Phase::optimizer);
  if (optimizer_.step(gradient_.data(), norm.value(), scale)) {
    ++steps_taken;
    return result;
  }
  if (config_.nonfinite == BPTT_NONFINITE_RAISE) {
    throw Error(BPTT_ERR_NONFINITE, "", "",
                "the update would overflow and leave parameters or moments that are not finite");
  }
  result.skipped = true;
  ++steps_skipped;
  return result;
}

// Returns whether gradient_ can be used for an update, and sets `norm`. The options decide how a
// gradient that is not finite is handled.
template <class T>
bool Model<T>::usable(StepResult& result, Norm& norm) {
  const int64_t count = network_.params().count();
  norm = gradient_norm(gradient_.data(), count);
  result.grad_norm = result.clipped_norm = norm.value();
  if (norm.finite()) return true;
  if (config_.nonfinite == BPTT_NONFINITE_RAISE)
    throw Error(
        BPTT_ERR_NONFINITE, "", "",
        std::isnan(norm.fraction) ? "the gradient contains NaN" : "the gradient contains infinity");
  if (config_.nonfinite == BPTT_NONFINITE_SKIP) return false;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(gradient_[i])) gradient_[i] = T(0);
  }
  norm = gradient_norm(gradient_.data(), count);
  result.clipped_norm = norm.value();
  result.clipped = true;
  result.clip_angle = std::numeric_limits<double>::quiet_NaN();
  return true;
}

// Clips gradient_ by value, then by tensor, then by global norm. The optimiser applies the factor
// of the global norm in its own pass; the function returns that factor. `norm` is the norm of
// gradient_, on entry and on return.
template <class T>
double Model<T>::clip(StepResult& result, Norm& norm) {
  const Params<T>& params = network_.params();
  T* gradient = gradient_.data();
  const int64_t count = params.count();
  const bool by_value =
      config_.clip_value > 0 && gradient_largest(gradient, count) > config_.clip_value;
  if (by_value || config_.clip_tensor_norm > 0) {
    unclipped_.reserve(count);
    std::memcpy(unclipped_.data(), gradient, size_t(count) * sizeof(T));
  }
  bool turned = by_value && clip_value(gradient, count, config_.clip_value) > 0;
  if (config_.clip_tensor_norm > 0 && clip_tensor_norm(params, gradient, config_.clip_tensor_norm))
    turned = true;
  if (turned) {
    const Norm before = norm;
    norm = gradient_norm(gradient, count);
    result.clipped = true;
    result.clipped_norm = norm.value();
    if (!std::isnan(result.clip_angle))
      result.clip_angle = angle(unclipped_.data(), before, gradient, norm, count);
  }
  if (config_.clip_norm <= 0) return 1;
  const Factor factor = factor_to(config_.clip_norm, norm);
  if (factor.none()) return 1;
  result.clipped = true;
  result.clipped_norm = config_.clip_norm;
  if (factor.first != 1) {
    rescale(gradient, count, factor.first);
    norm = gradient_norm(gradient, count);
  }
  return factor.second;
}

template <class T>
double Model<T>::output_gradient(const ForwardCall<T>& call, const Target<T>& target) const {
  const bool last_only = config_.network.last_only;  // if true, lengths and steps are not used
  const Order order(target.steps, target.batch, last_only ? nullptr : call.sequence.lengths);
  const TargetRows targets = target_rows(order, last_only, nullptr);
  RowLosses<T> losses(config_, target);
  losses.expect(targets.count);
  network_.clear_padding(order, call);
  run_team(network_.stack().team_size(order.rows()), [&](const Team& team) {
    const int64_t begin = team.begin(targets.count), end = team.end(targets.count);
    for (int64_t t = 0; t < order.steps(); ++t) {
      for (int64_t i = 0; i < order.live(t); ++i) {
        const int64_t index = targets.of(order.first(t) + i), n = order.sequence(i);
        if (index >= begin && index < end) losses.row(index, t, n, network_.output_at(call, t, n));
      }
    }
  });
  return losses.total();
}

template <class T>
double Model<T>::evaluate(const ForwardCall<T>& call, const Target<T>& target) const {
  const auto tape = network_.new_tape(call.sequence, false);
  RowLosses<T> losses(config_, target);
  run_losses(call, losses, *tape, nullptr);
  return losses.total();
}

template class Model<float>;
template class Model<double>;

}  // namespace bptt
