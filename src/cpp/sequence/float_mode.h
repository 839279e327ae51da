// float_mode.h: how a thread rounds and treats subnormal numbers.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

// The control bits of a thread's floating-point unit; its sticky flags stay as they are.
using FloatMode = uint64_t;
#if defined(__x86_64__)
constexpr unsigned kStickyFlags = 0x3F;           // of MXCSR
constexpr FloatMode kFlush = 1u << 15 | 1u << 6;  // results (FTZ) and operands (DAZ)
inline FloatMode float_mode() { return __builtin_ia32_stmxcsr() & ~kStickyFlags; }
inline void set_float_mode(FloatMode mode) {
  __builtin_ia32_ldmxcsr(unsigned(mode) | (__builtin_ia32_stmxcsr() & kStickyFlags));
}
#else
constexpr FloatMode kFlush = 1u << 24;  // FPCR.FZ: both
inline FloatMode float_mode() {
  FloatMode mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void set_float_mode(FloatMode mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
#endif

// Whether calls compute with zeros in place of subnormal numbers; off: as their caller does.
inline std::atomic<bool> flush_subnormals{false};

// A call of the C API: its mode, and the caller's again when it returns or throws.
class CallMode {
 public:
  CallMode() : changed_(flush_subnormals.load(std::memory_order_relaxed)) {
    if (!changed_) return;
    callers_ = float_mode();
    outer_ = innermost_;
    innermost_ = this;
    set_float_mode(callers_ | kFlush);
  }
  ~CallMode() {
    if (!changed_) return;
    innermost_ = outer_;
    set_float_mode(callers_);
  }
  CallMode(const CallMode&) = delete;
  CallMode& operator=(const CallMode&) = delete;

  // body() in the caller's mode: for what a call asks its caller.
  template <class Body>
  static auto outside(const Body& body) {
    const CallMode* const call = innermost_;
    if (!call) return body();
    const FloatMode own = float_mode();
    set_float_mode(call->callers_);
    const auto result = body();
    set_float_mode(own);
    return result;
  }

 private:
  const bool changed_;
  FloatMode callers_ = 0;
  const CallMode* outer_ = nullptr;
  static inline thread_local const CallMode* innermost_ = nullptr;
};

}  // namespace bptt
