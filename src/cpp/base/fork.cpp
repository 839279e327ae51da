// fork.cpp: the lock that a forked child takes over.
#include "base/fork.h"

#include <pthread.h>

namespace bptt {
namespace {

std::atomic<uint32_t> forks{0};

[[maybe_unused]] const bool counted = [] {
  return pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); }) ==
         0;
}();

constexpr uint32_t kWaited = 1;  // the holder has to wake a waiting thread

uint32_t held_here() { return (fork_generation() + 1) << 1; }

}  // namespace

uint32_t fork_generation() noexcept { return forks.load(std::memory_order_relaxed); }

ForkMutex::Taken ForkMutex::lock() {
  const uint32_t mine = held_here();
  uint32_t seen = 0;
  if (word_.compare_exchange_strong(seen, mine, std::memory_order_acquire)) return Taken::usual;
  for (;;) {
    if (seen == 0) {  // a thread that has waited does not know whether others still wait
      if (word_.compare_exchange_weak(seen, mine | kWaited, std::memory_order_acquire))
        return Taken::usual;
    } else if ((seen & ~kWaited) != mine) {
      if (word_.compare_exchange_weak(seen, mine, std::memory_order_acquire)) return Taken::orphan;
    } else if ((seen & kWaited) ||
               word_.compare_exchange_weak(seen, seen | kWaited, std::memory_order_relaxed)) {
      word_.wait(mine | kWaited, std::memory_order_relaxed);
      seen = word_.load(std::memory_order_relaxed);
    }
  }
}

ForkMutex::Taken ForkMutex::try_lock() {
  const uint32_t mine = held_here();
  uint32_t seen = 0;
  if (word_.compare_exchange_strong(seen, mine, std::memory_order_acquire)) return Taken::usual;
  if (seen != 0 && (seen & ~kWaited) != mine &&
      word_.compare_exchange_strong(seen, mine, std::memory_order_acquire)) {
    return Taken::orphan;
  }
  return Taken::no;
}

void ForkMutex::unlock() {
  if (word_.exchange(0, std::memory_order_release) & kWaited) word_.notify_one();
}

}  // namespace bptt
