// locks.h: the locks that calls hold on parameters.
#pragma once

#include <mutex>
#include <shared_mutex>

#include "base/lock.h"

namespace bptt {

// Records that the calling thread uses these parameters. If a cancel callback then calls a function
// that uses the same parameters, that function fails with BPTT_ERR_BUSY instead of waiting for its
// own thread.
class Inside {
 public:
  explicit Inside(const Lock& lock);
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const Lock* lock_;
  Inside* outer_;
};

// Holds the lock of parameters for a call that reads them; other calls may read them, too.
struct Reading {
  explicit Reading(Lock& lock) : inside(lock), guard(lock) {}
  Inside inside;
  std::shared_lock<Lock> guard;
};

// Holds the lock of parameters for a call that changes them; no other call has it meanwhile.
struct Changing {
  explicit Changing(Lock& lock) : inside(lock), guard(lock) {}
  Inside inside;
  std::unique_lock<Lock> guard;
};

}  // namespace bptt
