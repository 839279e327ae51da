// update.h: kernels over flat vectors: sums, clipping, softmax, optimiser updates.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd/math.h"
#include "kernels/simd/transpose.h"

namespace bptt {
namespace {

// Calls f(offset, n) for each vector of n <= lanes elements; only the last can be shorter.
template <class T, class F>
BPTT_INLINE void for_vectors(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) f(i, int64_t(kLanes<T>));
  if (i < n) f(i, n - i);
}
template <class T>
BPTT_INLINE typename Vec<T>::V load_up_to(const T* p, int64_t n) {
  return n == kLanes<T> ? load(p) : load_some(p, n);
}
template <class T>
BPTT_INLINE void store_up_to(T* p, typename Vec<T>::V v, int64_t n) {
  if (n == kLanes<T>) {
    store(p, v);
  } else {
    store_some(p, v, n);
  }
}

// Factors are applied in double precision, with one rounding.
BPTT_INLINE FloatV scaled(FloatV v, double factor) {
  Doubles d = widen(v);
  d.low = d.low * factor;
  d.high = d.high * factor;
  return narrow(d);
}
BPTT_INLINE DoubleV scaled(DoubleV v, double factor) { return v * factor; }

// Sums four rows at a time, so that a chain of additions is a quarter as long.
template <class T>
void add_column_sums(const T* a, int64_t a_row, int64_t rows, int64_t n, T* total) {
  using V = typename Vec<T>::V;
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    V sum[4] = {};
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[j] = sum[j] + load_up_to(a + (row + j) * a_row + i, width);
    }
    for (; row < rows; ++row) sum[0] = sum[0] + load_up_to(a + row * a_row + i, width);
    store_up_to<T>(total + i,
                   load_up_to(total + i, width) + ((sum[0] + sum[1]) + (sum[2] + sum[3])), width);
  });
}

template <class T>
void add(T* a, const T* b, int64_t n) {
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    store_up_to<T>(a + i, load_up_to(a + i, width) + load_up_to(b + i, width), width);
  });
}

template <class T>
void add_products(T* a, const T* b, const T* c, int64_t n) {
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    store_up_to<T>(
        a + i, fma(load_up_to(b + i, width), load_up_to(c + i, width), load_up_to(a + i, width)),
        width);
  });
}

template <class T>
void multiply(T* a, const T* b, const T* c, int64_t n) {
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    store_up_to<T>(a + i, load_up_to(b + i, width) * load_up_to(c + i, width), width);
  });
}

template <class T>
void keep(T* a, const uint8_t* kept, int64_t n) {
  for (int64_t i = 0; i < n; ++i) a[i] = kept[i] ? a[i] : T(0);
}

template <class T>
void raise_to_zero(T* a, int64_t n) {
  using V = typename Vec<T>::V;
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    const V v = load_up_to(a + i, width);
    store_up_to<T>(a + i, select(v < V{}, V{}, v), width);
  });
}

template <class T>
void scale(T* a, int64_t n, double factor) {
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    store_up_to<T>(a + i, scaled(load_up_to(a + i, width), factor), width);
  });
}

template <class T>
int64_t clamp_all(T* a, int64_t n, double bound) {
  using V = typename Vec<T>::V;
  constexpr T kLeast = sizeof(T) == 4 ? T(0x1p-149) : T(0x1p-1074);  // keeps a bound above 0
  constexpr int64_t kPart = 1 << 20;  // elements whose numbers of changes a lane can count
  const V most = splat<T>(T(bound) == 0 && bound > 0 ? kLeast : T(bound)), least = -most;
  int64_t changed = 0;
  for (int64_t from = 0; from < n; from += kPart) {
    typename Vec<T>::Ints changes{};
    for_vectors<T>(n - from < kPart ? n - from : kPart, [&](int64_t i, int64_t width) {
      const V v = load_up_to(a + from + i, width);
      changes = changes + (v > most) + (v < least);  // -1 for each
      store_up_to<T>(a + from + i, select(v > most, most, select(v < least, least, v)), width);
    });
    changed -= int64_t(sum_lanes(changes));
  }
  return changed;
}

// b[c, r] += a[r, c]
template <class T>
void add_transposed(const T* a, int64_t a_row, int64_t rows, int64_t columns, T* b, int64_t b_row) {
  constexpr int64_t lanes = kLanes<T>;
  for (int64_t r = 0; r < rows; r += lanes) {
    const int64_t height = rows - r < lanes ? rows - r : lanes;
    for (int64_t c = 0; c < columns; c += lanes) {
      const int64_t width = columns - c < lanes ? columns - c : lanes;
      typename Vec<T>::V square[lanes];
      for (int64_t i = 0; i < lanes; ++i) {
        square[i] = i < height ? load_up_to(a + (r + i) * a_row + c, width) : typename Vec<T>::V{};
      }
      transpose<T>(square);
      for (int64_t i = 0; i < width; ++i) {
        T* to = b + (c + i) * b_row + r;
        store_up_to<T>(to, load_up_to(to, height) + square[i], height);
      }
    }
  }
}

// The sum of f(a, sum) over vectors of a, in four chains.
template <class T, class F>
BPTT_INLINE double sum_of(const T* a, int64_t n, F f) {
  DoubleV sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sum[j] = f(load(a + i + j * kLanes<T>), sum[j]);
  }
  for (; i < n; i += kLanes<T>) {
    sum[0] = f(load_up_to(a + i, n - i < kLanes<T> ? n - i : kLanes<T>), sum[0]);
  }
  return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <class T>
double sum_squares(const T* a, int64_t n) {
  return sum_of(a, n, [](typename Vec<T>::V v, DoubleV sum) { return add_squares(v, sum); });
}

template <class T>
double sum_magnitudes(const T* a, int64_t n) {
  return sum_of(a, n,
                [](typename Vec<T>::V v, DoubleV sum) { return add_wide(magnitude<T>(v), sum); });
}

template <class T>
double dot(const T* a, const T* b, int64_t n) {
  typename Vec<T>::V sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const int64_t at = i + j * kLanes<T>;
      sum[j] = fma(load(a + at), load(b + at), sum[j]);
    }
  }
  for (; i < n; i += kLanes<T>) {
    const int64_t width = n - i < kLanes<T> ? n - i : kLanes<T>;
    sum[0] = fma(load_up_to(a + i, width), load_up_to(b + i, width), sum[0]);
  }
  T lanes[kLanes<T>];
  store(lanes, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  constexpr int64_t kHalf = kLanes<T> / 2;
  double half[2] = {};
  for (int64_t j = 0; j < kHalf; ++j) {
    half[0] += double(lanes[j]);
    half[1] += double(lanes[kHalf + j]);
  }
  return half[0] + half[1];
}

template <class T>
void add_scaled(T* a, const T* b, int64_t n, double factor) {
  const auto f = splat<T>(T(factor));
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const int64_t at = i + j * kLanes<T>;
      store(a + at, fma(f, load(b + at), load(a + at)));
    }
  }
  for (; i < n; i += kLanes<T>) {
    const int64_t width = n - i < kLanes<T> ? n - i : kLanes<T>;
    store_up_to<T>(a + i, fma(f, load_up_to(b + i, width), load_up_to(a + i, width)), width);
  }
}

template <class T>
void add_penalty(T* g, const T* w, int64_t n, double l1, double l2) {
  using V = typename Vec<T>::V;
  const V one = splat(T(l1)), two = splat(T(l2));
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    const V v = load_up_to(w + i, width), sign = select(v > V{}, one, select(v < V{}, -one, V{}));
    const V sum = load_up_to(g + i, width) + sign;
    store_up_to<T>(g + i, l2 != 0 ? fma(two, v + v, sum) : sum, width);
  });
}

template <class T>
double max_abs(const T* a, int64_t n) {
  using V = typename Vec<T>::V;
  V largest{}, spoilt{};  // spoilt: NaN where an element is NaN
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    const V v = load_up_to(a + i, width);
    largest = at_least(largest, magnitude<T>(v));
    spoilt = select(v == v, spoilt, v);
  });
  T of_lane[kLanes<T>], spoilt_lane[kLanes<T>];
  store(of_lane, largest);
  store(spoilt_lane, spoilt);
  T most = 0;
  for (int i = 0; i < kLanes<T>; ++i) {
    if (spoilt_lane[i] != spoilt_lane[i]) return double(spoilt_lane[i]);
    most = of_lane[i] > most ? of_lane[i] : most;
  }
  return double(most);
}

// The largest of n numbers, n > 0; any of them if one is NaN.
template <class T>
BPTT_INLINE T largest_of(const T* a, int64_t n) {
  constexpr int64_t lanes = kLanes<T>;
  T top = a[0];
  if (n < lanes) {
    for (int64_t i = 1; i < n; ++i) top = top < a[i] ? a[i] : top;
    return top;
  }
  auto most = load(a + n - lanes);
  for (int64_t i = 0; i + lanes <= n; i += lanes) most = at_least(most, load(a + i));
  T of_lane[lanes];
  store(of_lane, most);
  for (int64_t i = 0; i < lanes; ++i) top = top < of_lane[i] ? of_lane[i] : top;
  return top;
}

template <class T>
void softmax_row(T* logits, int64_t n, int64_t target, double factor, double* largest, double* sum,
                 double* chosen) {
  using V = typename Vec<T>::V;
  const T top = largest_of(logits, n);
  *largest = double(top);
  *chosen = double(logits[target]);
  const V shift = splat<T>(top);
  DoubleV total{};
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    V e = exp<T>(load_up_to(logits + i, width) - shift);
    store_up_to<T>(logits + i, e, width);
    if (width < kLanes<T>) e = load_some(logits + i, width);
    total = add_wide(e, total);
  });
  *sum = sum_lanes(total);
  scale(logits, n, factor / *sum);
  logits[target] = T(double(logits[target]) - factor);
}

// The gradient that an update uses: scaled, plus the weight decay of rules that do not decouple it.
template <class T, class V>
BPTT_INLINE V decayed_gradient(const UpdateArgs<T>& u, int64_t i, int64_t width, V p) {
  V g = load_up_to(u.gradient + i, width);
  if (u.scale != 1) g = scaled(g, u.scale);
  return u.weight_decay != 0 ? fma(splat(T(u.weight_decay)), p, g) : g;
}

// The denominator of an update. With eps = 0, a row that was never used would divide 0 by 0. The
// lower bound u.least, which is not above the root of any positive number, makes the quotient 0 and
// changes nothing else.
template <class T, class V>
BPTT_INLINE V denominator(const UpdateArgs<T>& u, V root) {
  return at_least(splat(T(u.least)), root);
}

// p -= lr * buffer, buffer = momentum * buffer + g; the first buffer is g. Nesterov: p -= lr * (g +
// momentum * buffer) (torch.optim.SGD). moments[0]: buffer.
template <class T>
void update_sgd(const UpdateArgs<T>& u) {
  using V = typename Vec<T>::V;
  const V lr = splat(T(u.lr)), momentum = splat(T(u.momentum));
  for_vectors<T>(u.count, [&](int64_t i, int64_t width) {
    const V p = load_up_to(u.parameter + i, width), g = decayed_gradient(u, i, width, p);
    V step = g;
    if (u.momentum != 0) {
      const V buffer = u.first ? g : fma(momentum, load_up_to(u.moments[0] + i, width), g);
      store_up_to<T>(u.moments[0] + i, buffer, width);
      step = u.nesterov ? fma(momentum, buffer, g) : buffer;
    }
    store_up_to<T>(u.parameter + i, fma(-lr, step, p), width);
  });
}

// sum += g^2; p -= lr * g / (sqrt(sum) + eps) (Duchi, Hazan & Singer 2011). moments[0]: sum.
template <class T>
void update_adagrad(const UpdateArgs<T>& u) {
  using V = typename Vec<T>::V;
  const V lr = splat(T(u.lr)), eps = splat(T(u.eps));
  for_vectors<T>(u.count, [&](int64_t i, int64_t width) {
    const V p = load_up_to(u.parameter + i, width), g = decayed_gradient(u, i, width, p);
    const V sum = fma(g, g, load_up_to(u.moments[0] + i, width));
    store_up_to<T>(u.moments[0] + i, sum, width);
    store_up_to<T>(u.parameter + i, p - lr * g / denominator(u, square_root(sum) + eps), width);
  });
}

// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; p -= lr / c1 * m / (sqrt(v / c2) +
// eps), c = 1 - beta^t (Kingma & Ba 2015); before that p *= 1 - lr * weight_decay (Loshchilov &
// Hutter 2019). AMSGrad uses the largest v so far in place of v (Reddi et al. 2018). moments: m, v,
// and that largest v or null.
template <class T>
void update_adam(const UpdateArgs<T>& u) {
  using V = typename Vec<T>::V;
  const V beta1 = splat(T(u.beta1)), rest1 = splat(T(1 - u.beta1)), beta2 = splat(T(u.beta2)),
          rest2 = splat(T(1 - u.beta2));
  const V step = splat(T(u.lr / u.correction1)),
          root2 = splat(T(1 / __builtin_sqrt(u.correction2))), eps = splat(T(u.eps));
  const V keep = splat(T(1 - u.lr * u.weight_decay));
  for_vectors<T>(u.count, [&](int64_t i, int64_t width) {
    V p = load_up_to(u.parameter + i, width);
    const V g = scaled(load_up_to(u.gradient + i, width), u.scale);
    const V m = fma(beta1, load_up_to(u.moments[0] + i, width), rest1 * g);
    V v = fma(beta2, load_up_to(u.moments[1] + i, width), rest2 * g * g);
    store_up_to<T>(u.moments[0] + i, m, width);
    store_up_to<T>(u.moments[1] + i, v, width);
    if (u.moments[2]) {
      v = at_least(load_up_to(u.moments[2] + i, width), v);
      store_up_to<T>(u.moments[2] + i, v, width);
    }
    if (u.weight_decay != 0) p = p * keep;
    const V root = denominator(u, square_root(v) * root2 + eps);
    store_up_to<T>(u.parameter + i, p - step * m / root, width);
  });
}

// n = alpha n + (1 - alpha) g^2; d = g / (sqrt(n) + eps). Centred: m = alpha m + (1 - alpha) g, and
// n - m^2 replaces n. With momentum: d = buffer = momentum * buffer + d. Then p -= lr * d (Tieleman
// & Hinton 2012; torch.optim.RMSprop). n - m^2 is a variance, so it is below 0 only by rounding.
// moments: n, m or null, buffer or null.
template <class T>
void update_rmsprop(const UpdateArgs<T>& u) {
  using V = typename Vec<T>::V;
  const V lr = splat(T(u.lr)), alpha = splat(T(u.alpha)), rest = splat(T(1 - u.alpha)),
          momentum = splat(T(u.momentum)), eps = splat(T(u.eps));
  for_vectors<T>(u.count, [&](int64_t i, int64_t width) {
    const V p = load_up_to(u.parameter + i, width), g = decayed_gradient(u, i, width, p);
    V n = fma(alpha, load_up_to(u.moments[0] + i, width), rest * g * g);
    store_up_to<T>(u.moments[0] + i, n, width);
    if (u.moments[1]) {
      const V m = fma(alpha, load_up_to(u.moments[1] + i, width), rest * g);
      store_up_to<T>(u.moments[1] + i, m, width);
      n = at_least(V{}, fma(-m, m, n));
    }
    V step = g / denominator(u, square_root(n) + eps);
    if (u.moments[2]) {
      step = fma(momentum, load_up_to(u.moments[2] + i, width), step);
      store_up_to<T>(u.moments[2] + i, step, width);
    }
    store_up_to<T>(u.parameter + i, fma(-lr, step, p), width);
  });
}

// n and m as in update_rmsprop; d = momentum * d - lr * g / sqrt(n - m^2 + eps); p += d (Graves
// 2013, arXiv:1308.0850, eq. 38-41). moments: n, m, d.
template <class T>
void update_graves(const UpdateArgs<T>& u) {
  using V = typename Vec<T>::V;
  const V lr = splat(T(u.lr)), alpha = splat(T(u.alpha)), rest = splat(T(1 - u.alpha)),
          momentum = splat(T(u.momentum)), eps = splat(T(u.eps));
  for_vectors<T>(u.count, [&](int64_t i, int64_t width) {
    const V p = load_up_to(u.parameter + i, width), g = decayed_gradient(u, i, width, p);
    const V n = fma(alpha, load_up_to(u.moments[0] + i, width), rest * g * g);
    const V m = fma(alpha, load_up_to(u.moments[1] + i, width), rest * g);
    const V root = denominator(u, square_root(at_least(V{}, fma(-m, m, n)) + eps));
    const V d = fma(momentum, load_up_to(u.moments[2] + i, width), -lr * g / root);
    store_up_to<T>(u.moments[0] + i, n, width);
    store_up_to<T>(u.moments[1] + i, m, width);
    store_up_to<T>(u.moments[2] + i, d, width);
    store_up_to<T>(u.parameter + i, p + d, width);
  });
}

// p -= lr sign(beta1 m + (1 - beta1) g) with sign(0) = 0; then m = beta2 m + (1 - beta2) g; before
// both p *= 1 - lr * weight_decay (Chen et al. 2023, arXiv:2302.06675, algorithm 2). moments[0]: m.
template <class T>
void update_lion(const UpdateArgs<T>& u) {
  using V = typename Vec<T>::V;
  const V beta1 = splat(T(u.beta1)), rest1 = splat(T(1 - u.beta1)), beta2 = splat(T(u.beta2)),
          rest2 = splat(T(1 - u.beta2));
  const V lr = splat(T(u.lr)), keep = splat(T(1 - u.lr * u.weight_decay));
  for_vectors<T>(u.count, [&](int64_t i, int64_t width) {
    V p = load_up_to(u.parameter + i, width);
    const V g = scaled(load_up_to(u.gradient + i, width), u.scale);
    const V m = load_up_to(u.moments[0] + i, width), c = fma(beta1, m, rest1 * g);
    if (u.weight_decay != 0) p = p * keep;
    store_up_to<T>(u.parameter + i, p - select(c > V{}, lr, select(c < V{}, -lr, V{})), width);
    store_up_to<T>(u.moments[0] + i, fma(beta2, m, rest2 * g), width);
  });
}

template <class T>
void map_exp(const T* in, T* out, int64_t n) {
  for_vectors<T>(n, [&](int64_t i, int64_t width) {
    store_up_to<T>(out + i, exp<T>(load_up_to(in + i, width)), width);
  });
}

}  // namespace
}  // namespace bptt
