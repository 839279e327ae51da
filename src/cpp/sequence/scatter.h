// scatter.h: rows added to the rows of a table that their tokens name: the gradient of a gather.
// Within a block of rows, those of one token are summed first and added to the table once, in the
// order of the rows, by whichever thread owns the columns.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace bptt {

// Per block of rows: the rows' indices within the block, ordered by token, then by row.
struct SortedTokens {
  const int64_t* tokens = nullptr;
  std::vector<int32_t> order;
};

SortedTokens sort_tokens(const int64_t* tokens, int64_t count, int64_t block);

// table[token of row, :] += rows[row, :] for the block of rows that starts at `first`; `table_row`
// between rows of the table.
template <class T>
void scatter_add(const Kernels<T>& kernels, const SortedTokens& sorted, int64_t first,
                 int64_t count, const T* rows, int64_t row, int64_t columns, T* table,
                 int64_t table_row);

}  // namespace bptt
