// options.cpp: checks of the caller's structs of options, and their defaults.
#include "capi/options.h"

#include <algorithm>
#include <cstring>

#include "capi/errors.h"
#include "capi/structs.h"
#include "model/optimizer.h"
#include "model/option_rules.h"

namespace bptt {
namespace {

void refuse(const std::optional<OptionProblem>& problem) {
  if (!problem) return;
  const bool type = problem->row == &row_of("dtype");
  const auto& [name, expected, got] = problem->c;
  Error error(type ? BPTT_ERR_TYPE : BPTT_ERR_ARGUMENT, name, expected, got);
  const auto& python = problem->python;
  error.python = {python.name, python.expected, python.got};
  throw error;
}

// Refuses sizes whose parameters alone do not fit into memory.
void check_parameters(const NetworkConfig& network) {
  const size_t element = network.dtype == BPTT_FLOAT32 ? sizeof(float) : sizeof(double);
  const CellShape shape = network.shape();
  const int64_t gates = checked_count(network.directions(), shape.gates);
  const int64_t first = network.embedding ? network.embedding : network.input;
  const int64_t rows = checked_count(gates, network.hidden);
  int64_t largest = 0;  // the sizes below are of the largest tensors, and of those like them
  const auto need = [&](int64_t count) { largest = std::max(largest, count); };
  need(checked_count(rows, first));
  need(checked_count(rows, network.layers, 2));
  if (shape.recurrent() || network.layers > 1) {
    // layers with a matrix of this size
    const int64_t layers = network.layers - !shape.recurrent();
    need(checked_count(rows, layers, network.state(), 2));
  }
  need(checked_count(network.input, network.embedding, 2));
  need(checked_count(network.output, network.features(), 2));
  require_memory(largest, element);
}

}  // namespace

template <>
bptt_layer_options defaults_of<bptt_layer_options>() {
  return default_layer_options();
}
template <>
bptt_optimizer_options defaults_of<bptt_optimizer_options>() {
  return default_optimizer_options();
}
template <>
bptt_model_options defaults_of<bptt_model_options>() {
  return default_model_options();
}

// The dtype of options that have not been checked: float32 where it is no enumerator.
static Dtype given_dtype(const bptt_layer_options& options) {
  return raw(options.dtype) == BPTT_FLOAT64 ? Dtype::float64 : Dtype::float32;
}

static bptt_layer_options read_layer(const bptt_layer_options* given, const char* argument) {
  const bptt_layer_options options = read_struct(given, argument);
  if (options.reserved32)
    fail(BPTT_ERR_ARGUMENT, "reserved32", "0", text(int64_t{options.reserved32}));
  return options;
}

NetworkConfig layer_settings(const bptt_layer_options* given) {
  const bptt_layer_options options = read_layer(given, "options");
  refuse(problem_of({.layer = &options}, given_dtype(options)));
  const NetworkConfig config(options);
  check_parameters(config);
  return config;
}

LayerConfig cell_settings(const bptt_layer_options* given) {
  const bptt_layer_options options = read_struct(given, "options");
  bptt_layer_options own = default_layer_options();
  std::memcpy(&own.cell, &options.cell, sizeof own.cell);  // may be no enumerator
  own.coupled = options.coupled;
  own.reset_before = options.reset_before;
  own.input_size = own.hidden_size = 1;
  refuse(problem_of({.layer = &own}, Dtype::float32));
  return LayerConfig(own);
}

OptimizerConfig optimizer_settings(const bptt_optimizer_options* given, Dtype dtype) {
  const bptt_optimizer_options options = read_struct(given, "options");
  refuse(problem_of({.optimizer = &options}, dtype));
  return options;
}

ModelConfig model_settings(const bptt_model_options* options, const bptt_layer_options* layer,
                           const bptt_optimizer_options* optimizer) {
  const ModelOptions all = {
      read_struct(options, "options"), read_layer(layer, "layer"),
      optimizer ? read_struct(optimizer, "optimizer") : default_optimizer_options()};
  refuse(problem_of(structs_of(all), given_dtype(all.layer)));
  ModelConfig config(all);
  check_parameters(config.network);
  return config;
}

void check_call(const bptt_layer_options& layer, const bptt_backward& backward) {
  bptt_model_options call = {};
  call.clip_step = backward.clip_step;
  call.clip_step_norm = backward.clip_step_norm;
  call.truncation_k1 = backward.truncation_k1;
  call.truncation_k2 = backward.truncation_k2;
  call.omega = backward.omega;
  call.activity_l1 = backward.activity_l1;
  call.activity_l2 = backward.activity_l2;
  refuse(problem_of_call(layer, call));
}

}  // namespace bptt

using namespace bptt;

bptt_status bptt_layer_options_init(bptt_layer_options* options, size_t struct_size) {
  return guard("bptt_layer_options_init",
               [&] { write_struct(options, struct_size, default_layer_options(), "options"); });
}

bptt_status bptt_optimizer_options_init(bptt_optimizer_options* options, size_t struct_size) {
  return guard("bptt_optimizer_options_init",
               [&] { write_struct(options, struct_size, default_optimizer_options(), "options"); });
}

bptt_status bptt_optimizer_options_of(bptt_algorithm algorithm, bptt_rmsprop_form form,
                                      bptt_optimizer_options* options, size_t struct_size) {
  return guard("bptt_optimizer_options_of", [&] {
    const auto within = [](int64_t value, int64_t first, int64_t last, const char* name) {
      if (value >= first && value <= last) return;
      fail(BPTT_ERR_RANGE, name, "an integer from " + text(first) + " to " + text(last),
           text(value));
    };
    within(raw(algorithm), BPTT_SGD, BPTT_LION, "algorithm");
    within(raw(form), BPTT_RMSPROP_TORCH, algorithm == BPTT_RMSPROP ? BPTT_RMSPROP_GRAVES : 0,
           "form");
    write_struct(options, struct_size, options_of(algorithm, form), "options");
  });
}

bptt_status bptt_model_options_init(bptt_model_options* options, size_t struct_size) {
  return guard("bptt_model_options_init",
               [&] { write_struct(options, struct_size, default_model_options(), "options"); });
}
