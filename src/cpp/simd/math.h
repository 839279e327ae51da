// math.h: exp, tanh and sigmoid of a vector, for float and double from one text.
//
// Range reduction x = n ln 2 + r, |r| <= ln(2)/2 with ln 2 in two parts (Cody & Waite 1980);
// expm1(r) = r + r^2 q(r) with q the minimax polynomial of relative error 4.8e-10 (float)
// and 2.9e-19 (double), found by Remez' exchange in 60 digits. Errors measured against higher
// precision, in units in the last place (ulp), are in tests/test_functions.py: at most 4.
#pragma once

#include "simd/vec.h"

namespace bptt {
namespace {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int mantissa_bits = 23, bias = 127;
  static constexpr float round_magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float q[] = {0.500000008402f,   0.166666667619f,   0.0416662285307f,
                                0.00833328410342f, 0.00139494646866f, 0.000199089063281f};
  static constexpr float exp_low = -104.0f, exp_high = 89.0f;  // below: exp is 0, above: infinite
  static constexpr float one_plus_low = -87.0f;                // 1 + exp(x) is 1 below
  static constexpr float tanh_high = 19.0f;                    // tanh(x / 2) is 1 above
};

template <>
struct MathConstants<double> {
  static constexpr int mantissa_bits = 52, bias = 1023;
  static constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double log2_e = 1.44269504088896340736, ln2_high = 6.93147180369123816490e-01,
                          ln2_low = 1.90821492927058770002e-10;
  static constexpr double q[] = {
      0.49999999999999999984,     0.16666666666666677628,   0.041666666666666704864,
      0.0083333333333206548767,   0.0013888888888865056986, 0.00019841269888892500289,
      0.000024801587364120084428, 2.755724116430561171e-6,  2.7557239693748672062e-7,
      2.5110178871368766854e-8,   2.0925393072191254855e-9};
  static constexpr double exp_low = -746.0, exp_high = 710.0;
  static constexpr double one_plus_low = -708.0;
  static constexpr double tanh_high = 40.0;
};

// x = n ln 2 + r: n as integers, expm1(r).
template <class T>
struct Reduced {
  typename Vec<T>::Ints n;
  typename Vec<T>::V expm1_r;
};

template <class T, class V>
BPTT_INLINE Reduced<T> reduce(V x) {
  using C = MathConstants<T>;
  using Ints = typename Vec<T>::Ints;
  const V magic = splat<T>(C::round_magic);
  const V shifted = fma(x, splat<T>(C::log2_e), magic);
  const V n = shifted - magic;
  V r = fma(n, splat<T>(-C::ln2_high), x);
  r = fma(n, splat<T>(-C::ln2_low), r);
  constexpr int degree = int(sizeof(C::q) / sizeof(T)) - 1;
  V q = splat<T>(C::q[degree]);
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i) q = fma(q, r, splat<T>(C::q[i]));
  return {Ints(shifted) - Ints(magic), fma(r * r, q, r)};
}

// 2^n for -bias < n <= bias + 1 (the last gives infinity).
template <class T>
BPTT_INLINE typename Vec<T>::V power_of_two(typename Vec<T>::Ints n) {
  using C = MathConstants<T>;
  return typename Vec<T>::V((n + C::bias) << C::mantissa_bits);
}

template <class T, class V>
BPTT_INLINE V exp(V x) {
  using C = MathConstants<T>;
  const V inside = at_most(splat<T>(C::exp_high), at_least(splat<T>(C::exp_low), x));
  const Reduced<T> e = reduce<T>(inside);
  const auto half =
      e.n >> 1;  // in two steps: subnormal results, and the last half power of two below infinity
  const V y = (splat<T>(T(1)) + e.expm1_r) * power_of_two<T>(half) * power_of_two<T>(e.n - half);
  return select(x < splat<T>(C::exp_low), V{}, y);
}

// 1 / (1 + exp(-x)): at -infinity exactly 0, at infinity exactly 1.
template <class T, class V>
BPTT_INLINE V sigmoid(V x) {
  using C = MathConstants<T>;
  const V one = splat<T>(T(1));
  const V inside = at_most(splat<T>(C::exp_high), at_least(splat<T>(C::one_plus_low), -x));
  const Reduced<T> e = reduce<T>(inside);
  return one / fma(one + e.expm1_r, power_of_two<T>(e.n), one);
}

template <class T, class V>
BPTT_INLINE V magnitude(V x) {
  using Int = typename Vec<T>::Int;
  using Ints = typename Vec<T>::Ints;
  return V(Ints(x) & ~(Ints{} + (Int(1) << (sizeof(T) * 8 - 1))));
}

// exp(x) - 1 without cancellation near 0, for x <= exp_high.
template <class T, class V>
BPTT_INLINE V expm1(V x) {
  using C = MathConstants<T>;
  const V inside = at_most(splat<T>(C::exp_high), at_least(splat<T>(C::one_plus_low), x));
  const Reduced<T> e = reduce<T>(inside);
  const V scale = power_of_two<T>(e.n);
  return fma(scale, e.expm1_r, scale - splat<T>(T(1)));
}

// log(1 + exp(x)) = max(x, 0) + log1p(y), y = exp(-|x|), and log1p(y) = 2 artanh(s), s = y / (2 + y)
// <= 1/3: the odd series in s, whose terms fall by a factor of 9.
template <class T, class V>
BPTT_INLINE V softplus(V x) {
  const V y = exp<T>(-magnitude<T>(x));
  const V s = y / (splat<T>(T(2)) + y), s2 = s * s;
  constexpr int last = sizeof(T) == 4 ? 15 : 33;
  V sum = splat<T>(T(1.0 / last));
#pragma GCC unroll 16
  for (int k = last - 2; k >= 3; k -= 2) sum = fma(sum, s2, splat<T>(T(1.0 / k)));
  const V log1p = fma(s2 * s, sum, s);
  return at_least(V{}, x) + (log1p + log1p);
}

// e / (e + 2) with e = expm1(2 |x|), and the sign of x: odd to the bit, never above 1, no
// cancellation anywhere.
template <class T, class V>
BPTT_INLINE V tanh(V x) {
  using C = MathConstants<T>;
  using Ints = typename Vec<T>::Ints;
  using Int = typename Vec<T>::Int;
  const Ints sign = Ints(x) & (Ints{} + (Int(1) << (sizeof(T) * 8 - 1)));
  const V magnitude = V(Ints(x) ^ sign);
  const Reduced<T> e = reduce<T>(at_most(splat<T>(C::tanh_high), magnitude + magnitude));
  const V scale = power_of_two<T>(e.n);
  const V expm1 = fma(scale, e.expm1_r, scale - splat<T>(T(1)));
  const V y = expm1 / (expm1 + splat<T>(T(2)));
  return V(Ints(y) | sign);
}

}  // namespace
}  // namespace bptt
