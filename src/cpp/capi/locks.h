// locks.h: the locks that calls hold on parameters.
#pragma once

#include <mutex>
#include <shared_mutex>

#include "base/lock.h"

namespace bptt {

// Records that the calling thread uses these parameters. If a cancel callback then calls a function
// on them, this function fails with BPTT_ERR_BUSY instead of waiting for its own thread.
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
