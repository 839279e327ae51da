// buffer.cpp: the allocation of aligned blocks, and the lists of spare blocks.
#include "base/buffer.h"

#include <algorithm>
#include <type_traits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace bptt {
namespace {

// In the sanitizers' builds every block comes from the system in its exact size and returns there,
// so that accesses beyond its end or after its release are detected.
#ifdef BPTT_EXACT_BUFFERS
constexpr bool kExact = true;
#else
constexpr bool kExact = false;
#endif

// Large blocks may use large pages, which need fewer entries of the processor's cache of addresses:
// 1 to 4 % of a training step that walks through many megabytes.
constexpr size_t kLargePage = size_t(1) << 21;
constexpr bool on_large_pages(size_t bytes) { return !kExact && bytes >= 2 * kLargePage; }
constexpr std::align_val_t alignment_of(size_t bytes) {
  return std::align_val_t(on_large_pages(bytes) ? kLargePage : kAlignment);
}

void* from_system(size_t bytes) {
  void* const memory = ::operator new(bytes, alignment_of(bytes));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  // A system that has no large pages refuses, which is harmless.
  if (on_large_pages(bytes)) madvise(memory, bytes & ~(kLargePage - 1), MADV_HUGEPAGE);
#endif
  return memory;
}
void to_system(void* memory, size_t bytes) { ::operator delete(memory, alignment_of(bytes)); }

class Spares {
 public:
  // Rounds sizes up to eighths of a power of two, so that blocks can be reused.
  static size_t size_of(size_t bytes) {
    size_t step = kAlignment;
    while (step * 16 < bytes) step *= 2;
    return (std::max(bytes, size_t(1)) + step - 1) / step * step;
  }
  void* take(size_t size) {
    const auto kept = kept_.try_access();
    if (kept) {
      for (size_t i = kept->count; i-- > 0;) {
        if (kept->blocks[i].size != size) continue;
        void* const memory = kept->blocks[i].memory;
        kept->remove(i);
        return memory;
      }
    }
    try {
      return from_system(size);
    } catch (const std::bad_alloc&) {
      if (!kept) throw;
      while (kept->count > 0) kept->drop_oldest();
      return from_system(size);
    }
  }
  void give(void* memory, size_t size) noexcept {
    const auto kept = kept_.try_access();
    if (!kept || size > kLargest) return to_system(memory, size);
    while (kept->count == kMost || (kept->count > 0 && kept->total + size > kTotal))
      kept->drop_oldest();
    kept->blocks[kept->count++] = {memory, size};
    kept->total += size;
  }

 private:
  static constexpr size_t kLargest = size_t(1) << 23, kTotal = size_t(1) << 25, kMost = 64;
  struct Block {
    void* memory = nullptr;
    size_t size = 0;
  };
  struct Kept {
    Block blocks[kMost];  // in the order in which they were released
    size_t count = 0, total = 0;

    void remove(size_t i) {
      total -= blocks[i].size;
      std::copy(blocks + i + 1, blocks + count, blocks + i);
      --count;
    }
    void drop_oldest() {
      to_system(blocks[0].memory, blocks[0].size);
      remove(0);
    }
  };
  Guarded<Kept> kept_;
};

constinit Spares spares;
static_assert(std::is_trivially_destructible_v<Spares>);  // static buffers may outlive it

}  // namespace

void* take_memory(size_t bytes) {
  return kExact ? from_system(bytes) : spares.take(Spares::size_of(bytes));
}
void give_memory(void* memory, size_t bytes) noexcept {
  kExact ? to_system(memory, bytes) : spares.give(memory, Spares::size_of(bytes));
}

Buffer<std::byte> Shelf::take(int64_t bytes) {
  const auto kept = kept_.try_access();
  if (!kept) return Buffer<std::byte>(bytes);
  for (Buffer<std::byte>& block : kept->blocks) {
    if (block.count() >= bytes && block.count() <= 2 * bytes) return std::exchange(block, {});
  }
  try {
    return Buffer<std::byte>(bytes);
  } catch (const std::bad_alloc&) {
    for (Buffer<std::byte>& block : kept->blocks) block = {};
    return Buffer<std::byte>(bytes);
  }
}

void Shelf::give_back(Buffer<std::byte> block) noexcept {
  if (kExact) return;
  const auto kept = kept_.try_access();
  if (!kept) return;
  for (Buffer<std::byte>& place : kept->blocks) std::swap(place, block);
}

}  // namespace bptt
