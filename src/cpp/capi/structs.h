// structs.h: the caller's structs: defaults, and reading and writing within struct_size.
// docs/design.md ("ABI") describes how structs grow.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "bptt_diagnostics.h"
#include "bptt_files.h"
#include "bptt_library.h"
#include "bptt_optimizer.h"
#include "bptt_options.h"
#include "bptt_stream.h"

namespace bptt {

// The minimum size of a struct: that of its fields up to `last`, which every version has. It never
// changes.
template <class Struct>
struct StructKind;
#define BPTT_STRUCT(type, last)                                                     \
  template <>                                                                       \
  struct StructKind<type> {                                                         \
    static constexpr const char* name = #type;                                      \
    static constexpr size_t least = offsetof(type, last) + sizeof(type().last);     \
    static_assert(least % alignof(type) == 0, "a struct may have ended here once"); \
  };
BPTT_STRUCT(bptt_error, text)
BPTT_STRUCT(bptt_layer_options, hidden_size)
BPTT_STRUCT(bptt_model_options, output_size)
BPTT_STRUCT(bptt_optimizer_options, lr)
BPTT_STRUCT(bptt_sequence, tokens_stride_n)
BPTT_STRUCT(bptt_outputs, y_stride_n)
BPTT_STRUCT(bptt_backward, gradients)
BPTT_STRUCT(bptt_target, stride_n)
BPTT_STRUCT(bptt_step, grad_norm)
BPTT_STRUCT(bptt_param_info, count)
BPTT_STRUCT(bptt_extra_info, values)
BPTT_STRUCT(bptt_flow, h)
BPTT_STRUCT(bptt_cell_info, has_c)
BPTT_STRUCT(bptt_nonlinearity_info, slope_of_a)
BPTT_STRUCT(bptt_seeds, dx_norms)
BPTT_STRUCT(bptt_spectrum, exponents)
BPTT_STRUCT(bptt_option_info, doc)
BPTT_STRUCT(bptt_option_conflict, reason)
BPTT_STRUCT(bptt_loss_info, unit_interval)
BPTT_STRUCT(bptt_stream_options, noise)
#undef BPTT_STRUCT

// Zeros, except for structs with a specialisation.
template <class Struct>
Struct defaults_of() {
  Struct defaults = {};
  defaults.struct_size = sizeof defaults;
  return defaults;
}
template <>
bptt_layer_options defaults_of<bptt_layer_options>();
template <>
bptt_model_options defaults_of<bptt_model_options>();
template <>
bptt_optimizer_options defaults_of<bptt_optimizer_options>();
template <>
bptt_spectrum defaults_of<bptt_spectrum>();

// A struct as this version of the library defines it.
struct Known {
  const char* name;
  size_t least, size, alignment;
};
template <class Struct>
constexpr Known known_struct() {
  return {StructKind<Struct>::name, StructKind<Struct>::least, sizeof(Struct), alignof(Struct)};
}

// Returns whether a version of the struct can have this size.
bool is_size(size_t struct_size, const Known& known);
// Copies the part of the caller's struct that both sides know to `into`, which holds the defaults.
// Refuses a struct_size of no version, and nonzero bytes that this version does not know.
void read_bytes(const void* given, const Known& known, const char* argument, void* into);
// Writes the part that both sides know, then zeros up to struct_size. The first member becomes
// struct_size.
void write_bytes(void* to, size_t struct_size, const void* from, const Known& known,
                 const char* argument);

template <class Struct>
Struct read_struct(const Struct* given, const char* argument) {
  Struct known = defaults_of<Struct>();
  read_bytes(given, known_struct<Struct>(), argument, &known);
  return known;
}
template <class Struct>
void write_struct(Struct* to, size_t struct_size, const Struct& from, const char* argument) {
  write_bytes(to, struct_size, &from, known_struct<Struct>(), argument);
}
// Returns the size of the part of a read struct that the caller's struct has.
template <class Struct>
size_t known_size(const Struct& known) {
  return std::min(known.struct_size, sizeof known);
}
// Writes back a struct that read_struct returned, after changes.
template <class Struct>
void write_back(Struct* to, const Struct& from) {
  std::memcpy(static_cast<void*>(to), &from, known_size(from));
}

}  // namespace bptt
