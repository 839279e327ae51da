// stack.h: a stack of recurrent layers, and the only loop over time.
//
// Time is walked in blocks of about 256 rows (steps x batch), so that what a block needs stays in
// cache. Within a block, layer by layer: the input part of the pre-activations for all its steps
// (one product), then step by step the recurrent part. Backward the same from the end: step by step
// the pre-activation gradients dz, then the block's weight gradients and dx (products again). Two
// directions cannot share blocks, because each layer needs the other direction's end: then each
// walks through all blocks before the next layer begins.
// Forward, threads share the rows of a block and of the batch. Backward, each takes whole shards of
// the batch (or, where there is one only, its rows). Every sum is made by one thread in one order,
// and blocks and shards depend on sizes only, so bits do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/pool.h"
#include "kernels/kernels.h"
#include "sequence/batch.h"
#include "sequence/packing.h"
#include "sequence/tape.h"

namespace bptt {

// Where the tensors of a layer's direction begin in the flat vector; -1 where there is none.
struct LayerOffsets {
  int64_t weight_ih = -1, weight_hh = -1, bias_ih = -1, bias_hh = -1;
  int64_t weight_hr = -1, peephole = -1, ln_ih = -1, ln_hh = -1, ln_c = -1, bias_ln_c = -1;
};

// A part of the batch that a backward pass walks on its own, sequences [begin, end), and what it
// adds to or writes.
constexpr int64_t kMostShards = 4;
template <class T>
struct Shard {
  int64_t index, begin, end;
  T* gradients = nullptr;
  T* table_gradient = nullptr;
  double* flow = nullptr;
  double* flow_c = nullptr;
  double* flow_a = nullptr;
  bool shared = false;  // all rows are of the one sequence `begin` (Seeds)

  // Where the tape has row n of the part, and the one behind rows that end with n.
  int64_t place(int64_t n) const { return shared ? begin : begin + n; }
  int64_t place_end(int64_t n) const { return shared ? end : begin + n; }
};

// Losses of one sequence, each of an output at one step: rows of one backward walk. All rows of a step
// read the same row of the tape, and a row enters the walk at its own step.
template <class T>
struct Seeds {
  int64_t sample = 0;             // in the tape's order
  int64_t begin = 0;              // the walk's last step
  std::vector<int64_t> times;     // [rows]
  const T* dy = nullptr;          // [rows, D * R]: with respect to the top layer's h at its step
  std::vector<double*> dx_norms;  // [rows] of [T]: ||dL/dx_t||; empty: not asked for
  std::vector<double*> flow, flow_c;  // [rows] of [L * D, flow_walk]: ||dL/dh_t||, ||dL/dc_t||
  int64_t flow_walk = 0;              // from walk to walk
};

// Some steps, [first, last), of a part of the batch (forward: of all of it) whose rows `order`
// numbers. Rows of a block count from its first step on.
template <class T>
struct Block {
  const Order* order;
  const Order* all;  // of the tape
  int64_t first, last;
  int64_t counted;  // backward: the first step whose losses count here
  // Outputs of the top layer: rows from step `first` on in the numbering of top_order, the part's
  // from top_begin on.
  const T* top;
  int64_t top_row, top_begin;
  const Order* top_order;
  Shard<T> shard;

  int64_t rows() const { return order->first(last) - order->first(first); }
  int64_t row(int64_t t) const { return order->first(t) - order->first(first); }
  const T* top_rows(int64_t t) const {
    return top + (top_order->first(t) - top_order->first(first) + top_begin) * top_row;
  }
};

// body(row, t, n) for rows [begin, end) of a block, n within its part.
template <class T, class Body>
void for_rows(const Block<T>& block, int64_t begin, int64_t end, const Body& body) {
  const Order& order = *block.order;
  const bool uniform = order.uniform();
  const int64_t skipped = uniform ? begin / order.batch() : 0;
  int64_t at = skipped * order.batch();  // the step's first row
  for (int64_t t = block.first + skipped; t < block.last && at < end; ++t) {
    const int64_t live = uniform ? order.batch() : order.live(t), stop = std::min(live, end - at);
    for (int64_t n = begin > at ? begin - at : 0; n < stop; ++n) body(at + n, t, n);
    at += live;
  }
}

// Rows of a block (unit by unit, `row` apart) packed as the right-hand side of a product over them;
// a team shares the panels. at(t): where those of step t begin; `joined`: they follow on from step
// to step.
template <class T, class At>
void pack_rows(const Kernels<T>& kernels, const Team& team, const Block<T>& block, bool joined,
               const At& at, int64_t row, int64_t units, T* packed) {
  const int64_t panels = panel_count(kernels, units), rows = block.rows();
  for (int64_t t = block.first; t < block.last; ++t) {
    const int64_t count = joined ? rows : block.order->live(t);
    kernels.pack(PackArgs<T>{at(t), row, 1, 0, units, 1, rows, block.row(t), count,
                             team.begin(panels), team.end(panels), packed});
    if (joined) return;
  }
}

// Weights as the kernels want them.
template <class T>
struct Packed {
  PackKey key;
  struct Layer {
    Buffer<T> input, recurrent;  // forward: W_ih^T, W_hh^T. backward: W_ih, W_hh
    Buffer<T> recurrent_n;       // W_hn, with the reset before the product; then not in `recurrent`
    Buffer<T> projection;        // forward: W_hr^T, backward: W_hr
    Buffer<T> bias;              // forward: [gates, plane]: b_ih + b_hh (GRU's n: b_ih)
    Buffer<T> bias_hidden;       // forward: GRU's b_hn
    Buffer<T> token_rows;        // forward, one-hot: [V, gates * plane], a token's part of the
                                 // pre-activations with the bias (layer norm: without)
    Buffer<T> peephole;          // [peepholes, plane]
    Buffer<T> gains;        // layer norm: of W_ih x, of W_hh h [gates, plane] each; LSTM: of c_t
                            // and the bias of that [plane] each
    Buffer<int8_t> slopes;  // backward, Dale's law: of W_hh as it acts, by its elements [H, H]
  };
  std::vector<Layer> layers;
};

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
  bool ends = false;  // after_block: each direction's rows are at its own steps (gather.h)
  // Run by every member of the team when a block is done.
  std::function<void(const Team&, const Block<T>&)> after_block;
};

// What a backward pass leaves of every step, in the rows of the tape: total dL/dh_t and dL/dc_t, and the
// dz planes.
template <class T>
struct FlowRecord {
  struct Walk {
    Buffer<T> h, c, dz;  // [rows, R], [rows, H], [rows, dz planes, H], the internal rows apart
  };
  std::vector<Walk> walks;

  void put_h(int64_t walk, int64_t row, const Geometry<T>& geometry, const T* h) {
    const int64_t length = geometry.state_row;
    std::memcpy(walks[size_t(walk)].h.data() + row * length, h, size_t(length) * sizeof(T));
  }
  void put_dz(int64_t walk, int64_t row, const Geometry<T>& geometry, const T* dz) {
    const int64_t length = geometry.dz_row;
    std::memcpy(walks[size_t(walk)].dz.data() + row * length, dz, size_t(length) * sizeof(T));
  }
};

// What is asked of it (bptt_diagnostics.h: bptt_flow); null: nothing.
struct FlowDetail {
  double* samples[3] = {};  // of h, c, a
  double* units[3] = {};
  double* share[2] = {};  // of W_ih, W_hh
  double* weight[2] = {};
};

template <class T>
struct BackwardCall {
  std::shared_ptr<const Packed<T>> packed;  // of packed_backward
  const T* dy = nullptr;                    // of the top layer's h, strided
  int64_t dy_t = 0, dy_n = 0;
  // Or: run by every member before a block; fills dy [rows, H] (state_row apart) and returns true,
  // or returns false for zeros.
  std::function<bool(const Team&, const Block<T>&, T* dy)> before_block;
  bool ends = false;  // before_block, seeds: each direction's rows are at its own steps (gather.h)
  const T* dhn = nullptr;
  const T* dcn = nullptr;
  double clip_step = 0, clip_step_norm = 0;
  int64_t k1 = 0, k2 = 0;         // truncation; 0: off
  double omega = 0;               // weight of the regulariser; 0: off
  double* omega_value = nullptr;  // with its weight > 0
  int64_t parameter_count = 0;    // of the flat vector
  T* gradients = nullptr;         // added to
  T* table_gradient = nullptr;    // added to
  T* dx = nullptr;
  int64_t dx_t = 0, dx_n = 0;
  T* dh0 = nullptr;
  T* dc0 = nullptr;
  double* flow = nullptr;
  double* flow_c = nullptr;
  double* flow_a = nullptr;
  FlowRecord<T>* record = nullptr;
  const Seeds<T>* seeds = nullptr;  // in place of dy
};

// Whether a team shares the units of each step's product with W_hh rather than the sequences: where
// these are too few for its members to have equal shares, and a step is long enough to pay for a
// barrier or two. (Operands in pairs have one place per sequence.)
template <class T>
bool shares_units(const Team& team, const StackConfig& config, const Kernels<T>& kernels,
                  int64_t batch) {
  constexpr double kWorth = 1 << 15;  // multiply-adds of a member
  const double step = double(batch) * double(config.hidden) * double(config.hidden) *
                      double(config.shape().product_gates);
  return team.size > 1 && batch < 2 * team.size && !config.extended() && !kernels.pairs &&
         panel_count(kernels, config.hidden) >= team.size && step >= kWorth * team.size;
}

// Seeds of any sequences; arrays as in bptt_diagnostics.h.
template <class T>
struct SeedsCall {
  std::shared_ptr<const Packed<T>> packed;  // of packed_backward
  std::vector<int64_t> times, samples;      // [S]; samples in the tape's order
  const T* dy = nullptr;                    // [S, D * R]
  bool ends = false;                        // times are each direction's own steps
  int64_t horizon = 0;                      // 0: none
  double* dx_norms = nullptr;               // [S, T]
  double* flow = nullptr;                   // [L * D, S, T]
  double* flow_c = nullptr;
};

template <class T>
class StateRows;  // state_rows.h

template <class T>
class Stack {
 public:
  Stack(const StackConfig& config, std::vector<LayerOffsets> offsets)
      : config_(config), geometry_(config), offsets_(std::move(offsets)) {}

  const StackConfig& config() const { return config_; }
  const Geometry<T>& geometry() const { return geometry_; }

  // A tape for all of T, with random masks (remember), or for as little at a time as can be.
  std::unique_ptr<Tape<T>> new_tape(const Sequence<T>& sequence, bool table, bool remember) const;

  // Throw std::bad_alloc; Error where the caller's cancel callback says so.
  void forward(const ForwardCall<T>& call, Tape<T>& tape) const;
  void backward(const BackwardCall<T>& call, const Tape<T>& tape) const;
  void walk_seeds(const SeedsCall<T>& call, const Tape<T>& tape) const;
  FlowRecord<T> new_record(const Tape<T>& tape) const;
  void flow_detail(const FlowRecord<T>& record, const Tape<T>& tape,
                   const FlowDetail& detail) const;
  // `packed` is of packed_backward.
  std::shared_ptr<StateRows<T>> state_rows(std::shared_ptr<const Packed<T>> packed,
                                           const Tape<T>& tape, int64_t walk, int64_t sample,
                                           int64_t rows) const;

  // All that passes read of the parameters, for the instruction set in use.
  std::shared_ptr<const Packed<T>> packed_forward(const T* parameters, uint64_t version,
                                                  bool one_hot) const;
  std::shared_ptr<const Packed<T>> packed_backward(const T* parameters, uint64_t version) const;

  // Into how many parts a backward pass divides a batch.
  int64_t shard_count(int64_t batch, int64_t parameters) const;

  // How many threads a pass over `rows` rows at a time is worth.
  int64_t team_size(int64_t rows) const;

 private:
  void pack_forward(const T* parameters, bool one_hot, Packed<T>& packed,
                    const Kernels<T>& kernels) const;
  void pack_backward(const T* parameters, Packed<T>& packed, const Kernels<T>& kernels) const;

  void pack_vectors(const T* parameters, const LayerOffsets& at,
                    typename Packed<T>::Layer& layer) const;
  // W_hh as it acts: with the signs of Dale's law, then in `scratch`.
  const T* acting(const T* w_hh, Buffer<T>& scratch) const;
  void pack_slopes(const T* w_hh, typename Packed<T>::Layer& layer) const;
  bool reads_input(size_t walk) const { return int64_t(walk) < config_.directions(); }
  int64_t input_size(size_t walk) const {
    return reads_input(walk) ? config_.input : config_.features();
  }

  StackConfig config_;
  Geometry<T> geometry_;
  std::vector<LayerOffsets> offsets_;
  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
  mutable PackCache<Packed<T>> forward_, backward_;
};

}  // namespace bptt
