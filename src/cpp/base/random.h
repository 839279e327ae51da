// random.h: random numbers with the same bits on every platform, from integers and + - * / sqrt
// only, without functions of the C library. Compile without contraction of multiply and add
// (-ffp-contract=off).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/random_bits.h"

namespace bptt {

// The random sequence of a seed and a name. Different names give different sequences.
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
