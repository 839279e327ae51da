// batch.h: a batch of sequences in the caller's layout (bptt.h: bptt_sequence).
#pragma once

#include <cstdint>

namespace bptt {

// Exactly one of x and tokens is not null.
template <class T>
struct Sequence {
  int64_t steps = 0, batch = 0;
  const T* x = nullptr;
  int64_t x_t = 0, x_n = 0;
  const int64_t* tokens = nullptr;
  int64_t tokens_t = 0, tokens_n = 0;
  const T* h0 = nullptr;
  const T* c0 = nullptr;
  const int64_t* lengths = nullptr;  // [N]; null: all are T
  const uint8_t* resets = nullptr;   // 1: the states before this step are initial ones
  int64_t resets_t = 0, resets_n = 0;
  uint64_t draw = 0;      // number of the set of random masks
  bool training = false;  // draw masks and noise in a pass without a tape, too
  bool noise = false;     // draw noise, but no masks, in a pass without a tape
};

}  // namespace bptt
