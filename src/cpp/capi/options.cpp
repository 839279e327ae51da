// options.cpp: options of models and optimisers: their defaults, and the way from them to the
// engine's configurations and back.
#include <cmath>
#include <limits>

#include "capi/choices.h"

namespace bptt {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

constexpr Choice kLosses[] = {{BPTT_CROSS_ENTROPY, "BPTT_CROSS_ENTROPY"},
                              {BPTT_MSE, "BPTT_MSE"},
                              {BPTT_BINARY_CROSS_ENTROPY, "BPTT_BINARY_CROSS_ENTROPY"}};
constexpr Loss kLossOf[] = {Loss::cross_entropy, Loss::mse, Loss::binary_cross_entropy};
constexpr Choice kTargets[] = {{BPTT_EVERY_STEP, "BPTT_EVERY_STEP"},
                               {BPTT_LAST_STEP, "BPTT_LAST_STEP"},
                               {BPTT_LAST_ROW, "BPTT_LAST_ROW"}};
constexpr Choice kReductions[] = {{BPTT_MEAN, "BPTT_MEAN"}, {BPTT_SUM, "BPTT_SUM"}};
constexpr Choice kAlgorithms[] = {{BPTT_SGD, "BPTT_SGD"},
                                  {BPTT_ADAGRAD, "BPTT_ADAGRAD"},
                                  {BPTT_ADAM, "BPTT_ADAM"},
                                  {BPTT_RMSPROP, "BPTT_RMSPROP"}};
constexpr Algorithm kAlgorithmOf[] = {Algorithm::sgd, Algorithm::adagrad, Algorithm::adam,
                                      Algorithm::rmsprop};
constexpr Choice kForms[] = {{BPTT_RMSPROP_TORCH, "BPTT_RMSPROP_TORCH"},
                             {BPTT_RMSPROP_GRAVES, "BPTT_RMSPROP_GRAVES"}};

constexpr Choice kNonfinite[] = {{BPTT_NONFINITE_SKIP, "BPTT_NONFINITE_SKIP"},
                                 {BPTT_NONFINITE_ZERO, "BPTT_NONFINITE_ZERO"},
                                 {BPTT_NONFINITE_RAISE, "BPTT_NONFINITE_RAISE"}};
constexpr Nonfinite kNonfiniteOf[] = {Nonfinite::skip, Nonfinite::zero, Nonfinite::raise};

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

}  // namespace

// Options take the room that was kept for them, so that bptt_model_options stays as it was.
static_assert(sizeof(void*) != 8 || sizeof(bptt_layer_options) == 208);
static_assert(sizeof(void*) != 8 || sizeof(bptt_optimizer_options) == 128);

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
const char* struct_name<bptt_optimizer_options>() {
  return "bptt_optimizer_options";
}
template <>
const char* struct_name<bptt_model_options>() {
  return "bptt_model_options";
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
  const int32_t targets = kTargets[choose(raw(options.targets), kTargets, "targets")].value;
  config.network.last_only = targets != BPTT_EVERY_STEP;
  config.network.last_row = targets == BPTT_LAST_ROW;
  if (config.network.last_row && !config.network.bidirectional) {
    fail(BPTT_ERR_ARGUMENT, "targets", "BPTT_EVERY_STEP or BPTT_LAST_STEP unless bidirectional",
         "BPTT_LAST_ROW");
  }
  config.mean = choose(raw(options.reduction), kReductions, "reduction") == 0;
  config.nonfinite = kNonfiniteOf[choose(raw(options.nonfinite), kNonfinite, "nonfinite")];
  config.optimizer = optimizer_settings(&options.optimizer, "optimizer.");
  not_negative(config.clip_norm = options.clip_norm, "clip_norm");
  not_negative(config.clip_tensor_norm = options.clip_tensor_norm, "clip_tensor_norm");
  not_negative(config.clip_value = options.clip_value, "clip_value");
  config.clip_step = options.clip_step;
  config.clip_step_norm = options.clip_step_norm;
  config.k1 = options.truncation_k1;
  config.k2 = options.truncation_k2;
  config.omega = options.omega;
  config.batch_first = flag_argument(options.batch_first, "batch_first");
  check_bptt(config.network, bptt_settings(config));
  check_parameters(config.network,
                   settings.dtype == Dtype::float32 ? sizeof(float) : sizeof(double));
  check_loss(options, config);
  if (settings.dtype == Dtype::float32) {
    check_factors<float>(config.optimizer, "optimizer.");
  } else {
    check_factors<double>(config.optimizer, "optimizer.");
  }
  *dtype = settings.dtype;
  return config;
}

bptt_model_options model_options(const ModelConfig& config, const OptimizerConfig& optimizer,
                                 bptt_dtype dtype) {
  const NetworkConfig& network = config.network;
  bptt_model_options options = defaults_of<bptt_model_options>();
  options.layer = layer_options(network, config.init, dtype);
  options.vocab_size = network.tokens_only ? network.input : 0;
  options.embedding_size = network.embedding;
  options.output_size = network.output;
  options.loss = value_of<bptt_loss>(config.loss, kLossOf, kLosses);
  options.targets = !network.last_only ? BPTT_EVERY_STEP
                    : network.last_row ? BPTT_LAST_ROW
                                       : BPTT_LAST_STEP;
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
  options.truncation_k1 = config.k1;
  options.truncation_k2 = config.k2;
  options.omega = config.omega;
  options.batch_first = config.batch_first;
  options.label_smoothing = config.label_smoothing;
  options.ignore_index = config.ignore_index;
  options.nonfinite = value_of<bptt_nonfinite>(config.nonfinite, kNonfiniteOf, kNonfinite);
  options.class_weights = config.class_weights.empty() ? nullptr : config.class_weights.data();
  return options;
}

}  // namespace bptt

using namespace bptt;

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
