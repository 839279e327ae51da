// readout.h: the readout's passes over blocks of time: out = W_o h + b_o for the target rows, and back.
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
  // By every member of the team.
  void block(const Team& team, const Block<T>& block);

 private:
  const Network<T>& network_;
  const ReadoutForward<T>& readout_;
  const std::shared_ptr<const PackedReadout<T>> packed_;
  const Kernels<T>& kernels_;
  const OperandRows<T> operands_;  // of a block
  Buffer<T> out_, gathered_;       // of a block
};

template <class T>
class ReadoutBackwardPass {
 public:
  ReadoutBackwardPass(const Network<T>& network, const ReadoutBackward<T>& readout,
                      std::shared_ptr<const PackedReadout<T>> packed, const Tape<T>& tape,
                      bool gradients, int64_t shards);
  // dL/d output of a block's target rows into dy [rows of the block] and the readout's gradients;
  // false if it has none. By every member of the team.
  bool block(const Team& team, const Block<T>& block, T* dy);

 private:
  struct Scratch {
    Buffer<T> dout, rows, panels;  // of a block
    OperandRows<T> operands;       // the same
  };
  const Network<T>& network_;
  const ReadoutBackward<T>& readout_;
  const std::shared_ptr<const PackedReadout<T>> packed_;
  const Kernels<T>& kernels_;
  std::vector<Scratch> scratch_;  // per shard
};

}  // namespace bptt
