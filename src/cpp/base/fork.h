// fork.h: locks that work in a forked child. A child gets a copy of every lock in its state at the
// time of the fork, but only the thread that forked. A lock that another thread holds at that
// moment is never released in the child, and the data that it guards may be half changed.
//
// Each lock therefore records the process in which it was taken. A child that finds a lock taken in
// its parent does not wait: it takes over the lock and replaces the guarded data by a fresh state.
// (The alternative, fork() handlers that take every lock first, would make fork() wait for calls
// that may take minutes. It would deadlock if such a call in turn waits for the thread that forks:
// a Python thread that forks holds the interpreter's lock.)
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <type_traits>

namespace bptt {

// Returns the number of forks between the process that loaded the library and this one.
uint32_t fork_generation() noexcept;

// A mutex that is held for no longer than a call of the C API. It is not recursive.
class ForkMutex {
 public:
  // The result of locking: not acquired, acquired, or taken over from a thread of the parent.
  enum class Taken : uint8_t { no, usual, orphan };
  Taken lock();
  Taken try_lock();
  void unlock();

 private:
  std::atomic<uint32_t> word_{0};  // 0: free; else the holder's generation, and whether others wait
};

// A state that can be reached only under a lock. It is `State()` at first, and again in a child
// that was forked while another thread had access; the old state is then abandoned, not destroyed.
template <class State>
class Guarded {
 public:
  class Access {
   public:
    ~Access() {
      if (owner_) owner_->mutex_.unlock();
    }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;
    explicit operator bool() const { return owner_ != nullptr; }
    State& operator*() const { return owner_->state_; }
    State* operator->() const { return &owner_->state_; }

   private:
    friend class Guarded;
    Access(Guarded& owner, ForkMutex::Taken taken)
        : owner_(taken == ForkMutex::Taken::no ? nullptr : &owner) {
      static_assert(std::is_nothrow_default_constructible_v<State>);
      if (taken == ForkMutex::Taken::orphan) ::new (static_cast<void*>(&owner.state_)) State();
    }
    Guarded* owner_;
  };

  Access access() { return {*this, mutex_.lock()}; }
  // Returns an access that is false if another thread has access.
  Access try_access() { return {*this, mutex_.try_lock()}; }

 private:
  ForkMutex mutex_;
  State state_{};
};

}  // namespace bptt
