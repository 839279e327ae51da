// backward.cpp: the batch in parts, each walked backward through time.
#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "error.h"
#include "sequence/backward_walk.h"
#include "sequence/layer.h"

namespace bptt {

// Shards: the batch in fixed parts, each walked by one thread with gradients of its own, which are
// added at the end in their order. Nothing crosses from core to core meanwhile. How many there are
// depends on the sizes only. Few sequences or many parameters: one, whose rows a team shares.
template <class T>
int64_t Stack<T>::shard_count(int64_t batch, int64_t parameters) const {
  constexpr int64_t kMostParameters = 1 << 21;  // beyond, adding the parts costs more than it saves
  if (batch < 16 || parameters > kMostParameters) return 1;
  return batch < 64 ? 2 : 4;
}

template <class T>
void Stack<T>::backward(const BackwardCall<T>& call, const Tape<T>& tape) const {
  const auto packed = packed_backward(call.parameters, call.version);
  const int64_t N = tape.batch(), parts = shard_count(N, call.parameter_count);
  const int64_t flows = config_.layers * tape.steps();
  std::atomic<bool> stop{false};
  if (parts == 1) {
    const Shard<T> whole{0, 0, N, call.gradients, call.table_gradient, call.flow, call.flow_c};
    BackwardWalk<T> walk(config_, geometry_, offsets_, call, tape, *packed, whole, stop);
    const int64_t rows = std::min(tape.steps(), block_steps(N)) * N;
    run_team(team_size(rows), [&](const Team& team) { walk.run(team, team.index == 0); });
  } else {
    // The first part adds to the caller's gradients, the others to vectors of their own.
    Buffer<T> sums;
    if (call.gradients) sums = Buffer<T>::zeros(checked_count(parts - 1, call.parameter_count));
    Buffer<double> norms(checked_count(parts, flows)), norms_c(checked_count(parts, flows));
    std::vector<std::unique_ptr<BackwardWalk<T>>> walks;
    for (int64_t i = 0; i < parts; ++i) {
      T* own =
          i == 0 || !call.gradients ? call.gradients : sums.data() + (i - 1) * call.parameter_count;
      T* table = call.table_gradient ? own + (call.table_gradient - call.gradients) : nullptr;
      const Shard<T> shard{i,
                           N * i / parts,
                           N * (i + 1) / parts,
                           own,
                           table,
                           norms.data() + i * flows,
                           norms_c.data() + i * flows};
      walks.push_back(std::make_unique<BackwardWalk<T>>(config_, geometry_, offsets_, call, tape,
                                                        *packed, shard, stop));
    }
    const int64_t wanted = std::min(parts, team_size(std::min(tape.steps() * N, kBlockRows)));
    run_team(wanted, [&](const Team& team) {
      for (int64_t i = team.begin(parts); i < team.end(parts); ++i) {
        walks[size_t(i)]->run(Team{0, 1, nullptr}, team.index == 0);
      }
      team.wait();
      if (stop.load()) return;
      const Kernels<T>& kernels = kernels_of<T>(*packed->table);
      const int64_t first = team.begin(call.parameter_count), last = team.end(call.parameter_count);
      for (int64_t i = 1; i < parts && call.gradients; ++i) {
        kernels.add(call.gradients + first, sums.data() + (i - 1) * call.parameter_count + first,
                    last - first);
      }
      for (int64_t at = team.begin(flows); at < team.end(flows); ++at) {
        double of_parts[2][kMostShards];
        for (int64_t i = 0; i < parts; ++i) {
          of_parts[0][i] = norms[i * flows + at];
          of_parts[1][i] = norms_c[i * flows + at];
        }
        if (call.flow) call.flow[at] = norm_of(of_parts[0], parts);
        if (call.flow_c) call.flow_c[at] = norm_of(of_parts[1], parts);
      }
    });
  }
  if (stop.load()) throw Error(BPTT_ERR_CANCELLED, "", "", "");
}

template int64_t Stack<float>::shard_count(int64_t, int64_t) const;
template int64_t Stack<double>::shard_count(int64_t, int64_t) const;
template void Stack<float>::backward(const BackwardCall<float>&, const Tape<float>&) const;
template void Stack<double>::backward(const BackwardCall<double>&, const Tape<double>&) const;

}  // namespace bptt
