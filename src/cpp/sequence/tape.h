// tape.h: the record of one forward pass. Per layer and direction (index l * D + d), in the rows of
// order.h:
//     h, c     [N + rows, R | H]     states; the first N rows are those before the first step
//     planes   [rows, planes, H]     values saved by the cell (CellShape); none for plain RNN
// Once: the input [rows, I] or the tokens, reset marks, and masks that are the same for all steps.
// The rows cover all of the batch's steps for BPTT, or one block of time if nothing has to be
// remembered. Their lengths are those of Geometry. Bytes for plain RNN | LSTM | GRU | minGRU, in
// addition to the input: sizeof(T) * rows * L * D * H * (1 | 2 + 4 | 1 + 4 | 1 + 2).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "kernels/kernels.h"
#include "sequence/batch.h"
#include "sequence/geometry.h"
#include "sequence/layer_config.h"
#include "sequence/masks.h"
#include "sequence/order.h"

namespace bptt {

template <class T>
struct Snapshot;  // model/snapshot.h

template <class T>
class Tape {
 public:
  struct Layer {
    T* h;
    T* c;
    T* planes;
    T* recurrent_mask;  // [N, R], state_row apart; null: none
    T *h0, *c0;         // [R], [H]: the learnt initial states; null: they are zero
  };

  // `dense`: copy the input (or gather it from a table); else keep only its tokens. `whole`:
  // remember all steps. `training`: draw random masks.
  Tape(std::shared_ptr<Shelf> shelf, const StackConfig& config, const Geometry<T>& geometry,
       const Sequence<T>& sequence, bool dense, bool whole, bool training);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  int64_t steps() const { return steps_; }  // the caller's T
  int64_t batch() const { return order_.batch(); }
  const Order& order() const { return order_; }
  const StackConfig& config() const { return config_; }
  bool whole() const { return whole_; }
  bool training() const { return training_; }
  bool noisy() const { return noisy_; }  // noise is drawn
  uint64_t draw() const { return draw_; }
  int64_t bytes() const { return bytes_; }
  bool dense() const { return x_ != nullptr; }
  bool tokens() const { return tokens_ != nullptr; }
  // The parameters that it was made with; null if the tape does not outlive them.
  const Snapshot<T>* snapshot() const { return snapshot_.get(); }

  const Layer& layer(int64_t index) const { return layers_[static_cast<size_t>(index)]; }
  T* x() const { return x_; }
  int64_t* token_ids() const { return tokens_; }

  // Returns whether a reset cuts the state of row n before step s of a walk (cuts: whether any
  // does).
  bool cuts() const { return !resets_.empty(); }
  bool cut(int64_t direction, int64_t s, int64_t n) const {
    if (resets_.empty()) return false;
    const int64_t t = order_.time(direction, s, n) + direction;  // the boundary before time t
    return t < order_.length(n) && resets_[size_t(order_.first(t) + n)] != 0;
  }
  // Returns whether the caller gave the states before the first step.
  bool given_h0() const { return given_h0_; }
  bool given_c0() const { return given_c0_; }
  Masks masks(MaskKind kind, int64_t index) const { return {seed_, draw_, kind, index}; }

  void hold(std::shared_ptr<const Snapshot<T>> snapshot) { snapshot_ = std::move(snapshot); }
  // Reuses this tape for `sequence` if only the draw differs; returns whether it was reused.
  bool renew(const Sequence<T>& sequence);

 private:
  void read_resets(const Sequence<T>& sequence);

  std::shared_ptr<Shelf> shelf_;
  std::shared_ptr<const Snapshot<T>> snapshot_;
  StackConfig config_;
  int64_t steps_;
  Order order_;
  bool whole_, training_, noisy_, given_h0_, given_c0_;
  uint64_t seed_, draw_;
  int64_t bytes_ = 0;
  Buffer<std::byte> block_;
  std::vector<Layer> layers_;
  std::vector<uint8_t> resets_;  // [rows]; empty: none
  T* x_ = nullptr;
  int64_t* tokens_ = nullptr;
};

// The part of a tape that read_tape copies; values beyond a sequence's length are zero.
enum class TapePart { h, c, gate };
template <class T>
void read_tape(const Tape<T>& tape, TapePart part, int64_t index, int64_t gate, T* values);

}  // namespace bptt
