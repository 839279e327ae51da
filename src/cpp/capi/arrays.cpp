// arrays.cpp: checks of sequences, outputs, flow and the arguments of a backward pass.
#include "capi/arrays.h"

#include <numeric>

#include "capi/options.h"

namespace bptt {
namespace {

int64_t output_features(const NetworkConfig& config) {
  return config.output ? config.output : config.features();
}

template <class T>
Sequence<T> extent_of(const bptt_sequence& known, Arrays& arrays) {
  Sequence<T> sequence;
  sequence.steps = size_argument(known.time, "time");
  sequence.batch = size_argument(known.batch, "batch");
  sequence.lengths = known.lengths;
  arrays.flat("lengths", sequence.lengths, sequence.batch, false);
  return sequence;
}

}  // namespace

void lstm_only(const NetworkConfig& config, const void* array, const char* argument) {
  if (array && !config.shape().has_c) {
    fail(BPTT_ERR_ARGUMENT, argument, "NULL, because only an LSTM has cell states", "a pointer");
  }
}

template <class T>
Sequence<T> check_extent(const bptt_sequence* given, Arrays& arrays) {
  return extent_of<T>(read_struct(given, "sequence"), arrays);
}

template <class T>
Sequence<T> check_sequence(const NetworkConfig& config, const bptt_sequence* given,
                           Arrays& arrays) {
  const bptt_sequence known = read_struct(given, "sequence");
  Sequence<T> sequence = extent_of<T>(known, arrays);
  if (!known.x == !known.tokens) {
    fail(BPTT_ERR_ARGUMENT, "x", "exactly one of x and tokens", known.x ? "both" : "neither");
  }
  if (known.x && config.tokens_only) {
    fail(BPTT_ERR_ARGUMENT, "x", "tokens, because the model has a vocabulary", "x");
  }
  lstm_only(config, known.c0, "c0");
  checked_bytes(checked_count(sequence.steps, sequence.batch, config.input), sizeof(T));
  sequence.x = static_cast<const T*>(known.x);
  sequence.x_t = known.x_stride_t;
  sequence.x_n = known.x_stride_n;
  sequence.tokens = known.tokens;
  sequence.tokens_t = known.tokens_stride_t;
  sequence.tokens_n = known.tokens_stride_n;
  sequence.h0 = static_cast<const T*>(known.h0);
  sequence.c0 = static_cast<const T*>(known.c0);
  sequence.resets = known.resets;
  sequence.resets_t = known.resets_stride_t;
  sequence.resets_n = known.resets_stride_n;
  sequence.draw = known.draw;
  sequence.training = flag_argument(known.training, "training");
  sequence.noise = flag_argument(known.noise, "noise");
  const int64_t steps = sequence.steps, batch = sequence.batch;
  arrays.strided("x", sequence.x, steps, batch, config.input, sequence.x_t, sequence.x_n, false);
  arrays.strided("tokens", sequence.tokens, steps, batch, 1, sequence.tokens_t, sequence.tokens_n,
                 false);
  arrays.flat("h0", sequence.h0, h_count(config, batch), false);
  arrays.flat("c0", sequence.c0, c_count(config, batch), false);
  arrays.strided("resets", sequence.resets, steps, batch, 1, sequence.resets_t, sequence.resets_n,
                 false);
  return sequence;
}

template <class T>
void check_outputs(const NetworkConfig& config, const bptt_outputs* given, ForwardCall<T>& call,
                   Arrays& arrays) {
  const bptt_outputs known = given ? read_struct(given, "outputs") : defaults_of<bptt_outputs>();
  lstm_only(config, known.cn, "cn");
  const int64_t steps = config.last_only ? 1 : call.sequence.steps, batch = call.sequence.batch;
  call.y = static_cast<T*>(known.y);
  call.y_t = known.y_stride_t;
  call.y_n = known.y_stride_n;
  call.hn = static_cast<T*>(known.hn);
  call.cn = static_cast<T*>(known.cn);
  arrays.strided("y", call.y, steps, batch, output_features(config), call.y_t, call.y_n, true);
  arrays.flat("hn", call.hn, h_count(config, batch), true);
  arrays.flat("cn", call.cn, c_count(config, batch), true);
}

template <class T>
BackwardCall<T> check_backward(const Network<T>& network, const Tape<T>& tape,
                               const bptt_backward* given) {
  const NetworkConfig& config = network.config();
  const bptt_backward known = read_struct(given, "backward");
  const int64_t steps = tape.steps(), batch = tape.batch();
  lstm_only(config, known.dcn, "dcn");
  lstm_only(config, known.dc0, "dc0");
  BackwardCall<T> call;
  call.settings = settings_of(known);
  if (call.settings != BpttSettings()) check_call(config.options(), known);
  if (known.dx && tape.tokens())
    fail(BPTT_ERR_ARGUMENT, "dx", "NULL, because the input was tokens", "a pointer");
  call.dy = static_cast<const T*>(known.dy);
  call.dy_t = known.dy_stride_t;
  call.dy_n = known.dy_stride_n;
  call.dhn = static_cast<const T*>(known.dhn);
  call.dcn = static_cast<const T*>(known.dcn);
  call.gradients = static_cast<T*>(known.gradients);
  call.accumulate = flag_argument(known.accumulate, "accumulate");
  call.omega_value = known.omega_value;
  call.activity_penalty = known.activity_penalty;
  call.dx = static_cast<T*>(known.dx);
  call.dx_t = known.dx_stride_t;
  call.dx_n = known.dx_stride_n;
  call.dh0 = static_cast<T*>(known.dh0);
  call.dc0 = static_cast<T*>(known.dc0);
  const int64_t h = h_count(config, batch), c = c_count(config, batch);
  Arrays arrays;
  call.flow = check_flow<T>(config, known.flow, steps, batch,
                            known.truncation_k2 > known.truncation_k1, arrays);
  arrays.strided("dy", call.dy, config.last_only ? 1 : steps, batch, output_features(config),
                 call.dy_t, call.dy_n, false);
  arrays.flat("dhn", call.dhn, h, false);
  arrays.flat("dcn", call.dcn, c, false);
  arrays.strided("dx", call.dx, steps, batch, config.input, call.dx_t, call.dx_n, true);
  arrays.flat("dh0", call.dh0, h, true);
  arrays.flat("dc0", call.dc0, c, true);
  arrays.flat("gradients", call.gradients, network.params().count(), true);
  arrays.result("omega_value", call.omega_value);
  arrays.result("activity_penalty", call.activity_penalty);
  return call;
}

template <class T>
void own_sequence(const NetworkConfig& config, Sequence<T>& sequence, SequenceCopy& copy) {
  const int64_t steps = sequence.steps, batch = sequence.batch;
  if (sequence.lengths) {
    require_memory(batch, sizeof(int64_t));
    copy.lengths.assign(sequence.lengths, sequence.lengths + batch);
    sequence.lengths = copy.lengths.data();
    for (int64_t n = 0; n < batch; ++n) {
      const int64_t length = copy.lengths[size_t(n)];
      if (length >= 1 && length <= steps) continue;
      fail(BPTT_ERR_ARGUMENT, "lengths", "numbers of steps from 1 to " + text(steps),
           text(length) + " for sequence " + text(n));
    }
  }
  const auto lives = [lengths = sequence.lengths](int64_t t, int64_t n) {
    return !lengths || t < lengths[n];
  };
  if (sequence.resets) {
    copy.resets = copy_checked(BPTT_ERR_ARGUMENT, "resets", "0 or 1", sequence.resets, steps, batch,
                               sequence.resets_t, sequence.resets_n, lives,
                               [](uint8_t reset) { return reset <= 1; });
    sequence.resets = copy.resets.data();
    sequence.resets_t = batch;
    sequence.resets_n = 1;
  }
  if (!sequence.tokens) return;
  copy.tokens =
      copy_checked(BPTT_ERR_RANGE, "tokens", "integers from 0 to " + text(config.input - 1),
                   sequence.tokens, steps, batch, sequence.tokens_t, sequence.tokens_n, lives,
                   [&](int64_t token) { return token >= 0 && token < config.input; });
  sequence.tokens = copy.tokens.data();
  sequence.tokens_t = batch;
  sequence.tokens_n = 1;
}

template <class T>
void require_tape_memory(const NetworkConfig& config, const Sequence<T>& sequence, bool remember) {
  if (!remember && !config.bidirectional) return;
  const CellShape shape = config.shape();
  int64_t rows = checked_count(sequence.steps, sequence.batch);
  if (sequence.lengths)
    rows = std::accumulate(sequence.lengths, sequence.lengths + sequence.batch, int64_t{0});
  const int64_t walks = checked_count(rows, config.walks());
  require_memory(checked_count(walks, config.hidden, shape.planes + shape.has_c), sizeof(T));
  require_memory(checked_count(walks, config.state()), sizeof(T));
}

#define BPTT_ARRAYS_OF(T)                                                                   \
  template Sequence<T> check_extent(const bptt_sequence*, Arrays&);                         \
  template Sequence<T> check_sequence(const NetworkConfig&, const bptt_sequence*, Arrays&); \
  template void check_outputs(const NetworkConfig&, const bptt_outputs*, ForwardCall<T>&,   \
                              Arrays&);                                                     \
  template BackwardCall<T> check_backward(const Network<T>&, const Tape<T>&,                \
                                          const bptt_backward*);                            \
  template void own_sequence(const NetworkConfig&, Sequence<T>&, SequenceCopy&);            \
  template void require_tape_memory(const NetworkConfig&, const Sequence<T>&, bool);
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
