// buffer.h: aligned memory, and a shelf on which large blocks wait to be used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/fork.h"
#include "kernels/kernels.h"

namespace bptt {

// Bytes for `count` elements of `size` bytes; throws std::bad_alloc where the product does not fit.
inline size_t checked_bytes(int64_t count, size_t size) {
  size_t bytes = 0;
  if (count < 0 || __builtin_mul_overflow(static_cast<size_t>(count), size, &bytes) ||
      bytes > SIZE_MAX / 2) {
    throw std::bad_alloc();
  }
  return bytes;
}

// Products of sizes that would overflow are sizes no memory can hold.
template <class... Sizes>
int64_t checked_count(int64_t first, Sizes... rest) {
  int64_t product = first;
  auto multiply = [&product](int64_t factor) {
    if (__builtin_mul_overflow(product, factor, &product)) throw std::bad_alloc();
  };
  (multiply(rest), ...);
  return product;
}

// Memory on a 64-byte boundary. Blocks of 4 KiB to 8 MiB that are given back wait to be taken again, 32
// MiB of them at most: a pass needs the same ones each time, and what the system hands out instead
// may be fresh pages (up to a tenth of a small training step). It never waits: where another thread is
// at it, memory comes from and goes to the system. Throws std::bad_alloc.
void* take_memory(size_t bytes);
void give_memory(void* memory, size_t bytes) noexcept;

// Elements on a 64-byte boundary. Not initialised unless asked.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : count_(std::exchange(other.count_, 0)), data_(std::move(other.data_)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    data_ = std::move(other.data_);
    count_ = std::exchange(other.count_, 0);
    return *this;
  }
  explicit Buffer(int64_t count)
      : count_(count),
        data_(static_cast<T*>(take_memory(checked_bytes(count, sizeof(T)))),
              Release{checked_bytes(count, sizeof(T))}) {}
  static Buffer zeros(int64_t count) {
    Buffer buffer(count);
    for (int64_t i = 0; i < count; ++i) buffer.data()[i] = T(0);
    return buffer;
  }
  // At least `count` elements; keeps what it has if that is enough.
  void reserve(int64_t count) {
    if (count > count_) *this = Buffer(count);
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  int64_t count() const { return count_; }
  T& operator[](int64_t i) { return data_.get()[i]; }
  const T& operator[](int64_t i) const { return data_.get()[i]; }

 private:
  struct Release {
    size_t bytes = 0;
    void operator()(T* memory) const { give_memory(memory, bytes); }
  };
  int64_t count_ = 0;
  std::unique_ptr<T[], Release> data_;
};

// Where products round the rows that they read to bfloat16 (kernels.h); every thread uses the rows of
// its own. Else nothing.
template <class T>
class OperandRows {
 public:
  OperandRows() = default;
  // For products of such a depth, or two of them at once.
  OperandRows(const Kernels<T>& kernels, int64_t rows, int64_t depth, int64_t second = 0)
      : row_(kernels.pairs ? pairs_row(depth) + pairs_row(second) : 0),
        rows_(checked_count(rows, row_)) {}
  T* at(int64_t row) const { return rows_.data() + row * row_; }

 private:
  int64_t row_ = 0;
  mutable Buffer<T> rows_;
};

// A freed tape's memory is kept for the next one of its size: fresh pages cost about 5 % of a
// training step. It never waits: where another thread is at the shelf, memory comes from and goes
// to the system.
class Shelf {
 public:
  // A block of at least `bytes`, from the shelf if one there fits without wasting half of it.
  // Throws std::bad_alloc, after having emptied the shelf.
  Buffer<std::byte> take(int64_t bytes);
  void give_back(Buffer<std::byte> block) noexcept;

 private:
  struct Kept {
    Buffer<std::byte> blocks[2];  // the last one given back first
  };
  Guarded<Kept> kept_;
};

}  // namespace bptt
