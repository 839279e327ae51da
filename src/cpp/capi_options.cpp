// capi_options.cpp: option structs: their defaults, and the way from them to the engine's
// configurations and back.
#include <cmath>
#include <limits>

#include "capi.h"

namespace bptt {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

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

constexpr Choice kCells[] = {
    {BPTT_RNN, "BPTT_RNN"}, {BPTT_LSTM, "BPTT_LSTM"}, {BPTT_GRU, "BPTT_GRU"}};
constexpr Cell kCellOf[] = {Cell::rnn, Cell::lstm, Cell::gru};
constexpr Choice kActivations[] = {{BPTT_TANH, "BPTT_TANH"},
                                   {BPTT_RELU, "BPTT_RELU"},
                                   {BPTT_SIGMOID, "BPTT_SIGMOID"},
                                   {BPTT_IDENTITY, "BPTT_IDENTITY"}};
constexpr Activation kActivationOf[] = {Activation::tanh, Activation::relu, Activation::sigmoid,
                                        Activation::identity};
constexpr Choice kInits[] = {
    {BPTT_INIT_UNIFORM, "BPTT_INIT_UNIFORM"},   {BPTT_INIT_ORTHOGONAL, "BPTT_INIT_ORTHOGONAL"},
    {BPTT_INIT_IDENTITY, "BPTT_INIT_IDENTITY"}, {BPTT_INIT_XAVIER, "BPTT_INIT_XAVIER"},
    {BPTT_INIT_NORMAL, "BPTT_INIT_NORMAL"},     {BPTT_INIT_SPARSE, "BPTT_INIT_SPARSE"},
    {BPTT_INIT_CHRONO, "BPTT_INIT_CHRONO"},     {BPTT_INIT_KERAS, "BPTT_INIT_KERAS"}};
constexpr WeightInit kInitOf[] = {WeightInit::uniform, WeightInit::orthogonal, WeightInit::identity,
                                  WeightInit::xavier,  WeightInit::normal,     WeightInit::sparse,
                                  WeightInit::chrono,  WeightInit::keras};
constexpr Choice kLosses[] = {{BPTT_CROSS_ENTROPY, "BPTT_CROSS_ENTROPY"},
                              {BPTT_MSE, "BPTT_MSE"},
                              {BPTT_BINARY_CROSS_ENTROPY, "BPTT_BINARY_CROSS_ENTROPY"}};
constexpr Loss kLossOf[] = {Loss::cross_entropy, Loss::mse, Loss::binary_cross_entropy};
constexpr Choice kTargets[] = {{BPTT_EVERY_STEP, "BPTT_EVERY_STEP"},
                               {BPTT_LAST_STEP, "BPTT_LAST_STEP"}};
constexpr Choice kReductions[] = {{BPTT_MEAN, "BPTT_MEAN"}, {BPTT_SUM, "BPTT_SUM"}};
constexpr Choice kAlgorithms[] = {{BPTT_SGD, "BPTT_SGD"},
                                  {BPTT_ADAGRAD, "BPTT_ADAGRAD"},
                                  {BPTT_ADAM, "BPTT_ADAM"},
                                  {BPTT_RMSPROP, "BPTT_RMSPROP"}};
constexpr Algorithm kAlgorithmOf[] = {Algorithm::sgd, Algorithm::adagrad, Algorithm::adam,
                                      Algorithm::rmsprop};
constexpr Choice kForms[] = {{BPTT_RMSPROP_TORCH, "BPTT_RMSPROP_TORCH"},
                             {BPTT_RMSPROP_GRAVES, "BPTT_RMSPROP_GRAVES"}};

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

void fraction(double value, const std::string& argument) {
  if (!(value >= 0 && value < 1))
    fail(BPTT_ERR_ARGUMENT, argument, "a number in [0, 1)", text(value));
}

// How the parameters of `network` begin; its cell and bias are checked.
InitConfig check_init(const bptt_layer_options& options, const NetworkConfig& network,
                      const std::string& prefix) {
  InitConfig init;
  init.weights = kInitOf[choose(raw(options.init), kInits, prefix + "init")];
  init.gain = options.init_gain;
  if (!std::isfinite(init.gain))
    fail(BPTT_ERR_ARGUMENT, prefix + "init_gain", "a finite number", text(init.gain));
  init.forget_bias = options.forget_bias;
  if (!std::isnan(init.forget_bias)) {
    const bool possible = network.cell == Cell::lstm && network.bias;
    if (!possible || std::isinf(init.forget_bias)) {
      fail(BPTT_ERR_ARGUMENT, prefix + "forget_bias",
           possible ? "a finite number, or NaN to leave it"
                    : "NaN unless the cell is BPTT_LSTM with a bias",
           text(init.forget_bias));
    }
  }
  init.spectral_radius = options.spectral_radius;
  if (!(init.spectral_radius > 0 && std::isfinite(init.spectral_radius))) {
    fail(BPTT_ERR_ARGUMENT, prefix + "spectral_radius", "a finite number > 0",
         text(init.spectral_radius));
  }
  init.time_scale = options.time_scale;
  if (init.weights == WeightInit::chrono) {
    if (network.cell == Cell::rnn || !network.bias) {
      fail(BPTT_ERR_ARGUMENT, prefix + "init",
           "another than BPTT_INIT_CHRONO unless the cell is BPTT_LSTM or BPTT_GRU with a bias",
           "BPTT_INIT_CHRONO");
    }
    if (!std::isnan(init.forget_bias)) {
      fail(BPTT_ERR_ARGUMENT, prefix + "forget_bias",
           "NaN beside BPTT_INIT_CHRONO, which sets these biases", text(init.forget_bias));
    }
    if (!(init.time_scale >= 2 && std::isfinite(init.time_scale))) {
      fail(BPTT_ERR_ARGUMENT, prefix + "time_scale", "a finite number >= 2 for BPTT_INIT_CHRONO",
           text(init.time_scale));
    }
  } else if (!std::isnan(init.time_scale)) {
    fail(BPTT_ERR_ARGUMENT, prefix + "time_scale", "NaN unless init is BPTT_INIT_CHRONO",
         text(init.time_scale));
  }
  init.seed = options.seed;
  return init;
}

// The settings of a layer, or of a model's layers (prefix "layer.") that read `inputs` features.
LayerSettings check_layer(const bptt_layer_options& options, const std::string& prefix,
                          int64_t inputs) {
  LayerSettings settings;
  NetworkConfig& network = settings.network;
  refuse_reserved(options.reserved, prefix + "reserved");
  network.cell = kCellOf[choose(raw(options.cell), kCells, prefix + "cell")];
  network.activation =
      kActivationOf[choose(raw(options.nonlinearity), kActivations, prefix + "nonlinearity")];
  if (network.cell != Cell::rnn && network.activation != Activation::tanh) {
    fail(BPTT_ERR_ARGUMENT, prefix + "nonlinearity", "BPTT_TANH (1) unless the cell is BPTT_RNN",
         std::to_string(raw(options.nonlinearity)));
  }
  settings.dtype = dtype_argument(raw(options.dtype), (prefix + "dtype").c_str());
  network.input = inputs;
  network.hidden = size_argument(options.hidden_size, (prefix + "hidden_size").c_str());
  network.layers = size_argument(options.num_layers, (prefix + "num_layers").c_str());
  network.bias = flag_argument(options.bias, (prefix + "bias").c_str());
  settings.init = check_init(options, network, prefix);
  return settings;
}

// What belongs to the loss alone; config.loss and the sizes are known.
void check_loss(const bptt_model_options& options, ModelConfig& config) {
  const bool entropy = config.loss == Loss::cross_entropy;
  const char* const otherwise = "unless the loss is BPTT_CROSS_ENTROPY";
  config.label_smoothing = options.label_smoothing;
  if (!(config.label_smoothing >= 0 && config.label_smoothing <= 1))
    fail(BPTT_ERR_ARGUMENT, "label_smoothing", "a number in [0, 1]", text(config.label_smoothing));
  if (config.label_smoothing != 0 && !entropy) {
    fail(BPTT_ERR_ARGUMENT, "label_smoothing", std::string("0 ") + otherwise,
         text(config.label_smoothing));
  }
  config.ignore_index = options.ignore_index;
  if (config.ignore_index != ModelConfig().ignore_index && !entropy) {
    fail(BPTT_ERR_ARGUMENT, "ignore_index", std::string("-100 ") + otherwise,
         text(config.ignore_index));
  }
  if (!options.class_weights) return;
  config.class_weights.assign(options.class_weights, options.class_weights + config.network.output);
  bool any = false;
  for (size_t i = 0; i < config.class_weights.size(); ++i) {
    const double weight = config.class_weights[i];
    any = any || weight > 0;
    if (std::isfinite(weight) && weight >= 0) continue;
    fail(BPTT_ERR_ARGUMENT, "class_weights", "finite numbers >= 0",
         text(weight) + " at " + text(int64_t(i)));
  }
  if (!any) fail(BPTT_ERR_ARGUMENT, "class_weights", "at least one above 0", "all 0");
}

// Refuses sizes whose parameters alone would not fit into memory.
void check_parameters(const NetworkConfig& network, size_t element) {
  const int64_t gates = network.shape().gates;
  const int64_t first = network.embedding ? network.embedding : network.input;
  const int64_t rows = checked_count(gates, network.hidden);
  require_memory(checked_count(rows, first), element);
  require_memory(checked_count(rows, network.layers, 2), element);
  require_memory(checked_count(rows, network.layers, network.hidden, 2), element);
  require_memory(checked_count(network.input, network.embedding, 2), element);
  require_memory(checked_count(network.output, network.hidden, 2), element);
}

}  // namespace

// Options take the room that was kept for them, so that bptt_model_options stays as it was.
static_assert(sizeof(void*) != 8 || sizeof(bptt_layer_options) == 208);
static_assert(sizeof(void*) != 8 || sizeof(bptt_optimizer_options) == 128);

template <>
bptt_layer_options defaults_of<bptt_layer_options>() {
  bptt_layer_options options = {};
  options.struct_size = sizeof options;
  options.cell = BPTT_LSTM;
  options.nonlinearity = BPTT_TANH;
  options.dtype = BPTT_FLOAT32;
  options.num_layers = 1;
  options.bias = 1;
  options.init = BPTT_INIT_UNIFORM;
  options.init_gain = 1;
  options.forget_bias = kNaN;
  options.spectral_radius = 0.95;
  options.time_scale = kNaN;
  return options;
}

template <>
bptt_optimizer_options defaults_of<bptt_optimizer_options>() {
  bptt_optimizer_options options = {};
  options.struct_size = sizeof options;
  options.algorithm = BPTT_ADAM;
  options.lr = 1e-3;
  options.beta1 = 0.9;
  options.beta2 = 0.999;
  options.eps = kNaN;
  options.rmsprop_alpha = kNaN;
  options.rmsprop_form = BPTT_RMSPROP_TORCH;
  return options;
}

template <>
bptt_model_options defaults_of<bptt_model_options>() {
  bptt_model_options options = {};
  options.struct_size = sizeof options;
  options.layer = defaults_of<bptt_layer_options>();
  options.loss = BPTT_CROSS_ENTROPY;
  options.targets = BPTT_EVERY_STEP;
  options.reduction = BPTT_MEAN;
  options.optimizer = defaults_of<bptt_optimizer_options>();
  options.ignore_index = ModelConfig().ignore_index;
  return options;
}

template <>
const char* struct_name<bptt_layer_options>() {
  return "bptt_layer_options";
}
template <>
const char* struct_name<bptt_optimizer_options>() {
  return "bptt_optimizer_options";
}
template <>
const char* struct_name<bptt_model_options>() {
  return "bptt_model_options";
}

LayerSettings layer_settings(const bptt_layer_options* given) {
  const bptt_layer_options options = read_struct(given, "options");
  const LayerSettings settings =
      check_layer(options, "", size_argument(options.input_size, "input_size"));
  check_parameters(settings.network,
                   settings.dtype == Dtype::float32 ? sizeof(float) : sizeof(double));
  return settings;
}

OptimizerConfig optimizer_settings(const bptt_optimizer_options* given, const char* prefix) {
  const bptt_optimizer_options options =
      read_struct(given, *prefix ? "options.optimizer" : "options");
  const std::string name = prefix;
  OptimizerConfig config;
  refuse_reserved(options.reserved, name + "reserved");
  if (options.reserved32 != 0) {
    fail(BPTT_ERR_STRUCT_SIZE, name + "reserved32", "0 (room for later versions)",
         text(int64_t{options.reserved32}));
  }
  config.algorithm = kAlgorithmOf[choose(raw(options.algorithm), kAlgorithms, name + "algorithm")];
  not_negative(config.lr = options.lr, (name + "lr").c_str());
  fraction(config.momentum = options.momentum, name + "momentum");
  const bool sgd = config.algorithm == Algorithm::sgd, adam = config.algorithm == Algorithm::adam,
             rmsprop = config.algorithm == Algorithm::rmsprop;
  if (config.momentum != 0 && !sgd && !rmsprop) {
    fail(BPTT_ERR_ARGUMENT, name + "momentum", "0 unless the algorithm is BPTT_SGD or BPTT_RMSPROP",
         text(config.momentum));
  }
  fraction(config.beta1 = options.beta1, name + "beta1");
  fraction(config.beta2 = options.beta2, name + "beta2");
  config.eps = options.eps;
  if (!std::isnan(config.eps)) not_negative(config.eps, (name + "eps").c_str());
  not_negative(config.weight_decay = options.weight_decay, (name + "weight_decay").c_str());
  config.decay_biases = flag_argument(options.decay_biases, (name + "decay_biases").c_str());
  // An option that is set where it means nothing is a mistake of the caller's.
  const auto flag = [&](int32_t value, const char* option, bool possible, const char* where) {
    const bool set = flag_argument(value, (name + option).c_str());
    if (set && !possible) fail(BPTT_ERR_ARGUMENT, name + option, where, "1");
    return set;
  };
  config.nesterov = flag(options.nesterov, "nesterov", sgd && config.momentum != 0,
                         "0 unless the algorithm is BPTT_SGD with a momentum");
  config.amsgrad = flag(options.amsgrad, "amsgrad", adam, "0 unless the algorithm is BPTT_ADAM");
  config.graves = choose(raw(options.rmsprop_form), kForms, name + "rmsprop_form") == 1;
  if (config.graves && !rmsprop) {
    fail(BPTT_ERR_ARGUMENT, name + "rmsprop_form",
         "BPTT_RMSPROP_TORCH (0) unless the algorithm is BPTT_RMSPROP", "BPTT_RMSPROP_GRAVES (1)");
  }
  config.centered = flag(options.centered, "centered", rmsprop && !config.graves,
                         "0 unless the algorithm is BPTT_RMSPROP in the form BPTT_RMSPROP_TORCH");
  config.alpha = options.rmsprop_alpha;
  if (!std::isnan(config.alpha)) {
    fraction(config.alpha, name + "rmsprop_alpha");
    if (!rmsprop) {
      fail(BPTT_ERR_ARGUMENT, name + "rmsprop_alpha", "NaN unless the algorithm is BPTT_RMSPROP",
           text(config.alpha));
    }
  }
  return config;
}

ModelConfig model_settings(const bptt_model_options* given, Dtype* dtype) {
  const bptt_model_options options = read_struct(given, "options");
  const bptt_layer_options layer = read_struct(&options.layer, "options.layer");
  const bool tokens = options.vocab_size != 0;
  if (tokens) {
    size_argument(options.vocab_size, "vocab_size");
    if (layer.input_size != 0) {
      fail(BPTT_ERR_ARGUMENT, "layer.input_size", "0, because vocab_size is given",
           text(layer.input_size));
    }
  } else {
    size_argument(layer.input_size, "layer.input_size");
  }
  if (options.embedding_size < 0 || (options.embedding_size != 0 && !tokens)) {
    fail(BPTT_ERR_ARGUMENT, "embedding_size",
         tokens ? "an integer >= 0" : "0 unless vocab_size is given", text(options.embedding_size));
  }
  const LayerSettings settings =
      check_layer(layer, "layer.", tokens ? options.vocab_size : layer.input_size);

  ModelConfig config;
  config.network = settings.network;
  config.network.tokens_only = tokens;
  config.network.embedding = options.embedding_size;
  config.network.output = size_argument(options.output_size, "output_size");
  config.network.prefix = "rnn.";
  config.init = settings.init;
  config.loss = kLossOf[choose(raw(options.loss), kLosses, "loss")];
  config.network.last_only = choose(raw(options.targets), kTargets, "targets") == 1;
  config.mean = choose(raw(options.reduction), kReductions, "reduction") == 0;
  config.optimizer = optimizer_settings(&options.optimizer, "optimizer.");
  not_negative(config.clip_norm = options.clip_norm, "clip_norm");
  not_negative(config.clip_tensor_norm = options.clip_tensor_norm, "clip_tensor_norm");
  not_negative(config.clip_value = options.clip_value, "clip_value");
  not_negative(config.clip_step = options.clip_step, "clip_step");
  not_negative(config.clip_step_norm = options.clip_step_norm, "clip_step_norm");
  check_parameters(config.network,
                   settings.dtype == Dtype::float32 ? sizeof(float) : sizeof(double));
  check_loss(options, config);
  *dtype = settings.dtype;
  return config;
}

bptt_model_options model_options(const ModelConfig& config, const OptimizerConfig& optimizer,
                                 bptt_dtype dtype) {
  const NetworkConfig& network = config.network;
  bptt_model_options options = defaults_of<bptt_model_options>();
  options.layer.cell = value_of<bptt_cell>(network.cell, kCellOf, kCells);
  options.layer.nonlinearity =
      value_of<bptt_nonlinearity>(network.activation, kActivationOf, kActivations);
  options.layer.dtype = dtype;
  options.layer.input_size = network.tokens_only ? 0 : network.input;
  options.layer.hidden_size = network.hidden;
  options.layer.num_layers = network.layers;
  options.layer.bias = network.bias;
  options.layer.init = value_of<bptt_weight_init>(config.init.weights, kInitOf, kInits);
  options.layer.init_gain = config.init.gain;
  options.layer.forget_bias = config.init.forget_bias;
  options.layer.spectral_radius = config.init.spectral_radius;
  options.layer.time_scale = config.init.time_scale;
  options.layer.seed = config.init.seed;
  options.vocab_size = network.tokens_only ? network.input : 0;
  options.embedding_size = network.embedding;
  options.output_size = network.output;
  options.loss = value_of<bptt_loss>(config.loss, kLossOf, kLosses);
  options.targets = network.last_only ? BPTT_LAST_STEP : BPTT_EVERY_STEP;
  options.reduction = config.mean ? BPTT_MEAN : BPTT_SUM;
  options.optimizer.algorithm =
      value_of<bptt_algorithm>(optimizer.algorithm, kAlgorithmOf, kAlgorithms);
  options.optimizer.lr = optimizer.lr;
  options.optimizer.momentum = optimizer.momentum;
  options.optimizer.beta1 = optimizer.beta1;
  options.optimizer.beta2 = optimizer.beta2;
  options.optimizer.eps = optimizer.eps;
  options.optimizer.weight_decay = optimizer.weight_decay;
  options.optimizer.decay_biases = optimizer.decay_biases;
  options.optimizer.nesterov = optimizer.nesterov;
  options.optimizer.amsgrad = optimizer.amsgrad;
  options.optimizer.centered = optimizer.centered;
  options.optimizer.rmsprop_alpha = optimizer.alpha;
  options.optimizer.rmsprop_form = optimizer.graves ? BPTT_RMSPROP_GRAVES : BPTT_RMSPROP_TORCH;
  options.clip_norm = config.clip_norm;
  options.clip_tensor_norm = config.clip_tensor_norm;
  options.clip_value = config.clip_value;
  options.clip_step = config.clip_step;
  options.clip_step_norm = config.clip_step_norm;
  options.label_smoothing = config.label_smoothing;
  options.ignore_index = config.ignore_index;
  options.class_weights = config.class_weights.empty() ? nullptr : config.class_weights.data();
  return options;
}

}  // namespace bptt

using namespace bptt;

bptt_status bptt_layer_options_init(bptt_layer_options* options, size_t struct_size) {
  return guard("bptt_layer_options_init", [&] {
    write_struct(options, struct_size, defaults_of<bptt_layer_options>(), "options");
  });
}

bptt_status bptt_optimizer_options_init(bptt_optimizer_options* options, size_t struct_size) {
  return guard("bptt_optimizer_options_init", [&] {
    write_struct(options, struct_size, defaults_of<bptt_optimizer_options>(), "options");
  });
}

bptt_status bptt_model_options_init(bptt_model_options* options, size_t struct_size) {
  return guard("bptt_model_options_init", [&] {
    write_struct(options, struct_size, defaults_of<bptt_model_options>(), "options");
  });
}
