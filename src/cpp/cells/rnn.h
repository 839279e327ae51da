// rnn.h: h_t = f(a_t), a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh (Elman 1990). h_t alone is
// enough for the way back: every f here has a derivative that can be written with f itself.
#pragma once

#include "cells/cell.h"

namespace bptt {
namespace {

template <class T, Activation F>
struct Rnn {
  using V = typename Vec<T>::V;
  static constexpr int kGates = 1;
  static constexpr CellShape kShape = cell_shape(Cell::rnn);

  static BPTT_INLINE V f(V a) {
    if constexpr (F == Activation::tanh) return tanh<T>(a);
    if constexpr (F == Activation::sigmoid) return sigmoid<T>(a);
    if constexpr (F == Activation::relu) return at_least(V{}, a);
    return a;
  }

  // dL/da from dL/dh and h = f(a). relu: 0 at 0, and a NaN state gives NaN.
  static BPTT_INLINE V f_backward(V dh, V h) {
    const V one = splat<T>(T(1));
    if constexpr (F == Activation::tanh) return dh * fma(-h, h, one);
    if constexpr (F == Activation::sigmoid) return dh * (h * (one - h));
    if constexpr (F == Activation::relu) return select(h > V{}, dh, h * V{});
    return dh;
  }

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* product) const {
    T* h = s.h + row * s.state_row + unit;
    store(h, f(load(h) + product[0]));
  }

  BPTT_INLINE V backward(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const int64_t at = row * s.state_row + unit;
    V da = f_backward(load(s.dh + at), load(s.h + at));
    if (s.clip > 0) da = clamp(da, s.clip);
    store(s.dz + row * s.dz_row + unit, da);
    return da;
  }
};

template <class T>
void rnn_forward(const StepForwardArgs<T>& s) {
  switch (s.activation) {
    case Activation::tanh:
      return step_forward(s, Rnn<T, Activation::tanh>());
    case Activation::relu:
      return step_forward(s, Rnn<T, Activation::relu>());
    case Activation::sigmoid:
      return step_forward(s, Rnn<T, Activation::sigmoid>());
    case Activation::identity:
      return step_forward(s, Rnn<T, Activation::identity>());
  }
}

template <class T>
void rnn_backward(const StepBackwardArgs<T>& s) {
  switch (s.activation) {
    case Activation::tanh:
      return step_backward(s, Rnn<T, Activation::tanh>());
    case Activation::relu:
      return step_backward(s, Rnn<T, Activation::relu>());
    case Activation::sigmoid:
      return step_backward(s, Rnn<T, Activation::sigmoid>());
    case Activation::identity:
      return step_backward(s, Rnn<T, Activation::identity>());
  }
}

}  // namespace
}  // namespace bptt
