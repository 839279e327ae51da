// fork.h: locks that work in a forked child. A child gets a copy of every lock as it is when the
// parent forks, but only the thread that forked: a lock that another thread holds at that moment is
// never released there, and what it guards may be half changed.
//
// Each lock therefore notes in which process it was taken. A child that finds one of its parent's
// does not wait for it: it takes the lock over and replaces what the lock guards by a fresh state.
// (The other way, handlers of fork() that take every lock first, would make fork() wait for calls that
// may take minutes, and for ever where such a call in turn waits for the thread that forks: a Python
// thread that forks holds the interpreter's lock.)
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <type_traits>

namespace bptt {

// How often this process is a forked child of the one that loaded the library.
uint32_t fork_generation() noexcept;

// Taken by one thread at a time, and never for longer than a call of the C API. It does not nest.
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

// A state that is reached under a lock only. It is `State()` at first, and again in a child that was
// forked while another thread had access; the old one is abandoned, not destroyed.
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
  // False if another thread has access.
  Access try_access() { return {*this, mutex_.try_lock()}; }

 private:
  ForkMutex mutex_;
  State state_{};
};

}  // namespace bptt
