// options_json.cpp: the options of a model as JSON, and back.
#include <cmath>
#include <span>
#include <string_view>

#include "modelfile/file.h"
#include "modelfile/json.h"

namespace bptt {
namespace {

// The texts of an enum, in the order of its values.
using Texts = std::span<const std::string_view>;
constexpr std::string_view kCells[] = {"rnn", "lstm", "gru"};
constexpr std::string_view kActivations[] = {"tanh",         "relu",     "sigmoid",
                                             "identity",     "softplus", "elu",
                                             "hard_sigmoid", "softsign", "leaky_relu"};
constexpr std::string_view kDtypes[] = {"float32", "float64"};
constexpr std::string_view kComputes[] = {"dtype", "bfloat16"};
constexpr std::string_view kNonfinite[] = {"skip", "zero", "raise"};
constexpr std::string_view kWeights[] = {"uniform", "orthogonal", "identity", "xavier",
                                         "normal",  "sparse",     "chrono",   "keras"};
constexpr std::string_view kLosses[] = {"cross_entropy", "mse", "binary_cross_entropy"};
constexpr std::string_view kTargets[] = {"every", "last"};
constexpr std::string_view kReductions[] = {"mean", "sum"};
constexpr std::string_view kAlgorithms[] = {"sgd", "adagrad", "adam", "rmsprop"};
constexpr std::string_view kForms[] = {"torch", "graves"};
constexpr std::string_view kLasts[] = {"row", "final_states"};

// The options as the file names them.
struct Options {
  ModelConfig config;
  Dtype dtype = Dtype::float32;
  int64_t input_size = 0, vocab_size = 0;
  bool last = false, sum = false;
  bool final_states = false;  // of two directions, what "last" is: see NetworkConfig
  std::string seed;           // as text: JSON's numbers are not exact for all of 64 bits
};

// Names every option once, for the writer and for the reader.
template <class Archive>
void visit(Archive& archive, Options& options) {
  ModelConfig& config = options.config;
  NetworkConfig& network = config.network;
  archive.choice("cell", network.cell, kCells);
  archive.choice("nonlinearity", network.activation, kActivations);
  archive.choice("dtype", options.dtype, kDtypes);
  archive.integer("input_size", options.input_size);
  archive.integer("vocab_size", options.vocab_size);
  archive.integer("embedding_size", network.embedding);
  archive.integer("hidden_size", network.hidden);
  archive.integer("num_layers", network.layers);
  archive.integer("output_size", network.output);
  archive.flag("bias", network.bias);
  archive.choice("init", config.init.weights, kWeights);
  archive.number("init_gain", config.init.gain);
  archive.number("forget_bias", config.init.forget_bias);
  archive.text("seed", options.seed);
  archive.choice("loss", config.loss, kLosses);
  archive.choice("targets", options.last, kTargets);
  archive.choice("reduction", options.sum, kReductions);
  archive.choice("optimizer", config.optimizer.algorithm, kAlgorithms);
  archive.number("lr", config.optimizer.lr);
  archive.number("momentum", config.optimizer.momentum);
  archive.number("beta1", config.optimizer.beta1);
  archive.number("beta2", config.optimizer.beta2);
  archive.number("eps", config.optimizer.eps);
  archive.number("weight_decay", config.optimizer.weight_decay);
  archive.number("clip_norm", config.clip_norm);
  archive.number("clip_tensor_norm", config.clip_tensor_norm);
  archive.number("clip_value", config.clip_value);
  archive.number("clip_step", config.clip_step);
  archive.number("clip_step_norm", config.clip_step_norm);
  // What follows was added later: a file without it means the defaults.
  archive.optional();
  archive.number("label_smoothing", config.label_smoothing);
  archive.integer("ignore_index", config.ignore_index);
  archive.flag("decay_biases", config.optimizer.decay_biases);
  archive.flag("nesterov", config.optimizer.nesterov);
  archive.flag("amsgrad", config.optimizer.amsgrad);
  archive.flag("centered", config.optimizer.centered);
  archive.number("rmsprop_alpha", config.optimizer.alpha);
  archive.choice("rmsprop_form", config.optimizer.graves, kForms);
  archive.number("spectral_radius", config.init.spectral_radius);
  archive.number("time_scale", config.init.time_scale);
  archive.flag("bidirectional", network.bidirectional);
  archive.integer("proj_size", network.projection);
  archive.flag("peephole", network.peephole);
  archive.flag("coupled", network.coupled);
  archive.flag("reset_after", network.reset_after);
  archive.flag("layer_norm", network.layer_norm);
  archive.number("alpha", network.alpha);
  archive.number("noise", network.noise);
  archive.number("dale", network.dale);
  archive.number("dropout", network.dropout);
  archive.flag("variational", network.variational);
  archive.number("recurrent_dropout", network.recurrent_dropout);
  archive.number("zoneout", network.zoneout);
  archive.number("zoneout_c", network.zoneout_c);
  archive.integer("truncation_k1", config.k1);
  archive.integer("truncation_k2", config.k2);
  archive.number("omega", config.omega);
  archive.flag("batch_first", config.batch_first);
  archive.choice("compute", network.compute, kComputes);
  archive.choice("nonfinite", config.nonfinite, kNonfinite);
  archive.choice_but_first("last", options.final_states, kLasts);
}

class Writer {
 public:
  std::string finished() const { return json_ + '}'; }
  void optional() {}
  template <class Enum>
  void choice(std::string_view name, Enum value, Texts texts) {
    add(name, json_string(texts[static_cast<size_t>(value)]));
  }
  // The first one is what a file without the option means.
  template <class Enum>
  void choice_but_first(std::string_view name, Enum value, Texts texts) {
    if (value != Enum()) choice(name, value, texts);
  }
  void integer(std::string_view name, int64_t value) { add(name, std::to_string(value)); }
  void flag(std::string_view name, bool value) { add(name, value ? "true" : "false"); }
  void number(std::string_view name, double value) { add(name, json_number(value)); }
  void text(std::string_view name, const std::string& value) { add(name, json_string(value)); }

 private:
  void add(std::string_view name, const std::string& value) {
    if (json_.size() > 1) json_ += ',';
    json_ += json_string(name) + ':' + value;
  }
  std::string json_ = "{";
};

// Reads the value of one member into the option of that name.
class Reader {
 public:
  Reader(JsonReader& json, const std::string& name) : json_(json), name_(name) {}
  int required = 0;                    // how many have to be there
  bool known = false, needed = false;  // whether this one is an option, and a required one

  // Files may lack the options that follow: their defaults hold.
  void optional() { all_required_ = false; }

  template <class Enum>
  void choice(std::string_view name, Enum& value, Texts texts) {
    if (!is(name)) return;
    const std::string text = json_.string(32);
    size_t i = 0;
    while (i < texts.size() && texts[i] != text) ++i;
    if (i == texts.size()) json_.fail("an unknown " + name_ + " '" + text + "'");
    value = static_cast<Enum>(i);
  }
  template <class Enum>
  void choice_but_first(std::string_view name, Enum& value, Texts texts) {
    choice(name, value, texts);
  }
  void integer(std::string_view name, int64_t& value) {
    if (is(name)) value = json_.integer();
  }
  void flag(std::string_view name, bool& value) {
    if (is(name)) value = json_.boolean();
  }
  void number(std::string_view name, double& value) {
    if (is(name)) value = json_.null() ? std::numeric_limits<double>::quiet_NaN() : json_.number();
  }
  void text(std::string_view name, std::string& value) {
    if (is(name)) value = json_.string(32);
  }

 private:
  bool is(std::string_view name) {
    required += all_required_;
    if (name != name_) return false;
    needed = all_required_;
    return known = true;
  }
  JsonReader& json_;
  const std::string& name_;
  bool all_required_ = true;
};

[[noreturn]] void refuse_option(const std::string& name) {
  refuse_file("a model file with an impossible option " + name);
}

void check(bool possible, const char* name) {
  if (!possible) refuse_option(name);
}
bool not_negative(double value) { return value >= 0 && std::isfinite(value); }
bool fraction(double value) { return value >= 0 && value < 1; }

// The conditions under which a model can be created.
void check_options(const Options& options) {
  const ModelConfig& config = options.config;
  const NetworkConfig& network = config.network;
  const OptimizerConfig& optimizer = config.optimizer;
  check(options.input_size >= 0 && options.vocab_size >= 0, "input_size");
  check((options.input_size > 0) != (options.vocab_size > 0), "vocab_size");
  check(network.embedding >= 0 && (network.embedding == 0 || options.vocab_size > 0),
        "embedding_size");
  check(network.hidden > 0, "hidden_size");
  check(network.compute == Compute::as_stored || options.dtype == Dtype::float32, "compute");
  check(network.layers > 0, "num_layers");
  check(network.output > 0, "output_size");
  check(not_negative(optimizer.lr), "lr");
  const bool sgd = optimizer.algorithm == Algorithm::sgd,
             rmsprop = optimizer.algorithm == Algorithm::rmsprop;
  check(fraction(optimizer.momentum) && (optimizer.momentum == 0 || sgd || rmsprop), "momentum");
  check(!optimizer.nesterov || (sgd && optimizer.momentum != 0), "nesterov");
  check(!optimizer.amsgrad || optimizer.algorithm == Algorithm::adam, "amsgrad");
  check(!optimizer.graves || rmsprop, "rmsprop_form");
  check(!optimizer.centered || (rmsprop && !optimizer.graves), "centered");
  check(rmsprop ? fraction(optimizer.alpha) : std::isnan(optimizer.alpha), "rmsprop_alpha");
  check(fraction(optimizer.beta1), "beta1");
  check(fraction(optimizer.beta2), "beta2");
  check(not_negative(optimizer.eps), "eps");
  check(not_negative(optimizer.weight_decay), "weight_decay");
  const auto beyond = options.dtype == Dtype::float32 ? factor_beyond<float>(optimizer)
                                                      : factor_beyond<double>(optimizer);
  if (beyond.first) refuse_option(beyond.first);
  check(not_negative(config.clip_norm), "clip_norm");
  check(not_negative(config.clip_tensor_norm), "clip_tensor_norm");
  check(not_negative(config.clip_value), "clip_value");
  if (const auto problem = problem_of(network, options.dtype)) refuse_option(problem->option);
  if (const auto problem = problem_of(network, config.init, options.dtype, true))
    refuse_option(problem->option);
  if (const auto problem = problem_of(network, bptt_settings(config)))
    refuse_option(problem->option);
  const bool entropy = config.loss == Loss::cross_entropy;
  check(config.label_smoothing >= 0 && config.label_smoothing <= (entropy ? 1 : 0),
        "label_smoothing");
  check(entropy || config.ignore_index == ModelConfig().ignore_index, "ignore_index");
  check(!options.final_states || (options.last && network.bidirectional), "last");
}

uint64_t seed_of(const std::string& text) {
  uint64_t seed = 0;
  bool possible = !text.empty() && (text == "0" || text[0] != '0');
  for (const char c : text) {
    if (c < '0' || c > '9' || __builtin_mul_overflow(seed, 10u, &seed) ||
        __builtin_add_overflow(seed, static_cast<unsigned>(c - '0'), &seed)) {
      possible = false;
    }
  }
  check(possible, "seed");
  return seed;
}

}  // namespace

std::string config_to_json(const ModelConfig& config, const OptimizerConfig& optimizer,
                           Dtype dtype) {
  Options options;
  options.config = config;
  options.config.optimizer = optimizer;
  options.dtype = dtype;
  (config.network.tokens_only ? options.vocab_size : options.input_size) = config.network.input;
  options.last = config.network.last_only;
  options.final_states = config.network.reads_ends();
  options.sum = !config.mean;
  options.seed = std::to_string(config.init.seed);
  Writer writer;
  visit(writer, options);
  return writer.finished();
}

ModelConfig config_from_json(const std::string& text, Dtype* dtype) {
  Options options;
  options.config.optimizer.decay_biases = true;  // as it was before there was the choice
  int given = 0, expected = 0;
  try {
    JsonReader json(text);
    json.object(128, 64, [&](const std::string& name) {
      Reader reader(json, name);
      visit(reader, options);
      if (!reader.known) json.fail("an unknown option '" + name + "'");
      expected = reader.required;
      given += reader.needed;
    });
    json.end();
  } catch (const JsonError& error) {
    refuse_file("a model file whose options are not right at " + error.reason);
  }
  if (given == 0 || given != expected) refuse_file("a model file without all options");
  check_options(options);
  *dtype = options.dtype;
  ModelConfig config = options.config;
  config.network.tokens_only = options.vocab_size > 0;
  config.network.input = options.vocab_size > 0 ? options.vocab_size : options.input_size;
  config.network.last_only = options.last;
  config.network.last_row = options.last && config.network.bidirectional && !options.final_states;
  config.network.prefix = "rnn.";
  config.mean = !options.sum;
  config.init.seed = config.network.seed = seed_of(options.seed);
  config.init.given = true;
  return config;
}

}  // namespace bptt
