// random.h: random numbers with the same bits on every platform: integers and + - * / sqrt only,
// never the C library's functions. Compile without contraction of multiply and add
// (-ffp-contract=off).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace bptt {

// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter of
// 128 and a key of 64 bits become 128 random bits.
std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// ln x for finite normal x > 0, within 2 ulp.
double natural_logarithm(double x);

// The sequence that belongs to a seed and a name. Different names give different sequences.
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view name);

  uint64_t next();                          // 64 random bits
  double uniform();                         // [0, 1): a multiple of 2^-53
  double uniform(double low, double high);  // low + (high - low) * uniform()
  double normal();                          // N(0, 1) by the polar method (Marsaglia & Bray 1964)

 private:
  uint64_t seed_, stream_, block_ = 0;
  uint64_t spare_ = 0;
  bool has_spare_ = false;
  double spare_normal_ = 0;
  bool has_spare_normal_ = false;
};

}  // namespace bptt
