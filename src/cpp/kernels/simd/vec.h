// vec.h: the vector type and its operations, the only file that depends on an instruction set.
//
// Vec<T>::V is a compiler vector, to which + - * / and comparisons apply directly. Operations that
// the compiler does not generate well (fused multiply-add, minimum and maximum with a defined NaN,
// masked ends) are functions here, one version per instruction set. Everything compiled for one
// instruction set is in an anonymous namespace, so that the linker can never use one set's copy of
// a function for a caller of another set.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#error "no kernels for this architecture"
#endif

namespace bptt {
namespace {

#if defined(__AVX512F__)
#define BPTT_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define BPTT_VECTOR_BYTES 32
#else
#define BPTT_VECTOR_BYTES 16
#endif

typedef float FloatV __attribute__((vector_size(BPTT_VECTOR_BYTES)));
typedef double DoubleV __attribute__((vector_size(BPTT_VECTOR_BYTES)));
typedef int32_t Int32V __attribute__((vector_size(BPTT_VECTOR_BYTES)));
typedef int64_t Int64V __attribute__((vector_size(BPTT_VECTOR_BYTES)));
typedef uint32_t PairV __attribute__((vector_size(BPTT_VECTOR_BYTES)));
typedef int16_t Int16V __attribute__((vector_size(BPTT_VECTOR_BYTES)));
typedef uint16_t HalfV __attribute__((vector_size(BPTT_VECTOR_BYTES / 2)));

// Two bfloat16 numbers that are adjacent along the k of a product, the first in the low half: an
// operand of the size of a float.
struct BfPair {
  float bits;
};

template <class T>
struct Vec;
template <>
struct Vec<float> {
  using V = FloatV;
  using Ints = Int32V;
  using Int = int32_t;
};
template <>
struct Vec<double> {
  using V = DoubleV;
  using Ints = Int64V;
  using Int = int64_t;
};

template <>
struct Vec<BfPair> {
  using V = PairV;
};

// The type in which products of O are summed.
template <class O>
struct SumOf {
  using T = O;
};
template <>
struct SumOf<BfPair> {
  using T = float;
};
template <class O>
using Sum = typename SumOf<O>::T;

template <class T>
constexpr int kLanes = BPTT_VECTOR_BYTES / int(sizeof(T));

// The number of registers, which determines the tiles of tile.h: 32 with AVX-512 and NEON, else 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

// Whether a multiply-add is one instruction: with all but SSE2, where the product needs a register.
#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

#define BPTT_INLINE inline __attribute__((always_inline))

template <class T>
BPTT_INLINE typename Vec<T>::V splat(T value);
template <>
BPTT_INLINE FloatV splat(float value) {
#if defined(__AVX512F__)
  return FloatV(_mm512_set1_ps(value));
#elif defined(__AVX2__)
  return FloatV(_mm256_set1_ps(value));
#elif defined(__x86_64__)
  return FloatV(_mm_set1_ps(value));
#else
  return FloatV(vdupq_n_f32(value));
#endif
}
template <>
BPTT_INLINE DoubleV splat(double value) {
#if defined(__AVX512F__)
  return DoubleV(_mm512_set1_pd(value));
#elif defined(__AVX2__)
  return DoubleV(_mm256_set1_pd(value));
#elif defined(__x86_64__)
  return DoubleV(_mm_set1_pd(value));
#else
  return DoubleV(vdupq_n_f64(value));
#endif
}

template <>
BPTT_INLINE PairV splat(BfPair value) {
  return PairV(splat<float>(value.bits));
}

template <class T>
BPTT_INLINE typename Vec<T>::V load(const T* p) {
  typename Vec<T>::V v;
  memcpy(&v, p, sizeof v);
  return v;
}

// Four consecutive elements, each of which can be copied to all lanes. Copies of floats are made in
// registers from a single load.
template <class T>
struct Four {
  const T* at;
  BPTT_INLINE explicit Four(const T* p) : at(p) {}
  template <int I>
  BPTT_INLINE typename Vec<T>::V splat_of() const {
    return splat<T>(at[I]);
  }
};
#if defined(__x86_64__)
template <>
struct Four<float> {
  FloatV quads;
  BPTT_INLINE explicit Four(const float* p) {
#if defined(__AVX512F__)
    quads = FloatV(_mm512_broadcast_f32x4(_mm_loadu_ps(p)));
#elif defined(__AVX2__)
    quads = FloatV(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p)));
#else
    quads = FloatV(_mm_loadu_ps(p));
#endif
  }
  template <int I>
  BPTT_INLINE FloatV splat_of() const {
#if defined(__AVX512F__)
    return FloatV(_mm512_permute_ps(__m512(quads), I * 0x55));
#elif defined(__AVX2__)
    return FloatV(_mm256_permute_ps(__m256(quads), I * 0x55));
#else
    return FloatV(_mm_shuffle_ps(__m128(quads), __m128(quads), I * 0x55));
#endif
  }
};
#endif

template <class V, class T>
BPTT_INLINE void store(T* p, V v) {
  memcpy(p, &v, sizeof v);
}

// Hides the origin of a value from the compiler, so that it stays in its register: a folded load
// would be repeated for every multiply-add that uses the value.
template <class V>
BPTT_INLINE void pin(V& v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__x86_64__)
  asm("" : "+x"(v));
#else
  asm("" : "+w"(v));
#endif
}

template <class V>
BPTT_INLINE V select(decltype(V{} < V{}) mask, V yes, V no) {
  return mask ? yes : no;
}

// a * b + c, with one rounding if the instruction set has fma.
BPTT_INLINE FloatV fma(FloatV a, FloatV b, FloatV c) {
#if defined(__AVX512F__)
  return FloatV(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#elif defined(__FMA__)
  return FloatV(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
#elif defined(__aarch64__)
  return FloatV(vfmaq_f32(float32x4_t(c), float32x4_t(a), float32x4_t(b)));
#else
  return a * b + c;
#endif
}
BPTT_INLINE DoubleV fma(DoubleV a, DoubleV b, DoubleV c) {
#if defined(__AVX512F__)
  return DoubleV(_mm512_fmadd_pd(__m512d(a), __m512d(b), __m512d(c)));
#elif defined(__FMA__)
  return DoubleV(_mm256_fmadd_pd(__m256d(a), __m256d(b), __m256d(c)));
#elif defined(__aarch64__)
  return DoubleV(vfmaq_f64(float64x2_t(c), float64x2_t(a), float64x2_t(b)));
#else
  return a * b + c;
#endif
}

// The first and the second number of each pair.
BPTT_INLINE FloatV first_half(PairV pairs) { return FloatV(pairs << 16); }
BPTT_INLINE FloatV second_half(PairV pairs) { return FloatV(pairs & 0xffff0000u); }

// One step of a product's sum.
template <class V>
BPTT_INLINE V multiply_add(V a, V b, V sum) {
  return fma(a, b, sum);
}
// The same for both numbers of each pair. vdpbf16ps rounds to nearest regardless of the caller's
// mode, and treats subnormal numbers as zero, sums included.
BPTT_INLINE FloatV multiply_add(PairV a, PairV b, FloatV sum) {
#if defined(__AVX512BF16__)
  return FloatV(_mm512_dpbf16_ps(__m512(sum), __m512bh(a), __m512bh(b)));
#else
  sum = fma(first_half(a), first_half(b), sum);
  return fma(second_half(a), second_half(b), sum);
#endif
}

// Rounds to bfloat16: to nearest, ties to even; NaN stays NaN. The result is in the upper halves of
// the lanes.
BPTT_INLINE PairV rounded_halves(FloatV v) {
  const PairV bits = PairV(v), nan = PairV(v != v);
  return (nan & (bits | 0x00400000u)) | (~nan & (bits + 0x7fffu + ((bits >> 16) & 1u)));
}
// Converts all lanes to consecutive bfloat16 numbers.
BPTT_INLINE HalfV to_bfloat16(FloatV v) {
#if defined(__AVX512BF16__)
  return HalfV(_mm512_cvtneps_pbh(__m512(v)));
#else
  return __builtin_convertvector(rounded_halves(v) >> 16, HalfV);
#endif
}
// Combines the lanes of two vectors into pairs.
BPTT_INLINE PairV pair_up(FloatV first, FloatV second) {
#if defined(__AVX512BF16__)
  const __m512i halves = __m512i(_mm512_cvtne2ps_pbh(__m512(second), __m512(first)));
  const PairV lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const __m512i order = __m512i(lane | ((lane + 16) << 16));
  return PairV(_mm512_permutexvar_epi16(order, halves));
#else
  return (rounded_halves(first) >> 16) | (rounded_halves(second) & 0xffff0000u);
#endif
}
// Sets the second numbers of pairs whose first numbers are already present.
BPTT_INLINE PairV with_second(PairV pairs, FloatV second) {
  return (pairs & 0xffffu) | (rounded_halves(second) & 0xffff0000u);
}

// at_least is the larger of bound and x, at_most the smaller. Both are NaN if x is NaN (a diverged
// net must not become finite).
BPTT_INLINE FloatV at_least(FloatV bound, FloatV x) {
#if defined(__AVX512F__)
  return FloatV(_mm512_max_ps(__m512(bound), __m512(x)));
#elif defined(__AVX2__)
  return FloatV(_mm256_max_ps(__m256(bound), __m256(x)));
#elif defined(__x86_64__)
  return FloatV(_mm_max_ps(__m128(bound), __m128(x)));
#else
  return FloatV(vmaxq_f32(float32x4_t(bound), float32x4_t(x)));
#endif
}
BPTT_INLINE DoubleV at_least(DoubleV bound, DoubleV x) {
#if defined(__AVX512F__)
  return DoubleV(_mm512_max_pd(__m512d(bound), __m512d(x)));
#elif defined(__AVX2__)
  return DoubleV(_mm256_max_pd(__m256d(bound), __m256d(x)));
#elif defined(__x86_64__)
  return DoubleV(_mm_max_pd(__m128d(bound), __m128d(x)));
#else
  return DoubleV(vmaxq_f64(float64x2_t(bound), float64x2_t(x)));
#endif
}
BPTT_INLINE FloatV at_most(FloatV bound, FloatV x) {
#if defined(__AVX512F__)
  return FloatV(_mm512_min_ps(__m512(bound), __m512(x)));
#elif defined(__AVX2__)
  return FloatV(_mm256_min_ps(__m256(bound), __m256(x)));
#elif defined(__x86_64__)
  return FloatV(_mm_min_ps(__m128(bound), __m128(x)));
#else
  return FloatV(vminq_f32(float32x4_t(bound), float32x4_t(x)));
#endif
}
BPTT_INLINE DoubleV at_most(DoubleV bound, DoubleV x) {
#if defined(__AVX512F__)
  return DoubleV(_mm512_min_pd(__m512d(bound), __m512d(x)));
#elif defined(__AVX2__)
  return DoubleV(_mm256_min_pd(__m256d(bound), __m256d(x)));
#elif defined(__x86_64__)
  return DoubleV(_mm_min_pd(__m128d(bound), __m128d(x)));
#else
  return DoubleV(vminq_f64(float64x2_t(bound), float64x2_t(x)));
#endif
}

BPTT_INLINE FloatV square_root(FloatV x) {
#if defined(__AVX512F__)
  return FloatV(_mm512_sqrt_ps(__m512(x)));
#elif defined(__AVX2__)
  return FloatV(_mm256_sqrt_ps(__m256(x)));
#elif defined(__x86_64__)
  return FloatV(_mm_sqrt_ps(__m128(x)));
#else
  return FloatV(vsqrtq_f32(float32x4_t(x)));
#endif
}
BPTT_INLINE DoubleV square_root(DoubleV x) {
#if defined(__AVX512F__)
  return DoubleV(_mm512_sqrt_pd(__m512d(x)));
#elif defined(__AVX2__)
  return DoubleV(_mm256_sqrt_pd(__m256d(x)));
#elif defined(__x86_64__)
  return DoubleV(_mm_sqrt_pd(__m128d(x)));
#else
  return DoubleV(vsqrtq_f64(float64x2_t(x)));
#endif
}

// Loads the first n elements at p, 0 <= n <= lanes; the others are zero. Memory beyond is not
// accessed.
BPTT_INLINE FloatV load_some(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return FloatV(_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p));
#elif defined(__AVX2__)
  const Int32V lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return FloatV(_mm256_maskload_ps(p, __m256i(lane < int32_t(n))));
#else
  FloatV v{};
  memcpy(&v, p, size_t(n) * sizeof *p);
  return v;
#endif
}
BPTT_INLINE DoubleV load_some(const double* p, int64_t n) {
#if defined(__AVX512F__)
  return DoubleV(_mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p));
#elif defined(__AVX2__)
  const Int64V lane = {0, 1, 2, 3};
  return DoubleV(_mm256_maskload_pd(p, __m256i(lane < n)));
#else
  DoubleV v{};
  memcpy(&v, p, size_t(n) * sizeof *p);
  return v;
#endif
}
BPTT_INLINE void store_some(float* p, FloatV v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), __m512(v));
#elif defined(__AVX2__)
  const Int32V lane = {0, 1, 2, 3, 4, 5, 6, 7};
  _mm256_maskstore_ps(p, __m256i(lane < int32_t(n)), __m256(v));
#else
  memcpy(p, &v, size_t(n) * sizeof *p);
#endif
}
BPTT_INLINE void store_some(double* p, DoubleV v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), __m512d(v));
#elif defined(__AVX2__)
  const Int64V lane = {0, 1, 2, 3};
  _mm256_maskstore_pd(p, __m256i(lane < n), __m256d(v));
#else
  memcpy(p, &v, size_t(n) * sizeof *p);
#endif
}

// Half a vector of bytes, widened to 16 bits.
BPTT_INLINE Int16V widen_bytes(const int8_t* p) {
#if defined(__AVX512F__)
  return Int16V(_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__)
  return Int16V(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__x86_64__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return Int16V(_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8));
#else
  return Int16V(vmovl_s8(vld1_s8(p)));
#endif
}
// a[0] b[0] + a[1] b[1], a[2] b[2] + a[3] b[3], ...
BPTT_INLINE Int32V multiply_pairs(Int16V a, Int16V b) {
#if defined(__AVX512F__)
  return Int32V(_mm512_madd_epi16(__m512i(a), __m512i(b)));
#elif defined(__AVX2__)
  return Int32V(_mm256_madd_epi16(__m256i(a), __m256i(b)));
#elif defined(__x86_64__)
  return Int32V(_mm_madd_epi16(__m128i(a), __m128i(b)));
#else
  return Int32V(vpaddq_s32(vmull_s16(vget_low_s16(int16x8_t(a)), vget_low_s16(int16x8_t(b))),
                           vmull_high_s16(int16x8_t(a), int16x8_t(b))));
#endif
}
BPTT_INLINE int32_t largest_lane(Int32V v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_epi32(__m512i(v));
#elif defined(__AVX2__)
  __m128i m =
      _mm_max_epi32(_mm256_castsi256_si128(__m256i(v)), _mm256_extracti128_si256(__m256i(v), 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
#elif defined(__x86_64__)
  const Int32V half = Int32V(_mm_shuffle_epi32(__m128i(v), 0x4e));
  v = select(v > half, v, half);
  const Int32V quarter = Int32V(_mm_shuffle_epi32(__m128i(v), 0xb1));
  v = select(v > quarter, v, quarter);
  return v[0];
#else
  return vmaxvq_s32(int32x4_t(v));
#endif
}

// The lanes of a float vector as two double vectors.
struct Doubles {
  DoubleV low, high;
};
BPTT_INLINE Doubles widen(FloatV v) {
#if defined(__AVX512F__)
  return {DoubleV(_mm512_cvtps_pd(_mm512_castps512_ps256(__m512(v)))),
          DoubleV(_mm512_cvtps_pd(_mm512_extractf32x8_ps(__m512(v), 1)))};
#elif defined(__AVX2__)
  return {DoubleV(_mm256_cvtps_pd(_mm256_castps256_ps128(__m256(v)))),
          DoubleV(_mm256_cvtps_pd(_mm256_extractf128_ps(__m256(v), 1)))};
#elif defined(__x86_64__)
  return {DoubleV(_mm_cvtps_pd(__m128(v))),
          DoubleV(_mm_cvtps_pd(_mm_movehl_ps(__m128(v), __m128(v))))};
#else
  return {DoubleV(vcvt_f64_f32(vget_low_f32(float32x4_t(v)))),
          DoubleV(vcvt_high_f64_f32(float32x4_t(v)))};
#endif
}
// Rounds to nearest.
BPTT_INLINE FloatV narrow(Doubles d) {
#if defined(__AVX512F__)
  return FloatV(_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(__m512d(d.low))),
                                   _mm512_cvtpd_ps(__m512d(d.high)), 1));
#elif defined(__AVX2__)
  return FloatV(_mm256_set_m128(_mm256_cvtpd_ps(__m256d(d.high)), _mm256_cvtpd_ps(__m256d(d.low))));
#elif defined(__x86_64__)
  return FloatV(_mm_movelh_ps(_mm_cvtpd_ps(__m128d(d.low)), _mm_cvtpd_ps(__m128d(d.high))));
#else
  return FloatV(vcvt_high_f32_f64(vcvt_f32_f64(float64x2_t(d.low)), float64x2_t(d.high)));
#endif
}

// sum + v^2, in double precision.
BPTT_INLINE DoubleV add_squares(FloatV v, DoubleV sum) {
  const Doubles d = widen(v);
  return fma(d.high, d.high, fma(d.low, d.low, sum));
}
BPTT_INLINE DoubleV add_squares(DoubleV v, DoubleV sum) { return fma(v, v, sum); }

// sum + v, in double precision.
BPTT_INLINE DoubleV add_wide(FloatV v, DoubleV sum) {
  const Doubles d = widen(v);
  return sum + d.low + d.high;
}
BPTT_INLINE DoubleV add_wide(DoubleV v, DoubleV sum) { return sum + v; }

// The sum of all lanes in a fixed order: halves are added until one lane is left.
template <class V>
BPTT_INLINE auto sum_lanes(V v) {
  using T = decltype(v[0] + v[0]);
  constexpr int lanes = int(sizeof(V) / sizeof(T));
  T part[lanes];
  memcpy(part, &v, sizeof v);
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
}

}  // namespace
}  // namespace bptt
