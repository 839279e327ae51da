// tile.h: the tile of a product, which stays in registers while k runs. Each of its sums is one
// chain. O is the type of an operand, T = Sum<O> that of the sums (vec.h).
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd/vec.h"

namespace bptt {

// A run of k with its operands, each of the size of T, and memory to prefetch meanwhile (by_rows
// with few rows: none).
template <class T>
struct Run {
  const T* a;
  int64_t a_row;  // between rows of the tile (by_rows) or between k (by_columns)
  const T* b;
  int64_t b_step;  // between panels (by_rows) or between k (by_columns)
  int64_t depth;
  Ahead ahead;
};

// The sums of a tile over its runs, added or stored to C. Addresses are those of the first row and
// panel of a group of tiles; `row` and `panel` are the tile's own.
template <class T>
struct Tile {
  static constexpr int kMostRuns = 4;
  int64_t row, panel;
  int64_t runs;
  Run<T> run[kMostRuns];
  T* c;
  int64_t c_row, c_panel;
  const T* from;  // by_rows: the beginning of the sums
  int64_t from_row, from_panel;
  bool accumulate;     // C += instead of C =
  bool lone;           // a batch of one sequence
  int64_t last_units;  // number of units of the last vector to store
  // by_columns: run[0] is repeated, its operands so far apart.
  int64_t repeats, a_repeat, b_repeat;
};

template <class T>
using TileFunction = void (*)(const Tile<T>&);

// The tiles of one type of operand, indexed by [rows - 1], for A by rows and (outer) by columns.
template <class T>
struct Tiles {
  const TileFunction<T>*one, *two, *two_panels, *four_panels;  // vectors; panels of two vectors
  const TileFunction<T>*outer_one, *outer_two;
  // For a batch of one sequence, indexed by [panels - 1].
  const TileFunction<T>*lone_one, *lone_two;
};

}  // namespace bptt

namespace bptt {
namespace {

// Rows of a tile two vectors wide: the accumulators, two vectors of B and one or two of A fill the
// registers. AVX-512: 14 * 2 + 2 + 2 = 32. NEON: 12 * 2 + 2 + 2 = 28. AVX2: 6 * 2 + 2 + 1 = 15.
// SSE2 needs one more register for the product.
#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#elif defined(__aarch64__)
constexpr int kTileRows = 12;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 5;
#endif

// The most rows for which two panels are computed together: their sums, a vector of B and one of A
// per row fill the registers, and without a fused multiply-add one for the product.
constexpr int kPairRows = kRegisters == 32 ? 6 : kFused ? 3 : 2;

// The number of panels computed together for few rows: more than eight chains of multiply-adds hide
// their latency.
constexpr int panels_at_once(int64_t rows) {
  if (rows == 1) return 4;
  if (rows == 2) return kRegisters == 32 ? 4 : 2;
  if (rows <= kPairRows) return 2;
  return 1;
}

template <class T>
constexpr int kPanel = 2 * kLanes<T>;  // units of a full panel

// An empty prefetch, of one line that is in use anyway.
BPTT_INLINE Ahead nothing_ahead(const void* line) { return {line, 0, 1}; }

// Prefetches a piece per call, the lines of a row of a panel.
template <class T>
class Fetch {
 public:
  Fetch() = default;
  BPTT_INLINE explicit Fetch(const Ahead& ahead)
      : at_(static_cast<const char*>(ahead.from)),
        last_(at_ + (ahead.count - 1) * ahead.stride),
        stride_(ahead.stride) {}
  BPTT_INLINE void next() {
    __builtin_prefetch(at_);
    if constexpr (kPanel<T> * sizeof(T) > 64) __builtin_prefetch(at_ + 64);
    at_ = at_ < last_ ? at_ + stride_ : at_;
  }

 private:
  const char* at_ = nullptr;
  const char* last_ = nullptr;
  int64_t stride_ = 0;
};

// The layout of A: row r of the tile and step k at a[r * a_row + k], or at a[k * a_row + r].
enum class Layout { by_rows, by_columns };

// One step of k for all accumulators of a tile.
template <class O, int ROWS, int PANELS, int VECTORS, class Broadcast>
BPTT_INLINE void tile_step(typename Vec<Sum<O>>::V (&sum)[ROWS][PANELS * VECTORS], const O* b,
                           int64_t b_panel, Broadcast a) {
  using V = typename Vec<O>::V;
  if constexpr (PANELS == 1) {
    V bv[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) {
      bv[v] = load(b + v * kLanes<O>);
      pin(bv[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      V av = splat<O>(a(r));
      pin(av);
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; ++v) sum[r][v] = multiply_add(av, bv[v], sum[r][v]);
    }
  } else {
    V av[ROWS];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; ++r) {
      av[r] = splat<O>(a(r));
      pin(av[r]);
    }
#pragma GCC unroll 8
    for (int p = 0; p < PANELS * VECTORS; ++p) {
      V bv = load(b + (p / VECTORS) * b_panel + (p % VECTORS) * kLanes<O>);
      if constexpr (ROWS > 1) pin(bv);
#pragma GCC unroll 6
      for (int r = 0; r < ROWS; ++r) sum[r][p] = multiply_add(av[r], bv, sum[r][p]);
    }
  }
}

// Loads the beginning of a tile's sums.
template <int VECTORS, class T, int ROWS, int SUMS>
BPTT_INLINE void load_from(const Tile<T>& t, typename Vec<T>::V (&sum)[ROWS][SUMS]) {
  const T* from = t.from + t.row * t.from_row + t.panel * t.from_panel;
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < SUMS; ++p)
      sum[r][p] = load(from + p / VECTORS * t.from_panel + p % VECTORS * kLanes<T>);
    from += t.from_row;
  }
}

// Stores the sums of a tile to C or adds them to it; !WHOLE: only some units of the last vector of
// each panel.
template <int VECTORS, bool WHOLE, class T, int ROWS, int SUMS>
BPTT_INLINE void put_sums(const Tile<T>& t, bool adds,
                          const typename Vec<T>::V (&sum)[ROWS][SUMS]) {
  T* row = t.c + t.row * t.c_row + t.panel * t.c_panel;
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < SUMS; ++p) {
      const int64_t panel = p / VECTORS, lane = (p % VECTORS) * kLanes<T>;
      T* c = row + panel * t.c_panel + lane;
      typename Vec<T>::V value = sum[r][p];
      if (WHOLE || p % VECTORS < VECTORS - 1) {
        store(c, adds ? value + load(c) : value);
      } else {
        if (adds) value = value + load_some(c, t.last_units);
        store_some(c, value, t.last_units);
      }
    }
    row += t.c_row;
  }
}
template <int VECTORS, class T, int ROWS, int SUMS>
BPTT_INLINE void put_sums(const Tile<T>& t, const typename Vec<T>::V (&sum)[ROWS][SUMS]) {
  if (t.last_units != kLanes<T>) {
    put_sums<VECTORS, false>(t, t.accumulate, sum);
  } else if (t.accumulate) {
    put_sums<VECTORS, true>(t, true, sum);
  } else {
    put_sums<VECTORS, true>(t, false, sum);
  }
}

// The beginning of sums without any.
template <class T>
alignas(64) constexpr T kZeros[2 * kLanes<T>] = {};

// Returns whether tiles of a product of `rows` rows prefetch. With few rows, the loads of B alone keep
// the load units busy: `ahead` is then neither read nor set.
constexpr bool fetches_ahead(int64_t rows) { return rows >= kFetchingRows; }

template <class O, Layout LAYOUT, int ROWS, int PANELS, int VECTORS>
void tile(const Tile<Sum<O>>& t) {
  using T = Sum<O>;
  using V = typename Vec<T>::V;
  constexpr int kWidth = VECTORS * kLanes<T>, kSums = PANELS * VECTORS;
  V sum[ROWS][kSums];
  if constexpr (LAYOUT == Layout::by_columns) {
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
      for (int p = 0; p < kSums; ++p) sum[r][p] = V{};
    }
    const Run<T>& run = t.run[0];
    Fetch<T> fetch(run.ahead);
    int64_t fetching = run.ahead.count;
    for (int64_t i = 0; i < t.repeats; ++i) {
      const O* a = reinterpret_cast<const O*>(run.a) + i * t.a_repeat;
      const O* b = reinterpret_cast<const O*>(run.b) + i * t.b_repeat;
      const auto step = [&] {
        tile_step<O, ROWS, PANELS, VECTORS>(sum, b, 0, [a](int r) { return a[r]; });
        a += run.a_row;
        b += run.b_step;
      };
      int64_t k = 0;
      for (; fetching > 0 && k < run.depth; ++k, --fetching) {
        fetch.next();
        step();
      }
      for (; k < run.depth; ++k) step();
    }
  } else {
    load_from<VECTORS>(t, sum);
    constexpr bool kFetches = fetches_ahead(ROWS);
    for (const Run<T>* run = t.run; run < t.run + t.runs; ++run) {
      const int64_t row = run->a_row, b_panel = run->b_step;
      const O* a = reinterpret_cast<const O*>(run->a) + t.row * row;
      const O* b = reinterpret_cast<const O*>(run->b) + t.panel * b_panel;
      // Use one pointer for three rows: x86 can address base, base + row and base + 2 * row without
      // another register.
      constexpr int kBases = (ROWS + 2) / 3;
      const O* base[kBases];
#pragma GCC unroll 8
      for (int i = 0; i < kBases; ++i) {
        base[i] = a + 3 * i * row;
        asm("" : "+r"(base[i]));
      }
      Fetch<T> fetch;
      if constexpr (kFetches) fetch = Fetch<T>(run->ahead);
      int64_t left = run->depth;
      for (; left >= 2; left -= 2) {
        if constexpr (kFetches) fetch.next();
#pragma GCC unroll 2
        for (int unroll = 0; unroll < 2; ++unroll) {
          tile_step<O, ROWS, PANELS, VECTORS>(sum, b + unroll * kWidth, b_panel, [&](int r) {
            return base[r / 3][(r % 3) * row + unroll];
          });
        }
#pragma GCC unroll 8
        for (int i = 0; i < kBases; ++i) {
          base[i] += 2;
          asm("" : "+r"(base[i]));
        }
        b += 2 * kWidth;
      }
      if (left > 0) {
        tile_step<O, ROWS, PANELS, VECTORS>(sum, b, b_panel,
                                            [&](int r) { return base[r / 3][(r % 3) * row]; });
      }
    }
  }

  put_sums<VECTORS>(t, sum);
}

// Returns whether the panels of a product of one row that are left over from groups of four have too
// few vectors of sums to hide the latency of a multiply-add. In a batch of one sequence they then go
// through lone_tile: all gates of a panel, or the last one to three panels of a product that is too
// small to be divided between threads (sequence/stack.h: shares_units).
template <class T>
BPTT_INLINE bool few_chains(int64_t depth, int64_t units, int64_t groups) {
  return groups > 1 || depth * units < kUndivided;
}

// The number of panels that lone_tile computes at once, at most, by their vectors. Four panels of
// two vectors have enough sums without it.
constexpr int kLonePanels[] = {4, 3};
// With this number of sums and fewer, loads limit it: A is then loaded four elements at a time.
constexpr int kSumsOfFours = 4;

// The tile for such a product. Each sum is four chains, over k mod 4, or two if there are more than
// two vectors. No other tile sums in this way, so the choice may depend on the batch and the sizes
// only, not on threads.
template <class O, int PANELS, int VECTORS>
void lone_tile(const Tile<Sum<O>>& t) {
  using T = Sum<O>;
  constexpr int kWidth = VECTORS * kLanes<T>, kSums = PANELS * VECTORS;
  constexpr int kChains = kSums > 2 ? 2 : 4;
  typename Vec<T>::V sum[kChains][kSums] = {};
  for (const Run<T>* run = t.run; run < t.run + t.runs; ++run) {
    const int64_t panel = run->b_step;
    const O* a = reinterpret_cast<const O*>(run->a);
    const O* b = reinterpret_cast<const O*>(run->b) + t.panel * panel;
    const auto step = [&](int k, typename Vec<O>::V av) {
#pragma GCC unroll 8
      for (int i = 0; i < kSums; ++i) {
        const O* at = b + i / VECTORS * panel + k * kWidth + i % VECTORS * kLanes<O>;
        sum[k % kChains][i] = multiply_add(av, load(at), sum[k % kChains][i]);
      }
    };
    int64_t left = run->depth;
    for (; left >= 4; left -= 4) {
      if constexpr (kSums <= kSumsOfFours) {
        const Four<O> four(a);
        step(0, four.template splat_of<0>());
        step(1, four.template splat_of<1>());
        step(2, four.template splat_of<2>());
        step(3, four.template splat_of<3>());
      } else {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) step(i, splat<O>(a[i]));
      }
      a += 4;
      b += 4 * kWidth;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 3; ++i) {
      if (i < left) step(i, splat<O>(a[i]));
    }
  }
  typename Vec<T>::V total[1][kSums];
  load_from<VECTORS>(t, total);
#pragma GCC unroll 8
  for (int i = 0; i < kSums; ++i) {
    auto whole = sum[0][i] + sum[1][i];
    if constexpr (kChains == 4) whole = whole + (sum[2][i] + sum[3][i]);
    total[0][i] = total[0][i] + whole;
  }
  put_sums<VECTORS>(t, total);
}

// tiles[rows - 1] for one layout, number of panels and vectors. It is filled by recursion because
// rows is a template argument.
template <class O, Layout LAYOUT, int PANELS, int VECTORS, int MAX_ROWS>
struct TileTable {
  TileFunction<Sum<O>> of[MAX_ROWS];
  constexpr TileTable() : of{} { fill<1>(); }
  template <int ROWS>
  constexpr void fill() {
    of[ROWS - 1] = tile<O, LAYOUT, ROWS, PANELS, VECTORS>;
    if constexpr (ROWS < MAX_ROWS) fill<ROWS + 1>();
  }
};

template <class O, Layout LAYOUT, int PANELS, int VECTORS, int MAX_ROWS>
constexpr TileTable<O, LAYOUT, PANELS, VECTORS, MAX_ROWS> kTileTable{};
template <class O, int VECTORS>
constexpr TileFunction<Sum<O>> kLoneTiles[] = {lone_tile<O, 1, VECTORS>, lone_tile<O, 2, VECTORS>,
                                               lone_tile<O, 3, VECTORS>,
                                               VECTORS == 1 ? lone_tile<O, 4, 1> : nullptr};
template <class O>
constexpr Tiles<Sum<O>> kTiles = {kTileTable<O, Layout::by_rows, 1, 1, kTileRows>.of,
                                  kTileTable<O, Layout::by_rows, 1, 2, kTileRows>.of,
                                  kTileTable<O, Layout::by_rows, 2, 2, kPairRows>.of,
                                  kTileTable<O, Layout::by_rows, 4, 2, 2>.of,
                                  kTileTable<O, Layout::by_columns, 1, 1, kTileRows>.of,
                                  kTileTable<O, Layout::by_columns, 1, 2, kTileRows>.of,
                                  kLoneTiles<O, 1>,
                                  kLoneTiles<O, 2>};

// The height of the next tile when `left` rows remain. Heights are as even as possible, so that no
// tile has very few rows.
BPTT_INLINE int64_t tile_height(int64_t left) {
  const int64_t tiles = (left + kTileRows - 1) / kTileRows;
  return (left + tiles - 1) / tiles;
}

// Computes `panels` full or single-vector panels for some rows. With few rows it takes as many
// panels at once as the registers allow; else it goes tile by tile down one panel of B, which stays
// in cache for all rows. prepare(tile, rows) sets what each tile prefetches.
template <class T, class Prepare>
BPTT_INLINE void run_tiles(const Tiles<T>& tiles, Tile<T>& t, int64_t rows, int64_t panels,
                           bool two_vectors, const Prepare& prepare) {
  for (t.panel = 0; t.panel < panels;) {
    const int64_t left = panels - t.panel;
    t.row = 0;
    if (t.lone && left <= kLonePanels[two_vectors]) {
      (two_vectors ? tiles.lone_two : tiles.lone_one)[left - 1](t);
      t.panel += left;
    } else if (two_vectors && left >= 4 && panels_at_once(rows) == 4) {
      tiles.four_panels[rows - 1](t);
      t.panel += 4;
    } else if (two_vectors && left >= 2 && panels_at_once(rows) >= 2) {
      if (fetches_ahead(rows)) prepare(t, rows);
      tiles.two_panels[rows - 1](t);
      t.panel += 2;
    } else {
      while (t.row < rows) {
        const int64_t height = tile_height(rows - t.row);
        if (fetches_ahead(height)) prepare(t, height);
        (two_vectors ? tiles.two : tiles.one)[height - 1](t);
        t.row += height;
      }
      t.panel += 1;
    }
  }
}

}  // namespace
}  // namespace bptt
