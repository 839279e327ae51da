// lstm.h: i, f, o = sigmoid(a), g = tanh(a);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)
// (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000). Saved: i, f, g,
// o. tanh(c_t) is computed again on the way back: 2 % of a step at H = 128, against a fifth more
// memory.
#pragma once

#include "cells/cell.h"

namespace bptt {
namespace {

template <class T>
struct Lstm {
  using V = typename Vec<T>::V;
  static constexpr int kGates = 4;
  static constexpr CellShape kShape = cell_shape(Cell::lstm);

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* product) const {
    T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const V i = sigmoid<T>(load(plane) + product[0]);
    const V f = sigmoid<T>(load(plane + next) + product[1]);
    const V g = tanh<T>(load(plane + 2 * next) + product[2]);
    const V o = sigmoid<T>(load(plane + 3 * next) + product[3]);
    const V c = fma(f, load(s.c_previous + at), i * g);
    store(plane, i);
    store(plane + next, f);
    store(plane + 2 * next, g);
    store(plane + 3 * next, o);
    store(s.c + at, c);
    store(s.h + at, o * tanh<T>(c));
  }

  // Returns the total dL/dc_t, for the gradient flow.
  BPTT_INLINE V backward(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const V i = load(plane), f = load(plane + next), g = load(plane + 2 * next),
            o = load(plane + 3 * next);
    const V one = splat<T>(T(1));
    const V tanh_c = tanh<T>(load(s.c + at));
    const V dh = load(s.dh + at);
    const V dc = fma(dh * o, fma(-tanh_c, tanh_c, one), load(s.dc + at));
    V da_i = dc * g * (i * (one - i));
    V da_f = dc * load(s.c_previous + at) * (f * (one - f));
    V da_g = dc * i * fma(-g, g, one);
    V da_o = dh * tanh_c * (o * (one - o));
    if (s.clip > 0) {
      da_i = clamp(da_i, s.clip);
      da_f = clamp(da_f, s.clip);
      da_g = clamp(da_g, s.clip);
      da_o = clamp(da_o, s.clip);
    }
    T* dz = s.dz + row * s.dz_row + unit;
    store(dz, da_i);
    store(dz + next, da_f);
    store(dz + 2 * next, da_g);
    store(dz + 3 * next, da_o);
    store(s.dc + at, dc * f);
    return dc;
  }
};

template <class T>
void lstm_forward(const StepForwardArgs<T>& s) {
  step_forward(s, Lstm<T>());
}

template <class T>
void lstm_backward(const StepBackwardArgs<T>& s) {
  step_backward(s, Lstm<T>());
}

}  // namespace
}  // namespace bptt
