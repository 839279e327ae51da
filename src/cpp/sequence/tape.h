// tape.h: what one forward pass remembers, per layer:
//     h, c     [window + 1, N, H]      states; slot 0 is the state before the window's first step
//     planes   [window, N, planes, H]  what the cell saved (kernels.h: CellShape); none for RNN
// and once: the input [window, N, I], or the tokens [T, N]. The window is all of T for BPTT, one
// block of time steps where nothing has to be remembered. Rows have the lengths of Geometry. Bytes:
// sizeof(T) * N * T * L * H * (1 | 2 + 4 | 1 + 4) for RNN | LSTM | GRU, and the input.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.h"
#include "sequence/buffer.h"

namespace bptt {

struct StackConfig {
  Cell cell = Cell::lstm;
  Activation activation = Activation::tanh;
  int64_t input = 0, hidden = 0, layers = 1;
  bool bias = true;
};

// Lengths of internal rows, in elements.
template <class T>
struct Geometry {
  int64_t input_row;   // of x of the first layer
  int64_t state_row;   // of h, c, and of x of the upper layers
  int64_t plane;       // between the planes of a row
  int64_t planes_row;  // of the saved planes
  int64_t dz_row;      // of the pre-activation gradients
  explicit Geometry(const StackConfig& config) {
    const CellShape shape = cell_shape(config.cell);
    input_row = padded_row<T>(config.input);
    state_row = padded_row<T>(config.hidden);
    plane = padded_plane<T>(config.hidden);
    planes_row = shape.planes ? padded_row<T>(shape.planes * plane) : 0;
    dz_row = padded_row<T>(shape.dz_planes * plane);
  }
};

template <class T>
class Tape {
 public:
  struct Layer {
    T* h;
    T* c;
    T* planes;
  };

  // `dense`: the input is copied (or gathered from a table); else only its tokens are kept.
  Tape(std::shared_ptr<Shelf> shelf, const StackConfig& config, int64_t steps, int64_t batch,
       int64_t window, bool dense, bool tokens);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  int64_t steps() const { return steps_; }
  int64_t batch() const { return batch_; }
  int64_t window() const { return window_; }
  int64_t bytes() const { return bytes_; }
  bool dense() const { return x_ != nullptr; }
  bool tokens() const { return tokens_ != nullptr; }
  uint64_t version() const { return version_; }  // of the parameters it was made with

  const Layer& layer(int64_t index) const { return layers_[static_cast<size_t>(index)]; }
  T* x() const { return x_; }
  int64_t* token_ids() const { return tokens_; }

  void stamp(uint64_t version) { version_ = version; }

 private:
  std::shared_ptr<Shelf> shelf_;
  int64_t steps_, batch_, window_;
  uint64_t version_ = 0;
  int64_t bytes_ = 0;
  Buffer<std::byte> block_;
  std::vector<Layer> layers_;
  T* x_ = nullptr;
  int64_t* tokens_ = nullptr;
};

}  // namespace bptt
