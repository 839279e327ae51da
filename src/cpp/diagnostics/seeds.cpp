// seeds.cpp: losses of single outputs, many side by side: rows of backward walks that share the tape.
#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "diagnostics/state_rows.h"
#include "sequence/backward/walk.h"
#include "sequence/stack.h"

namespace bptt {
namespace {

constexpr int64_t kRows = 64;           // of a walk
constexpr int64_t kKeptRows = 1 << 16;  // two directions keep rows of all steps

// Seeds in the order of their sequences and, backwards, of their times; and where each walk begins.
template <class T>
struct Groups {
  std::vector<int64_t> order, starts;

  Groups(const SeedsCall<T>& call, const Tape<T>& tape) : order(call.times.size()) {
    const auto sample = [&](int64_t i) { return call.samples[size_t(i)]; };
    const auto time = [&](int64_t i) { return call.times[size_t(i)]; };
    std::iota(order.begin(), order.end(), int64_t(0));
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return sample(a) != sample(b) ? sample(a) < sample(b) : time(a) > time(b);
    });
    for (int64_t i = 0; i < int64_t(order.size()); ++i) {
      const int64_t first = starts.empty() ? -1 : order[size_t(starts.back())];
      const int64_t own = order[size_t(i)];
      const bool opens = first < 0 || sample(own) != sample(first) ||
                         i - starts.back() >= most(tape, sample(own)) ||
                         (call.horizon && time(first) - time(own) > call.horizon + kRows);
      if (opens) starts.push_back(i);
    }
    starts.push_back(int64_t(order.size()));
  }
  int64_t count() const { return int64_t(starts.size()) - 1; }

  static int64_t most(const Tape<T>& tape, int64_t sample) {
    if (tape.config().directions() == 1) return kRows;
    return std::clamp(kKeptRows / tape.order().length(sample), int64_t(1), kRows);
  }
};

template <class T>
Seeds<T> seeds_of(const SeedsCall<T>& call, const Tape<T>& tape, const Groups<T>& groups,
                  int64_t group, int64_t row, Buffer<T>& dy) {
  const int64_t first = groups.starts[size_t(group)], end = groups.starts[size_t(group) + 1];
  const int64_t S = int64_t(call.times.size()), steps = tape.steps();
  Seeds<T> seeds;
  seeds.sample = call.samples[size_t(groups.order[size_t(first)])];
  seeds.flow_walk = S * steps;
  dy.reserve(checked_count(end - first, row));
  for (int64_t i = first; i < end; ++i) {
    const int64_t s = groups.order[size_t(i)];
    seeds.times.push_back(call.times[size_t(s)]);
    std::copy_n(call.dy + s * row, row, dy.data() + (i - first) * row);
    if (call.dx_norms) seeds.dx_norms.push_back(call.dx_norms + s * steps);
    if (call.flow) seeds.flow.push_back(call.flow + s * steps);
    if (call.flow_c) seeds.flow_c.push_back(call.flow_c + s * steps);
  }
  seeds.dy = dy.data();
  const int64_t last = *std::min_element(seeds.times.begin(), seeds.times.end());
  if (call.horizon) seeds.begin = std::max(int64_t(0), last - call.horizon + 1);
  return seeds;
}

// Zeros from the horizon on. `ends`: the loss is at the sequence's first step as well.
void cut(double* norms, int64_t steps, int64_t time, int64_t horizon, bool ends) {
  for (int64_t t = ends ? horizon : 0; t <= time - horizon; ++t) norms[t] = 0;
  for (int64_t t = std::min(steps, time + horizon); t < steps; ++t) norms[t] = 0;
}

}  // namespace

template <class T>
void Stack<T>::walk_seeds(const SeedsCall<T>& call, const Tape<T>& tape) const {
  const int64_t S = int64_t(call.times.size()), steps = tape.steps(), walks = config_.walks();
  if (call.dx_norms) std::fill_n(call.dx_norms, S * steps, 0.0);
  if (call.flow) std::fill_n(call.flow, walks * S * steps, 0.0);
  if (call.flow_c) std::fill_n(call.flow_c, walks * S * steps, 0.0);
  const Groups<T> groups(call, tape);
  const int64_t row = config_.features();
  const int64_t together = std::min(num_threads(), groups.count());
  std::atomic<bool> stop{false};
  std::vector<Buffer<T>> dy(static_cast<size_t>(together));
  for (int64_t first = 0; first < groups.count(); first += together) {
    const int64_t count = std::min(together, groups.count() - first);
    std::vector<Seeds<T>> seeds;
    for (int64_t i = 0; i < count; ++i)
      seeds.push_back(seeds_of(call, tape, groups, first + i, row, dy[size_t(i)]));
    std::vector<BackwardCall<T>> calls(static_cast<size_t>(count));
    std::vector<std::unique_ptr<BackwardWalk<T>>> backward;
    for (size_t i = 0; i < size_t(count); ++i) {
      calls[i].packed = call.packed;
      calls[i].ends = call.ends;
      calls[i].seeds = &seeds[i];
      const int64_t sample = seeds[i].sample;
      const Shard<T> shard{0,       sample,  sample + 1, nullptr, nullptr,
                           nullptr, nullptr, nullptr,    true};
      backward.push_back(std::make_unique<BackwardWalk<T>>(config_, geometry_, offsets_, calls[i],
                                                           tape, *call.packed, shard, stop));
    }
    run_team(count, [&](const Team& team) {
      for (int64_t i = team.begin(count); i < team.end(count); ++i)
        backward[size_t(i)]->run(Team{0, 1, nullptr}, team.index == 0);
    });
    if (stop.load()) stop_call();
  }
  for (int64_t s = 0; call.horizon && s < S; ++s) {
    const int64_t time = call.times[size_t(s)];
    const auto cut_row = [&](double* rows, int64_t index) {
      if (rows) cut(rows + index * steps, steps, time, call.horizon, call.ends);
    };
    cut_row(call.dx_norms, s);
    for (int64_t w = 0; w < walks; ++w) {
      cut_row(call.flow, w * S + s);
      cut_row(call.flow_c, w * S + s);
    }
  }
}

template <class T>
std::shared_ptr<StateRows<T>> Stack<T>::state_rows(std::shared_ptr<const Packed<T>> packed,
                                                   const Tape<T>& tape, int64_t walk,
                                                   int64_t sample, int64_t rows) const {
  return std::make_shared<StateRows<T>>(config_, geometry_, offsets_, tape, std::move(packed), walk,
                                        sample, rows);
}

#define BPTT_INSTANTIATE(T)                                                      \
  template void Stack<T>::walk_seeds(const SeedsCall<T>&, const Tape<T>&) const; \
  template std::shared_ptr<StateRows<T>> Stack<T>::state_rows(                   \
      std::shared_ptr<const Packed<T>>, const Tape<T>&, int64_t, int64_t, int64_t) const;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
