// locks.h: the parameters' locks as calls hold them.
#pragma once

#include <mutex>
#include <shared_mutex>

#include "base/lock.h"

namespace bptt {

// The parameters that the calling thread is inside of. A cancel callback that calls back into them
// is told so (BPTT_ERR_BUSY) instead of waiting for itself.
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

struct Reading {
  explicit Reading(Lock& mutex) : inside(mutex), lock(mutex) {}
  Inside inside;
  std::shared_lock<Lock> lock;
};

struct Changing {
  explicit Changing(Lock& mutex) : inside(mutex), lock(mutex) {}
  Inside inside;
  std::unique_lock<Lock> lock;
};

}  // namespace bptt
