// network.h: an optional embedding, recurrent layers and an optional readout over one parameter
// vector; forward and backward passes on the caller's arrays. A layer of the C API is a network
// without embedding and readout. The C API checks the arguments; nothing here checks them again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model/params.h"
#include "model/snapshot.h"
#include "sequence/stack.h"

namespace bptt {

struct NetworkConfig : LayerConfig {
  explicit NetworkConfig(const bptt_layer_options& options)
      : LayerConfig(options), input(options.input_size) {}

  int64_t input;             // I; V with tokens
  bool tokens_only = false;  // a model with a vocabulary
  int64_t embedding = 0;     // E; 0: no embedding
  int64_t output = 0;        // O; 0: no readout, h is the output
  bool last_only = false;    // one output per sequence, at its last step
  bool last_row = false;  // both directions are read at row length - 1, not at their final states
  std::string prefix;     // of the parameter names of the layers: "" or "rnn."

  // Whether the readout reads the final states of two directions, which are at opposite ends of the
  // sequence.
  bool reads_ends() const { return last_only && bidirectional && !last_row; }
};

// Returns the tensors of a network, without values. Throws std::bad_alloc.
std::vector<Param> tensors_of(const NetworkConfig& config);

// The rows of the tape's order (sequence/order.h) that the readout reads: all steps of all
// sequences, the last step of each sequence, or a subset of these.
struct TargetRows {
  int64_t count = 0;
  // number among the targets of each row of the order, or -1; empty: every row is a target
  std::vector<int64_t> index;
  int64_t of(int64_t row) const { return index.empty() ? row : index[size_t(row)]; }
};
// Returns the rows for which wanted(t, n), in the caller's numbering, is true; null: all.
TargetRows target_rows(const Order& order, bool last_only,
                       const std::function<bool(int64_t t, int64_t n)>& wanted);

// The caller's treatment of each output row: copy it, or turn it into a loss and a gradient.
// `index` is its number among the targets; t and n are in the caller's numbering.
template <class T>
struct ReadoutForward {
  const TargetRows* targets = nullptr;
  std::function<void(int64_t index, int64_t t, int64_t n, T* out)> each_row;
  // [targets, O] with rows output_row() apart, receives the outputs; null: they exist for a block
  // at a time
  T* keep = nullptr;
};
template <class T>
struct ReadoutBackward {
  const TargetRows* targets = nullptr;
  // Writes dL/d output of a row.
  std::function<void(int64_t index, int64_t t, int64_t n, T* dout)> each_row;
  const T* kept = nullptr;  // all rows of dL/d output; used instead of each_row
};

template <class T>
class Network {
 public:
  explicit Network(const NetworkConfig& config);  // parameters are zero; throws std::bad_alloc

  const NetworkConfig& config() const { return config_; }
  Params<T>& params() { return params_; }
  const Params<T>& params() const { return params_; }

  // If `tape` is null, nothing is remembered. The caller holds params().lock (shared). Both throw
  // std::bad_alloc and Error (cancelled).
  void forward(const ForwardCall<T>& call, std::unique_ptr<Tape<T>>* tape) const;
  // Functions that take a tape use the parameters with which the tape was made, even if they have
  // changed since. Only the set of frozen tensors, whose gradients are 0, is the current one.
  void backward(const BackwardCall<T>& call, const Tape<T>& tape) const;

  // The same passes with the caller's readout. y and dy are those of a network without readout.
  std::unique_ptr<Tape<T>> new_tape(const Sequence<T>& sequence, bool remember) const;
  void forward(const ForwardCall<T>& call, const ReadoutForward<T>& readout, Tape<T>& tape) const;
  void backward(const BackwardCall<T>& call, const ReadoutBackward<T>& readout,
                const Tape<T>& tape) const;

  int64_t output_row() const { return padded_row<T>(config_.output); }

  // Returns the address of an output of the caller; with last_only t is ignored.
  T* output_at(const ForwardCall<T>& call, int64_t t, int64_t n) const {
    return call.y + (config_.last_only ? 0 : t * call.y_t) + n * call.y_n;
  }
  // Writes zeros to the outputs after the end of each sequence.
  void clear_padding(const Order& order, const ForwardCall<T>& call) const;

  // The layers, and the packed current parameters that a step reads.
  const Stack<T>& stack() const { return stack_; }
  std::shared_ptr<const Packed<T>> packed_forward(Weights weights = Weights::as_computed) const {
    return bptt::packed_forward(stack_, params_.data(), params_.version(), one_hot(), weights);
  }
  bool one_hot() const { return config_.tokens_only && !config_.embedding; }
  // Back: weights as computed only.
  std::shared_ptr<const PackedReadout<T>> packed_readout(
      Way way, Weights weights = Weights::as_computed) const;
  const Param* readout_weight() const { return readout_weight_; }
  const Param* readout_bias() const { return readout_bias_; }

  // Return, from the parameters with which the tape was made, the packed weights that the layers
  // read in a backward pass, and W_o[output, :] (copied to `scratch` if necessary).
  std::shared_ptr<const Packed<T>> packed_backward(const Tape<T>& tape) const;
  const T* readout_row(const Tape<T>& tape, int64_t output, Buffer<T>& scratch) const;

 private:
  const T* table() const { return config_.embedding ? params_.data(*embedding_) : nullptr; }
  void keep_for_tapes();
  // Returns the snapshot of a tape if the parameters have changed since it was made; otherwise
  // null.
  const Snapshot<T>* past(const Tape<T>& tape) const {
    return tape.snapshot() == snapshot_.get() ? nullptr : tape.snapshot();
  }
  std::shared_ptr<const PackedReadout<T>> packed_readout_backward(const Tape<T>& tape) const;

  NetworkConfig config_;
  Params<T> params_;
  const Param* embedding_ = nullptr;
  const Param* readout_weight_ = nullptr;
  const Param* readout_bias_ = nullptr;
  Stack<T> stack_;
  mutable PackCache<PackedReadout<T>> readout_forth_, readout_back_, readout_narrow_;
  // shared with the tapes of the current parameters; replaced when these change
  std::shared_ptr<Snapshot<T>> snapshot_;
};

}  // namespace bptt
