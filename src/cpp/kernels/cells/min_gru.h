// min_gru.h: the minGRU cell, z = sigmoid(W_iz x_t + b_iz), n = W_in x_t + b_in, h_t = (1 - z)
// h_{t-1} + z n (Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201). The gates read
// only the input, so a step has no product with W_hh, and dh_t/dh_{t-1} is the diagonal 1 - z.
// Saved: z, n.
#pragma once

#include "kernels/cells/cell.h"

namespace bptt {
namespace {

template <class T, bool OPTIONS>
struct MinGru {
  using V = typename Vec<T>::V;
  static constexpr int kGates = 2, kFirstPlane = 0;
  static constexpr bool kRecurrent = false, kHasC = false, kTwoPasses = false, kOptions = OPTIONS,
                        kSavesGates = true, kApart = false;

  BPTT_INLINE void forward(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                           const V* a) const {
    T* plane = s.planes + row * s.planes_row + unit;
    const V z = sigmoid<T>(a[0]), n = a[1];
    store(plane, z);
    store(plane + s.plane_stride, n);
    const V previous = load(s.h_previous + row * s.state_row + unit);
    V h = fma(z, n, (splat<T>(T(1)) - z) * previous);  // finite where n - previous is not
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
    const V z = load(plane), n = load(plane + s.plane_stride);
    const V one = splat<T>(T(1));
    V dh = total_dh(s, row, unit), direct{};
    if constexpr (OPTIONS) {
      const Split<T> split = split_zoned(s, row, unit, dh);
      dh = split.fresh;
      direct = split.direct;
    }
    V da_z = dh * (n - load(s.h_previous + row * s.saved_row + unit)) * (z * (one - z));
    V da_n = dh * z;
    if (s.clip > 0) {
      da_z = clamp(da_z, s.clip);
      da_n = clamp(da_n, s.clip);
    }
    T* dz = s.dz + row * s.dz_row + unit;
    store(dz, da_z);
    store(dz + s.plane_stride, da_n);
    store(s.dh + row * s.state_row + unit, fma(dh, one - z, direct));
    return dh;
  }
};

template <class T>
void min_gru_forward(const StepForwardArgs<T>& s) {
  s.options ? step_forward(s, MinGru<T, true>()) : step_forward(s, MinGru<T, false>());
}

template <class T>
void min_gru_backward(const StepBackwardArgs<T>& s) {
  s.options ? step_backward(s, MinGru<T, true>()) : step_backward(s, MinGru<T, false>());
}

}  // namespace
}  // namespace bptt
