// order.h: the order of the rows of a batch. Sequences are ordered by length, longest first
// (stably), so the sequences alive at a step are the first rows of that step. Rows are numbered by
// step, then by sequence, without gaps. A batch whose sequences have equal lengths keeps its order.
//
// A walk goes through steps 0, 1, ... of every sequence. Direction 1 reads a sequence from its end:
// its step s is the caller's time length - 1 - s.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bptt {

// Steps divided into blocks of about kBlockRows rows.
constexpr int64_t kBlockRows = 256;
class Blocks {
 public:
  Blocks(int64_t begin, int64_t end, int64_t steps) : begin_(begin), end_(end), steps_(steps) {}
  Blocks(std::vector<int64_t> starts) : starts_(std::move(starts)) {}
  int64_t count() const {
    if (!starts_.empty()) return int64_t(starts_.size()) - 1;
    return (end_ - begin_ + steps_ - 1) / steps_;
  }
  int64_t first(int64_t i) const {
    return starts_.empty() ? begin_ + i * steps_ : starts_[std::size_t(i)];
  }
  int64_t last(int64_t i) const {
    return starts_.empty() ? std::min(end_, begin_ + (i + 1) * steps_)
                           : starts_[std::size_t(i) + 1];
  }

 private:
  int64_t begin_ = 0, end_ = 0, steps_ = 1;
  std::vector<int64_t> starts_;  // the start of each block and the end, for sequences with lengths
};

class Order {
 public:
  Order() = default;
  // lengths: [batch], each 1..steps; null: all are `steps`. Throws std::bad_alloc.
  Order(int64_t steps, int64_t batch, const int64_t* lengths);

  int64_t steps() const { return steps_; }  // of the longest
  int64_t batch() const { return batch_; }
  int64_t rows() const { return first(steps_); }
  int64_t block_rows() const {  // of the largest block
    return std::min(rows(), std::max(batch_, kBlockRows));
  }
  bool uniform() const { return !ragged_; }
  int64_t first(int64_t t) const { return uniform() ? t * batch_ : first_[std::size_t(t)]; }
  int64_t live(int64_t t) const {  // sequences longer than t
    return uniform() ? (t < steps_ ? batch_ : 0) : t < steps_ ? first(t + 1) - first(t) : 0;
  }
  int64_t length(int64_t n) const { return uniform() ? steps_ : lengths_[std::size_t(n)]; }
  int64_t sequence(int64_t n) const {  // the caller's index
    return uniform() ? begin_ + n : sequences_[std::size_t(n)];
  }
  // Returns the caller's time of step s of a walk.
  int64_t time(int64_t direction, int64_t s, int64_t n) const {
    return direction ? length(n) - 1 - s : s;
  }

  // Returns an order of sequences [begin, end) alone.
  Order part(int64_t begin, int64_t end) const;
  // Returns the start of part i when `parts` parts have about the same number of rows.
  int64_t boundary(int64_t i, int64_t parts) const;
  Blocks blocks(int64_t begin, int64_t end) const;  // of steps [begin, end)

 private:
  int64_t steps_ = 0, batch_ = 0, begin_ = 0;
  bool ragged_ = false;
  std::vector<int64_t> lengths_, sequences_, first_;  // empty: uniform
};

}  // namespace bptt
