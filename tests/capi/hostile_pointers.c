/* hostile_pointers.c: NULL for every pointer that is required, and text that is not valid UTF-8. */
#include "hostile.h"

static void check_null_pointers(void) {
  const char* text;
  bptt_layer_options layer_options;
  bptt_model_options model_options;
  bptt_optimizer_options rule;
  bptt_model* made;
  bptt_cell_info cell;
  bptt_nonlinearity_info function;
  OK(bptt_layer_options_init(&layer_options, sizeof layer_options));
  OK(bptt_model_options_init(&model_options, sizeof model_options));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_isa(NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_available_isas(NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_get_num_threads(NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_describe_cell(NULL, &cell, sizeof cell));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_describe_cell(&layer_options, NULL, sizeof cell));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_describe_nonlinearity(BPTT_TANH, NULL, sizeof function));
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
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(NULL, &layer_options, NULL, &made));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&model_options, NULL, NULL, &made));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&model_options, &layer_options, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_get_layer_options(model, NULL, sizeof layer_options));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_get_options(optimizer, NULL, sizeof rule));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_get_options(model, NULL, sizeof model_options));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_params(model, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_optimizer(model, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_train_step(model, NULL, &target, NULL, NULL, &step));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_train_step(model, &sequence, NULL, NULL, NULL, &step));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_train_step(model, &sequence, &target, NULL, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, NULL, &target, NULL, NULL, gradients, 0, &step));
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, &sequence, NULL, NULL, NULL, gradients, 0, &step));
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, &sequence, &target, NULL, NULL, NULL, 0, &step));
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
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_create(model, NULL, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_step(stream, NULL, out));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_step(stream, x, x));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_step_token(stream, 0, out)); /* the model reads values */
  REQUIRE(bptt_last_error(NULL, sizeof(bptt_error)) == BPTT_ERR_ARGUMENT);
}

int main(void) {
  begin();
  check_null_pointers();
  end();
  return 0;
}
