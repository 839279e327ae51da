// profile.cpp: the tick counters of a profile, converted to seconds by two pairs of ticks and time.
#include "base/profile.h"

#include <algorithm>
#include <chrono>

#include "base/fork.h"

namespace bptt {

std::atomic<bool> profile_on{false};

namespace {

using Clock = std::chrono::steady_clock;

std::atomic<int64_t> phase_ticks[kPhases];  // ticks; may be negative for a moment
// Ticks of the last start and stop. Time outside them is not counted.
std::atomic<uint64_t> first_ticks{0}, last_ticks{0};
struct Run {
  Clock::time_point first_time;
  double seconds_per_tick = 0;  // between the last start and stop
  // Also runs in a child in which a start or stop was interrupted: no profile then.
  Run() noexcept {
    profile_on.store(false);
    for (auto& ticks : phase_ticks) ticks.store(0, std::memory_order_relaxed);
  }
  double rate() const {
    const double seconds = std::chrono::duration<double>(Clock::now() - first_time).count();
    const uint64_t ticks = clock_ticks() - first_ticks.load();
    return ticks > 0 ? seconds / double(ticks) : 0;
  }
};
Guarded<Run> last_run;

// The phase of the calling thread's innermost timer, and its start.
struct Current {
  bool any = false;
  Phase phase = Phase::other;
  uint64_t since = 0;
};
thread_local Current running;

void count(Phase phase, int64_t ticks) {
  phase_ticks[int(phase)].fetch_add(ticks, std::memory_order_relaxed);
}

// Adds the current timer's time until now to its phase, within the start and stop of the profile.
uint64_t settle() {
  const uint64_t now = clock_ticks();
  const uint64_t from = std::max(running.since, first_ticks.load(std::memory_order_relaxed));
  const uint64_t until = std::min(now, last_ticks.load(std::memory_order_relaxed));
  if (running.any && from < until) count(running.phase, int64_t(until - from));
  return now;
}

}  // namespace

bool profile_start() {
  const auto run = last_run.access();
  if (profiling()) return false;
  for (auto& ticks : phase_ticks) ticks.store(0, std::memory_order_relaxed);
  first_ticks.store(clock_ticks());
  last_ticks.store(UINT64_MAX);
  run->first_time = Clock::now();
  profile_on.store(true);
  return true;
}

void profile_stop() {
  const auto run = last_run.access();
  if (!profiling()) return;
  run->seconds_per_tick = run->rate();
  last_ticks.store(clock_ticks());
  profile_on.store(false);
}

double profile_seconds(Phase phase) {
  const auto run = last_run.access();
  const int64_t ticks = phase_ticks[int(phase)].load(std::memory_order_relaxed);
  return ticks > 0 ? double(ticks) * (profiling() ? run->rate() : run->seconds_per_tick) : 0;
}

void Timed::begin(Phase phase) {
  const uint64_t now = settle();
  began_ = true;
  outer_ = running.phase;
  outermost_ = !running.any;
  running = {true, phase, now};
}

void Timed::end() {
  const uint64_t now = settle();
  running = {!outermost_, outer_, now};
}

void profile_move(Phase from, Phase to, uint64_t ticks) {
  count(from, -int64_t(ticks));
  count(to, int64_t(ticks));
}

}  // namespace bptt
