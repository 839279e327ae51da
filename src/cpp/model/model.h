// model.h: a network with a loss and an optimiser: one call per training step. Arguments are
// checked by capi.
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

// The options as bptt.h has them, with what the engine derives. Options are checked before (option_rules.h).
// `class_weights` owns the weights.
struct ModelConfig : ModelOptions {
  explicit ModelConfig(const ModelOptions& options = default_options());

  NetworkConfig network;              // prefix "rnn.", output > 0
  bool mean;                          // the reduction
  std::vector<double> class_weights;  // [O], or empty: all 1
  const double* weights() const { return class_weights.empty() ? nullptr : class_weights.data(); }
};

// The options of a model, which its optimiser may have changed since. class_weights is a view.
ModelOptions options_of(const ModelConfig& config, const OptimizerConfig& optimizer);

template <class T>
struct Target {
  const int64_t* classes = nullptr;
  const T* values = nullptr;
  int64_t t = 0, n = 0;        // strides
  const T* weights = nullptr;  // null: all 1
  int64_t weights_t = 0, weights_n = 0;
  int64_t steps = 0, batch = 0;      // targets are (t, n) below these; steps is 1 with last_only
  const int64_t* lengths = nullptr;  // and t is below the sequence's length; null: no such limit
  double total_weight = 0;           // what a mean is divided by (row_losses.h); > 0 and finite
  bool all = false;                  // every one of them counts
  bool exists(int64_t step, int64_t sequence) const { return !lengths || step < lengths[sequence]; }
};

struct StepResult {
  double loss = 0, grad_norm = 0, omega = 0;
  double clipped_norm = 0, clip_angle = 0;  // after clipping; between the gradient before and after
  bool clipped = false, skipped = false;
};

// An array of the user's that travels in the model file.
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
  enum class Blank { no, yes };  // yes: parameters stay zero, to be filled from a file
  explicit Model(const ModelConfig& config, Blank blank = Blank::no);

  const ModelConfig& config() const { return config_; }
  Network<T>& network() { return network_; }
  const Network<T>& network() const { return network_; }
  Optimizer<T>& optimizer() { return optimizer_; }
  const Optimizer<T>& optimizer() const { return optimizer_; }

  // Takes network().params().lock itself (exclusively for the whole step). Results may be null. All
  // or nothing.
  // Throws Error (not finite, where the options say so), too. Of the call's results the states are
  // written; its draw is the number of steps taken.
  StepResult train_step(ForwardCall<T> call, const Target<T>& target, const FlowRequest<T>& flow);
  // Its second half, for gradients of the caller's own (of frozen tensors they are taken as 0);
  // takes the lock too. The result has no loss.
  StepResult apply(const T* gradients);
  // Its first half: loss and gradient alone. Of `backward` the results are used; the model adds its
  // settings. The caller holds the lock (shared).
  StepResult gradients(const ForwardCall<T>& call, const Target<T>& target,
                       BackwardCall<T> backward) const;
  // Turns call.y into dL/dy and returns the loss. Of the sequence the lengths are used; the parameters
  // are not, so no lock is needed.
  double output_gradient(const ForwardCall<T>& call, const Target<T>& target) const;
  // The caller holds the lock (shared).
  double evaluate(const ForwardCall<T>& call, const Target<T>& target) const;

  int64_t steps_taken = 0, steps_skipped = 0;  // from 0 to kMostSteps
  std::map<std::string, std::string> metadata;
  std::map<std::string, Extra> extras;

 private:
  // Runs forward with the losses of all target rows, and with call.y those of the other rows too, and
  // returns the rows. `kept` (or null) receives dL/d output of each.
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

// file.cpp, disk.cpp. Throw Error (format, io) and std::bad_alloc.
template <class T>
std::vector<std::byte> serialize(const Model<T>& model);  // the caller holds the lock
AnyModel deserialize(const std::byte* bytes, size_t size);
void write_file(
    const std::string& path,
    const std::vector<std::byte>& bytes);  // sibling, fsync, rename, fsync of the folder
std::vector<std::byte> read_file(const std::string& path);

}  // namespace bptt
