// block.h: the parts of a walk: a part of the batch, a range of its steps, and their rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/pool.h"
#include "kernels/kernels.h"
#include "sequence/order.h"
#include "sequence/products.h"

namespace bptt {

template <class T>
struct FlowRecord;  // calls.h

// A backward pass divides the batch into at most this number of parts.
constexpr int64_t kMostShards = 4;

// A part of the batch that a backward pass walks separately, sequences [begin, end), and the arrays
// that it adds to or writes.
template <class T>
struct Shard {
  int64_t index = 0, begin = 0, end = 0;
  T* gradients = nullptr;
  T* table_gradient = nullptr;
  double* flow[3] = {};  // [L * D, T]: norms of dL/dh_t, dL/dc_t, dL/da_t; null: not wanted
  FlowRecord<T>* record = nullptr;  // null: nothing is recorded
  bool shared = false;              // all rows belong to the one sequence `begin` (Seeds)

  // The tape's index of row n of the part, and the end of a range of rows that ends before row n.
  int64_t place(int64_t n) const { return shared ? begin : begin + n; }
  int64_t place_end(int64_t n) const { return shared ? end : begin + n; }
};

// Steps [first, last) of a part of the batch (forward: of all of it), whose rows `order` numbers.
// Rows of a block count from its first step.
template <class T>
struct Block {
  const Order* order;
  const Order* all;  // of the tape
  int64_t first, last;
  int64_t counted;  // backward: the first step whose losses this block counts
  // Outputs of the top layer: rows from step `first` on, numbered by top_order; those of the part
  // start at top_begin.
  const T* top;
  int64_t top_row_length, top_begin;
  const Order* top_order;
  Shard<T> shard;

  int64_t rows() const { return order->first(last) - order->first(first); }
  int64_t row(int64_t t) const { return order->first(t) - order->first(first); }
  const T* top_rows(int64_t t) const {
    return top + (top_order->first(t) - top_order->first(first) + top_begin) * top_row_length;
  }
};

// Calls body(row, t, n) for rows [begin, end) of a block, with n counted within its part.
template <class T, class Body>
void for_rows(const Block<T>& block, int64_t begin, int64_t end, const Body& body) {
  const Order& order = *block.order;
  const bool uniform = order.uniform();
  const int64_t skipped = uniform ? begin / order.batch() : 0;
  int64_t at = skipped * order.batch();  // the step's first row
  for (int64_t t = block.first + skipped; t < block.last && at < end; ++t) {
    const int64_t live = uniform ? order.batch() : order.live(t), stop = std::min(live, end - at);
    for (int64_t n = begin > at ? begin - at : 0; n < stop; ++n) body(at + n, t, n);
    at += live;
  }
}

// Packs the rows of a block (unit by unit, `row_length` apart) as the right-hand side of a product over
// them; a team shares the panels. at(t) is the first row of step t; `joined`: the rows of all steps
// are contiguous.
template <class T, class At>
void pack_rows(const Kernels<T>& kernels, const Team& team, const Block<T>& block, bool joined,
               const At& at, int64_t row_length, int64_t units, T* packed) {
  const int64_t rows = block.rows();
  for (int64_t t = block.first; t < block.last; ++t) {
    const int64_t count = joined ? rows : block.order->live(t);
    PackArgs<T> args = packing(kernels, {at(t), row_length}, rows, units, packed);
    args.k_begin = block.row(t);
    args.k_count = count;
    pack_share(team, kernels, args);
    if (joined) return;
  }
}

}  // namespace bptt
