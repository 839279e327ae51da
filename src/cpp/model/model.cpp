#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "model/clip.h"
#include "model/row_losses.h"

namespace bptt {
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
  const bool fits = tape_ && tape_->steps() == sequence.steps && tape_->batch() == sequence.batch &&
                    tape_->tokens() == (sequence.tokens != nullptr);
  if (!fits) {
    tape_.reset();
    tape_ = network_.new_tape(sequence, true);
  }
  gradient_.reserve(params.count());
  Outputs<T> states;
  states.hn = hn;
  states.cn = cn;
  Backward<T> backward;
  backward.gradients = gradient_.data();
  backward.flow = flow;
  backward.flow_c = flow_c;
  const double loss = loss_and_gradients(sequence, target, states, backward, *tape_, outputs_);
  StepResult result = update();
  result.loss = loss;
  return result;
}

template <class T>
StepResult Model<T>::gradients(const Sequence<T>& sequence, const Target<T>& target,
                               const Outputs<T>& states, const Backward<T>& backward) const {
  const auto tape = network_.new_tape(sequence, true);
  Buffer<T> outputs;
  StepResult result;
  result.loss = loss_and_gradients(sequence, target, states, backward, *tape, outputs);
  result.grad_norm = gradient_norm(backward.gradients, network_.params().count());
  return result;
}

template <class T>
StepResult Model<T>::apply(const T* gradients) {
  const Params<T>& params = network_.params();
  const std::unique_lock<Lock> guard(network_.params().lock);
  gradient_.reserve(params.count());
  std::memcpy(gradient_.data(), gradients, size_t(params.count()) * sizeof(T));
  for (const Param& tensor : params.tensors()) {
    if (tensor.frozen) std::fill_n(gradient_.data() + tensor.offset, tensor.count, T(0));
  }
  return update();
}

// `outputs` receives dL/d output of every target row.
template <class T>
double Model<T>::loss_and_gradients(const Sequence<T>& sequence, const Target<T>& target,
                                    const Outputs<T>& states, Backward<T> backward, Tape<T>& tape,
                                    Buffer<T>& outputs) const {
  const int64_t N = sequence.batch, rows = network_.target_rows(sequence.steps, N);
  outputs.reserve(checked_count(rows, network_.output_row()));
  RowLosses<T> losses(config_, target, rows);
  network_.forward(
      sequence, states,
      {[&](int64_t row, T* out) { losses.row(row, row / N, row % N, out); }, outputs.data()}, tape);
  backward.clip_step = config_.clip_step;
  backward.clip_step_norm = config_.clip_step_norm;
  network_.backward(tape, backward, {nullptr, outputs.data()});
  return losses.total();
}

// Clips gradient_ and updates with it, unless it is not finite.
template <class T>
StepResult Model<T>::update() {
  StepResult result;
  result.grad_norm = gradient_norm(gradient_.data(), network_.params().count());
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
  const int64_t N = sequence.batch;
  RowLosses<T> losses(config_, target, network_.target_rows(sequence.steps, N));
  const size_t bytes = size_t(config_.network.output) * sizeof(T);
  network_.forward(sequence, outputs,
                   {[&](int64_t row, T* out) {
                      if (outputs.y)
                        std::memcpy(outputs.y + row / N * outputs.y_t + row % N * outputs.y_n, out,
                                    bytes);
                      losses.row(row, row / N, row % N, out);
                    },
                    nullptr},
                   *tape);
  return losses.total();
}

template class Model<float>;
template class Model<double>;

}  // namespace bptt
