// option_rules.h: what options of layers, of their start and of BPTT have to be, alone and together. The C API
// and the reader of model files ask here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/init.h"
#include "model/params.h"
#include "sequence/tape.h"

namespace bptt {

// The option (as bptt.h names it) that is wrong, what it has to be and what it is.
struct OptionProblem {
  std::string option, expected, got;
};

// What is asked of a backward pass beyond the gradients.
struct BpttSettings {
  double clip_step = 0, clip_step_norm = 0;  // 0: off
  int64_t k1 = 0, k2 = 0;
  double omega = 0;
};

// Sizes are positive. Numbers are judged as the dtype has them.
std::optional<OptionProblem> problem_of(const LayerConfig& layer, Dtype dtype);
// `past`: of parameters that are there already, as in a file. Starts that are refused now may have made
// them.
std::optional<OptionProblem> problem_of(const NetworkConfig& network, const InitConfig& init,
                                        Dtype dtype, bool past = false);
std::optional<OptionProblem> problem_of(const LayerConfig& layer, const BpttSettings& settings);

}  // namespace bptt
