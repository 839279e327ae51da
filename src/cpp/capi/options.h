// options.h: the structs of options as the engine takes them.
#pragma once

#include <string>

#include "bptt_optimizer.h"
#include "model/model.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/params.h"

namespace bptt {

NetworkConfig layer_settings(const bptt_layer_options* options);
// The smallest layer with the cell that these options name; the others do not matter.
LayerConfig cell_settings(const bptt_layer_options* options);
OptimizerConfig optimizer_settings(const bptt_optimizer_options* options, Dtype dtype);
// optimizer null: the defaults.
ModelConfig model_settings(const bptt_model_options* options, const bptt_layer_options* layer,
                           const bptt_optimizer_options* optimizer);
// The options of a backward pass.
void check_call(const bptt_layer_options& layer, const bptt_backward& backward);

// What has to be finite in T, in words.
template <class T>
std::string held_by(const char* product = "") {
  return std::string("a number >= 0 that") + product + " is finite in " +
         (sizeof(T) == sizeof(float) ? "float32" : "float64");
}

}  // namespace bptt
