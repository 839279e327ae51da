#include "model/model.h"

#include <cmath>
#include <cstring>
#include <mutex>

#include "model/clip.h"
#include "model/loss.h"

namespace bptt {
namespace {

// The loss of every target row, summed in their order.
template <class T>
class RowLosses {
 public:
  RowLosses(const ModelConfig& config, const Target<T>& target, int64_t rows)
      : kernels_(kernels_of<T>(*active_kernels())),
        config_(config),
        target_(target),
        outputs_(config.network.output),
        losses_(rows),
        factor_(!config.mean ? 1.0
                : config.loss == Loss::cross_entropy
                    ? 1.0 / double(rows)
                    : 1.0 / (double(rows) * double(config.network.output))) {}

  // out becomes the gradient of the loss with respect to it.
  void row(int64_t index, int64_t t, int64_t n, T* out) {
    const int64_t at = (config_.network.last_only ? 0 : t * target_.t) + n * target_.n;
    losses_[index] = config_.loss == Loss::cross_entropy
                         ? cross_entropy_row(kernels_, out, outputs_, target_.classes[at], factor_)
                         : squared_error_row(out, target_.values + at, outputs_, factor_);
  }

  double total() const {
    double sum = 0;
    for (int64_t i = 0; i < losses_.count(); ++i) sum += losses_[i];
    return sum * factor_;
  }

 private:
  const Kernels<T>& kernels_;
  const ModelConfig& config_;
  const Target<T>& target_;
  int64_t outputs_;
  Buffer<double> losses_;
  double factor_;
};

}  // namespace

template <class T>
Model<T>::Model(const ModelConfig& config, Blank blank)
    : config_(config), network_(config.network), optimizer_(config.optimizer, network_.params()) {
  if (blank == Blank::no) initialise(network_, config.init);
}

template <class T>
StepResult Model<T>::train_step(const Sequence<T>& sequence, const Target<T>& target, T* hn, T* cn,
                                double* flow, double* flow_c) {
  Params<T>& params = network_.params();
  const std::unique_lock<Lock> guard(params.lock);
  tape_.reset();  // first, so that its memory is there for the next one
  Sequence<T> in = sequence;
  in.draw = uint64_t(steps_taken + steps_skipped);
  tape_ = network_.new_tape(in, true);
  const TargetRows targets = target_rows(tape_->order(), config_.network.last_only, nullptr);
  outputs_.reserve(checked_count(targets.count, network_.output_row()));
  gradient_.reserve(params.count());

  RowLosses<T> losses(config_, target, targets.count);
  Outputs<T> outputs;
  outputs.hn = hn;
  outputs.cn = cn;
  ReadoutForward<T> readout;
  readout.targets = &targets;
  readout.each_row = [&](int64_t i, int64_t t, int64_t n, T* out) { losses.row(i, t, n, out); };
  readout.keep = outputs_.data();
  network_.forward(in, outputs, readout, *tape_);
  double omega = 0;
  Backward<T> backward;
  backward.clip_step = config_.clip_step;
  backward.clip_step_norm = config_.clip_step_norm;
  backward.k1 = config_.k1;
  backward.k2 = config_.k2;
  backward.omega = config_.omega;
  backward.omega_value = &omega;
  backward.gradients = gradient_.data();
  backward.flow = flow;
  backward.flow_c = flow_c;
  network_.backward(*tape_, backward, {&targets, nullptr, outputs_.data()});

  StepResult result;
  result.loss = losses.total();
  result.omega = omega;
  result.grad_norm = gradient_norm(gradient_.data(), params.count());
  if (!std::isfinite(result.grad_norm)) {
    result.skipped = true;
    ++steps_skipped;
    return result;
  }
  const double scale = clip(result);
  optimizer_.step(gradient_.data(), scale);
  ++steps_taken;
  return result;
}

// By value, by tensor, by global norm. The last is left to the optimiser's own pass: returns its
// factor.
template <class T>
double Model<T>::clip(StepResult& result) {
  const Params<T>& params = network_.params();
  T* gradient = gradient_.data();
  if (config_.clip_value > 0 && clip_value(gradient, params.count(), config_.clip_value) > 0)
    result.clipped = true;
  if (config_.clip_tensor_norm > 0 && clip_tensor_norm(params, gradient, config_.clip_tensor_norm))
    result.clipped = true;
  if (config_.clip_norm <= 0) return 1;
  const double norm = result.clipped ? gradient_norm(gradient, params.count()) : result.grad_norm;
  if (norm <= config_.clip_norm) return 1;
  result.clipped = true;
  return config_.clip_norm / norm;
}

template <class T>
double Model<T>::evaluate(const Sequence<T>& sequence, const Target<T>& target,
                          const Outputs<T>& outputs) const {
  const auto tape = network_.new_tape(sequence, false);
  const TargetRows targets = target_rows(tape->order(), config_.network.last_only, nullptr);
  RowLosses<T> losses(config_, target, targets.count);
  const size_t bytes = size_t(config_.network.output) * sizeof(T);
  if (outputs.y) network_.clear_padding(tape->order(), sequence.steps, outputs);
  ReadoutForward<T> readout;
  readout.targets = &targets;
  readout.each_row = [&](int64_t i, int64_t t, int64_t n, T* out) {
    if (outputs.y) std::memcpy(network_.output_at(outputs, t, n), out, bytes);
    losses.row(i, t, n, out);
  };
  network_.forward(sequence, outputs, readout, *tape);
  return losses.total();
}

template class Model<float>;
template class Model<double>;

}  // namespace bptt
