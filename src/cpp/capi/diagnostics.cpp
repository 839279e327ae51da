// diagnostics.cpp: gradients of single outputs, Jacobians, spectra (bptt_diagnostics.h).
#include <algorithm>

#include "capi/passes.h"
#include "diagnostics/seeds.h"
#include "diagnostics/spectrum.h"

namespace bptt {

template <>
bptt_spectrum defaults_of<bptt_spectrum>() {
  bptt_spectrum spectrum = {};
  spectrum.struct_size = sizeof spectrum;
  spectrum.interval = 1;
  return spectrum;
}
namespace {

void within(int64_t value, int64_t first, int64_t last, const char* argument,
            const std::string& of = "") {
  if (value >= first && value <= last) return;
  fail(BPTT_ERR_RANGE, argument, "an integer from " + text(first) + " to " + text(last),
       text(value) + of);
}

// Returns the index of the caller's sequence in the tape's order.
template <class T>
std::vector<int64_t> places(const Tape<T>& tape) {
  std::vector<int64_t> places(static_cast<size_t>(tape.batch()));
  for (int64_t n = 0; n < tape.batch(); ++n) places[size_t(tape.order().sequence(n))] = n;
  return places;
}

template <class T>
SeedsCall<T> check_seeds(const NetworkConfig& config, const Tape<T>& tape,
                         const bptt_seeds* given) {
  const bptt_seeds known = read_struct(given, "seeds");
  const int64_t S = size_argument(known.count, "count");
  not_null(known.times, "times");
  if (!known.outputs == !known.dy) {
    fail(BPTT_ERR_ARGUMENT, "outputs", "either outputs or dy", known.outputs ? "both" : "neither");
  }
  lstm_only(config, known.flow_c, "flow_c");
  if (known.horizon < 0) fail(BPTT_ERR_ARGUMENT, "horizon", "an integer >= 0", text(known.horizon));
  const int64_t features = config.output ? config.output : config.features();
  const int64_t norms = checked_count(S, tape.steps());
  const int64_t flows = checked_count(norms, config.walks());
  require_memory(checked_count(S, config.features()), sizeof(T));
  Arrays arrays;
  arrays.flat("times", known.times, S, false);
  arrays.flat("samples", known.samples, S, false);
  arrays.flat("outputs", known.outputs, S, false);
  arrays.flat("dy", static_cast<const T*>(known.dy), checked_count(S, features), false);
  arrays.flat("dx_norms", known.dx_norms, norms, true);
  arrays.flat("flow", known.flow, flows, true);
  arrays.flat("flow_c", known.flow_c, flows, true);
  SeedsCall<T> call;
  call.times.assign(known.times, known.times + S);
  call.samples.assign(size_t(S), 0);
  if (known.samples) call.samples.assign(known.samples, known.samples + S);
  if (known.outputs) call.outputs.assign(known.outputs, known.outputs + S);
  const std::vector<int64_t> place = places(tape);
  for (int64_t s = 0; s < S; ++s) {
    const std::string of = " for loss " + text(s);
    int64_t& sample = call.samples[size_t(s)];
    within(sample, 0, tape.batch() - 1, "samples", of);
    sample = place[size_t(sample)];
    const int64_t last = tape.order().length(sample) - 1;
    within(call.times[size_t(s)], config.last_only ? last : 0, last, "times", of);
    if (known.outputs) within(call.outputs[size_t(s)], 0, features - 1, "outputs", of);
  }
  call.dy = static_cast<const T*>(known.dy);
  call.horizon = std::min(known.horizon, tape.steps());
  call.dx_norms = known.dx_norms;
  call.flow = known.flow;
  call.flow_c = known.flow_c;
  return call;
}

template <class T>
void run_seeds(const std::shared_ptr<Network<T>>& network, bptt_tape* tape,
               const bptt_seeds* seeds) {
  with_tape(
      network, tape,
      [&](const Tape<T>& memory) { return check_seeds(network->config(), memory, seeds); },
      [&](const Tape<T>& memory, const SeedsCall<T>& call) { walk_seeds(*network, call, memory); });
}

// Returns S, the size of a state.
int64_t state_size(const NetworkConfig& config) {
  return config.state() + (config.shape().has_c ? config.hidden : 0);
}

// Returns the index of the sequence in the tape's order.
template <class T>
int64_t check_walk(const NetworkConfig& config, const Tape<T>& tape, int64_t index,
                   int64_t sample) {
  within(index, 0, config.walks() - 1, "index");
  within(sample, 0, tape.batch() - 1, "sample");
  return places(tape)[size_t(sample)];
}

template <class T>
void run_jacobian(const std::shared_ptr<Network<T>>& network, bptt_tape* tape, int64_t index,
                  int64_t sample, int64_t step, void* out) {
  with_tape(
      network, tape,
      [&](const Tape<T>& memory) {
        not_null(out, "jacobian");
        const int64_t place = check_walk(network->config(), memory, index, sample);
        within(step, 0, memory.order().length(place) - 1, "step");
        return place;
      },
      [&](const Tape<T>& memory, int64_t place) {
        StateRows<T> rows(*network, memory, index, place, state_size(network->config()));
        jacobian(rows, step, static_cast<T*>(out));
      });
}

template <class T>
struct CheckedSpectrum {
  SpectrumCall<T> call;
  int64_t index, place;
};

template <class T>
CheckedSpectrum<T> check_spectrum(const NetworkConfig& config, const Tape<T>& tape,
                                  const bptt_spectrum* given) {
  const bptt_spectrum known = read_struct(given, "spectrum");
  CheckedSpectrum<T> checked;
  checked.index = known.index;
  checked.place = check_walk(config, tape, known.index, known.sample);
  const int64_t length = tape.order().length(checked.place), S = state_size(config);
  SpectrumCall<T>& call = checked.call;
  within(known.first, 0, length - 1, "first");
  if (known.last) within(known.last, known.first + 1, length, "last");
  call.first = known.first;
  call.last = known.last ? known.last : length;
  within(known.count, 0, S, "count");
  call.count = known.count ? known.count : S;
  call.interval = size_argument(known.interval, "interval");
  within(known.discard, 0, call.last - call.first - 1, "discard");
  call.discard = known.discard;
  for (const auto& [values, argument] :
       {std::pair(known.log_singular_values, "log_singular_values"),
        std::pair(known.log_extremes, "log_extremes")}) {
    if (values && call.count != S)
      fail(BPTT_ERR_ARGUMENT, argument, "NULL unless count is 0 or " + text(S), "a pointer");
  }
  if (known.log_extremes && call.interval != 1)
    fail(BPTT_ERR_ARGUMENT, "log_extremes", "NULL unless interval is 1", "a pointer");
  call.start = static_cast<const T*>(known.start);
  call.exponents = known.exponents;
  call.log_singular_values = known.log_singular_values;
  call.log_extremes = known.log_extremes;
  Arrays arrays;
  arrays.flat("start", call.start, checked_count(call.count, S), false);
  arrays.flat("exponents", call.exponents, call.count, true);
  arrays.flat("log_singular_values", call.log_singular_values, S, true);
  arrays.flat("log_extremes", call.log_extremes, 2 * (call.last - call.first), true);
  return checked;
}

template <class T>
void run_spectrum(const std::shared_ptr<Network<T>>& network, bptt_tape* tape,
                  const bptt_spectrum* given) {
  with_tape(
      network, tape,
      [&](const Tape<T>& memory) { return check_spectrum(network->config(), memory, given); },
      [&](const Tape<T>& memory, const CheckedSpectrum<T>& checked) {
        StateRows<T> rows(*network, memory, checked.index, checked.place, checked.call.count);
        spectrum(rows, checked.call);
      });
}

template <class Run>
bptt_status of_layer(const char* function, bptt_layer* layer, const Run& run) {
  return guard(function, [&] {
    const Use use(layer, {Tag::layer}, "layer");
    on(use.as<LayerObject>().network, run);
  });
}
template <class Run>
bptt_status of_model(const char* function, bptt_model* model, const Run& run) {
  return guard(function, [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&](const auto& it) { run(network_of(it)); });
  });
}

}  // namespace
}  // namespace bptt

using namespace bptt;

bptt_status bptt_seeds_init(bptt_seeds* seeds, size_t struct_size) {
  return guard("bptt_seeds_init",
               [&] { write_struct(seeds, struct_size, defaults_of<bptt_seeds>(), "seeds"); });
}

bptt_status bptt_spectrum_init(bptt_spectrum* spectrum, size_t struct_size) {
  return guard("bptt_spectrum_init", [&] {
    write_struct(spectrum, struct_size, defaults_of<bptt_spectrum>(), "spectrum");
  });
}

bptt_status bptt_layer_backward_seeds(bptt_layer* layer, bptt_tape* tape, const bptt_seeds* seeds) {
  return of_layer("bptt_layer_backward_seeds", layer,
                  [&](const auto& network) { run_seeds(network, tape, seeds); });
}

bptt_status bptt_model_backward_seeds(bptt_model* model, bptt_tape* tape, const bptt_seeds* seeds) {
  return of_model("bptt_model_backward_seeds", model,
                  [&](const auto& network) { run_seeds(network, tape, seeds); });
}

bptt_status bptt_layer_jacobian(bptt_layer* layer, bptt_tape* tape, int64_t index, int64_t sample,
                                int64_t step, void* jacobian) {
  return of_layer("bptt_layer_jacobian", layer, [&](const auto& network) {
    run_jacobian(network, tape, index, sample, step, jacobian);
  });
}

bptt_status bptt_model_jacobian(bptt_model* model, bptt_tape* tape, int64_t index, int64_t sample,
                                int64_t step, void* jacobian) {
  return of_model("bptt_model_jacobian", model, [&](const auto& network) {
    run_jacobian(network, tape, index, sample, step, jacobian);
  });
}

bptt_status bptt_layer_spectrum(bptt_layer* layer, bptt_tape* tape, const bptt_spectrum* spectrum) {
  return of_layer("bptt_layer_spectrum", layer,
                  [&](const auto& network) { run_spectrum(network, tape, spectrum); });
}

bptt_status bptt_model_spectrum(bptt_model* model, bptt_tape* tape, const bptt_spectrum* spectrum) {
  return of_model("bptt_model_spectrum", model,
                  [&](const auto& network) { run_spectrum(network, tape, spectrum); });
}
