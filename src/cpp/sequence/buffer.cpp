#include "sequence/buffer.h"

#include <algorithm>

namespace bptt {
namespace {

// The sanitizers' builds: every block comes from the system in its exact size and goes back there, so
// that one element too far, or one use too late, is seen.
#ifdef BPTT_EXACT_BUFFERS
constexpr bool kExact = true;
#else
constexpr bool kExact = false;
#endif

void* from_system(size_t bytes) { return ::operator new(bytes, std::align_val_t(kAlignment)); }
void to_system(void* memory) { ::operator delete(memory, std::align_val_t(kAlignment)); }

class Spares {
 public:
  // Sizes are rounded up to eighths of a power of two, so that blocks fit again.
  static size_t size_of(size_t bytes) {
    size_t step = kAlignment;
    while (step * 16 < bytes) step *= 2;
    return (std::max(bytes, size_t(1)) + step - 1) / step * step;
  }
  void* take(size_t size) {
    const std::unique_lock<std::mutex> guard(mutex_, std::try_to_lock);
    if (guard.owns_lock()) {
      for (size_t i = count_; i-- > 0;) {
        if (blocks_[i].size != size) continue;
        void* const memory = blocks_[i].memory;
        remove(i);
        return memory;
      }
    }
    try {
      return from_system(size);
    } catch (const std::bad_alloc&) {
      if (!guard.owns_lock()) throw;
      while (count_ > 0) drop_oldest();
      return from_system(size);
    }
  }
  void give(void* memory, size_t size) noexcept {
    const std::unique_lock<std::mutex> guard(mutex_, std::try_to_lock);
    if (!guard.owns_lock() || size < kSmallest || size > kLargest) return to_system(memory);
    while (count_ == kMost || (count_ > 0 && total_ + size > kTotal)) drop_oldest();
    blocks_[count_++] = {memory, size};
    total_ += size;
  }

 private:
  static constexpr size_t kSmallest = size_t(1) << 12, kLargest = size_t(1) << 23,
                          kTotal = size_t(1) << 25, kMost = 64;
  struct Block {
    void* memory;
    size_t size;
  };
  void remove(size_t i) {
    total_ -= blocks_[i].size;
    std::copy(blocks_ + i + 1, blocks_ + count_, blocks_ + i);
    --count_;
  }
  void drop_oldest() {
    to_system(blocks_[0].memory);
    remove(0);
  }
  std::mutex mutex_;
  Block blocks_[kMost];  // the last one given back last
  size_t count_ = 0, total_ = 0;
};

// Never destroyed: buffers of static life may outlive it.
Spares& spares() {
  static Spares* const all = new Spares;
  return *all;
}

}  // namespace

void* take_memory(size_t bytes) {
  return kExact ? from_system(bytes) : spares().take(Spares::size_of(bytes));
}
void give_memory(void* memory, size_t bytes) noexcept {
  kExact ? to_system(memory) : spares().give(memory, Spares::size_of(bytes));
}

Buffer<std::byte> Shelf::take(int64_t bytes) {
  std::unique_lock<std::mutex> guard(mutex_, std::try_to_lock);
  if (!guard.owns_lock()) return Buffer<std::byte>(bytes);
  for (Buffer<std::byte>& block : blocks_) {
    if (block.count() >= bytes && block.count() <= 2 * bytes) return std::exchange(block, {});
  }
  try {
    return Buffer<std::byte>(bytes);
  } catch (const std::bad_alloc&) {
    for (Buffer<std::byte>& block : blocks_) block = {};
    return Buffer<std::byte>(bytes);
  }
}

void Shelf::give_back(Buffer<std::byte> block) noexcept {
  const std::unique_lock<std::mutex> guard(mutex_, std::try_to_lock);
  if (kExact || !guard.owns_lock()) return;
  for (Buffer<std::byte>& kept : blocks_) std::swap(kept, block);
}

}  // namespace bptt
