// layer.h: a stack of recurrent layers, and the only loop over time.
//
// Time is walked in blocks of about 256 rows (steps x batch), so that what a block needs stays in
// cache. Within a block, layer by layer: the input part of the pre-activations for all its steps
// (one product), then step by step the recurrent part. Backward the same from the end: step by step
// the pre-activation gradients dz, then the block's weight gradients and dx (products again).
// Forward, threads share the rows of a block and of the batch. Backward, each takes whole shards of
// the batch (or, where there is one only, its rows). Every sum is made by one thread in one order,
// and blocks and shards depend on sizes only, so bits do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels.h"
#include "sequence/pool.h"
#include "sequence/tape.h"

namespace bptt {

// A batch of sequences (bptt.h: bptt_sequence). Exactly one of x and tokens is not null.
template <class T>
struct Sequence {
  int64_t steps = 0, batch = 0;
  const T* x = nullptr;
  int64_t x_t = 0, x_n = 0;
  const int64_t* tokens = nullptr;
  int64_t tokens_t = 0, tokens_n = 0;
  const T* h0 = nullptr;
  const T* c0 = nullptr;
  const int64_t* lengths = nullptr;  // [N]; null: all of T
  const uint8_t* resets = nullptr;   // 1: the states are zero before this step
  int64_t resets_t = 0, resets_n = 0;
  uint64_t draw = 0;  // which random masks
};

// Where a layer's tensors begin in the flat vector; biases -1 where there are none.
struct LayerOffsets {
  int64_t weight_ih, weight_hh, bias_ih, bias_hh;
};

// A part of the batch that a backward pass walks on its own, sequences [begin, end), and what it
// adds to or writes.
constexpr int64_t kMostShards = 4;
template <class T>
struct Shard {
  int64_t index, begin, end;
  T* gradients;
  T* table_gradient;
  double* flow;
  double* flow_c;
};

// Some steps, [first, last), of a part of the batch (forward: of all of it).
template <class T>
struct Block {
  int64_t first, last;
  int64_t rows;  // steps x sequences; numbered by step, then by sequence
  const T* top;  // h of the top layer after step `first`, of the part's first sequence
  Shard<T> shard;
};

// The rows of a block (unit by unit, `row` apart, N sequences to a step) packed as the right-hand
// side of a product over them; a team shares the panels.
template <class T>
void pack_rows(const Kernels<T>& kernels, const Team& team, const Block<T>& block, int64_t N,
               const T* rows, int64_t row, int64_t units, T* packed) {
  const int64_t panels = panel_count(kernels, units), count = block.shard.end - block.shard.begin;
  const int64_t steps = block.rows / count;
  // Rows of all sequences follow each other from step to step; those of some do so within a step.
  const int64_t runs = count == N ? 1 : steps, length = block.rows / runs;
  for (int64_t i = 0; i < runs; ++i) {
    kernels.pack(PackArgs<T>{rows + i * N * row, row, 1, 0, units, 1, block.rows, i * length,
                             length, team.begin(panels), team.end(panels), packed});
  }
}

constexpr int64_t kBlockRows = 256;
constexpr int64_t block_steps(int64_t batch) {
  return batch >= kBlockRows ? 1 : kBlockRows / batch;
}

template <class T>
struct ForwardCall {
  const T* parameters;
  uint64_t version;
  const Sequence<T>* sequence;
  const T* table = nullptr;  // with tokens: rows [input] that stand for them; null: one-hot
  T* y = nullptr;            // h of the top layer
  int64_t y_t = 0, y_n = 0;
  T* hn = nullptr;
  T* cn = nullptr;
  // Run by every member of the team when a block is done.
  std::function<void(const Team&, const Block<T>&)> after_block;
};

template <class T>
struct BackwardCall {
  const T* parameters;
  uint64_t version;
  const T* dy = nullptr;  // of the top layer's h, strided
  int64_t dy_t = 0, dy_n = 0;
  // Or: run by every member before a block; fills dy [rows, H] (state_row apart) and returns true,
  // or returns false for zeros.
  std::function<bool(const Team&, const Block<T>&, T* dy)> before_block;
  const T* dhn = nullptr;
  const T* dcn = nullptr;
  double clip_step = 0, clip_step_norm = 0;
  int64_t parameter_count = 0;  // of the flat vector
  T* gradients = nullptr;       // added to
  T* table_gradient = nullptr;  // added to
  T* dx = nullptr;
  int64_t dx_t = 0, dx_n = 0;
  T* dh0 = nullptr;
  T* dc0 = nullptr;
  double* flow = nullptr;
  double* flow_c = nullptr;
};

// Weights as the kernels want them; rebuilt when parameters or instruction set change.
template <class T>
struct Packed {
  uint64_t version = 0;
  const KernelTable* table = nullptr;
  bool one_hot = false;
  struct Layer {
    Buffer<T> input, recurrent;  // forward: W_ih^T, W_hh^T. backward: W_ih, W_hh
    Buffer<T> bias;              // forward: [gates, plane]: b_ih + b_hh (GRU's n: b_ih)
    Buffer<T> bias_hidden;       // forward: GRU's b_hn
    Buffer<T> token_rows;        // forward, one-hot: [V, gates * plane], a token's part of the
                                 // pre-activations with the bias
  };
  std::vector<Layer> layers;
};

template <class T>
class Stack {
 public:
  Stack(const StackConfig& config, std::vector<LayerOffsets> offsets)
      : config_(config), geometry_(config), offsets_(std::move(offsets)) {}

  const StackConfig& config() const { return config_; }
  const Geometry<T>& geometry() const { return geometry_; }

  // A tape for all of T (remember) or for one block at a time.
  std::unique_ptr<Tape<T>> new_tape(const Sequence<T>& sequence, bool table, bool remember) const;

  // Throw std::bad_alloc; Error where the caller's cancel callback says so.
  void forward(const ForwardCall<T>& call, Tape<T>& tape) const;
  void backward(const BackwardCall<T>& call, const Tape<T>& tape) const;

  std::shared_ptr<const Packed<T>> packed_forward(const T* parameters, uint64_t version,
                                                  bool one_hot) const;
  std::shared_ptr<const Packed<T>> packed_backward(const T* parameters, uint64_t version) const;

  // Into how many parts a backward pass divides a batch.
  int64_t shard_count(int64_t batch, int64_t parameters) const;

  // How many threads a pass over `rows` rows at a time is worth.
  int64_t team_size(int64_t rows) const;

 private:
  template <class Pack>
  std::shared_ptr<const Packed<T>> packed(std::shared_ptr<Packed<T>>& cached, Pack pack,
                                          const T* parameters, uint64_t version,
                                          bool one_hot) const;
  void pack_forward(const T* parameters, Packed<T>& packed, const Kernels<T>& kernels) const;
  void pack_backward(const T* parameters, Packed<T>& packed, const Kernels<T>& kernels) const;

  StackConfig config_;
  Geometry<T> geometry_;
  std::vector<LayerOffsets> offsets_;
  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
  mutable std::mutex mutex_;
  mutable std::shared_ptr<Packed<T>> forward_, backward_;
};

}  // namespace bptt
