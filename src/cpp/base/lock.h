// lock.h: who may read and who may change the parameters of a layer or model.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

// Many readers or one writer. A waiting writer goes before new readers, or it would starve where
// several threads read in turn. Waiting asks the cancel callback and throws Error
// (BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK). In a forked child, threads of the parent that were reading
// at that moment do not count; where one of them was writing, parameters may be half changed, and
// asking for the lock throws Error (BPTT_ERR_BUSY). It does not nest. Named as the standard
// library's shared_mutex, for its guards.
class Lock {
 public:
  void lock();
  void unlock();
  void lock_shared();
  void unlock_shared();

 private:
  // generation (fork.h; 24 bits), writers that wait (20), readers inside (20) or kWriter
  std::atomic<uint64_t> state_{0};
};

}  // namespace bptt
