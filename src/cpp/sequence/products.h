// products.h: the arguments of packings and products in their usual forms. The caller sets any
// further fields.
#pragma once

#include <cstdint>

#include "base/pool.h"
#include "kernels/kernels.h"

namespace bptt {

// Internal rows, `row` elements apart.
template <class T>
struct Rows {
  T* first;
  int64_t row;
};

// Returns arguments that pack B [depth, units] unchanged, for all panels.
template <class T>
PackArgs<T> packing(const Kernels<T>& kernels, Rows<const T> b, int64_t depth, int64_t units,
                    T* packed) {
  PackArgs<T> p{};
  p.source = b.first;
  p.k_stride = b.row;
  p.unit_stride = 1;
  p.units = units;
  p.groups = 1;
  p.depth = p.k_count = depth;
  p.panel_end = panel_count(kernels, units);
  p.packed = packed;
  return p;
}

// Returns the same for W^T, with W [groups, units, depth] without gaps.
template <class T>
PackArgs<T> transposed_packing(const Kernels<T>& kernels, const T* w, int64_t depth, int64_t units,
                               int64_t groups, T* packed) {
  PackArgs<T> p = packing(kernels, {w, 1}, depth, units, packed);
  p.unit_stride = depth;
  p.group_stride = units * depth;
  p.groups = groups;
  return p;
}

// Packs a member's share of the panels.
template <class T>
void pack_share(const Team& team, const Kernels<T>& kernels, PackArgs<T> args) {
  const int64_t panels = args.panel_end;
  args.panel_begin = team.begin(panels);
  args.panel_end = team.end(panels);
  kernels.pack(args);
}

// Returns arguments for C [rows, units] = A [rows, depth] B, with B packed, for all panels of one
// group.
template <class T>
ProductArgs<T> product_args(const Kernels<T>& kernels, int64_t rows, int64_t depth, int64_t units,
                            Rows<const T> a, const T* b, Rows<T> c, T* scratch) {
  ProductArgs<T> p{};
  p.a = a.first;
  p.a_row = a.row;
  p.segments = 1;
  p.segment_length = depth;
  p.scratch = scratch;
  p.b = b;
  p.rows = rows;
  p.units = units;
  p.groups = 1;
  p.c = c.first;
  p.c_row = c.row;
  p.panel_end = panel_count(kernels, units);
  return p;
}

}  // namespace bptt
