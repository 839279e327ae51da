// choices.h: enumerators of the C API and the engine's, each with the other.
#pragma once

#include <string>

#include "capi/capi.h"

namespace bptt {

struct Choice {
  int32_t value;
  const char* name;
};

// The position of `value` among the choices; an enum in C may hold anything.
template <size_t count>
size_t choose(int32_t value, const Choice (&choices)[count], const std::string& argument) {
  std::string names;
  for (size_t i = 0; i < count; ++i) {
    if (choices[i].value == value) return i;
    names += (i ? ", " : "") + std::string(choices[i].name) + " (" +
             std::to_string(choices[i].value) + ")";
  }
  fail(BPTT_ERR_ARGUMENT, argument, "one of " + names, std::to_string(value));
}

// The C value that stands for an engine's enumerator.
template <class Enum, class Known, size_t count>
Enum value_of(Known known, const Known (&meanings)[count], const Choice (&choices)[count]) {
  size_t i = 0;
  while (meanings[i] != known) ++i;
  return static_cast<Enum>(choices[i].value);
}

template <size_t count>
void refuse_reserved(const uint64_t (&reserved)[count], const std::string& argument) {
  for (const uint64_t field : reserved) {
    if (field != 0)
      fail(BPTT_ERR_STRUCT_SIZE, argument, "zeros (room for later versions)",
           std::to_string(field));
  }
}

inline void fraction(double value, const std::string& argument) {
  if (!(value >= 0 && value < 1))
    fail(BPTT_ERR_ARGUMENT, argument, "a number in [0, 1)", text(value));
}

// layer_options.cpp. The settings of a layer, or of a model's layers (prefix "layer.") that read
// `inputs` features; refuses sizes whose parameters alone would not fit into memory.
LayerSettings check_layer(const bptt_layer_options& options, const std::string& prefix,
                          int64_t inputs);
void check_parameters(const NetworkConfig& network, size_t element);
bptt_layer_options layer_options(const NetworkConfig& network, const InitConfig& init,
                                 bptt_dtype dtype);

}  // namespace bptt
