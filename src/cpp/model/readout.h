// readout.h: the readout's passes over blocks of time: out = W_o h + b_o for the target rows, and
// the gradients of it.
#pragma once

#include <memory>
#include <vector>

#include "model/network.h"

namespace bptt {

template <class T>
class ReadoutForwardPass {
 public:
  ReadoutForwardPass(const Network<T>& network, const ReadoutForward<T>& readout,
                     const Tape<T>& tape);
  // Every member of the team calls it.
  void block(const Team& team, const Block<T>& block);

 private:
  const Network<T>& network_;
  const ReadoutForward<T>& readout_;
  const std::shared_ptr<const PackedReadout<T>> packed_;
  const Kernels<T>& kernels_;
  const OperandRows<T> operands_;  // for one block
  Buffer<T> out_, gathered_;       // for one block
};

template <class T>
class ReadoutBackwardPass {
 public:
  ReadoutBackwardPass(const Network<T>& network, const ReadoutBackward<T>& readout,
                      std::shared_ptr<const PackedReadout<T>> packed, const Tape<T>& tape,
                      bool gradients, int64_t shards);
  // Computes dL/d h of a block's target rows into dy [rows of the block], and the readout's
  // gradients; returns false if the block has no targets. Every member of the team calls it.
  bool block(const Team& team, const Block<T>& block, T* dy);

 private:
  struct Scratch {
    Buffer<T> dout, rows, panels;  // for one block
    OperandRows<T> operands;       // for one block
  };
  const Network<T>& network_;
  const ReadoutBackward<T>& readout_;
  const std::shared_ptr<const PackedReadout<T>> packed_;
  const Kernels<T>& kernels_;
  std::vector<Scratch> scratch_;  // one per shard
};

}  // namespace bptt
