// scatter.h: rows added to the rows of a table that their tokens name: the gradient of a gather. Within
// a block of rows, those of one token are summed first and added to the table once, in the order of
// the rows, by whichever thread owns the columns.
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

// table[token of row, :] += rows[row, :] for the rows of the block; `table_row` between rows of the
// table.
template <class T>
void scatter_add(const Kernels<T>& kernels, const SortedTokens& sorted, const T* rows, int64_t row,
                 int64_t columns, T* table, int64_t table_row);

}  // namespace bptt
