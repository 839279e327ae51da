// peak.cpp: the rate of multiply-adds of this core. Prints for each type of the build its name, and
// the median and the largest Gflop/s of several bursts. It is compiled once per instruction set;
// without FMA, a multiplication and an addition are two instructions.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>
#if defined(__AVX512BF16__)
#include <immintrin.h>
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
constexpr int kBursts = 49;
constexpr long kRounds = 15000;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// `add(chain, a, b)` adds `flops` / 2 products of elements of a and b to those of a chain.
template <class Vector, class Factor, class Add, int... kChain>
void report(const char* name, double flops, Add add, std::integer_sequence<int, kChain...>) {
  std::vector<double> rates;
  for (int burst = 0; burst < kBursts; ++burst) {
    Vector chains[kChains] = {};
    Factor a = {}, b = {};
    const double start = now();
    for (long round = 0; round < kRounds; ++round) {
      IN_REGISTER(a);  // keeps the compiler from moving the constant product out of the loop
      IN_REGISTER(b);
      const auto extend = [&](Vector& chain) {
        add(chain, a, b);
        IN_REGISTER(chain);
      };
      (extend(chains[kChain]), ...);
      (extend(chains[kChain]), ...);
      (extend(chains[kChain]), ...);
      (extend(chains[kChain]), ...);
    }
    rates.push_back(4 * flops * kChains * kRounds / (now() - start) / 1e9);
  }
  std::sort(rates.begin(), rates.end());
  printf("%s %.2f %.2f\n", name, rates[kBursts / 2], rates.back());
}

template <class Real>
void report_real(const char* name) {
  typedef Real Vector __attribute__((vector_size(kBytes)));
  report<Vector, Vector>(
      name, 2.0 * kBytes / sizeof(Real), [](Vector& chain, Vector a, Vector b) { chain += a * b; },
      Chains());
}

}  // namespace

int main() {
  report_real<float>("float32");
  report_real<double>("float64");
#if defined(__AVX512BF16__)
  report<__m512, __m512bh>(
      "bfloat16", 64,
      [](__m512& chain, __m512bh a, __m512bh b) { chain = _mm512_dpbf16_ps(chain, a, b); },
      Chains());
#endif
}
