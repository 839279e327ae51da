// chunks.h: a vector in chunks, so that sums over it do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/pool.h"

namespace bptt {

constexpr int64_t kChunk = 16384;  // elements per partial sum, for any number of threads

// Calls body(chunk, offset, length) for every chunk of a vector, on a team of threads.
template <class Body>
void for_chunks(int64_t count, const Body& body) {
  const int64_t chunks = (count + kChunk - 1) / kChunk;
  run_team(count / kElementsPerThread, [&](const Team& team) {
    for (int64_t i = team.begin(chunks); i < team.end(chunks); ++i) {
      body(i, i * kChunk, std::min(kChunk, count - i * kChunk));
    }
  });
}

// Returns f(offset, length) of every chunk, in order.
template <class F>
std::vector<double> of_chunks(int64_t count, const F& f) {
  std::vector<double> results(static_cast<size_t>((count + kChunk - 1) / kChunk));
  for_chunks(count, [&](int64_t chunk, int64_t offset, int64_t length) {
    results[static_cast<size_t>(chunk)] = f(offset, length);
  });
  return results;
}

// Returns the sum of f(offset, length) of all chunks, in order.
template <class F>
double sum_of_chunks(int64_t count, const F& f) {
  double total = 0;
  for (const double value : of_chunks(count, f)) total += value;
  return total;
}

}  // namespace bptt
