// options.h: option structs from and to dicts with the fields' names.
#pragma once

#include "bindings/bindings.h"

namespace bindings {

// The options of a model, its layers and its optimiser.
struct Options {
  bptt_model_options model;
  bptt_layer_options layer;
  bptt_optimizer_options optimizer;
};

void read_options(const py::dict& from, bptt_layer_options& to);
void read_options(const py::dict& from, bptt_optimizer_options& to);
// Gives what holds the class weights, which are not copied.
Flat read_options(const py::dict& from, Options& to);
py::dict write_options(const Options& from);

int64_t parameter_count(bptt_params* params);

}  // namespace bindings
