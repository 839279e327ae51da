// packed.h: weights in the order in which the kernels read them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "kernels/kernels.h"
#include "sequence/packing.h"

namespace bptt {

// Weights as the kernels want them.
template <class T>
struct Packed {
  PackKey key;
  struct Layer {
    Buffer<T> input, recurrent;  // forward: W_ih^T, W_hh^T. backward: W_ih, W_hh
    Buffer<T> recurrent_n;       // W_hn, with the reset before the product; then not in `recurrent`
    Buffer<T> projection;        // forward: W_hr^T, backward: W_hr
    Buffer<T> bias;              // forward: [gates, plane]: b_ih + b_hh (GRU's n: b_ih)
    Buffer<T> bias_hidden;       // forward: GRU's b_hn
    Buffer<T> token_rows;        // forward, one-hot: [V, gates * plane], a token's part of the
                                 // pre-activations with the bias (layer norm: without)
    Buffer<T> peephole;          // [peepholes, plane]
    Buffer<T> gains;        // layer norm: of W_ih x, of W_hh h [gates, plane] each; LSTM: of c_t
                            // and the bias of that [plane] each
    Buffer<int8_t> slopes;  // backward, Dale's law: of W_hh as it acts, by its elements [H, H]
  };
  std::vector<Layer> layers;
};

template <class T>
class Stack;

// All that passes read of the parameters, for the instruction set in use. Throw std::bad_alloc.
template <class T>
std::shared_ptr<const Packed<T>> packed_forward(const Stack<T>& stack, const T* parameters,
                                                uint64_t version, bool one_hot);
template <class T>
std::shared_ptr<const Packed<T>> packed_backward(const Stack<T>& stack, const T* parameters,
                                                 uint64_t version);

}  // namespace bptt
