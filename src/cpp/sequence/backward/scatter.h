// scatter.h: the addition of rows to the table rows that their tokens select, the gradient of a
// gather. Within a block, the rows of one token are summed first, in order, and added to the table
// once, by the thread that owns the columns.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace bptt {

// The rows of a block, ordered by token, then by row.
struct SortedTokens {
  std::vector<int64_t> tokens;  // of the rows
  std::vector<int32_t> order;
  void sort();  // sets order
};

// table[token of row, :] += rows[row, :] for the rows of the block. table_row is the distance
// between rows of the table.
template <class T>
void scatter_add(const Kernels<T>& kernels, const SortedTokens& sorted, const T* rows, int64_t row,
                 int64_t columns, T* table, int64_t table_row);

}  // namespace bptt
