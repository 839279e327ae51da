// option_table.cpp: the rows of the table of options, their words, and the conflicts between
// options.
#include "model/option_table.h"

#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <type_traits>

#include "sequence/cell_shape.h"

namespace bptt {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

constexpr OptionWord word(int32_t value, const char* symbol, const char* name,
                          const char* python = nullptr) {
  return {value, symbol, name, python};
}
#define WORD(symbol, ...) word(symbol, #symbol, __VA_ARGS__)

// The words of an enum with the values 1, 2, ... in the order of one of the engine's tables. The
// symbols are the table's words in capitals, after BPTT_.
template <const auto& TABLE>
struct WordsOf {
  static constexpr size_t kCount = std::size(TABLE);
  struct Symbol {
    char text[32] = "BPTT_";
  };
  static consteval std::array<Symbol, kCount> symbols() {
    std::array<Symbol, kCount> symbols;
    for (size_t i = 0; i < kCount; ++i) {
      const std::string_view word = TABLE[i].word;
      for (size_t k = 0; k < word.size(); ++k) {
        const char c = word[k];
        symbols[i].text[5 + k] = c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
      }
    }
    return symbols;
  }
  static constexpr std::array<Symbol, kCount> kSymbols = symbols();
  static consteval std::array<OptionWord, kCount> words() {
    std::array<OptionWord, kCount> words;
    for (size_t i = 0; i < kCount; ++i)
      words[i] = word(int32_t(i) + 1, kSymbols[i].text, TABLE[i].word);
    return words;
  }
  static constexpr std::array<OptionWord, kCount> kWords = words();
};
constexpr auto& kCells = WordsOf<kCellTable>::kWords;
constexpr auto& kNonlinearities = WordsOf<kActivationTable>::kWords;
constexpr OptionWord kDtypes[] = {WORD(BPTT_FLOAT32, "float32"), WORD(BPTT_FLOAT64, "float64")};
constexpr OptionWord kComputes[] = {WORD(BPTT_COMPUTE_DTYPE, "dtype"),
                                    WORD(BPTT_COMPUTE_BFLOAT16, "bfloat16")};
constexpr OptionWord kInits[] = {WORD(BPTT_INIT_UNIFORM, "uniform", "default"),
                                 WORD(BPTT_INIT_ORTHOGONAL, "orthogonal"),
                                 WORD(BPTT_INIT_IDENTITY, "identity"),
                                 WORD(BPTT_INIT_XAVIER, "xavier"),
                                 WORD(BPTT_INIT_NORMAL, "normal"),
                                 WORD(BPTT_INIT_SPARSE, "sparse"),
                                 WORD(BPTT_INIT_CHRONO, "chrono"),
                                 WORD(BPTT_INIT_KERAS, "keras")};
constexpr OptionWord kLosses[] = {WORD(BPTT_CROSS_ENTROPY, "cross_entropy"), WORD(BPTT_MSE, "mse"),
                                  WORD(BPTT_BINARY_CROSS_ENTROPY, "binary_cross_entropy"),
                                  WORD(BPTT_HUBER, "huber")};
// Model files distinguish the last two by another member (options_json.cpp).
constexpr OptionWord kTargets[] = {WORD(BPTT_EVERY_STEP, "every"), WORD(BPTT_LAST_STEP, "last"),
                                   WORD(BPTT_LAST_ROW, "last", "last_row")};
constexpr OptionWord kReductions[] = {WORD(BPTT_MEAN, "mean"), WORD(BPTT_SUM, "sum")};
constexpr OptionWord kAlgorithms[] = {WORD(BPTT_SGD, "sgd"), WORD(BPTT_ADAGRAD, "adagrad"),
                                      WORD(BPTT_ADAM, "adam"), WORD(BPTT_RMSPROP, "rmsprop"),
                                      WORD(BPTT_LION, "lion")};
constexpr OptionWord kForms[] = {WORD(BPTT_RMSPROP_TORCH, "torch"),
                                 WORD(BPTT_RMSPROP_GRAVES, "graves")};
constexpr OptionWord kNonfinite[] = {WORD(BPTT_NONFINITE_SKIP, "skip"),
                                     WORD(BPTT_NONFINITE_ZERO, "zero"),
                                     WORD(BPTT_NONFINITE_RAISE, "raise")};

template <class Field>
constexpr OptionType type_of() {
  if constexpr (std::is_pointer_v<Field>) {
    return OptionType::pointer;
  } else if constexpr (std::is_same_v<Field, double>) {
    return OptionType::real;
  } else if constexpr (std::is_same_v<Field, uint64_t>) {
    return OptionType::uint64;
  } else {
    static_assert(std::is_same_v<Field, int64_t> || sizeof(Field) == sizeof(int32_t));
    return std::is_same_v<Field, int64_t> ? OptionType::int64 : OptionType::int32;
  }
}

#define BPTT_FIELD(of, type_, field)                                          \
  .group = OptionGroup::of, .name = #field, .offset = offsetof(type_, field), \
  .type = type_of<decltype(type_::field)>()
#define BPTT_LAYER(field) BPTT_FIELD(layer, bptt_layer_options, field)
#define BPTT_OPTIMIZER(field) BPTT_FIELD(optimizer, bptt_optimizer_options, field)
#define BPTT_MODEL(field) BPTT_FIELD(model, bptt_model_options, field)
#define BPTT_OWNED_BY(option, ...) .owner = #option, .owners = bits(__VA_ARGS__)
#define BPTT_OF_W_HH .owner = "cell", .owners = kWithWhh

// Returns the cells for which shape(cell) is true, as bits().
template <class Shape>
consteval uint32_t cells(const Shape& shape) {
  uint32_t found = 0;
  for (int i = 0; i < kCellCount; ++i) {
    if (shape(kCellTable[i].plain)) found |= bits(BPTT_RNN + i);
  }
  return found;
}
constexpr uint32_t kWithWhh = cells([](const CellShape& shape) { return shape.recurrent(); });

// In the order of model files; an option follows the choice on which it depends.
constexpr OptionRow kRows[] = {
    {BPTT_LAYER(cell), .kind = OptionKind::choice, .fallback = BPTT_LSTM, .words = kCells,
     .in_files = InFiles::always, .doc = "kind of the recurrent layers"},
    {BPTT_LAYER(nonlinearity), .kind = OptionKind::choice, .fallback = BPTT_TANH,
     .words = kNonlinearities, BPTT_OWNED_BY(cell, BPTT_RNN), .in_files = InFiles::always,
     .doc = "f of the units"},
    {BPTT_LAYER(dtype), .kind = OptionKind::choice, .fallback = BPTT_FLOAT32, .words = kDtypes,
     .in_files = InFiles::always, .doc = "type of the parameters, states and gradients"},
    {BPTT_LAYER(input_size), .kind = OptionKind::count, .in_files = InFiles::always,
     .or_none = true, .doc = "features of a dense input"},
    {BPTT_MODEL(vocab_size), .kind = OptionKind::count, .in_files = InFiles::always,
     .or_none = true, .doc = "number of tokens, where the input is tokens"},
    {BPTT_MODEL(embedding_size), .kind = OptionKind::count, .in_files = InFiles::always,
     .or_none = true,
     .doc = "size of a table of embeddings in front; without it tokens are one-hot"},
    {BPTT_LAYER(hidden_size), .kind = OptionKind::size, .in_files = InFiles::always,
     .doc = "units of each layer"},
    {BPTT_LAYER(num_layers), .kind = OptionKind::size, .fallback = 1, .in_files = InFiles::always,
     .doc = "layers, each of which reads the states of the one below"},
    {BPTT_MODEL(output_size), .kind = OptionKind::size, .in_files = InFiles::always,
     .doc = "outputs: classes or values"},
    {BPTT_LAYER(bias), .kind = OptionKind::flag, .fallback = 1, .in_files = InFiles::always,
     .doc = "biases in the recurrent layers"},
    {BPTT_LAYER(init), .kind = OptionKind::choice, .fallback = BPTT_INIT_UNIFORM, .words = kInits,
     .in_files = InFiles::always, .doc = "initialisation of the recurrent layers"},
    {BPTT_LAYER(init_gain), .kind = OptionKind::number, .fallback = 1, .in_files = InFiles::always,
     .python = "init.gain", .doc = "factor of the initial W_hh (orthogonal, identity)"},
    {BPTT_LAYER(forget_bias), .kind = OptionKind::number, .fallback = kNaN, .or_nan = true,
     .held = true, BPTT_OWNED_BY(cell, BPTT_LSTM), .in_files = InFiles::always, .or_none = true,
     .doc = "initial bias of the forget gates"},
    {BPTT_LAYER(seed), .kind = OptionKind::seed, .in_files = InFiles::always,
     .doc = "seed of the initial parameters and of random masks and noise"},
    {BPTT_MODEL(loss), .kind = OptionKind::choice, .fallback = BPTT_CROSS_ENTROPY, .words = kLosses,
     .in_files = InFiles::always, .doc = "loss on the outputs"},
    {BPTT_MODEL(targets), .kind = OptionKind::choice, .fallback = BPTT_EVERY_STEP,
     .words = kTargets, .in_files = InFiles::always, .doc = "steps that have targets"},
    {BPTT_MODEL(reduction), .kind = OptionKind::choice, .fallback = BPTT_MEAN, .words = kReductions,
     .in_files = InFiles::always, .doc = "mean or sum of the losses of the targets"},
    {BPTT_OPTIMIZER(algorithm), .kind = OptionKind::choice, .fallback = BPTT_ADAM,
     .words = kAlgorithms, .in_files = InFiles::always, .file_name = "optimizer",
     .doc = "rule of the updates"},
    {BPTT_OPTIMIZER(lr), .kind = OptionKind::not_negative, .fallback = 1e-3, .held = true,
     .in_files = InFiles::always, .doc = "learning rate"},
    {BPTT_OPTIMIZER(momentum), .kind = OptionKind::fraction,
     BPTT_OWNED_BY(algorithm, BPTT_SGD, BPTT_RMSPROP), .in_files = InFiles::always,
     .doc = "share of the last step that is kept"},
    {BPTT_OPTIMIZER(beta1), .kind = OptionKind::fraction, .fallback = 0.9,
     BPTT_OWNED_BY(algorithm, BPTT_ADAM, BPTT_LION), .once_ignored = true,
     .in_files = InFiles::always, .python = "betas",
     .doc = "decay of Adam's first moment; of Lion's interpolation"},
    {BPTT_OPTIMIZER(beta2), .kind = OptionKind::fraction, .fallback = kNaN, .or_nan = true,
     BPTT_OWNED_BY(algorithm, BPTT_ADAM, BPTT_LION), .once_ignored = true,
     .in_files = InFiles::always, .python = "betas", .or_none = true,
     .doc = "decay of Adam's second moment, of Lion's moment; default: that of the algorithm"},
    {BPTT_OPTIMIZER(eps), .kind = OptionKind::not_negative, .fallback = kNaN, .or_nan = true,
     .held = true, BPTT_OWNED_BY(algorithm, BPTT_ADAGRAD, BPTT_ADAM, BPTT_RMSPROP),
     .once_ignored = true, .in_files = InFiles::always, .or_none = true,
     .doc = "number that keeps the quotient finite; default: that of the algorithm"},
    {BPTT_OPTIMIZER(weight_decay), .kind = OptionKind::not_negative, .held = true,
     .in_files = InFiles::always, .doc = "decay of the matrices"},
    {BPTT_MODEL(clip_norm), .kind = OptionKind::not_negative, .in_files = InFiles::always,
     .or_none = true, .doc = "threshold of the gradient's global norm"},
    {BPTT_MODEL(clip_tensor_norm), .kind = OptionKind::not_negative, .in_files = InFiles::always,
     .or_none = true, .doc = "threshold of the norm of each parameter tensor's gradient"},
    {BPTT_MODEL(clip_value), .kind = OptionKind::not_negative, .in_files = InFiles::always,
     .or_none = true, .doc = "bound of each element of the gradient"},
    {BPTT_MODEL(clip_step), .kind = OptionKind::not_negative, .per_call = true,
     .in_files = InFiles::always, .or_none = true,
     .doc = "bound of each element of dL/da_t on the way back"},
    {BPTT_MODEL(clip_step_norm), .kind = OptionKind::not_negative, .per_call = true,
     .in_files = InFiles::always, .or_none = true,
     .doc = "threshold of the norm of each sequence's carried gradient on the way back"},
    {BPTT_MODEL(label_smoothing), .kind = OptionKind::share,
     BPTT_OWNED_BY(loss, BPTT_CROSS_ENTROPY),
     .doc = "share of a target that is spread over all classes"},
    {BPTT_MODEL(ignore_index), .kind = OptionKind::integer, .fallback = -100,
     BPTT_OWNED_BY(loss, BPTT_CROSS_ENTROPY), .doc = "class whose targets do not count"},
    {BPTT_MODEL(huber_delta), .kind = OptionKind::positive, .fallback = 1, .held = true,
     BPTT_OWNED_BY(loss, BPTT_HUBER), .in_files = InFiles::unlike_default,
     .doc = "error from which the loss is linear"},
    {BPTT_OPTIMIZER(decay_biases), .kind = OptionKind::flag, .before = 1,
     .doc = "weight decay on biases and gains too"},
    {BPTT_OPTIMIZER(nesterov), .kind = OptionKind::flag, BPTT_OWNED_BY(algorithm, BPTT_SGD),
     .doc = "Nesterov's momentum"},
    {BPTT_OPTIMIZER(amsgrad), .kind = OptionKind::flag, BPTT_OWNED_BY(algorithm, BPTT_ADAM),
     .doc = "divide by the root of the largest second moment so far"},
    {BPTT_OPTIMIZER(centered), .kind = OptionKind::flag, BPTT_OWNED_BY(algorithm, BPTT_RMSPROP),
     .doc = "divide by an estimate of the standard deviation"},
    {BPTT_OPTIMIZER(rmsprop_alpha), .kind = OptionKind::fraction, .fallback = kNaN, .or_nan = true,
     BPTT_OWNED_BY(algorithm, BPTT_RMSPROP), .alone = "alpha", .or_none = true,
     .doc = "decay of RMSprop's averages; default: that of the form"},
    {BPTT_OPTIMIZER(rmsprop_form), .kind = OptionKind::choice, .fallback = BPTT_RMSPROP_TORCH,
     .words = kForms, BPTT_OWNED_BY(algorithm, BPTT_RMSPROP), .alone = "form",
     .doc = "RMSprop as torch.optim has it, or as Graves (2013)"},
    {BPTT_LAYER(spectral_radius), .kind = OptionKind::positive, .fallback = 0.95,
     .python = "init.spectral_radius",
     .doc = "spectral radius of the initial W_hh (normal, sparse)"},
    {BPTT_LAYER(time_scale), .kind = OptionKind::number, .fallback = kNaN, .or_nan = true,
     .held = true, .python = "init.time_scale", .or_none = true,
     .doc = "longest dependency, in steps (chrono)"},
    {BPTT_LAYER(bidirectional), .kind = OptionKind::flag,
     .doc = "a second set of layers reads each sequence from its end"},
    {BPTT_LAYER(proj_size), .kind = OptionKind::count, BPTT_OWNED_BY(cell, BPTT_LSTM),
     .doc = "size of a projected h; 0: none"},
    {BPTT_LAYER(peephole), .kind = OptionKind::flag, BPTT_OWNED_BY(cell, BPTT_LSTM),
     .doc = "gates see the cell state"},
    {BPTT_LAYER(coupled), .kind = OptionKind::flag, BPTT_OWNED_BY(cell, BPTT_LSTM),
     .doc = "the forget gate is 1 - the input gate"},
    {BPTT_LAYER(reset_before), .kind = OptionKind::flag, BPTT_OWNED_BY(cell, BPTT_GRU),
     .file_name = "reset_after", .inverted = true,
     .doc = "the reset gate acts after the recurrent product"},
    {BPTT_LAYER(layer_norm), .kind = OptionKind::flag, BPTT_OF_W_HH,
     .doc = "layer normalisation of the pre-activations"},
    {BPTT_LAYER(alphas), .kind = OptionKind::leaks, BPTT_OWNED_BY(cell, BPTT_RNN),
     .in_files = InFiles::never, .python = "alpha", .doc = "alpha of each unit"},
    {BPTT_LAYER(alpha), .kind = OptionKind::leak, .fallback = 1, .held = true,
     BPTT_OWNED_BY(cell, BPTT_RNN), .doc = "share of the new state; below 1: leaky units"},
    {BPTT_LAYER(noise), .kind = OptionKind::not_negative, BPTT_OWNED_BY(cell, BPTT_RNN),
     .doc = "noise on the units in training"},
    {BPTT_LAYER(dale), .kind = OptionKind::share, .fallback = kNaN, .or_nan = true,
     BPTT_OWNED_BY(cell, BPTT_RNN), .or_none = true,
     .doc = "share of the units that excite; the others inhibit (Dale's law)"},
    {BPTT_LAYER(dropout), .kind = OptionKind::fraction,
     .doc = "share of the inputs of each layer but the first that is left out in training"},
    {BPTT_LAYER(variational), .kind = OptionKind::flag,
     .doc = "dropout leaves out the same inputs at all steps"},
    {BPTT_LAYER(recurrent_dropout), .kind = OptionKind::fraction, BPTT_OF_W_HH,
     .doc = "share of h_{t-1} that is left out of its product in training, the same at all steps"},
    {BPTT_LAYER(zoneout), .kind = OptionKind::fraction, .held = true,
     .doc = "probability that a unit keeps its state in training"},
    {BPTT_LAYER(zoneout_c), .kind = OptionKind::fraction, .held = true,
     BPTT_OWNED_BY(cell, BPTT_LSTM), .doc = "probability that a cell state is kept in training"},
    {BPTT_LAYER(learn_initial_state), .kind = OptionKind::flag, .in_files = InFiles::unlike_default,
     .doc = "states before the first step, and after a reset, are parameters instead of 0"},
    {BPTT_MODEL(truncation_k1), .kind = OptionKind::count, .per_call = true, .python = "truncation",
     .or_none = true, .doc = "truncated BPTT: number of steps whose losses go back together"},
    {BPTT_MODEL(truncation_k2), .kind = OptionKind::count, .per_call = true, .python = "truncation",
     .or_none = true,
     .doc = "truncated BPTT: steps over which such losses go back; at least truncation_k1"},
    {BPTT_MODEL(omega), .kind = OptionKind::not_negative, BPTT_OWNED_BY(cell, BPTT_RNN),
     .per_call = true,
     .doc = "weight of the regulariser against vanishing gradients (Pascanu et al. 2013)"},
    {BPTT_MODEL(batch_first), .kind = OptionKind::flag,
     .doc = "arrays are [N, T, ...] instead of [T, N, ...]"},
    {BPTT_LAYER(compute), .kind = OptionKind::choice, .fallback = BPTT_COMPUTE_DTYPE,
     .words = kComputes, .or_none = true,
     .doc = "round the factors of products to this type; bfloat16 needs dtype float32"},
    {BPTT_MODEL(nonfinite), .kind = OptionKind::choice, .fallback = BPTT_NONFINITE_SKIP,
     .words = kNonfinite, .doc = "treatment of a gradient that is not finite"},
    {BPTT_MODEL(weight_l1), .kind = OptionKind::not_negative, .held = true,
     .in_files = InFiles::unlike_default,
     .doc = "weight of the sum of the matrices' absolute values in what training minimises"},
    {BPTT_MODEL(weight_l2), .kind = OptionKind::not_negative, .held = true,
     .in_files = InFiles::unlike_default,
     .doc = "weight of the sum of the matrices' squares in what training minimises"},
    {BPTT_MODEL(activity_l1), .kind = OptionKind::not_negative, .held = true, .per_call = true,
     .in_files = InFiles::unlike_default,
     .doc = "weight of the mean of the states' absolute values in what training minimises"},
    {BPTT_MODEL(activity_l2), .kind = OptionKind::not_negative, .held = true, .per_call = true,
     .in_files = InFiles::unlike_default,
     .doc = "weight of the mean of the states' squares in what training minimises"},
    {BPTT_MODEL(class_weights), .kind = OptionKind::weights, .in_files = InFiles::never,
     .or_none = true, .doc = "weights of the classes, or of the outputs; not all 0"},
};

consteval uint8_t at(std::string_view name) {
  uint8_t i = 0;
  while (kRows[i].name != name) ++i;  // does not compile if no option has this name
  return i;
}

constexpr OptionConflict kConflicts[] = {
    {.option = at("input_size"), .other = at("vocab_size")},
    {.option = at("embedding_size"), .with = false, .other = at("vocab_size")},
    {.option = at("compute"),
     .with = false,
     .other = at("dtype"),
     .other_values = bits(BPTT_FLOAT32)},
    {.option = at("targets"),
     .values = bits(BPTT_LAST_ROW),
     .with = false,
     .other = at("bidirectional")},
    {.option = at("layer_norm"), .other = at("reset_before")},
    {.option = at("zoneout"), .other = at("proj_size")},
    {.option = at("zoneout_c"), .other = at("proj_size")},
    {.option = at("init"),
     .values = bits(BPTT_INIT_NORMAL, BPTT_INIT_SPARSE),
     .other = at("proj_size"),
     .reason = "W_hh is not square"},
    {.option = at("init"),
     .values = bits(BPTT_INIT_IDENTITY, BPTT_INIT_SPARSE),
     .other = at("dale"),
     .reason = "|W_hh| has no gradient at 0",
     .start = true},
    {.option = at("init"),
     .values = bits(BPTT_INIT_CHRONO),
     .with = false,
     .other = at("cell"),
     .other_values = cells([](const CellShape& shape) { return shape.keeps_state(); })},
    {.option = at("init"),
     .values = bits(BPTT_INIT_ORTHOGONAL, BPTT_INIT_IDENTITY, BPTT_INIT_NORMAL, BPTT_INIT_SPARSE),
     .with = false,
     .other = at("cell"),
     .other_values = kWithWhh,
     .reason = "it is of W_hh"},
    {.option = at("init"), .values = bits(BPTT_INIT_CHRONO), .with = false, .other = at("bias")},
    {.option = at("time_scale"),
     .with = false,
     .other = at("init"),
     .other_values = bits(BPTT_INIT_CHRONO)},
    {.option = at("forget_bias"),
     .other = at("init"),
     .other_values = bits(BPTT_INIT_CHRONO),
     .reason = "it sets these biases"},
    {.option = at("forget_bias"), .with = false, .other = at("bias")},
    {.option = at("forget_bias"), .other = at("coupled")},
    {.option = at("nesterov"), .with = false, .other = at("momentum")},
    {.option = at("centered"),
     .with = false,
     .other = at("rmsprop_form"),
     .other_values = bits(BPTT_RMSPROP_TORCH)},
    {.option = at("truncation_k1"), .other = at("bidirectional")},
    {.option = at("omega"), .other = at("layer_norm")},
    {.option = at("omega"), .other = at("alpha")},
    {.option = at("omega"), .other = at("noise")},
    {.option = at("omega"), .other = at("dale")},
    {.option = at("omega"), .other = at("zoneout")},
    {.option = at("omega"), .other = at("recurrent_dropout")},
    {.option = at("omega"), .other = at("clip_step")},
    {.option = at("omega"), .other = at("clip_step_norm")},
    {.option = at("omega"), .other = at("truncation_k1")},
};

// Sets the fields of a group that are in the table to their defaults.
void set_defaults(OptionGroup group, void* options) {
  for (const OptionRow& row : kRows) {
    if (row.group == group && row.type != OptionType::pointer)
      write_option(row, options, fallback_of(row));
  }
}

}  // namespace

std::span<const OptionRow> option_rows() { return kRows; }

const OptionRow& row_of(std::string_view name) {
  const OptionRow* row = kRows;
  while (row->name != name) ++row;
  return *row;
}

std::span<const OptionConflict> option_conflicts() { return kConflicts; }

bptt_layer_options default_layer_options() {
  bptt_layer_options options = {};
  options.struct_size = sizeof options;
  set_defaults(OptionGroup::layer, &options);
  return options;
}

bptt_optimizer_options default_optimizer_options() {
  bptt_optimizer_options options = {};
  options.struct_size = sizeof options;
  set_defaults(OptionGroup::optimizer, &options);
  return options;
}

bptt_model_options default_model_options() {
  bptt_model_options options = {};
  options.struct_size = sizeof options;
  set_defaults(OptionGroup::model, &options);
  return options;
}

ModelOptions default_options() {
  return {default_model_options(), default_layer_options(), default_optimizer_options()};
}

const void* OptionStructs::of(OptionGroup group) const {
  if (group == OptionGroup::layer) return layer;
  return group == OptionGroup::optimizer ? static_cast<const void*>(optimizer) : model;
}

void* struct_of(ModelOptions& options, OptionGroup group) {
  return const_cast<void*>(structs_of(options).of(group));
}

OptionValue read_option(const OptionRow& row, const void* options) {
  const char* const from = static_cast<const char*>(options) + row.offset;
  OptionValue value;
  switch (row.type) {
    case OptionType::int32: {
      int32_t narrow;
      std::memcpy(&narrow, from, sizeof narrow);
      value.integer = narrow;
      break;
    }
    case OptionType::real:
      value.real = true;
      std::memcpy(&value.number, from, sizeof value.number);
      return value;
    default:
      std::memcpy(&value.integer, from, sizeof value.integer);
  }
  value.number = double(value.integer);
  return value;
}

void write_option(const OptionRow& row, void* options, const OptionValue& value) {
  char* const to = static_cast<char*>(options) + row.offset;
  const auto narrow = static_cast<int32_t>(value.integer);
  switch (row.type) {
    case OptionType::int32:
      std::memcpy(to, &narrow, sizeof narrow);
      break;
    case OptionType::real:
      std::memcpy(to, &value.number, sizeof value.number);
      break;
    default:
      std::memcpy(to, &value.integer, sizeof value.integer);
  }
}

OptionValue fallback_of(const OptionRow& row) {
  const bool real = row.type == OptionType::real;
  return {real ? 0 : int64_t(row.fallback), row.fallback, real};
}

bool same(const OptionValue& a, const OptionValue& b) {
  if (!a.real) return a.integer == b.integer;
  return a.number == b.number || (std::isnan(a.number) && std::isnan(b.number));
}

}  // namespace bptt
