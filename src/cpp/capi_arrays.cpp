#include "capi_arrays.h"

#include <cstdlib>

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

// A copy [steps, batch] of indices, each in [0, limit).
Indices copy_indices(const char* argument, const int64_t* indices, int64_t steps, int64_t batch,
                     int64_t t, int64_t n, int64_t limit) {
  const int64_t count = checked_count(steps, batch);
  require_memory(count, sizeof(int64_t));
  Indices copy(static_cast<size_t>(count));
  auto next = copy.begin();
  for (int64_t i = 0; i < steps; ++i) {
    for (int64_t j = 0; j < batch; ++j) {
      const int64_t index = *next++ = indices[i * t + j * n];
      if (index < 0 || index >= limit) {
        fail(BPTT_ERR_RANGE, argument, "integers from 0 to " + text(limit - 1),
             text(index) + " at step " + text(i) + " of sequence " + text(j));
      }
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
  return {sizeof(bptt_target), nullptr, nullptr, 0, 0};
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
    if (known.classes)
      fail(BPTT_ERR_ARGUMENT, "classes", "NULL, because the loss is BPTT_MSE", "a pointer");
  }
  Target<T> target;
  target.classes = known.classes;
  target.values = static_cast<const T*>(known.values);
  target.t = config.network.last_only ? 0 : known.stride_t;
  target.n = known.stride_n;
  Arrays arrays;
  arrays.strided("classes", target.classes, steps, sequence.batch, 1, target.t, target.n, false);
  arrays.strided("values", target.values, steps, sequence.batch, config.network.output, target.t,
                 target.n, false);
  return target;
}

template <class T>
void own_tokens(const NetworkConfig& config, Sequence<T>& sequence, Indices& copy) {
  if (!sequence.tokens) return;
  copy = copy_indices("tokens", sequence.tokens, sequence.steps, sequence.batch, sequence.tokens_t,
                      sequence.tokens_n, config.input);
  sequence.tokens = copy.data();
  sequence.tokens_t = sequence.batch;
  sequence.tokens_n = 1;
}

template <class T>
void own_classes(const NetworkConfig& config, const Sequence<T>& sequence, Target<T>& target,
                 Indices& copy) {
  if (!target.classes) return;
  copy = copy_indices("classes", target.classes, config.last_only ? 1 : sequence.steps,
                      sequence.batch, target.t, target.n, config.output);
  target.classes = copy.data();
  target.t = sequence.batch;
  target.n = 1;
}

template <class T>
void require_tape_memory(const NetworkConfig& config, const Sequence<T>& sequence) {
  const CellShape shape = config.shape();
  const int64_t rows = checked_count(sequence.steps, sequence.batch);
  const int64_t states = checked_count(rows, config.layers, config.hidden);
  require_memory(checked_count(states, 1 + shape.planes + (shape.has_c ? 1 : 0)), sizeof(T));
}

#define BPTT_ARRAYS_OF(T)                                                                       \
  template Sequence<T> check_sequence(const NetworkConfig&, const bptt_sequence*);              \
  template void own_tokens(const NetworkConfig&, Sequence<T>&, Indices&);                       \
  template void own_classes(const NetworkConfig&, const Sequence<T>&, Target<T>&, Indices&);    \
  template Outputs<T> check_outputs(const NetworkConfig&, const Sequence<T>&,                   \
                                    const bptt_outputs*);                                       \
  template Backward<T> check_backward(const Network<T>&, const Tape<T>&, const bptt_backward*); \
  template Target<T> check_target(const ModelConfig&, const Sequence<T>&, const bptt_target*);  \
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
