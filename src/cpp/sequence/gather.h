// gather.h: rows assembled from a tape for uses that need another layout: the inputs of layers with
// two directions or dropout, states cut by resets, masks. Indices n of sequences refer to the whole
// batch; a row pointer refers to the first requested row.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"
#include "sequence/block.h"
#include "sequence/tape.h"

namespace bptt {

// Copies a state; null: zeros.
template <class T>
void put_state(T* out, const T* state, int64_t count) {
  const size_t bytes = size_t(count) * sizeof(T);
  if (state) {
    std::memcpy(out, state, bytes);
  } else {
    std::memset(out, 0, bytes);
  }
}

template <class T>
class Gather {
 public:
  Gather(const StackConfig& config, const Geometry<T>& geometry, const Kernels<T>& kernels,
         const Tape<T>& tape)
      : config_(config),
        geometry_(geometry),
        kernels_(kernels),
        tape_(tape),
        order_(tape.order()),
        dropout_(tape.training() && config.dropout > 0 && config.layers > 1) {}

  // Returns whether the input of the upper layers has to be assembled.
  bool copies_input() const { return config_.bidirectional || dropout_; }

  // Assembles the input of direction d of layer l >= 1, rows [r0, r1) of the block: [h | h of the
  // reverse direction] of the layer below, with dropout.
  void inputs(int64_t l, int64_t d, const Block<T>& block, int64_t r0, int64_t r1, T* out) const {
    for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t part_n) {
      const int64_t n = block.shard.place(part_n);
      features(l - 1, order_.time(d, s, n), n, block, out + (r - r0) * geometry_.features_row);
    });
    drop_inputs(l, d, block, r0, r1, out);
  }

  // Assembles the top layer's outputs, rows of the block in the caller's time. `ends`: takes both
  // directions after the same number of their own steps, so that the row of a sequence's last step
  // has the final state of each.
  void outputs(const Block<T>& block, int64_t r0, int64_t r1, bool ends, T* out) const {
    for_rows(block, r0, r1, [&](int64_t r, int64_t t, int64_t part_n) {
      const int64_t n = block.shard.place(part_n);
      T* const own = out + (r - r0) * geometry_.features_row;
      for (int64_t d = 0; d < config_.directions(); ++d)
        feature(config_.layers - 1, d, ends ? t : order_.time(d, t, n), n, block, own);
    });
  }

  // Multiplies rows by the mask of layer l's input; also used for the gradient of the input.
  void drop_inputs(int64_t l, int64_t d, const Block<T>& block, int64_t r0, int64_t r1,
                   T* rows) const {
    if (!dropout_) return;
    const Masks masks = tape_.masks(MaskKind::dropout, l * config_.directions());
    for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t part_n) {
      const int64_t n = block.shard.place(part_n);
      masks.drop(rows + (r - r0) * geometry_.features_row, config_.features(),
                 config_.variational ? 0 : order_.time(d, s, n), order_.sequence(n),
                 config_.dropout);
    });
  }

  // Computes h_{t-1} as the operand of W_hh, with recurrent dropout.
  void mask_recurrent(int64_t walk, int64_t n0, int64_t n1, const T* h, T* out) const {
    const T* mask = tape_.layer(walk).recurrent_mask;
    for (int64_t n = n0; n < n1; ++n) {
      const int64_t at = (n - n0) * geometry_.state_row;
      kernels_.multiply(out + at, h + at, mask + n * geometry_.state_row, config_.state());
    }
  }

  // Returns whether a reset cuts any of these states before step s.
  bool any_cut(int64_t d, int64_t s, int64_t n0, int64_t n1) const {
    for (int64_t n = n0; tape_.cuts() && n < n1; ++n) {
      if (tape_.cut(d, s, n)) return true;
    }
    return false;
  }

  // Copies the states before step s, with the initial ones if a reset cuts them.
  void cut_h(int64_t walk, int64_t s, int64_t n0, int64_t n1, const T* h, T* out) const {
    cut_rows(walk, s, n0, n1, h, tape_.layer(walk).h0, geometry_.state_row, config_.state(), out);
  }
  void cut_c(int64_t walk, int64_t s, int64_t n0, int64_t n1, const T* c, T* out) const {
    cut_rows(walk, s, n0, n1, c, tape_.layer(walk).c0, geometry_.cell_row, config_.hidden, out);
  }

  // Draws the part of the states that is kept: 0 or 1.
  void zoneout(MaskKind kind, int64_t walk, int64_t s, int64_t n0, int64_t n1, T* out) const {
    const Masks masks = tape_.masks(kind, walk);
    const double p = kind == MaskKind::zoneout ? config_.zoneout : config_.zoneout_c;
    for (int64_t n = n0; n < n1; ++n) {
      masks.zoneout(out + (n - n0) * geometry_.cell_row, config_.hidden,
                    order_.time(walk % config_.directions(), s, n), order_.sequence(n), p);
    }
  }

 private:
  // `initial`: null: zeros.
  void cut_rows(int64_t walk, int64_t s, int64_t n0, int64_t n1, const T* states, const T* initial,
                int64_t row, int64_t count, T* out) const {
    for (int64_t n = n0; n < n1; ++n) {
      const int64_t at = (n - n0) * row;
      const bool cut = tape_.cut(walk % config_.directions(), s, n);
      put_state(out + at, cut ? initial : states + at, count);
    }
  }
  // Copies h of layer l at the caller's time t, for all directions.
  void features(int64_t l, int64_t t, int64_t n, const Block<T>& block, T* out) const {
    for (int64_t d = 0; d < config_.directions(); ++d)
      feature(l, d, order_.time(d, t, n), n, block, out);
  }
  // Copies the part of direction d, after step s of its walk. If the tape is not whole, it holds
  // the rows of the block only.
  void feature(int64_t l, int64_t d, int64_t s, int64_t n, const Block<T>& block, T* out) const {
    const T* h = tape_.layer(l * config_.directions() + d).h;
    const int64_t first = tape_.whole() ? order_.first(s) : block.row(s);
    std::memcpy(out + d * config_.state(), h + (order_.batch() + first + n) * geometry_.state_row,
                size_t(config_.state()) * sizeof(T));
  }

  const StackConfig& config_;
  const Geometry<T>& geometry_;
  const Kernels<T>& kernels_;
  const Tape<T>& tape_;
  const Order& order_;
  const bool dropout_;
};

}  // namespace bptt
