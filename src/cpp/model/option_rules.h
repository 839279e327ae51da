// option_rules.h: the checks of options, alone and together. The C API and the reader of model files make the
// same ones.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "model/option_table.h"
#include "model/params.h"

namespace bptt {

// An option that is wrong, what it has to be and what it is, in the words of bptt.h and of Python.
struct OptionProblem {
  const OptionRow* row;
  struct Words {
    std::string name, expected, got;
  } c, python;
};

// Whether parameters begin with the options or, as in a file, are there already: then starts are allowed that are
// refused now.
enum class Parameters { begin, are_there };

// The first problem of these structs, whose numbers are judged as the dtype holds them. Class weights, if
// there are any, are [output_size].
std::optional<OptionProblem> problem_of(const OptionStructs& options, Dtype dtype,
                                        Parameters parameters = Parameters::begin);
// The same of what a backward pass is called with: the options that bptt_backward has, too.
std::optional<OptionProblem> problem_of_call(const bptt_layer_options& layer,
                                             const bptt_model_options& call);
std::optional<OptionProblem> problem_of_weights(std::span<const double> weights);

}  // namespace bptt
