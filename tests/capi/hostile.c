/* hostile.c: every function of bptt.h given what it must not be given: each has its status and a
 * record, none crashes. */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <pthread.h>

#include "check.h"

enum { T = 3, N = 2, I = 4, H = 5, O = 3 };

static float x[T * N * I], y[T * N * H], out[T * N * O], h[2 * N * H], c[N * H], goal[T * N * O],
    gradients[1000];
static double flow[2 * T];
static int64_t tokens[T * N], lengths[N];
static uint8_t resets[T * N];

/* Living handles of every kind. Where bptt_params is wanted, two of them fit, and so on. */
static bptt_layer* layer;
static bptt_model* model;
static bptt_tape *tape, *model_tape;
static bptt_stream* stream;
static bptt_optimizer *optimizer, *model_optimizer;
static bptt_params *layer_params, *model_params;

static bptt_sequence sequence;
static bptt_outputs outputs;
static bptt_backward backward;
static bptt_target target;
static bptt_step step;
static bptt_seeds seeds;
static bptt_spectrum spectrum;
static float jacobian[H * H];
static double exponents[H];
static const int64_t seed_times[1] = {0}, seed_outputs[1] = {0};

static void reset(void) {
  OK(bptt_sequence_init(&sequence, sizeof sequence));
  sequence.time = T;
  sequence.batch = N;
  sequence.x = x;
  sequence.x_stride_t = N * I;
  sequence.x_stride_n = I;
  OK(bptt_outputs_init(&outputs, sizeof outputs));
  outputs.y = y;
  outputs.y_stride_t = N * H;
  outputs.y_stride_n = H;
  OK(bptt_backward_init(&backward, sizeof backward));
  backward.dy = y;
  backward.dy_stride_t = N * H;
  backward.dy_stride_n = H;
  backward.gradients = gradients;
  OK(bptt_target_init(&target, sizeof target));
  target.values = goal;
  target.stride_t = N * O;
  target.stride_n = O;
  OK(bptt_step_init(&step, sizeof step));
  OK(bptt_seeds_init(&seeds, sizeof seeds));
  seeds.count = 1;
  seeds.times = seed_times;
  seeds.outputs = seed_outputs;
  OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
  spectrum.exponents = exponents;
}

static bptt_layer* new_layer(void) {
  bptt_layer_options options;
  bptt_layer* made;
  OK(bptt_layer_options_init(&options, sizeof options));
  options.cell = BPTT_GRU;
  options.input_size = I;
  options.hidden_size = H;
  OK(bptt_layer_create(&options, &made));
  return made;
}

static bptt_model* new_model(void) {
  bptt_model_options options;
  bptt_model* made;
  OK(bptt_model_options_init(&options, sizeof options));
  options.layer.input_size = I;
  options.layer.hidden_size = H;
  options.output_size = O;
  options.loss = BPTT_MSE;
  OK(bptt_model_create(&options, &made));
  return made;
}

/* ------------------------------------------------------------------------------------------------
 * handles */

static void* suspects[32];
static int suspect_count;

/* `call` with `type* handle` = each suspect but those that fit. */
#define EVERY_SUSPECT(type, good1, good2, call)                                         \
  do {                                                                                  \
    int k_;                                                                             \
    for (k_ = 0; k_ < suspect_count; ++k_) {                                            \
      type* handle = suspects[k_];                                                      \
      if ((void*)handle == (void*)(good1) || (void*)handle == (void*)(good2)) continue; \
      REFUSED(BPTT_ERR_HANDLE, call);                                                   \
    }                                                                                   \
  } while (0)

static void collect_suspects(void) {
  bptt_layer* dead_layer = new_layer();
  bptt_model* dead_model = new_model();
  bptt_params* dead_params;
  bptt_optimizer* dead_optimizer;
  bptt_stream* dead_stream;
  bptt_tape* dead_tape;
  OK(bptt_layer_params(dead_layer, &dead_params));
  OK(bptt_model_optimizer(dead_model, &dead_optimizer));
  OK(bptt_stream_create(dead_model, &dead_stream));
  OK(bptt_layer_forward(dead_layer, &sequence, &outputs, &dead_tape));
  OK(bptt_layer_free(dead_layer));
  OK(bptt_model_free(dead_model));
  OK(bptt_stream_free(dead_stream));
  OK(bptt_tape_free(dead_tape));
  {
    void* const all[] = {NULL,
                         (void*)1,
                         (void*)(intptr_t)-1,
                         (void*)(intptr_t)0x7fffffffffff0000,
                         x,
                         (void*)&sequence,
                         (void*)((uintptr_t)1 << 63),
                         layer,
                         model,
                         tape,
                         stream,
                         optimizer,
                         model_optimizer,
                         layer_params,
                         model_params,
                         dead_layer,
                         dead_model,
                         dead_params,
                         dead_optimizer,
                         dead_stream,
                         dead_tape,
                         (void*)((intptr_t)layer + 1),
                         (void*)((intptr_t)layer + ((intptr_t)1 << 32)),
                         (void*)((intptr_t)layer ^ ((intptr_t)0xf << 28))};
    suspect_count = (int)(sizeof all / sizeof all[0]);
    memcpy(suspects, all, sizeof all);
  }
}

static void check_handles(void) {
  int64_t number;
  int32_t finite;
  double real;
  const void* data;
  const char* text;
  const char* const* names;
  bptt_dtype dtype;
  bptt_param_info info;
  bptt_extra_info extra;
  bptt_model_options options;
  bptt_optimizer_options rule;
  bptt_tape* made_tape;
  bptt_params* made_params;
  bptt_optimizer* made_optimizer;
  bptt_stream* made_stream;
  size_t size;
  int k;
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  EVERY_SUSPECT(bptt_layer, layer, layer, bptt_layer_params(handle, &made_params));
  EVERY_SUSPECT(bptt_layer, layer, layer,
                bptt_layer_forward(handle, &sequence, &outputs, &made_tape));
  EVERY_SUSPECT(bptt_layer, layer, layer, bptt_layer_backward(handle, tape, &backward));
  EVERY_SUSPECT(bptt_tape, tape, model_tape, bptt_layer_backward(layer, handle, &backward));
  EVERY_SUSPECT(bptt_tape, tape, model_tape, bptt_model_backward(model, handle, &backward));
  EVERY_SUSPECT(bptt_tape, tape, tape, bptt_tape_bytes(handle, &number));
  EVERY_SUSPECT(bptt_tape, tape, tape, bptt_tape_read(handle, BPTT_TAPE_H, 0, 0, h));
  EVERY_SUSPECT(bptt_layer, layer, layer, bptt_layer_backward_seeds(handle, tape, &seeds));
  EVERY_SUSPECT(bptt_layer, layer, layer, bptt_layer_jacobian(handle, tape, 0, 0, 0, jacobian));
  EVERY_SUSPECT(bptt_layer, layer, layer, bptt_layer_spectrum(handle, tape, &spectrum));
  EVERY_SUSPECT(bptt_tape, tape, model_tape, bptt_layer_backward_seeds(layer, handle, &seeds));
  EVERY_SUSPECT(bptt_tape, tape, model_tape, bptt_layer_jacobian(layer, handle, 0, 0, 0, jacobian));
  EVERY_SUSPECT(bptt_tape, tape, model_tape, bptt_layer_spectrum(layer, handle, &spectrum));
  EVERY_SUSPECT(bptt_params, layer_params, model_params,
                bptt_params_count(handle, &number, &number));
  EVERY_SUSPECT(bptt_params, layer_params, model_params,
                bptt_params_info(handle, 0, &info, sizeof info));
  EVERY_SUSPECT(bptt_params, layer_params, model_params, bptt_params_dtype(handle, &dtype));
  EVERY_SUSPECT(bptt_params, layer_params, model_params, bptt_params_data(handle, &data));
  EVERY_SUSPECT(bptt_params, layer_params, model_params, bptt_params_get(handle, gradients));
  EVERY_SUSPECT(bptt_params, layer_params, model_params, bptt_params_set(handle, gradients));
  EVERY_SUSPECT(bptt_params, layer_params, model_params,
                bptt_params_freeze(handle, "weight_ih_l0", 1));
  EVERY_SUSPECT(bptt_params, layer_params, model_params, bptt_params_finite(handle, NULL, &finite));
  EVERY_SUSPECT(bptt_params, layer_params, model_params,
                bptt_optimizer_create(&rule, handle, &made_optimizer));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_step(handle, gradients, NULL));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer, bptt_optimizer_set_lr(handle, 0.1));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer, bptt_optimizer_get_lr(handle, &real));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_set_group(handle, "weight_ih_l0", 1, 0));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_get_group(handle, "weight_ih_l0", &real, &real));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_moments(handle, &number, &names));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_get_state(handle, 0, gradients));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_set_state(handle, 0, gradients));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_get_steps(handle, &number));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer, bptt_optimizer_set_steps(handle, 1));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_get_tensor_steps(handle, "weight_ih_l0", &number));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_set_tensor_steps(handle, "weight_ih_l0", 1));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_get_options(handle, &options, sizeof options));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_params(handle, &made_params));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_optimizer(handle, &made_optimizer));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_train_step(handle, &sequence, &target, &step));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_gradients(handle, &sequence, &target, &step, gradients, 0));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_apply(handle, gradients, &step));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_evaluate(handle, &sequence, &target, NULL, &real));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_forward(handle, &sequence, NULL, NULL));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_backward(handle, tape, &backward));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_backward_seeds(handle, model_tape, &seeds));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_jacobian(handle, model_tape, 0, 0, 0, jacobian));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_spectrum(handle, model_tape, &spectrum));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_steps(handle, &number, &number));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_save(handle, "unused"));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_serialize(handle, NULL, 0, &size));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_set_metadata(handle, "k", "v"));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_get_metadata(handle, "k", &text));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_metadata_key(handle, 0, &text));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_set_extra(handle, "k", BPTT_FLOAT32, 0, NULL, x));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_extra(handle, 0, &extra, sizeof extra));
  EVERY_SUSPECT(bptt_model, model, model, bptt_stream_create(handle, &made_stream));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_step(handle, x, out));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_step_token(handle, 0, out));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_reset(handle));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_get_state(handle, h, c));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_set_state(handle, h, c));
  /* What is not alive cannot be freed; NULL can. */
  for (k = 0; k < suspect_count; ++k) {
    void* handle = suspects[k];
    if (handle == NULL) {
      OK(bptt_layer_free(NULL));
      OK(bptt_tape_free(NULL));
      OK(bptt_model_free(NULL));
      OK(bptt_stream_free(NULL));
      OK(bptt_optimizer_free(NULL));
      continue;
    }
    if (handle != (void*)layer) REFUSED(BPTT_ERR_HANDLE, bptt_layer_free(handle));
    if (handle != (void*)tape) REFUSED(BPTT_ERR_HANDLE, bptt_tape_free(handle));
    if (handle != (void*)model) REFUSED(BPTT_ERR_HANDLE, bptt_model_free(handle));
    if (handle != (void*)stream) REFUSED(BPTT_ERR_HANDLE, bptt_stream_free(handle));
    if (handle != (void*)optimizer && handle != (void*)model_optimizer)
      REFUSED(BPTT_ERR_HANDLE, bptt_optimizer_free(handle));
  }
  REFUSED(BPTT_ERR_STATE, bptt_optimizer_free(model_optimizer)); /* it goes with its model */
  REFUSED(BPTT_ERR_STATE, bptt_layer_backward(layer, model_tape, &backward));
  REFUSED(BPTT_ERR_STATE, bptt_model_backward(model, tape, &backward));
}

/* ------------------------------------------------------------------------------------------------
 * pointers, sizes, values */

static void check_null_pointers(void) {
  const void* data;
  const char* text;
  size_t size;
  bptt_layer_options layer_options;
  bptt_model_options model_options;
  bptt_optimizer_options rule;
  bptt_model* made;
  OK(bptt_layer_options_init(&layer_options, sizeof layer_options));
  OK(bptt_model_options_init(&model_options, sizeof model_options));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_isa(NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_available_isas(NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_get_num_threads(NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_map(NULL, BPTT_FLOAT32, x, y, 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_map("tanh", BPTT_FLOAT32, NULL, y, 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_map("tanh", BPTT_FLOAT32, x, NULL, 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_info(layer_params, 0, NULL, sizeof(bptt_param_info)));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_dtype(layer_params, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_data(layer_params, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_get(layer_params, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_set(layer_params, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_freeze(layer_params, NULL, 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_finite(layer_params, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_options_init(NULL, sizeof layer_options));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(NULL, &layer));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&layer_options, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_params(layer, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_sequence_init(NULL, sizeof sequence));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_outputs_init(NULL, sizeof outputs));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_backward_init(NULL, sizeof backward));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_target_init(NULL, sizeof target));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_step_init(NULL, sizeof step));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, NULL, &outputs, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_seeds_init(NULL, sizeof seeds));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_spectrum_init(NULL, sizeof spectrum));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward_seeds(layer, tape, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_jacobian(layer, tape, 0, 0, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_spectrum(layer, tape, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_backward_seeds(model, model_tape, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_jacobian(model, model_tape, 0, 0, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_spectrum(model, model_tape, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_bytes(tape, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, BPTT_TAPE_H, 0, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_clip_grad_norm(BPTT_FLOAT32, NULL, 1, 1, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_clip_grad_value(BPTT_FLOAT32, NULL, 1, 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_grad_norm(BPTT_FLOAT32, x, 1, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_options_init(NULL, sizeof rule));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_create(NULL, layer_params, &optimizer));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_create(&rule, layer_params, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_step(optimizer, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_get_lr(optimizer, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_group(optimizer, NULL, 1, 0));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_get_group(optimizer, NULL, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_moments(optimizer, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_get_state(optimizer, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_state(optimizer, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_get_steps(optimizer, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_get_tensor_steps(optimizer, "weight_ih_l0", NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_tensor_steps(optimizer, NULL, 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_options_init(NULL, sizeof model_options));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(NULL, &made));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&model_options, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_get_options(model, NULL, sizeof model_options));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_params(model, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_optimizer(model, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_train_step(model, NULL, &target, &step));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_train_step(model, &sequence, NULL, &step));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_train_step(model, &sequence, &target, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_gradients(model, NULL, &target, &step, gradients, 0));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_gradients(model, &sequence, NULL, &step, gradients, 0));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_gradients(model, &sequence, &target, &step, NULL, 0));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_apply(model, NULL, &step));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_evaluate(model, &sequence, &target, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_save(model, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_save(model, ""));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_load(NULL, &made));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_load("x", NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_serialize(model, NULL, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_deserialize(NULL, 3, &made));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_deserialize(x, 3, NULL));
  REFUSED(BPTT_ERR_FORMAT, bptt_model_deserialize(x, 0, &made));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_metadata(model, NULL, "v"));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_metadata(model, "", "v"));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_metadata(model, "k", "\xff"));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_metadata(model, "\xed\xa0\x80", "v")); /* a surrogate */
  REFUSED(BPTT_ERR_NAME, bptt_model_set_metadata(model, "k", NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_get_metadata(model, NULL, &text));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_get_metadata(model, "k", NULL));
  REFUSED(BPTT_ERR_NAME, bptt_model_get_metadata(model, "k", &text));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_metadata_key(model, 0, NULL));
  REFUSED(BPTT_ERR_RANGE, bptt_model_metadata_key(model, 0, &text));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_create(model, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_step(stream, NULL, out));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_step(stream, x, x));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_step_token(stream, 0, out)); /* the model reads values */
  REQUIRE(bptt_last_error(NULL, sizeof(bptt_error)) == BPTT_ERR_ARGUMENT);
  (void)data;
  (void)size;
}

static void check_sequences(void) {
  const int64_t sizes[] = {0, -1, INT64_MIN, INT64_MIN + 1};
  const int64_t large[] = {INT64_MAX, INT64_MAX / 2, (int64_t)1 << 60, (int64_t)1 << 47};
  size_t k;
  double loss;
#define WITH(field, value, status, call) \
  do {                                   \
    reset();                             \
    field = value;                       \
    REFUSED(status, call);               \
    reset();                             \
  } while (0)
  for (k = 0; k < 4; ++k) {
    WITH(sequence.time, sizes[k], BPTT_ERR_ARGUMENT,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(sequence.batch, sizes[k], BPTT_ERR_ARGUMENT,
         bptt_model_train_step(model, &sequence, &target, &step));
    WITH(sequence.time, large[k], BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(sequence.batch, large[k], BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(sequence.batch, large[k], BPTT_ERR_MEMORY,
         bptt_model_train_step(model, &sequence, &target, &step));
    WITH(sequence.x_stride_t, k < 2 ? INT64_MIN + (int64_t)k : INT64_MAX, BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(outputs.y_stride_n, k < 2 ? INT64_MIN + (int64_t)k : INT64_MAX, BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
  }
  WITH(sequence.x, NULL, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(sequence.tokens, tokens, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(sequence.c0, c, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL)); /* no LSTM */
  WITH(outputs.cn, c, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(backward.dcn, c, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.dc0, c, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.flow_c, flow, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.accumulate, 2, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.clip_step, NAN, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.clip_step_norm, -1, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  for (k = 0; k < 4; ++k) {
    const double numbers[] = {NAN, INFINITY, -INFINITY, -1};
    const int64_t windows[4][2] = {{0, 3}, {3, 0}, {-1, 3}, {3, 2}};
    WITH(backward.omega, numbers[k], BPTT_ERR_ARGUMENT,
         bptt_layer_backward(layer, tape, &backward));
    backward.truncation_k1 = windows[k][0];
    backward.truncation_k2 = windows[k][1];
    REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  }
  WITH(backward.omega, 1, BPTT_ERR_ARGUMENT, /* no RNN */
       bptt_layer_backward(layer, tape, &backward));
  backward.flow = flow;
  backward.omega_value = flow + 1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  backward.omega_value = NULL;
  backward.truncation_k1 = 1;
  backward.truncation_k2 = 2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  /* Lengths and resets. */
  for (k = 0; k < 5; ++k) {
    const int64_t bad[] = {0, T + 1, -1, INT64_MIN, INT64_MAX};
    int n;
    for (n = 0; n < N; ++n) {
      bptt_tape* made;
      lengths[0] = lengths[1] = T;
      lengths[n] = bad[k];
      WITH(sequence.lengths, lengths, BPTT_ERR_ARGUMENT,
           bptt_layer_forward(layer, &sequence, &outputs, &made));
      WITH(sequence.lengths, lengths, BPTT_ERR_ARGUMENT,
           bptt_model_train_step(model, &sequence, &target, &step));
    }
  }
  lengths[0] = lengths[1] = T - 1;
  resets[T * N - 1] = 7; /* beyond a length: not looked at */
  reset();
  sequence.lengths = lengths;
  sequence.resets = resets;
  sequence.resets_stride_t = N;
  sequence.resets_stride_n = 1;
  OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
  sequence.lengths = NULL;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  resets[T * N - 1] = 0;
  sequence.resets_stride_t = INT64_MAX;
  REFUSED(BPTT_ERR_MEMORY, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  reset();
  sequence.lengths = lengths;
  outputs.hn = lengths;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  /* A tape of one GRU layer of one direction. */
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, (bptt_tape_part)0, 0, 0, h));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, (bptt_tape_part)4, 0, 0, h));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, (bptt_tape_part)INT_MIN, 0, 0, h));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, BPTT_TAPE_C, 0, 0, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_H, 1, 0, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_H, INT64_MIN, 0, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_GATE, 0, 3, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_GATE, 0, INT64_MAX, h));
  reset();
  /* Outputs whose elements share places, with each other or with inputs. */
  WITH(outputs.y_stride_n, H - 1, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.y_stride_t, 0, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.y_stride_t, H, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.y, x, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.hn, y + 1, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.hn, x, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(backward.gradients, y, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.dh0, y, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(step.hn, x, BPTT_ERR_ARGUMENT, bptt_model_train_step(model, &sequence, &target, &step));
  WITH(step.flow, (double*)(void*)goal, BPTT_ERR_ARGUMENT,
       bptt_model_train_step(model, &sequence, &target, &step));
  WITH(target.values, NULL, BPTT_ERR_ARGUMENT,
       bptt_model_train_step(model, &sequence, &target, &step));
  WITH(target.classes, tokens, BPTT_ERR_ARGUMENT,
       bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
  /* Tokens are the one-hot vectors of a layer's inputs. */
  for (k = 0; k < 4; ++k) {
    const int64_t bad[] = {-1, I, INT64_MIN, INT64_MAX};
    reset();
    sequence.x = NULL;
    sequence.tokens = tokens;
    sequence.tokens_stride_t = N;
    sequence.tokens_stride_n = 1;
    OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
    tokens[T * N - 1] = bad[k];
    REFUSED(BPTT_ERR_RANGE, bptt_layer_forward(layer, &sequence, &outputs, NULL));
    tokens[T * N - 1] = 0;
    outputs.hn = (void*)tokens; /* a result on the indices that it is made of */
    REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  }
  reset();
}

static void check_profile(void) {
  REFUSED(BPTT_ERR_ARGUMENT, bptt_profile_read(BPTT_PACKING, NULL));
  OK(bptt_profile_start());
  REFUSED(BPTT_ERR_STATE, bptt_profile_start());
  OK(bptt_profile_stop());
  OK(bptt_profile_stop());
}

static void check_options(void) {
  int64_t number;
  int32_t finite;
  double seconds;
  const int64_t sizes[] = {0, -1, INT64_MIN};
  const double numbers[] = {NAN, INFINITY, -INFINITY, -1};
  const int codes[] = {0, -1, 77, INT_MAX, INT_MIN};
  const int64_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, bad_shape[1] = {-1},
                huge[2] = {INT64_MAX, INT64_MAX};
  bptt_layer_options l;
  bptt_model_options m;
  bptt_optimizer_options o;
  bptt_layer* made_layer;
  bptt_model* made_model;
  bptt_optimizer* made_optimizer;
  bptt_param_info info;
  bptt_extra_info extra;
  double norm;
  int k;
#define BAD_LAYER(field, value, status)                  \
  do {                                                   \
    OK(bptt_layer_options_init(&l, sizeof l));           \
    l.input_size = I;                                    \
    l.hidden_size = H;                                   \
    l.field = value;                                     \
    REFUSED(status, bptt_layer_create(&l, &made_layer)); \
  } while (0)
#define BAD_MODEL(field, value, status)                  \
  do {                                                   \
    OK(bptt_model_options_init(&m, sizeof m));           \
    m.layer.input_size = I;                              \
    m.layer.hidden_size = H;                             \
    m.output_size = O;                                   \
    m.field = value;                                     \
    REFUSED(status, bptt_model_create(&m, &made_model)); \
  } while (0)
#define BAD_RULE(field, value)                                                            \
  do {                                                                                    \
    OK(bptt_optimizer_options_init(&o, sizeof o));                                        \
    o.field = value;                                                                      \
    REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_create(&o, layer_params, &made_optimizer)); \
  } while (0)
  for (k = 0; k < 3; ++k) {
    BAD_LAYER(input_size, sizes[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(hidden_size, sizes[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(num_layers, sizes[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(output_size, sizes[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(layer.hidden_size, sizes[k], BPTT_ERR_ARGUMENT);
    if (k > 0) BAD_MODEL(embedding_size, sizes[k], BPTT_ERR_ARGUMENT);
    if (k > 0) BAD_MODEL(vocab_size, sizes[k], BPTT_ERR_ARGUMENT);
  }
  for (k = 0; k < 5; ++k) {
    BAD_LAYER(cell, (bptt_cell)codes[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(nonlinearity, (bptt_nonlinearity)codes[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(dtype, (bptt_dtype)codes[k], BPTT_ERR_TYPE);
    BAD_LAYER(init, (bptt_weight_init)codes[k], BPTT_ERR_ARGUMENT);
    if (k) {
      BAD_LAYER(bias, codes[k], BPTT_ERR_ARGUMENT);
      BAD_LAYER(bidirectional, codes[k], BPTT_ERR_ARGUMENT);
      BAD_LAYER(layer_norm, codes[k], BPTT_ERR_ARGUMENT);
      BAD_LAYER(peephole, codes[k], BPTT_ERR_ARGUMENT);
      BAD_LAYER(coupled, codes[k], BPTT_ERR_ARGUMENT);
      BAD_LAYER(reset_before, codes[k], BPTT_ERR_ARGUMENT);
      BAD_LAYER(variational, codes[k], BPTT_ERR_ARGUMENT);
      BAD_MODEL(batch_first, codes[k], BPTT_ERR_ARGUMENT);
    }
    BAD_MODEL(loss, (bptt_loss)codes[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(targets, (bptt_targets)codes[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(reduction, (bptt_reduction)codes[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(optimizer.algorithm, (bptt_algorithm)codes[k], BPTT_ERR_ARGUMENT);
    if (k) {
      BAD_RULE(rmsprop_form, (bptt_rmsprop_form)codes[k]);
      BAD_RULE(decay_biases, codes[k]);
      BAD_RULE(nesterov, codes[k]);
      BAD_RULE(amsgrad, codes[k]);
      BAD_RULE(centered, codes[k]);
    }
    REFUSED(BPTT_ERR_TYPE, bptt_map("tanh", (bptt_dtype)codes[k], x, y, 1));
    REFUSED(BPTT_ERR_ARGUMENT, bptt_profile_read((bptt_phase)codes[k], &seconds));
    REFUSED(BPTT_ERR_TYPE, bptt_grad_norm((bptt_dtype)codes[k], x, 1, &norm));
    REFUSED(BPTT_ERR_TYPE, bptt_model_set_extra(model, "k", (bptt_dtype)codes[k], 0, NULL, x));
    REQUIRE(codes[k] == 0 || !strcmp(bptt_status_name((bptt_status)codes[k]), "BPTT_ERR_UNKNOWN"));
  }
  for (k = 0; k < 4; ++k) {
    BAD_RULE(lr, numbers[k]);
    BAD_RULE(momentum, numbers[k]);
    BAD_RULE(beta1, numbers[k]);
    BAD_RULE(beta2, numbers[k]);
    if (k) BAD_RULE(eps, numbers[k]);
    BAD_RULE(weight_decay, numbers[k]);
    if (k) BAD_RULE(rmsprop_alpha, numbers[k]);
    REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_group(optimizer, "weight_ih_l0", numbers[k], 0));
    if (k)
      REFUSED(BPTT_ERR_ARGUMENT,
              bptt_optimizer_set_group(optimizer, "weight_ih_l0", 1, numbers[k]));
    BAD_LAYER(dropout, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(recurrent_dropout, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(zoneout, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(zoneout_c, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(cell = BPTT_RNN; l.alpha, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(cell = BPTT_RNN; l.noise, numbers[k], BPTT_ERR_ARGUMENT);
    if (k) BAD_LAYER(cell = BPTT_RNN; l.dale, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(omega, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(spectral_radius, numbers[k], BPTT_ERR_ARGUMENT);
    if (k) BAD_LAYER(time_scale, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(clip_norm, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(clip_tensor_norm, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(clip_value, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(clip_step, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(clip_step_norm, numbers[k], BPTT_ERR_ARGUMENT);
    if (k < 3) BAD_LAYER(init_gain, numbers[k], BPTT_ERR_ARGUMENT);
    if (k == 1 || k == 2) BAD_LAYER(forget_bias, numbers[k], BPTT_ERR_ARGUMENT);
    REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_lr(optimizer, numbers[k]));
    if (k != 1)
      REFUSED(BPTT_ERR_ARGUMENT,
              bptt_clip_grad_norm(BPTT_FLOAT32, gradients, 1, numbers[k], 0, &norm));
    REFUSED(BPTT_ERR_ARGUMENT,
            bptt_clip_grad_norm(BPTT_FLOAT32, gradients, 1, 1, numbers[k], &norm));
    if (k != 1)
      REFUSED(BPTT_ERR_ARGUMENT, bptt_clip_grad_value(BPTT_FLOAT32, gradients, 1, numbers[k]));
  }
  BAD_LAYER(hidden_size, (int64_t)1 << 40, BPTT_ERR_MEMORY);
  BAD_LAYER(num_layers, INT64_MAX, BPTT_ERR_MEMORY);
  BAD_LAYER(input_size, INT64_MAX, BPTT_ERR_MEMORY);
  BAD_RULE(nesterov, 1); /* of Adam, as the next two */
  BAD_RULE(centered, 1);
  BAD_RULE(rmsprop_form, BPTT_RMSPROP_GRAVES);
  BAD_LAYER(spectral_radius, 0, BPTT_ERR_ARGUMENT);
  BAD_LAYER(time_scale, 9, BPTT_ERR_ARGUMENT);          /* without BPTT_INIT_CHRONO */
  BAD_LAYER(init, BPTT_INIT_CHRONO, BPTT_ERR_ARGUMENT); /* without time_scale */
  BAD_LAYER(dropout, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(recurrent_dropout, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(zoneout, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(zoneout_c, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(proj_size, -1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(proj_size, INT64_MAX, BPTT_ERR_ARGUMENT);
  BAD_LAYER(proj_size, H, BPTT_ERR_ARGUMENT);
  BAD_LAYER(bidirectional = 1; l.num_layers, INT64_MAX - 1, BPTT_ERR_MEMORY);
  BAD_MODEL(truncation_k1, 1, BPTT_ERR_ARGUMENT); /* without truncation_k2 */
  BAD_MODEL(truncation_k2, INT64_MAX, BPTT_ERR_ARGUMENT);
  BAD_LAYER(reserved[0], 1, BPTT_ERR_STRUCT_SIZE);
  BAD_MODEL(layer.reserved[1], 1, BPTT_ERR_STRUCT_SIZE);
  BAD_LAYER(reserved32, 1, BPTT_ERR_STRUCT_SIZE);
  BAD_LAYER(compute, 2, BPTT_ERR_ARGUMENT);
  BAD_LAYER(dtype = BPTT_FLOAT64; l.compute, BPTT_COMPUTE_BFLOAT16, BPTT_ERR_ARGUMENT);
  BAD_MODEL(optimizer.reserved32, 1, BPTT_ERR_STRUCT_SIZE);
  BAD_MODEL(optimizer.reserved[0], 1, BPTT_ERR_STRUCT_SIZE);
  BAD_MODEL(layer.struct_size, 0, BPTT_ERR_STRUCT_SIZE);
  BAD_MODEL(optimizer.struct_size, 1, BPTT_ERR_STRUCT_SIZE);
  BAD_MODEL(vocab_size, 5, BPTT_ERR_ARGUMENT);     /* beside layer.input_size */
  BAD_MODEL(embedding_size, 5, BPTT_ERR_ARGUMENT); /* without vocab_size */
  REFUSED(BPTT_ERR_RANGE, bptt_params_info(layer_params, -1, &info, sizeof info));
  REFUSED(BPTT_ERR_RANGE, bptt_params_info(layer_params, 4, &info, sizeof info));
  REFUSED(BPTT_ERR_RANGE, bptt_optimizer_get_state(optimizer, -1, gradients));
  REFUSED(BPTT_ERR_RANGE, bptt_optimizer_set_state(optimizer, 2, gradients));
  REFUSED(BPTT_ERR_NAME, bptt_optimizer_set_group(optimizer, "weight_*", 1, 0));
  REFUSED(BPTT_ERR_NAME, bptt_optimizer_get_group(optimizer, "nothing", &norm, &norm));
  OK(bptt_optimizer_set_group(optimizer, "weight_hh_l0", 0.5, NAN));
  OK(bptt_optimizer_get_group(optimizer, "weight_hh_l0", &norm, NULL));
  REQUIRE(norm == 0.5);
  OK(bptt_optimizer_get_group(optimizer, "weight_hh_l0", NULL, &norm));
  REQUIRE(isnan(norm));
  REFUSED(BPTT_ERR_RANGE, bptt_model_extra(model, 0, &extra, sizeof extra));
  REFUSED(BPTT_ERR_NAME, bptt_params_freeze(layer_params, "nothing", 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_freeze(layer_params, "weight_ih_l0", 2));
  REFUSED(BPTT_ERR_NAME, bptt_map("sinh", BPTT_FLOAT32, x, y, 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_map("tanh", BPTT_FLOAT32, x, y, -1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_grad_norm(BPTT_FLOAT32, x, -1, &norm));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_steps(optimizer, -1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_steps(optimizer, INT64_MAX));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_steps(optimizer, ((int64_t)1 << 53) + 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_tensor_steps(optimizer, "weight_ih_l0", -1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_tensor_steps(optimizer, "weight_ih_l0", INT64_MAX));
  REFUSED(BPTT_ERR_NAME, bptt_optimizer_set_tensor_steps(optimizer, "nothing", 1));
  REFUSED(BPTT_ERR_NAME, bptt_optimizer_get_tensor_steps(optimizer, "nothing", &number));
  REFUSED(BPTT_ERR_NAME, bptt_params_finite(layer_params, "nothing", &finite));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_set_num_threads(0));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_set_num_threads(257));
  REFUSED(BPTT_ERR_ISA, bptt_use_isa("no such set"));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_extra(model, "k", BPTT_FLOAT32, -1, shape, x));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_extra(model, "k", BPTT_FLOAT32, 9, shape, x));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_extra(model, "k", BPTT_FLOAT32, 1, NULL, x));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_set_extra(model, "k", BPTT_FLOAT32, 1, bad_shape, x));
  REFUSED(BPTT_ERR_MEMORY, bptt_model_set_extra(model, "k", BPTT_FLOAT32, 2, huge, x));
  REFUSED(BPTT_ERR_NAME, bptt_model_set_extra(model, "k", BPTT_FLOAT32, 0, NULL, NULL));
  REFUSED(BPTT_ERR_IO, bptt_model_load("/no/such/file", &made_model));
  REFUSED(BPTT_ERR_IO, bptt_model_save(model, "/no/such/file"));
}

/* Every struct that is read: too small, garbage, larger with something in it; larger with nothing
 * in it is a later program. */
static void check_struct_sizes(void) {
  static union {
    size_t struct_size;
    unsigned char bytes[8192];
    bptt_layer_options layer;
    bptt_model_options model;
    bptt_optimizer_options rule;
    bptt_sequence sequence;
    bptt_outputs outputs;
    bptt_backward backward;
    bptt_target target;
    bptt_step step;
    bptt_seeds seeds;
    bptt_spectrum spectrum;
    bptt_error error;
    bptt_param_info info;
  } u;
  bptt_layer* made_layer;
  bptt_model* made_model;
  bptt_optimizer* made_optimizer;
  size_t k;
#define SIZES(init, type, prepare, call)                                                           \
  do {                                                                                             \
    const size_t bad[] = {0, 1, sizeof(type) - 1, sizeof(type) / 2, 5000, SIZE_MAX, SIZE_MAX / 2}; \
    for (k = 0; k < sizeof bad / sizeof bad[0]; ++k) {                                             \
      memset(&u, 0, sizeof u);                                                                     \
      REFUSED(BPTT_ERR_STRUCT_SIZE, init((void*)&u, bad[k]));                                      \
      OK(init((void*)&u, sizeof(type)));                                                           \
      REQUIRE(u.struct_size == sizeof(type));                                                      \
      prepare;                                                                                     \
      u.struct_size = bad[k];                                                                      \
      REFUSED(BPTT_ERR_STRUCT_SIZE, call);                                                         \
    }                                                                                              \
    memset(&u, 0xff, sizeof u);                                                                    \
    OK(init((void*)&u, sizeof(type) + 64));                                                        \
    REQUIRE(u.struct_size == sizeof(type) + 64 && u.bytes[sizeof(type) + 63] == 0 &&               \
            u.bytes[sizeof(type) + 64] == 0xff);                                                   \
    prepare;                                                                                       \
    u.bytes[sizeof(type) + 40] = 1;                                                                \
    REFUSED(BPTT_ERR_STRUCT_SIZE, call);                                                           \
    u.bytes[sizeof(type) + 40] = 0;                                                                \
    OK(call);                                                                                      \
  } while (0)
  SIZES(bptt_layer_options_init, bptt_layer_options,
        (u.layer.input_size = I, u.layer.hidden_size = H),
        bptt_layer_create(&u.layer, &made_layer));
  OK(bptt_layer_free(made_layer));
  SIZES(bptt_model_options_init, bptt_model_options,
        (u.model.vocab_size = I, u.model.layer.hidden_size = H, u.model.output_size = O),
        bptt_model_create(&u.model, &made_model));
  OK(bptt_model_free(made_model));
  SIZES(bptt_optimizer_options_init, bptt_optimizer_options, (void)0,
        bptt_optimizer_create(&u.rule, layer_params, &made_optimizer));
  OK(bptt_optimizer_free(made_optimizer));
  SIZES(bptt_sequence_init, bptt_sequence,
        (u.sequence.time = T, u.sequence.batch = N, u.sequence.x = x, u.sequence.x_stride_t = N * I,
         u.sequence.x_stride_n = I),
        bptt_layer_forward(layer, &u.sequence, &outputs, NULL));
  SIZES(bptt_outputs_init, bptt_outputs, (void)0,
        bptt_layer_forward(layer, &sequence, &u.outputs, NULL));
  SIZES(bptt_backward_init, bptt_backward, (void)0, bptt_layer_backward(layer, tape, &u.backward));
  SIZES(bptt_seeds_init, bptt_seeds,
        (u.seeds.count = 1, u.seeds.times = seed_times, u.seeds.outputs = seed_outputs),
        bptt_layer_backward_seeds(layer, tape, &u.seeds));
  SIZES(bptt_spectrum_init, bptt_spectrum, (void)0, bptt_layer_spectrum(layer, tape, &u.spectrum));
  SIZES(bptt_target_init, bptt_target,
        (u.target.values = goal, u.target.stride_t = N * O, u.target.stride_n = O),
        bptt_model_train_step(model, &sequence, &u.target, &step));
  SIZES(bptt_step_init, bptt_step, (void)0,
        bptt_model_train_step(model, &sequence, &target, &u.step));
  REQUIRE(bptt_last_error(&u.error, sizeof u.error - 1) == BPTT_ERR_STRUCT_SIZE);
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_params_info(layer_params, 0, &u.info, 8));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_model_get_options(model, &u.model, sizeof u.model - 8));
}

/* ------------------------------------------------------------------------------------------------
 * calls inside calls, threads */

static int callbacks = 0, depth = 0;

/* Asked inside a forward pass of `layer`: whatever it tries there is refused, and nothing waits for
 * itself. */
static int intrude(void* user) {
  (void)user;
  if (depth) return 0; /* asked by a call of its own */
  ++depth;
  if (callbacks++ == 0) {
    int64_t count;
    REFUSED(BPTT_ERR_BUSY, bptt_layer_free(layer));
    REFUSED(BPTT_ERR_BUSY, bptt_params_set(layer_params, gradients));
    REFUSED(BPTT_ERR_BUSY, bptt_params_get(layer_params, gradients));
    REFUSED(BPTT_ERR_BUSY, bptt_optimizer_step(optimizer, gradients, NULL));
    REFUSED(BPTT_ERR_BUSY, bptt_layer_forward(layer, &sequence, &outputs, NULL));
    OK(bptt_params_count(layer_params, &count, NULL));
    OK(bptt_model_train_step(model, &sequence, &target, &step)); /* another one is free */
  }
  --depth;
  return 1;
}

static void check_callbacks(void) {
  enum { long_ = 4000 };
  static float long_x[long_ * N * I];
  float before[2][400];
  bptt_sequence long_sequence = sequence;
  bptt_tape* made_tape;
  int64_t taken, after, count;
  long_sequence.time = long_;
  long_sequence.x = long_x;
  outputs.y = NULL;
  OK(bptt_set_cancel(intrude, NULL));
  REFUSED(BPTT_ERR_CANCELLED, bptt_layer_forward(layer, &long_sequence, &outputs, NULL));
  REQUIRE(callbacks > 0);
  REFUSED(BPTT_ERR_CANCELLED, bptt_layer_forward(layer, &long_sequence, &outputs, &made_tape));
  OK(bptt_set_cancel(NULL, NULL));
  OK(bptt_params_count(model_params, NULL, &count));
  REQUIRE(count <= 400);
  OK(bptt_params_get(model_params, before[0]));
  OK(bptt_model_steps(model, &taken, NULL));
  {
    static float long_goal[long_ * N * O];
    bptt_target long_target = target;
    long_target.values = long_goal;
    OK(bptt_set_cancel(intrude, NULL));
    REFUSED(BPTT_ERR_CANCELLED, bptt_model_train_step(model, &long_sequence, &long_target, &step));
    OK(bptt_set_cancel(NULL, NULL));
  }
  OK(bptt_model_steps(model, &after, NULL));
  OK(bptt_params_get(model_params, before[1]));
  REQUIRE(taken == after && !memcmp(before[0], before[1], (size_t)count * sizeof(float)));
  reset();
  OK(bptt_model_train_step(model, &sequence, &target, &step));
}

/* Eight threads use, free and remake the same handles: whatever comes is one of the statuses that
 * may come. */
enum { THREADS = 8, ROUNDS = 3000 };
static bptt_layer* shared[4];
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

static void* scramble(void* seed) {
  uint32_t state = (uint32_t)(uintptr_t)seed * 7919u + 1u;
  float local_y[T * N * H];
  bptt_outputs local = outputs;
  intptr_t freed = 0;
  int k;
  local.y = local_y;
  for (k = 0; k < ROUNDS; ++k) {
    bptt_layer* handle;
    bptt_status status;
    int slot;
    state = state * 1664525u + 1013904223u;
    slot = state >> 30;
    pthread_mutex_lock(&shared_lock);
    handle = shared[slot];
    pthread_mutex_unlock(&shared_lock);
    if (state >> 20 & 15) {
      status = bptt_layer_forward(handle, &sequence, &local, NULL);
      REQUIRE(status == BPTT_OK || status == BPTT_ERR_HANDLE);
    } else {
      status = bptt_layer_free(handle);
      REQUIRE(status == BPTT_OK || status == BPTT_ERR_HANDLE || status == BPTT_ERR_BUSY);
      if (status == BPTT_OK) {
        bptt_layer* fresh = new_layer();
        ++freed;
        pthread_mutex_lock(&shared_lock);
        shared[slot] = fresh;
        pthread_mutex_unlock(&shared_lock);
      }
    }
  }
  return (void*)freed;
}

static void check_threads(void) {
  pthread_t threads[THREADS];
  int k, freed = 0;
  for (k = 0; k < 4; ++k) shared[k] = new_layer();
  for (k = 0; k < THREADS; ++k)
    REQUIRE(!pthread_create(&threads[k], NULL, scramble, (void*)(intptr_t)k));
  for (k = 0; k < THREADS; ++k) {
    void* count;
    REQUIRE(!pthread_join(threads[k], &count));
    freed += (int)(intptr_t)count;
  }
  for (k = 0; k < 4; ++k) OK(bptt_layer_free(shared[k]));
  REQUIRE(freed > 100);
  printf("%d threads freed %d handles under each other\n", THREADS, freed);
}

/* Each thread has its own record. */
static void* other_record(void* unused) {
  bptt_error error;
  (void)unused;
  REQUIRE(bptt_last_error(&error, sizeof error) == BPTT_OK && error.status == BPTT_OK &&
          !*error.text);
  REFUSED(BPTT_ERR_HANDLE, bptt_layer_free((bptt_layer*)1));
  return NULL;
}

int main(void) {
  bptt_error error;
  bptt_optimizer_options rule;
  pthread_t thread;
  int k;
  shows_refusals = 1;
  reset();
  for (k = 0; k < T * N * I; ++k) x[k] = (float)random_number();
  layer = new_layer();
  model = new_model();
  OK(bptt_layer_params(layer, &layer_params));
  OK(bptt_model_params(model, &model_params));
  OK(bptt_model_optimizer(model, &model_optimizer));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  OK(bptt_optimizer_create(&rule, layer_params, &optimizer));
  OK(bptt_stream_create(model, &stream));
  OK(bptt_layer_forward(layer, &sequence, &outputs, &tape));
  outputs.y = NULL;
  OK(bptt_model_forward(model, &sequence, &outputs, &model_tape));
  reset();
  collect_suspects();
  check_handles();
  check_null_pointers();
  check_sequences();
  check_options();
  check_profile();
  check_struct_sizes();
  check_callbacks();
  REFUSED(BPTT_ERR_RANGE, bptt_params_info(layer_params, 99, NULL, 0));
  REQUIRE(!pthread_create(&thread, NULL, other_record, NULL) && !pthread_join(thread, NULL));
  OK(bptt_last_error(&error, sizeof error));
  REQUIRE(error.status == BPTT_ERR_RANGE && !strcmp(error.argument, "index") &&
          !strcmp(error.got, "99"));
  check_threads();
  /* Nothing of all that has harmed the living. */
  OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
  OK(bptt_layer_backward(layer, tape, &backward));
  OK(bptt_optimizer_step(optimizer, gradients, NULL));
  OK(bptt_tape_free(tape));
  OK(bptt_tape_free(model_tape));
  OK(bptt_layer_free(layer));
  OK(bptt_optimizer_free(optimizer)); /* it outlives its layer */
  OK(bptt_model_free(model));
  OK(bptt_stream_step(stream, x, out));
  OK(bptt_stream_free(stream));
  printf("%d refusals\n", refusals);
  return 0;
}
