// options.h: option structs from and to dicts with the fields' names.
#pragma once

#include "bindings/bindings.h"

namespace bindings {

void read_options(const py::dict& from, bptt_layer_options& to);
void read_options(const py::dict& from, bptt_optimizer_options& to);
// Gives what holds the class weights, which are not copied.
Flat read_options(const py::dict& from, bptt_model_options& to);
py::dict write_options(const bptt_model_options& from);

int64_t parameter_count(bptt_params* params);

}  // namespace bindings
