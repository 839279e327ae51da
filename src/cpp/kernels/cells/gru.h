// gru.h: the GRU cell, r, z = sigmoid(a), n = tanh(W_in x_t + b_in + r q_t), q_t = W_hn h_{t-1} +
// b_hn, h_t = (1 - z) n + z h_{t-1} (Cho et al. 2014, reset after the product: arXiv:1406.1078v1,
// cuDNN, PyTorch). Saved: r, z, n, q. The pre-activation gradients of W_ih are those of n, r, z,
// and those of W_hh are r, z, q: four planes n r z q serve both.
//
// GruBefore: n = tanh(W_in x_t + b_in + W_hn (r h_{t-1}) + b_hn) (arXiv:1406.1078v3), in two stages
// around the second product. Saved: r, z, n, r h_{t-1}; gradients n r z.
#pragma once

#include "kernels/cells/cell.h"

namespace bptt {
namespace {

template <class T, bool OPTIONS>
struct Gru {
  using V = typename Vec<T>::V;
  static constexpr int kGates = 3, kFirstPlane = 0;
  static constexpr bool kRecurrent = true, kHasC = false, kTwoPasses = true, kOptions = OPTIONS,
                        kSavesGates = true, kApart = true;

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* a) const {
    T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride;
    const V r = sigmoid<T>(a[0]);
    const V q = a[3] + load(s.bias_hidden + unit);
    store(plane, r);
    store(plane + next, sigmoid<T>(a[1]));
    store(plane + 2 * next, fma(r, q, a[2]));  // the argument of n; forward_output computes n
    store(plane + 3 * next, q);
  }

  BPTT_INLINE void forward_output(const StepForwardArgs<T>& s, int64_t row, int64_t unit) const {
    T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride;
    const V n = tanh<T>(load(plane + 2 * next)), z = load(plane + next);
    store(plane + 2 * next, n);
    const V previous = load(s.h_previous + row * s.state_row + unit);
    V h = fma(z, previous - n, n);
    if constexpr (OPTIONS) {
      const CellOptions<T>& o = *s.options;
      if (o.keep_h) h = zoned(o.keep_h + row * o.keep_row + unit, previous, h);
    }
    put_h(s, row, unit, h);
  }

  BPTT_INLINE void forward_row(const StepForwardArgs<T>&, int64_t) const {}
  BPTT_INLINE void backward_row(const StepBackwardArgs<T>&, int64_t) const {}

  BPTT_INLINE V backward(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const V r = load(plane), z = load(plane + next), n = load(plane + 2 * next),
            q = load(plane + 3 * next);
    const V one = splat<T>(T(1));
    V dh = total_dh(s, row, unit), direct{};
    if constexpr (OPTIONS) {
      const Split<T> split = split_zoned(s, row, unit, dh);
      dh = split.fresh;
      direct = split.direct;
    }
    V da_n = dh * (one - z) * fma(-n, n, one);
    V da_z = dh * (load(s.h_previous + row * s.saved_row + unit) - n) * (z * (one - z));
    if (s.clip > 0) {
      da_n = clamp(da_n, s.clip);
      da_z = clamp(da_z, s.clip);
    }
    V da_r = da_n * q * (r * (one - r));
    if (s.clip > 0) da_r = clamp(da_r, s.clip);
    T* dz = s.dz + row * s.dz_row + unit;
    store(dz, da_n);
    store(dz + next, da_r);
    store(dz + 2 * next, da_z);
    store(dz + 3 * next, da_n * r);
    if constexpr (OPTIONS) {
      store(s.dh + at, fma(dh, z, direct));
    } else {
      store(s.dh + at, dh * z);
    }
    return dh;
  }
};

// Stage 0 computes r, z, and r h for the product of stage 1, which computes n and h_t.
template <class T, int STAGE>
struct GruBefore {
  using V = typename Vec<T>::V;
  static constexpr int kGates = STAGE == 0 ? 2 : 1, kFirstPlane = STAGE == 0 ? 0 : 2;
  static constexpr bool kRecurrent = true, kHasC = false, kTwoPasses = false, kOptions = true,
                        kSavesGates = true, kApart = STAGE == 1;

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* a) const {
    T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride;
    if constexpr (STAGE == 0) {
      const V r = sigmoid<T>(a[0]), z = sigmoid<T>(a[1]);
      store(plane, r);
      store(plane + next, z);
      store(plane + 3 * next, r * load(s.input + row * s.input_row + unit));
    } else {
      const CellOptions<T>& o = *s.options;
      const V n = tanh<T>(a[0] + (a[1] + load(s.bias_hidden + unit)));
      const V previous = load(s.h_previous + row * s.state_row + unit);
      V h = fma(load(plane + next), previous - n, n);
      if (o.keep_h) h = zoned(o.keep_h + row * o.keep_row + unit, previous, h);
      store(plane + 2 * next, n);
      store(s.h + row * s.h_row + unit, h);
    }
  }

  BPTT_INLINE void forward_row(const StepForwardArgs<T>&, int64_t) const {}
  BPTT_INLINE void backward_row(const StepBackwardArgs<T>&, int64_t) const {}

  // Stage 0 computes da_n and da_z. Stage 1, with reset_carry = W_hn^T da_n, computes da_r.
  BPTT_INLINE V backward(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const V one = splat<T>(T(1));
    T* dz = s.dz + row * s.dz_row + unit;
    if constexpr (STAGE == 0) {
      const V z = load(plane + next), n = load(plane + 2 * next);
      const Split<T> dh = split_zoned(s, row, unit, load(s.dh + at));
      V da_n = dh.fresh * (one - z) * fma(-n, n, one);
      V da_z = dh.fresh * (load(s.h_previous + row * s.saved_row + unit) - n) * (z * (one - z));
      if (s.clip > 0) {
        da_n = clamp(da_n, s.clip);
        da_z = clamp(da_z, s.clip);
      }
      store(dz, da_n);
      store(dz + 2 * next, da_z);
      store(s.dh + at, fma(dh.fresh, z, dh.direct));
      return da_n;
    } else {
      const V r = load(plane);
      T* carry = s.options->reset_carry + at;
      const V d = load(carry);
      V da_r = d * load(s.input + row * s.input_row + unit) * (r * (one - r));
      if (s.clip > 0) da_r = clamp(da_r, s.clip);
      store(dz + next, da_r);
      store(carry, d * r);
      return da_r;
    }
  }
};

template <class T, class Args, class Run>
void with_gru(const Args& s, const Run& run) {
  if (!s.options) return run(Gru<T, false>());
  if (!s.options->reset_before) return run(Gru<T, true>());
  if (s.options->stage == 0) return run(GruBefore<T, 0>());
  run(GruBefore<T, 1>());
}

template <class T>
void gru_forward(const StepForwardArgs<T>& s) {
  with_gru<T>(s, [&s](const auto& cell) { step_forward(s, cell); });
}

template <class T>
void gru_backward(const StepBackwardArgs<T>& s) {
  with_gru<T>(s, [&s](const auto& cell) { step_backward(s, cell); });
}

}  // namespace
}  // namespace bptt
