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

// What the layers of a stack are, apart from what they read (bptt.h: bptt_layer_options).
struct LayerConfig {
  Cell cell = Cell::lstm;
  Activation activation = Activation::tanh;  // RNN
  int64_t hidden = 0, layers = 1;
  bool bias = true;
  bool bidirectional = false;
  int64_t projection = 0;  // LSTM: h has so many elements; 0: as many as there are units
  bool peephole = false;   // LSTM
  bool coupled = false;    // LSTM: f = 1 - i
  bool reset_after = true;  // GRU
  bool layer_norm = false;
  double alpha = 1;                   // RNN: leak
  double noise = 0;                   // RNN: sigma
  double dale = -1;                   // RNN: fraction of excitatory units; negative: off
  double dropout = 0;                 // between layers
  bool variational = false;           // its mask is the same for all steps
  double recurrent_dropout = 0;       // of h_{t-1} in its product
  double zoneout = 0, zoneout_c = 0;  // of h; LSTM: of c
  uint64_t seed = 0;                  // of the masks

  int64_t directions() const { return bidirectional ? 2 : 1; }
  int64_t state() const { return projection ? projection : hidden; }  // elements of h
  int64_t walks() const { return layers * directions(); }             // L * D
  int64_t features() const { return directions() * state(); }         // of a layer's output
};

struct StackConfig : LayerConfig {
  int64_t input = 0;
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
