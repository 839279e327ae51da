// pool.h: the engine's threads. Importing the package starts none; the first large call does. A
// team runs one function on every member, with a barrier. The number of members never changes a
// result, only which thread computes it.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

// Elements of a flat vector for which another thread is worth its start.
constexpr int64_t kElementsPerThread = 1 << 16;

class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait();

 private:
  const int members_;
  std::atomic<int> waiting_{0};
  std::atomic<uint32_t> phase_{0};
};

struct Team {
  int index, size;
  Barrier* barrier;

  void wait() const {
    if (size > 1) barrier->wait();
  }
  // This member's share of `count` items.
  int64_t begin(int64_t count) const { return count * index / size; }
  int64_t end(int64_t count) const { return count * (index + 1) / size; }
};

constexpr int64_t kMostThreads = 256;
// 0 if the count was not set and BPTT_NUM_THREADS is not valid; teams then have one member.
int64_t num_threads();
void set_num_threads(int64_t count);

// Runs body(team) on up to `wanted` threads (at most num_threads()), including the calling one, and
// returns when all are done. The team is smaller if another thread is using the pool or threads
// cannot be started. body must not throw.
template <class Body>
void run_team(int64_t wanted, const Body& body);

void run_team_of(int64_t wanted, void (*call)(const void* body, const Team& team),
                 const void* body);

template <class Body>
void run_team(int64_t wanted, const Body& body) {
  run_team_of(
      wanted, [](const void* b, const Team& team) { (*static_cast<const Body*>(b))(team); }, &body);
}

// The calling thread's cancel callback (bptt_set_cancel). The thread that made the call invokes it
// once per block of time steps. A callback that throws counts as one that stops the call, and is
// not invoked again during it. cancelled() throws Error (BPTT_ERR_CANCELLED) in a child that the
// callback forked, because the call's other threads are in the parent.
using Cancel = int (*)(void* user);
void set_cancel(Cancel cancel, void* user);
bool cancelled();
// Ends a cancelled call: throws Error (BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK).
[[noreturn]] void stop_call();

}  // namespace bptt
