/* cancel.c: the cancel callback: a long call calls it regularly and stops when it returns
 * nonzero. The test counts calls; it measures no time. */
#include "structs.h"

enum { T = 1000, N = 4, I = 8, H = 32, LEAST = T * N / 512 };

static int asked, last; /* number of the call that returns nonzero; 0: none */

static int callback(void* user) {
  (void)user;
  return ++asked == last;
}

static bptt_layer* layer;
static bptt_model* model;
static bptt_tape *tape, *model_tape;
static bptt_sequence sequence;
static float x[T * N * I], y[T * N * H], out[T * N];
static float gradients[100000];
static double norms[3 * T], exponents[2 * H], values[2 * H];

static bptt_status forward(void) {
  bptt_outputs outputs = outputs_to(y, N, H);
  return bptt_layer_forward(layer, &sequence, &outputs, NULL);
}

static bptt_status remembered(void) {
  bptt_tape* another = NULL;
  const bptt_status status = bptt_layer_forward(layer, &sequence, NULL, &another);
  REQUIRE((status == BPTT_OK) == (another != NULL));
  OK(bptt_tape_free(another));
  return status;
}

static bptt_status backward(void) {
  bptt_backward call = backward_from(y, N, H, gradients);
  return bptt_layer_backward(layer, tape, &call);
}

static bptt_status seeds(void) {
  static const int64_t times[3] = {T - 1, T - 1, T - 2}, outputs[3] = {0, 1, 2};
  bptt_seeds call;
  OK(bptt_seeds_init(&call, sizeof call));
  call.count = 3;
  call.times = times;
  call.outputs = outputs;
  call.dx_norms = norms;
  return bptt_layer_backward_seeds(layer, tape, &call);
}

static bptt_status spectrum(void) {
  bptt_spectrum call;
  OK(bptt_spectrum_init(&call, sizeof call));
  call.exponents = exponents;
  call.log_singular_values = values;
  return bptt_layer_spectrum(layer, tape, &call);
}

static bptt_status evaluate(void) {
  bptt_target target = values_at(out, N, 1);
  double loss;
  return bptt_model_evaluate(model, &sequence, &target, NULL, &loss);
}

static bptt_status train(void) {
  bptt_target target = values_at(out, N, 1);
  bptt_step step;
  int64_t before = 0, after = 0;
  bptt_status status;
  step = new_step();
  OK(bptt_model_steps(model, &before, NULL));
  status = bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step);
  OK(bptt_model_steps(model, &after, NULL));
  REQUIRE(after - before == (status == BPTT_OK));
  return status;
}

static void stops(const char* name, bptt_status (*call)(void)) {
  int all, k, no[4];
  asked = last = 0;
  OK(call());
  all = asked;
  if (all < LEAST) {
    fprintf(stderr, "%s: asked %d times only\n", name, all);
    exit(1);
  }
  no[0] = 1;
  no[1] = 2;
  no[2] = all / 2;
  no[3] = all;
  for (k = 0; k < 4; ++k) {
    asked = 0;
    last = no[k];
    refused(BPTT_ERR_CANCELLED, call(), name, __FILE__, __LINE__);
    if (asked != last) {
      fprintf(stderr, "%s: asked %d times, said no at %d\n", name, asked, last);
      exit(1);
    }
  }
  asked = last = 0;
  OK(call());
  REQUIRE(asked == all);
}

int main(void) {
  bptt_layer_options options = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  bptt_model_options model_options;
  int k, threads;
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_model_options_init(&model_options, sizeof model_options));
  model_options.output_size = 1;
  model_options.loss = BPTT_MSE;
  OK(bptt_model_create(&model_options, &options, NULL, &model));
  for (k = 0; k < T * N * I; ++k) x[k] = (float)random_number();
  sequence = values_over(T, N, x, I);
  OK(bptt_layer_forward(layer, &sequence, NULL, &tape));
  OK(bptt_model_forward(model, &sequence, NULL, &model_tape));
  OK(bptt_set_cancel(callback, NULL));
  for (threads = 1; threads <= 3; threads += 2) {
    OK(bptt_set_num_threads(threads));
    stops("bptt_layer_forward", forward);
    stops("bptt_layer_forward", remembered);
    stops("bptt_layer_backward", backward);
    stops("bptt_layer_backward_seeds", seeds);
    stops("bptt_layer_spectrum", spectrum);
    stops("bptt_model_evaluate", evaluate);
    stops("bptt_model_train_step", train);
  }
  OK(bptt_set_cancel(NULL, NULL));
  OK(bptt_tape_free(tape));
  OK(bptt_tape_free(model_tape));
  OK(bptt_layer_free(layer));
  OK(bptt_model_free(model));
  printf("cancel ok\n");
  return 0;
}
