// model.h: a network with a loss and an optimiser; one call per training step. The C API checks the
// arguments.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "model/clip.h"
#include "model/init.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/option_table.h"

namespace bptt {

// The options of bptt.h, and values that the engine derives from them. They must have been checked
// (option_rules.h). `class_weights` owns the weights.
struct ModelConfig : ModelOptions {
  explicit ModelConfig(const ModelOptions& options = default_options());

  NetworkConfig network;              // prefix "rnn.", output > 0
  bool mean;                          // the reduction
  std::vector<double> class_weights;  // [O]; empty: all are 1
  const double* weights() const { return class_weights.empty() ? nullptr : class_weights.data(); }
};

// The current options of a model; its optimiser may have changed some. class_weights and
// alphas are views.
ModelOptions options_of(const ModelConfig& config, const OptimizerConfig& optimizer);

template <class T>
struct Target {
  const int64_t* classes = nullptr;
  const T* values = nullptr;
  int64_t t = 0, n = 0;        // strides
  const T* weights = nullptr;  // null: all are 1
  int64_t weights_t = 0, weights_n = 0;
  // targets exist for t < steps, n < batch; steps is 1 with last_only
  int64_t steps = 0, batch = 0;
  const int64_t* lengths = nullptr;  // targets also need t < lengths[n]; null: no such limit
  // sum of the targets' weights (row_losses.h), > 0 and finite; LossKind::divisor computes the
  // divisor of a mean from it
  double total_weight = 0;
  bool all = false;  // every target counts
  bool exists(int64_t step, int64_t sequence) const { return !lengths || step < lengths[sequence]; }
};

struct StepResult {
  double loss = 0, grad_norm = 0, omega = 0, weight_penalty = 0, activity_penalty = 0;
  // norm after clipping; angle between the gradients before and after it
  double clipped_norm = 0, clip_angle = 0;
  bool clipped = false, skipped = false;
};

// A user's array that is saved in the model file.
struct Extra {
  enum class Type { float32, float64, int64 } type;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

template <class T>
class RowLosses;

template <class T>
class Model {
 public:
  enum class Blank { no, yes };  // yes: parameters stay zero until they are read from a file
  explicit Model(const ModelConfig& config, Blank blank = Blank::no);

  const ModelConfig& config() const { return config_; }
  Network<T>& network() { return network_; }
  const Network<T>& network() const { return network_; }
  Optimizer<T>& optimizer() { return optimizer_; }
  const Optimizer<T>& optimizer() const { return optimizer_; }

  // Runs one training step; results may be null. Locks network().params().lock exclusively for the
  // whole step. If the step fails, nothing changes. Throws Error, also when a value is not finite
  // and the options demand an error. Of the call's results only the states are written; the number
  // of steps taken serves as its draw.
  StepResult train_step(ForwardCall<T> call, const Target<T>& target, const FlowRequest<T>& flow);
  // Runs the second half of a step with the caller's gradients; those of frozen tensors are taken
  // as 0. Takes the lock, too. The result has no loss.
  StepResult apply(const T* gradients);
  // Runs the first half of a step: computes loss and gradient. Writes to the outputs that
  // `backward` names; the model sets its settings. The caller holds the lock (shared).
  StepResult gradients(const ForwardCall<T>& call, const Target<T>& target,
                       BackwardCall<T> backward) const;
  // Replaces call.y with dL/dy and returns the loss. Uses only the lengths of the sequence and no
  // parameters, so that no lock is needed.
  double output_gradient(const ForwardCall<T>& call, const Target<T>& target) const;
  // The caller holds the lock (shared).
  double evaluate(const ForwardCall<T>& call, const Target<T>& target) const;

  int64_t steps_taken = 0, steps_skipped = 0;  // from 0 to kMostSteps
  std::map<std::string, std::string> metadata;
  std::map<std::string, Extra> extras;

 private:
  // Runs forward, computes the losses of all target rows (with call.y also the outputs of the other
  // rows), and returns the target rows. `kept` (or null) receives dL/d output of each target row.
  TargetRows run_losses(const ForwardCall<T>& call, RowLosses<T>& losses, Tape<T>& tape,
                        Buffer<T>* kept) const;
  double loss_and_gradients(const ForwardCall<T>& call, const Target<T>& target,
                            BackwardCall<T>& backward, Tape<T>& tape, Buffer<T>& kept) const;
  StepResult update();
  bool usable(StepResult& result, Norm& norm);
  double clip(StepResult& result, Norm& norm);

  ModelConfig config_;
  Network<T> network_;
  Optimizer<T> optimizer_;
  // Kept between steps.
  Buffer<T> gradient_, kept_, unclipped_;
  std::unique_ptr<Tape<T>> tape_;
};

using AnyModel = std::variant<std::unique_ptr<Model<float>>, std::unique_ptr<Model<double>>>;

// Defined in file.cpp and disk.cpp. They throw Error (format, io) and std::bad_alloc.
template <class T>
std::vector<std::byte> serialize(const Model<T>& model);  // the caller holds the lock
AnyModel deserialize(const std::byte* bytes, size_t size);
// Writes a temporary file, syncs it, renames it and syncs the folder.
void write_file(const std::string& path, const std::vector<std::byte>& bytes);
std::vector<std::byte> read_file(const std::string& path);

}  // namespace bptt
