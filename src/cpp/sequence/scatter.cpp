#include "sequence/scatter.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace bptt {

SortedTokens sort_tokens(const int64_t* tokens, int64_t count, int64_t block) {
  SortedTokens sorted;
  sorted.tokens = tokens;
  sorted.order.resize(size_t(count));
  for (int64_t first = 0; first < count; first += block) {
    const auto begin = sorted.order.begin() + first;
    const auto end = sorted.order.begin() + std::min(first + block, count);
    std::iota(begin, end, 0);
    std::sort(begin, end, [at = tokens + first](int32_t a, int32_t b) {
      return at[a] != at[b] ? at[a] < at[b] : a < b;
    });
  }
  return sorted;
}

template <class T>
void scatter_add(const Kernels<T>& kernels, const SortedTokens& sorted, int64_t first,
                 int64_t count, const T* rows, int64_t row, int64_t columns, T* table,
                 int64_t table_row) {
  constexpr int64_t kColumns = 1024;  // of the running sum, which stays in the first-level cache
  alignas(kAlignment) T sum[kColumns];
  const int32_t* order = sorted.order.data() + first;
  const int64_t* tokens = sorted.tokens + first;
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

template void scatter_add(const Kernels<float>&, const SortedTokens&, int64_t, int64_t,
                          const float*, int64_t, int64_t, float*, int64_t);
template void scatter_add(const Kernels<double>&, const SortedTokens&, int64_t, int64_t,
                          const double*, int64_t, int64_t, double*, int64_t);

}  // namespace bptt
