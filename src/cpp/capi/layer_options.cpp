// layer_options.cpp: options of layers: their defaults, and the way from them to the engine's
// configuration and back.
#include <cmath>
#include <limits>

#include "capi/choices.h"

namespace bptt {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

constexpr Choice kCells[] = {
    {BPTT_RNN, "BPTT_RNN"}, {BPTT_LSTM, "BPTT_LSTM"}, {BPTT_GRU, "BPTT_GRU"}};
constexpr Cell kCellOf[] = {Cell::rnn, Cell::lstm, Cell::gru};
constexpr Choice kActivations[] = {{BPTT_TANH, "BPTT_TANH"},
                                   {BPTT_RELU, "BPTT_RELU"},
                                   {BPTT_SIGMOID, "BPTT_SIGMOID"},
                                   {BPTT_IDENTITY, "BPTT_IDENTITY"},
                                   {BPTT_SOFTPLUS, "BPTT_SOFTPLUS"},
                                   {BPTT_ELU, "BPTT_ELU"},
                                   {BPTT_HARD_SIGMOID, "BPTT_HARD_SIGMOID"},
                                   {BPTT_SOFTSIGN, "BPTT_SOFTSIGN"},
                                   {BPTT_LEAKY_RELU, "BPTT_LEAKY_RELU"}};
constexpr Activation kActivationOf[] = {
    Activation::tanh,         Activation::relu,     Activation::sigmoid,
    Activation::identity,     Activation::softplus, Activation::elu,
    Activation::hard_sigmoid, Activation::softsign, Activation::leaky_relu};
constexpr Choice kInits[] = {
    {BPTT_INIT_UNIFORM, "BPTT_INIT_UNIFORM"},   {BPTT_INIT_ORTHOGONAL, "BPTT_INIT_ORTHOGONAL"},
    {BPTT_INIT_IDENTITY, "BPTT_INIT_IDENTITY"}, {BPTT_INIT_XAVIER, "BPTT_INIT_XAVIER"},
    {BPTT_INIT_NORMAL, "BPTT_INIT_NORMAL"},     {BPTT_INIT_SPARSE, "BPTT_INIT_SPARSE"},
    {BPTT_INIT_CHRONO, "BPTT_INIT_CHRONO"},     {BPTT_INIT_KERAS, "BPTT_INIT_KERAS"}};
constexpr WeightInit kInitOf[] = {WeightInit::uniform, WeightInit::orthogonal, WeightInit::identity,
                                  WeightInit::xavier,  WeightInit::normal,     WeightInit::sparse,
                                  WeightInit::chrono,  WeightInit::keras};
constexpr Choice kComputes[] = {{BPTT_COMPUTE_DTYPE, "BPTT_COMPUTE_DTYPE"},
                                {BPTT_COMPUTE_BFLOAT16, "BPTT_COMPUTE_BFLOAT16"}};
constexpr Compute kComputeOf[] = {Compute::as_stored, Compute::bfloat16};

// `prefix`: of the options' names.
void refuse(const std::optional<OptionProblem>& problem, const std::string& prefix) {
  if (problem) fail(BPTT_ERR_ARGUMENT, prefix + problem->option, problem->expected, problem->got);
}

}  // namespace

void check_bptt(const LayerConfig& layer, const BpttSettings& settings) {
  refuse(problem_of(layer, settings), "");
}

LayerSettings check_layer(const bptt_layer_options& options, const std::string& prefix,
                          int64_t inputs) {
  LayerSettings settings;
  NetworkConfig& network = settings.network;
  refuse_reserved(options.reserved, prefix + "reserved");
  if (options.reserved32 != 0) {
    fail(BPTT_ERR_STRUCT_SIZE, prefix + "reserved32", "0 (room for later versions)",
         text(int64_t{options.reserved32}));
  }
  network.cell = kCellOf[choose(raw(options.cell), kCells, prefix + "cell")];
  network.activation =
      kActivationOf[choose(raw(options.nonlinearity), kActivations, prefix + "nonlinearity")];
  settings.dtype = dtype_argument(raw(options.dtype), (prefix + "dtype").c_str());
  network.compute = kComputeOf[choose(raw(options.compute), kComputes, prefix + "compute")];
  if (network.compute == Compute::bfloat16 && settings.dtype != Dtype::float32) {
    fail(BPTT_ERR_ARGUMENT, prefix + "compute",
         "BPTT_COMPUTE_DTYPE (0) unless dtype is BPTT_FLOAT32", "BPTT_COMPUTE_BFLOAT16 (1)");
  }
  network.input = inputs;
  network.hidden = size_argument(options.hidden_size, (prefix + "hidden_size").c_str());
  network.layers = size_argument(options.num_layers, (prefix + "num_layers").c_str());
  network.bias = flag_argument(options.bias, (prefix + "bias").c_str());
  network.bidirectional = flag_argument(options.bidirectional, (prefix + "bidirectional").c_str());
  network.layer_norm = flag_argument(options.layer_norm, (prefix + "layer_norm").c_str());
  network.peephole = flag_argument(options.peephole, (prefix + "peephole").c_str());
  network.coupled = flag_argument(options.coupled, (prefix + "coupled").c_str());
  network.reset_after = !flag_argument(options.reset_before, (prefix + "reset_before").c_str());
  network.variational = flag_argument(options.variational, (prefix + "variational").c_str());
  network.projection = options.proj_size;
  network.alpha = options.alpha;
  network.dale = options.dale;
  network.noise = options.noise;
  network.dropout = options.dropout;
  network.recurrent_dropout = options.recurrent_dropout;
  network.zoneout = options.zoneout;
  network.zoneout_c = options.zoneout_c;
  network.seed = options.seed;
  refuse(problem_of(network, settings.dtype), prefix);
  InitConfig& init = settings.init;
  init.weights = kInitOf[choose(raw(options.init), kInits, prefix + "init")];
  init.gain = options.init_gain;
  init.forget_bias = options.forget_bias;
  init.spectral_radius = options.spectral_radius;
  init.time_scale = options.time_scale;
  init.seed = options.seed;
  refuse(problem_of(network, init, settings.dtype), prefix);
  return settings;
}

// Refuses sizes whose parameters alone would not fit into memory.
void check_parameters(const NetworkConfig& network, size_t element) {
  const int64_t gates = checked_count(network.directions(), network.shape().gates);
  const int64_t first = network.embedding ? network.embedding : network.input;
  const int64_t rows = checked_count(gates, network.hidden);
  require_memory(checked_count(rows, first), element);
  require_memory(checked_count(rows, network.layers, 2), element);
  require_memory(checked_count(rows, network.layers, network.state(), 2), element);
  require_memory(checked_count(network.input, network.embedding, 2), element);
  require_memory(checked_count(network.output, network.features(), 2), element);
}

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
  options.alpha = 1;
  options.dale = kNaN;
  return options;
}

template <>
const char* struct_name<bptt_layer_options>() {
  return "bptt_layer_options";
}
LayerSettings layer_settings(const bptt_layer_options* given) {
  const bptt_layer_options options = read_struct(given, "options");
  const LayerSettings settings =
      check_layer(options, "", size_argument(options.input_size, "input_size"));
  check_parameters(settings.network,
                   settings.dtype == Dtype::float32 ? sizeof(float) : sizeof(double));
  return settings;
}

bptt_layer_options layer_options(const NetworkConfig& network, const InitConfig& init,
                                 bptt_dtype dtype) {
  bptt_layer_options options = defaults_of<bptt_layer_options>();
  options.cell = value_of<bptt_cell>(network.cell, kCellOf, kCells);
  options.nonlinearity =
      value_of<bptt_nonlinearity>(network.activation, kActivationOf, kActivations);
  options.dtype = dtype;
  options.compute = value_of<bptt_compute>(network.compute, kComputeOf, kComputes);
  options.input_size = network.tokens_only ? 0 : network.input;
  options.hidden_size = network.hidden;
  options.num_layers = network.layers;
  options.bias = network.bias;
  options.init = value_of<bptt_weight_init>(init.weights, kInitOf, kInits);
  options.init_gain = init.gain;
  options.forget_bias = init.forget_bias;
  options.spectral_radius = init.spectral_radius;
  options.time_scale = init.time_scale;
  options.seed = init.seed;
  options.bidirectional = network.bidirectional;
  options.layer_norm = network.layer_norm;
  options.peephole = network.peephole;
  options.coupled = network.coupled;
  options.reset_before = !network.reset_after;
  options.variational = network.variational;
  options.proj_size = network.projection;
  options.alpha = network.alpha;
  options.dale = network.dale;
  options.noise = network.noise;
  options.dropout = network.dropout;
  options.recurrent_dropout = network.recurrent_dropout;
  options.zoneout = network.zoneout;
  options.zoneout_c = network.zoneout_c;
  return options;
}

}  // namespace bptt

using namespace bptt;

bptt_status bptt_layer_options_init(bptt_layer_options* options, size_t struct_size) {
  return guard("bptt_layer_options_init", [&] {
    write_struct(options, struct_size, defaults_of<bptt_layer_options>(), "options");
  });
}
