// option_rules.h: the checks of options, alone and together. The C API and the reader of model
// files share them.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "model/option_table.h"
#include "model/params.h"

namespace bptt {

// A wrong option: its expected and actual value, in the words of bptt.h and of Python.
struct OptionProblem {
  const OptionRow* row;
  struct Words {
    std::string name, expected, got;
  } c, python;
};

// Whether parameters are to be initialised with the options or, as in a file, exist already.
// Existing ones may come from initial options that are refused today.
enum class Parameters { begin, are_there };

// Returns the first problem of these structs; numbers are checked as the dtype represents them.
// Class weights, if there are any, have output_size elements, and alphas hidden_size.
std::optional<OptionProblem> problem_of(const OptionStructs& options, Dtype dtype,
                                        Parameters parameters = Parameters::begin);
// Returns the first problem of the options of a backward pass, which bptt_backward has too.
std::optional<OptionProblem> problem_of_call(const bptt_layer_options& layer,
                                             const bptt_model_options& call);
std::optional<OptionProblem> problem_of_weights(std::span<const double> weights);
std::optional<OptionProblem> problem_of_alphas(std::span<const double> alphas, Dtype dtype);

}  // namespace bptt
