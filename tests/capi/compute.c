/* compute.c: layers and models that multiply numbers rounded to bfloat16. */
#include "structs.h"

enum { T = 20, N = 5, I = 7, H = 33, V = 6, O = 3 };

static bptt_layer_options options_of(bptt_cell cell, bptt_compute compute) {
  bptt_layer_options options = layer_of(cell, BPTT_FLOAT32, I, H);
  REQUIRE(options.compute == BPTT_COMPUTE_DTYPE);
  options.compute = compute;
  return options;
}

static void check_refusals(void) {
  bptt_layer_options options = options_of(BPTT_GRU, BPTT_COMPUTE_BFLOAT16);
  bptt_error error;
  bptt_layer* layer;
  options.dtype = BPTT_FLOAT64;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
  OK(bptt_last_error(&error, sizeof error));
  REQUIRE(strcmp(error.argument, "compute") == 0 && strstr(error.text, "BPTT_FLOAT32"));
  options.dtype = BPTT_FLOAT32;
  options.compute = (bptt_compute)2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
  options.compute = (bptt_compute)-1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
}

/* Return y [T, N, H] and the gradients [P] of sum dy y; the caller frees them. */
static float* run_layer(bptt_cell cell, bptt_compute compute, const float* x, const float* dy,
                        float* y, int64_t* count) {
  const bptt_layer_options options = options_of(cell, compute);
  bptt_sequence sequence;
  bptt_outputs outputs;
  bptt_backward backward;
  bptt_params* params;
  bptt_layer* layer;
  bptt_tape* tape;
  float* gradients;
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_layer_params(layer, &params));
  OK(bptt_params_count(params, NULL, count));
  gradients = malloc((size_t)*count * sizeof *gradients);
  REQUIRE(gradients);
  sequence = values_over(T, N, x, I);
  outputs = outputs_to(y, N, H);
  OK(bptt_layer_forward(layer, &sequence, &outputs, &tape));
  backward = backward_from(dy, N, H, gradients);
  OK(bptt_layer_backward(layer, tape, &backward));
  OK(bptt_tape_free(tape));
  OK(bptt_layer_free(layer));
  return gradients;
}

static double distance(const float* a, const float* b, int64_t count) {
  double largest = 0, difference = 0;
  int64_t i;
  for (i = 0; i < count; ++i) {
    largest = fmax(largest, fabs(b[i]));
    difference = fmax(difference, fabs((double)a[i] - b[i]));
  }
  return difference / largest;
}

static void check_layer(bptt_cell cell) {
  static float x[T * N * I], dy[T * N * H], rounded[T * N * H], exact[T * N * H];
  float *gradients, *wanted;
  double of_y, of_gradients;
  int64_t count, i;
  for (i = 0; i < T * N * I; ++i) x[i] = (float)random_number();
  for (i = 0; i < T * N * H; ++i) dy[i] = (float)random_number();
  wanted = run_layer(cell, BPTT_COMPUTE_DTYPE, x, dy, exact, &count);
  gradients = run_layer(cell, BPTT_COMPUTE_BFLOAT16, x, dy, rounded, &count);
  of_y = distance(rounded, exact, T * N * H);
  of_gradients = distance(gradients, wanted, count);
  REQUIRE(of_y > 1e-5 && of_y < 1e-2);
  REQUIRE(of_gradients > 1e-5 && of_gradients < 5e-3);
  printf("cell %d: bfloat16 differs by %.1e, its gradients by %.1e\n", (int)cell, of_y,
         of_gradients);
  free(gradients);
  free(wanted);
}

/* A model with compute="bfloat16" learns, keeps the option in a file, and its stream computes
 * the same as the model. */
static void check_model(bptt_cell cell) {
  static int64_t tokens[T * N], classes[T * N];
  static float out[T * N * V], step_out[V];
  bptt_model_options options;
  bptt_layer_options layers = options_of(cell, BPTT_COMPUTE_BFLOAT16), kept;
  bptt_optimizer_options rule;
  bptt_sequence sequence;
  bptt_outputs outputs;
  bptt_target target;
  bptt_stream* stream;
  bptt_step step;
  bptt_model *model, *copy;
  void* bytes;
  size_t size;
  double first = 0, loss;
  /* In either arithmetic minGRU, whose gates do not see h, needs 1300 steps to find the token before. */
  const int steps = cell == BPTT_MINGRU ? 1600 : 400;
  int i;
  OK(bptt_model_options_init(&options, sizeof options));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  layers.input_size = 0;
  options.vocab_size = V;
  options.embedding_size = O;
  options.output_size = V;
  rule.lr = 0.01;
  options.clip_norm = 1;
  OK(bptt_model_create(&options, &layers, &rule, &model));
  sequence = tokens_over(T, N, tokens);
  target = classes_at(classes, N);
  step = new_step();
  for (i = 0; i < steps; ++i) {
    int k;
    for (k = 0; k < T * N; ++k) {
      tokens[k] = random_bits() % V;
      classes[k] = k >= N ? tokens[k - N] : 0;
    }
    OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    if (i == 0) first = step.loss;
  }
  REQUIRE(!step.skipped && step.loss < 0.05 && first > 1);
  OK(bptt_model_serialize(model, NULL, 0, &size));
  bytes = malloc(size);
  REQUIRE(bytes);
  OK(bptt_model_serialize(model, bytes, size, &size));
  OK(bptt_model_deserialize(bytes, size, &copy));
  free(bytes);
  OK(bptt_model_get_layer_options(copy, &kept, sizeof kept));
  REQUIRE(kept.compute == BPTT_COMPUTE_BFLOAT16);
  outputs = outputs_to(out, N, V);
  OK(bptt_model_evaluate(copy, &sequence, &target, &outputs, &loss));
  OK(bptt_stream_create(model, NULL, &stream));
  for (i = 0; i < T; ++i) {
    OK(bptt_stream_step_token(stream, tokens[i * N], step_out));
    REQUIRE(distance(step_out, out + i * N * V, V) < 1e-2);
  }
  printf("cell %d: loss %.3f -> %.4f in bfloat16\n", (int)cell, first, step.loss);
  OK(bptt_stream_free(stream));
  OK(bptt_model_free(copy));
  OK(bptt_model_free(model));
}

int main(void) {
  const bptt_cell cells[] = {BPTT_RNN, BPTT_LSTM, BPTT_GRU, BPTT_MINGRU};
  int i;
  check_refusals();
  for (i = 0; i < 4; ++i) {
    check_layer(cells[i]);
    check_model(cells[i]);
  }
  printf("%d refusals\n", refusals);
  return 0;
}
