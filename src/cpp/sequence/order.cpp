// order.cpp: the steps' first rows, parts of a batch, and blocks of steps.
#include "sequence/order.h"

#include <numeric>

namespace bptt {

Order::Order(int64_t steps, int64_t batch, const int64_t* lengths) : steps_(steps), batch_(batch) {
  if (!lengths || std::all_of(lengths, lengths + batch, [steps](int64_t l) { return l == steps; }))
    return;
  ragged_ = true;
  sequences_.resize(size_t(batch));
  std::iota(sequences_.begin(), sequences_.end(), int64_t(0));
  std::stable_sort(sequences_.begin(), sequences_.end(),
                   [lengths](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  for (const int64_t n : sequences_) lengths_.push_back(lengths[n]);
  steps_ = lengths_.front();
  first_.assign(size_t(steps_) + 1, 0);
  int64_t alive = batch;
  for (int64_t t = 0; t < steps_; ++t) {
    while (lengths_[size_t(alive - 1)] <= t) --alive;
    first_[size_t(t) + 1] = first_[size_t(t)] + alive;
  }
}

Order Order::part(int64_t begin, int64_t end) const {
  Order order;
  order.batch_ = end - begin;
  order.steps_ = length(begin);
  order.begin_ = begin_ + begin;
  if (uniform()) return order;
  order.ragged_ = true;
  order.lengths_.assign(lengths_.begin() + begin, lengths_.begin() + end);
  order.sequences_.assign(sequences_.begin() + begin, sequences_.begin() + end);
  order.first_.assign(size_t(order.steps_) + 1, 0);
  for (int64_t t = 0; t < order.steps_; ++t) {
    const int64_t alive = std::clamp(live(t) - begin, int64_t(0), order.batch_);
    order.first_[size_t(t) + 1] = order.first_[size_t(t)] + alive;
  }
  return order;
}

int64_t Order::boundary(int64_t i, int64_t parts) const {
  if (uniform()) return batch_ * i / parts;
  const int64_t wanted = rows() / parts * i + rows() % parts * i / parts;
  int64_t n = 0;
  for (int64_t before = 0; n < batch_ && before + length(n) <= wanted; ++n) before += length(n);
  return std::clamp(n, i, batch_ - (parts - i));  // no part is empty
}

Blocks Order::blocks(int64_t begin, int64_t end) const {
  if (uniform()) return {begin, end, batch_ >= kBlockRows ? 1 : kBlockRows / batch_};
  std::vector<int64_t> starts;
  for (int64_t t = begin; t < end;) {
    starts.push_back(t);
    const int64_t from = first(t);
    ++t;
    while (t < end && first(t + 1) - from <= kBlockRows) ++t;
  }
  starts.push_back(end);
  return starts;
}

}  // namespace bptt
