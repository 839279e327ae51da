// snapshot.h: parameters that are kept for tapes after a change.
#pragma once

#include <memory>

#include "base/buffer.h"
#include "sequence/packing.h"
#include "sequence/stack.h"

namespace bptt {

enum class Way { forth, back };

// The readout's weights as the kernels read them in one direction.
template <class T>
struct PackedReadout {
  PackKey key;
  Buffer<T> weight;  // forth: W_o^T; back: W_o
  Buffer<T> bias;    // forth only
};

// All that backward passes read of one version of the parameters. The tapes of that version share
// it. It is empty until the parameters change: tapes read the network's parameters until then.
template <class T>
struct Snapshot {
  std::shared_ptr<const Packed<T>> packed;
  std::shared_ptr<const PackedReadout<T>> readout;
  Buffer<T> readout_weight;  // with compute="bfloat16", because the packed weights are rounded
};

}  // namespace bptt
