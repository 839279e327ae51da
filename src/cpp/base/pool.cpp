// pool.cpp: the worker threads, their jobs and barriers, and the cancel callback of a thread.
#include "base/pool.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/float_mode.h"
#include "base/fork.h"

namespace bptt {
namespace {

// A short spin meets a partner that runs on another core. After that, yield to a partner on the
// same core, for as long as the next call of a training loop may take to come (waking a sleeping
// thread costs both threads some 30 microseconds). Then sleep.
constexpr int kSpins = 200;
constexpr std::chrono::microseconds kOffers{200};

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// Waits until `value` is no longer `old`.
template <class Value>
void wait_while(const std::atomic<Value>& value, Value old, bool sleep) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_processor();
  }
  const auto end = std::chrono::steady_clock::now() + kOffers;
  while (std::chrono::steady_clock::now() < end) {
    if (value.load(std::memory_order_acquire) != old) return;
    std::this_thread::yield();
  }
  while (value.load(std::memory_order_acquire) == old) {
    if (sleep) {
      value.wait(old, std::memory_order_acquire);
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
}

// Returns 0 if BPTT_NUM_THREADS is not valid.
int64_t default_threads() {
  if (const char* text = std::getenv("BPTT_NUM_THREADS"); text && *text) {
    const char* const end = text + std::strlen(text);
    int64_t wanted = 0;
    const std::from_chars_result read = std::from_chars(text, end, wanted);
    const bool fits = read.ec == std::errc() && read.ptr == end;
    return fits && wanted >= 1 && wanted <= kMostThreads ? wanted : 0;
  }
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) == 0)
    return std::clamp<int64_t>(CPU_COUNT(&mask), 1, kMostThreads);
  return 1;
}

struct Job {
  void (*call)(const void* body, const Team& team) = nullptr;
  const void* body = nullptr;
  Team team{};
  FloatState mode = 0;  // copied to the worker, so that the number of threads changes no bit
};

class Pool {
 public:
  void run(int64_t wanted, void (*call)(const void*, const Team&), const void* body) {
    const int64_t size = std::min(wanted, num_threads());
    const auto crew = crew_.try_access();
    if (size <= 1 || !crew || !hire(*crew, size - 1)) {
      call(body, Team{0, 1, nullptr});
      return;
    }
    const int members = int(std::min<int64_t>(size, int64_t(crew->workers.size()) + 1));
    Barrier barrier(members);
    running_.store(members - 1, std::memory_order_relaxed);
    for (int i = 1; i < members; ++i) {
      Worker& worker = *crew->workers[size_t(i - 1)];
      worker.job = Job{call, body, Team{i, members, &barrier}, float_state()};
      worker.round.fetch_add(1, std::memory_order_release);
      worker.round.notify_one();
    }
    call(body, Team{0, members, &barrier});
    for (int left; (left = running_.load(std::memory_order_acquire)) != 0;)
      wait_while(running_, left, true);
  }

 private:
  struct Worker {
    std::atomic<uint32_t> round{0};  // of the last job given to it
    Job job;
  };

  struct Crew {
    std::vector<std::unique_ptr<Worker>> workers;
    uint32_t generation = fork_generation();
  };

  // Ensures that there is at least one worker and tries to have `count`; returns false if there is
  // none.
  bool hire(Crew& crew, int64_t count) {
    if (crew.generation != fork_generation()) ::new (&crew) Crew;  // its workers are in the parent
    std::vector<std::unique_ptr<Worker>>& workers = crew.workers;
    if (int64_t(workers.size()) >= count) return true;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the caller's threads
    try {
      workers.reserve(size_t(count));
      while (int64_t(workers.size()) < count) {
        auto worker = std::make_unique<Worker>();
        std::thread(&Pool::work, this, worker.get()).detach();
        workers.push_back(std::move(worker));
      }
    } catch (const std::exception&) {  // out of memory or threads: continue with fewer
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return !workers.empty();
  }

  void work(Worker* worker) {
    for (uint32_t seen = 0;;) {
      wait_while(worker->round, seen, true);
      ++seen;  // jobs come one at a time; the next only after this one is done
      set_float_control(worker->job.mode);
      worker->job.call(worker->job.body, worker->job.team);
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
    }
  }

  Guarded<Crew> crew_;
  std::atomic<int> running_{0};
};

std::atomic<int64_t> threads{0};  // 0: not determined yet

// One per process. Never destroyed: workers may outlive main().
alignas(Pool) std::byte pool_memory[sizeof(Pool)];
Pool& pool = *new (pool_memory) Pool;

thread_local Cancel cancel_call = nullptr;
thread_local void* cancel_user = nullptr;
thread_local bool callback_threw = false;  // until the call has reported it
thread_local char thrown_text[256];

// Returns the callback's answer. An exception could not pass through the engine's other threads, so
// it counts as a stop.
int ask_callback() {
  try {
    return cancel_call(cancel_user);
  } catch (const std::exception& error) {
    std::snprintf(thrown_text, sizeof thrown_text, "%s", error.what());
  } catch (...) {
    std::snprintf(thrown_text, sizeof thrown_text, "something that is no std::exception");
  }
  callback_threw = true;
  return 1;
}

}  // namespace

void Barrier::wait() {
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    waiting_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  wait_while(phase_, phase, false);
}

int64_t num_threads() {
  int64_t count = threads.load(std::memory_order_relaxed);
  if (count != 0) return count;
  const int64_t own = default_threads();
  return threads.compare_exchange_strong(count, own, std::memory_order_relaxed) ? own : count;
}

void set_num_threads(int64_t count) {
  threads.store(std::clamp<int64_t>(count, 1, kMostThreads), std::memory_order_relaxed);
}

void run_team_of(int64_t wanted, void (*call)(const void*, const Team&), const void* body) {
  if (wanted > 1) {
    pool.run(wanted, call, body);
  } else {
    call(body, Team{0, 1, nullptr});
  }
}

void set_cancel(Cancel cancel, void* user) {
  cancel_call = cancel;
  cancel_user = user;
}

bool cancelled() {
  if (!cancel_call) return false;
  if (callback_threw) return true;
  const uint32_t process = fork_generation();
  const bool stop = CallMode::outside(ask_callback) != 0;
  if (process != fork_generation()) {
    callback_threw = false;
    throw Error(BPTT_ERR_CANCELLED, "", "",
                "the cancel callback returned in a child that it forked");
  }
  return stop;
}

void stop_call() {
  if (!std::exchange(callback_threw, false))
    throw Error(BPTT_ERR_CANCELLED, "", "", "the cancel callback stopped the call");
  throw Error(BPTT_ERR_CALLBACK, "", "", std::string("the cancel callback threw: ") + thrown_text);
}

}  // namespace bptt
