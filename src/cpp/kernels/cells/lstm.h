// lstm.h: the LSTM cell, i, f, o = sigmoid(a), g = tanh(a), c_t = f c_{t-1} + i g, h_t = o
// tanh(c_t) (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000). Saved:
// i, f, g, o. The backward pass computes tanh(c_t) as h_t / o, which takes less than half the time
// of tanh. With options (kernels.h: CellOptions): peepholes, f = 1 - i, zoneout of h and of c, and
// LN(c_t) in h_t = o tanh(gain LN(c_t) + bias). With these, c~ denotes the fresh cell state, before
// zoneout, and tanh is computed again, because h_t is not always a product with o.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/cells/norm.h"

namespace bptt {
namespace {

template <class T, bool COUPLED, bool OPTIONS>
struct Lstm {
  using V = typename Vec<T>::V;
  static constexpr int kGates = COUPLED ? 3 : 4;
  static constexpr int kG = kGates - 2, kO = kGates - 1;  // planes of g and o
  static constexpr bool kRecurrent = true, kHasC = true, kTwoPasses = true, kOptions = OPTIONS,
                        kSavesGates = true, kApart = false;
  static constexpr int kFirstPlane = 0;
  static constexpr T kLeastNormal = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-1022);

  // The peephole weights of a gate: p_i, p_f, p_o; coupled: p_i, p_o.
  static BPTT_INLINE V peephole(const CellOptions<T>& o, int64_t stride, int index, int64_t unit) {
    return load(o.peephole + index * stride + unit);
  }

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* a) const {
    T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const V c_previous = load(s.c_previous + at);
    V a_i = a[0], f{}, a_o = a[kO];
    if constexpr (!COUPLED) f = a[1];
    const V g = tanh<T>(a[kG]);
    if constexpr (OPTIONS) {
      if (s.options->peephole) {
        a_i = fma(peephole(*s.options, next, 0, unit), c_previous, a_i);
        if constexpr (!COUPLED) f = fma(peephole(*s.options, next, 1, unit), c_previous, f);
      }
    }
    const V i = sigmoid<T>(a_i);
    f = COUPLED ? splat<T>(T(1)) - i : sigmoid<T>(f);
    const V c = fma(f, c_previous, i * g);
    if constexpr (OPTIONS) {
      if (s.options->peephole) a_o = fma(peephole(*s.options, next, kO - 1, unit), c, a_o);
    }
    store(plane, i);
    if constexpr (!COUPLED) store(plane + next, f);
    store(plane + kG * next, g);
    store(plane + kO * next, a_o);  // open computes o
    store(s.c + at, c);
  }

  // Computes o, which c_t does not wait for, and returns it.
  BPTT_INLINE V open(const StepForwardArgs<T>& s, int64_t row, int64_t unit) const {
    T* plane = s.planes + row * s.planes_row + kO * s.plane_stride + unit;
    const V o = sigmoid<T>(load(plane));
    store(plane, o);
    return o;
  }

  BPTT_INLINE void forward_output(const StepForwardArgs<T>& s, int64_t row, int64_t unit) const {
    if constexpr (OPTIONS) {
      if (s.options->norm) return;  // forward_row computes h_t
    }
    const V c = load(s.c + row * s.state_row + unit), o = open(s, row, unit);
    if constexpr (OPTIONS) {
      put(s, row, unit, c, o * tanh<T>(c));
    } else {
      put_h(s, row, unit, o * tanh<T>(c));
    }
  }

  // Stores the states h_t and c_t, given the fresh ones.
  BPTT_INLINE void put(const StepForwardArgs<T>& s, int64_t row, int64_t unit, V c, V h) const {
    const CellOptions<T>& o = *s.options;
    const int64_t at = row * s.state_row + unit, kept = row * o.keep_row + unit;
    if (o.keep_c) c = zoned(o.keep_c + kept, load(s.c_previous + at), c);
    if (o.keep_h) h = zoned(o.keep_h + kept, load(s.h_previous + at), h);
    store(s.c + at, c);
    store(s.h + row * s.h_row + unit, h);
  }

  BPTT_INLINE void forward_row(const StepForwardArgs<T>& s, int64_t row) const {
    const CellOptions<T>& o = *s.options;
    if (!o.norm) return;
    const T* c = s.c + row * s.state_row;
    const RowStatistics<T> of = row_statistics<T>(c, s.units);
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      const V fresh = load(c + unit);
      const V a = fma(load(o.gain_c + unit), of.normalised(fresh), load(o.bias_c + unit));
      put(s, row, unit, fresh, open(s, row, unit) * tanh<T>(a));
    }
  }

  // Returns the total dL/dc_t (of the fresh state), for the gradient flow.
  BPTT_INLINE V backward(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const T* plane = s.planes + row * s.planes_row + unit;
    const int64_t next = s.plane_stride, at = row * s.state_row + unit;
    const int64_t saved = row * s.saved_row + unit;
    const V one = splat<T>(T(1));
    const V i = load(plane), g = load(plane + kG * next), o = load(plane + kO * next);
    const V f = COUPLED ? one - i : load(plane + next);
    const V c_previous = load(s.c_previous + saved);
    T* dz = s.dz + row * s.dz_row + unit;
    V dh = total_dh(s, row, unit), carried = load(s.dc + at);
    V da_o, dc, kept{}, c{};
    if constexpr (!OPTIONS) {
      // Where o is below the normal numbers, the error of tanh(c_t) vanishes in products with o,
      // unless dh is near the largest number.
      const V h = load(s.h + saved), tanh_c = h / at_least(splat<T>(kLeastNormal), o);
      dc = fma(dh * o, fma(-tanh_c, tanh_c, one), carried);
      da_o = dh * h * (one - o);
    } else {
      V tanh_c;
      const CellOptions<T>& options = *s.options;
      c = fresh_c(s, row, unit);
      V own = carried;
      if (options.keep_c) {
        const V keep = load(options.keep_c + row * options.keep_row + unit);
        kept = keep * carried;
        own = (one - keep) * carried;
      }
      V direct{};
      if (options.keep_h) {
        const V keep = load(options.keep_h + row * options.keep_row + unit);
        direct = keep * dh;
        dh = (one - keep) * dh;
      }
      store(s.dh + at, direct);
      if (options.norm) {
        tanh_c = load(dz);  // set by backward_row
        dc = own + load(dz + kG * next);
      } else {
        tanh_c = tanh<T>(c);
        dc = fma(dh * o, fma(-tanh_c, tanh_c, one), own);
      }
      da_o = dh * tanh_c * (o * (one - o));
    }
    if (s.clip > 0) da_o = clamp(da_o, s.clip);
    if constexpr (OPTIONS) {
      if (s.options->peephole) dc = fma(da_o, peephole(*s.options, next, kO - 1, unit), dc);
    }
    V da_i = COUPLED ? dc * (g - c_previous) * (i * (one - i)) : dc * g * (i * (one - i));
    V da_f = dc * c_previous * (f * (one - f));
    V da_g = dc * i * fma(-g, g, one);
    if (s.clip > 0) {
      da_i = clamp(da_i, s.clip);
      da_f = clamp(da_f, s.clip);
      da_g = clamp(da_g, s.clip);
    }
    store(dz, da_i);
    if constexpr (!COUPLED) store(dz + next, da_f);
    store(dz + kG * next, da_g);
    store(dz + kO * next, da_o);
    if constexpr (!OPTIONS) {
      store(s.dc + at, dc * f);
      return dc;
    } else {
      const CellOptions<T>& options = *s.options;
      V before = fma(dc, f, kept);
      if (options.peephole) {
        T* sums = dz + options.peephole_sums * next;
        before = fma(da_i, peephole(options, next, 0, unit), before);
        store(sums, da_i * c_previous);
        if constexpr (!COUPLED) {
          before = fma(da_f, peephole(options, next, 1, unit), before);
          store(sums + next, da_f * c_previous);
        }
        store(sums + (kO - 1) * next, da_o * c);
      }
      store(s.dc + at, before);
      return dc;
    }
  }

  // Returns c~, computed again if zoneout may have replaced it in c_t.
  BPTT_INLINE V fresh_c(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) const {
    const int64_t at = row * s.saved_row + unit;
    if (!s.options->keep_c) return load(s.c + at);
    const T* plane = s.planes + row * s.planes_row + unit;
    const V i = load(plane), g = load(plane + kG * s.plane_stride);
    const V f = COUPLED ? splat<T>(T(1)) - i : load(plane + s.plane_stride);
    return fma(f, load(s.c_previous + at), i * g);
  }

  // Goes backward through LN(c~): stores tanh(gain LN(c~) + bias) in the dz plane of i and the
  // resulting dL/dc~ in that of g, where backward reads them, and the shares of the gain's and
  // bias' gradients.
  BPTT_INLINE void backward_row(const StepBackwardArgs<T>& s, int64_t row) const {
    const CellOptions<T>& options = *s.options;
    if (!options.norm) return;
    const int64_t next = s.plane_stride;
    T* dz = s.dz + row * s.dz_row;
    T* dgain = dz + options.gain_c_sums * next;
    T* dbias = dgain + next;
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      store(dgain + unit, fresh_c(s, row, unit));
    }
    const RowStatistics<T> of = row_statistics<T>(dgain, s.units);
    const V one = splat<T>(T(1));
    RowSums<T> sums;
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      const V hat = of.normalised(load(dgain + unit)), gain = load(options.gain_c + unit);
      const V tanh_c = tanh<T>(fma(gain, hat, load(options.bias_c + unit)));
      V dh = load(s.dh + row * s.state_row + unit);
      if (options.keep_h) dh = (one - load(options.keep_h + row * options.keep_row + unit)) * dh;
      const V o = load(s.planes + row * s.planes_row + kO * next + unit);
      const V d = dh * o * fma(-tanh_c, tanh_c, one);
      sums.add(gain * d, hat, s.units - unit);
      store(dz + unit, tanh_c);
      store(dgain + unit, d * hat);
      store(dbias + unit, d);
      store(dz + kG * next + unit, hat);
    }
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      T* at = dz + kG * next + unit;
      const V d = load(options.gain_c + unit) * load(dbias + unit);
      store(at, sums.through(d, load(at), of.inverse, s.units));
    }
  }
};

template <class T, class Args, class Run>
void with_lstm(const Args& s, const Run& run) {
  if (!s.options) return run(Lstm<T, false, false>());
  if (s.options->coupled) return run(Lstm<T, true, true>());
  run(Lstm<T, false, true>());
}

template <class T>
void lstm_forward(const StepForwardArgs<T>& s) {
  with_lstm<T>(s, [&s](const auto& cell) { step_forward(s, cell); });
}

template <class T>
void lstm_backward(const StepBackwardArgs<T>& s) {
  with_lstm<T>(s, [&s](const auto& cell) { step_backward(s, cell); });
}

}  // namespace
}  // namespace bptt
