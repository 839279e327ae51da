// profile.h: the time of calls by phase. When profiling is off, a timer costs a load and a branch.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels/kernels.h"

namespace bptt {

// In the order of bptt_phase.
enum class Phase {
  packing,
  input,
  recurrent,
  pointwise,
  weight_gradients,
  input_gradients,
  readout,
  clip,
  optimizer,
  other
};
constexpr int kPhases = int(Phase::other) + 1;

extern std::atomic<bool> profile_on;
inline bool profiling() { return profile_on.load(std::memory_order_relaxed); }

// Resets all phases and starts counting; returns false if profiling is already on.
bool profile_start();
void profile_stop();
// Returns the seconds of all threads together from the last start to the stop, or to now.
double profile_seconds(Phase phase);

// Counts the time from here to the end of the scope for `phase`, except that of timers inside.
class Timed {
 public:
  explicit Timed(Phase phase) {
    if (profiling()) begin(phase);
  }
  ~Timed() {
    if (began_) end();
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  void begin(Phase phase);
  void end();

  bool began_ = false, outermost_ = false;
  Phase outer_ = Phase::other;
};

// Moves `ticks` from phase `from` to phase `to`.
void profile_move(Phase from, Phase to, uint64_t ticks);

}  // namespace bptt
