#include "model/option_rules.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>

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
  explicit Checks(Dtype dtype = Dtype::float64) : dtype_(dtype) {}

  void require(bool right, const char* option, const std::string& expected, double got) {
    require(right, option, expected, text(got));
  }
  void require(bool right, const char* option, const std::string& expected,
               const std::string& got) {
    if (!right && !problem) problem = OptionProblem{option, expected, got};
  }
  void fraction(const char* option, double value) {
    require(value >= 0 && value < 1, option, "a number in [0, 1)", value);
  }

  // The value in the parameters' dtype, infinite where it is too large for it.
  double as_stored(double value) const {
    if (dtype_ == Dtype::float64) return value;
    const double most = double(std::numeric_limits<float>::max());
    return std::fabs(value) > most ? value * std::numeric_limits<double>::infinity()
                                   : double(static_cast<float>(value));
  }
  bool finite(double value) const { return std::isfinite(as_stored(value)); }
  const char* dtype_name() const { return dtype_ == Dtype::float32 ? "float32" : "float64"; }

  // Numbers by which elements are multiplied: the products neither overflow nor vanish.
  bool moderate(double value) const {
    const double most = dtype_ == Dtype::float32 ? 1e30 : 1e300;
    return std::fabs(value) >= 1 / most && std::fabs(value) <= most;
  }
  const char* moderate_range() const {
    return dtype_ == Dtype::float32 ? "[1e-30, 1e30] with float32" : "[1e-300, 1e300] with float64";
  }
  void not_negative(const char* option, double value) {
    require(value >= 0 && std::isfinite(value), option, "a finite number >= 0", value);
  }
  std::optional<OptionProblem> problem;

 private:
  const Dtype dtype_;
};

}  // namespace

std::optional<OptionProblem> problem_of(const LayerConfig& layer, Dtype dtype) {
  Checks checks(dtype);
  const bool rnn = layer.cell == Cell::rnn, lstm = layer.cell == Cell::lstm;
  const bool dale = layer.dales_law(), projected = layer.projection != 0;
  checks.require(rnn || layer.activation == Activation::tanh, "nonlinearity",
                 "BPTT_TANH (1) unless the cell is BPTT_RNN", int(layer.activation) + 1);
  checks.require(layer.alpha > 0 && layer.alpha <= 1, "alpha", "a number in (0, 1]", layer.alpha);
  checks.require(rnn || layer.alpha == 1, "alpha", "1 unless the cell is BPTT_RNN", layer.alpha);
  checks.require(checks.as_stored(layer.alpha) > 0, "alpha",
                 std::string("a number that is above 0 in ") + checks.dtype_name(), layer.alpha);
  checks.not_negative("noise", layer.noise);
  checks.require(
      checks.finite(std::sqrt(2 / layer.alpha) * layer.noise), "noise",
      std::string("a number with sqrt(2 / alpha) noise finite in ") + checks.dtype_name(),
      layer.noise);
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
  for (const auto& [option, value] :
       {std::pair("zoneout", layer.zoneout), std::pair("zoneout_c", layer.zoneout_c)}) {
    checks.require(checks.as_stored(value) < 1, option,
                   std::string("a number that is below 1 in ") + checks.dtype_name(), value);
  }
  checks.require(!projected || layer.zoneout == 0, "zoneout", "0 with proj_size", layer.zoneout);
  checks.require(!projected || layer.zoneout_c == 0, "zoneout_c", "0 with proj_size",
                 layer.zoneout_c);
  return checks.problem;
}

std::optional<OptionProblem> problem_of(const NetworkConfig& network, const InitConfig& init,
                                        Dtype dtype, bool past) {
  Checks checks(dtype);
  const auto any_of = [&](std::initializer_list<WeightInit> kinds) {
    return std::find(kinds.begin(), kinds.end(), init.weights) != kinds.end();
  };
  const std::string stored = std::string(" in ") + checks.dtype_name();
  const std::string kind = text(int(init.weights) + 1);
  checks.require(std::isfinite(init.gain), "init_gain", "a finite number", init.gain);
  const bool forgets = network.cell == Cell::lstm && network.bias && !network.coupled;
  const bool forget_given = !std::isnan(init.forget_bias);
  checks.require(!forget_given || forgets, "forget_bias",
                 "NaN unless the cell is BPTT_LSTM with a bias and not coupled", init.forget_bias);
  checks.require(!forget_given || std::isfinite(init.forget_bias), "forget_bias",
                 "a finite number, or NaN to leave it", init.forget_bias);
  checks.require(!forget_given || checks.finite(init.forget_bias), "forget_bias",
                 "a number that is finite" + stored + ", or NaN to leave it", init.forget_bias);
  checks.require(init.spectral_radius > 0 && std::isfinite(init.spectral_radius), "spectral_radius",
                 "a finite number > 0", init.spectral_radius);
  const bool chrono = init.weights == WeightInit::chrono;
  checks.require(
      !chrono || (network.cell != Cell::rnn && network.bias), "init",
      "another than BPTT_INIT_CHRONO unless the cell is BPTT_LSTM or BPTT_GRU with a bias",
      "BPTT_INIT_CHRONO");
  checks.require(!chrono || !forget_given, "forget_bias",
                 "NaN beside BPTT_INIT_CHRONO, which sets these biases", init.forget_bias);
  checks.require(!chrono || (init.time_scale >= 2 && std::isfinite(init.time_scale)), "time_scale",
                 "a finite number >= 2 for BPTT_INIT_CHRONO", init.time_scale);
  checks.require(chrono || std::isnan(init.time_scale), "time_scale",
                 "NaN unless init is BPTT_INIT_CHRONO", init.time_scale);
  checks.require(!chrono || checks.finite(init.time_scale), "time_scale",
                 "a number that is finite" + stored, init.time_scale);
  checks.require(!any_of({WeightInit::normal, WeightInit::sparse}) || !network.projection, "init",
                 "another than BPTT_INIT_NORMAL and BPTT_INIT_SPARSE with proj_size", kind);
  if (past) return checks.problem;
  const bool scaled = any_of({WeightInit::orthogonal, WeightInit::identity});
  checks.require(!scaled || init.gain == 0 || checks.moderate(init.gain), "init_gain",
                 std::string("0, or a number whose size is in ") + checks.moderate_range(),
                 init.gain);
  const bool rescaled = any_of({WeightInit::normal, WeightInit::sparse});
  checks.require(!rescaled || checks.moderate(init.spectral_radius), "spectral_radius",
                 std::string("a number in ") + checks.moderate_range(), init.spectral_radius);
  const bool dale = network.dales_law();
  checks.require(!dale || !any_of({WeightInit::identity, WeightInit::sparse}), "init",
                 "another than BPTT_INIT_IDENTITY and BPTT_INIT_SPARSE with dale: |W_hh| has no "
                 "gradient at 0",
                 kind);
  checks.require(!dale || init.weights != WeightInit::orthogonal || init.gain != 0, "init_gain",
                 "a number other than 0 with dale", init.gain);
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
