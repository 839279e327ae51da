#include "sequence/buffer.h"

namespace bptt {

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
  if (!guard.owns_lock()) return;
  for (Buffer<std::byte>& kept : blocks_) std::swap(kept, block);
}

}  // namespace bptt
