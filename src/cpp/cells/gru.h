// gru.h: r, z = sigmoid(a);  n = tanh(W_in x_t + b_in + r q_t), q_t = W_hn h_{t-1} + b_hn;  h_t =
// (1 - z) n + z h_{t-1} (Cho et al. 2014, reset after the product: arXiv:1406.1078v1, cuDNN,
// PyTorch). Saved: r, z, n, q. The pre-activation gradients of W_ih are those of n, r, z, and of
// W_hh those of r, z, q: four planes n r z q serve both.
#pragma once

#include "cells/cell.h"

namespace bptt {
namespace {

template <class T>
struct Gru {
  using V = typename Vec<T>::V;
  static constexpr int kGates = 3;
  static constexpr CellShape kShape = cell_shape(Cell::gru);

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* product) const {
    T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const V r = sigmoid<T>(load(plane) + product[0]);
    const V z = sigmoid<T>(load(plane + next) + product[1]);
    const V q = product[2] + load(s.bias_hidden + unit);
    const V n = tanh<T>(fma(r, q, load(plane + 2 * next)));
    store(plane, r);
    store(plane + next, z);
    store(plane + 2 * next, n);
    store(plane + 3 * next, q);
    store(s.h + at, fma(z, load(s.h_previous + at) - n, n));
  }

  BPTT_INLINE V backward(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const V r = load(plane), z = load(plane + next), n = load(plane + 2 * next),
            q = load(plane + 3 * next);
    const V one = splat<T>(T(1));
    const V dh = load(s.dh + at);
    V da_n = dh * (one - z) * fma(-n, n, one);
    V da_z = dh * (load(s.h_previous + at) - n) * (z * (one - z));
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
    store(s.dh + at, dh * z);
    return dh;
  }
};

template <class T>
void gru_forward(const StepForwardArgs<T>& s) {
  step_forward(s, Gru<T>());
}

template <class T>
void gru_backward(const StepBackwardArgs<T>& s) {
  step_backward(s, Gru<T>());
}

}  // namespace
}  // namespace bptt
