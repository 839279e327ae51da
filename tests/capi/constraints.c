/* constraints.c: masks, non-negative parameters and regularisers of the weights. Usage: constraints
 * FILE, where FILE can be written. */
#include "structs.h"

enum { I = 2, H = 3, OUT = 2, T = 4, N = 2, WEIGHTS = H * H };

static const uint8_t no_autapses[WEIGHTS] = {0, 1, 1, 1, 0, 1, 1, 1, 0};

static bptt_param_info info_of(bptt_params* params, const char* name) {
  int64_t tensors, i;
  bptt_param_info info = {.struct_size = sizeof info};
  OK(bptt_params_count(params, &tensors, NULL));
  for (i = 0; i < tensors; ++i) {
    OK(bptt_params_info(params, i, &info, sizeof info));
    if (strcmp(info.name, name) == 0) return info;
  }
  REQUIRE(0);
  return info;
}

/* A refused mask changes nothing; the mask comes back; NULL removes it. */
static void check_masks(bptt_params* params) {
  uint8_t mask[WEIGHTS];
  double values[64], before[64];
  int64_t count;
  bptt_param_info info = info_of(params, "weight_hh_l0");
  int i;
  OK(bptt_params_count(params, NULL, &count));
  REQUIRE(count <= 64 && !info.masked && !info.nonnegative && info.count == WEIGHTS);
  OK(bptt_params_get(params, before));
  memcpy(mask, no_autapses, sizeof mask);
  mask[4] = 2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_set_mask(params, "weight_hh_l0", mask));
  REFUSED(BPTT_ERR_NAME, bptt_params_set_mask(params, "nothing", no_autapses));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_set_mask(params, NULL, no_autapses));
  REFUSED(BPTT_ERR_NAME, bptt_params_get_mask(params, "nothing", mask));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_get_mask(params, "weight_hh_l0", NULL));
  OK(bptt_params_get(params, values));
  REQUIRE(memcmp(values, before, sizeof(double) * (size_t)count) == 0);
  OK(bptt_params_get_mask(params, "weight_hh_l0", mask));
  for (i = 0; i < WEIGHTS; ++i) REQUIRE(mask[i] == 1);
  OK(bptt_params_set_mask(params, "weight_hh_l0", no_autapses));
  REQUIRE(info_of(params, "weight_hh_l0").masked);
  OK(bptt_params_get_mask(params, "weight_hh_l0", mask));
  REQUIRE(memcmp(mask, no_autapses, sizeof mask) == 0);
  OK(bptt_params_set(params, before));
  OK(bptt_params_get(params, values));
  for (i = 0; i < count; ++i) {
    const int64_t at = i - info.offset;
    const int masked = at >= 0 && at < WEIGHTS && !no_autapses[at];
    REQUIRE(values[i] == (masked ? 0 : before[i]));
  }
  OK(bptt_params_set_mask(params, "weight_hh_l0", NULL));
  REQUIRE(!info_of(params, "weight_hh_l0").masked);
  OK(bptt_params_set(params, before));
}

static void check_signs(bptt_params* params) {
  double values[64];
  const bptt_param_info info = info_of(params, "weight_ih_l0");
  int64_t i;
  REFUSED(BPTT_ERR_NAME, bptt_params_set_nonnegative(params, "nothing", 1));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_params_set_nonnegative(params, "weight_ih_l0", 2));
  OK(bptt_params_set_nonnegative(params, "weight_ih_l0", 1));
  REQUIRE(info_of(params, "weight_ih_l0").nonnegative);
  OK(bptt_params_get(params, values));
  for (i = 0; i < info.count; ++i) values[info.offset + i] = i % 2 ? -1 : NAN;
  OK(bptt_params_set(params, values));
  OK(bptt_params_get(params, values));
  for (i = 0; i < info.count; ++i)
    REQUIRE(i % 2 ? values[info.offset + i] == 0 : isnan(values[info.offset + i]));
  OK(bptt_params_set_nonnegative(params, "weight_ih_l0", 0));
  for (i = 0; i < info.count; ++i) values[info.offset + i] = -1;
  OK(bptt_params_set(params, values));
  OK(bptt_params_get(params, values));
  REQUIRE(values[info.offset] == -1);
}

/* An optimiser with momentum moves no masked element, whatever the gradients. */
static void check_steps(bptt_params* params) {
  bptt_optimizer_options rule;
  bptt_optimizer* optimizer;
  double values[64], gradients[64], moments[64];
  int64_t count, i;
  int step;
  const bptt_param_info info = info_of(params, "weight_hh_l0");
  OK(bptt_params_count(params, NULL, &count));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  rule.algorithm = BPTT_SGD;
  rule.momentum = 0.9;
  rule.weight_decay = 0.1;
  OK(bptt_optimizer_create(&rule, params, &optimizer));
  for (step = 0; step < 4; ++step) {
    if (step == 1) OK(bptt_params_set_mask(params, "weight_hh_l0", no_autapses));
    for (i = 0; i < count; ++i) gradients[i] = random_number();
    OK(bptt_optimizer_step(optimizer, gradients, NULL));
    OK(bptt_params_get(params, values));
    OK(bptt_optimizer_get_state(optimizer, 0, moments));
    for (i = 0; i < WEIGHTS; ++i) {
      const int64_t at = info.offset + i;
      const int masked = step > 0 && !no_autapses[i];
      REQUIRE((values[at] == 0) == masked && (moments[at] == 0) == masked);
    }
  }
  OK(bptt_optimizer_free(optimizer));
}

/* The regularisers' values, and a file with all constraints. */
static void check_model(const char* path) {
  bptt_model_options options;
  bptt_layer_options layers;
  bptt_model *model, *plain, *loaded;
  bptt_params *params, *again;
  float values[128], others[128], gradients[128], without[128], data[T * N * I],
      targets[T * N * OUT];
  uint8_t mask[WEIGHTS];
  bptt_sequence sequence;
  bptt_target target;
  bptt_step step, result;
  double wanted = 0, loss;
  int64_t tensors, count, i, k;
  OK(bptt_model_options_init(&options, sizeof options));
  OK(bptt_layer_options_init(&layers, sizeof layers));
  layers.cell = BPTT_RNN;
  layers.input_size = I;
  layers.hidden_size = H;
  options.output_size = OUT;
  options.loss = BPTT_MSE;
  options.weight_l1 = -1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  options.weight_l1 = 0.25;
  options.weight_l2 = 1e39; /* not finite in float */
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  options.weight_l2 = 0.5;
  OK(bptt_model_create(&options, &layers, NULL, &model));
  options.weight_l1 = options.weight_l2 = 0;
  OK(bptt_model_create(&options, &layers, NULL, &plain));
  OK(bptt_model_params(model, &params));
  OK(bptt_params_set_mask(params, "rnn.weight_hh_l0", no_autapses));
  OK(bptt_params_set_nonnegative(params, "readout.weight", 1));
  OK(bptt_params_freeze(params, "rnn.weight_ih_l0", 1));
  OK(bptt_params_count(params, &tensors, &count));
  REQUIRE(count <= 128);
  OK(bptt_params_get(params, values));
  for (i = 0; i < T * N * I; ++i) data[i] = (float)random_number();
  for (i = 0; i < T * N * OUT; ++i) targets[i] = (float)random_number();
  sequence = values_over(T, N, data, I);
  OK(bptt_target_init(&target, sizeof target));
  target.values = targets;
  target.stride_t = N * OUT;
  target.stride_n = OUT;
  OK(bptt_step_init(&step, sizeof step));
  OK(bptt_step_init(&result, sizeof result));
  OK(bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
  OK(bptt_model_gradients(model, &sequence, &target, NULL, NULL, gradients, 0, &step));
  OK(bptt_model_params(plain, &again));
  OK(bptt_params_set(again, values));
  OK(bptt_params_set_mask(again, "rnn.weight_hh_l0", no_autapses));
  OK(bptt_params_freeze(again, "rnn.weight_ih_l0", 1));
  OK(bptt_model_gradients(plain, &sequence, &target, NULL, NULL, without, 0, NULL));
  for (i = 0; i < tensors; ++i) {
    bptt_param_info info = {.struct_size = sizeof info};
    OK(bptt_params_info(params, i, &info, sizeof info));
    for (k = info.offset; k < info.offset + info.count; ++k) {
      const double w = info.rank == 2 && !info.frozen ? values[k] : 0;
      const double slope = (w > 0 ? 0.25 : w < 0 ? -0.25 : 0) + w;
      wanted += 0.25 * fabs(w) + 0.5 * w * w;
      REQUIRE(fabs(gradients[k] - without[k] - slope) < 1e-6);
    }
  }
  OK(bptt_model_free(plain));
  OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &result));
  REQUIRE(step.loss == loss && result.loss == loss);
  REQUIRE(fabs(step.weight_penalty - wanted) < 1e-6 * wanted);
  REQUIRE(step.weight_penalty == result.weight_penalty && step.grad_norm == result.grad_norm);
  OK(bptt_model_save(model, path));
  OK(bptt_model_load(path, &loaded));
  OK(bptt_model_params(loaded, &again));
  OK(bptt_params_get_mask(again, "rnn.weight_hh_l0", mask));
  REQUIRE(memcmp(mask, no_autapses, sizeof mask) == 0);
  REQUIRE(info_of(again, "readout.weight").nonnegative);
  REQUIRE(info_of(again, "rnn.weight_ih_l0").frozen);
  OK(bptt_model_get_options(loaded, &options, sizeof options));
  REQUIRE(options.weight_l1 == 0.25 && options.weight_l2 == 0.5);
  OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
  OK(bptt_model_train_step(loaded, &sequence, &target, NULL, NULL, &step));
  OK(bptt_params_get(params, values));
  OK(bptt_params_get(again, others));
  REQUIRE(memcmp(values, others, sizeof(float) * (size_t)count) == 0);
  OK(bptt_model_free(loaded));
  OK(bptt_model_free(model));
}

int main(int argc, char** argv) {
  bptt_layer_options options;
  bptt_layer* layer;
  bptt_params* params;
  REQUIRE(argc == 2);
  options = layer_of(BPTT_RNN, BPTT_FLOAT64, I, H);
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_layer_params(layer, &params));
  check_masks(params);
  check_signs(params);
  check_steps(params);
  check_model(argv[1]);
  OK(bptt_layer_free(layer));
  printf("constraints ok\n");
  return 0;
}
