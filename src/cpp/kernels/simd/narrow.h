// narrow.h: the multiplying kernels for one row and weights of fewer bits than a float, which
// streams read: bfloat16 (Halves) or int8 with a scale per unit (Bytes). A packed matrix is a float
// one of half or a quarter of the depth (kernels.h: packed_size); the loops over panels are those
// of gemm.h and cells/cell.h.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd/bf16.h"
#include "kernels/simd/gemm.h"
#include "kernels/simd/update.h"

namespace bptt {
namespace {

// The tiles of a kind of weights. They have one row, and hide the latency of multiply-adds whatever
// the number of panels.
template <class W>
struct NarrowTiles {
  static constexpr TileFunction<float> kOne[] = {W::template tile<1, 1>},
                                       kTwo[] = {W::template tile<1, 2>},
                                       kTwoPanels[] = {W::template tile<2, 2>},
                                       kFourPanels[] = {W::template tile<4, 2>};
  static constexpr Tiles<float> kTable = {.one = kOne,
                                          .two = kTwo,
                                          .two_panels = kTwoPanels,
                                          .four_panels = kFourPanels,
                                          .outer_one = nullptr,
                                          .outer_two = nullptr,
                                          .lone_one = nullptr,
                                          .lone_two = nullptr};
};

// Prefetches the weights of some steps later, a step's worth from each panel, if panels are deep.
// Reading from the third-level cache is the limit of large products, and this makes it 8 % faster;
// in small ones it would cost more than it gains.
constexpr int64_t kDeep = 128;  // steps
template <int PANELS, int VECTORS>
BPTT_INLINE void fetch_later(const Run<float>& run, const float* b) {
  if (run.depth < kDeep) return;
  constexpr int64_t kLater = 512, kStep = VECTORS * BPTT_VECTOR_BYTES;  // bytes
#pragma GCC unroll 4
  for (int panel = 0; panel < PANELS; ++panel) {
#pragma GCC unroll 2
    for (int64_t line = 0; line < kStep; line += kAlignment)
      __builtin_prefetch(reinterpret_cast<const char*>(b + panel * run.b_step) + kLater + line);
  }
}

// Weights rounded to bfloat16, two that follow each other along k in the place of a float. They are
// widened to floats, which takes one operation each.
struct Halves {
  static constexpr Weights kWeights = Weights::bfloat16;
  static int64_t steps(int64_t depth) { return pairs_of(depth); }
  static void pack(const PackArgs<float>& p) { pack_pairs(p); }

  // Returns a row whose length is even: `row` itself, or a copy that ends with a zero.
  static const float* operand(const float* row, int64_t depth, float* scratch) {
    if (depth % 2 == 0) return row;
    for_vectors<float>(
        depth, [&](int64_t k, int64_t width) { store(scratch + k, load_up_to(row + k, width)); });
    scratch[depth] = 0;
    return scratch;
  }

  // Sums are chains over k mod 1, 2 or 4: as many as the registers allow for eight vectors, and
  // eight, or four for a single vector, otherwise.
  template <int PANELS, int VECTORS>
  static void tile(const Tile<float>& t) {
    constexpr int kVectors = PANELS * VECTORS, kWidth = VECTORS * kLanes<float>;
    constexpr int kChains = kVectors >= 8 ? kRegisters / 16 : kVectors >= 4 ? 2 : 4;
    FloatV sum[kChains][kVectors] = {};
    for (const Run<float>* run = t.run; run < t.run + t.runs; ++run) {
      const float* const panels = run->b + t.panel * run->b_step;
      const auto step = [&](int64_t pair, int chain) {
        fetch_later<PANELS, VECTORS>(*run, panels + pair * kWidth);
        const FloatV first = splat(run->a[2 * pair]), second = splat(run->a[2 * pair + 1]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const float* b = panels + (v / VECTORS) * run->b_step + pair * kWidth;
          const PairV weights = PairV(load(b + (v % VECTORS) * kLanes<float>));
          FloatV& even = sum[chain % kChains][v];
          even = fma(first, first_half(weights), even);
          FloatV& odd = sum[(chain + 1) % kChains][v];
          odd = fma(second, second_half(weights), odd);
        }
      };
      int64_t pair = 0;
      if constexpr (kChains == 4) {
        for (; pair + 2 <= run->depth; pair += 2) {
          step(pair, 0);
          step(pair + 1, 2);
        }
      }
      for (; pair < run->depth; ++pair) step(pair, 0);
    }
    FloatV total[1][kVectors];
    load_from<VECTORS>(t, total);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      FloatV whole = sum[0][v];
      if constexpr (kChains >= 2) whole = whole + sum[1][v];
      if constexpr (kChains == 4) whole = whole + (sum[2][v] + sum[3][v]);
      total[0][v] = total[0][v] + whole;
    }
    put_sums<VECTORS>(t, total);
  }
};

// Weights rounded to q * scale, -127 <= q <= 127, with scale = max|w| / 127 for each unit. They
// multiply integers, too: the row is rounded to 16 bits, q * scale with scale = max|a| / 32767, as
// AVX2 multiplies and adds integers of 16 bits twice as fast as floats, and a float needs two
// operations more to be made of a byte. Sums of up to kBlock quads of products are exact; the sums
// of blocks are added in float.
//
// A panel has a step for each four k ("quad"): for k and k + 1, then for k + 2 and k + 3, the two
// bytes of each unit. The scales of its units follow as a last step. A row in scratch is its scale,
// then from kHead on its integers.
struct Bytes {
  static constexpr Weights kWeights = Weights::int8;
  static constexpr int64_t kHead = kAlignment / int64_t(sizeof(float));
  static constexpr int64_t kBlock = 128;
  static constexpr float kLargest = 127, kLargestOperand = 32767;
  static_assert(4 * kBlock * int64_t(kLargest) * int64_t(kLargestOperand) <= INT32_MAX);

  static int64_t steps(int64_t depth) { return (depth + 3) / 4 + 1; }

  // v rounded to an integer, to nearest and ties to even, |v| <= 2^22: the sum with 1.5 * 2^23
  // holds it in its lowest bits.
  static BPTT_INLINE Int32V rounded(FloatV v) {
    const FloatV shift = splat(12582912.0f);
    return Int32V(PairV(v + shift) - PairV(shift));
  }

  // A row with an infinity or a NaN has the scale NaN, which makes all its sums NaN. The integers
  // of rows below about 1e-34 are smaller than they could be, so that their inverse scale is
  // finite.
  static const float* operand(const float* row, int64_t depth, float* scratch) {
    Int32V largest{};  // of the bits, which are in the order of the magnitudes
    for_vectors<float>(depth, [&](int64_t k, int64_t width) {
      const Int32V bits = Int32V(load_up_to(row + k, width)) & 0x7fffffff;
      largest = select(bits > largest, bits, largest);
    });
    const int32_t bits = largest_lane(largest);
    float size;
    memcpy(&size, &bits, sizeof size);
    constexpr float kSmallest = 0x1p-110f;
    const float bound = size > kSmallest ? size : kSmallest;
    const FloatV inverse = splat(kLargestOperand / bound);
    scratch[0] = bound / kLargestOperand + (size - size);
    char* const integers = reinterpret_cast<char*>(scratch + kHead);
    for_vectors<float>(depth, [&](int64_t k, int64_t width) {
      const Int32V q = rounded(load_up_to(row + k, width) * inverse);
      store(integers + 2 * k, __builtin_convertvector(q, HalfV));
    });
    return scratch;
  }

  // The position of a weight among the bytes of a panel.
  static int64_t place(int64_t k, int64_t unit, int64_t vectors) {
    constexpr int64_t lanes = kLanes<float>;
    return ((k / 2) * vectors + unit / lanes) * lanes * 2 + unit % lanes * 2 + k % 2;
  }

  static void pack(const PackArgs<float>& p) {
    const int64_t quads = (p.depth + 3) / 4;
    for (int64_t index = p.panel_begin; index < p.panel_end; ++index) {
      const Panel<float> panel(p.packed, quads + 1, p.units, p.groups, index);
      for (int64_t group = 0; group < p.groups; ++group) {
        const float* source = p.source + group * p.group_stride + panel.unit * p.unit_stride;
        float* out = p.packed + (panel.packed - p.packed) + group * panel.size;
        memset(out, 0, size_t(panel.size) * sizeof *out);
        for (int64_t u = 0; u < panel.width && panel.unit + u < p.units; ++u) {
          pack_row(source + u * p.unit_stride, p.depth, u, panel.vectors,
                   reinterpret_cast<int8_t*>(out), out[quads * panel.width + u]);
        }
      }
    }
  }
  static void pack_row(const float* row, int64_t depth, int64_t unit, int64_t vectors, int8_t* out,
                       float& scale) {
    constexpr int64_t lanes = kLanes<float>;
    const float largest = float(max_abs(row, depth));
    scale = largest / kLargest + (largest - largest);
    const float divisor = scale > 0 ? scale : 1;  // also if it is NaN
    for_vectors<float>(depth, [&](int64_t k, int64_t width) {
      const FloatV fits = clamp_to(load_up_to(row + k, width) / splat(divisor), kLargest);
      int32_t q[lanes];
      store(q, rounded(fits));
      for (int64_t i = 0; i < width; ++i) out[place(k + i, unit, vectors)] = int8_t(q[i]);
    });
  }
  static BPTT_INLINE FloatV clamp_to(FloatV v, float bound) {
    return at_most(splat(bound), at_least(splat(-bound), v));
  }

  template <int PANELS, int VECTORS>
  static void tile(const Tile<float>& t) {
    constexpr int kVectors = PANELS * VECTORS, kWidth = VECTORS * kLanes<float>;
    FloatV total[1][kVectors];
    load_from<VECTORS>(t, total);
    for (const Run<float>* run = t.run; run < t.run + t.runs; ++run) {
      const int64_t quads = run->depth - 1;
      const float* const a = run->a + kHead;
      const float* const panels = run->b + t.panel * run->b_step;
      FloatV sum[kVectors] = {};
      for (int64_t begin = 0; begin < quads; begin += kBlock) {
        const int64_t end = quads - begin < kBlock ? quads : begin + kBlock;
        Int32V part[kVectors] = {};
        for (int64_t quad = begin; quad < end; ++quad) {
          fetch_later<PANELS, VECTORS>(*run, panels + quad * kWidth);
#pragma GCC unroll 2
          for (int half = 0; half < 2; ++half) {
            int32_t pair;
            memcpy(&pair, a + 2 * quad + half, sizeof pair);
            const Int16V two = Int16V(Int32V{} + pair);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
              const float* b = panels + (v / VECTORS) * run->b_step + quad * kWidth;
              part[v] += multiply_pairs(
                  two, widen_bytes(reinterpret_cast<const int8_t*>(b) +
                                   (half * VECTORS + v % VECTORS) * 2 * kLanes<float>));
            }
          }
        }
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
          sum[v] = sum[v] + __builtin_convertvector(part[v], FloatV);
      }
      // The scale of the row comes first if it is at most 1, and last otherwise. Then no product
      // overflows unless the result does.
      const FloatV row = splat(run->a[0]);
      const bool first = run->a[0] <= 1;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const float* scales = panels + (v / VECTORS) * run->b_step + quads * kWidth;
        const FloatV scale = load(scales + (v % VECTORS) * kLanes<float>);
        total[0][v] = total[0][v] + (first ? sum[v] * row * scale : sum[v] * scale * row);
      }
    }
    put_sums<VECTORS>(t, total);
  }
};

template <class W>
void narrow_product(const ProductArgs<float>& p) {
  ProductArgs<float> own = p;
  own.a = W::operand(p.a, p.segment_length, p.scratch);
  own.segment_length = W::steps(p.segment_length);
  own.lone = false;
  multiply(NarrowTiles<W>::kTable, own);
}

// STEP is the cell's step on operands that are already prepared.
template <class W, void (*STEP)(const StepForwardArgs<float>&)>
void narrow_step(const StepForwardArgs<float>& s) {
  if (s.options && s.options->z) return STEP(s);  // this step multiplies nothing
  StepForwardArgs<float> own = s;
  own.lone = false;
  own.tiles = &NarrowTiles<W>::kTable;
  if (s.depth) {  // the cell has a recurrent product
    own.operands = W::operand(s.input, s.depth, s.scratch);
    own.depth = W::steps(s.depth);
  }
  if (s.x) {
    own.x = W::operand(s.x, s.x_depth, s.scratch + narrow_row(s.depth));
    own.x_depth = W::steps(s.x_depth);
  }
  STEP(own);
}

// STEPS, in the order of Cell.
template <class W, auto... STEPS>
constexpr void set_narrow(Kernels<float>& table) {
  static_assert(sizeof...(STEPS) == kCellCount);
  table.weights = W::kWeights;
  table.pack = W::pack;
  table.product = narrow_product<W>;
  table.outer = nullptr;
  int cell = 0;
  ((table.step_forward[cell++] = narrow_step<W, STEPS>), ...);
}

}  // namespace
}  // namespace bptt
