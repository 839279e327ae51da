// scatter.cpp: the sorting of a block's tokens, and the sums of the rows of each.
#include "sequence/backward/scatter.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace bptt {

void SortedTokens::sort() {
  order.resize(tokens.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    const int64_t of_a = tokens[size_t(a)], of_b = tokens[size_t(b)];
    return of_a != of_b ? of_a < of_b : a < b;
  });
}

template <class T>
void scatter_add(const Kernels<T>& kernels, const SortedTokens& sorted, const T* rows, int64_t row,
                 int64_t columns, T* table, int64_t table_row) {
  constexpr int64_t kColumns = 1024;  // of the running sum, which stays in the first-level cache
  alignas(kAlignment) T sum[kColumns];
  const int32_t* order = sorted.order.data();
  const int64_t* tokens = sorted.tokens.data();
  const int64_t count = int64_t(sorted.tokens.size());
  for (int64_t column = 0; column < columns; column += kColumns) {
    const int64_t width = std::min(kColumns, columns - column);
    for (int64_t i = 0; i < count;) {
      const int64_t token = tokens[order[i]];
      std::memcpy(sum, rows + order[i] * row + column, size_t(width) * sizeof(T));
      for (++i; i < count && tokens[order[i]] == token; ++i)
        kernels.add(sum, rows + order[i] * row + column, width);
      kernels.add(table + token * table_row + column, sum, width);
    }
  }
}

template void scatter_add(const Kernels<float>&, const SortedTokens&, const float*, int64_t,
                          int64_t, float*, int64_t);
template void scatter_add(const Kernels<double>&, const SortedTokens&, const double*, int64_t,
                          int64_t, double*, int64_t);

}  // namespace bptt
