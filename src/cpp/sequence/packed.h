// packed.h: weights packed in the layout that the kernels read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "kernels/kernels.h"
#include "sequence/packing.h"

namespace bptt {

// The packed weights of a stack.
template <class T>
struct Packed {
  PackKey key;
  struct Layer {
    Buffer<T> input, recurrent;  // forward: W_ih^T, W_hh^T. backward: W_ih, W_hh
    Buffer<T> recurrent_n;  // W_hn if the reset is before the product; `recurrent` then omits it
    Buffer<T> projection;   // forward: W_hr^T, backward: W_hr
    Buffer<T> bias;         // forward: [gates, plane]: b_ih + b_hh (GRU's n: b_ih)
    Buffer<T> bias_hidden;  // forward: GRU's b_hn
    Buffer<T> token_rows;   // forward, one-hot: [V, gates * plane], a token's part of the
                            // pre-activations with the bias (layer norm: without)
    Buffer<T> peephole;     // [peepholes, plane]
    Buffer<T> alphas;       // [plane] of each unit, if they differ
    Buffer<T> gains;  // layer norm: of W_ih x, of W_hh h [gates, plane] each; LSTM: of c_t and its
                      // bias [plane] each
    Buffer<int8_t> slopes;  // backward, Dale's law: slopes of the effective W_hh [H, H]
  };
  std::vector<Layer> layers;
};

template <class T>
class Stack;

// Both return everything that a pass reads of the parameters, packed for the instruction set in
// use. They throw std::bad_alloc. Streams may want narrow weights.
template <class T>
std::shared_ptr<const Packed<T>> packed_forward(const Stack<T>& stack, const T* parameters,
                                                uint64_t version, bool one_hot,
                                                Weights weights = Weights::as_computed);
template <class T>
std::shared_ptr<const Packed<T>> packed_backward(const Stack<T>& stack, const T* parameters,
                                                 uint64_t version);

}  // namespace bptt
