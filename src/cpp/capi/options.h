// options.h: conversion of the structs of options for the engine.
#pragma once

#include <string>

#include "bptt_optimizer.h"
#include "model/model.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/params.h"

namespace bptt {

NetworkConfig layer_settings(const bptt_layer_options* options);
// Returns the smallest layer with the cell that these options select; other options are ignored.
LayerConfig cell_settings(const bptt_layer_options* options);
OptimizerConfig optimizer_settings(const bptt_optimizer_options* options, Dtype dtype);
// A null optimizer means the defaults.
ModelConfig model_settings(const bptt_model_options* options, const bptt_layer_options* layer,
                           const bptt_optimizer_options* optimizer);
// Checks the options of a backward pass.
void check_call(const bptt_layer_options& layer, const bptt_backward& backward);

// Returns the wording of a number that must be finite in T.
template <class T>
std::string held_by(const char* product = "") {
  return std::string("a number >= 0 that") + product + " is finite in " +
         (sizeof(T) == sizeof(float) ? "float32" : "float64");
}

}  // namespace bptt
