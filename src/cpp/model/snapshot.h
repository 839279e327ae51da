// snapshot.h: parameters that tapes outlive.
#pragma once

#include <memory>

#include "base/buffer.h"
#include "sequence/packing.h"
#include "sequence/stack.h"

namespace bptt {

enum class Way { forth, back };

// The readout's weights as the kernels want them, one way.
template <class T>
struct PackedReadout {
  PackKey key;
  Buffer<T> weight;  // forth: W_o^T; back: W_o
  Buffer<T> bias;    // forth
};

// All that backward passes read of the parameters of one version. Every tape of that version holds it.
// It is empty until the parameters change: tapes read those of the network until then.
template <class T>
struct Snapshot {
  std::shared_ptr<const Packed<T>> packed;
  std::shared_ptr<const PackedReadout<T>> readout;
  Buffer<T> readout_weight;  // with compute="bfloat16", whose packings are rounded
};

}  // namespace bptt
