// profile.h: where the time of calls goes, by phase. Off, a timer is a load and a branch.
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

// Sets all phases to zero and counts from now on; false: it is on already.
bool profile_start();
void profile_stop();
// Seconds of all threads together between the last start and the stop, or now.
double profile_seconds(Phase phase);

// The time from here to the end of the scope counts for `phase`, less that of timers inside.
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

// Of what a timer of `from` counts, so many ticks are `to`'s.
void profile_move(Phase from, Phase to, uint64_t ticks);

}  // namespace bptt
