// packing.h: a cache of packed weights.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/fork.h"
#include "base/profile.h"
#include "kernels/kernels.h"

namespace bptt {

// The source and the purpose of a packing.
struct PackKey {
  uint64_t version = 0;  // of the parameters
  const KernelTable* table = nullptr;
  bool one_hot = false;  // the input is one-hot tokens
  Weights weights = Weights::as_computed;
  bool operator==(const PackKey&) const = default;
};

// Keeps the newest packing of some weights; `Packing` has a member `key`.
template <class Packing>
class PackCache {
 public:
  // Returns the packing of `key`. If it is not the newest, fill(Packing&) makes it, reusing the
  // memory of the newest unless another holder (a stream, a tape) uses that. Exceptions of fill are
  // passed on.
  template <class Fill>
  std::shared_ptr<const Packing> get(const PackKey& key, const Fill& fill) {
    const auto access = newest_.access();
    std::shared_ptr<Packing>& newest = *access;
    if (newest && newest->key == key) return newest;
    std::shared_ptr<Packing> packing = std::move(newest);
    newest.reset();
    if (!packing || packing.use_count() > 1 || packing->key.table != key.table)
      packing = std::make_shared<Packing>();
    std::atomic_thread_fence(std::memory_order_acquire);  // after the last other holder's reads
    const Timed timed(Phase::packing);
    fill(*packing);
    packing->key = key;
    newest = packing;
    return packing;
  }

 private:
  Guarded<std::shared_ptr<Packing>> newest_;
};

// Reads row k of a packed matrix of one group (kernels.h: PackArgs) into `row` [units]. The
// operands must not be in pairs, so the numbers are those that were packed.
template <class T>
void unpack_row(const Kernels<T>& kernels, const T* packed, int64_t depth, int64_t units, int64_t k,
                T* row) {
  for (int64_t unit = 0; unit < units; unit += 2 * kernels.lanes) {
    const int64_t left = units - unit, width = (left > kernels.lanes ? 2 : 1) * kernels.lanes;
    std::copy_n(packed + unit * depth + k * width, std::min(left, width), row + unit);
  }
}

}  // namespace bptt
