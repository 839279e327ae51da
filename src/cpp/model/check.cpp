#include "model/check.h"

#include <charconv>
#include <cmath>

namespace bptt {
namespace {

std::string text(double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return {digits, end};
}

// Collects the first problem.
class Checks {
 public:
  void require(bool right, const char* option, const char* expected, double got) {
    if (!right && !problem) problem = OptionProblem{option, expected, text(got)};
  }
  void fraction(const char* option, double value) {
    require(value >= 0 && value < 1, option, "a number in [0, 1)", value);
  }
  void not_negative(const char* option, double value) {
    require(value >= 0 && std::isfinite(value), option, "a finite number >= 0", value);
  }
  std::optional<OptionProblem> problem;
};

}  // namespace

std::optional<OptionProblem> problem_of(const LayerConfig& layer) {
  Checks checks;
  const bool rnn = layer.cell == Cell::rnn, lstm = layer.cell == Cell::lstm;
  const bool dale = layer.dales_law(), projected = layer.projection != 0;
  checks.require(rnn || layer.activation == Activation::tanh, "nonlinearity",
                 "BPTT_TANH (1) unless the cell is BPTT_RNN", int(layer.activation) + 1);
  checks.require(layer.alpha > 0 && layer.alpha <= 1, "alpha", "a number in (0, 1]", layer.alpha);
  checks.require(rnn || layer.alpha == 1, "alpha", "1 unless the cell is BPTT_RNN", layer.alpha);
  checks.not_negative("noise", layer.noise);
  checks.require(rnn || layer.noise == 0, "noise", "0 unless the cell is BPTT_RNN", layer.noise);
  checks.require(!dale || (layer.dale >= 0 && layer.dale <= 1), "dale",
                 "a number in [0, 1], or NaN", layer.dale);
  checks.require(!dale || rnn, "dale", "NaN unless the cell is BPTT_RNN", layer.dale);
  checks.require(lstm || !layer.peephole, "peephole", "0 unless the cell is BPTT_LSTM", 1);
  checks.require(lstm || !layer.coupled, "coupled", "0 unless the cell is BPTT_LSTM", 1);
  checks.require(lstm || !projected, "proj_size", "0 unless the cell is BPTT_LSTM",
                 double(layer.projection));
  checks.require(layer.projection >= 0 && layer.projection < layer.hidden, "proj_size",
                 "0, or a size >= 1 and below hidden_size", double(layer.projection));
  checks.require(layer.cell == Cell::gru || layer.reset_after, "reset_before",
                 "0 unless the cell is BPTT_GRU", 1);
  checks.require(layer.reset_after || !layer.layer_norm, "layer_norm", "0 with reset_before", 1);
  checks.fraction("dropout", layer.dropout);
  checks.fraction("recurrent_dropout", layer.recurrent_dropout);
  checks.fraction("zoneout", layer.zoneout);
  checks.fraction("zoneout_c", layer.zoneout_c);
  checks.require(lstm || layer.zoneout_c == 0, "zoneout_c", "0 unless the cell is BPTT_LSTM",
                 layer.zoneout_c);
  checks.require(!projected || layer.zoneout == 0, "zoneout", "0 with proj_size", layer.zoneout);
  checks.require(!projected || layer.zoneout_c == 0, "zoneout_c", "0 with proj_size",
                 layer.zoneout_c);
  return checks.problem;
}

std::optional<OptionProblem> problem_of(const LayerConfig& layer, const BpttSettings& settings) {
  Checks checks;
  checks.not_negative("clip_step", settings.clip_step);
  checks.not_negative("clip_step_norm", settings.clip_step_norm);
  const double k1 = double(settings.k1), k2 = double(settings.k2);
  const bool truncated = settings.k1 != 0 || settings.k2 != 0;
  checks.require(!truncated || settings.k1 >= 1, "truncation_k1",
                 "a number of steps >= 1, or 0 with truncation_k2 0", k1);
  checks.require(!truncated || settings.k2 >= settings.k1, "truncation_k2",
                 "a number of steps >= truncation_k1", k2);
  checks.require(!truncated || !layer.bidirectional, "truncation_k1", "0 with bidirectional", k1);
  checks.not_negative("omega", settings.omega);
  if (!(settings.omega > 0)) return checks.problem;
  const auto without = [&](bool absent, const char* expected) {
    checks.require(absent, "omega", expected, settings.omega);
  };
  without(layer.cell == Cell::rnn, "0 unless the cell is BPTT_RNN");
  without(!layer.layer_norm, "0 with layer_norm");
  without(layer.alpha == 1, "0 with alpha below 1");
  without(layer.noise == 0, "0 with noise");
  without(!layer.dales_law(), "0 with dale");
  without(layer.zoneout == 0, "0 with zoneout");
  without(layer.recurrent_dropout == 0, "0 with recurrent_dropout");
  without(settings.clip_step == 0, "0 with clip_step");
  without(settings.clip_step_norm == 0, "0 with clip_step_norm");
  without(!truncated, "0 with truncation_k1");
  return checks.problem;
}

}  // namespace bptt
