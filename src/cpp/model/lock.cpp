#include "model/lock.h"

#include <chrono>
#include <thread>

#include "error.h"
#include "sequence/pool.h"

namespace bptt {

// After a fork: counts of the parent's threads mean nothing here. False if one of them was inside.
bool Lock::take_over() {
  if (generation_.load(std::memory_order_acquire) == fork_generation()) return true;
  if (holders_.load(std::memory_order_acquire) != 0) return false;
  writers_waiting_.store(0, std::memory_order_relaxed);
  generation_.store(fork_generation(), std::memory_order_release);
  return true;
}

// Calls are long and rarely meet: a short spin, then sleeps that grow to a millisecond.
template <class Try>
void Lock::wait_until(const Try& attempt) {
  std::chrono::microseconds nap{20};
  for (int round = 0; !attempt(); ++round) {
    if (!take_over()) {
      throw Error(BPTT_ERR_BUSY, "", "parameters that no other thread uses",
                  "ones that another thread was using when this process was forked");
    }
    if (round < 50) {
      std::this_thread::yield();
      continue;
    }
    if (cancelled()) throw Error(BPTT_ERR_CANCELLED, "", "", "");
    std::this_thread::sleep_for(nap);
    if (nap < std::chrono::milliseconds(1)) nap *= 2;
  }
  generation_.store(fork_generation(), std::memory_order_release);
}

void Lock::lock() {
  struct Waiting {
    std::atomic<int32_t>& count;
    explicit Waiting(std::atomic<int32_t>& c) : count(c) { count.fetch_add(1); }
    ~Waiting() { count.fetch_sub(1); }
  };
  take_over();
  const Waiting waiting(writers_waiting_);
  wait_until([this] {
    int32_t nobody = 0;
    return holders_.compare_exchange_strong(nobody, kWriter, std::memory_order_acquire);
  });
}

void Lock::unlock() { holders_.store(0, std::memory_order_release); }

void Lock::lock_shared() {
  take_over();
  wait_until([this] {
    if (writers_waiting_.load(std::memory_order_relaxed) > 0) return false;
    int32_t readers = holders_.load(std::memory_order_relaxed);
    return readers != kWriter &&
           holders_.compare_exchange_strong(readers, readers + 1, std::memory_order_acquire);
  });
}

void Lock::unlock_shared() { holders_.fetch_sub(1, std::memory_order_release); }

}  // namespace bptt
