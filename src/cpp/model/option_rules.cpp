// option_rules.cpp: the checks of options, one by one, in pairs, and against sizes and the dtype.
#include "model/option_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/text.h"
#include "model/optimizer.h"
#include "model/option_text.h"

namespace bptt {
namespace {

// Returns the value in the parameters' dtype; infinite if the dtype cannot represent it.
double as_stored(double value, Dtype dtype) {
  if (dtype == Dtype::float64) return value;
  const double most = double(std::numeric_limits<float>::max());
  return std::fabs(value) > most ? value * std::numeric_limits<double>::infinity()
                                 : double(static_cast<float>(value));
}

bool of_kind(const OptionRow& row, const OptionValue& value, double number) {
  if (row.or_nan && std::isnan(number)) return true;
  switch (row.kind) {
    case OptionKind::choice:
      return std::ranges::any_of(
          row.words, [&](const OptionWord& word) { return word.value == value.integer; });
    case OptionKind::flag:
      return value.integer == 0 || value.integer == 1;
    case OptionKind::size:
      return value.integer >= 1;
    case OptionKind::count:
      return value.integer >= 0;
    case OptionKind::number:
      return std::isfinite(number);
    case OptionKind::positive:
      return number > 0 && std::isfinite(number);
    case OptionKind::not_negative:
      return number >= 0 && std::isfinite(number);
    case OptionKind::fraction:
      return number >= 0 && number < 1;
    case OptionKind::share:
      return number >= 0 && number <= 1;
    case OptionKind::leak:
      return number > 0 && number <= 1;
    default:
      return true;
  }
}

OptionProblem same_words(const OptionRow& row, const std::string& expected,
                         const std::string& got) {
  return {&row, {row.name, expected, got}, {row.in_python(), expected, got}};
}

// Finds the first problem of the options. Each check returns whether it found one.
class Checks {
 public:
  Checks(const OptionStructs& options, Dtype dtype) : options_(options), dtype_(dtype) {}
  std::optional<OptionProblem> problem;

  bool has(const OptionRow& row) const { return options_.of(row.group); }
  OptionValue value(const OptionRow& row) const { return read_option(row, options_.of(row.group)); }

  // Checks one option: its value, and whether the cell, algorithm or loss has this option.
  bool row(const OptionRow& row, Parameters parameters = Parameters::begin) {
    if (row.type == OptionType::pointer) return false;
    const OptionValue given = value(row);
    if (!of_kind(row, given, given.number))
      return refuse(row, [&](Wording words) { return kind_text(row, words); });
    if (row.held && !of_kind(row, given, as_stored(given.number, dtype_)))
      return refuse(row, [&](Wording words) { return held_text(row, dtype_name(), words); });
    if (!row.owner || same(given, fallback_of(row))) return false;
    if (row.once_ignored && (parameters == Parameters::are_there || is_own(row, given)))
      return false;
    return !is(row_of(row.owner), row.owners) &&
           refuse(row, [&](Wording words) { return owner_text(row, words); });
  }

  bool conflict(const OptionConflict& conflict) {
    const OptionRow& row = option_rows()[conflict.option];
    const OptionRow& other = option_rows()[conflict.other];
    if (!has(row) || !has(other) || !set(row, conflict.values)) return false;
    return set(other, conflict.other_values) == conflict.with && refuse(row, [&](Wording words) {
             return conflict_text(conflict, options_.model != nullptr, words);
           });
  }

  // Conditions that the table cannot express.
  bool sizes(const bptt_layer_options& layer) {
    const auto inputs = [&] { return refuse(row_of("input_size"), "an integer >= 1"); };
    const bool tokens = options_.model && options_.model->vocab_size > 0;
    return (!tokens && layer.input_size < 1 && inputs()) ||
           (layer.proj_size >= layer.hidden_size &&
            refuse(row_of("proj_size"), "0, or a size >= 1 and below hidden_size"));
  }
  bool alphas(const bptt_layer_options& layer) {
    if (!layer.alphas) return false;
    const OptionRow& row = row_of("alphas");
    const auto unless = [&](const std::string& c, const std::string& python) {
      problem = OptionProblem{&row,
                              {row.name, "NULL unless " + c, "a pointer"},
                              {row.in_python(), "1 unless " + python, "numbers"}};
      return true;
    };
    if (layer.cell != BPTT_RNN) return unless("the cell is BPTT_RNN", "the cell is 'rnn'");
    if (layer.alpha != 1) return unless("alpha is 1", "alpha is 1");
    problem = problem_of_alphas({layer.alphas, size_t(layer.hidden_size)}, dtype_);
    return problem.has_value();
  }
  bool noise(const bptt_layer_options& layer) {
    const double least = layer.alphas
                             ? *std::min_element(layer.alphas, layer.alphas + layer.hidden_size)
                             : layer.alpha;
    const double factor = std::sqrt(2 / least) * layer.noise;
    return !std::isfinite(as_stored(factor, dtype_)) &&
           refuse(row_of("noise"),
                  std::string("a number with sqrt(2 / alpha) noise finite in ") + dtype_name());
  }
  bool chrono(const bptt_layer_options& layer) {
    return layer.init == BPTT_INIT_CHRONO && !(layer.time_scale >= 2) &&
           refuse(row_of("time_scale"), [&](Wording words) {
             const OptionRow& init = row_of("init");
             return "a finite number >= 2 for " + text_of(init, value(init), words);
           });
  }
  // Checks the options that only matter when parameters are initialised.
  bool start(const bptt_layer_options& layer) {
    const bool scaled = layer.init == BPTT_INIT_ORTHOGONAL || layer.init == BPTT_INIT_IDENTITY;
    if (scaled && layer.init_gain != 0 && !moderate(layer.init_gain))
      return refuse(row_of("init_gain"), "0, or a number whose size is in " + moderate_range());
    const bool rescaled = layer.init == BPTT_INIT_NORMAL || layer.init == BPTT_INIT_SPARSE;
    if (rescaled && !moderate(layer.spectral_radius))
      return refuse(row_of("spectral_radius"), "a number in " + moderate_range());
    return !std::isnan(layer.dale) && layer.init == BPTT_INIT_ORTHOGONAL && layer.init_gain == 0 &&
           refuse(row_of("init_gain"), "a number other than 0 with dale");
  }
  bool truncation(const bptt_model_options& model) {
    const int64_t k1 = model.truncation_k1, k2 = model.truncation_k2;
    const OptionRow& second = row_of("truncation_k2");
    if (k1 == 0 && k2 == 0) return false;
    if (k1 == 0) {
      return refuse(row_of("truncation_k1"), [&](Wording words) {
        return "a number of steps >= 1, or 0 with " + name_of(second, false, words) + " 0";
      });
    }
    return k2 < k1 &&
           refuse(
               second,
               [&](Wording words) {
                 return "a number of steps >= " + name_of(row_of("truncation_k1"), false, words);
               });
  }
  bool weights(const bptt_model_options& model) {
    if (!model.class_weights) return false;
    problem = problem_of_weights({model.class_weights, size_t(model.output_size)});
    return problem.has_value();
  }

 private:
  // `expected` is a text, or a function that returns it for a wording.
  template <class Expected>
  bool refuse(const OptionRow& row, const Expected& expected) {
    const auto in = [&](Wording words) -> OptionProblem::Words {
      const std::string name = name_of(row, options_.model != nullptr, words);
      if constexpr (std::is_invocable_v<Expected, Wording>) {
        return {name, expected(words), text_of(row, value(row), words)};
      } else {
        return {name, expected, text_of(row, value(row), words)};
      }
    };
    problem = OptionProblem{&row, in(Wording::c), in(Wording::python)};
    return true;
  }
  // Returns whether a value is the default of the optimiser's algorithm, which its options report.
  bool is_own(const OptionRow& row, const OptionValue& given) const {
    const bptt_optimizer_options& optimizer = *options_.optimizer;
    const auto own =
        options_of(bptt_algorithm(optimizer.algorithm), bptt_rmsprop_form(optimizer.rmsprop_form));
    return same(given, read_option(row, &own));
  }
  bool is(const OptionRow& choice, uint32_t values) const {
    return bits(value(choice).integer) & values;
  }
  bool set(const OptionRow& row, uint32_t values) const {
    if (values) return is(row, values);
    if (row.kind == OptionKind::leak && options_.layer->alphas) return true;
    return row.kind == OptionKind::flag ? value(row).integer != 0
                                        : !same(value(row), fallback_of(row));
  }
  const char* dtype_name() const { return dtype_ == Dtype::float32 ? "float32" : "float64"; }

  // Whether a factor is moderate: its products with elements neither overflow nor vanish.
  bool moderate(double value) const {
    const double most = dtype_ == Dtype::float32 ? 1e30 : 1e300;
    return std::fabs(value) >= 1 / most && std::fabs(value) <= most;
  }
  std::string moderate_range() const {
    return dtype_ == Dtype::float32 ? "[1e-30, 1e30] with float32" : "[1e-300, 1e300] with float64";
  }

  const OptionStructs& options_;
  const Dtype dtype_;
};

}  // namespace

std::optional<OptionProblem> problem_of(const OptionStructs& options, Dtype dtype,
                                        Parameters parameters) {
  Checks checks(options, dtype);
  for (const OptionRow& row : option_rows()) {
    if (checks.has(row) && checks.row(row, parameters)) return checks.problem;
  }
  const bool begin = parameters == Parameters::begin;
  for (const OptionConflict& conflict : option_conflicts()) {
    if ((begin || !conflict.start) && checks.conflict(conflict)) return checks.problem;
  }
  if (const bptt_layer_options* const layer = options.layer) {
    if (checks.sizes(*layer) || checks.alphas(*layer) || checks.noise(*layer) ||
        checks.chrono(*layer) || (begin && checks.start(*layer)))
      return checks.problem;
  }
  if (options.model && (checks.truncation(*options.model) || checks.weights(*options.model)))
    return checks.problem;
  return {};
}

std::optional<OptionProblem> problem_of_call(const bptt_layer_options& layer,
                                             const bptt_model_options& call) {
  const OptionStructs options{&layer, nullptr, &call};
  Checks checks(options, layer.dtype == BPTT_FLOAT64 ? Dtype::float64 : Dtype::float32);
  for (const OptionRow& row : option_rows()) {
    if (row.per_call && checks.row(row)) return checks.problem;
  }
  for (const OptionConflict& conflict : option_conflicts()) {
    if (option_rows()[conflict.option].per_call && checks.conflict(conflict)) return checks.problem;
  }
  checks.truncation(call);
  return checks.problem;
}

std::optional<OptionProblem> problem_of_weights(std::span<const double> weights) {
  const OptionRow& row = row_of("class_weights");
  bool any = false;
  for (size_t i = 0; i < weights.size(); ++i) {
    any = any || weights[i] > 0;
    if (weights[i] >= 0 && std::isfinite(weights[i])) continue;
    return same_words(row, kind_text(row, Wording::c),
                      text(weights[i]) + " at " + text(int64_t(i)));
  }
  if (any) return {};
  return same_words(row, "at least one above 0", "all 0");
}

std::optional<OptionProblem> problem_of_alphas(std::span<const double> alphas, Dtype dtype) {
  const OptionRow &row = row_of("alphas"), &one = row_of("alpha");
  for (size_t i = 0; i < alphas.size(); ++i) {
    const OptionValue value{0, alphas[i], true};
    if (of_kind(one, value, alphas[i]) && of_kind(one, value, as_stored(alphas[i], dtype)))
      continue;
    return same_words(row, kind_text(row, Wording::c), text(alphas[i]) + " at " + text(int64_t(i)));
  }
  return {};
}

}  // namespace bptt
