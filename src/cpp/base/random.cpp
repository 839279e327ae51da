// random.cpp: streams of uniform and normal numbers, each with a key from a seed and a name.
#include "base/random.h"

#include <cmath>

namespace bptt {
namespace {

// FNV-1a, 64 bits.
uint64_t hash_of(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

RandomStream::RandomStream(uint64_t seed, std::string_view name)
    : seed_(seed), stream_(hash_of(name)) {}

uint64_t RandomStream::next() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const auto words =
      philox4x32_10({low_word(block_), high_word(block_), low_word(stream_), high_word(stream_)},
                    {low_word(seed_), high_word(seed_)});
  ++block_;
  spare_ = uint64_t{words[3]} << 32 | words[2];
  has_spare_ = true;
  return uint64_t{words[1]} << 32 | words[0];
}

double RandomStream::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

double RandomStream::uniform(double low, double high) { return low + (high - low) * uniform(); }

double RandomStream::normal() {
  if (has_spare_normal_) {
    has_spare_normal_ = false;
    return spare_normal_;
  }
  double u, v, square;
  do {
    u = uniform(-1, 1);
    v = uniform(-1, 1);
    square = u * u + v * v;
  } while (square >= 1 || square == 0);
  const double factor = std::sqrt(-2 * natural_logarithm(square) / square);
  spare_normal_ = v * factor;
  has_spare_normal_ = true;
  return u * factor;
}

}  // namespace bptt
