// rnn.h: the RNN cell, h_t = f(a_t), a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh (Elman 1990). For
// most f the backward pass needs only h_t, because the derivative is a function of f itself. With
// options: h_t = (1 - alpha) h_{t-1} + alpha f(a_t), zoneout; f(a_t) is saved. The other
// activations (kernels.h: saves_slope) always have options and save f'(a_t) instead.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/simd/update.h"

namespace bptt {
namespace {

template <class T, Activation F, bool OPTIONS>
struct Rnn {
  using V = typename Vec<T>::V;
  static constexpr int kGates = 1;
  static constexpr bool kRecurrent = true, kHasC = false, kTwoPasses = false, kOptions = OPTIONS,
                        kSavesGates = OPTIONS, kApart = false, kSavesSlope = saves_slope(F);
  static constexpr int kFirstPlane = 0;
  static constexpr T kLeak = T(0.01);  // slope of leaky_relu
  static_assert(OPTIONS || !saves_slope(F));

  static BPTT_INLINE V f(V a) {
    const V one = splat<T>(T(1));
    if constexpr (F == Activation::tanh) return tanh<T>(a);
    if constexpr (F == Activation::sigmoid) return sigmoid<T>(a);
    if constexpr (F == Activation::relu) return at_least(V{}, a);
    if constexpr (F == Activation::softplus) return softplus<T>(a);
    if constexpr (F == Activation::elu) return select(a > V{}, a, expm1<T>(a));
    if constexpr (F == Activation::hard_sigmoid) {
      return at_most(one, at_least(V{}, fma(a, splat<T>(T(1) / T(6)), splat<T>(T(0.5)))));
    }
    if constexpr (F == Activation::softsign) return a / (one + magnitude<T>(a));
    if constexpr (F == Activation::leaky_relu) return select(a > V{}, a, a * splat<T>(kLeak));
    if constexpr (F == Activation::silu) return silu<T>(a);
    return a;
  }

  // f'(a), for the activations that save it.
  static BPTT_INLINE V slope(V a) {
    const V one = splat<T>(T(1));
    if constexpr (F == Activation::elu) return select(a > V{}, one, exp<T>(a));
    if constexpr (F == Activation::softsign) {
      const V left = one / (one + magnitude<T>(a));
      return left * left;
    }
    if constexpr (F == Activation::silu) return silu_slope<T>(a);
    return one;
  }

  // dL/da from dL/dh and h = f(a), or from f'(a) if that is saved. relu and hard_sigmoid: the slope
  // at the kinks is 0, and a NaN state gives NaN.
  static BPTT_INLINE V f_backward(V dh, V h) {
    const V one = splat<T>(T(1));
    if constexpr (F == Activation::tanh) return dh * fma(-h, h, one);
    if constexpr (F == Activation::sigmoid) return dh * (h * (one - h));
    if constexpr (F == Activation::relu) return select(h > V{}, dh, h * V{});
    if constexpr (F == Activation::softplus) return dh * -expm1<T>(-h);
    if constexpr (saves_slope(F)) return dh * h;
    if constexpr (F == Activation::hard_sigmoid) {
      const V slope = dh * splat<T>(T(1) / T(6));
      return select(h > V{}, select(h < one, slope, V{}), h * V{});
    }
    if constexpr (F == Activation::leaky_relu) return select(h > V{}, dh, dh * splat<T>(kLeak));
    return dh;
  }

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* a) const {
    if constexpr (!OPTIONS) {
      put_h(s, row, unit, f(a[0]));
    } else {
      T* h = s.h + row * s.h_row + unit;
      const CellOptions<T>& o = *s.options;
      T* plane = s.planes + row * s.planes_row + unit;
      const V previous = load(s.h_previous + row * s.state_row + unit);
      const V y = f(a[0]);
      V fresh = y;
      if (o.alphas) {
        const V alpha = load(o.alphas + unit);
        fresh = fma(splat<T>(T(1)) - alpha, previous, alpha * y);
      } else if (o.alpha != T(1)) {
        fresh = fma(splat<T>(T(1) - o.alpha), previous, splat<T>(o.alpha) * y);
      }
      if (o.keep_h) fresh = zoned(o.keep_h + row * o.keep_row + unit, previous, fresh);
      if constexpr (saves_slope(F)) {
        store(plane, slope(a[0]));
      } else {
        store(plane, y);
      }
      store(h, fresh);
    }
  }

  BPTT_INLINE void forward_row(const StepForwardArgs<T>&, int64_t) const {}
  BPTT_INLINE void backward_row(const StepBackwardArgs<T>&, int64_t) const {}

  BPTT_INLINE V backward(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const int64_t at = row * s.state_row + unit;
    const V dh = total_dh(s, row, unit);
    V da;
    if constexpr (!OPTIONS) {
      da = f_backward(dh, load(s.h + row * s.saved_row + unit));
    } else {
      const CellOptions<T>& o = *s.options;
      V fresh = dh, direct{};
      if (o.keep_h) {
        const V keep = load(o.keep_h + row * o.keep_row + unit);
        direct = keep * dh;
        fresh = (splat<T>(T(1)) - keep) * dh;
      }
      V alpha = splat<T>(o.alpha);
      if (o.alphas) {
        alpha = load(o.alphas + unit);
        direct = fma(splat<T>(T(1)) - alpha, fresh, direct);
      } else if (o.alpha != T(1)) {
        direct = fma(splat<T>(T(1) - o.alpha), fresh, direct);
      }
      da = f_backward(fresh * alpha, load(s.planes + row * s.planes_row + unit));
      store(s.dh + at, direct);
    }
    if (s.clip > 0) da = clamp(da, s.clip);
    store(s.dz + row * s.dz_row + unit, da);
    return da;
  }
};

// Calls run(cell) for the cell of this activation, plain or with options. A cell that saves its
// slope always has options.
template <class T, bool OPTIONS, int F = 0, class Run>
BPTT_INLINE void with_activation(Activation activation, const Run& run) {
  if constexpr (F < kActivationCount) {
    if (int(activation) != F) return with_activation<T, OPTIONS, F + 1>(activation, run);
    if constexpr (OPTIONS || !saves_slope(Activation(F))) run(Rnn<T, Activation(F), OPTIONS>());
  }
}

template <class T>
void rnn_forward(const StepForwardArgs<T>& s) {
  const auto run = [&s](const auto& cell) { step_forward(s, cell); };
  s.options ? with_activation<T, true>(s.activation, run)
            : with_activation<T, false>(s.activation, run);
}

template <class T>
void rnn_backward(const StepBackwardArgs<T>& s) {
  const auto run = [&s](const auto& cell) { step_backward(s, cell); };
  s.options ? with_activation<T, true>(s.activation, run)
            : with_activation<T, false>(s.activation, run);
}

template <class T>
void map_activation(Activation activation, const T* in, T* out, int64_t n) {
  with_activation<T, true>(activation, [=](const auto& cell) {
    for_vectors<T>(n, [&](int64_t i, int64_t width) {
      store_up_to<T>(out + i, cell.f(load_up_to(in + i, width)), width);
    });
  });
}

template <class T>
void map_slope(Activation activation, const T* in, T* out, int64_t n) {
  with_activation<T, true>(activation, [=](const auto& cell) {
    for_vectors<T>(n, [&](int64_t i, int64_t width) {
      const auto from = load_up_to(in + i, width);
      const auto saved = cell.kSavesSlope ? cell.slope(from) : from;
      store_up_to<T>(out + i, cell.f_backward(splat<T>(T(1)), saved), width);
    });
  });
}

}  // namespace
}  // namespace bptt
