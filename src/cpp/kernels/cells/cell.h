// cell.h: the interface of a cell, and the loops that run one: forward (products, then the cell,
// per panel of units) and backward (pointwise). The cells are in rnn.h, lstm.h, gru.h and
// min_gru.h, each with forward before backward; layer normalisation is in norm.h.
//
// A cell is a struct template over the element type. s stands for the arguments of the step.
//     kGates                         number of gates of the first product of a step
//     kRecurrent                     that product includes W_hh; else only the input
//     kApart                         the last gate's input part stays separate
//     kHasC                          the cell has a cell state
//     kOptions                       the cell handles CellOptions; false: the plain cell
//     forward(s, row, unit, a)       computes one vector of units of one row. a[g] = (W_ih x_t + b
//                                    + W_hh h_{t-1}) of gate g, without W_hh h_{t-1} if not
//                                    kRecurrent. kApart: a of the last gate is W_ih x_t + b, and
//                                    the next element is its W_hh h_{t-1}
//     forward_output(s, row, unit)   kTwoPasses: computes what depends on the gates, after forward
//                                    has processed all rows and units of a tile; one chain of
//                                    dependent operations directly after another would leave the
//                                    processor too little to overlap
//     forward_row(s, row)            kOptions: work on the whole row, after its units
//     backward_row(s, row)           kOptions: the same backward, before its units
//     backward(s, row, unit)         computes one vector of units of one row
// The elements between the units and the end of an internal row are scratch.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd/gemm.h"
#include "kernels/simd/math.h"

namespace bptt {
namespace {

template <class T>
BPTT_INLINE typename Vec<T>::V clamp(typename Vec<T>::V x, T bound) {
  return at_most(splat<T>(bound), at_least(splat<T>(-bound), x));
}

// The norm of a row that is given vector by vector. In float, sums of squares in double precision
// are safe. In double, three sums are kept, of the numbers as they are, scaled up and scaled down
// (after Blue 1978), and the one that neither overflowed nor underflowed is used.
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

// The state under zoneout: keep * previous + (1 - keep) * fresh, which is exactly one of the two if
// keep is 0 or 1.
template <class T>
BPTT_INLINE typename Vec<T>::V zoned(const T* keep, typename Vec<T>::V previous,
                                     typename Vec<T>::V fresh) {
  const auto k = load(keep);
  return fma(k, previous, (splat<T>(T(1)) - k) * fresh);
}

// The input parts of the pre-activations, unless the step computes them: in the planes, gate by gate
// (plain RNN: in h).
template <class CellOf, class T>
BPTT_INLINE const T* input_part(const StepForwardArgs<T>& s, int64_t row, int64_t unit, int gate) {
  const T* planes = CellOf::kSavesGates ? s.planes + row * s.planes_row : s.h + row * s.h_row;
  return planes + (CellOf::kFirstPlane + gate) * s.plane_stride + unit;
}

// dL/dh_t in two shares: that of the fresh state, and that which zoneout passes to the previous
// state.
template <class T>
struct Split {
  using V = typename Vec<T>::V;
  V fresh, direct;
};
template <class T>
BPTT_INLINE Split<T> split_zoned(const StepBackwardArgs<T>& s, int64_t row, int64_t unit,
                                 typename Vec<T>::V dh) {
  const CellOptions<T>& o = *s.options;
  if (!o.keep_h) return {dh, typename Vec<T>::V{}};
  const auto keep = load(o.keep_h + row * o.keep_row + unit);
  return {(splat<T>(T(1)) - keep) * dh, keep * dh};
}

// Runs the cell, row by row, on products that are already computed.
template <class T, class CellOf>
void point_forward(const StepForwardArgs<T>& s, const CellOf& cell) {
  using V = typename Vec<T>::V;
  for (int64_t row = 0; row < s.rows; ++row) {
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      constexpr int kJoint = CellOf::kGates - CellOf::kApart;
      V a[CellOf::kGates + 1];
      for (int g = 0; g < CellOf::kGates; ++g) {
        const V product = load(s.options->z + row * s.options->z_row + g * s.plane_stride + unit);
        const V input = load(input_part<CellOf>(s, row, unit, g));
        a[g] = g < kJoint ? input + product : input;
        a[g + 1] = product;
      }
      cell.forward(s, row, unit, a);
    }
    if constexpr (CellOf::kTwoPasses) {
      for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) cell.forward_output(s, row, unit);
    }
    cell.forward_row(s, row);
  }
}

// Sets the memory that the cell will read and write for some rows of a panel, one array per tile
// and half of k.
template <class CellOf, class T>
BPTT_INLINE void fetch_rows(const StepForwardArgs<T>& s, int64_t row, int64_t rows, int64_t unit,
                            int64_t gate, Ahead& first, Ahead& second) {
  const auto piece = [&](const T* array, int64_t stride) {
    return Ahead{array + row * stride + unit, stride * int64_t(sizeof(T)), rows};
  };
  const Ahead h = piece(s.h, s.h_row), y = s.y ? piece(s.y, s.y_row) : h;
  if constexpr (!CellOf::kSavesGates) {
    first = h;
    second = y;
  } else {
    first = piece(s.planes + gate * s.plane_stride, s.planes_row);
    if constexpr (CellOf::kHasC) {
      second = gate == 0   ? piece(s.c_previous, s.state_row)
               : gate == 1 ? piece(s.c, s.state_row)
               : gate == 2 ? h
                           : y;
    } else {
      second = gate == 0 ? h : gate == 1 ? y : piece(s.planes + 3 * s.plane_stride, s.planes_row);
    }
  }
}

// Adds the time that a scope takes, or a part of it, to one of a step's counters, if the step has
// counters.
template <class T>
class Counted {
 public:
  BPTT_INLINE Counted(const StepForwardArgs<T>& s, int counter, int64_t part = 1, int64_t whole = 1)
      : ticks_(s.ticks ? s.ticks + counter : nullptr),
        part_(part),
        whole_(whole),
        start_(ticks_ ? clock_ticks() : 0) {}
  BPTT_INLINE ~Counted() {
    if (ticks_) *ticks_ += (clock_ticks() - start_) * uint64_t(part_) / uint64_t(whole_);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  uint64_t* const ticks_;
  const int64_t part_, whole_;
  const uint64_t start_;
};
constexpr int kInputTicks = 0, kCellTicks = 1;

// One step of a cell with its products. For one panel of units and some rows at a time, the
// products leave their sums in the first-level cache, where the cell reads them.
template <class T, class CellOf>
class StepForward {
 public:
  BPTT_INLINE StepForward(const StepForwardArgs<T>& s, const CellOf& cell)
      : s_(s),
        cell_(cell),
        tiles_(s.tiles ? *s.tiles : kTiles<T>),
        operands_(s.tiles ? s.operands : s.input),
        operands_row_(s.tiles ? s.operands_row : s.input_row),
        fused_(!CellOf::kOptions && s.x != nullptr),
        lone_(s.lone && few_chains<T>(s.depth, s.units, kGates)),
        apart_(lone_ && s.tiles),
        large_(s.depth * kGates * kPanel<T> * int64_t(sizeof(T)) > kResident) {}

  BPTT_INLINE void run() const {
    alignas(64) Sums sums;
    for (int64_t index = s_.panel_begin; index < s_.panel_end;) {
      const Panel<T> panel(s_.weights, s_.depth, s_.units, kGates, index);
      const int64_t panels = panels_from(index, panel);
      for (int64_t row = 0, rows = 0; row < s_.rows; row += rows) {
        rows = rows_from(row);
        const Part part{index, panels, row, rows};
        multiply(panel, part, sums);
        apply_cell(panel, part, sums);
      }
      index += panels;
    }
  }

 private:
  using V = typename Vec<T>::V;
  static constexpr int kGates = CellOf::kGates, kSums = kGates + CellOf::kApart;
  static constexpr int kJoint = kGates - CellOf::kApart;  // gates whose two products are one sum
  // Panels of units at once: one if there are several gates, whose input parts are in planes.
  static constexpr int kMost = kGates == 1 ? 4 : 1;
  static constexpr int64_t kTogether = 4;        // tiles of rows at once
  static constexpr int64_t kResident = 1 << 17;  // bytes
  using Sums = T[kTogether * kTileRows][kMost][kSums][kPanel<T>];

  // The panels and rows that are processed together.
  struct Part {
    int64_t index, panels, row, rows;
  };

  // Panels are processed one at a time; with one gate and few rows up to four, to have enough
  // independent sums.
  BPTT_INLINE int64_t panels_from(int64_t index, const Panel<T>& panel) const {
    int64_t panels = 1;
    if (s_.rows > kPairRows || panel.vectors != 2) return panels;
    while (panels < kMost && index + panels < s_.panel_end &&
           s_.units - (panel.unit + panels * kPanel<T>) > kLanes<T>) {
      ++panels;
    }
    return panels;
  }

  // The rows of one tile go through one gate after the other. If the gates' panels are too large to
  // stay in the second-level cache from tile to tile, four tiles go through each gate together.
  BPTT_INLINE int64_t rows_from(int64_t row) const {
    int64_t rows = tile_height(s_.rows - row);
    for (int64_t i = 1; large_ && i < kTogether && row + rows < s_.rows; ++i) {
      rows += tile_height(s_.rows - row - rows);
    }
    return rows;
  }

  // A tile without runs whose sums of gates from `place` on begin with zero.
  BPTT_INLINE Tile<T> tile_of(Sums& sums, int place) const {
    Tile<T> t;
    t.runs = 0;
    t.c = &sums[0][0][place][0];
    t.c_row = kMost * kSums * kPanel<T>;
    t.c_panel = (kGates == 1 ? kSums : 1) * kPanel<T>;  // with one gate, to the next panel
    t.last_units = kLanes<T>;
    t.accumulate = t.lone = false;
    t.from = kZeros<T>;
    t.from_row = t.from_panel = 0;
    return t;
  }

  // Begins the sums with the biases and W_ih x_t.
  BPTT_INLINE void add_input(Tile<T>& t, const Part& part, int gate) const {
    const Panel<T> panel(s_.input_weights, s_.x_depth, s_.units, kGates, part.index);
    t.from = s_.bias + panel.unit + gate * s_.plane_stride;
    t.from_panel = kGates == 1 ? kPanel<T> : s_.plane_stride;
    add_run(t, s_.x + part.row * s_.x_row, s_.x_row, panel.packed + gate * panel.size, panel.size,
            panel.width, s_.x_depth, !CellOf::kRecurrent && fetches_ahead(part.rows));
  }

  // Adds W_hh h_{t-1}.
  BPTT_INLINE void add_states(Tile<T>& t, const Panel<T>& panel, const Part& part, int gate) const {
    t.lone = lone_;
    add_run(t, operands_ + part.row * operands_row_, operands_row_,
            panel.packed + gate * panel.size, panel.size, panel.width, s_.depth,
            fetches_ahead(part.rows));
  }

  // Runs the tiles of `gates` gates from `gate` on, which prefetch what the cell will access.
  BPTT_INLINE void run(Tile<T>& t, const Panel<T>& panel, const Part& part, int gate,
                       int gates) const {
    run_tiles(tiles_, t, part.rows, part.panels * gates, panel.vectors == 2,
              [&](Tile<T>& now, int64_t height) {
                fetch_rows<CellOf>(s_, part.row + now.row, height, panel.unit, gate + now.panel,
                                   now.run[now.runs - 2].ahead, now.run[now.runs - 1].ahead);
              });
  }

  // Runs the tiles of `gates` gates, which prefetch nothing.
  BPTT_INLINE void run_plainly(Tile<T>& t, const Panel<T>& panel, const Part& part,
                               int gates) const {
    run_tiles(tiles_, t, part.rows, part.panels * gates, panel.vectors == 2,
              [](Tile<T>&, int64_t) {});
  }

  // sums = W_ih x_t + bias + W_hh h_{t-1}; kApart: the last gate's input part and its W_hh h_{t-1}
  // are separate.
  BPTT_INLINE void multiply(const Panel<T>& panel, const Part& part, Sums& sums) const {
    if constexpr (CellOf::kRecurrent && kJoint > 0) {
      Tile<T> t = tile_of(sums, 0);
      if (fused_ && apart_) {
        Tile<T> input = tile_of(sums, 0);
        add_input(input, part, 0);
        run_plainly(input, panel, part, kJoint);
        t.from = t.c;
        t.from_panel = t.c_panel;
      } else if (fused_) {
        add_input(t, part, 0);
      } else {
        t.from = input_part<CellOf>(s_, part.row, panel.unit, 0);
        t.from_row = CellOf::kSavesGates ? s_.planes_row : s_.h_row;
        t.from_panel = kGates == 1 ? kPanel<T> : s_.plane_stride;
      }
      add_states(t, panel, part, 0);
      const int64_t x_depth = fused_ && !apart_ ? s_.x_depth : 0;
      const Counted<T> counted(s_, kInputTicks, x_depth, x_depth + s_.depth);
      run(t, panel, part, 0, kJoint);
    }
    if constexpr (CellOf::kApart) {
      Tile<T> t = tile_of(sums, kGates);
      add_states(t, panel, part, kGates - 1);
      run(t, panel, part, kGates - 1, 1);
    }
    if ((CellOf::kApart || !CellOf::kRecurrent) && fused_) {
      const Counted<T> counted(s_, kInputTicks);
      constexpr int kFirst = CellOf::kApart ? kGates - 1 : 0;
      Tile<T> t = tile_of(sums, kFirst);
      add_input(t, part, kFirst);
      t.lone = lone_ && !apart_;
      CellOf::kApart ? run_plainly(t, panel, part, 1) : run(t, panel, part, 0, kGates);
    }
  }

  BPTT_INLINE void apply_cell(const Panel<T>& panel, const Part& part, const Sums& sums) const {
    const Counted<T> counted(s_, kCellTicks);
    for (int64_t r = 0; r < part.rows; ++r) {
      for (int64_t p = 0; p < part.panels; ++p) {
        for (int64_t v = 0; v < panel.vectors; ++v) {
          const int64_t unit = panel.unit + p * kPanel<T> + v * kLanes<T>;
          V a[kGates + 1];
          for (int g = 0; g < kSums; ++g) {
            const bool computed = fused_ || (CellOf::kRecurrent && (g < kJoint || g == kGates));
            a[g] = load(computed ? &sums[r][p][g][v * kLanes<T>]
                                 : input_part<CellOf>(s_, part.row + r, unit, g));
          }
          cell_.forward(s_, part.row + r, unit, a);
        }
      }
    }
    if constexpr (CellOf::kTwoPasses) {
      const int64_t end = panel.unit + (part.panels - 1) * kPanel<T> + panel.vectors * kLanes<T>;
      for (int64_t r = 0; r < part.rows; ++r) {
        for (int64_t unit = panel.unit; unit < end; unit += kLanes<T>) {
          cell_.forward_output(s_, part.row + r, unit);
        }
      }
    }
  }

  const StepForwardArgs<T>& s_;
  const CellOf& cell_;
  const Tiles<T>& tiles_;
  const T* const operands_;
  const int64_t operands_row_;
  // In streams, the order of a sum may differ from that in windows of time. Where states are rounded
  // to bfloat16 it does not (apart_), because the rounding would magnify the difference.
  const bool fused_, lone_, apart_, large_;
};

template <class T, class CellOf>
void step_forward(const StepForwardArgs<T>& s, const CellOf& cell) {
  if constexpr (CellOf::kOptions) {
    if (s.options->z) {
      const Counted<T> counted(s, kCellTicks);
      return point_forward(s, cell);
    }
  }
  StepForward<T, CellOf>(s, cell).run();
}

// Stores h_t to the tape and, if required, to the caller, whose rows have no room beyond the units.
template <class T>
BPTT_INLINE void put_h(const StepForwardArgs<T>& s, int64_t row, int64_t unit,
                       typename Vec<T>::V h) {
  store(s.h + row * s.h_row + unit, h);
  if (!s.y) return;
  const int64_t left = s.units - unit;
  T* y = s.y + row * s.y_row + unit;
  left >= kLanes<T> ? store(y, h) : store_some(y, h, left);
}

// The total dL/dh_t: the gradient from the next step plus the outputs' own.
template <class T>
BPTT_INLINE typename Vec<T>::V total_dh(const StepBackwardArgs<T>& s, int64_t row, int64_t unit) {
  const auto dh = load(s.dh + row * s.state_row + unit);
  if (!s.dy) return dh;
  const int64_t left = s.units - unit;
  const T* dy = s.dy + row * s.dy_row + unit;
  return dh + (left >= kLanes<T> ? load(dy) : load_some(dy, left));
}

// The arguments are copied, because a store of numbers could otherwise change them, so far as the
// compiler can tell, and every access would read them again.
template <class T, class CellOf>
void step_backward(const StepBackwardArgs<T>& args, const CellOf& cell) {
  const StepBackwardArgs<T> s = args;
  for (int64_t row = 0; row < s.rows; ++row) {
    RowNorm<T> flow, flow_h;
    if constexpr (CellOf::kOptions) cell.backward_row(s, row);
    for (int64_t unit = 0; unit < s.units; unit += kLanes<T>) {
      if (s.flow_h) flow_h.add(first_lanes<T>(total_dh(s, row, unit), s.units - unit));
      const auto dc = cell.backward(s, row, unit);  // LSTM: dL/dc; RNN: dL/da
      if constexpr (CellOf::kHasC) {
        if (s.flow_c) flow.add(first_lanes<T>(dc, s.units - unit));
        if (s.total_c) store(s.total_c + row * s.state_row + unit, dc);
      } else if constexpr (CellOf::kGates == 1) {
        if (s.flow_a) flow.add(first_lanes<T>(dc, s.units - unit));
      }
    }
    if (s.flow_h) s.flow_h[row] = flow_h.norm();
    if constexpr (CellOf::kHasC) {
      if (s.flow_c) s.flow_c[row] = flow.norm();
    } else if constexpr (CellOf::kGates == 1) {
      if (s.flow_a) s.flow_a[row] = flow.norm();
    }
  }
}

}  // namespace
}  // namespace bptt
