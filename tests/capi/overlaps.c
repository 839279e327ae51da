/* overlaps.c: results that overlap inputs or other results, and counts that no memory can hold,
 * are refused. */
#include "structs.h"

enum { T = 3, N = 2, I = 4, H = 5, O = 3, P = 4 * H * (I + H + 2) + O * H + O };

/* All pointers of a call point to separate places of one block, except for the pair under test. */
enum { PLACE = 1 << 14, PLACES = 8 };
static union {
  unsigned char bytes[PLACE * PLACES];
  double align;
} memory;

static bptt_layer* layer;
static bptt_model* model;
static bptt_stream* stream;
static bptt_optimizer *optimizer, *model_optimizer;
static bptt_params* params;
static bptt_tape* tape;
static size_t file_size;

/* A call that takes pointers: bytes[k] is the size of the array of pointer k, written[k] whether
 * it is a result. */
typedef struct {
  const char* name;
  int count;
  size_t bytes[6];
  int written[6];
  bptt_status (*call)(void* const* at);
} trial;

static bptt_sequence sequence_at(const void* x, const void* h0, const void* c0,
                                 const void* lengths) {
  bptt_sequence sequence = values_over(T, N, x, I);
  sequence.h0 = h0;
  sequence.c0 = c0;
  sequence.lengths = lengths;
  return sequence;
}

static bptt_target target_at(const void* values) { return values_at(values, N, O); }

static bptt_outputs outputs_at(void* y, int features, void* hn) {
  bptt_outputs outputs = outputs_to(y, N, features);
  outputs.hn = hn;
  return outputs;
}

static const int64_t full[N] = {T, T};

static bptt_status map_(void* const* at) { return bptt_map("tanh", BPTT_FLOAT32, at[0], at[1], 9); }
static bptt_status map64(void* const* at) { return bptt_map("exp", BPTT_FLOAT64, at[0], at[1], 9); }
static bptt_status clip_norm(void* const* at) {
  return bptt_clip_grad_norm(BPTT_FLOAT32, at[0], 9, 1, 0, at[1]);
}
static bptt_status grad_norm(void* const* at) {
  return bptt_grad_norm(BPTT_FLOAT64, at[0], 9, at[1]);
}
static bptt_status isas(void* const* at) { return bptt_available_isas(at[0], at[1]); }
static bptt_status params_count(void* const* at) { return bptt_params_count(params, at[0], at[1]); }
static bptt_status optimizer_step(void* const* at) {
  return bptt_optimizer_step(optimizer, at[0], at[1]);
}
static bptt_status model_rule_step(void* const* at) {
  return bptt_optimizer_step(model_optimizer, at[0], at[1]);
}
static bptt_status get_group(void* const* at) {
  return bptt_optimizer_get_group(optimizer, "rnn.weight_hh_l0", at[0], at[1]);
}
static bptt_status moments(void* const* at) {
  return bptt_optimizer_moments(optimizer, at[0], at[1]);
}
static bptt_status model_steps(void* const* at) { return bptt_model_steps(model, at[0], at[1]); }
static bptt_status stream_step(void* const* at) { return bptt_stream_step(stream, at[0], at[1]); }
static bptt_status get_state(void* const* at) {
  return bptt_stream_get_state(stream, at[0], at[1]);
}
static bptt_status apply(void* const* at) {
  bptt_step* step = at[1];
  OK(bptt_step_init(step, sizeof *step));
  return bptt_model_apply(model, at[0], step);
}
static bptt_status serialize(void* const* at) {
  return bptt_model_serialize(model, at[0], file_size, at[1]);
}
static bptt_status deserialize(void* const* at) {
  size_t size;
  bptt_status status;
  OK(bptt_model_serialize(model, at[0], file_size, &size));
  status = bptt_model_deserialize(at[0], size, at[1]);
  if (status == BPTT_OK) {
    bptt_model* made;
    memcpy(&made, at[1], sizeof made);
    OK(bptt_model_free(made));
  }
  return status;
}
static bptt_status gradients(void* const* at) {
  const bptt_sequence sequence = sequence_at(at[0], NULL, NULL, full);
  const bptt_target target = target_at(at[1]);
  const bptt_outputs outputs = outputs_at(NULL, O, at[4]);
  bptt_step* step = at[3];
  OK(bptt_step_init(step, sizeof *step));
  return bptt_model_gradients(model, &sequence, &target, &outputs, NULL, at[2], 0, step);
}
static bptt_status train(void* const* at) {
  const bptt_sequence sequence = sequence_at(at[0], NULL, NULL, full);
  const bptt_target target = target_at(at[1]);
  const bptt_outputs outputs = outputs_at(at[5], O, at[3]);
  bptt_flow flow;
  bptt_step* step = at[2];
  OK(bptt_step_init(step, sizeof *step));
  OK(bptt_flow_init(&flow, sizeof flow));
  flow.h = at[4];
  return bptt_model_train_step(model, &sequence, &target, &outputs, &flow, step);
}
static bptt_status evaluate(void* const* at) {
  const bptt_sequence sequence = sequence_at(at[0], at[1], NULL, full);
  const bptt_target target = target_at(at[2]);
  const bptt_outputs outputs = outputs_at(at[3], O, at[4]);
  return bptt_model_evaluate(model, &sequence, &target, &outputs, at[5]);
}
static bptt_status output_gradient(void* const* at) {
  const bptt_sequence sequence = sequence_at(NULL, NULL, NULL, full);
  const bptt_target target = target_at(at[0]);
  const bptt_outputs outputs = outputs_at(at[1], O, NULL);
  return bptt_model_output_gradient(model, &sequence, &target, &outputs, at[2]);
}
static bptt_status forward(void* const* at, int is_model, int has_outputs) {
  const bptt_sequence sequence = sequence_at(at[0], at[1], NULL, full);
  const bptt_outputs outputs = outputs_at(at[3], is_model ? O : H, at[4]);
  bptt_status status;
  if (is_model) {
    status = bptt_model_forward(model, &sequence, has_outputs ? &outputs : NULL, at[2]);
  } else {
    status = bptt_layer_forward(layer, &sequence, has_outputs ? &outputs : NULL, at[2]);
  }
  if (status == BPTT_OK) {
    bptt_tape* made;
    memcpy(&made, at[2], sizeof made);
    OK(bptt_tape_free(made));
  }
  return status;
}
static bptt_status model_forward(void* const* at) { return forward(at, 1, 1); }
static bptt_status layer_forward(void* const* at) { return forward(at, 0, 1); }
static bptt_status bare_forward(void* const* at) { return forward(at, 0, 0); }
static bptt_status backward(void* const* at) {
  bptt_flow flow;
  bptt_backward call = backward_from(at[0], N, H, at[1]);
  call.dx = at[2];
  call.dx_stride_t = N * I;
  call.dx_stride_n = I;
  OK(bptt_flow_init(&flow, sizeof flow));
  flow.h = at[3];
  call.flow = &flow;
  call.dh0 = at[4];
  call.dhn = at[5];
  return bptt_layer_backward(layer, tape, &call);
}
static bptt_status seeds(void* const* at) {
  bptt_seeds call;
  int64_t* times = at[0];
  OK(bptt_seeds_init(&call, sizeof call));
  times[0] = times[1] = 0;
  call.count = 2;
  call.times = times;
  call.dy = at[1];
  call.dx_norms = at[2];
  call.flow = at[3];
  return bptt_layer_backward_seeds(layer, tape, &call);
}
static bptt_status spectrum(void* const* at) {
  bptt_spectrum call;
  OK(bptt_spectrum_init(&call, sizeof call));
  call.start = at[0];
  call.exponents = at[1];
  call.log_singular_values = at[2];
  return bptt_layer_spectrum(layer, tape, &call);
}

#define F sizeof(float)
#define D sizeof(double)
static trial trials[] = {
    {"map", 2, {9 * F, 9 * F}, {0, 1}, map_},
    {"map64", 2, {9 * D, 9 * D}, {0, 1}, map64},
    {"clip_grad_norm", 2, {9 * F, D}, {1, 1}, clip_norm},
    {"grad_norm", 2, {9 * D, D}, {0, 1}, grad_norm},
    {"available_isas", 2, {sizeof(char*), sizeof(int64_t)}, {1, 1}, isas},
    {"params_count", 2, {sizeof(int64_t), sizeof(int64_t)}, {1, 1}, params_count},
    {"optimizer_step", 2, {P * F, sizeof(int32_t)}, {0, 1}, optimizer_step},
    {"a model's optimizer_step", 2, {P * F, sizeof(int32_t)}, {0, 1}, model_rule_step},
    {"optimizer_get_group", 2, {D, D}, {1, 1}, get_group},
    {"optimizer_moments", 2, {sizeof(int64_t), sizeof(char*)}, {1, 1}, moments},
    {"model_steps", 2, {sizeof(int64_t), sizeof(int64_t)}, {1, 1}, model_steps},
    {"stream_step", 2, {I * F, O * F}, {0, 1}, stream_step},
    {"stream_get_state", 2, {H * F, H * F}, {1, 1}, get_state},
    {"model_apply", 2, {P * F, sizeof(bptt_step)}, {0, 1}, apply},
    {"model_serialize", 2, {0, sizeof(size_t)}, {1, 1}, serialize},
    {"model_deserialize", 2, {0, sizeof(void*)}, {0, 1}, deserialize},
    {"model_gradients",
     5,
     {T * N * I * F, T * N * O * F, P * F, sizeof(bptt_step), N * H * F},
     {0, 0, 1, 1, 1},
     gradients},
    {"model_train_step",
     6,
     {T * N * I * F, T * N * O * F, sizeof(bptt_step), N * H * F, T * D, T * N * O * F},
     {0, 0, 1, 1, 1, 1},
     train},
    {"model_evaluate",
     6,
     {T * N * I * F, N * H * F, T * N * O * F, T * N * O * F, N * H * F, D},
     {0, 0, 0, 1, 1, 1},
     evaluate},
    {"model_output_gradient", 3, {T * N * O * F, T * N * O * F, D}, {0, 1, 1}, output_gradient},
    {"model_forward",
     5,
     {T * N * I * F, N * H * F, sizeof(void*), T * N * O * F, N * H * F},
     {0, 0, 1, 1, 1},
     model_forward},
    {"layer_forward",
     5,
     {T * N * I * F, N * H * F, sizeof(void*), T * N * H * F, N * H * F},
     {0, 0, 1, 1, 1},
     layer_forward},
    {"layer_forward without outputs",
     3,
     {T * N * I * F, N * H * F, sizeof(void*)},
     {0, 0, 1},
     bare_forward},
    {"layer_backward",
     6,
     {T * N * H * F, 3 * H * (I + H + 2) * F, T * N * I * F, T * D, N * H * F, N * H * F},
     {0, 1, 1, 1, 1, 0},
     backward},
    {"layer_backward_seeds",
     4,
     {2 * sizeof(int64_t), 2 * H * F, 2 * T * D, 2 * T * D},
     {0, 0, 1, 1},
     seeds},
    {"layer_spectrum", 3, {H * H * F, H * D, H * D}, {0, 1, 1}, spectrum},
};

static void fill(void) {
  int k;
  float* numbers = (float*)(void*)memory.bytes;
  for (k = 0; k < PLACE * PLACES / (int)F; ++k) numbers[k] = (float)(0.5 + random_number() / 8);
}

/* Point b at the beginning of a's array, near its end, and so that both arrays end there. `map`
 * allows only the same place. Multiples of 8 bytes keep every type aligned. */
static void try_pairs(const trial* t) {
  void* at[6];
  int a, b, k, where;
  for (a = 0; a < t->count; ++a) at[a] = memory.bytes + a * PLACE;
  fill();
  OK(t->call(at));
  for (a = 0; a < t->count; ++a) {
    for (b = 0; b < t->count; ++b) {
      if (a == b || !(t->written[a] || t->written[b])) continue;
      for (where = 0; where < 3; ++where) {
        const size_t last = (t->bytes[a] - 1) / 8 * 8, reach = (t->bytes[b] - 1) / 8 * 8;
        unsigned char* const begin = memory.bytes + a * PLACE + PLACE / 2;
        bptt_status status;
        bptt_error error;
        const int in_place = where == 0 && (t->call == map_ || t->call == map64);
        if (where && t->bytes[a] <= 8 && t->bytes[b] <= 8)
          continue; /* no other place is possible */
        fill();
        for (k = 0; k < t->count; ++k) at[k] = memory.bytes + k * PLACE;
        at[a] = begin;
        at[b] = where == 0 ? begin : where == 1 ? begin + last : begin - reach;
        status = t->call(at);
        if (status == (in_place ? BPTT_OK : BPTT_ERR_ARGUMENT)) {
          if (!in_place) {
            OK(bptt_last_error(&error, sizeof error));
            REQUIRE(strstr(error.expected, "memory that does not overlap '") && *error.argument);
            ++refusals;
          }
          continue;
        }
        fprintf(stderr, "%s: pointers %d and %d, place %d: %s\n", t->name, a, b, where,
                bptt_status_name(status));
        exit(1);
      }
    }
  }
}

/* Counts of arrays that are negative or that no memory can hold. */
static void try_counts(void) {
  const int64_t huge[] = {INT64_MAX,        INT64_MAX - 1,          (int64_t)1 << 62,
                          (int64_t)1 << 61, (int64_t)1 << 60,       (int64_t)1 << 59,
                          (int64_t)1 << 48, ((int64_t)1 << 62) + 1, ((int64_t)1 << 61) + 1};
  const int64_t negative[] = {-1, INT64_MIN, INT64_MIN + 1, -((int64_t)1 << 31)};
  float* x = (float*)(void*)memory.bytes;
  float* y = x + 1024;
  double norm;
  bptt_model* made;
  int dtype;
  size_t k;
  for (k = 0; k < sizeof huge / sizeof *huge; ++k) {
    const int64_t shape[2] = {huge[k], 2};
    for (dtype = BPTT_FLOAT32; dtype <= BPTT_FLOAT64; ++dtype) {
      const bptt_dtype type = (bptt_dtype)dtype;
      REFUSED(BPTT_ERR_MEMORY, bptt_map("tanh", type, x, y, huge[k]));
      REFUSED(BPTT_ERR_MEMORY, bptt_map("tanh", type, x, x, huge[k]));
      REFUSED(BPTT_ERR_MEMORY, bptt_grad_norm(type, x, huge[k], &norm));
      REFUSED(BPTT_ERR_MEMORY, bptt_clip_grad_norm(type, x, huge[k], 1, 0, &norm));
      REFUSED(BPTT_ERR_MEMORY, bptt_clip_grad_norm(type, x, huge[k], 1, 0, NULL));
      REFUSED(BPTT_ERR_MEMORY, bptt_clip_grad_value(type, x, huge[k], 1));
      REFUSED(BPTT_ERR_MEMORY, bptt_model_set_extra(model, "k", type, 1, shape, x));
      REFUSED(BPTT_ERR_MEMORY, bptt_model_set_extra(model, "k", type, 2, shape, x));
    }
    REFUSED(BPTT_ERR_MEMORY, bptt_model_deserialize(x, (size_t)huge[k], &made));
    REFUSED(BPTT_ERR_MEMORY, bptt_model_deserialize(x, (size_t)huge[k] * 2 + 1, &made));
    {
      bptt_seeds call;
      const int64_t time = 0;
      OK(bptt_seeds_init(&call, sizeof call));
      call.count = huge[k];
      call.times = call.outputs = &time;
      REFUSED(BPTT_ERR_MEMORY, bptt_layer_backward_seeds(layer, tape, &call));
      call.count = 1;
      call.horizon = huge[k]; /* longer than the tape: same as no horizon */
      OK(bptt_layer_backward_seeds(layer, tape, &call));
    }
    {
      bptt_spectrum call;
      double exponents[H];
      OK(bptt_spectrum_init(&call, sizeof call));
      call.exponents = exponents;
      call.interval = huge[k];
      OK(bptt_layer_spectrum(layer, tape, &call));
      call.count = huge[k];
      REFUSED(BPTT_ERR_RANGE, bptt_layer_spectrum(layer, tape, &call));
      call.count = 0;
      call.discard = huge[k];
      REFUSED(BPTT_ERR_RANGE, bptt_layer_spectrum(layer, tape, &call));
      call.discard = 0;
      call.first = huge[k];
      REFUSED(BPTT_ERR_RANGE, bptt_layer_spectrum(layer, tape, &call));
      call.first = 0;
      call.last = huge[k];
      REFUSED(BPTT_ERR_RANGE, bptt_layer_spectrum(layer, tape, &call));
    }
    {
      bptt_backward call = backward_from(x, N, H, y);
      call.truncation_k2 = huge[k];
      call.truncation_k1 = 1; /* every window reaches the beginning */
      OK(bptt_layer_backward(layer, tape, &call));
      call.truncation_k1 = huge[k]; /* one window */
      OK(bptt_layer_backward(layer, tape, &call));
    }
    REFUSED(BPTT_ERR_RANGE, bptt_layer_jacobian(layer, tape, huge[k], 0, 0, x));
    REFUSED(BPTT_ERR_RANGE, bptt_layer_jacobian(layer, tape, 0, huge[k], 0, x));
    REFUSED(BPTT_ERR_RANGE, bptt_layer_jacobian(layer, tape, 0, 0, huge[k], x));
    REFUSED(BPTT_ERR_RANGE, bptt_optimizer_get_state(optimizer, huge[k], x));
  }
  for (k = 0; k < sizeof negative / sizeof *negative; ++k) {
    REFUSED(BPTT_ERR_ARGUMENT, bptt_map("tanh", BPTT_FLOAT32, x, y, negative[k]));
    REFUSED(BPTT_ERR_ARGUMENT, bptt_grad_norm(BPTT_FLOAT32, x, negative[k], &norm));
    REFUSED(BPTT_ERR_ARGUMENT, bptt_clip_grad_norm(BPTT_FLOAT32, x, negative[k], 1, 0, &norm));
    REFUSED(BPTT_ERR_ARGUMENT, bptt_clip_grad_value(BPTT_FLOAT32, x, negative[k], 1));
    REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_extra(model, "k", BPTT_FLOAT32, 1, &negative[k], x));
  }
  OK(bptt_map("tanh", BPTT_FLOAT32, x, y, 0));
  OK(bptt_grad_norm(BPTT_FLOAT32, x, 0, &norm));
  REQUIRE(norm == 0);
}

int main(void) {
  bptt_model_options options;
  bptt_layer_options layer_options;
  bptt_optimizer_options rule;
  float* x = (float*)(void*)memory.bytes;
  bptt_sequence sequence;
  int64_t count;
  size_t k;
  int32_t skipped;
  fill();
  options = regressor_of(O);
  layer_options = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  OK(bptt_model_create(&options, &layer_options, NULL, &model));
  OK(bptt_model_params(model, &params));
  OK(bptt_params_count(params, &count, NULL));
  OK(bptt_params_count(params, NULL, &count));
  REQUIRE(count == P);
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  OK(bptt_optimizer_create(&rule, params, &optimizer));
  OK(bptt_model_optimizer(model, &model_optimizer));
  OK(bptt_stream_create(model, NULL, &stream));
  layer_options = layer_of(BPTT_GRU, BPTT_FLOAT32, I, H);
  OK(bptt_layer_create(&layer_options, &layer));
  sequence = sequence_at(x, NULL, NULL, NULL);
  OK(bptt_layer_forward(layer, &sequence, NULL, &tape));
  OK(bptt_model_serialize(model, NULL, 0, &file_size));
  REQUIRE(file_size < PLACE / 2);
  for (k = 0; k < sizeof trials / sizeof *trials; ++k) {
    if (!trials[k].bytes[0]) trials[k].bytes[0] = file_size;
    try_pairs(&trials[k]);
  }
  try_counts();
  /* Inputs may overlap each other, and the parameters may be the gradient of a step. */
  OK(bptt_stream_set_state(stream, x, x));
  {
    static float before[P], after[2][P];
    const void* data;
    int pass;
    OK(bptt_params_get(params, before));
    OK(bptt_params_data(params, &data));
    for (pass = 0; pass < 2; ++pass) {
      bptt_optimizer* own;
      OK(bptt_params_set(params, before));
      OK(bptt_optimizer_create(&rule, params, &own));
      OK(bptt_optimizer_step(own, pass ? data : before, &skipped));
      OK(bptt_params_get(params, after[pass]));
      OK(bptt_optimizer_free(own));
    }
    REQUIRE(!memcmp(after[0], after[1], sizeof before));
  }
  printf("%d refusals\n", refusals);
  return 0;
}
