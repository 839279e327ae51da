// math.h: exp, tanh, sigmoid and related functions of a vector, one source for float and double.
//
// Range reduction x = n ln 2 + r, |r| <= ln(2)/2 (Cody & Waite 1980), or n ln(2)/2 + z, |z| <=
// ln(2)/4, for tanh; expm1(r) = r + r^2 q(r) and tanh(z) = z + z^3 u(z^2), where q and u are minimax
// polynomials found by the Remez exchange algorithm in 60 digits, with errors of 3.1e-9 (float) and
// 3.8e-18 (double) for e^r and 4.1e-18 (double) for tanh(z). The float u was then varied for the
// smallest error of tanh as rounded. The largest errors over all float32 inputs, in units in the
// last place (ulp), are 1.02 for exp, 2.0 for sigmoid and 1.86 for tanh;
// tests/engine/test_functions.py checks these bounds.
#pragma once

#include "kernels/simd/vec.h"

namespace bptt {
namespace {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int mantissa_bits = 23, bias = 127;
  static constexpr float round_magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float log2_e = 1.44269504f, ln2 = 0.69314718f;
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float q[] = {0.499999934478f, 0.166665206312f, 0.0416683880505f,
                                0.00836871694436f, 0.0013814598644f};
  static constexpr float u[] = {-0.33330486f, 0.130808f};
  static constexpr float exp_low = -104.0f, exp_high = 89.0f;  // exp is 0 below, infinite above
  static constexpr float one_plus_low = -87.0f;                // 1 + exp(x) is 1 below
  static constexpr float sigmoid_bound = 88.0f;                // 2^-n is 0 for n = 127
  static constexpr float tanh_high = 9.5f;                     // tanh is 1 above
};

template <>
struct MathConstants<double> {
  static constexpr int mantissa_bits = 52, bias = 1023;
  static constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double log2_e = 1.44269504088896340736, ln2 = 0.69314718055994530942;
  static constexpr double ln2_high = 6.93147180369123816490e-01,
                          ln2_low = 1.90821492927058770002e-10;
  static constexpr double q[] = {0.50000000000000092637,     0.16666666666666416035,
                                 0.041666666666539156781,    0.0083333333334945537071,
                                 0.0013888888941641906957,   0.00019841269503018264694,
                                 0.000024801494899732640648, 2.7557591682097043379e-6,
                                 2.762967270104625743e-7,    2.4997881058784618448e-8};
  static constexpr double u[] = {-0.33333333333332485062,   0.1333333333278375028,
                                 -0.053968252782014452384,  0.021869370714682797966,
                                 -0.0088573087707892930124, 0.0034448378104213023770};
  static constexpr double exp_low = -746.0, exp_high = 710.0;
  static constexpr double one_plus_low = -708.0;
  static constexpr double sigmoid_bound = 709.0;
  static constexpr double tanh_high = 20.0;
};

// Range reduction of x (or -x, by the sign): x = n ln 2 + r, with n as exponent bits, and expm1(r).
template <class T>
struct Reduced {
  typename Vec<T>::Ints exponent;
  typename Vec<T>::V expm1_r;
};

template <class T, int kSign = 1, class V>
BPTT_INLINE Reduced<T> reduce(V x) {
  using C = MathConstants<T>;
  using Ints = typename Vec<T>::Ints;
  const V magic = splat<T>(C::round_magic);
  const V shifted = fma(x, splat<T>(kSign * C::log2_e), magic);
  const V n = shifted - magic;
  V r = fma(n, splat<T>(-C::ln2_high), kSign > 0 ? x : -x);
  r = fma(n, splat<T>(-C::ln2_low), r);
  // Combine coefficients in pairs: half the latency of Horner's rule, with as many operations.
  const V r2 = r * r;
  constexpr int count = int(sizeof(C::q) / sizeof(T)), last = (count - 1) / 2 * 2;
  V q = splat<T>(C::q[last]);
  if constexpr (last + 1 < count) q = fma(splat<T>(C::q[last + 1]), r, q);
#pragma GCC unroll 16
  for (int i = last - 2; i >= 0; i -= 2) {
    q = fma(q, r2, fma(splat<T>(C::q[i + 1]), r, splat<T>(C::q[i])));
  }
  return {Ints(shifted) << C::mantissa_bits, fma(r2, q, r)};
}

// 2^k as exponent bits; added to those of n they give 2^(n + k).
template <class T>
constexpr typename Vec<T>::Int exponent_of(int k) {
  using C = MathConstants<T>;
  return typename Vec<T>::Int(C::bias + k) << C::mantissa_bits;
}

template <class T, class V>
BPTT_INLINE V exp(V x) {
  using C = MathConstants<T>;
  const V inside = at_most(splat<T>(C::exp_high), at_least(splat<T>(C::exp_low), x));
  const Reduced<T> e = reduce<T>(inside);
  // Scale in two steps, for subnormal results and for the last half power of two below infinity.
  const auto half = (e.exponent >> (C::mantissa_bits + 1)) << C::mantissa_bits;
  const V y = (splat<T>(T(1)) + e.expm1_r) * V(half + exponent_of<T>(0)) *
              V(e.exponent - half + exponent_of<T>(0));
  return select(x < splat<T>(C::exp_low), V{}, y);
}

// 1 / (1 + exp(-x)) = w / (1 + w + expm1(r)), w = 2^-n. The smaller of 1 and w is added first. The
// result is exactly 1 at infinity and exactly 0 at -infinity, where the clamped x has an n that
// leaves w = 0.
template <class T, class V>
BPTT_INLINE V sigmoid(V x) {
  using C = MathConstants<T>;
  const V one = splat<T>(T(1)), bound = splat<T>(C::sigmoid_bound);
  const Reduced<T> e = reduce<T, -1>(at_most(bound, at_least(-bound, x)));
  const V w = V(exponent_of<T>(0) - e.exponent);
  return w / ((e.expm1_r + at_most(one, w)) + at_least(one, w));
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
  const V scale = V(e.exponent + exponent_of<T>(0));
  return fma(scale, e.expm1_r, scale - splat<T>(T(1)));
}

// factor * exp(x), rounded once if exp(x) is subnormal. The factor is multiplied by expm1(r) first,
// which rounds once where 1 + expm1(r) and then its product would round twice.
template <class T, class V>
BPTT_INLINE V exp_times(V x, V factor) {
  using C = MathConstants<T>;
  const Reduced<T> e = reduce<T>(at_most(splat<T>(C::exp_high), at_least(splat<T>(C::exp_low), x)));
  const auto half = (e.exponent >> (C::mantissa_bits + 1)) << C::mantissa_bits;
  const V y = fma(e.expm1_r, factor, factor) * V(half + exponent_of<T>(0)) *
              V(e.exponent - half + exponent_of<T>(0));
  return select(x < splat<T>(C::exp_low), V{}, y);
}

// a sigmoid(a). With e = exp(-|a|) and s = sigmoid(|a|) = 1 / (1 + e) this is a s above 0 and e a s
// below. There e is the last factor, because it may be subnormal when the result is not.
template <class T, class V>
BPTT_INLINE V silu(V a) {
  const V fall = -magnitude<T>(a), e = exp<T>(fall), share = a / (splat<T>(T(1)) + e);
  return select(a > V{}, share, exp_times<T>(fall, share));
}

// The derivative of silu, sigmoid(a) (1 + a sigmoid(-a)): s (1 + a e s) above 0, e s (1 + a s)
// below.
template <class T, class V>
BPTT_INLINE V silu_slope(V a) {
  using C = MathConstants<T>;
  const V one = splat<T>(T(1)), fall = -magnitude<T>(a), e = exp<T>(fall), s = one / (one + e);
  const V above = s * fma(at_most(splat<T>(C::exp_high), a) * e, s, one);
  return select(a > V{}, above, exp_times<T>(fall, s * fma(a, s, one)));
}

// log(1 + exp(x)) = max(x, 0) + log1p(y) with y = exp(-|x|). log1p(y) = 2 artanh(s), s = y / (2 +
// y) <= 1/3, is computed by the odd series in s, whose terms decrease by a factor of 9.
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

// |x| = n ln(2) / 2 + z. With t = tanh z (odd: few coefficients), w = 2^-n, a = 1 + w and b = 1 - w,
// so that b / a = tanh(n ln(2) / 2), tanh |x| = (b + a t) / (a + b t) is a quotient of rounded sums.
// To make their rounding errors small, and harmless near 1, c = b^2, which is near b / a, is
// separated first: tanh |x| = c + w (b w + q t) / (a + b t), q = c + 3 - w. n ln(2) / 2 is subtracted
// from |x| without rounding; for n = 0 the result is t. The sign is removed first and restored at
// the end, so the function is odd to the bit.
template <class T, class V>
BPTT_INLINE V tanh(V x) {
  using C = MathConstants<T>;
  using Ints = typename Vec<T>::Ints;
  using Int = typename Vec<T>::Int;
  const Ints sign = Ints(x) & (Ints{} + (Int(1) << (sizeof(T) * 8 - 1)));
  const V size = at_most(splat<T>(C::tanh_high), V(Ints(x) ^ sign));
  const V magic = splat<T>(C::round_magic);
  const V shifted = fma(size, splat<T>(2 * C::log2_e), magic);
  const V n = shifted - magic;
  const V z = fma(n, splat<T>(-C::ln2 / 2), size), z2 = z * z;
  constexpr int degree = int(sizeof(C::u) / sizeof(T)) - 1;
  V u = splat<T>(C::u[degree]);
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i) u = fma(u, z2, splat<T>(C::u[i]));
  const V t = fma(z * z2, u, z);
  const V w = V(exponent_of<T>(0) - (Ints(shifted) << C::mantissa_bits));
  const V one = splat<T>(T(1)), three = splat<T>(T(3));
  const V a = one + w, b = one - w, c = b * b, q = c + (three - w);
  const V y = fma(fma(q, t, b * w) / fma(b, t, a), w, c);
  return V(Ints(y) | sign);
}

}  // namespace
}  // namespace bptt
