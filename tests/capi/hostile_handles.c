/* hostile_handles.c: handles that were freed, that never existed or that are of another kind,
 * passed to every function that takes a handle. */
#include "hostile.h"

static float h[2 * N * H], c[N * H], jacobian[H * H];

static void* suspects[32];
static int suspect_count;

/* Run `call` with `type* handle` set to each suspect, except for those that fit. */
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
  OK(bptt_stream_create(dead_model, NULL, &dead_stream));
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
  bptt_layer_options layers;
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
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_get_layer_options(handle, &layers, sizeof layers));
  EVERY_SUSPECT(bptt_optimizer, optimizer, model_optimizer,
                bptt_optimizer_get_options(handle, &rule, sizeof rule));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_params(handle, &made_params));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_optimizer(handle, &made_optimizer));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_train_step(handle, &sequence, &target, NULL, NULL, &step));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_gradients(handle, &sequence, &target, NULL, NULL, gradients, 0, &step));
  EVERY_SUSPECT(bptt_model, model, model, bptt_model_apply(handle, gradients, &step));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_evaluate(handle, &sequence, &target, NULL, &real));
  EVERY_SUSPECT(bptt_model, model, model,
                bptt_model_output_gradient(handle, &sequence, &target, NULL, &real));
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
  EVERY_SUSPECT(bptt_model, model, model, bptt_stream_create(handle, NULL, &made_stream));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_step(handle, x, out));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_step_token(handle, 0, out));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_reset(handle));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_get_state(handle, h, c));
  EVERY_SUSPECT(bptt_stream, stream, stream, bptt_stream_set_state(handle, h, c));
  /* A handle that is not valid cannot be freed; NULL can. */
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
  REFUSED(BPTT_ERR_STATE, bptt_optimizer_free(model_optimizer)); /* it is freed with its model */
  REFUSED(BPTT_ERR_STATE, bptt_layer_backward(layer, model_tape, &backward));
  REFUSED(BPTT_ERR_STATE, bptt_model_backward(model, tape, &backward));
}

int main(void) {
  begin();
  collect_suspects();
  check_handles();
  end();
  return 0;
}
