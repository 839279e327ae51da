// backward_walk.h: the walk through time, backward, of a part of the batch.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "sequence/layer.h"
#include "sequence/scatter.h"

namespace bptt {

// sqrt of a sum of squares that over- or underflowed is found again with the row scaled to its
// largest element.
template <class T>
double row_norm(const Kernels<T>& kernels, const T* row, int64_t n) {
  const double squares = kernels.sum_squares(row, n);
  if ((squares > 1e-280 && squares < 1e280) || std::isnan(squares)) return std::sqrt(squares);
  const double largest = kernels.max_abs(row, n);
  if (largest == 0 || !std::isfinite(largest)) return largest;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += (double(row[i]) / largest) * (double(row[i]) / largest);
  return largest * std::sqrt(sum);
}

// The norm of `count` norms, in their order.
inline double norm_of(const double* norms, int64_t count) {
  double largest = 0, sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (std::isnan(norms[i])) return norms[i];
    largest = std::max(largest, norms[i]);
  }
  if (largest == 0 || std::isinf(largest)) return largest;
  for (int64_t i = 0; i < count; ++i) sum += (norms[i] / largest) * (norms[i] / largest);
  return largest * std::sqrt(sum);
}

// The walk of one shard. Rows of a block are numbered by time, then by sequence. A shard is walked
// by one thread, or by a team that shares its rows; then each element of a weight gradient is one
// member's.
template <class T>
class BackwardWalk {
 public:
  BackwardWalk(const StackConfig& config, const Geometry<T>& geometry,
               const std::vector<LayerOffsets>& offsets, const BackwardCall<T>& call,
               const Tape<T>& tape, const Packed<T>& packed, const Shard<T>& shard,
               std::atomic<bool>& stop)
      : config_(config),
        geometry_(geometry),
        offsets_(offsets),
        shape_(cell_shape(config.cell)),
        call_(call),
        tape_(tape),
        packed_(packed),
        shard_(shard),
        stop_(stop),
        kernels_(kernels_of<T>(*packed.table)),
        clip_(call.clip_step > 0 ? std::max(T(call.clip_step), std::numeric_limits<T>::denorm_min())
                                 : T(0)),
        N(tape.batch()),
        count_(shard.end - shard.begin),
        H(config.hidden) {
    const int64_t rows = std::min(tape.steps(), block_steps(count_)) * count_, L = config.layers;
    const int64_t wide = std::max(geometry.input_row, geometry.state_row);
    carry_ = checked_count(count_, geometry.state_row);
    dh_ = Buffer<T>(checked_count(L, carry_));
    if (shape_.has_c) dc_ = Buffer<T>(checked_count(L, carry_));
    dz_ = Buffer<T>(checked_count(rows, geometry.dz_row));
    for (Buffer<T>& dx : dx_) dx = Buffer<T>(checked_count(rows, wide));
    if (call.before_block) dy_ = Buffer<T>(checked_count(rows, geometry.state_row));
    if (shard.gradients) {
      if (tape.dense() || L > 1) {
        x_panels_ = Buffer<T>(packed_size(kernels_, rows, std::max(config.input, H), 1));
      }
      h_panels_ = Buffer<T>(packed_size(kernels_, rows, H, 1));
      bias_ = Buffer<T>::zeros(checked_count(L, shape_.dz_planes, geometry.plane));
      if (!tape.dense()) {
        token_gradient_ =
            Buffer<T>::zeros(checked_count(config.input, shape_.gates, geometry.plane));
      }
    }
    if (tape.tokens() && (shard.gradients || shard.table_gradient)) sort_own_tokens();
    norms_ = Buffer<double>::zeros(rows);
    norms_c_ = Buffer<double>::zeros(rows);
  }

  // `asks`: whether the caller's cancel callback is this thread's to ask.
  void run(const Team& team, bool asks) {
    const int64_t per_block = block_steps(count_), steps = tape_.steps();
    // This member's sequences.
    const int64_t n0 = shard_.begin + team.begin(count_), n1 = shard_.begin + team.end(count_);
    start(n0, n1);
    for (int64_t first = (steps - 1) / per_block * per_block; first >= 0; first -= per_block) {
      const int64_t last = std::min(first + per_block, steps), top = config_.layers - 1;
      const Block<T> block{first, last, (last - first) * count_,
                           state(tape_.layer(top).h, first + 1), shard_};
      if (asks && cancelled()) stop_.store(true);
      bool dy = call_.dy != nullptr;
      if (call_.before_block) {
        dy = call_.before_block(team, block, dy_.data());
        team.wait();
      }
      for (int64_t l = top; l >= 0; --l) {
        for (int64_t t = last; t-- > first;) step(l, t, first, n0, n1, dy || l < top);
        if (shard_.gradients) pack_operands(team, l, block);
        team.wait();
        if (stop_.load()) return;
        block_gradients(team, l, block);
        team.wait();
        if (l == 0 && shard_.table_gradient) scatter_to_table(team, block);
      }
    }
    finish(team, n0, n1);
  }

 private:
  // The state of this walk's first sequence before step t.
  const T* state(const T* base, int64_t t) const {
    return base + (t * N + shard_.begin) * geometry_.state_row;
  }
  int64_t local(int64_t n) const { return n - shard_.begin; }
  T* dh(int64_t l) { return dh_.data() + l * carry_; }
  T* dc(int64_t l) { return shape_.has_c ? dc_.data() + l * carry_ : nullptr; }
  // dx of layer l, which is dy of the layer below; two buffers take turns.
  T* dx(int64_t l) { return dx_[l % 2].data(); }
  int64_t dx_row(int64_t l) const { return l ? geometry_.state_row : geometry_.input_row; }
  bool needs_dx(int64_t l) const { return l > 0 || call_.dx || shard_.table_gradient; }

  // The block's tokens in the order of its rows, sorted.
  void sort_own_tokens() {
    tokens_ = Buffer<int64_t>(checked_count(tape_.steps(), count_));
    for (int64_t t = 0; t < tape_.steps(); ++t) {
      std::memcpy(tokens_.data() + t * count_, tape_.token_ids() + t * N + shard_.begin,
                  size_t(count_) * sizeof(int64_t));
    }
    sorted_ = sort_tokens(tokens_.data(), tokens_.count(), block_steps(count_) * count_);
  }

  void start(int64_t n0, int64_t n1) {
    auto set = [this](T* row, const T* from, int64_t index) {
      const size_t bytes = size_t(H) * sizeof(T);
      if (from) {
        std::memcpy(row, from + index * H, bytes);
      } else {
        std::memset(row, 0, bytes);
      }
    };
    for (int64_t l = 0; l < config_.layers; ++l) {
      for (int64_t n = n0; n < n1; ++n) {
        set(dh(l) + local(n) * geometry_.state_row, call_.dhn, l * N + n);
        if (shape_.has_c) set(dc(l) + local(n) * geometry_.state_row, call_.dcn, l * N + n);
      }
    }
  }

  // One step of one layer for sequences [n0, n1): the total dL/dh_t, then dz_t, then dL/dh_{t-1}.
  void step(int64_t l, int64_t t, int64_t first, int64_t n0, int64_t n1, bool has_dy) {
    if (n0 == n1) return;
    const int64_t row = geometry_.state_row, own = local(n0) * row;
    const int64_t at =
        (t - first) * count_ + local(n0);  // first of this member's rows in the block
    const auto& layer = tape_.layer(l);
    T* dh_rows = dh(l) + own;
    const bool top = l == config_.layers - 1;
    for (int64_t n = n0; n < n1; ++n) {
      T* total = dh_rows + (n - n0) * row;
      if (has_dy) kernels_.add(total, dy_row(l, top, t, n, at + n - n0), H);
      if (call_.flow) norms_[at + n - n0] = row_norm(kernels_, total, H);
    }
    StepBackwardArgs<T> s{};
    s.h_previous = state(layer.h, t) + own;
    s.h = state(layer.h, t + 1) + own;
    if (layer.c) {
      s.c_previous = state(layer.c, t) + own;
      s.c = state(layer.c, t + 1) + own;
      s.dc = dc(l) + own;
      if (call_.flow_c) s.flow_c = norms_c_.data() + at;
    }
    if (layer.planes) s.planes = layer.planes + (t * N + n0) * geometry_.planes_row;
    s.state_row = row;
    s.planes_row = geometry_.planes_row;
    s.plane_stride = geometry_.plane;
    s.dh = dh_rows;
    s.dz = dz_.data() + at * geometry_.dz_row;
    s.dz_row = geometry_.dz_row;
    s.rows = n1 - n0;
    s.units = H;
    s.activation = config_.activation;
    s.clip = clip_;
    kernels_.step_backward[int(config_.cell)](s);

    ProductArgs<T> p{};
    p.a = s.dz + shape_.dz_hidden * geometry_.plane;
    p.a_row = geometry_.dz_row;
    p.segments = shape_.gates;
    p.segment_length = H;
    p.segment_stride = geometry_.plane;
    p.b = packed_.layers[size_t(l)].recurrent.data();
    p.rows = n1 - n0;
    p.units = H;
    p.groups = 1;
    p.c = dh_rows;
    p.c_row = row;
    p.accumulate = config_.cell == Cell::gru;
    p.panel_end = panel_count(kernels_, H);
    kernels_.product(p);
    if (call_.clip_step_norm > 0) rescale_carry(l, n0, n1);
  }

  const T* dy_row(int64_t l, bool top, int64_t t, int64_t n, int64_t row_in_block) {
    if (!top) return dx(l + 1) + row_in_block * geometry_.state_row;
    if (call_.dy) return call_.dy + t * call_.dy_t + n * call_.dy_n;
    return dy_.data() + row_in_block * geometry_.state_row;
  }

  // Each sequence's (dh, dc) to at most clip_step_norm.
  void rescale_carry(int64_t l, int64_t n0, int64_t n1) {
    for (int64_t n = n0; n < n1; ++n) {
      T* h = dh(l) + local(n) * geometry_.state_row;
      T* c = shape_.has_c ? dc(l) + local(n) * geometry_.state_row : nullptr;
      const double norms[2] = {row_norm(kernels_, h, H), c ? row_norm(kernels_, c, H) : 0};
      const double norm = norm_of(norms, 2);
      if (norm > call_.clip_step_norm && std::isfinite(norm)) {
        kernels_.scale(h, H, call_.clip_step_norm / norm);
        if (c) kernels_.scale(c, H, call_.clip_step_norm / norm);
      }
    }
  }

  // x and h_{t-1} of the block as right-hand sides of the weight gradients.
  void pack_operands(const Team& team, int64_t l, const Block<T>& block) {
    const int64_t row = geometry_.state_row;
    if (l > 0) {
      pack_rows(kernels_, team, block, N, state(tape_.layer(l - 1).h, block.first + 1), row, H,
                x_panels_.data());
    } else if (tape_.dense()) {
      const T* x = tape_.x() + (block.first * N + shard_.begin) * geometry_.input_row;
      pack_rows(kernels_, team, block, N, x, geometry_.input_row, config_.input, x_panels_.data());
    }
    pack_rows(kernels_, team, block, N, state(tape_.layer(l).h, block.first), row, H,
              h_panels_.data());
  }

  // Once the block's dz is complete: its share of dW and db, dx, and the norms for the flow.
  void block_gradients(const Team& team, int64_t l, const Block<T>& block) {
    if (shard_.gradients) {
      const LayerOffsets& at = offsets_[size_t(l)];
      const int64_t I = l ? H : config_.input;
      if (l > 0 || tape_.dense()) {
        weight_gradient(team, block, 0, true, x_panels_.data(), I, shard_.gradients + at.weight_ih);
      } else {
        const int64_t columns = shape_.gates * geometry_.plane, begin = team.begin(columns),
                      end = team.end(columns);
        scatter_add(kernels_, sorted_, block.first * count_, block.rows, dz_.data() + begin,
                    geometry_.dz_row, end - begin, token_gradient_.data() + begin, columns);
      }
      weight_gradient(team, block, shape_.dz_hidden, false, h_panels_.data(), H,
                      shard_.gradients + at.weight_hh);
      const int64_t columns = shape_.dz_planes * geometry_.plane, begin = team.begin(columns),
                    end = team.end(columns);
      kernels_.add_column_sums(dz_.data() + begin, geometry_.dz_row, block.rows, end - begin,
                               bias_.data() + l * columns + begin);
    }
    if (needs_dx(l)) input_gradient(team, l, block);
    if (team.index == 0) record_flow(l, block);
  }

  // dW[gate] += dz[plane]^T B for this member's rows of dW, counted over all gates.
  void weight_gradient(const Team& team, const Block<T>& block, int64_t first_plane, bool input,
                       const T* panels, int64_t units, T* gradient) {
    const int64_t begin = team.begin(shape_.gates * H), end = team.end(shape_.gates * H);
    for (int64_t p = 0; p < shape_.gates; ++p) {
      const int64_t m0 = std::max(begin - p * H, int64_t(0)), m1 = std::min(end - p * H, H);
      if (m0 >= m1) continue;
      const int64_t gate = input ? shape_.dz_input[p] : p;
      kernels_.outer(OuterArgs<T>{dz_.data() + (first_plane + p) * geometry_.plane + m0,
                                  geometry_.dz_row, block.rows, panels, m1 - m0, units,
                                  gradient + (gate * H + m0) * units, units});
    }
  }

  void input_gradient(const Team& team, int64_t l, const Block<T>& block) {
    const int64_t r0 = team.begin(block.rows), r1 = team.end(block.rows), I = l ? H : config_.input;
    if (r0 == r1) return;
    ProductArgs<T> p{};
    p.a = dz_.data() + r0 * geometry_.dz_row;
    p.a_row = geometry_.dz_row;
    p.segments = shape_.gates;
    p.segment_length = H;
    p.segment_stride = geometry_.plane;
    p.b = packed_.layers[size_t(l)].input.data();
    p.rows = r1 - r0;
    p.units = I;
    p.groups = 1;
    p.c = dx(l) + r0 * dx_row(l);
    p.c_row = dx_row(l);
    p.panel_end = panel_count(kernels_, I);
    kernels_.product(p);
    if (l > 0 || !call_.dx) return;
    for (int64_t r = r0; r < r1; ++r) {
      const int64_t t = block.first + r / count_, n = shard_.begin + r % count_;
      T* to = call_.dx + t * call_.dx_t + n * call_.dx_n;
      std::memcpy(to, dx(0) + r * dx_row(0), size_t(I) * sizeof(T));
    }
  }

  void record_flow(int64_t l, const Block<T>& block) {
    for (int64_t t = block.first; t < block.last; ++t) {
      const int64_t rows = (t - block.first) * count_, at = l * tape_.steps() + t;
      if (call_.flow) shard_.flow[at] = norm_of(norms_.data() + rows, count_);
      if (call_.flow_c && shape_.has_c) shard_.flow_c[at] = norm_of(norms_c_.data() + rows, count_);
    }
  }

  void scatter_to_table(const Team& team, const Block<T>& block) {
    const int64_t begin = team.begin(config_.input), end = team.end(config_.input);
    scatter_add(kernels_, sorted_, block.first * count_, block.rows, dx(0) + begin, dx_row(0),
                end - begin, shard_.table_gradient + begin, config_.input);
  }

  // dh0, dc0; biases and token gradients to their places in the flat vector.
  void finish(const Team& team, int64_t n0, int64_t n1) {
    const size_t bytes = size_t(H) * sizeof(T);
    for (int64_t l = 0; l < config_.layers; ++l) {
      for (int64_t n = n0; n < n1; ++n) {
        if (call_.dh0)
          std::memcpy(call_.dh0 + (l * N + n) * H, dh(l) + local(n) * geometry_.state_row, bytes);
        if (call_.dc0 && shape_.has_c)
          std::memcpy(call_.dc0 + (l * N + n) * H, dc(l) + local(n) * geometry_.state_row, bytes);
      }
    }
    if (!shard_.gradients) return;
    team.wait();  // all of the scattered rows and column sums
    const int64_t plane = geometry_.plane;
    if (team.index == 0 && config_.bias) {
      for (int64_t l = 0; l < config_.layers; ++l) {
        const T* sums = bias_.data() + l * shape_.dz_planes * plane;
        for (int64_t p = 0; p < shape_.gates; ++p) {
          kernels_.add(shard_.gradients + offsets_[size_t(l)].bias_ih + shape_.dz_input[p] * H,
                       sums + p * plane, H);
          kernels_.add(shard_.gradients + offsets_[size_t(l)].bias_hh + p * H,
                       sums + (shape_.dz_hidden + p) * plane, H);
        }
      }
    }
    if (tape_.dense()) return;
    const int64_t V = config_.input, columns = shape_.gates * plane;
    for (int64_t p = 0; p < shape_.gates; ++p) {
      for (int64_t u = team.begin(H); u < team.end(H); ++u) {
        T* gradient = shard_.gradients + offsets_[0].weight_ih + (shape_.dz_input[p] * H + u) * V;
        const T* column = token_gradient_.data() + p * plane + u;
        for (int64_t token = 0; token < V; ++token) gradient[token] += column[token * columns];
      }
    }
  }

  const StackConfig& config_;
  const Geometry<T>& geometry_;
  const std::vector<LayerOffsets>& offsets_;
  const CellShape shape_;
  const BackwardCall<T>& call_;
  const Tape<T>& tape_;
  const Packed<T>& packed_;
  const Shard<T> shard_;
  std::atomic<bool>& stop_;
  const Kernels<T>& kernels_;
  const T clip_;                   // 0: off
  const int64_t N, count_, H;      // sequences of the batch, of this walk; units
  int64_t carry_ = 0;              // elements of one layer's dh
  Buffer<T> dh_, dc_;              // [L, N, H]: what flows back from the step after
  Buffer<T> dz_;                   // [rows of a block, dz planes, H]
  Buffer<T> dx_[2], dy_;           // [rows of a block, I or H]
  Buffer<T> x_panels_, h_panels_;  // operands of the weight gradients
  Buffer<T> bias_;                 // [L, dz planes, H]: sums of dz
  Buffer<T> token_gradient_;       // [V, gates, H]: one-hot input's dW_ih, transposed
  Buffer<int64_t> tokens_;         // [T, sequences of this walk]
  SortedTokens sorted_;
  Buffer<double> norms_, norms_c_;  // per row of the block: norms of dL/dh_t and dL/dc_t
};

}  // namespace bptt
