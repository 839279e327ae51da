// lock.h: the readers-writer lock of the parameters of a layer or model.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

// Allows many readers or one writer. A waiting writer has precedence over new readers; otherwise it
// would starve when several threads read in turn. Waiting calls the cancel callback and throws
// Error (BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK). In a forked child, readers of the parent do not
// count; if a thread of the parent was writing, parameters may be half changed, and locking throws
// Error (BPTT_ERR_BUSY). The lock is not recursive. The functions are named as those of
// std::shared_mutex, so that its guards work.
class Lock {
 public:
  void lock();
  void unlock();
  void lock_shared();
  void unlock_shared();

 private:
  // generation (fork.h; 24 bits), waiting writers (20), active readers (20) or kWriter
  std::atomic<uint64_t> state_{0};
};

}  // namespace bptt
