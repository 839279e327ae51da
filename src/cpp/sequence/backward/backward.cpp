// backward.cpp: the backward pass: parts of the batch, each walked backward through time.
#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <span>

#include "sequence/backward/walk.h"
#include "sequence/norms.h"
#include "sequence/stack.h"

namespace bptt {

// Shards are fixed parts of the batch. Each is walked by one thread with its own gradients, and
// these are added at the end in order, so no data move between cores in the meantime. Their number
// depends on sizes only. For few sequences or many parameters there is one shard, and a team shares
// its rows.
int64_t shard_count(int64_t batch, int64_t parameters) {
  constexpr int64_t kMostParameters = 1 << 21;  // above, adding the parts costs more than it saves
  if (batch < 16 || parameters > kMostParameters) return 1;
  return batch < 64 ? 2 : 4;
}

namespace {

// Sums Omega over all parts and adds its gradient to that of W_hh.
template <class T>
void add_omega(const Kernels<T>& kernels, const Stack<T>& stack, const BackwardCall<T>& call,
               std::span<const std::optional<BackwardWalk<T>>> walks) {
  const StackConfig& config = stack.config();
  double total = 0;
  const int64_t size = config.hidden * config.hidden;
  for (int64_t w = 0; w < config.walks(); ++w) {
    double sum = 0;
    int64_t count = 0;
    for (const auto& walk : walks) {
      sum += walk->omega().sum(w);
      count += walk->omega().count(w);
    }
    if (count == 0) continue;
    total += sum / double(count);
    Buffer<T> shares(size);
    for (const auto& walk : walks) {
      if (!call.gradients) continue;
      std::copy_n(walk->omega().gradient(w), size, shares.data());
      kernels.scale(shares.data(), size, call.settings.omega / double(count));
      kernels.add(call.gradients + stack.offsets()[size_t(w)].weight_hh, shares.data(), size);
    }
  }
  if (call.omega_value) *call.omega_value = total;
}

}  // namespace

template <class T>
void walk_backward(const Stack<T>& stack, const BackwardCall<T>& call, const Tape<T>& tape) {
  const Kernels<T>& kernels = kernels_of<T>(*call.packed->key.table, stack.config().compute);
  const Order& order = tape.order();
  const int64_t parts = shard_count(order.batch(), call.parameter_count);
  const int64_t flows = checked_count(stack.config().walks(), tape.steps());
  std::unique_ptr<FlowRecord<T>> record;
  if (call.flow.detail) record = std::make_unique<FlowRecord<T>>(stack.geometry(), tape);
  std::atomic<bool> stop{false};
  // The first part adds to the caller's gradients, the others to their own vectors.
  Buffer<T> sums;
  if (call.gradients) sums = Buffer<T>::zeros(checked_count(parts - 1, call.parameter_count));
  // The flow is divided in the same way.
  double* const* const to = call.flow.norms;
  Buffer<double> norms[3];
  for (int k = 0; k < 3; ++k) {
    if (parts > 1 && to[k]) norms[k] = Buffer<double>::zeros(checked_count(parts, flows));
    if (to[k]) std::fill_n(to[k], flows, 0.0);
  }
  std::optional<BackwardWalk<T>> walks[kMostShards];
  for (int64_t i = 0; i < parts; ++i) {
    T* own =
        i == 0 || !call.gradients ? call.gradients : sums.data() + (i - 1) * call.parameter_count;
    T* table = call.table_gradient ? own + (call.table_gradient - call.gradients) : nullptr;
    Shard<T> shard{.index = i,
                   .begin = order.boundary(i, parts),
                   .end = order.boundary(i + 1, parts),
                   .gradients = own,
                   .table_gradient = table,
                   .record = record.get()};
    for (int k = 0; k < 3; ++k)
      shard.flow[k] = norms[k].count() ? norms[k].data() + i * flows : to[k];
    walks[i].emplace(stack, call, tape, *call.packed, shard, stop);
  }
  if (parts == 1) {
    run_team(stack.team_size(order.block_rows()),
             [&](const Team& team) { walks[0]->run(team, team.index == 0); });
  } else {
    run_team(std::min(parts, stack.team_size(std::min(order.rows(), kBlockRows))),
             [&](const Team& team) {
               for (int64_t i = team.begin(parts); i < team.end(parts); ++i) {
                 walks[i]->run(Team{0, 1, nullptr}, team.index == 0);
               }
               team.wait();
               if (stop.load()) return;
               const int64_t first = team.begin(call.parameter_count),
                             last = team.end(call.parameter_count);
               for (int64_t i = 1; i < parts && call.gradients; ++i) {
                 kernels.add(call.gradients + first,
                             sums.data() + (i - 1) * call.parameter_count + first, last - first);
               }
               for (int64_t at = team.begin(flows); at < team.end(flows); ++at) {
                 for (int k = 0; k < 3; ++k) {
                   double of_parts[kMostShards];
                   for (int64_t i = 0; to[k] && i < parts; ++i)
                     of_parts[i] = norms[k][i * flows + at];
                   if (to[k]) to[k][at] = norm_of(of_parts, parts);
                 }
               }
             });
  }
  if (stop.load()) stop_call();
  if (call.settings.omega > 0) add_omega<T>(kernels, stack, call, {walks, size_t(parts)});
  double activity = 0;
  for (int64_t i = 0; i < parts; ++i) activity += walks[i]->activity().value();
  if (call.activity_penalty) *call.activity_penalty = activity;
  if (record) call.flow.detail(*record, tape);
}

template void walk_backward(const Stack<float>&, const BackwardCall<float>&, const Tape<float>&);
template void walk_backward(const Stack<double>&, const BackwardCall<double>&, const Tape<double>&);

}  // namespace bptt
