// params.h: the learnt numbers of a layer or model as one flat vector with named views.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/lock.h"
#include "bptt.h"

namespace bptt {

enum class Dtype { float32, float64 };

inline Dtype dtype_of(bptt_dtype dtype) {
  return dtype == BPTT_FLOAT64 ? Dtype::float64 : Dtype::float32;
}

struct Param {
  std::string name;            // PyTorch's
  std::vector<int64_t> shape;  // rank 1 or 2
  int64_t offset = 0, count = 0;
  bool frozen = false;
};

template <class T>
class Params {
 public:
  // Appends a tensor; all are added before allocate().
  void add(std::string name, std::vector<int64_t> shape);
  void allocate();  // zeros; throws std::bad_alloc

  const std::vector<Param>& tensors() const { return tensors_; }
  std::vector<Param>& tensors() { return tensors_; }
  const Param* find(const std::string& name) const;
  int64_t count() const { return count_; }
  const T* data() const { return data_.data(); }
  const T* data(const Param& tensor) const { return data_.data() + tensor.offset; }

  // Run before every change. What it throws refuses the change: the values are still as they were.
  std::function<void()> before_change;
  // To change values: hold `lock` exclusively and call this; what was packed from the old values is
  // then stale.
  T* change() {
    if (before_change) before_change();
    version_.fetch_add(1, std::memory_order_release);
    return data_.data();
  }
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Shared by those that read the values, exclusive for those that change them.
  mutable Lock lock;

 private:
  std::vector<Param> tensors_;
  int64_t count_ = 0;
  Buffer<T> data_;
  std::atomic<uint64_t> version_{1};
};

}  // namespace bptt
