// network.h: (embedding,) recurrent layers (, readout) over one parameter vector; forward and
// backward on the caller's arrays. A layer of the C API is a network without embedding and readout.
// Arguments are checked by capi; nothing here checks again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "kernels.h"
#include "model/params.h"
#include "sequence/layer.h"

namespace bptt {

struct NetworkConfig : LayerConfig {
  int64_t input = 0;         // I; with tokens: V
  bool tokens_only = false;  // a model with a vocabulary
  int64_t embedding = 0;     // E; 0: no table
  int64_t output = 0;        // O; 0: no readout, the output is h
  bool last_only = false;    // the readout looks at the last step only
  std::string prefix;        // of the layers' parameter names: "" or "rnn."
};

// Arrays as in bptt.h.
template <class T>
struct Outputs {
  T* y = nullptr;
  int64_t y_t = 0, y_n = 0;
  T* hn = nullptr;
  T* cn = nullptr;
};

// The readout's weights as the kernels want them.
template <class T>
struct PackedReadout {
  uint64_t version = 0;
  const KernelTable* table = nullptr;
  Buffer<T> forward, backward;  // W_o^T, W_o
  Buffer<T> bias;
};

template <class T>
struct Backward {
  const T* dy = nullptr;
  int64_t dy_t = 0, dy_n = 0;
  const T* dhn = nullptr;
  const T* dcn = nullptr;
  double clip_step = 0, clip_step_norm = 0;  // 0: off
  int64_t k1 = 0, k2 = 0;                    // truncation; 0: off
  double omega = 0;                          // weight of the regulariser; 0: off
  double* omega_value = nullptr;
  T* gradients = nullptr;
  bool accumulate = false;
  T* dx = nullptr;
  int64_t dx_t = 0, dx_n = 0;
  T* dh0 = nullptr;
  T* dc0 = nullptr;
  double* flow = nullptr;
  double* flow_c = nullptr;
};

// Outputs are computed row by row ("target rows": all T*N, or the last N with last_only). What
// happens to a row is the caller's: copied out, or turned into a loss and its gradient.
template <class T>
struct ReadoutForward {
  std::function<void(int64_t row, T* out)> each_row;
  T* keep =
      nullptr;  // [target rows, O], output_row() apart: where they stay; null: a block at a time
};
template <class T>
struct ReadoutBackward {
  std::function<void(int64_t row, T* dout)> each_row;  // fills dL/d output of a row
  const T* kept = nullptr;                             // or: they are all here
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
  void forward(const Sequence<T>& sequence, const Outputs<T>& outputs,
               std::unique_ptr<Tape<T>>* tape) const;
  // The tape must be fresh: tape.version() == params().version().
  void backward(const Tape<T>& tape, const Backward<T>& call) const;

  // The same with a readout of the caller's. y is that of a network without readout.
  std::unique_ptr<Tape<T>> new_tape(const Sequence<T>& sequence, bool remember) const;
  void forward(const Sequence<T>& sequence, const Outputs<T>& outputs,
               const ReadoutForward<T>& readout, Tape<T>& tape) const;
  void backward(const Tape<T>& tape, const Backward<T>& call,
                const ReadoutBackward<T>& readout) const;

  int64_t target_rows(int64_t steps, int64_t batch) const {
    return config_.last_only ? batch : checked_count(steps, batch);
  }
  int64_t output_row() const { return padded_row<T>(config_.output); }

  // For streams: everything a step needs, as it is now.
  const Stack<T>& stack() const { return stack_; }
  bool one_hot() const { return config_.tokens_only && !config_.embedding; }
  std::shared_ptr<const PackedReadout<T>> packed_readout() const;

 private:
  bool readout_backward(const Team& team, const Block<T>& block, const Tape<T>& tape,
                        const Kernels<T>& kernels, const PackedReadout<T>& packed,
                        const ReadoutBackward<T>& readout, T* dout, T* panels, T* dy) const;
  const T* table() const { return config_.embedding ? params_.data(*embedding_) : nullptr; }
  T* gradient_of(T* gradients, const Param* tensor) const {
    return gradients && tensor ? gradients + tensor->offset : nullptr;
  }

  NetworkConfig config_;
  Params<T> params_;
  const Param* embedding_ = nullptr;
  const Param* readout_weight_ = nullptr;
  const Param* readout_bias_ = nullptr;
  Stack<T> stack_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<PackedReadout<T>> packed_;
};

}  // namespace bptt
