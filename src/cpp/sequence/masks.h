// masks.h: the random masks and noise of a training pass, drawn from a counter. The value of an
// element depends on seed, draw, kind, layer and direction, and on its time, sequence and unit in
// the caller's numbering, but not on the place or thread of its computation. The backward pass
// therefore computes masks again instead of storing them, and a resumed run draws the same values
// as an uninterrupted one.
//
// key = philox((draw, kind + 8 * index), seed); element (t, n, u) has word u mod 4 of
// philox((u / 4, n, t mod 2^32, t / 2^32), key).
#pragma once

#include <array>
#include <cstdint>

#include "base/random_bits.h"

namespace bptt {

enum class MaskKind : uint32_t { dropout, recurrent_dropout, zoneout, zoneout_c, noise };

class Masks {
 public:
  // index: l * D + d; for dropout l * D, where l is the layer whose input is masked.
  Masks(uint64_t seed, uint64_t draw, MaskKind kind, int64_t index) {
    const auto words =
        philox4x32_10({low_word(draw), high_word(draw),
                       static_cast<uint32_t>(kind) + 8 * uint32_t(index), 0x6D61736B},
                      {low_word(seed), high_word(seed)});
    key_ = {words[0], words[1]};
  }

  // out[u] = 0 with probability p, else 1 / (1 - p).
  template <class T>
  void dropout(T* out, int64_t count, int64_t t, int64_t n, double p) const {
    const double threshold = p * 0x1p32;
    const T kept = T(1 / (1 - p));
    each(count, t, n,
         [&](int64_t u, uint32_t word) { out[u] = double(word) >= threshold ? kept : T(0); });
  }
  // row[u] *= the mask of dropout().
  template <class T>
  void drop(T* row, int64_t count, int64_t t, int64_t n, double p) const {
    const double threshold = p * 0x1p32;
    const T kept = T(1 / (1 - p));
    each(count, t, n,
         [&](int64_t u, uint32_t word) { row[u] *= double(word) >= threshold ? kept : T(0); });
  }
  // out[u] = 1 with probability p, else 0.
  template <class T>
  void zoneout(T* out, int64_t count, int64_t t, int64_t n, double p) const {
    const double threshold = p * 0x1p32;
    each(count, t, n,
         [&](int64_t u, uint32_t word) { out[u] = double(word) < threshold ? T(1) : T(0); });
  }
  // out[u] += scale xi, xi ~ N(0, 1); the scale is scales[u] if `each_unit`, else scales[0].
  template <class T>
  void add_noise(T* out, int64_t count, int64_t t, int64_t n, const double* scales,
                 bool each_unit) const {
    each(count, t, n, [&](int64_t u, uint32_t word) {
      const double xi = inverse_normal((double(word) + 0.5) * 0x1p-32);
      out[u] = T(double(out[u]) + scales[each_unit ? u : 0] * xi);
    });
  }

 private:
  template <class Use>
  void each(int64_t count, int64_t t, int64_t n, const Use& use) const {
    for (int64_t u = 0; u < count; u += 4) {
      const auto words = philox4x32_10(
          {uint32_t(u / 4), uint32_t(n), low_word(uint64_t(t)), high_word(uint64_t(t))}, key_);
      for (int64_t i = 0; i < 4 && u + i < count; ++i) use(u + i, words[size_t(i)]);
    }
  }
  std::array<uint32_t, 2> key_;
};

}  // namespace bptt
