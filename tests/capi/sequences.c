/* sequences.c: lengths, resets, both directions, truncated BPTT, random draws and what a tape
 * remembers, through the C API: each against passes that do without it. */
#include "check.h"

enum { T = 9, N = 4, I = 3, H = 5, MOST = 4000 };

static const int64_t lengths[N] = {6, 9, 1, 4};

/* What goes into and comes out of one forward and one backward pass. */
typedef struct pass {
  double x[T * N * I], dy[T * N * 2 * H];
  double y[T * N * 2 * H], hn[4 * N * H], cn[4 * N * H];
  double gradients[MOST], dx[T * N * I], dh0[4 * N * H], dc0[4 * N * H], flow[4 * T];
} pass;

typedef struct net {
  bptt_layer_options options;
  bptt_layer* layer;
  bptt_params* params;
  int64_t count, D, R;
} net;

static net new_net(bptt_cell cell, int64_t layers, int32_t bidirectional) {
  net made;
  OK(bptt_layer_options_init(&made.options, sizeof made.options));
  made.options.cell = cell;
  made.options.dtype = BPTT_FLOAT64;
  made.options.input_size = I;
  made.options.hidden_size = H;
  made.options.num_layers = layers;
  made.options.bidirectional = bidirectional;
  made.layer = NULL;
  return made;
}

static void create(net* it) {
  OK(bptt_layer_create(&it->options, &it->layer));
  OK(bptt_layer_params(it->layer, &it->params));
  OK(bptt_params_count(it->params, NULL, &it->count));
  it->D = it->options.bidirectional ? 2 : 1;
  it->R = it->options.proj_size ? it->options.proj_size : H;
  REQUIRE(it->count <= MOST);
}

static pass* new_pass(void) {
  pass* made = calloc(1, sizeof *made);
  int k;
  REQUIRE(made);
  for (k = 0; k < T * N * I; ++k) made->x[k] = random_number();
  for (k = 0; k < T * N * 2 * H; ++k) made->dy[k] = random_number();
  return made;
}

static bptt_sequence sequence_of(const pass* data, int64_t steps) {
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

static bptt_backward backward_of(const net* it, pass* data) {
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
  backward.flow = data->flow;
  return backward;
}

static bptt_outputs outputs_of(const net* it, pass* data) {
  bptt_outputs outputs;
  OK(bptt_outputs_init(&outputs, sizeof outputs));
  outputs.y = data->y;
  outputs.y_stride_t = N * it->D * it->R;
  outputs.y_stride_n = it->D * it->R;
  outputs.hn = data->hn;
  outputs.cn = it->options.cell == BPTT_LSTM ? data->cn : NULL;
  return outputs;
}

static bptt_tape* forward(const net* it, pass* data, const bptt_sequence* sequence) {
  const bptt_outputs outputs = outputs_of(it, data);
  bptt_tape* tape;
  OK(bptt_layer_forward(it->layer, sequence, &outputs, &tape));
  return tape;
}

static void run(const net* it, pass* data, const bptt_sequence* sequence,
                const bptt_backward* backward) {
  bptt_tape* tape = forward(it, data, sequence);
  OK(bptt_layer_backward(it->layer, tape, backward));
  OK(bptt_tape_free(tape));
}

static double worst_difference = 0;
static void same(const double* a, const double* b, int64_t count, const char* what) {
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

/* What lies beyond a length is not read, and a padded batch gives what its sequences give alone. */
static void check_lengths(bptt_cell cell, int32_t bidirectional) {
  net it = new_net(cell, 2, bidirectional);
  pass *padded = new_pass(), *alone = new_pass();
  bptt_sequence sequence;
  bptt_backward backward;
  static double sum[MOST];
  int64_t n, t, k, features, walks;
  create(&it);
  features = it.D * it.R;
  walks = 2 * it.D;
  memcpy(alone->x, padded->x, sizeof alone->x);
  memcpy(alone->dy, padded->dy, sizeof alone->dy);
  for (n = 0; n < N; ++n) {
    for (t = lengths[n]; t < T; ++t) {
      for (k = 0; k < I; ++k) padded->x[(t * N + n) * I + k] = NAN;
      for (k = 0; k < features; ++k) padded->dy[(t * N + n) * features + k] = NAN;
    }
  }
  sequence = sequence_of(padded, T);
  sequence.lengths = lengths;
  backward = backward_of(&it, padded);
  run(&it, padded, &sequence, &backward);
  memset(sum, 0, sizeof sum);
  for (n = 0; n < N; ++n) {
    sequence = sequence_of(alone, lengths[n]);
    sequence.batch = 1;
    sequence.x = alone->x + n * I;
    backward = backward_of(&it, alone);
    backward.dy = alone->dy + n * features;
    backward.dx_stride_t = I;
    backward.flow = NULL;
    run(&it, alone, &sequence, &backward);
    for (k = 0; k < it.count; ++k) sum[k] += alone->gradients[k];
    for (t = 0; t < T; ++t) {
      const double* y = padded->y + (t * N + n) * features;
      if (t < lengths[n]) {
        same(y, alone->y + t * N * features, features, "y of a padded batch");
        same(padded->dx + (t * N + n) * I, alone->dx + t * I, I, "dx of a padded batch");
      } else {
        for (k = 0; k < features; ++k) REQUIRE(y[k] == 0);
        for (k = 0; k < I; ++k) REQUIRE(padded->dx[(t * N + n) * I + k] == 0);
      }
    }
    for (k = 0; k < walks; ++k) {
      same(padded->hn + (k * N + n) * it.R, alone->hn + k * it.R, it.R, "hn of a padded batch");
      same(padded->dh0 + (k * N + n) * it.R, alone->dh0 + k * it.R, it.R, "dh0");
      if (cell != BPTT_LSTM) continue;
      same(padded->cn + (k * N + n) * H, alone->cn + k * H, H, "cn of a padded batch");
      same(padded->dc0 + (k * N + n) * H, alone->dc0 + k * H, H, "dc0");
    }
  }
  same(padded->gradients, sum, it.count, "gradients of a padded batch");
  OK(bptt_layer_free(it.layer));
  free(padded);
  free(alone);
}

/* One layer of two directions is two layers of one, the second on the sequences read backward. */
static void check_directions(bptt_cell cell) {
  net both = new_net(cell, 1, 1), one = new_net(cell, 1, 0);
  pass *data = new_pass(), *half = new_pass();
  static double params[MOST];
  bptt_sequence sequence;
  bptt_backward backward;
  int64_t d, n, t, k;
  create(&both);
  create(&one);
  REQUIRE(both.count == 2 * one.count);
  OK(bptt_params_get(both.params, params));
  sequence = sequence_of(data, T);
  sequence.lengths = lengths;
  backward = backward_of(&both, data);
  run(&both, data, &sequence, &backward);
  for (d = 0; d < 2; ++d) {
    static double dx[2][T * N * I];
    OK(bptt_params_set(one.params, params + d * one.count));
    memset(half->x, 0, sizeof half->x);
    for (n = 0; n < N; ++n) {
      for (t = 0; t < lengths[n]; ++t) {
        const int64_t from = d ? lengths[n] - 1 - t : t;
        memcpy(half->x + (t * N + n) * I, data->x + (from * N + n) * I, I * sizeof(double));
        memcpy(half->dy + (t * N + n) * H, data->dy + (from * N + n) * 2 * H + d * H,
               H * sizeof(double));
      }
    }
    sequence = sequence_of(half, T);
    sequence.lengths = lengths;
    backward = backward_of(&one, half);
    run(&one, half, &sequence, &backward);
    same(data->gradients + d * one.count, half->gradients, one.count, "gradients of a direction");
    same(data->hn + d * N * H, half->hn, N * H, "hn of a direction");
    same(data->dh0 + d * N * H, half->dh0, N * H, "dh0 of a direction");
    for (n = 0; n < N; ++n) {
      for (t = 0; t < lengths[n]; ++t) {
        const int64_t from = d ? lengths[n] - 1 - t : t;
        same(data->y + (from * N + n) * 2 * H + d * H, half->y + (t * N + n) * H, H, "y");
        memcpy(dx[d] + (from * N + n) * I, half->dx + (t * N + n) * I, I * sizeof(double));
      }
    }
    if (d == 0) continue;
    for (n = 0; n < N; ++n) {
      for (t = 0; t < lengths[n]; ++t) {
        for (k = 0; k < I; ++k) dx[0][(t * N + n) * I + k] += dx[1][(t * N + n) * I + k];
        same(data->dx + (t * N + n) * I, dx[0] + (t * N + n) * I, I, "dx of both directions");
      }
    }
  }
  OK(bptt_layer_free(both.layer));
  OK(bptt_layer_free(one.layer));
  free(data);
  free(half);
}

/* Windows that hold everything are no truncation; others are passes of their own, each from the state
 * before its first step and with the losses of its last k1 steps (of the rest at the end) alone. */
static void check_truncation(bptt_cell cell) {
  static const int64_t reaches[][2] = {{4, 4}, {3, 3}, {1, 1}, {2, 5}, {4, 6}, {1, T}};
  net it = new_net(cell, 2, 0);
  pass *whole = new_pass(), *windows = new_pass(), *part = new_pass();
  static double sum[MOST], dx[T * N * I], dh0[2 * N * H];
  static double h[2][T * N * H], c[2][T * N * H], before[2][2 * N * H];
  const size_t state = N * H * sizeof(double);
  bptt_sequence sequence;
  bptt_backward backward;
  bptt_tape* tape;
  int64_t begin, end, from, layer, k;
  size_t reach;
  create(&it);
  memcpy(windows->x, whole->x, sizeof whole->x);
  memcpy(windows->dy, whole->dy, sizeof whole->dy);
  sequence = sequence_of(whole, T);
  backward = backward_of(&it, whole);
  run(&it, whole, &sequence, &backward);

  tape = forward(&it, windows, &sequence);
  backward = backward_of(&it, windows);
  backward.truncation_k1 = backward.truncation_k2 = T;
  OK(bptt_layer_backward(it.layer, tape, &backward));
  same(windows->gradients, whole->gradients, it.count, "gradients of one window");
  same(windows->dx, whole->dx, T * N * I, "dx of one window");
  same(windows->dh0, whole->dh0, 2 * N * H, "dh0 of one window");
  same(windows->flow, whole->flow, 2 * T, "flow of one window");

  backward.flow = NULL;
  for (layer = 0; layer < 2; ++layer) {
    OK(bptt_tape_read(tape, BPTT_TAPE_H, layer, 0, h[layer]));
    if (cell == BPTT_LSTM) OK(bptt_tape_read(tape, BPTT_TAPE_C, layer, 0, c[layer]));
  }
  for (reach = 0; reach < sizeof reaches / sizeof reaches[0]; ++reach) {
    const int64_t k1 = reaches[reach][0], k2 = reaches[reach][1];
    backward.truncation_k1 = k1;
    backward.truncation_k2 = k2;
    OK(bptt_layer_backward(it.layer, tape, &backward));
    memset(sum, 0, sizeof sum);
    memset(dx, 0, sizeof dx);
    memset(dh0, 0, sizeof dh0);
    for (from = 0; from < T; from += k1) {
      bptt_sequence window;
      bptt_backward back;
      end = from + k1 < T ? from + k1 : T;
      begin = from + k1 > k2 ? from + k1 - k2 : 0;
      window = sequence_of(part, end - begin);
      window.x = whole->x + begin * N * I;
      if (begin) {
        for (layer = 0; layer < 2; ++layer) {
          memcpy(before[0] + layer * N * H, h[layer] + (begin - 1) * N * H, state);
          memcpy(before[1] + layer * N * H, c[layer] + (begin - 1) * N * H, state);
        }
        window.h0 = before[0];
        window.c0 = cell == BPTT_LSTM ? before[1] : NULL;
      }
      memset(part->dy, 0, sizeof part->dy);
      for (k = from * N * H; k < end * N * H; ++k) part->dy[k - begin * N * H] = whole->dy[k];
      back = backward_of(&it, part);
      run(&it, part, &window, &back);
      for (k = 0; k < it.count; ++k) sum[k] += part->gradients[k];
      for (k = 0; k < (end - begin) * N * I; ++k) dx[begin * N * I + k] += part->dx[k];
      for (k = 0; begin == 0 && k < 2 * N * H; ++k) dh0[k] += part->dh0[k];
    }
    same(windows->gradients, sum, it.count, "gradients of windows");
    same(windows->dx, dx, T * N * I, "dx of windows");
    same(windows->dh0, dh0, 2 * N * H, "dh0 of windows");
  }
  same(windows->gradients, whole->gradients, it.count, "gradients of windows that reach back to 0");
  OK(bptt_tape_free(tape));
  OK(bptt_layer_free(it.layer));
  free(whole);
  free(windows);
  free(part);
}

/* A reset of every sequence at one step is two passes from zero. */
static void check_resets(bptt_cell cell, int32_t bidirectional) {
  net it = new_net(cell, 1, bidirectional);
  pass *data = new_pass(), *part = new_pass();
  static uint8_t resets[N * T]; /* [N, T], so that strides matter */
  static double sum[MOST];
  bptt_sequence sequence;
  bptt_backward backward;
  int64_t first, k, features;
  enum { AT = 5 };
  create(&it);
  features = it.D * H;
  memset(resets, 0, sizeof resets);
  for (k = 0; k < N; ++k) resets[k * T + AT] = 1;
  sequence = sequence_of(data, T);
  sequence.resets = resets;
  sequence.resets_stride_t = 1;
  sequence.resets_stride_n = T;
  backward = backward_of(&it, data);
  run(&it, data, &sequence, &backward);
  memset(sum, 0, sizeof sum);
  for (first = 0; first < T; first += AT) {
    const int64_t steps = first ? T - AT : AT;
    sequence = sequence_of(part, steps);
    sequence.x = data->x + first * N * I;
    backward = backward_of(&it, part);
    backward.dy = data->dy + first * N * features;
    run(&it, part, &sequence, &backward);
    for (k = 0; k < it.count; ++k) sum[k] += part->gradients[k];
    same(data->y + first * N * features, part->y, steps * N * features, "y around a reset");
    same(data->dx + first * N * I, part->dx, steps * N * I, "dx around a reset");
    if (first) same(data->hn, part->hn, N * H, "hn after a reset");
  }
  same(data->gradients, sum, it.count, "gradients around a reset");
  OK(bptt_layer_free(it.layer));
  free(data);
  free(part);
}

/* A tape holds what the equations say: states and gates of every layer. */
static void check_tape(bptt_cell cell, int32_t coupled) {
  net it = new_net(cell, 2, 1);
  pass* data = new_pass();
  bptt_sequence sequence;
  bptt_tape* tape;
  static double h[T * N * H], c[T * N * H], gates[4][T * N * H];
  const int64_t count = cell == BPTT_RNN ? 0 : cell == BPTT_LSTM && !coupled ? 4 : 3;
  int64_t walk, gate, t, n, u;
  it.options.coupled = coupled;
  create(&it);
  sequence = sequence_of(data, T);
  sequence.lengths = lengths;
  tape = forward(&it, data, &sequence);
  for (walk = 0; walk < 4; ++walk) {
    const int64_t d = walk % 2, step = d ? -1 : 1;
    OK(bptt_tape_read(tape, BPTT_TAPE_H, walk, 0, h));
    if (cell == BPTT_LSTM) OK(bptt_tape_read(tape, BPTT_TAPE_C, walk, 0, c));
    for (gate = 0; gate < count; ++gate)
      OK(bptt_tape_read(tape, BPTT_TAPE_GATE, walk, gate, gates[gate]));
    for (t = 0; t < T; ++t) {
      for (n = 0; n < N; ++n) {
        const int64_t last = d ? 0 : lengths[n] - 1, earlier = t - step;
        const int begins = t == (d ? lengths[n] - 1 : 0);
        for (u = 0; u < H; ++u) {
          const int64_t at = (t * N + n) * H + u, before = (earlier * N + n) * H + u;
          double expected = 0;
          if (t >= lengths[n]) {
            REQUIRE(h[at] == 0);
            for (gate = 0; gate < count; ++gate) REQUIRE(gates[gate][at] == 0);
            if (cell == BPTT_LSTM) REQUIRE(c[at] == 0);
            continue;
          }
          if (walk >= 2) same(&h[at], &data->y[(t * N + n) * 2 * H + d * H + u], 1, "h of a tape");
          if (t == last) same(&h[at], &data->hn[(walk * N + n) * H + u], 1, "last h of a tape");
          if (cell == BPTT_LSTM) {
            const double i = gates[0][at], f = coupled ? 1 - i : gates[1][at],
                         g = gates[coupled ? 1 : 2][at], o = gates[coupled ? 2 : 3][at];
            expected = (begins ? 0 : f * c[before]) + i * g;
            same(&c[at], &expected, 1, "c of a tape");
            expected = o * tanh(c[at]);
            same(&h[at], &expected, 1, "h of a tape by its gates");
            if (t == last) same(&c[at], &data->cn[(walk * N + n) * H + u], 1, "last c of a tape");
          } else if (cell == BPTT_GRU) {
            const double z = gates[1][at];
            expected = (1 - z) * gates[2][at] + (begins ? 0 : z * h[before]);
            same(&h[at], &expected, 1, "h of a tape by its gates");
          }
        }
      }
    }
  }
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_H, 4, 0, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_H, -1, 0, h));
  if (count) {
    REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_GATE, 0, count, h));
    REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_GATE, 0, -1, h));
  } else {
    REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, BPTT_TAPE_GATE, 0, 0, h));
  }
  if (cell != BPTT_LSTM) REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, BPTT_TAPE_C, 0, 0, h));
  OK(bptt_tape_free(tape));
  OK(bptt_layer_free(it.layer));
  free(data);
}

/* The same draw of the same seed is the same pass; others differ; without a tape nothing is drawn. */
static void check_draws(void) {
  net it = new_net(BPTT_GRU, 2, 1), plain = new_net(BPTT_GRU, 2, 1);
  pass *first = new_pass(), *second = new_pass();
  bptt_sequence sequence;
  bptt_outputs outputs;
  const size_t size = sizeof first->y;
  it.options.dropout = 0.4;
  it.options.recurrent_dropout = 0.3;
  create(&it);
  create(&plain);
  sequence = sequence_of(first, T);
  sequence.draw = (uint64_t)1 << 40;
  OK(bptt_tape_free(forward(&it, first, &sequence)));
  OK(bptt_tape_free(forward(&it, second, &sequence)));
  REQUIRE(!memcmp(first->y, second->y, size));
  sequence.draw = 1;
  OK(bptt_tape_free(forward(&it, second, &sequence)));
  REQUIRE(memcmp(first->y, second->y, size));
  outputs = outputs_of(&it, first);
  OK(bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  OK(bptt_tape_free(forward(&plain, second, &sequence)));
  REQUIRE(!memcmp(first->y, second->y, size));
  OK(bptt_layer_free(it.layer));
  OK(bptt_layer_free(plain.layer));
  free(first);
  free(second);
}

/* The regulariser adds its weight times a fixed matrix to dW_hh and leaves all else alone. */
static void check_omega(void) {
  net it = new_net(BPTT_RNN, 1, 0);
  pass* data[3];
  bptt_sequence sequence;
  bptt_backward backward;
  double omega = -1, again = -1, added = 0;
  int64_t k;
  create(&it);
  for (k = 0; k < 3; ++k) {
    data[k] = new_pass();
    if (k) memcpy(data[k]->x, data[0]->x, sizeof data[0]->x);
    if (k) memcpy(data[k]->dy, data[0]->dy, sizeof data[0]->dy);
    sequence = sequence_of(data[k], T);
    sequence.lengths = lengths;
    backward = backward_of(&it, data[k]);
    backward.omega = (double)k;
    backward.omega_value = k == 1 ? &omega : k == 2 ? &again : NULL;
    run(&it, data[k], &sequence, &backward);
  }
  REQUIRE(omega > 0 && omega == again);
  for (k = 0; k < it.count; ++k) {
    const double once = data[1]->gradients[k] - data[0]->gradients[k];
    const double twice = data[2]->gradients[k] - data[0]->gradients[k], expected = 2 * once;
    const int recurrent = k >= H * I && k < H * I + H * H;
    REQUIRE(recurrent || once == 0);
    same(&twice, &expected, 1, "gradient of the regulariser");
    added += fabs(once);
  }
  REQUIRE(added > 1e-6);
  same(data[1]->dx, data[0]->dx, T * N * I, "dx beside the regulariser");
  OK(bptt_layer_free(it.layer));
  for (k = 0; k < 3; ++k) free(data[k]);
}

/* A model's loss, gradient and update do not see padding, of whatever it consists. */
static void check_model(bptt_targets targets) {
  bptt_model_options options;
  bptt_model* models[2];
  static int64_t tokens[2][T * N], classes[2][T * N];
  static double states[2][2 * N * H], values[2][MOST], outputs[2][T * N * I];
  bptt_step steps[2];
  double losses[2];
  int64_t k, t, n, count, walks;
  OK(bptt_model_options_init(&options, sizeof options));
  options.layer.cell = BPTT_LSTM;
  options.layer.dtype = BPTT_FLOAT64;
  options.layer.hidden_size = H;
  options.layer.bidirectional = 1;
  options.layer.dropout = 0.5;
  options.layer.recurrent_dropout = 0.2;
  options.vocab_size = I;
  options.embedding_size = 2;
  options.output_size = I;
  options.targets = targets;
  walks = 2;
  for (t = 0; t < T; ++t) {
    for (n = 0; n < N; ++n) {
      const int inside = t < lengths[n];
      const int counts = inside && (targets == BPTT_EVERY_STEP || t == 0);
      tokens[0][t * N + n] = inside ? (int64_t)(random_bits() % I) : 0;
      classes[0][t * N + n] = (int64_t)(random_bits() % I);
      tokens[1][t * N + n] = inside ? tokens[0][t * N + n] : INT64_MIN;
      classes[1][t * N + n] = counts ? classes[0][t * N + n] : INT64_MAX;
    }
  }
  for (k = 0; k < 2; ++k) {
    bptt_sequence sequence;
    bptt_target target;
    bptt_outputs out;
    bptt_params* params;
    int step;
    OK(bptt_model_create(&options, &models[k]));
    OK(bptt_sequence_init(&sequence, sizeof sequence));
    sequence.time = T;
    sequence.batch = N;
    sequence.tokens = tokens[k];
    sequence.tokens_stride_t = N;
    sequence.tokens_stride_n = 1;
    sequence.lengths = lengths;
    OK(bptt_target_init(&target, sizeof target));
    target.classes = classes[k];
    target.stride_t = N;
    target.stride_n = 1;
    OK(bptt_step_init(&steps[k], sizeof steps[k]));
    steps[k].hn = states[k];
    for (step = 0; step < 3; ++step)
      OK(bptt_model_train_step(models[k], &sequence, &target, &steps[k]));
    OK(bptt_outputs_init(&out, sizeof out));
    out.y = outputs[k];
    out.y_stride_t = N * I;
    out.y_stride_n = I;
    OK(bptt_model_evaluate(models[k], &sequence, &target, &out, &losses[k]));
    OK(bptt_model_params(models[k], &params));
    OK(bptt_params_count(params, NULL, &count));
    OK(bptt_params_get(params, values[k]));
  }
  REQUIRE(steps[0].loss == steps[1].loss && steps[0].grad_norm == steps[1].grad_norm);
  REQUIRE(losses[0] == losses[1] && losses[0] > 0);
  REQUIRE(!memcmp(values[0], values[1], (size_t)count * sizeof(double)));
  REQUIRE(!memcmp(states[0], states[1], (size_t)(walks * N * H) * sizeof(double)));
  REQUIRE(!memcmp(outputs[0], outputs[1], sizeof outputs[0]));
  for (t = 0; targets == BPTT_EVERY_STEP && t < T; ++t) {
    for (n = 0; n < N; ++n) {
      for (k = 0; k < I; ++k) REQUIRE((outputs[0][(t * N + n) * I + k] == 0) == (t >= lengths[n]));
    }
  }
  for (k = 0; k < 2; ++k) OK(bptt_model_free(models[k]));
}

/* What excludes what: the record's text names both. */
static void excludes(bptt_status status, const char* first, const char* second) {
  bptt_error error;
  OK(bptt_last_error(&error, sizeof error));
  REQUIRE(status == BPTT_ERR_ARGUMENT && error.status == BPTT_ERR_ARGUMENT);
  if (strcmp(error.argument, first) != 0 || !strstr(error.expected, second)) {
    fprintf(stderr, "%s and %s: the record says: %s\n", first, second, error.text);
    exit(1);
  }
  ++refusals;
}

static void check_refusals(void) {
  bptt_layer_options l;
  bptt_model_options m;
  bptt_layer* layer;
  bptt_model* model;
  bptt_stream* stream;
#define LAYER(cell_, set, first, second)                    \
  do {                                                      \
    OK(bptt_layer_options_init(&l, sizeof l));              \
    l.cell = cell_;                                         \
    l.input_size = I;                                       \
    l.hidden_size = H;                                      \
    set;                                                    \
    excludes(bptt_layer_create(&l, &layer), first, second); \
  } while (0)
#define MODEL(cell_, set, first, second)                    \
  do {                                                      \
    OK(bptt_model_options_init(&m, sizeof m));              \
    m.layer.cell = cell_;                                   \
    m.layer.input_size = I;                                 \
    m.layer.hidden_size = H;                                \
    m.output_size = 2;                                      \
    set;                                                    \
    excludes(bptt_model_create(&m, &model), first, second); \
  } while (0)
  LAYER(BPTT_GRU, (l.layer_norm = 1, l.reset_before = 1), "layer_norm", "reset_before");
  LAYER(BPTT_LSTM, (l.zoneout = 0.1, l.proj_size = 2), "zoneout", "proj_size");
  LAYER(BPTT_LSTM, (l.zoneout_c = 0.1, l.proj_size = 2), "zoneout_c", "proj_size");
  LAYER(BPTT_LSTM, (l.forget_bias = 1, l.coupled = 1), "forget_bias", "coupled");
  LAYER(BPTT_LSTM, (l.init = BPTT_INIT_NORMAL, l.proj_size = 2), "init", "proj_size");
  LAYER(BPTT_LSTM, (l.init = BPTT_INIT_SPARSE, l.proj_size = 2), "init", "proj_size");
  LAYER(BPTT_LSTM, l.proj_size = H, "proj_size", "hidden_size");
  LAYER(BPTT_GRU, l.proj_size = 2, "proj_size", "BPTT_LSTM");
  LAYER(BPTT_GRU, l.peephole = 1, "peephole", "BPTT_LSTM");
  LAYER(BPTT_RNN, l.coupled = 1, "coupled", "BPTT_LSTM");
  LAYER(BPTT_RNN, l.zoneout_c = 0.5, "zoneout_c", "BPTT_LSTM");
  LAYER(BPTT_LSTM, l.reset_before = 1, "reset_before", "BPTT_GRU");
  LAYER(BPTT_LSTM, l.alpha = 0.5, "alpha", "BPTT_RNN");
  LAYER(BPTT_GRU, l.noise = 0.5, "noise", "BPTT_RNN");
  LAYER(BPTT_GRU, l.dale = 0.5, "dale", "BPTT_RNN");
  LAYER(BPTT_LSTM, l.nonlinearity = BPTT_ELU, "nonlinearity", "BPTT_RNN");
  MODEL(BPTT_GRU, m.omega = 1, "omega", "BPTT_RNN");
  MODEL(BPTT_RNN, (m.omega = 1, m.layer.layer_norm = 1), "omega", "layer_norm");
  MODEL(BPTT_RNN, (m.omega = 1, m.layer.alpha = 0.5), "omega", "alpha");
  MODEL(BPTT_RNN, (m.omega = 1, m.layer.zoneout = 0.5), "omega", "zoneout");
  MODEL(BPTT_RNN, (m.omega = 1, m.layer.recurrent_dropout = 0.5), "omega", "recurrent_dropout");
  MODEL(BPTT_RNN, (m.omega = 1, m.layer.dale = 0.5), "omega", "dale");
  MODEL(BPTT_RNN, (m.omega = 1, m.layer.noise = 0.5), "omega", "noise");
  MODEL(BPTT_RNN, (m.omega = 1, m.clip_step = 1), "omega", "clip_step");
  MODEL(BPTT_RNN, (m.omega = 1, m.clip_step_norm = 1), "omega", "clip_step_norm");
  MODEL(BPTT_RNN, (m.omega = 1, m.truncation_k1 = m.truncation_k2 = 3), "omega", "truncation");
  MODEL(BPTT_RNN, (m.layer.bidirectional = 1, m.truncation_k1 = m.truncation_k2 = 3),
        "truncation_k1", "bidirectional");
  MODEL(BPTT_RNN, (m.truncation_k1 = 3, m.truncation_k2 = 2), "truncation_k2", "truncation_k1");
  MODEL(BPTT_RNN, m.targets = BPTT_LAST_ROW, "targets", "bidirectional");
  OK(bptt_model_options_init(&m, sizeof m));
  m.layer.bidirectional = 1;
  m.layer.input_size = I;
  m.layer.hidden_size = H;
  m.output_size = 2;
  OK(bptt_model_create(&m, &model));
  REFUSED(BPTT_ERR_STATE, bptt_stream_create(model, &stream));
  OK(bptt_model_free(model));
}

int main(void) {
  static const bptt_cell cells[] = {BPTT_RNN, BPTT_LSTM, BPTT_GRU};
  int k;
  for (k = 0; k < 3; ++k) {
    check_lengths(cells[k], 0);
    check_lengths(cells[k], 1);
    check_directions(cells[k]);
    check_truncation(cells[k]);
    check_resets(cells[k], 0);
    check_resets(cells[k], 1);
    check_tape(cells[k], 0);
    printf("cell %d: lengths, directions, truncation, resets, tape\n", (int)cells[k]);
  }
  check_tape(BPTT_LSTM, 1);
  check_draws();
  check_omega();
  check_model(BPTT_EVERY_STEP);
  check_model(BPTT_LAST_STEP);
  check_refusals();
  printf("worst difference %.1e, %d refusals\n", worst_difference, refusals);
  return 0;
}
