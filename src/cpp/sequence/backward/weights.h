// weights.h: the gradients of the weights from a block's pre-activation gradients: dW += dz^T [x |
// h] as products over the block's rows, and column sums for all vectors.
#pragma once

#include <algorithm>
#include <cstring>

#include "sequence/backward/context.h"
#include "sequence/backward/scatter.h"

namespace bptt {

template <class T>
class WeightGradients {
 public:
  explicit WeightGradients(const BackwardContext<T>& context) : in(context) {
    const int64_t rows = in.block_rows, L = in.config.walks();
    const bool wanted = in.shard.gradients != nullptr;
    if (in.tape.tokens() && (wanted || in.shard.table_gradient)) {
      for (SortedTokens& sorted : sorted_) {
        sorted.tokens.reserve(size_t(rows));
        sorted.order.reserve(size_t(rows));
      }
    }
    if (!wanted) return;
    const int64_t widest = std::max(in.config.input, std::max(in.config.features(), in.H));
    if (!in.own.uniform() || widest > kInPlace || in.kernels.pairs) {
      x_panels_ = Buffer<T>(packed_size(in.kernels, rows, widest, 1));
      h_panels_ = Buffer<T>(packed_size(in.kernels, rows, in.R, 1));
      if (in.config.projection || resets_before())
        cells_ = Buffer<T>(packed_size(in.kernels, rows, in.H, 1));
    }
    sums_ = Buffer<T>::zeros(checked_count(L, in.shape.dz_planes, in.geometry.plane));
    if (!in.tape.dense()) {
      token_gradient_ = Buffer<T>::zeros(checked_count(in.D, in.config.input, token_columns()));
    }
    if (in.gather.copies_input()) {
      inputs_ =
          Buffer<T>(checked_count(rows, std::max(in.geometry.input_row, in.geometry.features_row)));
    }
    if (gathers_states()) states_ = Buffer<T>(checked_count(rows, in.geometry.state_row));
    if (in.config.dales_law()) acting_ = Buffer<T>::zeros(checked_count(L, in.H, in.H));
  }

  // Sorts the tokens of a block's rows. One member calls this before the block's barrier. Blocks
  // use the two turns (0, 1) alternately, because others may still read the tokens of the previous
  // block.
  void sort_tokens(int64_t d, const Block<T>& block, int turn) {
    SortedTokens& sorted = sorted_[turn];
    sorted.tokens.clear();
    for_rows(block, 0, block.rows(), [&](int64_t, int64_t s, int64_t n) {
      const int64_t t = in.own.time(d, s, n);
      sorted.tokens.push_back(in.tape.token_ids()[in.all.first(t) + in.shard.begin + n]);
    });
    sorted.sort();
  }

  // A right-hand side: the block's rows in place if they are evenly spaced and unmodified, else
  // packed.
  struct Operand {
    const T* b = nullptr;
    int64_t row = 0, run_length = 0, run = 0;  // as in OuterArgs
  };
  struct Operands {
    Operand x, h;
    Operand cells;  // r h_{t-1} with the reset before the product, or o tanh(c_t) with a projection
  };

  Operands operands(const Team& team, int64_t walk, const Block<T>& block) {
    const int64_t l = walk / in.D, d = walk % in.D, row = in.geometry.state_row;
    const auto& layer = in.tape.layer(walk);
    const bool dense = l > 0 || in.tape.dense();
    const bool copied = dense && (l > 0 ? in.gather.copies_input() : d > 0);
    const int64_t r0 = team.begin(block.rows()), r1 = team.end(block.rows());
    Operands of;
    if (copied) gather_inputs(l, d, block, r0, r1);
    if (gathers_states()) gather_states(walk, block, r0, r1);
    if (copied || gathers_states()) team.wait();
    if (copied) {
      of.x = gathered(team, block, inputs_, in.input_row(walk), in.input_size(walk), x_panels_);
    } else if (l > 0) {
      const T* below = in.tape.layer(walk - 1).h;
      of.x = operand(
          team, block, [&](int64_t t) { return in.after(below, t, 0, row); }, row, in.R, x_panels_);
    } else if (dense) {
      const auto at = [&](int64_t t) {
        return in.tape.x() + (in.all.first(t) + in.shard.begin) * in.geometry.input_row;
      };
      of.x = operand(team, block, at, in.geometry.input_row, in.config.input, x_panels_);
    }
    if (!in.shape.recurrent()) return of;
    if (gathers_states()) {
      of.h = gathered(team, block, states_, row, in.R, h_panels_);
    } else {
      of.h = operand(
          team, block, [&](int64_t t) { return in.before(layer.h, t, 0, row); }, row, in.R,
          h_panels_);
    }
    if (!in.config.projection && !resets_before()) return of;
    const int64_t plane = (in.config.projection ? in.shape.projected : 3) * in.geometry.plane;
    of.cells = operand(
        team, block, [&](int64_t t) { return in.planes(layer, t, 0) + plane; },
        in.geometry.planes_row, in.H, cells_);
    return of;
  }

  // Adds the block's weight gradients. dz: of the block's rows. dh: with a projection, the total
  // dL/dh_t of its rows.
  void add(const Team& team, int64_t walk, const Block<T>& block, int turn, const Operands& of,
           const T* dz, const T* dh) {
    T* const gradients = in.shard.gradients;
    const LayerOffsets& at = in.offsets[size_t(walk)];
    const int64_t plane = in.geometry.plane, dz_row = in.geometry.dz_row, G = in.shape.gates;
    const int64_t l = walk / in.D, d = walk % in.D, I = in.input_size(walk);
    const T* input = dz + in.shape.norm_input * plane;
    if (l > 0 || in.tape.dense()) {
      weight_gradient(team, block, input, in.shape.dz_input, G, of.x, I, gradients + at.weight_ih);
    } else {
      const int64_t columns = token_columns(), begin = team.begin(columns), end = team.end(columns);
      scatter_add(in.kernels, sorted_[turn], input + begin, dz_row, end - begin,
                  token_gradient_.data() + d * in.config.input * columns + begin, columns);
    }
    const T* hidden =
        dz + (in.config.layer_norm ? in.shape.norm_hidden : in.shape.dz_hidden) * plane;
    T* weight_hh = acting_.count() ? acting_.data() + walk * in.H * in.H : gradients + at.weight_hh;
    if (in.shape.recurrent())
      weight_gradient(team, block, hidden, kInOrder, in.shape.product_gates, of.h, in.R, weight_hh);
    if (resets_before()) {
      weight_gradient(team, block, dz, kInOrder, 1, of.cells, in.H,
                      weight_hh + in.shape.product_gates * in.H * in.H);
    }
    if (in.config.projection) {
      const int64_t m0 = team.begin(in.R), m1 = team.end(in.R);
      if (m0 < m1) {
        in.kernels.outer(outer(block, dh + m0, in.geometry.state_row, of.cells, m1 - m0, in.H,
                               gradients + at.weight_hr + m0 * in.H));
      }
    }
    const int64_t columns = in.shape.dz_planes * plane, begin = team.begin(columns),
                  end = team.end(columns);
    in.kernels.add_column_sums(dz + begin, dz_row, block.rows(), end - begin,
                               sums_.data() + walk * columns + begin);
  }

  // Adds the block's dx rows to the rows of the embedding's gradient.
  void scatter_to_table(const Team& team, int turn, const T* dx, int64_t dx_row) const {
    const int64_t begin = team.begin(in.config.input), end = team.end(in.config.input);
    scatter_add(in.kernels, sorted_[turn], dx + begin, dx_row, end - begin,
                in.shard.table_gradient + begin, in.config.input);
  }

  // Adds the sums of vectors, the gradients of one-hot tokens and those under Dale's law to their
  // places in the flat vector. Call it after a barrier.
  void finish(const Team& team) {
    for (int64_t walk = 0; walk < in.config.walks(); ++walk) {
      const LayerOffsets& at = in.offsets[size_t(walk)];
      if (team.index == 0) finish_vectors(walk, at);
      if (walk < in.D && !in.tape.dense()) finish_tokens(team, walk, at);
      if (acting_.count()) finish_signs(team, walk, at);
    }
  }

 private:
  // Rows of at most this many units are read in place. Longer ones, each on different pages, made
  // products slower by 3-5 %, which is more than packing costs.
  static constexpr int64_t kInPlace = 256;
  static constexpr int64_t kInOrder[4] = {0, 1, 2, 3};

  bool gathers_states() const {
    return in.shape.recurrent() && (in.tape.cuts() || in.tape.layer(0).recurrent_mask);
  }
  bool resets_before() const { return in.shape.late_gates > 0; }
  int64_t token_columns() const { return in.shape.gates * in.geometry.plane; }

  // at(t) is the first row of step t; `joined`: the rows of all steps are contiguous.
  template <class At>
  Operand operand(const Team& team, const Block<T>& block, const At& at, int64_t row, int64_t units,
                  Buffer<T>& panels, bool joined) {
    const bool in_place = units <= kInPlace && !in.kernels.pairs;
    if (in_place && joined) return {at(block.first), row, block.rows()};
    if (in_place && in.own.uniform()) return {at(block.first), row, in.count, in.all.batch() * row};
    pack_rows(in.kernels, team, block, joined, at, row, units, panels.data());
    return {panels.data()};
  }
  template <class At>
  Operand operand(const Team& team, const Block<T>& block, const At& at, int64_t row, int64_t units,
                  Buffer<T>& panels) {
    return operand(team, block, at, row, units, panels, in.joined);
  }
  Operand gathered(const Team& team, const Block<T>& block, const Buffer<T>& rows, int64_t row,
                   int64_t units, Buffer<T>& panels) {
    const auto at = [&rows](int64_t) { return rows.data(); };
    return operand(team, block, at, row, units, panels, true);
  }
  OuterArgs<T> outer(const Block<T>& block, const T* a, int64_t a_row, const Operand& b,
                     int64_t columns, int64_t units, T* c) const {
    return {a, a_row, block.rows(), b.b, b.row, b.run_length, b.run, columns, units, c, units};
  }

  void gather_inputs(int64_t l, int64_t d, const Block<T>& block, int64_t r0, int64_t r1) {
    if (l > 0) {
      in.gather.inputs(l, d, block, r0, r1, inputs_.data() + r0 * in.geometry.features_row);
      return;
    }
    const int64_t row = in.geometry.input_row;
    for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
      const int64_t t = in.own.time(d, s, n);
      std::memcpy(inputs_.data() + r * row,
                  in.tape.x() + (in.all.first(t) + in.shard.begin + n) * row,
                  size_t(in.config.input) * sizeof(T));
    });
  }

  // Assembles h_{t-1} as the product read it: cut by resets, masked by dropout.
  void gather_states(int64_t walk, const Block<T>& block, int64_t r0, int64_t r1) {
    const int64_t row = in.geometry.state_row;
    const auto& layer = in.tape.layer(walk);
    for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
      const int64_t g = in.shard.begin + n;
      T* to = states_.data() + r * row;
      in.gather.cut_h(walk, s, g, g + 1, in.before(layer.h, s, n, row), to);
      if (layer.recurrent_mask) in.gather.mask_recurrent(walk, g, g + 1, to, to);
    });
  }

  // dW[gate of plane] += dz[plane]^T B for this member's rows of dW, counted over all planes.
  void weight_gradient(const Team& team, const Block<T>& block, const T* dz, const int64_t* gate_of,
                       int64_t planes, const Operand& b, int64_t units, T* gradient) {
    const int64_t H = in.H, begin = team.begin(planes * H), end = team.end(planes * H);
    for (int64_t p = 0; p < planes; ++p) {
      const int64_t m0 = std::max(begin - p * H, int64_t(0)), m1 = std::min(end - p * H, H);
      if (m0 >= m1) continue;
      in.kernels.outer(outer(block, dz + p * in.geometry.plane + m0, in.geometry.dz_row, b, m1 - m0,
                             units, gradient + (gate_of[p] * H + m0) * units));
    }
  }

  void finish_vectors(int64_t walk, const LayerOffsets& at) {
    const int64_t plane = in.geometry.plane, H = in.H, G = in.shape.gates;
    const T* sums = sums_.data() + walk * in.shape.dz_planes * plane;
    const auto add = [&](int64_t offset, int64_t block, int64_t p) {
      in.kernels.add(in.shard.gradients + offset + block * H, sums + p * plane, H);
    };
    for (int64_t p = 0; in.config.bias && p < G; ++p) {
      add(at.bias_ih, in.shape.dz_input[p], p);
      if (!in.shape.recurrent()) continue;
      // With the reset before the product, the gates of W_hh have no separate planes.
      if (resets_before()) {
        add(at.bias_hh, in.shape.dz_input[p], p);
      } else {
        add(at.bias_hh, p, in.shape.dz_hidden + p);
      }
    }
    for (int64_t p = 0; p < in.shape.peepholes; ++p) add(at.peephole, p, in.shape.peephole + p);
    if (!in.config.layer_norm) return;
    for (int64_t g = 0; g < G; ++g) {
      add(at.ln_ih, g, in.shape.gain_input + g);
      add(at.ln_hh, g, in.shape.gain_hidden + g);
    }
    if (!in.shape.has_c) return;
    add(at.ln_c, 0, in.shape.gain_c);
    add(at.bias_ln_c, 0, in.shape.gain_c + 1);
  }

  void finish_tokens(const Team& team, int64_t d, const LayerOffsets& at) {
    const int64_t V = in.config.input, columns = token_columns(), H = in.H;
    for (int64_t p = 0; p < in.shape.gates; ++p) {
      const int64_t begin = team.begin(H), end = team.end(H);
      in.kernels.add_transposed(
          token_gradient_.data() + d * V * columns + p * in.geometry.plane + begin, columns, V,
          end - begin, in.shard.gradients + at.weight_ih + (in.shape.dz_input[p] * H + begin) * V,
          V);
    }
  }

  // Converts dL/d|W| sign to dL/dW.
  void finish_signs(const Team& team, int64_t walk, const LayerOffsets& at) {
    const int64_t H = in.H;
    const Buffer<int8_t>& slopes = in.packed.layers[size_t(walk)].slopes;
    const T* acting = acting_.data() + walk * H * H;
    for (int64_t i = team.begin(H * H); i < team.end(H * H); ++i)
      in.shard.gradients[at.weight_hh + i] += acting[i] * T(slopes[i]);
  }

  const BackwardContext<T>& in;
  Buffer<T> x_panels_, h_panels_, cells_;  // operands, packed
  Buffer<T> inputs_, states_;              // assembled rows
  Buffer<T> sums_;                         // [L * D, dz planes, H]: column sums of dz
  Buffer<T> token_gradient_;               // [D, V, gates, H]: one-hot input's dW_ih, transposed
  Buffer<T> acting_;  // [L * D, H, H]: gradient of the effective W_hh under Dale's law
  SortedTokens sorted_[2];
};

}  // namespace bptt
