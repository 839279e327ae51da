// float_mode.h: the floating-point environment of a call (round to nearest, no traps), and the
// return to the caller's.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

// The settings of a thread's floating-point unit (rounding, traps, subnormal numbers) and the flags
// of exceptions that have occurred.
using FloatState = uint64_t;

#if defined(__x86_64__)
constexpr FloatState kFlags = 0x3F;                // of MXCSR
constexpr FloatState kFlush = 1u << 15 | 1u << 6;  // subnormal results (FTZ) and operands (DAZ)
constexpr FloatState kRounding = 3u << 13;         // 0: to nearest
constexpr FloatState kTrapsOff = 0x1F80;           // set: masked
inline FloatState float_state() { return __builtin_ia32_stmxcsr(); }
inline void set_float_state(FloatState state) { __builtin_ia32_ldmxcsr(unsigned(state)); }
inline FloatState default_mode(FloatState state) { return (state & ~kRounding) | kTrapsOff; }

// The x87 environment. The C library uses it to round decimal numbers and to compute some
// functions; nothing else here does, so it is saved only if it is not the default.
class X87Mode {
 public:
  void enter() {
    uint16_t control;
    asm volatile("fnstcw %0" : "=m"(control));
    changed_ = (control & kX87Rounding) != 0 || (control & kX87TrapsOff) != kX87TrapsOff;
    if (!changed_) return;
    control = uint16_t((control & ~kX87Rounding) | kX87TrapsOff);
    asm volatile("fnstenv %0\n\tfldcw %1" : "=m"(callers_) : "m"(control) : "memory");
  }
  void leave() {
    if (changed_) asm volatile("fldenv %0" : : "m"(callers_) : "memory");
  }

 private:
  static constexpr uint16_t kX87Rounding = 3 << 10, kX87TrapsOff = 0x3F;
  struct Environment {
    uint32_t words[7];
  };
  bool changed_ = false;
  Environment callers_;
};
#else
constexpr FloatState kFlags = FloatState(0xFFFFFFFF) << 32;  // FPSR; the rest is FPCR
constexpr FloatState kFlush = 1u << 24;                      // FZ: results and operands
inline FloatState float_state() {
  FloatState control, flags;
  asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(flags));
  return flags << 32 | (control & 0xFFFFFFFF);
}
inline void set_float_state(FloatState state) {
  const FloatState control = state & 0xFFFFFFFF, flags = state >> 32;
  asm volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(control), "r"(flags));
}
inline FloatState default_mode(FloatState state) { return state & (kFlush | kFlags); }

struct X87Mode {
  void enter() {}
  void leave() {}
};
#endif

// Sets the control bits to those of `state` unless they are equal already; the flags do not change.
inline void set_float_control(FloatState state) {
  const FloatState now = float_state();
  if (((now ^ state) & ~kFlags) != 0) set_float_state((state & ~kFlags) | (now & kFlags));
}

// Calls replace subnormal numbers by zero if true; if false, the caller's setting applies.
inline std::atomic<bool> flush_subnormals{false};

// The environment of a call of the C API. The destructor restores the caller's, flags included,
// however the call ends. A call rounds to nearest and traps nothing; subnormal numbers are handled
// as the caller does, or flushed if flush_subnormals is true.
class CallMode {
 public:
  CallMode() : outer_(innermost_) {
    enter();
    innermost_ = this;
  }
  ~CallMode() {
    innermost_ = outer_;
    leave();
  }
  CallMode(const CallMode&) = delete;
  CallMode& operator=(const CallMode&) = delete;

  // Runs body() in the caller's environment, for callbacks. Changes that it makes there remain
  // after the call has ended.
  template <class Body>
  static auto outside(const Body& body) {
    const Outside caller(innermost_);
    return body();
  }

 private:
  class Outside {
   public:
    explicit Outside(CallMode* call) : call_(call) {
      if (call_) call_->leave();
    }
    ~Outside() {
      if (call_) call_->enter();
    }
    Outside(const Outside&) = delete;
    Outside& operator=(const Outside&) = delete;

   private:
    CallMode* const call_;
  };

  void enter() {
    callers_ = float_state();
    const bool flush = flush_subnormals.load(std::memory_order_relaxed);
    const FloatState own = default_mode(callers_) | (flush ? kFlush : 0);
    if (own != callers_) set_float_state(own);
    x87_.enter();
  }
  void leave() {
    x87_.leave();
    if (float_state() != callers_) set_float_state(callers_);
  }

  FloatState callers_ = 0;
  X87Mode x87_;
  CallMode* const outer_;
  static inline thread_local CallMode* innermost_ = nullptr;
};

}  // namespace bptt
