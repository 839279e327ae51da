// buffer.h: aligned memory, and a shelf that keeps large blocks for reuse.
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

// Returns the bytes of `count` elements of `size` bytes; throws std::bad_alloc if they do not fit.
inline size_t checked_bytes(int64_t count, size_t size) {
  size_t bytes = 0;
  if (count < 0 || __builtin_mul_overflow(static_cast<size_t>(count), size, &bytes) ||
      bytes > SIZE_MAX / 2) {
    throw std::bad_alloc();
  }
  return bytes;
}

// Returns a product of sizes; throws std::bad_alloc if it overflows, since no memory could hold it.
template <class... Sizes>
int64_t checked_count(int64_t first, Sizes... rest) {
  int64_t product = first;
  auto multiply = [&product](int64_t factor) {
    if (__builtin_mul_overflow(product, factor, &product)) throw std::bad_alloc();
  };
  (multiply(rest), ...);
  return product;
}

// Memory on a 64-byte boundary; throws std::bad_alloc. Released blocks of up to 8 MiB, at most
// 32 MiB in all, are kept for reuse: a pass needs the same sizes each time, and the system may
// return fresh pages instead (up to a tenth of a small training step). Neither function waits:
// while another thread uses the kept blocks, memory comes from the system and returns to it.
void* take_memory(size_t bytes);
void give_memory(void* memory, size_t bytes) noexcept;

// Elements on a 64-byte boundary, initialised only by zeros().
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
  // Makes room for at least `count` elements; keeps the present memory if it is large enough.
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

// Scratch for products that convert the rows they read (kernels.h); every thread uses its own rows.
// Empty for other products.
template <class T>
class OperandRows {
 public:
  OperandRows() = default;
  // Makes rows for products of the given depth, or of two depths at the same time.
  OperandRows(const Kernels<T>& kernels, int64_t rows, int64_t depth, int64_t second = 0)
      : row_(kernels.weights != Weights::as_computed ? narrow_row(depth) + narrow_row(second)
             : kernels.pairs                         ? pairs_row(depth) + pairs_row(second)
                                                     : 0),
        rows_(checked_count(rows, row_)) {}
  T* at(int64_t row) const { return rows_.data() + row * row_; }

 private:
  int64_t row_ = 0;
  mutable Buffer<T> rows_;
};

// Keeps the memory of a freed tape for the next one of its size: fresh pages cost about 5 % of a
// training step. It never waits: while another thread uses the shelf, memory comes from the system
// and returns to it.
class Shelf {
 public:
  // Returns a block of at least `bytes`: one from the shelf, if that wastes at most half of it,
  // or a new one. Throws std::bad_alloc after it has emptied the shelf.
  Buffer<std::byte> take(int64_t bytes);
  void give_back(Buffer<std::byte> block) noexcept;

 private:
  struct Kept {
    Buffer<std::byte> blocks[2];  // the newest first
  };
  Guarded<Kept> kept_;
};

}  // namespace bptt
