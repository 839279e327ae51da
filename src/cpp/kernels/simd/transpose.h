// transpose.h: transposition of a square of vectors in registers.
#pragma once

#include "kernels/simd/vec.h"

namespace bptt {
namespace {

// a[0] b[0] a[1] b[1] ... from the first (LAST: the last) halves.
template <class T, bool LAST>
BPTT_INLINE typename Vec<T>::V interleave(typename Vec<T>::V a, typename Vec<T>::V b) {
  constexpr int lanes = kLanes<T>, from = LAST ? lanes / 2 : 0;
#if defined(__clang__)
  typename Vec<T>::V v;
  for (int i = 0; i < lanes; ++i) v[i] = (i % 2 ? b : a)[from + i / 2];
  return v;
#else
  typename Vec<T>::Ints order;
  for (int i = 0; i < lanes; ++i) order[i] = from + i / 2 + (i % 2 ? lanes : 0);
  return __builtin_shuffle(a, b, order);
#endif
}

// Turns rows into columns: interleave each row with the row half the square further on, once for
// each bit of a row's number.
template <class T>
BPTT_INLINE void transpose(typename Vec<T>::V (&row)[kLanes<T>]) {
  constexpr int lanes = kLanes<T>;
  typename Vec<T>::V other[lanes];
#pragma GCC unroll 4
  for (int bit = 1; bit < lanes; bit *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes / 2; ++i) {
      other[2 * i] = interleave<T, false>(row[i], row[i + lanes / 2]);
      other[2 * i + 1] = interleave<T, true>(row[i], row[i + lanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) row[i] = other[i];
  }
}

}  // namespace
}  // namespace bptt
