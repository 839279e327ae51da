/* targets.c: losses with all their options and target weights through the C API, a training step
 * in two halves, the gradient of the outputs, and refused arguments of these. */
#include <bptt_options.h>

#include "structs.h"

enum { T = 5, N = 3, I = 2, H = 4, O = 3, MOST = 400 };

static double x[T * N * I], goal[T * N * O], weights[N * T], h[2 * N * H];
static int64_t classes[T * N];
static double first[MOST], second[MOST], values[MOST];

static bptt_sequence sequence;
static bptt_target target;
static bptt_outputs outputs;
static bptt_step step;

/* The weights are stored as [N, T], to test their strides. */
static void reset(bptt_loss loss) {
  sequence = values_over(T, N, x, I);
  OK(bptt_target_init(&target, sizeof target));
  REQUIRE(target.weights == NULL);
  if (loss == BPTT_CROSS_ENTROPY) {
    target.classes = classes;
    target.stride_t = N;
    target.stride_n = 1;
  } else {
    target.values = goal;
    target.stride_t = N * O;
    target.stride_n = O;
  }
  target.weights = weights;
  target.weights_stride_t = 1;
  target.weights_stride_n = T;
  OK(bptt_outputs_init(&outputs, sizeof outputs));
  step = new_step();
}

static bptt_layer_options two_layers(void) {
  bptt_layer_options options = layer_of(BPTT_LSTM, BPTT_FLOAT64, I, H);
  options.num_layers = 2;
  return options;
}

static bptt_model_options options_of(bptt_loss loss, const double* class_weights) {
  bptt_model_options options;
  OK(bptt_model_options_init(&options, sizeof options));
  REQUIRE(options.label_smoothing == 0 && options.ignore_index == -100 && !options.class_weights);
  REQUIRE(options.huber_delta == 1);
  options.output_size = O;
  options.loss = loss;
  options.clip_norm = 0.01;
  options.class_weights = class_weights;
  if (loss == BPTT_CROSS_ENTROPY) {
    options.label_smoothing = 0.1;
    options.ignore_index = -1;
  }
  if (loss == BPTT_HUBER) options.huber_delta = 0.3;
  return options;
}

static bptt_model* new_model(bptt_loss loss) {
  double class_weights[O] = {0.5, 2, 1};
  const double wanted[O] = {0.5, 2, 1};
  const bptt_layer_options layers = two_layers();
  bptt_model_options options = options_of(loss, class_weights), kept;
  bptt_model* model;
  OK(bptt_model_create(&options, &layers, NULL, &model));
  class_weights[0] = NAN; /* they were copied */
  OK(bptt_model_get_options(model, &kept, sizeof kept));
  REQUIRE(kept.loss == loss && kept.label_smoothing == options.label_smoothing &&
          kept.ignore_index == options.ignore_index && kept.huber_delta == options.huber_delta &&
          kept.class_weights != class_weights &&
          !memcmp(kept.class_weights, wanted, sizeof wanted));
  return model;
}

/* Compare every derivative of bptt_model_gradients with central differences of
 * bptt_model_evaluate. */
static void check_gradient(bptt_loss loss) {
  bptt_model* model = new_model(loss);
  bptt_params* params;
  int64_t count, i;
  double worst = 0, largest = 0, value;
  reset(loss);
  OK(bptt_model_params(model, &params));
  OK(bptt_params_count(params, NULL, &count));
  REQUIRE(count <= MOST);
  OK(bptt_model_gradients(model, &sequence, &target, NULL, NULL, first, 0, &step));
  OK(bptt_model_evaluate(model, &sequence, &target, NULL, &value));
  REQUIRE(value == step.loss && !step.clipped && !step.skipped);
  OK(bptt_params_get(params, values));
  for (i = 0; i < count; ++i) {
    const double kept = values[i], by = 1e-5;
    double above, below;
    values[i] = kept + by;
    OK(bptt_params_set(params, values));
    OK(bptt_model_evaluate(model, &sequence, &target, NULL, &above));
    values[i] = kept - by;
    OK(bptt_params_set(params, values));
    OK(bptt_model_evaluate(model, &sequence, &target, NULL, &below));
    values[i] = kept;
    worst = fmax(worst, fabs((above - below) / (2 * by) - first[i]));
    largest = fmax(largest, fabs(first[i]));
  }
  REQUIRE(largest > 0.01 && worst < 1e-9);
  printf("loss %d: %d derivatives, worst difference %.1e\n", (int)loss, (int)count, worst);
  OK(bptt_model_free(model));
}

static void check_halves(bptt_loss loss) {
  bptt_model *whole = new_model(loss), *halves = new_model(loss);
  bptt_params *whole_params, *params;
  int64_t count, i, taken, skipped;
  int round;
  OK(bptt_model_params(whole, &whole_params));
  OK(bptt_model_params(halves, &params));
  OK(bptt_params_count(params, NULL, &count));
  reset(loss);
  for (round = 0; round < 3; ++round) {
    bptt_step train = step, half = step, update = step;
    double y[3][T * N * O], hn[2 * N * H], norms[2 * T];
    bptt_flow flow;
    outputs = outputs_to(y[0], N, O);
    OK(bptt_model_forward(whole, &sequence, &outputs, NULL));
    outputs.y = y[1];
    outputs.hn = h;
    OK(bptt_model_train_step(whole, &sequence, &target, &outputs, NULL, &train));
    outputs.y = y[2];
    outputs.hn = hn;
    OK(bptt_flow_init(&flow, sizeof flow));
    flow.h = norms;
    OK(bptt_model_gradients(halves, &sequence, &target, &outputs, &flow, first, 0, &half));
    REQUIRE(!memcmp(h, hn, sizeof hn) && norms[0] > 0);
    REQUIRE(!memcmp(y[0], y[1], sizeof y[0]) && !memcmp(y[0], y[2], sizeof y[0]));
    memcpy(second, first, sizeof first);
    OK(bptt_model_gradients(halves, &sequence, &target, NULL, NULL, second, 1, NULL));
    for (i = 0; i < count; ++i) REQUIRE(fabs(second[i] - 2 * first[i]) <= 1e-15);
    update.loss = 7;
    OK(bptt_model_apply(halves, first, &update));
    REQUIRE(half.loss == train.loss && half.grad_norm == train.grad_norm && train.clipped);
    REQUIRE(update.grad_norm == train.grad_norm && update.clipped && !update.skipped &&
            update.loss == 7);
    OK(bptt_params_get(whole_params, values));
    OK(bptt_params_get(params, second));
    REQUIRE(!memcmp(values, second, (size_t)count * sizeof *values));
  }
  first[3] = INFINITY;
  OK(bptt_model_apply(halves, first, NULL));
  OK(bptt_params_get(params, second));
  REQUIRE(!memcmp(values, second, (size_t)count * sizeof *values));
  OK(bptt_model_steps(halves, &taken, &skipped));
  REQUIRE(taken == 3 && skipped == 1);
  OK(bptt_model_free(whole));
  OK(bptt_model_free(halves));
  printf("loss %d: halves: the same bits\n", (int)loss);
}

static void check_options(void) {
  const double impossible[][O] = {
      {1, -1, 1}, {NAN, 1, 1}, {1, 1, INFINITY}, {0, 0, 0}, {-INFINITY, 1, 1}};
  const double shares[] = {-0.1, 1.1, NAN, INFINITY}, thresholds[] = {0, -1, NAN, INFINITY, -0.0};
  bptt_layer_options layers = two_layers();
  bptt_model_options options;
  bptt_model* model;
  size_t k;
  for (k = 0; k < 5; ++k) {
    options = options_of(BPTT_MSE, impossible[k]);
    REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  }
  for (k = 0; k < 4; ++k) {
    options = options_of(BPTT_CROSS_ENTROPY, NULL);
    options.label_smoothing = shares[k];
    REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  }
  options = options_of(BPTT_MSE, NULL);
  options.label_smoothing = 0.1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  options = options_of(BPTT_BINARY_CROSS_ENTROPY, NULL);
  options.ignore_index = 0;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  options.ignore_index = -100;
  options.loss = (bptt_loss)5;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  options = options_of(BPTT_MSE, NULL);
  options.huber_delta = 2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  for (k = 0; k < 5; ++k) {
    options = options_of(BPTT_HUBER, NULL);
    options.huber_delta = thresholds[k];
    REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
  }
  for (k = 0; k < 2; ++k) { /* float64 can represent it, float32 cannot */
    options.huber_delta = k ? 1e39 : 1e-50;
    layers.dtype = BPTT_FLOAT32;
    REFUSED(BPTT_ERR_ARGUMENT, bptt_model_create(&options, &layers, NULL, &model));
    layers.dtype = BPTT_FLOAT64;
    OK(bptt_model_create(&options, &layers, NULL, &model));
    OK(bptt_model_free(model));
  }
}

static void check_descriptions(void) {
  bptt_loss_info info;
  int32_t k;
  for (k = 0; k < 4; ++k) {
    OK(bptt_describe_loss((bptt_loss)(k + 1), &info, sizeof info));
    REQUIRE(*info.title && info.classes == (k == 0) && info.unit_interval == (k == 2));
  }
  REFUSED(BPTT_ERR_RANGE, bptt_describe_loss((bptt_loss)0, &info, sizeof info));
  REFUSED(BPTT_ERR_RANGE, bptt_describe_loss((bptt_loss)5, &info, sizeof info));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_describe_loss(BPTT_MSE, NULL, sizeof info));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_describe_loss(BPTT_MSE, &info, 8));
}

/* The passes forward, output gradient and backward must return the gradient of
 * bptt_model_gradients (the readout's sums have another order); each derivative is also compared
 * with central differences of the loss. */
static void check_output_gradient(bptt_loss loss) {
  const int64_t lengths[N] = {2, T, 3};
  double y[T * N * O], dy[T * N * O], value, above, below, worst = 0;
  bptt_model* model = new_model(loss);
  bptt_backward backward;
  bptt_tape* tape;
  int64_t i, t, n;
  reset(loss);
  sequence.lengths = lengths;
  OK(bptt_model_gradients(model, &sequence, &target, NULL, NULL, first, 0, &step));
  outputs = outputs_to(y, N, O); /* as [N, T, O] */
  outputs.y_stride_t = O;
  outputs.y_stride_n = T * O;
  OK(bptt_model_forward(model, &sequence, &outputs, &tape));
  for (t = lengths[0]; t < T; ++t) y[t * O] = NAN; /* outputs without a target are not read */
  memcpy(dy, y, sizeof y);
  outputs.y = dy;
  sequence.x = NULL;
  OK(bptt_model_output_gradient(model, &sequence, &target, &outputs, &value));
  REQUIRE(value == step.loss);
  backward = backward_from(dy, N, O, second);
  backward.dy_stride_t = O;
  backward.dy_stride_n = T * O;
  OK(bptt_model_backward(model, tape, &backward));
  for (i = 0; i < MOST; ++i) REQUIRE(fabs(first[i] - second[i]) <= 1e-15);
  OK(bptt_tape_free(tape));
  for (n = 0; n < N; ++n) {
    for (t = 0; t < T; ++t) {
      for (i = n * T * O + t * O; i < n * T * O + (t + 1) * O; ++i) {
        double moved[T * N * O];
        if (t >= lengths[n]) {
          REQUIRE(dy[i] == 0);
          continue;
        }
        outputs.y = moved;
        memcpy(moved, y, sizeof y);
        moved[i] += 1e-5;
        OK(bptt_model_output_gradient(model, &sequence, &target, &outputs, &above));
        memcpy(moved, y, sizeof y);
        moved[i] -= 1e-5;
        OK(bptt_model_output_gradient(model, &sequence, &target, &outputs, &below));
        worst = fmax(worst, fabs((above - below) / 2e-5 - dy[i]));
      }
    }
  }
  REQUIRE(worst < 1e-9);
  outputs.y = dy;
  OK(bptt_model_output_gradient(model, &sequence, &target, &outputs, NULL));
  outputs.y = goal;
  target.weights = goal;
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_output_gradient(model, &sequence, &target, &outputs, &value));
  outputs.y = NULL;
  target.weights = NULL;
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_output_gradient(model, &sequence, &target, &outputs, &value));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_output_gradient(model, &sequence, &target, NULL, &value));
  outputs.y = dy;
  sequence.time = 0;
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_output_gradient(model, &sequence, &target, &outputs, &value));
  sequence.time = T - 1; /* below a length */
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_output_gradient(model, &sequence, &target, &outputs, &value));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_output_gradient(model, &sequence, NULL, &outputs, &value));
  OK(bptt_model_free(model));
  printf("loss %d: gradient of the outputs, worst difference %.1e\n", (int)loss, worst);
}

#define EACH_CALL(status)                                                                   \
  do {                                                                                      \
    REFUSED(status, bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));   \
    REFUSED(status,                                                                         \
            bptt_model_gradients(model, &sequence, &target, NULL, NULL, second, 0, &step)); \
    REFUSED(status, bptt_model_evaluate(model, &sequence, &target, NULL, &loss));           \
  } while (0)

static void check_targets(void) {
  const double bad[] = {-1, NAN, INFINITY};
  bptt_model *model = new_model(BPTT_BINARY_CROSS_ENTROPY), *entropy;
  bptt_params* params;
  double loss, zeros[N * T] = {0};
  int64_t count, taken, skipped;
  size_t k;
  OK(bptt_model_params(model, &params));
  OK(bptt_params_count(params, NULL, &count));
  OK(bptt_params_get(params, values));
  for (k = 0; k < 3; ++k) {
    const double kept = weights[4];
    reset(BPTT_BINARY_CROSS_ENTROPY);
    weights[4] = bad[k];
    EACH_CALL(BPTT_ERR_ARGUMENT);
    weights[4] = kept;
    goal[4] = k ? bad[k] : 1.5;
    EACH_CALL(BPTT_ERR_ARGUMENT);
    goal[4] = 0.5;
  }
  target.weights = zeros;
  EACH_CALL(BPTT_ERR_ARGUMENT);
  reset(BPTT_BINARY_CROSS_ENTROPY);
  target.weights_stride_t = INT64_MAX;
  EACH_CALL(BPTT_ERR_MEMORY);
  reset(BPTT_BINARY_CROSS_ENTROPY);
  target.classes = classes;
  EACH_CALL(BPTT_ERR_ARGUMENT);
  /* Results that overlap inputs or each other. */
  reset(BPTT_BINARY_CROSS_ENTROPY);
  outputs.hn = weights;
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_train_step(model, &sequence, &target, &outputs, NULL, &step));
  outputs.hn = goal;
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, &sequence, &target, &outputs, NULL, second, 0, &step));
  outputs.hn = second + 1;
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, &sequence, &target, &outputs, NULL, second, 0, &step));
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, &sequence, &target, NULL, NULL, x, 0, &step));
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, &sequence, &target, NULL, NULL, goal, 0, &step));
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_model_gradients(model, &sequence, &target, NULL, NULL, second, 2, &step));
  outputs = outputs_to(goal, N, O);
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_evaluate(model, &sequence, &target, &outputs, &loss));
  outputs.y = NULL;
  outputs.hn = weights;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_evaluate(model, &sequence, &target, &outputs, &loss));
  OK(bptt_params_get(params, second));
  OK(bptt_model_steps(model, &taken, &skipped));
  REQUIRE(taken == 0 && skipped == 0 && !memcmp(values, second, (size_t)count * sizeof *values));
  OK(bptt_model_free(model));
  model = entropy = new_model(BPTT_CROSS_ENTROPY);
  reset(BPTT_CROSS_ENTROPY);
  for (k = 0; k < 3; ++k) {
    const int64_t none[] = {-100, O, INT64_MIN}, kept = classes[4];
    classes[4] = none[k];
    EACH_CALL(BPTT_ERR_RANGE);
    classes[4] = kept;
  }
  for (k = 0; k < T * N; ++k) classes[k] = -1;
  EACH_CALL(BPTT_ERR_ARGUMENT);
  OK(bptt_model_free(entropy));
}

int main(void) {
  const bptt_loss losses[] = {BPTT_CROSS_ENTROPY, BPTT_MSE, BPTT_BINARY_CROSS_ENTROPY, BPTT_HUBER};
  int i;
  for (i = 0; i < T * N * I; ++i) x[i] = random_number();
  for (i = 0; i < T * N * O; ++i) goal[i] = (random_number() + 1) / 2;
  for (i = 0; i < T * N; ++i) {
    weights[i] = i % 4 ? random_number() + 1 : 0;
    classes[i] = i % 5 ? (int64_t)(random_bits() % O) : -1;
  }
  for (i = 0; i < 4; ++i) {
    check_gradient(losses[i]);
    check_halves(losses[i]);
    check_output_gradient(losses[i]);
  }
  check_options();
  check_descriptions();
  check_targets();
  printf("%d refusals\n", refusals);
  return 0;
}
