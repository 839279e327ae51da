/* updates.c: updates that would overflow are not made; each tensor counts its updates; the
 * library reports which parameters are not finite; tapes remain usable after updates. Usage:
 * updates FILE, where FILE can be written. */
#include "structs.h"

#include <float.h>

enum { I = 2, H = 3, COUNT = 4 * H * (I + H + 2) };

static bptt_params* params;
static float values[COUNT], gradients[COUNT], first[COUNT], second[COUNT];

static void state_of(bptt_optimizer* optimizer, float* moments) {
  OK(bptt_params_get(params, values));
  OK(bptt_optimizer_get_state(optimizer, 1, moments));
}

static void check_overflow(bptt_optimizer* optimizer) {
  int64_t steps = 0;
  int32_t skipped = -1;
  float before[COUNT];
  int i;
  for (i = 0; i < COUNT; ++i) gradients[i] = (float)random_number();
  OK(bptt_optimizer_step(optimizer, gradients, &skipped));
  REQUIRE(skipped == 0);
  state_of(optimizer, first);
  memcpy(before, values, sizeof before);
  gradients[COUNT - 1] = 1e30f; /* its square is infinite */
  OK(bptt_optimizer_step(optimizer, gradients, &skipped));
  REQUIRE(skipped == 1);
  OK(bptt_optimizer_step(optimizer, gradients, NULL));
  state_of(optimizer, second);
  REQUIRE(memcmp(before, values, sizeof before) == 0);
  REQUIRE(memcmp(first, second, sizeof first) == 0);
  OK(bptt_optimizer_get_steps(optimizer, &steps));
  REQUIRE(steps == 1);
}

static void check_counters(bptt_optimizer* optimizer) {
  const int64_t most = (int64_t)1 << 53;
  int64_t steps = 0;
  int i;
  for (i = 0; i < COUNT; ++i) gradients[i] = 1;
  OK(bptt_params_freeze(params, "weight_hh_l0", 1));
  OK(bptt_optimizer_step(optimizer, gradients, NULL));
  OK(bptt_params_freeze(params, "weight_hh_l0", 0));
  OK(bptt_optimizer_get_tensor_steps(optimizer, "weight_hh_l0", &steps));
  REQUIRE(steps == 1);
  OK(bptt_optimizer_get_tensor_steps(optimizer, "weight_ih_l0", &steps));
  REQUIRE(steps == 2);
  OK(bptt_optimizer_set_steps(optimizer, most));
  OK(bptt_optimizer_get_tensor_steps(optimizer, "weight_hh_l0", &steps));
  REQUIRE(steps == most);
  REFUSED(BPTT_ERR_STATE, bptt_optimizer_step(optimizer, gradients, NULL));
  OK(bptt_optimizer_set_steps(optimizer, 5));
  OK(bptt_optimizer_set_tensor_steps(optimizer, "bias_ih_l0", most));
  REFUSED(BPTT_ERR_STATE, bptt_optimizer_step(optimizer, gradients, NULL));
  OK(bptt_optimizer_set_tensor_steps(optimizer, "bias_ih_l0", 0));
  OK(bptt_optimizer_step(optimizer, gradients, NULL));
  OK(bptt_optimizer_get_steps(optimizer, &steps));
  REQUIRE(steps == 6);
}

/* Tapes of several versions of the parameters, used and freed in different orders. */
static void check_tapes(bptt_layer* layer, bptt_optimizer* optimizer) {
  enum { T = 4, N = 2, TAPES = 5 };
  static float gradient[TAPES][COUNT];
  float x[T * N * I], dy[T * N * H], *now = first;
  bptt_tape *tapes[TAPES], *twin;
  bptt_sequence sequence;
  bptt_backward backward;
  int i, k;
  for (i = 0; i < T * N * I; ++i) x[i] = (float)random_number();
  for (i = 0; i < T * N * H; ++i) dy[i] = (float)random_number();
  sequence = values_over(T, N, x, I);
  backward = backward_from(dy, N, H, now);
  for (i = 0; i < COUNT; ++i) gradients[i] = (float)random_number();
  for (i = 0; i < TAPES; ++i) {
    OK(bptt_layer_forward(layer, &sequence, NULL, &tapes[i]));
    OK(bptt_layer_forward(layer, &sequence, NULL, &twin));
    backward.gradients = gradient[i];
    if (i % 2) OK(bptt_layer_backward(layer, twin, &backward));
    OK(bptt_optimizer_step(optimizer, gradients, NULL));
    if (i % 2 == 0) OK(bptt_layer_backward(layer, twin, &backward));
    OK(bptt_tape_free(twin));
    REQUIRE(i == 0 || memcmp(gradient[i], gradient[i - 1], sizeof *gradient) != 0);
  }
  backward.gradients = now;
  for (i = 0; i < TAPES; ++i) {
    k = 2 * i % TAPES;
    OK(bptt_layer_backward(layer, tapes[k], &backward));
    REQUIRE(memcmp(now, gradient[k], sizeof *gradient) == 0);
  }
  for (i = TAPES; i-- > 1;) OK(bptt_tape_free(tapes[i]));
  OK(bptt_layer_backward(layer, tapes[0], &backward));
  REQUIRE(memcmp(now, gradient[0], sizeof *gradient) == 0);
  OK(bptt_tape_free(tapes[0]));
}

static void check_finite(void) {
  int32_t finite = -1;
  OK(bptt_params_finite(params, NULL, &finite));
  REQUIRE(finite == 1);
  OK(bptt_params_get(params, values));
  values[0] = NAN;
  OK(bptt_params_set(params, values));
  OK(bptt_params_finite(params, NULL, &finite));
  REQUIRE(finite == 0);
  OK(bptt_params_finite(params, "weight_ih_l0", &finite));
  REQUIRE(finite == 0);
  OK(bptt_params_finite(params, "weight_hh_l0", &finite));
  REQUIRE(finite == 1);
}

/* NONFINITE_RAISE, and a file whose counters have the largest possible values. */
static void check_model(const char* path) {
  enum { OUT = 2 };
  bptt_model_options options;
  bptt_layer_options layers;
  bptt_optimizer_options rule;
  bptt_model *model, *loaded;
  bptt_optimizer* optimizer;
  bptt_params* own;
  int64_t tensors, count, taken, skipped, i;
  float* huge;
  OK(bptt_model_options_init(&options, sizeof options));
  OK(bptt_layer_options_init(&layers, sizeof layers));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  layers.input_size = I;
  layers.hidden_size = H;
  options.output_size = OUT;
  options.nonfinite = BPTT_NONFINITE_RAISE;
  rule.lr = 1e39;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, &rule, &model));
  rule.lr = 0.1;
  OK(bptt_model_create(&options, &layers, &rule, &model));
  OK(bptt_model_params(model, &own));
  OK(bptt_model_optimizer(model, &optimizer));
  OK(bptt_params_count(own, &tensors, &count));
  huge = malloc((size_t)count * sizeof *huge);
  REQUIRE(huge);
  for (i = 0; i < count; ++i) huge[i] = FLT_MAX / 4;
  REFUSED(BPTT_ERR_NONFINITE, bptt_model_apply(model, huge, NULL));
  OK(bptt_model_steps(model, &taken, &skipped));
  REQUIRE(taken == 0 && skipped == 0);
  OK(bptt_optimizer_set_steps(optimizer, (int64_t)1 << 53));
  OK(bptt_model_save(model, path));
  OK(bptt_model_load(path, &loaded));
  OK(bptt_model_free(loaded));
  OK(bptt_model_free(model));
  free(huge);
}

/* The eps of a rule if none is set. */
static void check_eps(void) {
  const struct {
    bptt_algorithm algorithm;
    bptt_rmsprop_form form;
    double eps;
  } rules[] = {{BPTT_ADAM, BPTT_RMSPROP_TORCH, 1e-8},
               {BPTT_ADAGRAD, BPTT_RMSPROP_TORCH, 1e-10},
               {BPTT_RMSPROP, BPTT_RMSPROP_TORCH, 1e-8},
               {BPTT_RMSPROP, BPTT_RMSPROP_GRAVES, 1e-4}};
  size_t i;
  for (i = 0; i < sizeof rules / sizeof *rules; ++i) {
    bptt_model_options options;
    bptt_layer_options layers;
    bptt_optimizer_options rule;
    bptt_optimizer* optimizer;
    bptt_model* model;
    OK(bptt_model_options_init(&options, sizeof options));
    OK(bptt_layer_options_init(&layers, sizeof layers));
    OK(bptt_optimizer_options_init(&rule, sizeof rule));
    layers.input_size = I;
    layers.hidden_size = H;
    options.output_size = 1;
    rule.algorithm = rules[i].algorithm;
    rule.rmsprop_form = rules[i].form;
    OK(bptt_model_create(&options, &layers, &rule, &model));
    OK(bptt_model_optimizer(model, &optimizer));
    OK(bptt_optimizer_get_options(optimizer, &rule, sizeof rule));
    REQUIRE(rule.eps == rules[i].eps);
    OK(bptt_model_free(model));
  }
}

int main(int argc, char** argv) {
  bptt_layer_options options;
  bptt_optimizer_options rule;
  bptt_layer* layer;
  bptt_optimizer* optimizer;
  REQUIRE(argc == 2);
  options = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_layer_params(layer, &params));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  rule.lr = 1e39;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_create(&rule, params, &optimizer));
  rule.lr = 0.01;
  OK(bptt_optimizer_create(&rule, params, &optimizer));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_lr(optimizer, 1e39));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_optimizer_set_group(optimizer, "weight_ih_l0", 1e300, NAN));
  check_overflow(optimizer);
  check_counters(optimizer);
  check_tapes(layer, optimizer);
  check_finite();
  check_model(argv[1]);
  check_eps();
  OK(bptt_optimizer_free(optimizer));
  OK(bptt_layer_free(layer));
  printf("updates ok\n");
  return 0;
}
