// pace.h: cancellation checks for long work.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/pool.h"

namespace bptt {

// Checks for cancellation at once, then about every ten milliseconds of work.
class Pace {
 public:
  void did(double operations) {
    done_ += operations;
    if (done_ < kOften) return;
    done_ = 0;
    if (cancelled()) stop_call();
  }

 private:
  static constexpr double kOften = 5e7;
  double done_ = kOften;
};

constexpr size_t kPiece = size_t{1}
                          << 20;  // bytes that are read, written, copied or hashed at once
constexpr double kOperationsPerByte = 10;

// Calls body(begin, count) for the pieces of `size` bytes in order.
template <class Body>
void in_pieces(size_t size, Pace& pace, const Body& body) {
  for (size_t begin = 0; begin < size; begin += kPiece) {
    const size_t count = std::min(kPiece, size - begin);
    pace.did(kOperationsPerByte * static_cast<double>(count));
    body(begin, count);
  }
}

}  // namespace bptt
