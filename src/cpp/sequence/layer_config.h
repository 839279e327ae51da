// layer_config.h: the configuration of a stack's layers: the options of bptt.h and values derived
// from them.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "bptt.h"
#include "kernels/kernels.h"
#include "sequence/cell_shape.h"

namespace bptt {

// The options are already checked (model/option_rules.h). `cell` and `compute` are the engine's
// enumerators for the options of the same names; `alphas` owns the numbers.
struct LayerConfig : bptt_layer_options {
  explicit LayerConfig(const bptt_layer_options& options)
      : bptt_layer_options(options),
        cell(Cell(options.cell - BPTT_RNN)),
        activation(Activation(options.nonlinearity - BPTT_TANH)),
        compute(Compute(options.compute)),
        hidden(options.hidden_size),
        layers(options.num_layers),
        projection(options.proj_size),
        reset_after(options.reset_before == 0) {
    if (options.alphas) alphas.assign(options.alphas, options.alphas + options.hidden_size);
    bptt_layer_options::alphas = nullptr;  // the caller may free it after the call
  }

  Cell cell;
  Activation activation;  // RNN
  Compute compute;        // bfloat16: float32 parameters only
  int64_t hidden, layers;
  int64_t projection;          // LSTM: elements of h; 0: as many as units
  bool reset_after;            // GRU
  std::vector<double> alphas;  // [H]; empty: all are alpha

  bool dales_law() const { return !std::isnan(dale); }
  // Returns whether the layer needs more than the plain cell (kernels.h: CellOptions).
  bool extended() const {
    return projection || peephole || coupled || !reset_after || layer_norm || alpha != 1 ||
           !alphas.empty() || noise > 0 || zoneout > 0 || zoneout_c > 0 || saves_slope(activation);
  }
  CellShape shape() const {
    return cell_shape({cell, extended(), coupled != 0, peephole != 0, projection > 0, !reset_after,
                       layer_norm != 0});
  }
  // Returns the options; alphas is a view.
  bptt_layer_options options() const {
    bptt_layer_options options = *this;
    if (!alphas.empty()) options.alphas = alphas.data();
    return options;
  }
  int64_t directions() const { return bidirectional ? 2 : 1; }
  int64_t state() const { return projection ? projection : hidden; }  // elements of h
  int64_t walks() const { return layers * directions(); }             // L * D
  int64_t features() const { return directions() * state(); }         // of a layer's output
};
static_assert(int(Cell::min_gru) == BPTT_MINGRU - BPTT_RNN);
static_assert(int(Activation::silu) == BPTT_SILU - BPTT_TANH);
static_assert(int(Compute::bfloat16) == BPTT_COMPUTE_BFLOAT16);

// The number of units, from the first on, that excite under Dale's law.
inline int64_t excitatory_units(const LayerConfig& config) {
  return int64_t(config.dale * double(config.hidden_size) + 0.5);
}

struct StackConfig : LayerConfig {
  int64_t input = 0;
};

}  // namespace bptt
