// kernels.h: the interface between the engine and its kernels. The files below it (kernels.cpp,
// simd/, cells/) are compiled once per instruction set; they hold pure functions that cannot fail
// and allocate nothing. The files above it are compiled once.
//
// Every kernel is called through a table Kernels<T>, T = float or double. Shapes are [rows,
// columns] with the last axis contiguous. The "row length" is padded_row<T>(n): internal rows start
// on 64-byte boundaries. The elements from n to the row length are scratch: kernels may write
// anything there and never let it reach a result.
//
// Aliasing: outputs never overlap inputs unless a comment says "in place".
// Operands: products read their operands as stored or, for float only, rounded to bfloat16. Two
// bfloat16 operands that follow each other along k share the space of one float, the depth of a
// packed matrix counts such pairs, an odd k is padded with zero, and operands that are not packed
// are rounded into `scratch`. Sums and everything outside products stay float.
// Narrow weights (Weights): float operands meet packed matrices of bfloat16 or int8
// (simd/narrow.h); scratch has narrow_row(depth) elements per operand, and products have one row.
// Determinism: the sum over k of an element is one chain k = 0, 1, ... of fused multiply-adds
// (multiply, then add, if the set has no fma), whichever tile it belongs to. It depends only on the
// instruction set, never on rows, threads or batch. One exception: products of a batch of one
// sequence with few units use two or four chains each (simd/tile.h: lone_tile).
// The chains of narrow weights depend on the place of the unit among the panels.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace bptt {

// A clock of constant rate, for the counters of profile.h.
static inline __attribute__((always_inline)) uint64_t clock_ticks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#endif
}

constexpr int64_t kAlignment = 64;  // bytes; alignment of every internal row and buffer

// The length of an internal row for n elements: whole cache lines, and never a multiple of 2048
// bytes, because rows at that distance map to the same few sets of the first-level cache (measured:
// 15-20 % of a 14-row tile).
template <class T>
constexpr int64_t padded_row(int64_t n) {
  constexpr int64_t line = kAlignment / int64_t(sizeof(T));
  const int64_t whole = (n + line - 1) / line * line;
  return whole * int64_t(sizeof(T)) % 2048 == 0 ? whole + line : whole;
}

// The length of a plane of n elements inside a row: whole cache lines.
template <class T>
constexpr int64_t padded_plane(int64_t n) {
  constexpr int64_t line = kAlignment / int64_t(sizeof(T));
  return (n + line - 1) / line * line;
}

// The length in floats of a row of `depth` operands rounded to bfloat16, with room for a whole
// vector store at its end.
constexpr int64_t pairs_row(int64_t depth) {
  return padded_row<float>((depth + 1) / 2 + kAlignment / int64_t(2 * sizeof(float)));
}

// The length in floats of the row that a product with narrow weights (Weights) makes of `depth`
// operands, with room for a whole vector store at its end.
constexpr int64_t narrow_row(int64_t depth) {
  return padded_row<float>(depth + 2 * kAlignment / int64_t(sizeof(float)));
}

// The rows from which on a product prefetches (Ahead).
constexpr int64_t kFetchingRows = 4;

// Multiply-adds of a product below which a team never divides its panels.
constexpr int64_t kUndivided = 1 << 16;

enum class Cell { rnn, lstm, gru, min_gru };
constexpr int kCellCount = 4;

enum class Activation {
  tanh,
  relu,
  sigmoid,
  identity,
  softplus,
  elu,
  hard_sigmoid,
  softsign,
  leaky_relu,
  silu
};
// The region in which f is flat and passes little gradient: both ends of (-1, 1) or of (0, 1),
// below 0, or where the derivative itself is small.
enum class Flat { never, symmetric, unit, negative, slope };
// The activations, in the order of the enumeration. A cell saves f'(a) for the backward pass if
// f(a) does not determine it accurately: near their limits y + 1 (elu) and 1 - |y| (softsign) lose
// all their digits while f' is far from zero, and silu takes the same value at two points.
struct ActivationRow {
  const char* word;
  Flat flat;
  bool saves_slope = false;
};
constexpr ActivationRow kActivationTable[] = {
    {"tanh", Flat::symmetric},      {"relu", Flat::negative},
    {"sigmoid", Flat::unit},        {"identity", Flat::never},
    {"softplus", Flat::slope},      {"elu", Flat::slope, true},
    {"hard_sigmoid", Flat::unit},   {"softsign", Flat::symmetric, true},
    {"leaky_relu", Flat::negative}, {"silu", Flat::negative, true}};
constexpr int kActivationCount = int(sizeof kActivationTable / sizeof kActivationTable[0]);
constexpr bool saves_slope(Activation f) { return kActivationTable[int(f)].saves_slope; }

// Memory that will be needed soon: `count` pieces of fetched_bytes(), `stride` bytes apart. A product
// prefetches it into the caches while it multiplies and does not use its values.
struct Ahead {
  const void* from;
  int64_t stride, count;
};

// A matrix B [depth, units x groups] packed for products, packed_size(depth, units, groups)
// elements. It is divided into panels of up to two vectors of units; the groups (gates) of a panel
// follow each other, each as a contiguous [depth, width] block.
//   element (k, unit, group) = source[k * k_stride + unit * unit_stride + group * group_stride];
// One of k_stride and unit_stride is 1.
// bfloat16: calls that fill a matrix in parts must come in the order of k and begin with an even k
// unless unit_stride is 1.
template <class T>
struct PackArgs {
  const T* source;
  int64_t k_stride, unit_stride, group_stride;
  int64_t units, groups;
  int64_t depth;             // of the whole packed matrix
  int64_t k_begin, k_count;  // the range of k that this call fills
  int64_t panel_begin,
      panel_end;  // which panels of units this call fills; panels = panel_count(units)
  T* packed;
};

// C[r, group, unit] (+)= sum_k A[r, k] * B[k, group, unit] (+ bias[group, unit]).
// A's row is `segments` runs of `segment_length` elements, `segment_stride` apart; depth = segments
// * segment_length.
template <class T>
struct ProductArgs {
  const T* a;
  int64_t a_row, segments, segment_length, segment_stride;
  T* scratch;  // bfloat16: [rows, pairs_row(depth)]
  const T* b;  // packed
  int64_t rows, units, groups;
  T* c;
  int64_t c_row, c_group;
  const T* bias;  // [groups] rows, bias_group apart, or null
  int64_t bias_group;
  bool accumulate;
  bool lone;                       // one row of a batch of one sequence; few units use more chains
  int64_t panel_begin, panel_end;  // which panels of units to compute
  Ahead ahead[4];
};

// C[m, n] += sum_k A[k, m] * B[k, n]: a weight gradient. A and B hold a block of rows k. The
// block's sum starts from zero and is added to C once.
template <class T>
struct OuterArgs {
  const T* a;  // [depth, columns_a], a_row apart
  int64_t a_row, depth;
  // B is either packed (one group, b_row = 0) or given as internal rows, b_row apart, in runs of
  // run_length rows, b_run apart. bfloat16: packed only.
  const T* b;
  int64_t b_row, run_length, b_run;
  int64_t columns_a, units;
  T* c;  // [columns_a, units], c_row apart
  int64_t c_row;
};

// Options beyond the plain cell. Plain cells have none, and their steps pay nothing for them.
template <class T>
struct CellOptions {
  bool coupled;       // LSTM: gates i g o, f = 1 - i
  bool reset_before;  // GRU: two stages, first r and z, then n
  int stage;          // the current stage, if there are two
  T alpha;            // RNN: leak; 1: none
  const T* alphas;    // RNN: leak of each unit [H]; null: alpha
  // LSTM: p_i, p_f, p_o (coupled: p_i, p_o) [H], plane_stride apart; null: none
  const T* peephole;
  int64_t peephole_sums, gain_c_sums;  // the dz planes that sum to gradients (CellShape)
  // Zoneout: the part of the state that is kept, 0 or 1 (or the probability) [rows, H], keep_row
  // apart (0 if all rows share one); null: no zoneout.
  const T* keep_h;
  const T* keep_c;
  int64_t keep_row;
  // Layer normalisation. Forward, z [rows, gates, H] is the normalised product with W_hh, and the
  // step itself multiplies nothing.
  bool norm;
  const T* z;
  int64_t z_row;
  const T* gain_c;  // LSTM: of LN(c_t) [H]
  const T* bias_c;
  // GRU with the reset before the product, backward. On entry: W_hn^T da_n; on return: that times
  // r.
  T* reset_carry;  // [rows, H], state_row apart
};

template <class T>
struct Tiles;  // simd/tile.h

// One time step forward for some rows of the batch: the product with the packed recurrent weights,
// then the cell, panel by panel of units while the product is in the first-level cache. On entry
// `planes` holds the input part of the pre-activations, gate by gate (plain RNN: h holds it); on
// return, the values that the backward pass needs (cells/cell.h).
template <class T>
struct StepForwardArgs {
  const T* weights;      // packed W_hh^T: depth `depth`, units H, groups G; minGRU: unused, depth 0
  const T* bias_hidden;  // GRU: b_hn [H]; else unused
  const T* input;        // operand of the product [rows, depth], input_row apart
  int64_t input_row, depth;
  T* scratch;           // bfloat16: [rows, pairs_row(depth)], then as much for x
  const T* h_previous;  // [rows, H], state_row apart
  const T* c_previous;  // LSTM
  T* h;                 // [rows, H], h_row apart; may follow h_previous, never equal it
  int64_t h_row;
  T* c;       // LSTM, state_row apart
  T* planes;  // [rows, planes, H], planes_row apart, plane_stride between planes
  int64_t state_row, planes_row, plane_stride;
  int64_t rows, units;
  int64_t panel_begin, panel_end;  // panels of units to compute
  bool lone;                       // a batch of one sequence (ProductArgs)
  Activation activation;           // RNN
  const CellOptions<T>* options;   // null: the plain cell, unless the activation saves its slope
  // The input, if the step multiplies it too; `planes` (or h) are then undefined on entry. Null:
  // they hold the input part of the pre-activations.
  const T* x;              // [rows, x_depth], x_row apart
  const T* input_weights;  // packed W_ih^T: depth x_depth, units H, groups G
  const T* bias;           // [G] planes
  int64_t x_row, x_depth;
  T* y;  // a copy of h for the caller [rows, H], y_row apart; null: none
  int64_t y_row;
  // For use between kernels: the operands of W_hh if they are not `input` itself, and their tiles.
  const Tiles<T>* tiles;
  const T* operands;
  int64_t operands_row;
  uint64_t* ticks;  // [2]: time of the input's products and of the cell, added; null: off
};

// One pointwise time step backward for some rows: from the total dL/dh_t (dh) and the gradient that
// flows into c_t (dc) to the pre-activation gradients dz. In place: dc becomes dL/dc_{t-1}. Cells
// with a direct path (GRU, leak, zoneout) replace dh by its direct share of dL/dh_{t-1}, and the
// product with W_hh, if any, is added to it. Other cells do not change dh, and the product
// overwrites it.
template <class T>
struct StepBackwardArgs {
  const T* input;  // GRU, reset before the product: operand of the product, input_row apart
  int64_t input_row;
  const T* h_previous;  // [rows, H], saved_row apart
  const T* c_previous;
  const T* h;
  const T* c;
  const T* planes;
  // saved_row: the row length of h_previous, c_previous, h and c. saved_row, input_row and
  // planes_row are 0 if all rows read the same one.
  int64_t saved_row, state_row, planes_row, plane_stride;
  const T* dy;  // added to dh first [rows, H], dy_row apart, exactly H elements; null: nothing
  int64_t dy_row;
  T* dh;  // [rows, H], state_row apart
  T* dc;
  T* dz;  // [rows, dz planes, H], dz_row apart, plane_stride between planes
  int64_t dz_row;
  int64_t rows, units;
  Activation activation;
  T clip;  // clamp |dz| to this; 0: off
  // Per row, the norms of the total dL/dh_t and (LSTM) dL/dc_t; null: off.
  double* flow_h;
  double* flow_c;
  double* flow_a;  // plain RNN: the norm of dL/da_t; null: off
  T* total_c;      // LSTM: receives the total dL/dc_t [rows, H], state_row apart; null: off
  const CellOptions<T>* options;
};

// Layer normalisation of rows of `gates` x `units` elements: hat = (z - mean) / sqrt(variance +
// 1e-5) over the whole row, z = gain hat + bias (Ba, Kiros & Hinton 2016).
template <class T>
struct NormArgs {
  T* z;  // forward: in place. [rows, gates, units], z_row apart
  int64_t z_row;
  const T* gain;  // [gates, units]
  const T* bias;  // forward, or null
  T* hat;         // [rows, gates, units], hat_row apart: written forward, read backward
  T* inverse;     // 1 / sqrt(variance + 1e-5), one per row, hat_row apart
  int64_t hat_row;
  // Backward, with planes z_row apart from row to row: from da = dL/d(gain hat), whose plane p
  // belongs to gate gate_of[p], to dL/dz before the normalisation (dz) and to the terms of the
  // gain's gradient (dgain).
  const T* da;
  T* dz;
  T* dgain;
  const int64_t* gate_of;
  int64_t rows, gates, units, plane_stride;
};

// Update rules for parameters (simd/update.h).
enum class Update { sgd, adagrad, adam, rmsprop, graves, lion };

// Optimisers: one pass over elements of the flat vectors. `scale` multiplies the gradient first, in
// double precision.
template <class T>
struct UpdateArgs {
  T* parameter;
  const T* gradient;
  T* moments[3];  // as the update rule defines them; null if unused
  int64_t count;
  double scale, lr, momentum, beta1, beta2, alpha, eps, weight_decay;
  double least;                     // lower bound of denominators: 0, or above 0 if eps is 0
  double correction1, correction2;  // Adam: 1 - beta1^t, 1 - beta2^t
  bool nesterov;                    // SGD
  bool first;                       // SGD: the momentum buffer is empty
};

// The form of packed weights: that of the other operands or, in products of one row, narrower.
enum class Weights { as_computed, bfloat16, int8 };

template <class T>
struct Kernels {
  int64_t lanes;    // elements of a vector; a panel is up to 2 * lanes units
  bool pairs;       // operands of products are rounded to bfloat16
  Weights weights;  // narrow: `outer` is null, and packings are transposed and of a whole matrix

  void (*pack)(const PackArgs<T>&);
  void (*product)(const ProductArgs<T>&);
  void (*outer)(const OuterArgs<T>&);
  void (*step_forward[kCellCount])(const StepForwardArgs<T>&);    // by Cell
  void (*step_backward[kCellCount])(const StepBackwardArgs<T>&);  // by Cell
  void (*norm_forward)(const NormArgs<T>&);
  void (*norm_backward)(const NormArgs<T>&);

  // total[n] += the sum over rows of a[rows, n]
  void (*add_column_sums)(const T* a, int64_t a_row, int64_t rows, int64_t n, T* total);
  // b[c, r] += a[r, c]
  void (*add_transposed)(const T* a, int64_t a_row, int64_t rows, int64_t columns, T* b,
                         int64_t b_row);
  // a[n] += b[n]
  void (*add)(T* a, const T* b, int64_t n);
  // a[n] += b[n] * c[n]
  void (*add_products)(T* a, const T* b, const T* c, int64_t n);
  // a[n] = b[n] * c[n]
  void (*multiply)(T* a, const T* b, const T* c, int64_t n);
  // a[n] = kept[n] ? a[n] : 0; kept[n] is 0 or 1
  void (*keep)(T* a, const uint8_t* kept, int64_t n);
  // a[n] = max(a[n], 0); NaN stays
  void (*raise_to_zero)(T* a, int64_t n);
  // a[n] *= factor, computed in double precision
  void (*scale)(T* a, int64_t n, double factor);
  // Clamps to [-bound, bound]; NaN stays NaN. Returns the number of elements changed.
  int64_t (*clamp)(T* a, int64_t n, double bound);
  // The sum of squares in double precision: four chains, added at the end. It may overflow or
  // underflow for double input.
  double (*sum_squares)(const T* a, int64_t n);
  // The sum of |a| in double precision, likewise.
  double (*sum_magnitudes)(const T* a, int64_t n);
  // The sum of a[i] b[i]: four chains, added at the end.
  double (*dot)(const T* a, const T* b, int64_t n);
  // a[n] += factor * b[n]
  void (*add_scaled)(T* a, const T* b, int64_t n, double factor);
  // g[n] += l1 sign(w[n]) + 2 l2 w[n], with sign(0) = 0
  void (*add_penalty)(T* g, const T* w, int64_t n, double l1, double l2);
  // The largest |a|; NaN if any element is NaN.
  double (*max_abs)(const T* a, int64_t n);

  // Softmax cross-entropy of one row. In place: logits [n] become (softmax(logits) -
  // onehot(target)) * factor. Returns *largest = max(logits), *sum = sum exp(logits - largest) and
  // *chosen, the original logits[target].
  void (*softmax_row)(T* logits, int64_t n, int64_t target, double factor, double* largest,
                      double* sum, double* chosen);

  void (*update[6])(const UpdateArgs<T>&);  // by Update

  // The activation of an RNN: map_activation computes out[n] = f(in[n]). map_slope computes f'(a)
  // from the value that the cell saves: in[n] = a if the slope is saved (saves_slope), else in[n] =
  // f(a).
  void (*map_activation)(Activation activation, const T* in, T* out, int64_t n);
  void (*map_slope)(Activation activation, const T* in, T* out, int64_t n);
  // out[n] = exp(in[n]), for tests.
  void (*map_exp)(const T* in, T* out, int64_t n);
};

struct KernelTable {
  const char* name;  // "avx2"
  Kernels<float> f32;
  Kernels<double> f64;
  Kernels<float> bf16;  // f32 except for pack, product, outer and step_forward
  Kernels<float> bf16_weights, int8_weights;  // the same, for one row
};

// The operands of products: the elements as stored, or rounded to bfloat16.
enum class Compute { as_stored, bfloat16 };

// Narrow weights (float only) take the place of `compute`.
template <class T>
const Kernels<T>& kernels_of(const KernelTable& table, Compute compute = Compute::as_stored,
                             Weights weights = Weights::as_computed);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelTable& table, Compute compute,
                                               Weights weights) {
  if (weights == Weights::bfloat16) return table.bf16_weights;
  if (weights == Weights::int8) return table.int8_weights;
  return compute == Compute::bfloat16 ? table.bf16 : table.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelTable& table, Compute, Weights) {
  return table.f64;
}

// The bytes of a piece of an Ahead: a row of a panel, and a cache line at least.
template <class T>
inline int64_t fetched_bytes(const Kernels<T>& kernels) {
  const int64_t bytes = 2 * kernels.lanes * int64_t(sizeof(T));
  return bytes > 64 ? bytes : 64;
}

// The geometry of packed matrices.
template <class T>
inline int64_t panel_count(const Kernels<T>& kernels, int64_t units) {
  return (units + 2 * kernels.lanes - 1) / (2 * kernels.lanes);
}
template <class T>
inline int64_t packed_size(const Kernels<T>& kernels, int64_t depth, int64_t units,
                           int64_t groups) {
  int64_t steps = depth;
  if (kernels.pairs || kernels.weights == Weights::bfloat16) steps = (depth + 1) / 2;
  if (kernels.weights == Weights::int8) steps = (depth + 3) / 4 + 1;  // and a step of scales
  return steps * groups * ((units + kernels.lanes - 1) / kernels.lanes * kernels.lanes);
}

// Defined in dispatch.cpp: the names of this build's tables that the CPU can run, best first, valid
// for the life of the process; and the table in use (null if BPTT_ISA names none of them).
const char* const* available_kernels(int64_t* count);
const KernelTable* active_kernels();
bool use_kernels(const char* name);  // null: return to the choice at start

// Updates the state [8] of a SHA-256 with `blocks` blocks of 64 bytes, given the constants of its
// rounds [64]. sha256_blocks (dispatch.cpp) returns the version that uses the CPU's own
// instructions, or null if it has none. BPTT_ISA has no influence, since the result is the same.
using Sha256Blocks = void (*)(uint32_t* state, const uint32_t* rounds, const void* data,
                              size_t blocks);
Sha256Blocks sha256_blocks();

}  // namespace bptt
