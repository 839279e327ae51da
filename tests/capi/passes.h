/* passes.h: passes of float64 layers over ragged batches, and comparisons of their results. */
#ifndef PASSES_H
#define PASSES_H

#include "structs.h"

enum { T = 9, N = 4, I = 3, H = 5, MOST = 4000 };

static const int64_t lengths[N] = {6, 9, 1, 4};
static const bptt_cell cells[] = {BPTT_RNN, BPTT_LSTM, BPTT_GRU, BPTT_MINGRU};

/* The arguments and results of one forward and one backward pass. */
typedef struct pass {
  double x[T * N * I], dy[T * N * 2 * H];
  double y[T * N * 2 * H], hn[4 * N * H], cn[4 * N * H];
  double gradients[MOST], dx[T * N * I], dh0[4 * N * H], dc0[4 * N * H], flow[4 * T];
  bptt_flow norms; /* points to flow */
} pass;

typedef struct net {
  bptt_layer_options options;
  bptt_layer* layer;
  bptt_params* params;
  int64_t count, D, R;
} net;

static inline net new_net(bptt_cell cell, int64_t layers, int32_t bidirectional) {
  net made;
  made.options = layer_of(cell, BPTT_FLOAT64, I, H);
  made.options.num_layers = layers;
  made.options.bidirectional = bidirectional;
  made.layer = NULL;
  return made;
}

static inline void create(net* it) {
  OK(bptt_layer_create(&it->options, &it->layer));
  OK(bptt_layer_params(it->layer, &it->params));
  OK(bptt_params_count(it->params, NULL, &it->count));
  it->D = it->options.bidirectional ? 2 : 1;
  it->R = it->options.proj_size ? it->options.proj_size : H;
  REQUIRE(it->count <= MOST);
}

static inline pass* new_pass(void) {
  pass* made = calloc(1, sizeof *made);
  int k;
  REQUIRE(made);
  for (k = 0; k < T * N * I; ++k) made->x[k] = random_number();
  for (k = 0; k < T * N * 2 * H; ++k) made->dy[k] = random_number();
  return made;
}

static inline bptt_sequence sequence_of(const pass* data, int64_t steps) {
  bptt_sequence sequence;
  OK(bptt_sequence_init(&sequence, sizeof sequence));
  REQUIRE(!sequence.lengths && !sequence.resets && sequence.draw == 0);
  sequence.time = steps;
  sequence.batch = N;
  sequence.x = data->x;
  sequence.x_stride_t = N * I;
  sequence.x_stride_n = I;
  return sequence;
}

static inline bptt_backward backward_of(const net* it, pass* data) {
  const int lstm = it->options.cell == BPTT_LSTM;
  bptt_backward backward;
  OK(bptt_backward_init(&backward, sizeof backward));
  REQUIRE(backward.truncation_k1 == 0 && backward.truncation_k2 == 0 && backward.omega == 0);
  backward.dy = data->dy;
  backward.dy_stride_t = N * it->D * it->R;
  backward.dy_stride_n = it->D * it->R;
  backward.gradients = data->gradients;
  backward.dx = data->dx;
  backward.dx_stride_t = N * I;
  backward.dx_stride_n = I;
  backward.dh0 = data->dh0;
  backward.dc0 = lstm ? data->dc0 : NULL;
  OK(bptt_flow_init(&data->norms, sizeof data->norms));
  data->norms.h = data->flow;
  backward.flow = &data->norms;
  return backward;
}

static inline bptt_outputs outputs_of(const net* it, pass* data) {
  bptt_outputs outputs = outputs_to(data->y, N, it->D * it->R);
  outputs.hn = data->hn;
  outputs.cn = it->options.cell == BPTT_LSTM ? data->cn : NULL;
  return outputs;
}

static inline bptt_tape* forward(const net* it, pass* data, const bptt_sequence* sequence) {
  const bptt_outputs outputs = outputs_of(it, data);
  bptt_tape* tape;
  OK(bptt_layer_forward(it->layer, sequence, &outputs, &tape));
  return tape;
}

static inline void run(const net* it, pass* data, const bptt_sequence* sequence,
                       const bptt_backward* backward) {
  bptt_tape* tape = forward(it, data, sequence);
  OK(bptt_layer_backward(it->layer, tape, backward));
  OK(bptt_tape_free(tape));
}

static double worst_difference = 0;
static inline void same(const double* a, const double* b, int64_t count, const char* what) {
  int64_t k;
  for (k = 0; k < count; ++k) {
    const double difference = fabs(a[k] - b[k]);
    if (!(difference <= 1e-12)) {
      fprintf(stderr, "%s: element %d: %.17g, not %.17g\n", what, (int)k, a[k], b[k]);
      exit(1);
    }
    if (difference > worst_difference) worst_difference = difference;
  }
}

#endif
