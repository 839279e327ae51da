// seeds.cpp: grouping of single losses into backward passes over one sequence each.
#include "diagnostics/seeds.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <vector>

#include "sequence/backward/walk.h"

namespace bptt {
namespace {

constexpr int64_t kMostRows = 64;  // rows of one backward pass at most
// With two directions a pass keeps its rows of all steps: rows times steps at most, unless one row
// alone has more.
constexpr int64_t kMostKept = 1 << 16;

// Seeds sorted by sequence and by descending time, and the first seed of each backward pass.
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
      const int64_t seed = order[size_t(i)];
      // A pass walks all of its rows back to the horizon of the earliest seed. A seed that is long
      // before the first one would add steps to it whose norms `cut` sets to zero, so it opens a
      // new pass.
      const bool opens = first < 0 || sample(seed) != sample(first) ||
                         i - starts.back() >= rows_at_most(tape, sample(seed)) ||
                         (call.horizon && time(first) - time(seed) > call.horizon + kMostRows);
      if (opens) starts.push_back(i);
    }
    starts.push_back(int64_t(order.size()));
  }
  int64_t count() const { return int64_t(starts.size()) - 1; }

  static int64_t rows_at_most(const Tape<T>& tape, int64_t sample) {
    if (tape.config().directions() == 1) return kMostRows;
    return std::clamp(kMostKept / tape.order().length(sample), int64_t(1), kMostRows);
  }
};

template <class T>
Seeds<T> seeds_of(const SeedsCall<T>& call, const Tape<T>& tape, const Groups<T>& groups,
                  int64_t group, const T* dy, Buffer<T>& own_dy) {
  const int64_t row = tape.config().features();
  const int64_t first = groups.starts[size_t(group)], end = groups.starts[size_t(group) + 1];
  const int64_t S = int64_t(call.times.size()), steps = tape.steps();
  Seeds<T> seeds;
  seeds.sample = call.samples[size_t(groups.order[size_t(first)])];
  seeds.flow_walk = S * steps;
  own_dy.reserve(checked_count(end - first, row));
  for (int64_t i = first; i < end; ++i) {
    const int64_t s = groups.order[size_t(i)];
    seeds.times.push_back(call.times[size_t(s)]);
    std::copy_n(dy + s * row, row, own_dy.data() + (i - first) * row);
    if (call.dx_norms) seeds.dx_norms.push_back(call.dx_norms + s * steps);
    if (call.flow) seeds.flow.push_back(call.flow + s * steps);
    if (call.flow_c) seeds.flow_c.push_back(call.flow_c + s * steps);
  }
  seeds.dy = own_dy.data();
  const int64_t earliest = *std::min_element(seeds.times.begin(), seeds.times.end());
  if (call.horizon) seeds.begin = std::max(int64_t(0), earliest - call.horizon + 1);
  return seeds;
}

// Writes zeros at steps that are `horizon` or more away from `time`. With `ends` the output also
// reads the second direction's state at step 0, so the first `horizon` steps keep their values.
void cut(double* norms, int64_t steps, int64_t time, int64_t horizon, bool ends) {
  for (int64_t t = ends ? horizon : 0; t <= time - horizon; ++t) norms[t] = 0;
  for (int64_t t = std::min(steps, time + horizon); t < steps; ++t) norms[t] = 0;
}

// Returns dL_s/dh of the top layer, [S, D * R]; empty if the caller passed it.
template <class T>
Buffer<T> top_gradients(const Network<T>& network, const SeedsCall<T>& call, const Tape<T>& tape) {
  const NetworkConfig& config = network.config();
  const int64_t S = int64_t(call.times.size()), row = config.features(), O = config.output;
  if (!O && call.dy) return {};
  Buffer<T> scratch, dy = Buffer<T>::zeros(checked_count(S, row));
  for (int64_t s = 0; s < S; ++s) {
    T* dy_row = dy.data() + s * row;
    if (!O) {
      dy_row[call.outputs[size_t(s)]] = 1;
    } else if (!call.dy) {
      std::copy_n(network.readout_row(tape, call.outputs[size_t(s)], scratch), row, dy_row);
    } else {
      for (int64_t o = 0; o < O; ++o) {
        const T* weights = network.readout_row(tape, o, scratch);
        for (int64_t i = 0; i < row; ++i) dy_row[i] += call.dy[s * O + o] * weights[i];
      }
    }
  }
  return dy;
}

}  // namespace

template <class T>
void walk_seeds(const Network<T>& network, const SeedsCall<T>& call, const Tape<T>& tape) {
  const Buffer<T> made = top_gradients(network, call, tape);
  const T* const top = made.count() ? made.data() : call.dy;
  const bool ends = network.config().reads_ends();
  const auto packed = network.packed_backward(tape);
  const int64_t S = int64_t(call.times.size()), steps = tape.steps();
  const int64_t walks = network.config().walks();
  if (call.dx_norms) std::fill_n(call.dx_norms, S * steps, 0.0);
  if (call.flow) std::fill_n(call.flow, walks * S * steps, 0.0);
  if (call.flow_c) std::fill_n(call.flow_c, walks * S * steps, 0.0);
  const Groups<T> groups(call, tape);
  const int64_t together = std::min(num_threads(), groups.count());
  const Team alone{0, 1, nullptr};
  std::atomic<bool> stop{false};
  std::vector<Buffer<T>> dy(static_cast<size_t>(together));
  for (int64_t first = 0; first < groups.count(); first += together) {
    const int64_t count = std::min(together, groups.count() - first);
    std::vector<Seeds<T>> seeds;
    for (int64_t i = 0; i < count; ++i)
      seeds.push_back(seeds_of(call, tape, groups, first + i, top, dy[size_t(i)]));
    std::vector<BackwardCall<T>> calls(static_cast<size_t>(count));
    std::vector<std::unique_ptr<BackwardWalk<T>>> backward;
    for (size_t i = 0; i < size_t(count); ++i) {
      calls[i].packed = packed;
      calls[i].ends = ends;
      calls[i].seeds = &seeds[i];
      const int64_t sample = seeds[i].sample;
      const Shard<T> shard{.begin = sample, .end = sample + 1, .shared = true};
      backward.push_back(
          std::make_unique<BackwardWalk<T>>(network.stack(), calls[i], tape, *packed, shard, stop));
    }
    run_team(count, [&](const Team& team) {
      for (int64_t i = team.begin(count); i < team.end(count); ++i)
        backward[size_t(i)]->run(alone, team.index == 0);
    });
    if (stop.load()) stop_call();
  }
  for (int64_t s = 0; call.horizon && s < S; ++s) {
    const int64_t time = call.times[size_t(s)];
    const auto cut_row = [&](double* rows, int64_t index) {
      if (rows) cut(rows + index * steps, steps, time, call.horizon, ends);
    };
    cut_row(call.dx_norms, s);
    for (int64_t w = 0; w < walks; ++w) {
      cut_row(call.flow, w * S + s);
      cut_row(call.flow_c, w * S + s);
    }
  }
}

template void walk_seeds(const Network<float>&, const SeedsCall<float>&, const Tape<float>&);
template void walk_seeds(const Network<double>&, const SeedsCall<double>&, const Tape<double>&);

}  // namespace bptt
