// options.h: conversion of option structs from and to dicts with the same field names.
#pragma once

#include "bindings/bindings.h"

namespace bindings {

// The options of a model, of its layers and of its optimiser.
struct Options {
  bptt_model_options model;
  bptt_layer_options layer;
  bptt_optimizer_options optimizer;
};

// Read options. The first two return the arrays to which `to` points without copies.
struct OptionArrays {
  Flat alphas, class_weights;
};
OptionArrays read_options(const py::dict& from, bptt_layer_options& to, const char* owner);
OptionArrays read_options(const py::dict& from, Options& to);
void read_options(const py::dict& from, bptt_optimizer_options& to);
py::dict write_options(const Options& from);

int64_t parameter_count(bptt_params* params);

}  // namespace bindings
