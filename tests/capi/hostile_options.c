/* hostile_options.c: options, numbers, names and profile phases outside their bounds. */
#include <limits.h>

#include "hostile.h"

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
  bptt_nonlinearity_info function;
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
/* Set `option` of m, l or o. */
#define BAD_PART(option, value, status)                          \
  do {                                                           \
    OK(bptt_model_options_init(&m, sizeof m));                   \
    OK(bptt_layer_options_init(&l, sizeof l));                   \
    OK(bptt_optimizer_options_init(&o, sizeof o));               \
    l.input_size = I;                                            \
    l.hidden_size = H;                                           \
    m.output_size = O;                                           \
    option = value;                                              \
    REFUSED(status, bptt_model_create(&m, &l, &o, &made_model)); \
  } while (0)
#define BAD_MODEL(field, value, status) BAD_PART(m.field, value, status)
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
    BAD_PART(l.hidden_size, sizes[k], BPTT_ERR_ARGUMENT);
    if (k > 0) BAD_MODEL(embedding_size, sizes[k], BPTT_ERR_ARGUMENT);
    if (k > 0) BAD_MODEL(vocab_size, sizes[k], BPTT_ERR_ARGUMENT);
  }
  for (k = 0; k < 5; ++k) {
    BAD_LAYER(cell, (bptt_cell)codes[k], BPTT_ERR_ARGUMENT);
    BAD_LAYER(nonlinearity, (bptt_nonlinearity)codes[k], BPTT_ERR_ARGUMENT);
    REFUSED(BPTT_ERR_ARGUMENT,
            bptt_describe_nonlinearity((bptt_nonlinearity)codes[k], &function, sizeof function));
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
      BAD_LAYER(learn_initial_state, codes[k], BPTT_ERR_ARGUMENT);
      {
        bptt_error error;
        OK(bptt_last_error(&error, sizeof error));
        REQUIRE(strtol(error.got, NULL, 10) == codes[k]);
      }
      BAD_LAYER(reserved32, codes[k], BPTT_ERR_ARGUMENT);
      BAD_MODEL(batch_first, codes[k], BPTT_ERR_ARGUMENT);
    }
    BAD_MODEL(loss, (bptt_loss)codes[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(targets, (bptt_targets)codes[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(reduction, (bptt_reduction)codes[k], BPTT_ERR_ARGUMENT);
    BAD_PART(o.algorithm, (bptt_algorithm)codes[k], BPTT_ERR_ARGUMENT);
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
    if (k) BAD_RULE(beta2, numbers[k]);
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
    BAD_MODEL(activity_l1, numbers[k], BPTT_ERR_ARGUMENT);
    BAD_MODEL(activity_l2, numbers[k], BPTT_ERR_ARGUMENT);
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
  BAD_RULE(nesterov, 1); /* not an option of Adam, like the next two */
  BAD_RULE(centered, 1);
  BAD_RULE(rmsprop_form, BPTT_RMSPROP_GRAVES);
  BAD_LAYER(spectral_radius, 0, BPTT_ERR_ARGUMENT);
  BAD_LAYER(time_scale, 9, BPTT_ERR_ARGUMENT);          /* requires BPTT_INIT_CHRONO */
  BAD_LAYER(init, BPTT_INIT_CHRONO, BPTT_ERR_ARGUMENT); /* requires time_scale */
  BAD_LAYER(dropout, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(recurrent_dropout, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(zoneout, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(zoneout_c, 1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(proj_size, -1, BPTT_ERR_ARGUMENT);
  BAD_LAYER(proj_size, INT64_MAX, BPTT_ERR_ARGUMENT);
  BAD_LAYER(proj_size, H, BPTT_ERR_ARGUMENT);
  BAD_LAYER(bidirectional = 1; l.num_layers, INT64_MAX - 1, BPTT_ERR_MEMORY);
  BAD_MODEL(truncation_k1, 1, BPTT_ERR_ARGUMENT); /* requires truncation_k2 */
  BAD_MODEL(truncation_k2, INT64_MAX, BPTT_ERR_ARGUMENT);
  BAD_LAYER(compute, 2, BPTT_ERR_ARGUMENT);
  BAD_LAYER(dtype = BPTT_FLOAT64; l.compute, BPTT_COMPUTE_BFLOAT16, BPTT_ERR_ARGUMENT);
  BAD_PART(l.struct_size, 0, BPTT_ERR_STRUCT_SIZE);
  BAD_PART(o.struct_size, 1, BPTT_ERR_STRUCT_SIZE);
  BAD_MODEL(vocab_size, 5, BPTT_ERR_ARGUMENT);     /* excludes input_size of the layer */
  BAD_MODEL(embedding_size, 5, BPTT_ERR_ARGUMENT); /* requires vocab_size */
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

int main(void) {
  begin();
  check_options();
  check_profile();
  end();
  return 0;
}
