// kernels_sha256.cpp: SHA-256 with the CPU's own instructions (x86-64: SHA; Arm: SHA2). It exports
// only that function.
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

namespace bptt {

void kernels_sha256(uint32_t* state, const uint32_t* rounds, const void* data, size_t blocks);

namespace {

constexpr int kGroups = 16;  // of four rounds each

#if defined(__x86_64__)

// The state in the layout of the instructions: words f e b a and h g d c, from the lowest lane up.
struct State {
  __m128i abef, cdgh;

  explicit State(const uint32_t* words) {
    const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i*)words), 0xB1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i*)(words + 4)), 0x1B);
    abef = _mm_alignr_epi8(badc, hgfe, 8);
    cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
  }
  void store(uint32_t* words) const {
    const __m128i abef_up = _mm_shuffle_epi32(abef, 0x1B);  // a b e f
    const __m128i cdgh_up = _mm_shuffle_epi32(cdgh, 0x1B);  // c d g h
    _mm_storeu_si128((__m128i*)words, _mm_unpacklo_epi64(abef_up, cdgh_up));
    _mm_storeu_si128((__m128i*)(words + 4), _mm_unpackhi_epi64(abef_up, cdgh_up));
  }
  void four_rounds(__m128i words, const uint32_t* constants) {
    const __m128i sum = _mm_add_epi32(words, _mm_loadu_si128((const __m128i*)constants));
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
  }
  void add(const State& other) {
    abef = _mm_add_epi32(abef, other.abef);
    cdgh = _mm_add_epi32(cdgh, other.cdgh);
  }
};

using Words = __m128i;
Words load_words(const uint8_t* data) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i*)data), swap);
}
// The four words that follow the given sixteen.
Words next_words(Words w0, Words w4, Words w8, Words w12) {
  const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), _mm_alignr_epi8(w12, w8, 4));
  return _mm_sha256msg2_epu32(sum, w12);
}

#else

struct State {
  uint32x4_t abcd, efgh;

  explicit State(const uint32_t* words) : abcd(vld1q_u32(words)), efgh(vld1q_u32(words + 4)) {}
  void store(uint32_t* words) const {
    vst1q_u32(words, abcd);
    vst1q_u32(words + 4, efgh);
  }
  void four_rounds(uint32x4_t words, const uint32_t* constants) {
    const uint32x4_t sum = vaddq_u32(words, vld1q_u32(constants)), before = abcd;
    abcd = vsha256hq_u32(abcd, efgh, sum);
    efgh = vsha256h2q_u32(efgh, before, sum);
  }
  void add(const State& other) {
    abcd = vaddq_u32(abcd, other.abcd);
    efgh = vaddq_u32(efgh, other.efgh);
  }
};

using Words = uint32x4_t;
Words load_words(const uint8_t* data) { return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data))); }
// The four words that follow the given sixteen.
Words next_words(Words w0, Words w4, Words w8, Words w12) {
  return vsha256su1q_u32(vsha256su0q_u32(w0, w4), w8, w12);
}

#endif

}  // namespace

void kernels_sha256(uint32_t* state, const uint32_t* rounds, const void* data, size_t blocks) {
  const uint8_t* bytes = static_cast<const uint8_t*>(data);
  State sum(state);
  for (; blocks > 0; --blocks, bytes += 64) {
    State working = sum;
    Words words[4];
    for (int i = 0; i < 4; ++i) words[i] = load_words(bytes + 16 * i);
#pragma GCC unroll 16
    for (int i = 0; i < kGroups; ++i) {
      working.four_rounds(words[i % 4], rounds + 4 * i);
      if (i < kGroups - 4) {
        words[i % 4] =
            next_words(words[i % 4], words[(i + 1) % 4], words[(i + 2) % 4], words[(i + 3) % 4]);
      }
    }
    sum.add(working);
  }
  sum.store(state);
}

}  // namespace bptt
