// gemm.h: packing of matrices, and products with a packed matrix, tile by tile (tile.h).
#pragma once

#include "kernels/simd/tile.h"
#include "kernels/simd/transpose.h"

namespace bptt {
namespace {

// The position of a panel of units: its first unit, its vectors, and its place in the packed
// matrix.
template <class T>
struct Panel {
  int64_t unit, vectors, width;
  const T* packed;
  int64_t size;        // elements of one group's panel
  int64_t last_units;  // units in its last vector
  BPTT_INLINE Panel(const T* matrix, int64_t depth, int64_t units, int64_t groups, int64_t index) {
    unit = index * kPanel<T>;
    const int64_t left = units - unit;
    vectors = left > kLanes<T> ? 2 : 1;
    width = vectors * kLanes<T>;
    packed = matrix + unit * groups * depth;
    size = depth * width;
    last_units = left >= width ? kLanes<T> : left - (vectors - 1) * kLanes<T>;
  }
};

// out[k, u] = source[u, k] for one vector of units, of which `units` exist; the others are zero.
template <class T>
BPTT_INLINE void pack_transposed(const T* source, int64_t source_row, int64_t units, int64_t depth,
                                 T* out, int64_t out_row) {
  constexpr int64_t lanes = kLanes<T>;
  for (int64_t k = 0; k < depth; k += lanes) {
    const int64_t left = depth - k;
    typename Vec<T>::V row[lanes];
    for (int64_t u = 0; u < lanes; ++u) {
      const T* from = source + u * source_row + k;
      row[u] = u >= units      ? typename Vec<T>::V{}
               : left >= lanes ? load(from)
                               : load_some(from, left);
    }
    transpose<T>(row);
    for (int64_t i = 0; i < lanes && i < left; ++i) store(out + (k + i) * out_row, row[i]);
  }
}

template <class T>
void pack(const PackArgs<T>& p) {
  for (int64_t index = p.panel_begin; index < p.panel_end; ++index) {
    const Panel<T> panel(p.packed, p.depth, p.units, p.groups, index);
    const int64_t units = p.units - panel.unit < panel.width ? p.units - panel.unit : panel.width;
    for (int64_t group = 0; group < p.groups; ++group) {
      const T* source = p.source + group * p.group_stride + panel.unit * p.unit_stride;
      T* out = p.packed + (panel.packed - p.packed) + group * panel.size + p.k_begin * panel.width;
      if (p.unit_stride == 1) {
        for (int64_t k = 0; k < p.k_count; ++k) {
          const T* from = source + k * p.k_stride;
          for (int64_t v = 0; v < panel.vectors; ++v) {
            const int64_t left = units - v * kLanes<T>;
            store(out + k * panel.width + v * kLanes<T>,
                  left >= kLanes<T> ? load(from + v * kLanes<T>)
                                    : load_some(from + v * kLanes<T>, left));
          }
        }
      } else {
        for (int64_t v = 0; v < panel.vectors; ++v) {
          pack_transposed(source + v * kLanes<T> * p.unit_stride, p.unit_stride,
                          units - v * kLanes<T>, p.k_count, out + v * kLanes<T>, panel.width);
        }
      }
    }
  }
}

// Adds a run of `depth` steps of k to a tile. If it prefetches, it becomes two, which do so from two
// places; the sums are the same.
template <class T>
BPTT_INLINE void add_run(Tile<T>& t, const T* a, int64_t a_row, const T* b, int64_t b_panel,
                         int64_t width, int64_t depth, bool in_two) {
  const int64_t half = in_two ? depth / 8 * 4 : 0;
  if (in_two) t.run[t.runs++] = {a, a_row, b, b_panel, half, nothing_ahead(b)};
  t.run[t.runs++] = {a + half, a_row, b + half * width, b_panel, depth - half, nothing_ahead(b)};
}

// Distributes the memory that a product prefetches over its tiles, as much to each as its runs of k
// have time for. After that, each tile prefetches its own part of C.
template <class T>
class FetchPlan {
 public:
  BPTT_INLINE explicit FetchPlan(const Ahead* ranges) : ranges_(ranges) { skip_empty(); }
  BPTT_INLINE void operator()(Tile<T>& t, int64_t rows) {
    int64_t row = 0;  // of C
    for (int64_t i = 0; i < t.runs; ++i) {
      const int64_t room = t.run[i].depth / 2;
      Ahead& ahead = t.run[i].ahead;
      if (range_ < kRanges) {
        const Ahead& range = ranges_[range_];
        const int64_t left = range.count - done_, count = left < room ? left : room;
        ahead = {static_cast<const char*>(range.from) + done_ * range.stride, range.stride, count};
        done_ += count;
        if (done_ < range.count) continue;
        done_ = 0;
        ++range_;
        skip_empty();
      } else if (row < rows) {
        const int64_t count = rows - row < room ? rows - row : room;
        ahead = {t.c + (t.row + row) * t.c_row + t.panel * t.c_panel, t.c_row * int64_t(sizeof(T)),
                 count};
        row += count;
      } else {
        ahead = nothing_ahead(t.run[i].b);
      }
    }
  }

 private:
  static constexpr int kRanges = 4;
  BPTT_INLINE void skip_empty() {
    while (range_ < kRanges && ranges_[range_].count <= 0) ++range_;
  }
  const Ahead* ranges_;
  int64_t done_ = 0;
  int range_ = 0;
};

template <class T>
BPTT_INLINE void multiply(const Tiles<T>& tiles, const ProductArgs<T>& p) {
  const int64_t depth = p.segments * p.segment_length;
  FetchPlan<T> plan(p.ahead);
  // For few rows, a chunk of adjacent panels; else one panel, so that its part of B stays in cache
  // for all rows.
  const int64_t chunk = p.rows <= kPairRows ? 4 : 1;
  for (int64_t index = p.panel_begin; index < p.panel_end;) {
    const Panel<T> panel(p.b, depth, p.units, p.groups, index);
    int64_t side_by_side = 1;  // panels of units; contiguous in memory only if they are full and
                               // there is one group
    if (p.groups == 1 && panel.vectors == 2 && panel.last_units == kLanes<T>) {
      while (side_by_side < chunk && index + side_by_side < p.panel_end &&
             p.units - (panel.unit + side_by_side * kPanel<T>) >= kPanel<T>) {
        ++side_by_side;
      }
    }
    const bool one_group = p.groups == 1;
    Tile<T> t;
    t.runs = 0;
    for (int64_t i = 0; i < p.segments; ++i) {
      add_run(t, p.a + i * p.segment_stride, p.a_row,
              panel.packed + i * p.segment_length * panel.width, panel.size, panel.width,
              p.segment_length, p.segments == 1 && fetches_ahead(p.rows));
    }
    t.c = p.c + panel.unit;
    t.c_row = p.c_row;
    t.c_panel = one_group ? kPanel<T> : p.c_group;
    t.from = p.bias ? p.bias + panel.unit : kZeros<T>;
    t.from_row = 0;
    t.from_panel = !p.bias ? 0 : one_group ? kPanel<T> : p.bias_group;
    t.accumulate = p.accumulate;
    t.lone = p.lone && few_chains<T>(depth, p.units, p.groups);
    t.last_units = panel.last_units;
    run_tiles(tiles, t, p.rows, one_group ? side_by_side : p.groups, panel.vectors == 2,
              [&plan](Tile<T>& now, int64_t rows) { plan(now, rows); });
    index += side_by_side;
  }
}

template <class T>
void product(const ProductArgs<T>& p) {
  multiply(kTiles<T>, p);
}

// Computes rows [m, m + height) and units [first, end) of C from steps [k, k + count) of their sums
// (not packed: all steps). a: the left operands of these steps.
template <class T>
BPTT_INLINE void outer_rows(const Tiles<T>& tiles, const OuterArgs<T>& o, int64_t m, int64_t height,
                            int64_t first, int64_t end, const T* a, int64_t a_row, int64_t k,
                            int64_t count) {
  for (int64_t unit = first; unit < end; unit += kPanel<T>) {
    const Panel<T> panel(o.b, o.depth, o.units, 1, unit / kPanel<T>);
    Tile<T> t;
    Run<T>& run = t.run[0];
    run.a = a;
    run.a_row = a_row;
    if (o.b_row == 0) {
      t.repeats = 1;
      t.a_repeat = t.b_repeat = 0;
      run.b = panel.packed + k * panel.width;
      run.b_step = panel.width;
      run.depth = count;
    } else {
      t.repeats = count / o.run_length;
      t.a_repeat = o.run_length * a_row;
      t.b_repeat = o.b_run;
      run.b = o.b + unit;
      run.b_step = o.b_row;
      run.depth = o.run_length;
    }
    t.row = t.panel = 0;
    t.c = o.c + m * o.c_row + unit;
    t.c_row = o.c_row;
    t.c_panel = 0;
    t.accumulate = true;
    t.last_units = panel.last_units;
    // C, which the tile would otherwise wait for (3-5 % of products with a large C).
    run.ahead = {t.c, t.c_row * int64_t(sizeof(T)), height};
    (panel.vectors == 2 ? tiles.outer_two : tiles.outer_one)[height - 1](t);
  }
}

// All rows of C go through some units before the next ones, so that their part of B stays in the
// second-level cache: 5 to 7 % of a product with 1 MB of B.
template <class T>
void outer(const OuterArgs<T>& o) {
  constexpr int64_t kPart = (1 << 18) / int64_t(sizeof(T));
  const int64_t panels = kPart / (o.depth * kPanel<T>);
  const int64_t part = (panels > 0 ? panels : 1) * kPanel<T>;
  for (int64_t first = 0; first < o.units; first += part) {
    const int64_t end = o.units - first < part ? o.units : first + part;
    for (int64_t m = 0; m < o.columns_a;) {
      const int64_t height = tile_height(o.columns_a - m);
      outer_rows(kTiles<T>, o, m, height, first, end, o.a + m, o.a_row, 0, o.depth);
      m += height;
    }
  }
}

}  // namespace
}  // namespace bptt
