// locks.cpp: the list of locks that a thread's calls hold.
#include "capi/locks.h"

#include "capi/errors.h"

namespace bptt {
namespace {

thread_local Inside* innermost = nullptr;

}  // namespace

Inside::Inside(const Lock& lock) : lock_(&lock), outer_(innermost) {
  for (const Inside* held = innermost; held; held = held->outer_) {
    if (held->lock_ == lock_) {
      fail(BPTT_ERR_BUSY, "", "",
           "called from the cancel callback of another call on the same layer or model");
    }
  }
  innermost = this;
}

Inside::~Inside() { innermost = outer_; }

}  // namespace bptt
