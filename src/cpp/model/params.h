// params.h: the parameters of a layer or model as one flat vector with named views.
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
  std::string name;            // as in PyTorch
  std::vector<int64_t> shape;  // rank 1 or 2
  int64_t offset = 0, count = 0;
  bool frozen = false;
  bool nonnegative = false;  // an update or assignment that makes an element negative makes it 0
  std::vector<uint8_t> mask = {};  // [count], 0: the element and its gradient are 0; empty: all 1

  bool is_matrix() const { return shape.size() > 1; }
  bool constrained() const { return nonnegative || !mask.empty(); }
};

template <class T>
class Params {
 public:
  // Appends a tensor. Call it for all tensors before allocate().
  void add(std::string name, std::vector<int64_t> shape);
  void allocate();  // sets all to zero; throws std::bad_alloc

  const std::vector<Param>& tensors() const { return tensors_; }
  std::vector<Param>& tensors() { return tensors_; }
  const Param* find(const std::string& name) const;
  int64_t count() const { return count_; }
  const T* data() const { return data_.data(); }
  const T* data(const Param& tensor) const { return data_.data() + tensor.offset; }

  // Zeroes the gradients [P] of frozen tensors and masked elements.
  void restrict_gradient(T* gradient) const;
  // Zeroes masked elements, and negative ones of non-negative tensors, in values [P] of the
  // parameters.
  void constrain(T* values) const;
  // The same for elements [from, from + count) of one tensor, to which `values` points.
  void constrain(const Param& tensor, int64_t from, int64_t count, T* values) const;
  // Zeroes the masked ones among these elements.
  void mask(const Param& tensor, int64_t from, int64_t count, T* values) const;

  // Runs before every change. If it throws, the values stay unchanged.
  std::function<void()> before_change;
  // Returns the values for writing. The caller holds `lock` exclusively. Packed copies of the old
  // values become stale.
  T* change() {
    if (before_change) before_change();
    version_.fetch_add(1, std::memory_order_release);
    return data_.data();
  }
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Readers hold it shared, writers exclusively.
  mutable Lock lock;

 private:
  std::vector<Param> tensors_;
  int64_t count_ = 0;
  Buffer<T> data_;
  std::atomic<uint64_t> version_{1};
};

}  // namespace bptt
