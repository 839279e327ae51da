// order.h: in which rows a batch lies inside. Sequences are ordered by length, longest first
// (stably), so those alive at a step are the first rows of that step, and rows are numbered by step,
// then by sequence, without gaps. A batch whose sequences have one length keeps its order.
//
// A walk goes through steps 0, 1, ... of every sequence. Direction 1 reads a sequence from its own
// end: its step s is the caller's time length - 1 - s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bptt {

class Order {
 public:
  Order() = default;
  // lengths: [batch], each 1..steps, or null: all have `steps`. Throws std::bad_alloc.
  Order(int64_t steps, int64_t batch, const int64_t* lengths);

  int64_t steps() const { return steps_; }  // of the longest
  int64_t batch() const { return batch_; }
  int64_t rows() const { return first(steps_); }
  bool uniform() const { return first_.empty(); }
  int64_t first(int64_t t) const { return uniform() ? t * batch_ : first_[std::size_t(t)]; }
  int64_t live(int64_t t) const {  // sequences longer than t
    return uniform() ? (t < steps_ ? batch_ : 0) : t < steps_ ? first(t + 1) - first(t) : 0;
  }
  int64_t length(int64_t n) const { return uniform() ? steps_ : lengths_[std::size_t(n)]; }
  int64_t sequence(int64_t n) const {  // the caller's index
    return sequences_.empty() ? begin_ + n : sequences_[std::size_t(n)];
  }
  // The caller's time of step s of a walk.
  int64_t time(int64_t direction, int64_t s, int64_t n) const {
    return direction ? length(n) - 1 - s : s;
  }

  // Sequences [begin, end) as an order of their own.
  Order part(int64_t begin, int64_t end) const;
  // Where the i-th of `parts` parts of about the same number of rows begins.
  int64_t boundary(int64_t i, int64_t parts) const;
  // The first steps of the blocks of about kBlockRows rows that make up steps [begin, end), and end.
  std::vector<int64_t> blocks(int64_t begin, int64_t end) const;

 private:
  int64_t steps_ = 0, batch_ = 0, begin_ = 0;
  std::vector<int64_t> lengths_, sequences_, first_;  // empty: uniform
};

constexpr int64_t kBlockRows = 256;

}  // namespace bptt
