// dispatch.cpp: detection of the kernel tables that this CPU can run, and the choice among them.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

namespace bptt {

#if defined(__x86_64__)
extern const KernelTable kernels_sse2, kernels_avx2, kernels_avx512;
void kernels_avx512bf16(Kernels<float>& table);
#else
extern const KernelTable kernels_neon;
#endif
void kernels_sha256(uint32_t* state, const uint32_t* rounds, const void* data, size_t blocks);

namespace {

struct Available {
  const KernelTable* tables[3];
  const char* names[3];
#if defined(__x86_64__)
  KernelTable avx512 = kernels_avx512;  // with native bfloat16 products if the CPU has them
#endif
  int64_t count = 0;
  Available() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma")) {
      if (__builtin_cpu_supports("avx512bf16")) kernels_avx512bf16(avx512.bf16);
      tables[count++] = &avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      tables[count++] = &kernels_avx2;
    tables[count++] = &kernels_sse2;
#else
    tables[count++] = &kernels_neon;
#endif
    for (int64_t i = 0; i < count; ++i) names[i] = tables[i]->name;
  }
};

const Available available;

const KernelTable* find(const char* name) {
  for (int64_t i = 0; i < available.count; ++i) {
    if (std::strcmp(available.names[i], name) == 0) return available.tables[i];
  }
  return nullptr;
}

std::atomic<const KernelTable*> forced{nullptr};
std::atomic<const KernelTable*> started{nullptr};  // null: not chosen yet, or not found

// The choice at start: BPTT_ISA, else the best table. Null if BPTT_ISA names no available table.
// Threads that call this at the same time get the same result.
const KernelTable* start() {
  const KernelTable* choice = started.load(std::memory_order_acquire);
  if (choice) return choice;
  const char* wanted = std::getenv("BPTT_ISA");
  choice = wanted && *wanted ? find(wanted) : available.tables[0];
  started.store(choice, std::memory_order_release);
  return choice;
}

bool cpu_has_sha256() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  __builtin_cpu_init();
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) &&
         __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1");
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0;
#else
  return false;
#endif
}
const bool has_sha256 = cpu_has_sha256();

}  // namespace

const char* const* available_kernels(int64_t* count) {
  *count = available.count;
  return available.names;
}

const KernelTable* active_kernels() {
  const KernelTable* table = forced.load(std::memory_order_acquire);
  return table ? table : start();
}

bool use_kernels(const char* name) {
  const KernelTable* table = name ? find(name) : nullptr;
  if (name && !table) return false;
  forced.store(table, std::memory_order_release);
  return true;
}

Sha256Blocks sha256_blocks() { return has_sha256 ? kernels_sha256 : nullptr; }

}  // namespace bptt
