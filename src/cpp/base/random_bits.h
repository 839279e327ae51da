// random_bits.h: random bits and functions with the same result on every platform.
#pragma once

#include <array>
#include <cstdint>

namespace bptt {

inline uint32_t low_word(uint64_t x) { return static_cast<uint32_t>(x); }
inline uint32_t high_word(uint64_t x) { return static_cast<uint32_t>(x >> 32); }

// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): maps a counter
// of 128 bits and a key of 64 bits to 128 random bits.
inline std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter,
                                             std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {high_word(b) ^ counter[1] ^ key[0], low_word(b), high_word(a) ^ counter[3] ^ key[1],
               low_word(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Returns ln x for finite normal x > 0, within 2 ulp.
double natural_logarithm(double x);

// Returns the x with P(N(0, 1) < x) = p, to about 1e-16, for 1.4e-11 < p < 1 - 1.4e-11 (Wichura
// 1988, algorithm AS 241).
double inverse_normal(double p);

}  // namespace bptt
