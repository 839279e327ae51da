#include "sequence/buffer.h"

namespace bptt {

Buffer<std::byte> Shelf::take(int64_t bytes) {
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    for (size_t i = blocks_.size(); i-- > 0;) {
      if (blocks_[i].count() >= bytes && blocks_[i].count() <= 2 * bytes) {
        Buffer<std::byte> block = std::move(blocks_[i]);
        blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(i));
        return block;
      }
    }
  }
  return Buffer<std::byte>(bytes);
}

void Shelf::give_back(Buffer<std::byte> block) {
  Buffer<std::byte> oldest;  // freed outside the lock
  const std::lock_guard<std::mutex> guard(mutex_);
  if (blocks_.size() == kKept) {
    oldest = std::move(blocks_.front());
    blocks_.erase(blocks_.begin());
  }
  blocks_.push_back(std::move(block));
}

}  // namespace bptt
