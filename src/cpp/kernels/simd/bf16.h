// bf16.h: the multiplying kernels for float operands rounded to bfloat16. Packed matrices and rows
// hold pairs of operands along k (vec.h: BfPair); the tiles and loops are those of tile.h and
// gemm.h.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd/gemm.h"
#include "kernels/simd/vec.h"

namespace bptt {
namespace {

constexpr int64_t pairs_of(int64_t depth) { return (depth + 1) / 2; }

// [rows, segments, segment_length] -> [rows, pairs], pairs_row apart. An odd end is padded with
// zero by the partial load of the last vector.
BPTT_INLINE void round_rows(const float* from, int64_t row, int64_t rows, int64_t segments,
                            int64_t segment_length, int64_t segment_stride, float* to) {
  constexpr int64_t lanes = kLanes<float>;
  const int64_t to_row = pairs_row(segments * segment_length);
  for (int64_t r = 0; r < rows; ++r) {
    char* out = reinterpret_cast<char*>(to + r * to_row);  // output, in two-byte elements
    for (int64_t segment = 0; segment < segments; ++segment) {
      const float* in = from + r * row + segment * segment_stride;
      int64_t k = 0;
      for (; k + lanes <= segment_length; k += lanes) store(out + 2 * k, to_bfloat16(load(in + k)));
      if (k < segment_length)
        store(out + 2 * k, to_bfloat16(load_some(in + k, segment_length - k)));
      out += 2 * segment_length;
    }
  }
}

void pack_pairs(const PackArgs<float>& p) {
  constexpr int64_t lanes = kLanes<float>;
  const int64_t end = p.k_begin + p.k_count;
  for (int64_t index = p.panel_begin; index < p.panel_end; ++index) {
    const Panel<float> panel(p.packed, pairs_of(p.depth), p.units, p.groups, index);
    const int64_t units = p.units - panel.unit < panel.width ? p.units - panel.unit : panel.width;
    for (int64_t group = 0; group < p.groups; ++group) {
      const float* source = p.source + group * p.group_stride + panel.unit * p.unit_stride;
      float* out = p.packed + (panel.packed - p.packed) + group * panel.size;
      if (p.unit_stride == 1) {
        for (int64_t k = p.k_begin; k < end; k += 2 - k % 2) {
          const float* from = source + (k - p.k_begin) * p.k_stride;
          float* to = out + k / 2 * panel.width;
          for (int64_t unit = 0; unit < panel.width; unit += lanes) {
            const int64_t left = units - unit < lanes ? units - unit : lanes;
            const FloatV first = load_some(from + unit, left);
            if (k % 2) {
              const PairV before = PairV(load(to + unit));
              store(to + unit, with_second(before, first));
            } else {
              const FloatV second =
                  k + 1 < end ? load_some(from + p.k_stride + unit, left) : FloatV{};
              store(to + unit, pair_up(first, second));
            }
          }
        }
      } else {
        // Transpose in squares that stay in the first-level cache.
        constexpr int64_t kSquare = 16;  // pairs
        alignas(64) float pairs[kSquare + lanes / 2];
        for (int64_t k0 = 0; k0 < p.k_count; k0 += 2 * kSquare) {
          const int64_t count = p.k_count - k0 < 2 * kSquare ? p.k_count - k0 : 2 * kSquare;
          for (int64_t u = 0; u < panel.width; ++u) {
            float operands[2 * kSquare];
            for (int64_t k = 0; k < count; ++k)
              operands[k] = u < units ? source[u * p.unit_stride + (k0 + k) * p.k_stride] : 0.0f;
            round_rows(operands, 0, 1, 1, count, 0, pairs);
            float* to = out + (p.k_begin + k0) / 2 * panel.width + u;
            for (int64_t k = 0; k < pairs_of(count); ++k) to[k * panel.width] = pairs[k];
          }
        }
      }
    }
  }
}

void product_of_pairs(const ProductArgs<float>& p) {
  const int64_t depth = p.segments * p.segment_length;
  round_rows(p.a, p.a_row, p.rows, p.segments, p.segment_length, p.segment_stride, p.scratch);
  ProductArgs<float> own = p;
  own.a = p.scratch;
  own.a_row = pairs_row(depth);
  own.segments = 1;
  own.segment_length = pairs_of(depth);
  multiply(kTiles<BfPair>, own);
}

void outer_of_pairs(const OuterArgs<float>& o) {
  constexpr int64_t lanes = kLanes<float>, kStrip = 512;  // pairs at a time
  constexpr int64_t kWidth = (kTileRows + lanes - 1) / lanes * lanes;
  alignas(64) float strip[kStrip * kWidth];
  OuterArgs<float> own = o;
  own.depth = pairs_of(o.depth);
  for (int64_t m = 0; m < o.columns_a;) {
    const int64_t height = tile_height(o.columns_a - m);
    for (int64_t begin = 0; begin < own.depth; begin += kStrip) {
      const int64_t count = own.depth - begin < kStrip ? own.depth - begin : kStrip;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t k = 2 * (begin + i);
        const float* from = o.a + k * o.a_row + m;
        for (int64_t column = 0; column < height; column += lanes) {
          const int64_t left = height - column < lanes ? height - column : lanes;
          const FloatV first = load_some(from + column, left);
          const FloatV second =
              k + 1 < o.depth ? load_some(from + o.a_row + column, left) : FloatV{};
          store(strip + i * kWidth + column, pair_up(first, second));
        }
      }
      outer_rows(kTiles<BfPair>, own, m, height, 0, own.units, strip, kWidth, begin, count);
    }
    m += height;
  }
}

// STEP is the cell's step on operands that are already rounded.
template <void (*STEP)(const StepForwardArgs<float>&)>
void step_with_pairs(const StepForwardArgs<float>& s) {
  if (s.options && s.options->z) return STEP(s);  // this step multiplies nothing
  round_rows(s.input, s.input_row, s.rows, 1, s.depth, 0, s.scratch);
  StepForwardArgs<float> own = s;
  own.tiles = &kTiles<BfPair>;
  own.operands = s.scratch;
  own.operands_row = pairs_row(s.depth);
  own.depth = pairs_of(s.depth);
  if (s.x) {
    float* const x = s.scratch + s.rows * own.operands_row;
    round_rows(s.x, s.x_row, s.rows, 1, s.x_depth, 0, x);
    own.x = x;
    own.x_row = pairs_row(s.x_depth);
    own.x_depth = pairs_of(s.x_depth);
  }
  STEP(own);
}

// STEPS, in the order of Cell.
template <auto... STEPS>
constexpr void set_bf16(Kernels<float>& table) {
  static_assert(sizeof...(STEPS) == kCellCount);
  table.pairs = true;
  table.pack = pack_pairs;
  table.product = product_of_pairs;
  table.outer = outer_of_pairs;
  int cell = 0;
  ((table.step_forward[cell++] = step_with_pairs<STEPS>), ...);
}

}  // namespace
}  // namespace bptt
