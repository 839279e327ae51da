// network.h: (embedding,) recurrent layers (, readout) over one parameter vector; forward and
// backward on the caller's arrays. A layer of the C API is a network without embedding and readout.
// Arguments are checked by capi; nothing here checks again.
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

  int64_t input;             // I; with tokens: V
  bool tokens_only = false;  // a model with a vocabulary
  int64_t embedding = 0;     // E; 0: no table
  int64_t output = 0;        // O; 0: no readout, the output is h
  bool last_only = false;    // the readout reads once per sequence: the last step
  bool last_row = false;     // of two directions, row length - 1 of both rather than final states
  std::string prefix;        // of the layers' parameter names: "" or "rnn."

  // Whether the readout reads both directions' final states, which are at the two ends of a sequence.
  bool reads_ends() const { return last_only && bidirectional && !last_row; }
};

// The tensors of a network, without their values. Throws std::bad_alloc.
std::vector<Param> tensors_of(const NetworkConfig& config);

// The readout's rows: those of the tape's order (sequence/order.h) that have an output. All steps of
// all sequences, each sequence's last step, or a subset of these.
struct TargetRows {
  int64_t count = 0;
  std::vector<int64_t>
      index;  // per row of the order its number among the targets, or -1; empty: all
  int64_t of(int64_t row) const { return index.empty() ? row : index[size_t(row)]; }
};
// wanted(t, n) in the caller's numbering narrows it down; null: all.
TargetRows target_rows(const Order& order, bool last_only,
                       const std::function<bool(int64_t t, int64_t n)>& wanted);

// What happens to a row is the caller's: copied out, or turned into a loss and its gradient. `index`
// is its number among the targets; t and n are the caller's.
template <class T>
struct ReadoutForward {
  const TargetRows* targets = nullptr;
  std::function<void(int64_t index, int64_t t, int64_t n, T* out)> each_row;
  // [targets, O], output_row() apart: where they stay; null: a block at a time
  T* keep = nullptr;
};
template <class T>
struct ReadoutBackward {
  const TargetRows* targets = nullptr;
  // Fills dL/d output of a row.
  std::function<void(int64_t index, int64_t t, int64_t n, T* dout)> each_row;
  const T* kept = nullptr;  // or: they are all here
};

template <class T>
class Network {
 public:
  explicit Network(const NetworkConfig& config);  // parameters zero; throws std::bad_alloc

  const NetworkConfig& config() const { return config_; }
  Params<T>& params() { return params_; }
  const Params<T>& params() const { return params_; }

  // tape null: nothing is remembered. The caller holds params().lock (shared). Throw
  // std::bad_alloc, Error (cancelled).
  void forward(const ForwardCall<T>& call, std::unique_ptr<Tape<T>>* tape) const;
  // All that take a tape go back with the parameters that it was made with, whatever these are now. Only
  // which tensors are frozen, so that their gradients are 0, is as it is now.
  void backward(const BackwardCall<T>& call, const Tape<T>& tape) const;

  // The same with a readout of the caller's. y and dy are those of a network without readout.
  std::unique_ptr<Tape<T>> new_tape(const Sequence<T>& sequence, bool remember) const;
  void forward(const ForwardCall<T>& call, const ReadoutForward<T>& readout, Tape<T>& tape) const;
  void backward(const BackwardCall<T>& call, const ReadoutBackward<T>& readout,
                const Tape<T>& tape) const;

  int64_t output_row() const { return padded_row<T>(config_.output); }

  // Where an output of the caller's is (with last_only t counts for nothing).
  T* output_at(const ForwardCall<T>& call, int64_t t, int64_t n) const {
    return call.y + (config_.last_only ? 0 : t * call.y_t) + n * call.y_n;
  }
  // Zeros where sequences have ended.
  void clear_padding(const Order& order, const ForwardCall<T>& call) const;

  // The layers, and all that a step reads of the parameters as they are now.
  const Stack<T>& stack() const { return stack_; }
  std::shared_ptr<const Packed<T>> packed_forward() const {
    return bptt::packed_forward(stack_, params_.data(), params_.version(), one_hot());
  }
  bool one_hot() const { return config_.tokens_only && !config_.embedding; }
  std::shared_ptr<const PackedReadout<T>> packed_readout(Way way) const;
  const Param* readout_weight() const { return readout_weight_; }
  const Param* readout_bias() const { return readout_bias_; }

  // Of the parameters that a tape was made with: all that layers read on the way back; W_o[output, :], in
  // `scratch` if need be.
  std::shared_ptr<const Packed<T>> packed_backward(const Tape<T>& tape) const;
  const T* readout_row(const Tape<T>& tape, int64_t output, Buffer<T>& scratch) const;

 private:
  const T* table() const { return config_.embedding ? params_.data(*embedding_) : nullptr; }
  void keep_for_tapes();
  // The snapshot of a tape whose parameters have changed since; else null.
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
  mutable PackCache<PackedReadout<T>> readout_forth_, readout_back_;
  std::shared_ptr<Snapshot<T>> snapshot_;  // of the parameters as they are; changes with them
};

}  // namespace bptt
