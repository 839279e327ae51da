// Two rates of this core: that of multiply-adds in registers (the peak), and that of a register
// tile, the inner part of a matrix product, whose operands are in the first-level cache.
//
// It prints two lines for each type of the build: "peak TYPE MEDIAN LARGEST" and "tile TYPE MEDIAN
// LARGEST ROWS VECTORS K". The rates are those of several bursts, in Gflop/s; the tile is the
// fastest of several shapes and depths. This file is compiled once per instruction set; without
// FMA, a multiplication and an addition are two instructions.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>
#if defined(__AVX512BF16__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64, kChains = 24;
#elif defined(__AVX2__)
constexpr int kBytes = 32, kChains = 12;
#elif defined(__aarch64__)
constexpr int kBytes = 16, kChains = 24;
#else
constexpr int kBytes = 16, kChains = 12;
#endif

#if defined(__aarch64__)
#define IN_REGISTER(x) asm volatile("" : "+w"(x))
#elif defined(__AVX512F__)
#define IN_REGISTER(x) asm volatile("" : "+v"(x))
#else
#define IN_REGISTER(x) asm volatile("" : "+x"(x))
#endif

using Chains = std::make_integer_sequence<int, kChains>;
constexpr int kBursts = 49, kTileBursts = 15;
constexpr long kRounds = 15000;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Rate {
  double median, largest;
};

Rate rate_of(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  return {rates[rates.size() / 2], rates.back()};
}

// A type of factors: `add` adds the products of the elements of a and b to those of a chain, and
// `add_row` those of an element of A, repeated by `broadcast`, and b.
template <class Real>
struct Multiply {
  typedef Real Vector __attribute__((vector_size(kBytes)));
  using Sum = Vector;
  using Element = Real;                                          // of a row of A
  static constexpr double kFlops = 2.0 * kBytes / sizeof(Real);  // of one `add`
  static constexpr int kAlongK = 1;                              // numbers of an element
#if defined(__aarch64__)
  using Broadcast = Real;  // an element of a register; the instruction repeats it
  static Real broadcast(Real a) { return a; }
  static void add_row(Sum& chain, Real a, Vector b) {
    if constexpr (sizeof(Real) == 4) {
      chain = (Vector)vfmaq_n_f32((float32x4_t)chain, (float32x4_t)b, a);
    } else {
      chain = (Vector)vfmaq_n_f64((float64x2_t)chain, (float64x2_t)b, a);
    }
  }
#else
  using Broadcast = Vector;
  static Vector broadcast(Real a) { return a - Vector{}; }
  static void add_row(Sum& chain, Vector a, Vector b) { add(chain, a, b); }
#endif
  static void add(Sum& chain, Vector a, Vector b) { chain += a * b; }
};

#if defined(__AVX512BF16__)
// An element is two numbers that follow each other along k, in the 32 bits of a float.
struct MultiplyBf16 {
  using Vector = __m512;
  using Sum = __m512;
  using Broadcast = __m512;
  using Element = float;
  static constexpr double kFlops = 64;
  static constexpr int kAlongK = 2;
  static Vector broadcast(float a) { return _mm512_set1_ps(a); }
  static void add(Sum& chain, Vector a, Vector b) {
    chain = _mm512_dpbf16_ps(chain, (__m512bh)a, (__m512bh)b);
  }
  static void add_row(Sum& chain, Vector a, Vector b) { add(chain, a, b); }
};
#endif

template <class Type, int... kChain>
Rate peak(std::integer_sequence<int, kChain...>) {
  std::vector<double> rates;
  for (int burst = 0; burst < kBursts; ++burst) {
    typename Type::Sum chains[kChains] = {};
    typename Type::Vector a = {}, b = {};
    const double start = now();
    for (long round = 0; round < kRounds; ++round) {
      IN_REGISTER(a);  // keeps the compiler from moving the constant product out of the loop
      IN_REGISTER(b);
      const auto extend = [&](typename Type::Sum& chain) {
        Type::add(chain, a, b);
        IN_REGISTER(chain);
      };
      (extend(chains[kChain]), ...);
      (extend(chains[kChain]), ...);
      (extend(chains[kChain]), ...);
      (extend(chains[kChain]), ...);
    }
    rates.push_back(4 * Type::kFlops * kChains * kRounds / (now() - start) / 1e9);
  }
  return rate_of(rates);
}

// C [kRows, kVectors] = A [kRows, kDepth] B [kDepth, kVectors], where B and C are counted in
// vectors. The sums stay in registers.
template <class Type, int kRows, int kVectors, long kDepth, int... kVector, int... kSum>
[[gnu::noinline]] void multiply(const typename Type::Element* A, const typename Type::Vector* B,
                                typename Type::Sum* C, std::integer_sequence<int, kVector...>,
                                std::integer_sequence<int, kSum...>) {
  typename Type::Sum sums[] = {(void(kSum), typename Type::Sum{})...};
#pragma GCC unroll 4
  for (long k = 0; k < kDepth; ++k) {
    typename Type::Vector b[kVectors] = {B[k * kVectors + kVector]...};
    typename Type::Broadcast a;
    const auto keep = [](auto& value) { IN_REGISTER(value); };
    (keep(b[kVector]), ...);  // otherwise each row could load them again
    const auto extend = [&]<int kIndex>(std::integral_constant<int, kIndex>)
                            __attribute__((always_inline)) {
                              if constexpr (kIndex % kVectors == 0) {
                                a = Type::broadcast(A[kIndex / kVectors * kDepth + k]);
                                keep(a);
                              }
                              Type::add_row(sums[kIndex], a, b[kIndex % kVectors]);
                            };
    (extend(std::integral_constant<int, kSum>()), ...);
  }
  ((C[kSum] = sums[kSum]), ...);
}

struct Tile {
  Rate rate;
  int rows, vectors;
  long depth;
};

template <class Type, int kRows, int kVectors, long kDepth>
void try_tile(Tile& best) {
  alignas(64) static typename Type::Element A[kRows * kDepth];
  alignas(64) static typename Type::Vector B[kDepth * kVectors];
  alignas(64) static typename Type::Sum C[kRows * kVectors];
  const double flops = Type::kFlops * kRows * kVectors * kDepth;
  const long calls = 1 + long(2e7 / flops);
  std::vector<double> rates;
  for (int burst = 0; burst < kTileBursts; ++burst) {
    const double start = now();
    for (long call = 0; call < calls; ++call) {
      multiply<Type, kRows, kVectors, kDepth>(A, B, C, std::make_integer_sequence<int, kVectors>(),
                                              std::make_integer_sequence<int, kRows * kVectors>());
    }
    rates.push_back(flops * double(calls) / (now() - start) / 1e9);
  }
  const Rate rate = rate_of(rates);
  if (rate.largest > best.rate.largest) best = {rate, kRows, kVectors, kDepth * Type::kAlongK};
}

template <class Type, int kRows, int kVectors>
void try_depths(Tile& best) {
  try_tile<Type, kRows, kVectors, 64 / Type::kAlongK>(best);
  try_tile<Type, kRows, kVectors, 256 / Type::kAlongK>(best);
}

template <class Type>
void report(const char* name) {
  const Rate rate = peak<Type>(Chains());
  printf("peak %s %.2f %.2f\n", name, rate.median, rate.largest);
  Tile best = {};
#if defined(__AVX512F__)
  try_depths<Type, 14, 2>(best);
  try_depths<Type, 9, 3>(best);
  try_depths<Type, 6, 4>(best);
#elif defined(__AVX2__)
  try_depths<Type, 6, 2>(best);
  try_depths<Type, 4, 3>(best);
  try_depths<Type, 5, 2>(best);
#elif defined(__aarch64__)
  try_depths<Type, 12, 2>(best);
  try_depths<Type, 8, 3>(best);
  try_depths<Type, 6, 4>(best);
#else
  try_depths<Type, 5, 2>(best);
  try_depths<Type, 3, 3>(best);
  try_depths<Type, 2, 4>(best);
#endif
  printf("tile %s %.2f %.2f %d %d %ld\n", name, best.rate.median, best.rate.largest, best.rows,
         best.vectors, best.depth);
}

}  // namespace

int main() {
  report<Multiply<float>>("float32");
  report<Multiply<double>>("float64");
#if defined(__AVX512BF16__)
  report<MultiplyBf16>("bfloat16");
#endif
}
