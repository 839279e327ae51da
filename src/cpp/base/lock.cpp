// lock.cpp: changes to the lock's state, a word with counts of readers and writers, and the waits.
#include "base/lock.h"

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/fork.h"
#include "base/pool.h"

namespace bptt {
namespace {

constexpr int kBits = 20;
constexpr uint64_t kReader = 1, kWriter = (uint64_t{1} << kBits) - 1;
constexpr uint64_t kWaiting = uint64_t{1} << kBits;
constexpr uint64_t kHere = uint64_t{1} << 2 * kBits;  // one generation

uint64_t inside(uint64_t state) { return state & kWriter; }
bool writers_wait(uint64_t state) { return (state / kWaiting & kWriter) != 0; }

// Returns the state as seen by this process. Throws Error (BPTT_ERR_BUSY).
uint64_t current(uint64_t state) {
  const uint64_t here = fork_generation() * kHere;
  if (state / kHere == here / kHere) return state;
  if (inside(state) == kWriter) {
    throw Error(BPTT_ERR_BUSY, "", "",
                "another thread was changing the parameters when this process was forked");
  }
  return here;
}

// Waits until may(state), then sets the state to to(state). Calls are long and rarely overlap, so
// this spins briefly, then sleeps for intervals that grow to a millisecond.
template <class May, class To>
void change(std::atomic<uint64_t>& state, const May& may, const To& to) {
  std::chrono::microseconds nap{20};
  for (int round = 0;; ++round) {
    uint64_t seen = state.load(std::memory_order_relaxed);
    for (uint64_t now; may(now = current(seen));) {
      if (state.compare_exchange_weak(seen, to(now), std::memory_order_acquire)) return;
    }
    if (round < 50) {
      std::this_thread::yield();
      continue;
    }
    if (cancelled()) stop_call();
    std::this_thread::sleep_for(nap);
    if (nap < std::chrono::milliseconds(1)) nap *= 2;
  }
}

}  // namespace

void Lock::lock() {
  const auto always = [](uint64_t) { return true; };
  const auto leave = [](uint64_t now) { return writers_wait(now) ? now - kWaiting : now; };
  change(state_, always, [](uint64_t now) { return now + kWaiting; });
  try {
    change(
        state_, [](uint64_t now) { return inside(now) == 0; },
        [&](uint64_t now) { return leave(now) + kWriter; });
  } catch (...) {
    change(state_, always, leave);
    throw;
  }
}

void Lock::unlock() { state_.fetch_and(~kWriter, std::memory_order_release); }

void Lock::lock_shared() {
  change(
      state_, [](uint64_t now) { return !writers_wait(now) && inside(now) < kWriter - 1; },
      [](uint64_t now) { return now + kReader; });
}

void Lock::unlock_shared() { state_.fetch_sub(kReader, std::memory_order_release); }

}  // namespace bptt
