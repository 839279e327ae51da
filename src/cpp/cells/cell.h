// cell.h: the contract of a cell, and the loops that run one: forward (product, then the cell, per
// panel of units) and backward (pointwise). What differs from cell to cell stands in rnn.h, lstm.h
// and gru.h, forward above backward; layer normalisation in norm.h.
//
// A cell is a struct template over the element type:
//     kGates                           groups of the product that its step begins with
//     kHasC                            whether it has a cell state
//     kOptions                         whether it is the plain cell (false) or knows CellOptions
//     forward(s, row, unit, product)   one vector of units of one row;
//                                      product[g] = (W_hh h_{t-1}) of gate g
//     forward_row(s, row)              kOptions: what needs the whole row, after its units
//     backward_row(s, row)             kOptions: the same on the way back, before its units
//     backward(s, row, unit)           one vector of units of one row
// with s the arguments of the step. Whatever lies between the units and the end of an internal row
// is scratch.
#pragma once

#include "kernels.h"
#include "simd/gemm.h"
#include "simd/math.h"

namespace bptt {
namespace {

template <class T>
BPTT_INLINE typename Vec<T>::V clamp(typename Vec<T>::V x, T bound) {
  return at_most(splat<T>(bound), at_least(splat<T>(-bound), x));
}

// The norm of a row that passes by vector by vector. In float, sums of squares in double precision
// are safe; in double, three sums are kept, of numbers as they are and scaled either way (after
// Blue 1978), and the one that neither over- nor underflowed counts.
template <class T>
class RowNorm {
 public:
  using V = typename Vec<T>::V;
  BPTT_INLINE void add(V v) {
    if constexpr (sizeof(T) == 4) {
      sum_ = add_squares(v, sum_);
    } else {
      sum_ = add_squares(v, sum_);
      up_ = add_squares(v * kUp, up_);
      down_ = add_squares(v * kDown, down_);
    }
  }
  BPTT_INLINE double norm() const {
    const double sum = sum_lanes(sum_);
    if constexpr (sizeof(T) == 8) {
      if (sum < 1e-280) return __builtin_sqrt(sum_lanes(up_)) * kDown;
      if (sum > 1e280) return __builtin_sqrt(sum_lanes(down_)) * kUp;
    }
    return __builtin_sqrt(sum);
  }

 private:
  static constexpr double kUp = 0x1p+500, kDown = 0x1p-500;
  DoubleV sum_{}, up_{}, down_{};
};

// v with the lanes from n on set to zero.
template <class T>
BPTT_INLINE typename Vec<T>::V first_lanes(typename Vec<T>::V v, int64_t n) {
  if (n >= kLanes<T>) return v;
  T lanes[kLanes<T>];
  store(lanes, v);
  return load_some(lanes, n);
}

// What stays of the previous value under zoneout: keep * previous + (1 - keep) * fresh, exactly
// the one or the other where keep is 0 or 1.
template <class T>
BPTT_INLINE typename Vec<T>::V zoned(const T* keep, typename Vec<T>::V previous,
                                     typename Vec<T>::V fresh) {
  const auto k = load(keep);
  return fma(k, previous, (splat<T>(T(1)) - k) * fresh);
}

// The cell on products that are there already: a row at a time.
template <class T, class CellOf>
void point_forward(const StepForwardArgs<T>& s, const CellOf& cell) {
  using V = typename Vec<T>::V;
  for (int64_t row = 0; row < s.rows; ++row) {
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      V gates[CellOf::kGates];
      for (int g = 0; g < CellOf::kGates; ++g) {
        gates[g] = load(s.options->z + row * s.options->z_row + g * s.plane_stride + unit);
      }
      cell.forward(s, row, unit, gates);
    }
    cell.forward_row(s, row);
  }
}

// Panels of units are handled one at a time, with few rows up to four, so that there are enough
// independent sums.
template <class T, class CellOf>
void step_forward(const StepForwardArgs<T>& s, const CellOf& cell) {
  using V = typename Vec<T>::V;
  constexpr int kGates = CellOf::kGates;
  if constexpr (CellOf::kOptions) {
    if (s.options->z) return point_forward(s, cell);
  }
  constexpr int kMost = 4 / kGates > 1 ? 4 / kGates : 1;  // panels of units at once
  const Tiles<T>& tiles = s.tiles ? *s.tiles : kTiles<T>;
  const T* operands = s.tiles ? s.operands : s.input;
  const int64_t operands_row = s.tiles ? s.operands_row : s.input_row;
  alignas(64) T z[kTileRows][kMost * kGates][kPanel<T>];
  for (int64_t index = s.panel_begin; index < s.panel_end;) {
    const Panel<T> panel(s.weights, s.depth, s.units, kGates, index);
    int64_t together = 1;
    if (s.rows <= 3 && panel.vectors == 2) {
      while (together < kMost && index + together < s.panel_end &&
             s.units - (panel.unit + together * kPanel<T>) > kLanes<T>) {
        ++together;
      }
    }
    for (int64_t row = 0; row < s.rows;) {
      const int64_t height = tile_height(s.rows - row);
      Tile<T> t;
      t.a = operands + row * operands_row;
      t.a_row = operands_row;
      t.segments = 1;
      t.segment_length = s.depth;
      t.segment_stride = 0;
      t.b = panel.packed;
      t.b_panel = panel.size;
      t.c = &z[0][0][0];
      t.c_row = kMost * kGates * kPanel<T>;
      t.c_panel = kPanel<T>;
      t.bias = nullptr;
      t.bias_panel = 0;
      t.accumulate = false;
      t.last_units = kLanes<T>;
      run_tiles(tiles, t, height, together * kGates, panel.vectors == 2);
      for (int64_t r = 0; r < height; ++r) {
        for (int64_t p = 0; p < together; ++p) {
          for (int64_t v = 0; v < panel.vectors; ++v) {
            V gates[kGates];
            for (int g = 0; g < kGates; ++g) gates[g] = load(&z[r][p * kGates + g][v * kLanes<T>]);
            cell.forward(s, row + r, panel.unit + p * kPanel<T> + v * kLanes<T>, gates);
          }
        }
      }
      row += height;
    }
    index += together;
  }
}

template <class T, class CellOf>
void step_backward(const StepBackwardArgs<T>& s, const CellOf& cell) {
  for (int64_t row = 0; row < s.rows; ++row) {
    RowNorm<T> flow;
    if constexpr (CellOf::kOptions) cell.backward_row(s, row);
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      const auto dc = cell.backward(s, row, unit);
      if constexpr (CellOf::kHasC) {
        if (s.flow_c) flow.add(first_lanes<T>(dc, s.units - unit));
      }
    }
    if constexpr (CellOf::kHasC) {
      if (s.flow_c) s.flow_c[row] = flow.norm();
    }
  }
}

}  // namespace
}  // namespace bptt
