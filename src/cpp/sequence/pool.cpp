#include "sequence/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "sequence/float_mode.h"

namespace bptt {
namespace {

constexpr int64_t kMostThreads = 256;
// A short spin finds a partner on another core; then the processor is offered to a partner on the
// same one, for as long as the next call of a training loop may take to come (waking a sleeping
// thread costs some 30 microseconds, of both); then sleep.
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

int64_t default_threads() {
  if (const char* text = std::getenv("BPTT_NUM_THREADS")) {
    char* end = nullptr;
    const long long wanted = std::strtoll(text, &end, 10);
    if (end != text && !*end && wanted >= 1) return std::min<int64_t>(wanted, kMostThreads);
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
  FloatState mode = 0;  // a worker takes over the call's: the number of threads changes no bit
};

// One pool per process; a forked child gets a new one, since its workers stayed in the parent.
class Pool {
 public:
  void run(int64_t wanted, void (*call)(const void*, const Team&), const void* body) {
    const int64_t size = std::min(wanted, num_threads());
    std::unique_lock<std::mutex> guard(mutex_, std::try_to_lock);
    if (size <= 1 || !guard.owns_lock() || !hire(size - 1)) {
      call(body, Team{0, 1, nullptr});
      return;
    }
    const int members = int(std::min<int64_t>(size, int64_t(workers_.size()) + 1));
    Barrier barrier(members);
    running_.store(members - 1, std::memory_order_relaxed);
    for (int i = 1; i < members; ++i) {
      Worker& worker = *workers_[size_t(i - 1)];
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

  // Makes sure of at least one worker, at best of `count`; false if there is none.
  bool hire(int64_t count) {
    if (int64_t(workers_.size()) >= count) return true;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the caller's threads
    try {
      workers_.reserve(size_t(count));
      while (int64_t(workers_.size()) < count) {
        auto worker = std::make_unique<Worker>();
        std::thread(&Pool::work, this, worker.get()).detach();
        workers_.push_back(std::move(worker));
      }
    } catch (const std::exception&) {  // no memory or no thread to be had: fewer then
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return !workers_.empty();
  }

  void work(Worker* worker) {
    for (uint32_t seen = 0;;) {
      wait_while(worker->round, seen, true);
      ++seen;  // jobs come one at a time: the next only after this one is done
      set_float_control(worker->job.mode);
      worker->job.call(worker->job.body, worker->job.team);
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
    }
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<int> running_{0};
};

std::atomic<int64_t> threads{0};
std::atomic<uint32_t> forks{0};
std::atomic<Pool*> pool{nullptr};  // null: no memory for one; calls run on their own thread

// The first lies in static memory and is never destroyed: workers may outlive main().
alignas(Pool) std::byte first_pool[sizeof(Pool)];

[[maybe_unused]] const bool prepared = [] {
  pool.store(new (first_pool) Pool);
  pthread_atfork(nullptr, nullptr, [] {
    forks.fetch_add(1, std::memory_order_relaxed);
    pool.store(new (std::nothrow) Pool);
  });
  return true;
}();

thread_local Cancel cancel_call = nullptr;
thread_local void* cancel_user = nullptr;

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
  if (count == 0) {
    count = default_threads();
    threads.store(count, std::memory_order_relaxed);
  }
  return count;
}

void set_num_threads(int64_t count) {
  threads.store(std::clamp<int64_t>(count, 1, kMostThreads), std::memory_order_relaxed);
}

void run_team_of(int64_t wanted, void (*call)(const void*, const Team&), const void* body) {
  Pool* const workers = wanted > 1 ? pool.load(std::memory_order_acquire) : nullptr;
  if (workers) {
    workers->run(wanted, call, body);
  } else {
    call(body, Team{0, 1, nullptr});
  }
}

uint32_t fork_generation() { return forks.load(std::memory_order_relaxed); }

void set_cancel(Cancel cancel, void* user) {
  cancel_call = cancel;
  cancel_user = user;
}

bool cancelled() {
  return cancel_call && CallMode::outside([] { return cancel_call(cancel_user); }) != 0;
}

}  // namespace bptt
