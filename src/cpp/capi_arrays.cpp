#include "capi_arrays.h"

#include <cmath>
#include <cstdlib>

#include "model/row_losses.h"

namespace bptt {
namespace {

constexpr int64_t kFarthest = int64_t{1} << 46;  // elements; beyond this no address space reaches

// How far apart the first and the last of `count` are.
int64_t distance(int64_t stride, int64_t count) {
  if (count == 1) return 0;
  if (stride < -kFarthest || stride > kFarthest) throw std::bad_alloc();
  const int64_t elements = checked_count(std::llabs(stride), count - 1);
  if (elements > kFarthest) throw std::bad_alloc();
  return elements;
}

int64_t states_count(const NetworkConfig& config, int64_t batch) {
  return checked_count(config.layers, batch, config.hidden);
}

int64_t output_features(const NetworkConfig& config) {
  return config.output ? config.output : config.hidden;
}

void lstm_only(const NetworkConfig& config, const void* array, const char* argument) {
  if (array && config.cell != Cell::lstm) {
    fail(BPTT_ERR_ARGUMENT, argument, "NULL, because only an LSTM has cell states", "a pointer");
  }
}

std::string place(int64_t t, int64_t n) {
  return " at step " + text(t) + " of sequence " + text(n);
}

// A copy [steps, batch] of numbers that are right: right(number).
template <class T, class Right>
std::vector<T> copy_checked(bptt_status status, const char* argument, const std::string& expected,
                            const T* from, int64_t steps, int64_t batch, int64_t t, int64_t n,
                            const Right& right) {
  const int64_t count = checked_count(steps, batch);
  require_memory(count, sizeof(T));
  std::vector<T> copy(static_cast<size_t>(count));
  auto next = copy.begin();
  for (int64_t i = 0; i < steps; ++i) {
    for (int64_t j = 0; j < batch; ++j) {
      const T number = *next++ = from[i * t + j * n];
      if (!right(number)) fail(status, argument, expected, text(number) + place(i, j));
    }
  }
  return copy;
}

}  // namespace

template <>
bptt_sequence defaults_of<bptt_sequence>() {
  return {sizeof(bptt_sequence), 0, 0, nullptr, 0, 0, nullptr, 0, 0, nullptr, nullptr};
}
template <>
const char* struct_name<bptt_sequence>() {
  return "bptt_sequence";
}
template <>
bptt_outputs defaults_of<bptt_outputs>() {
  return {sizeof(bptt_outputs), nullptr, 0, 0, nullptr, nullptr};
}
template <>
const char* struct_name<bptt_outputs>() {
  return "bptt_outputs";
}
template <>
bptt_backward defaults_of<bptt_backward>() {
  bptt_backward backward = {};
  backward.struct_size = sizeof backward;
  return backward;
}
template <>
const char* struct_name<bptt_backward>() {
  return "bptt_backward";
}
template <>
bptt_target defaults_of<bptt_target>() {
  return {sizeof(bptt_target), nullptr, nullptr, 0, 0, nullptr, 0, 0};
}
template <>
const char* struct_name<bptt_target>() {
  return "bptt_target";
}

void Arrays::add(const char* name, const void* base, int64_t steps, int64_t batch, int64_t features,
                 int64_t t, int64_t n, size_t element, bool output) {
  const int64_t over_t = distance(t, steps), over_n = distance(n, batch);
  if (features > kFarthest) throw std::bad_alloc();
  const int64_t size = static_cast<int64_t>(element);
  const bool rows_apart = batch == 1 || std::llabs(n) >= features;
  const bool steps_apart = steps == 1 || std::llabs(t) >= features;
  const bool nested = steps == 1 || batch == 1 || std::llabs(t) >= over_n + features ||
                      std::llabs(n) >= over_t + features;
  if (output && !(rows_apart && steps_apart && nested)) {
    fail(BPTT_ERR_ARGUMENT, name,
         "strides that give every element of [" + text(steps) + ", " + text(batch) + ", " +
             text(features) + "] a place of its own",
         "stride_t " + text(t) + ", stride_n " + text(n));
  }
  const char* begin =
      static_cast<const char*>(base) - ((t < 0 ? over_t : 0) + (n < 0 ? over_n : 0)) * size;
  const Span span = {name, begin, begin + (over_t + over_n + features) * size,
                     over_t + over_n + features == checked_count(steps, batch, features), output};
  for (int i = 0; i < count_; ++i) {
    const Span& other = spans_[i];
    if (!output && !other.output) continue;
    // Strided arrays may lie between each other's rows; then only the same start is surely a
    // mistake.
    const bool touch = span.begin < other.end && other.begin < span.end;
    if (touch && ((span.dense && other.dense) || span.begin == other.begin)) {
      fail(BPTT_ERR_ARGUMENT, output ? name : other.name,
           std::string("memory that does not overlap '") + (output ? other.name : name) + "'",
           "overlapping memory");
    }
  }
  spans_[count_++] = span;
}

template <class T>
Sequence<T> check_sequence(const NetworkConfig& config, const bptt_sequence* given) {
  const bptt_sequence known = read_struct(given, "sequence");
  Sequence<T> sequence;
  sequence.steps = size_argument(known.time, "time");
  sequence.batch = size_argument(known.batch, "batch");
  if (!known.x == !known.tokens) {
    fail(BPTT_ERR_ARGUMENT, "x", "exactly one of x and tokens", known.x ? "both" : "neither");
  }
  if (known.x && config.tokens_only) {
    fail(BPTT_ERR_ARGUMENT, "x", "tokens, because the model has a vocabulary", "x");
  }
  lstm_only(config, known.c0, "c0");
  Arrays arrays;
  checked_bytes(checked_count(sequence.steps, sequence.batch, config.input), sizeof(T));
  arrays.strided("x", static_cast<const T*>(known.x), sequence.steps, sequence.batch, config.input,
                 known.x_stride_t, known.x_stride_n, false);
  arrays.strided("tokens", known.tokens, sequence.steps, sequence.batch, 1, known.tokens_stride_t,
                 known.tokens_stride_n, false);
  arrays.flat("h0", static_cast<const T*>(known.h0), states_count(config, sequence.batch), false);
  sequence.x = static_cast<const T*>(known.x);
  sequence.x_t = known.x_stride_t;
  sequence.x_n = known.x_stride_n;
  sequence.tokens = known.tokens;
  sequence.tokens_t = known.tokens_stride_t;
  sequence.tokens_n = known.tokens_stride_n;
  sequence.h0 = static_cast<const T*>(known.h0);
  sequence.c0 = static_cast<const T*>(known.c0);
  return sequence;
}

template <class T>
Outputs<T> check_outputs(const NetworkConfig& config, const Sequence<T>& sequence,
                         const bptt_outputs* given) {
  if (!given) return {};
  const bptt_outputs known = read_struct(given, "outputs");
  lstm_only(config, known.cn, "cn");
  Outputs<T> outputs;
  outputs.y = static_cast<T*>(known.y);
  outputs.y_t = known.y_stride_t;
  outputs.y_n = known.y_stride_n;
  outputs.hn = static_cast<T*>(known.hn);
  outputs.cn = static_cast<T*>(known.cn);
  const int64_t states = states_count(config, sequence.batch);
  Arrays arrays;
  arrays.strided("x", sequence.x, sequence.steps, sequence.batch, config.input, sequence.x_t,
                 sequence.x_n, false);
  arrays.strided("tokens", sequence.tokens, sequence.steps, sequence.batch, 1, sequence.tokens_t,
                 sequence.tokens_n, false);
  arrays.flat("h0", sequence.h0, states, false);
  arrays.flat("c0", sequence.c0, states, false);
  arrays.strided("y", outputs.y, config.last_only ? 1 : sequence.steps, sequence.batch,
                 output_features(config), outputs.y_t, outputs.y_n, true);
  arrays.flat("hn", outputs.hn, states, true);
  arrays.flat("cn", outputs.cn, states, true);
  return outputs;
}

template <class T>
Backward<T> check_backward(const Network<T>& network, const Tape<T>& tape,
                           const bptt_backward* given) {
  const NetworkConfig& config = network.config();
  const bptt_backward known = read_struct(given, "backward");
  lstm_only(config, known.dcn, "dcn");
  lstm_only(config, known.dc0, "dc0");
  lstm_only(config, known.flow_c, "flow_c");
  not_negative(known.clip_step, "clip_step");
  not_negative(known.clip_step_norm, "clip_step_norm");
  if (known.dx && tape.tokens())
    fail(BPTT_ERR_ARGUMENT, "dx", "NULL, because the input was tokens", "a pointer");
  Backward<T> backward;
  backward.dy = static_cast<const T*>(known.dy);
  backward.dy_t = known.dy_stride_t;
  backward.dy_n = known.dy_stride_n;
  backward.dhn = static_cast<const T*>(known.dhn);
  backward.dcn = static_cast<const T*>(known.dcn);
  backward.clip_step = known.clip_step;
  backward.clip_step_norm = known.clip_step_norm;
  backward.gradients = static_cast<T*>(known.gradients);
  backward.accumulate = flag_argument(known.accumulate, "accumulate");
  backward.dx = static_cast<T*>(known.dx);
  backward.dx_t = known.dx_stride_t;
  backward.dx_n = known.dx_stride_n;
  backward.dh0 = static_cast<T*>(known.dh0);
  backward.dc0 = static_cast<T*>(known.dc0);
  backward.flow = known.flow;
  backward.flow_c = known.flow_c;
  const int64_t states = states_count(config, tape.batch());
  const int64_t flows = checked_count(config.layers, tape.steps());
  Arrays arrays;
  arrays.strided("dy", backward.dy, config.last_only ? 1 : tape.steps(), tape.batch(),
                 output_features(config), backward.dy_t, backward.dy_n, false);
  arrays.flat("dhn", backward.dhn, states, false);
  arrays.flat("dcn", backward.dcn, states, false);
  arrays.strided("dx", backward.dx, tape.steps(), tape.batch(), config.input, backward.dx_t,
                 backward.dx_n, true);
  arrays.flat("dh0", backward.dh0, states, true);
  arrays.flat("dc0", backward.dc0, states, true);
  arrays.flat("gradients", backward.gradients, network.params().count(), true);
  arrays.flat("flow", backward.flow, flows, true);
  arrays.flat("flow_c", backward.flow_c, flows, true);
  return backward;
}

template <class T>
Target<T> check_target(const ModelConfig& config, const Sequence<T>& sequence,
                       const bptt_target* given) {
  const bptt_target known = read_struct(given, "target");
  const bool entropy = config.loss == Loss::cross_entropy;
  const int64_t steps = config.network.last_only ? 1 : sequence.steps;
  if (entropy) {
    not_null(known.classes, "classes");
    if (known.values)
      fail(BPTT_ERR_ARGUMENT, "values", "NULL, because the loss is BPTT_CROSS_ENTROPY",
           "a pointer");
  } else {
    not_null(known.values, "values");
    if (known.classes) {
      fail(BPTT_ERR_ARGUMENT, "classes", "NULL, because the loss is not BPTT_CROSS_ENTROPY",
           "a pointer");
    }
  }
  Target<T> target;
  target.classes = known.classes;
  target.values = static_cast<const T*>(known.values);
  target.t = config.network.last_only ? 0 : known.stride_t;
  target.n = known.stride_n;
  target.weights = static_cast<const T*>(known.weights);
  target.weights_t = config.network.last_only ? 0 : known.weights_stride_t;
  target.weights_n = known.weights_stride_n;
  target.steps = steps;
  target.batch = sequence.batch;
  Arrays arrays;
  add_target(config.network, target, arrays);
  return target;
}

template <class T>
void add_target(const NetworkConfig& config, const Target<T>& target, Arrays& arrays) {
  arrays.strided("classes", target.classes, target.steps, target.batch, 1, target.t, target.n,
                 false);
  arrays.strided("values", target.values, target.steps, target.batch, config.output, target.t,
                 target.n, false);
  arrays.strided("weights", target.weights, target.steps, target.batch, 1, target.weights_t,
                 target.weights_n, false);
}

template <class T>
void own_tokens(const NetworkConfig& config, Sequence<T>& sequence, Indices& copy) {
  if (!sequence.tokens) return;
  copy = copy_checked(BPTT_ERR_RANGE, "tokens", "integers from 0 to " + text(config.input - 1),
                      sequence.tokens, sequence.steps, sequence.batch, sequence.tokens_t,
                      sequence.tokens_n,
                      [&](int64_t token) { return token >= 0 && token < config.input; });
  sequence.tokens = copy.data();
  sequence.tokens_t = sequence.batch;
  sequence.tokens_n = 1;
}

// Values of a target that counts have to be probabilities.
template <class T>
void check_probabilities(const Target<T>& target, int64_t outputs) {
  for (int64_t t = 0; t < target.steps; ++t) {
    for (int64_t n = 0; n < target.batch; ++n) {
      if (target.weights && target.weights[t * target.weights_t + n * target.weights_n] == 0)
        continue;
      const T* values = target.values + t * target.t + n * target.n;
      for (int64_t i = 0; i < outputs; ++i) {
        if (values[i] >= 0 && values[i] <= 1) continue;
        fail(BPTT_ERR_ARGUMENT, "target.values", "numbers in [0, 1]",
             text(double{values[i]}) + " in output " + text(i) + place(t, n));
      }
    }
  }
}

template <class T>
void own_target(const ModelConfig& config, Target<T>& target, TargetCopy<T>& copy) {
  if (target.classes) {
    const int64_t outputs = config.network.output, ignored = config.ignore_index;
    const std::string also = ignored < 0 || ignored >= outputs ? " or " + text(ignored) : "";
    copy.classes = copy_checked(
        BPTT_ERR_RANGE, "classes", "integers from 0 to " + text(outputs - 1) + also, target.classes,
        target.steps, target.batch, target.t, target.n,
        [&](int64_t chosen) { return (chosen >= 0 && chosen < outputs) || chosen == ignored; });
    target.classes = copy.classes.data();
    target.t = target.batch;
    target.n = 1;
  }
  if (target.weights) {
    copy.weights = copy_checked(BPTT_ERR_ARGUMENT, "weights", "finite numbers >= 0", target.weights,
                                target.steps, target.batch, target.weights_t, target.weights_n,
                                [](T weight) { return std::isfinite(weight) && weight >= 0; });
    target.weights = copy.weights.data();
    target.weights_t = target.batch;
    target.weights_n = 1;
  }
  if (config.loss == Loss::binary_cross_entropy) check_probabilities(target, config.network.output);
  target.total_weight = total_weight(config, target);
  if (!(target.total_weight > 0 && std::isfinite(target.total_weight))) {
    fail(BPTT_ERR_ARGUMENT, target.weights ? "weights" : "classes",
         "targets whose weights have a finite sum > 0", text(target.total_weight));
  }
}

template <class T>
void require_tape_memory(const NetworkConfig& config, const Sequence<T>& sequence) {
  const CellShape shape = cell_shape(config.cell);
  const int64_t rows = checked_count(sequence.steps, sequence.batch);
  const int64_t states = checked_count(rows, config.layers, config.hidden);
  require_memory(checked_count(states, 1 + shape.planes + (shape.has_c ? 1 : 0)), sizeof(T));
}

#define BPTT_ARRAYS_OF(T)                                                                       \
  template Sequence<T> check_sequence(const NetworkConfig&, const bptt_sequence*);              \
  template void own_tokens(const NetworkConfig&, Sequence<T>&, Indices&);                       \
  template void own_target(const ModelConfig&, Target<T>&, TargetCopy<T>&);                     \
  template Outputs<T> check_outputs(const NetworkConfig&, const Sequence<T>&,                   \
                                    const bptt_outputs*);                                       \
  template Backward<T> check_backward(const Network<T>&, const Tape<T>&, const bptt_backward*); \
  template Target<T> check_target(const ModelConfig&, const Sequence<T>&, const bptt_target*);  \
  template void add_target(const NetworkConfig&, const Target<T>&, Arrays&);                    \
  template void require_tape_memory(const NetworkConfig&, const Sequence<T>&);
BPTT_ARRAYS_OF(float)
BPTT_ARRAYS_OF(double)
#undef BPTT_ARRAYS_OF

}  // namespace bptt

using namespace bptt;

bptt_status bptt_sequence_init(bptt_sequence* sequence, size_t struct_size) {
  return guard("bptt_sequence_init", [&] {
    write_struct(sequence, struct_size, defaults_of<bptt_sequence>(), "sequence");
  });
}

bptt_status bptt_outputs_init(bptt_outputs* outputs, size_t struct_size) {
  return guard("bptt_outputs_init",
               [&] { write_struct(outputs, struct_size, defaults_of<bptt_outputs>(), "outputs"); });
}

bptt_status bptt_backward_init(bptt_backward* backward, size_t struct_size) {
  return guard("bptt_backward_init", [&] {
    write_struct(backward, struct_size, defaults_of<bptt_backward>(), "backward");
  });
}

bptt_status bptt_target_init(bptt_target* target, size_t struct_size) {
  return guard("bptt_target_init",
               [&] { write_struct(target, struct_size, defaults_of<bptt_target>(), "target"); });
}
