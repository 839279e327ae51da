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

void read_options(const py::dict& from, bptt_layer_options& to);
void read_options(const py::dict& from, bptt_optimizer_options& to);
// Reads the options and returns the class weights, which `to` points to without a copy.
Flat read_options(const py::dict& from, Options& to);
py::dict write_options(const Options& from);

int64_t parameter_count(bptt_params* params);

}  // namespace bindings
