// lock.h: who may read and who may change the parameters of a layer or model.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

// Many readers or one writer. A waiting writer goes before new readers, or it would starve where
// several threads read in turn. Waiting asks the cancel callback and throws Error
// (BPTT_ERR_CANCELLED). In a forked child what another thread held at that moment is held for ever
// by nobody: asking for it throws Error (BPTT_ERR_BUSY). It does not nest. Named as the standard
// library's shared_mutex, for its guards.
class Lock {
 public:
  void lock();
  void unlock();
  void lock_shared();
  void unlock_shared();

 private:
  bool take_over();
  template <class Try>
  void wait_until(const Try& attempt);

  static constexpr int32_t kWriter = -1;
  std::atomic<int32_t> holders_{0};  // readers, or kWriter
  std::atomic<int32_t> writers_waiting_{0};
  std::atomic<uint32_t> generation_{0};  // fork_generation() when it was last taken
};

}  // namespace bptt
