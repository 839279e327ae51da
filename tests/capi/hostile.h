/* hostile.h: valid handles of every kind, for programs that pass invalid arguments, and a final
 * check that the valid objects are unharmed. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "structs.h"

enum { T = 3, N = 2, I = 4, H = 5, O = 3 };

static float x[T * N * I], y[T * N * H], out[T * N * O], goal[T * N * O], gradients[1000];

/* Two handles of bptt_params and some other types exist. */
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
static bptt_flow flow;
static bptt_step step;
static bptt_seeds seeds;
static bptt_spectrum spectrum;
static double exponents[H];
static const int64_t seed_times[1] = {0}, seed_outputs[1] = {0};

/* Reset the structs to those of valid calls. */
static void reset(void) {
  sequence = values_over(T, N, x, I);
  outputs = outputs_to(y, N, H);
  backward = backward_from(y, N, H, gradients);
  target = values_at(goal, N, O);
  OK(bptt_flow_init(&flow, sizeof flow));
  backward.flow = &flow;
  step = new_step();
  OK(bptt_seeds_init(&seeds, sizeof seeds));
  seeds.count = 1;
  seeds.times = seed_times;
  seeds.outputs = seed_outputs;
  OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
  spectrum.exponents = exponents;
}

static bptt_layer* new_layer(void) {
  bptt_layer_options options = layer_of(BPTT_GRU, BPTT_FLOAT32, I, H);
  bptt_layer* made;
  OK(bptt_layer_create(&options, &made));
  return made;
}

static bptt_model* new_model(void) {
  const bptt_model_options options = regressor_of(O);
  const bptt_layer_options layers = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  bptt_model* made;
  OK(bptt_model_create(&options, &layers, NULL, &made));
  return made;
}

static void begin(void) {
  bptt_optimizer_options rule;
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
  OK(bptt_stream_create(model, NULL, &stream));
  OK(bptt_layer_forward(layer, &sequence, &outputs, &tape));
  outputs.y = NULL;
  OK(bptt_model_forward(model, &sequence, &outputs, &model_tape));
  reset();
}

static void end(void) {
  reset();
  OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
  OK(bptt_layer_backward(layer, tape, &backward));
  OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
  OK(bptt_optimizer_step(optimizer, gradients, NULL));
  OK(bptt_tape_free(tape));
  OK(bptt_tape_free(model_tape));
  OK(bptt_layer_free(layer));
  OK(bptt_optimizer_free(optimizer)); /* it outlives its layer */
  OK(bptt_model_free(model));
  OK(bptt_stream_step(stream, x, out));
  OK(bptt_stream_free(stream));
  printf("%d refusals\n", refusals);
}

#endif
