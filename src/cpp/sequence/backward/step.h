// step.h: one backward time step of one layer and direction for some sequences: from the total
// dL/dh_t to the pre-activation gradients dz and to dL/dh_{t-1}. The counterpart of forward/step.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/norm_factor.h"
#include "sequence/backward/context.h"
#include "sequence/norms.h"
#include "sequence/products.h"

namespace bptt {

template <class T>
class BackwardSteps {
 public:
  explicit BackwardSteps(const BackwardContext<T>& context)
      : in(context),
        clip_(in.call.settings.clip_step > 0
                  ? std::max(T(in.call.settings.clip_step), std::numeric_limits<T>::denorm_min())
                  : T(0)) {
    const StackConfig& config = in.config;
    const int64_t state_row = in.geometry.state_row, cell_row = in.geometry.cell_row;
    const auto rows = [](int64_t count, int64_t row) {
      return Buffer<T>(checked_count(count, row));
    };
    dh_ = Buffer<T>(checked_count(config.walks(), in.count, state_row));
    if (in.shape.has_c) dc_ = Buffer<T>(checked_count(config.walks(), in.count, cell_row));
    dz_ = rows(in.block_rows, in.geometry.dz_row);
    if (in.tape.cuts()) cut_h_ = rows(in.count, state_row);
    if (in.tape.cuts() && in.shape.has_c) cut_c_ = rows(in.count, cell_row);
    if (in.tape.layer(0).recurrent_mask) {
      masked_ = rows(in.count, state_row);
      share_ = rows(in.count, state_row);
    }
    if (!config.reset_after) reset_carry_ = rows(in.count, state_row);
    if (config.projection) {
      total_ = rows(in.block_rows, state_row);
      dm_ = rows(in.count, cell_row);
    }
    if (config.zoneout > 0) keep_h_ = rows(in.count, cell_row);
    if (config.zoneout_c > 0) keep_c_ = rows(in.count, cell_row);
  }

  // The gradient that flows back from the next step; on entry of run, including dL/dh_t of the step
  // itself.
  T* dh(int64_t walk, int64_t n) {
    return dh_.data() + (walk * in.count + n) * in.geometry.state_row;
  }
  T* dc(int64_t walk, int64_t n) {
    return dc_.data() + (walk * in.count + n) * in.geometry.cell_row;
  }
  T* dz() { return dz_.data(); }  // [rows of a block, dz planes, H]
  const T* totals() const {
    return total_.data();
  }  // with a projection: dL/dh_t [rows of a block, R]

  // The arguments common to all steps of a layer's direction.
  struct Common {
    StepBackwardArgs<T> step;
    ProductArgs<T> product;  // with W_hh
  };
  Common begin(int64_t walk) const {
    Common common{};
    StepBackwardArgs<T>& s = common.step;
    s.input_row = in.stride(in.geometry.state_row);
    s.saved_row = in.stride(in.geometry.cell_row);
    s.state_row = in.geometry.cell_row;
    s.planes_row = in.stride(in.geometry.planes_row);
    s.plane_stride = in.geometry.plane;
    s.dz_row = in.geometry.dz_row;
    s.units = in.H;
    s.activation = in.config.activation;
    s.clip = clip_;
    ProductArgs<T>& p = common.product;
    p = product_args<T>(in.kernels, 0, in.H, in.R, {nullptr, in.geometry.dz_row},
                        in.packed.layers[size_t(walk)].recurrent.data(),
                        {nullptr, in.geometry.state_row}, nullptr);
    p.segments = in.shape.product_gates;
    p.segment_stride = in.geometry.plane;
    p.accumulate = in.shape.adds_carry && !in.config.projection;
    p.lone = in.all.batch() == 1 && !in.shard.shared;
    return common;
  }

  // Runs the step for sequences [n0, n1) and leaves its arguments in common.step. norms_c: the norm
  // of the total dL/dc_t per sequence, or null. norms_h, norms_a: the norms of the total dL/dh_t,
  // if the cell itself adds dL/dy_t, and of a plain RNN's dL/da_t; or null. `sharers`: a team that
  // shares the units of the product, for all sequences; or null.
  void run(Common& common, int64_t walk, const Block<T>& block, int64_t t, int64_t n0, int64_t n1,
           double* norms_h, double* norms_c, double* norms_a, const Team* sharers) {
    if (n0 < n1) {
      set_step(common.step, walk, block, t, n0, n1, norms_c);
      common.step.flow_h = norms_h;
      common.step.flow_a = norms_a;
      if (in.extended || share_.count()) return run_extended(common, walk, block, t, n0, n1);
      const Timed timed(Phase::pointwise);
      in.kernels.step_backward[int(in.config.cell)](common.step);
    }
    if (!in.shape.recurrent()) return;
    const Timed timed(Phase::recurrent);
    ProductArgs<T>& p = common.product;
    p.rows = sharers ? in.own.live(t) : n1 - n0;
    if (sharers) {
      const int64_t panels = panel_count(in.kernels, in.R);
      p.panel_begin = sharers->begin(panels);
      p.panel_end = sharers->end(panels);
      n0 = 0;
      sharers->wait();
    } else if (p.rows >= kFetchingRows && !in.shard.shared) {
      fetch_ahead(common, walk, t, n0);
    }
    p.scratch = in.operands.at(n0);
    p.a = dz_.data() + (block.row(t) + n0) * in.geometry.dz_row +
          in.shape.dz_hidden * in.geometry.plane;
    p.c = dh(walk, n0);
    in.kernels.product(p);
    if (sharers) sharers->wait();
  }

  // Runs steps [first, last) of a plain cell backward for sequences [n0, n1). dy: dL/dy_t of the last
  // of them, dy_t and dy_n apart, or null. The norms are those of run, for the rows of that step.
  void run_evenly(Common& common, int64_t walk, const Block<T>& block, int64_t first, int64_t last,
                  int64_t n0, int64_t n1, const T* dy, int64_t dy_t, int64_t dy_n, double* norms_h,
                  double* norms_c, double* norms_a) {
    StepBackwardArgs<T>& s = common.step;
    ProductArgs<T>& p = common.product;
    set_step(s, walk, block, last - 1, n0, n1, norms_c);
    s.flow_h = norms_h;
    s.flow_a = norms_a;
    s.dy = dy;
    s.dy_row = dy_n;
    p.rows = n1 - n0;
    p.scratch = in.operands.at(n0);
    p.a = s.dz + in.shape.dz_hidden * in.geometry.plane;
    p.c = s.dh;
    const int64_t N = in.all.batch(), state = N * s.saved_row, planes = N * s.planes_row,
                  dz = in.count * s.dz_row;
    const auto kernel = in.kernels.step_backward[int(in.config.cell)];
    const auto back = [](auto*& pointer, int64_t distance) {
      if (pointer) pointer -= distance;
    };
    for (int64_t t = last; t-- > first;) {
      {
        const Timed timed(Phase::pointwise);
        kernel(s);
      }
      if (in.shape.recurrent()) {
        const Timed timed(Phase::recurrent);
        if (p.rows >= kFetchingRows) fetch_ahead(common, walk, t, n0);
        in.kernels.product(p);
      }
      if (t == first) break;
      s.h_previous -= state;
      s.h -= state;
      s.input -= state;
      back(s.c_previous, state);
      back(s.c, state);
      back(s.planes, planes);
      back(s.dy, dy_t);
      back(s.flow_h, in.count);
      back(s.flow_c, in.count);
      back(s.flow_a, in.count);
      s.dz -= dz;
      p.a -= dz;
    }
  }

  // Rescales the gradient that goes on to step t - 1. Where a reset cuts it, it is passed to
  // at_cut(n, dh, dc) and becomes zero.
  template <class AtCut>
  void finish(int64_t walk, int64_t t, int64_t n0, int64_t n1, const AtCut& at_cut) {
    if (in.call.settings.clip_step_norm > 0) rescale_carry(walk, n0, n1);
    for (int64_t n = n0; in.cuts && n < n1; ++n) {
      if (!in.tape.cut(walk % in.D, t, in.shard.place(n))) continue;
      T* const h = dh(walk, n);
      T* const c = in.shape.has_c ? dc(walk, n) : nullptr;
      at_cut(n, h, c);
      std::fill_n(h, in.R, T(0));
      if (c) std::fill_n(c, in.H, T(0));
    }
  }

 private:
  void set_step(StepBackwardArgs<T>& s, int64_t walk, const Block<T>& block, int64_t t, int64_t n0,
                int64_t n1, double* norms_c) {
    const auto& layer = in.tape.layer(walk);
    const int64_t row = in.geometry.state_row, cell_row = in.geometry.cell_row;
    s.h_previous = in.before(layer.h, t, n0, row);
    s.h = in.after(layer.h, t, n0, row);
    if (layer.c) {
      s.c_previous = in.before(layer.c, t, n0, cell_row);
      s.c = in.after(layer.c, t, n0, cell_row);
      s.dc = dc(walk, n0);
      s.flow_c = norms_c;
      if (in.shard.record)
        s.total_c = in.shard.record->walks[size_t(walk)].c.data() + in.tape_row(t, n0) * cell_row;
    }
    if (in.cuts) cut_states(s, walk, t, n0, n1);
    s.input = s.h_previous;
    if (layer.planes) s.planes = in.planes(layer, t, n0);
    s.dh = dh(walk, n0);
    s.dz = dz_.data() + (block.row(t) + n0) * in.geometry.dz_row;
    s.rows = n1 - n0;
  }

  // Replaces the states before the step by copies with initial ones if a reset cuts any of them.
  void cut_states(StepBackwardArgs<T>& s, int64_t walk, int64_t t, int64_t n0, int64_t n1) {
    const int64_t g0 = in.shard.place(n0), g1 = in.shard.place_end(n1);
    if (!in.gather.any_cut(walk % in.D, t, g0, g1)) return;
    T* h = cut_h_.data() + n0 * in.geometry.state_row;
    in.gather.cut_h(walk, t, g0, g1, s.h_previous, h);
    s.h_previous = h;
    if (!s.c_previous) return;
    T* c = cut_c_.data() + n0 * in.geometry.cell_row;
    in.gather.cut_c(walk, t, g0, g1, s.c_previous, c);
    s.c_previous = c;
  }

  // Prefetches the data that step t - 1 will read, as far as they may stay in the caches.
  void fetch_ahead(Common& common, int64_t walk, int64_t t, int64_t n0) const {
    constexpr int64_t kMost = 1 << 17;  // bytes
    const int64_t piece = fetched_bytes(in.kernels);
    ProductArgs<T>& p = common.product;
    const auto rows = [&](const T* from, int64_t row) {
      return Ahead{from, piece, std::min(p.rows * row * int64_t(sizeof(T)), kMost) / piece};
    };
    const StepBackwardArgs<T>& s = common.step;
    const auto& layer = in.tape.layer(walk);
    for (Ahead& ahead : p.ahead) ahead = {};
    if (t == 0) return;
    if (layer.planes) p.ahead[0] = rows(in.planes(layer, t - 1, n0), in.geometry.planes_row);
    if (layer.c) {
      p.ahead[1] = rows(in.before(layer.c, t - 1, n0, in.geometry.cell_row), in.geometry.cell_row);
    } else {
      p.ahead[1] = rows(in.before(layer.h, layer.planes ? t - 1 : t, n0, in.geometry.state_row),
                        in.geometry.state_row);
    }
    if (layer.c)
      p.ahead[3] = rows(in.before(layer.h, t, n0, in.geometry.state_row), in.geometry.state_row);
    if (s.dy && walk == in.config.walks() - 1 && in.call.dy)
      p.ahead[2] = rows(s.dy - in.call.dy_t, in.call.dy_n);
  }

  void run_extended(Common& common, int64_t walk, const Block<T>& block, int64_t t, int64_t n0,
                    int64_t n1) {
    StepBackwardArgs<T>& s = common.step;
    T* const carry = s.dh;
    if (masked_.count() && !in.config.reset_after) {
      T* masked = masked_.data() + n0 * in.geometry.state_row;
      in.gather.mask_recurrent(walk, in.shard.place(n0), in.shard.place_end(n1), s.h_previous,
                               masked);
      s.input = masked;
    }
    CellOptions<T> options{};
    if (in.extended) {
      options = cell_options(walk, t, n0, n1);
      s.options = &options;
    }
    if (in.config.projection) s.dh = through_projection(walk, carry, block.row(t) + n0, n1 - n0);
    {
      const Timed timed(Phase::pointwise);
      in.kernels.step_backward[int(in.config.cell)](s);
      if (in.config.layer_norm) through_norms(walk, s, t, n0);
    }
    if (in.shape.recurrent()) {
      const Timed timed(Phase::recurrent);
      carry_back(common, walk, carry, n0, n1);
    }
    s.options = nullptr;
  }

  CellOptions<T> cell_options(int64_t walk, int64_t t, int64_t n0, int64_t n1) {
    CellOptions<T> o = in.stepper.options(in.packed.layers[size_t(walk)]);
    const int64_t row = in.geometry.cell_row, g0 = in.shard.place(n0), g1 = in.shard.place_end(n1);
    o.keep_row = in.stride(row);
    if (keep_h_.count()) {
      in.gather.zoneout(MaskKind::zoneout, walk, t, g0, g1, keep_h_.data() + n0 * row);
      o.keep_h = keep_h_.data() + n0 * row;
    }
    if (keep_c_.count()) {
      in.gather.zoneout(MaskKind::zoneout_c, walk, t, g0, g1, keep_c_.data() + n0 * row);
      o.keep_c = keep_c_.data() + n0 * row;
    }
    if (reset_carry_.count()) o.reset_carry = reset_carry_.data() + n0 * in.geometry.state_row;
    return o;
  }

  // Computes dL/d(o tanh(c_t)) from the total dL/dh_t, which is kept for dW_hr.
  T* through_projection(int64_t walk, const T* total, int64_t at, int64_t rows) {
    const int64_t row = in.geometry.state_row;
    std::memcpy(total_.data() + at * row, total, size_t(rows * row) * sizeof(T));
    const int64_t n0 = (total - dh(walk, 0)) / row;
    T* dm = dm_.data() + n0 * in.geometry.cell_row;
    in.kernels.product(product_args(in.kernels, rows, in.R, in.H, {total, row},
                                    in.packed.layers[size_t(walk)].projection.data(),
                                    {dm, in.geometry.cell_row}, in.operands.at(n0)));
    return dm;
  }

  // Computes the gradients before the normalisations of W_ih x and W_hh h from da.
  void through_norms(int64_t walk, const StepBackwardArgs<T>& s, int64_t t, int64_t n0) {
    static constexpr int64_t kInOrder[4] = {0, 1, 2, 3};
    T* planes = const_cast<T*>(in.planes(in.tape.layer(walk), t, n0));
    const T* gains = in.packed.layers[size_t(walk)].gains.data();
    const int64_t G = in.shape.gates, plane = in.geometry.plane;
    for (const bool hidden : {false, true}) {
      NormArgs<T> a = in.stepper.norm(planes, gains + (hidden ? G * plane : 0), s.rows,
                                      in.shape.norm + (hidden ? G : 0), hidden);
      a.z_row = s.dz_row;
      a.hat_row = s.planes_row;
      a.da = s.dz + (hidden ? in.shape.dz_hidden : 0) * plane;
      a.dz = s.dz + (hidden ? in.shape.norm_hidden : in.shape.norm_input) * plane;
      a.dgain = s.dz + (hidden ? in.shape.gain_hidden : in.shape.gain_input) * plane;
      a.gate_of = hidden ? kInOrder : in.shape.dz_input;
      in.kernels.norm_backward(a);
    }
  }

  // Computes dL/dh_{t-1}: the product with W_hh plus the share that the cell left in dh.
  void carry_back(Common& common, int64_t walk, T* carry, int64_t n0, int64_t n1) {
    const StepBackwardArgs<T>& s = common.step;
    const int64_t row = in.geometry.state_row, plane = in.geometry.plane;
    const bool masked = share_.count() > 0;
    ProductArgs<T> p = common.product;
    p.rows = n1 - n0;
    p.scratch = in.operands.at(n0);
    p.a = s.dz + (in.config.layer_norm ? in.shape.norm_hidden : in.shape.dz_hidden) * plane;
    p.c = carry;
    if (!masked && in.config.reset_after) return in.kernels.product(p);
    const bool adds = p.accumulate;
    T* const share = in.config.reset_after ? share_.data() + n0 * row : s.options->reset_carry;
    p.c = share;
    p.accumulate = false;
    if (!in.config.reset_after) {
      ProductArgs<T> first = p;
      first.a = s.dz;
      first.segments = 1;
      first.b = in.packed.layers[size_t(walk)].recurrent_n.data();
      in.kernels.product(first);
      CellOptions<T> second = *s.options;
      second.stage = 1;
      StepBackwardArgs<T> again = s;
      again.options = &second;
      in.kernels.step_backward[int(in.config.cell)](again);
      p.accumulate = true;
    }
    in.kernels.product(p);
    const T* mask = masked ? in.tape.layer(walk).recurrent_mask : nullptr;
    for (int64_t n = n0; n < n1; ++n) {
      T* to = carry + (n - n0) * row;
      const T* from = share + (n - n0) * row;
      if (!masked) {
        in.kernels.add(to, from, in.R);
      } else if (adds) {
        in.kernels.add_products(to, from, mask + in.shard.place(n) * row, in.R);
      } else {
        in.kernels.multiply(to, from, mask + in.shard.place(n) * row, in.R);
      }
    }
  }

  // Scales each sequence's (dh, dc) down to at most clip_step_norm.
  void rescale_carry(int64_t walk, int64_t n0, int64_t n1) {
    for (int64_t n = n0; n < n1; ++n) {
      T* h = dh(walk, n);
      T* c = in.shape.has_c ? dc(walk, n) : nullptr;
      const double norms[2] = {row_norm(in.kernels, h, in.R),
                               c ? row_norm(in.kernels, c, in.H) : 0};
      Norm norm{norm_of(norms, 2), 0};
      if (std::isinf(norm.fraction)) norm = carry_beyond(h, c);
      const Factor factor =
          norm.finite() ? factor_to(in.call.settings.clip_step_norm, norm) : Factor{};
      for (const double part : {factor.first, factor.second}) {
        if (part == 1) continue;
        in.kernels.scale(h, in.R, part);
        if (c) in.kernels.scale(c, in.H, part);
      }
    }
  }

  // Returns the norm of a sequence's (dh, dc) if it exceeds the range of float64.
  Norm carry_beyond(const T* h, const T* c) const {
    const double largest =
        std::max(in.kernels.max_abs(h, in.R), c ? in.kernels.max_abs(c, in.H) : 0);
    if (std::isinf(largest)) return {largest, 0};
    const int exponent = std::ilogb(largest);
    const double sum = shifted_squares(in.kernels, h, in.R, -exponent) +
                       (c ? shifted_squares(in.kernels, c, in.H, -exponent) : 0);
    return {std::sqrt(sum), exponent};
  }

  const BackwardContext<T>& in;
  const T clip_;               // 0: off
  Buffer<T> dh_, dc_;          // [L * D, sequences, R | H]
  Buffer<T> dz_;               // [rows of a block, dz planes, H]
  Buffer<T> cut_h_, cut_c_;    // [sequences, R | H]
  Buffer<T> masked_, share_;   // [sequences, R]: recurrent dropout
  Buffer<T> reset_carry_;      // [sequences, R]
  Buffer<T> total_, dm_;       // [rows of a block, R], [sequences, H]
  Buffer<T> keep_h_, keep_c_;  // [sequences, H]
};

}  // namespace bptt
