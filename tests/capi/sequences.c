/* sequences.c: lengths, resets, initial states and both directions, compared with passes that do not use them. */
#include "passes.h"

/* Inputs beyond a length are not read, and a padded batch has the same results as its sequences
 * alone. */
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

/* A bidirectional layer equals two layers of one direction; the second one reads the sequences
 * backward. */
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

/* Give all parameters, initial states included, random values. */
static void set_random(const net* it) {
  static double values[MOST];
  int64_t k;
  for (k = 0; k < it->count; ++k) values[k] = random_number();
  OK(bptt_params_set(it->params, values));
}

/* The gradient of a learnt initial state is the sum of the gradients of the sequences' initial
 * states, and 0 if the caller gives these; then the results are the same. */
static void check_initial_states(bptt_cell cell, int32_t bidirectional) {
  const int lstm = cell == BPTT_LSTM;
  net it = new_net(cell, 2, bidirectional);
  pass *learnt = new_pass(), *given = new_pass();
  static double values[MOST], h0[4 * N * H], c0[4 * N * H], sum[H];
  bptt_sequence sequence;
  bptt_backward backward;
  bptt_param_info info;
  int64_t k, n, u, count, walk[2] = {0, 0};
  it.options.learn_initial_state = 1;
  create(&it);
  set_random(&it);
  OK(bptt_params_get(it.params, values));
  memcpy(given->x, learnt->x, sizeof given->x);
  memcpy(given->dy, learnt->dy, sizeof given->dy);
  sequence = sequence_of(learnt, T);
  sequence.lengths = lengths;
  backward = backward_of(&it, learnt);
  run(&it, learnt, &sequence, &backward);
  OK(bptt_params_count(it.params, &count, NULL));
  for (k = 0; k < count; ++k) {
    const double* states;
    int of_c;
    OK(bptt_params_info(it.params, k, &info, sizeof info));
    if (strncmp(info.name, "h0_", 3) && strncmp(info.name, "c0_", 3)) continue;
    of_c = info.name[0] == 'c';
    REQUIRE(info.rank == 1 && info.count == H && of_c <= lstm);
    states = (of_c ? learnt->dc0 : learnt->dh0) + walk[of_c] * N * H;
    memset(sum, 0, sizeof sum);
    for (n = 0; n < N; ++n) {
      for (u = 0; u < H; ++u) {
        sum[u] += states[n * H + u];
        (of_c ? c0 : h0)[(walk[of_c] * N + n) * H + u] = values[info.offset + u];
      }
    }
    same(learnt->gradients + info.offset, sum, H, "gradient of an initial state");
    ++walk[of_c];
  }
  REQUIRE(walk[0] == 2 * it.D && walk[1] == (lstm ? 2 * it.D : 0));
  sequence.h0 = h0;
  sequence.c0 = lstm ? c0 : NULL;
  backward = backward_of(&it, given);
  run(&it, given, &sequence, &backward);
  same(given->y, learnt->y, T * N * it.D * H, "y of given initial states");
  for (k = 0; k < count; ++k) {
    OK(bptt_params_info(it.params, k, &info, sizeof info));
    if (strncmp(info.name, "h0_", 3) && strncmp(info.name, "c0_", 3)) {
      same(given->gradients + info.offset, learnt->gradients + info.offset, info.count, info.name);
    } else {
      for (u = 0; u < H; ++u) REQUIRE(given->gradients[info.offset + u] == 0);
    }
  }
  OK(bptt_layer_free(it.layer));
  free(learnt);
  free(given);
}

/* A reset of every sequence at one step equals two passes that start from the initial states. */
static void check_resets(bptt_cell cell, int32_t bidirectional, int32_t learnt) {
  net it = new_net(cell, 1, bidirectional);
  pass *data = new_pass(), *part = new_pass();
  static uint8_t resets[N * T]; /* [N, T], to test strides */
  static double sum[MOST];
  bptt_sequence sequence;
  bptt_backward backward;
  int64_t first, k, features;
  enum { AT = 5 };
  it.options.learn_initial_state = learnt;
  create(&it);
  if (learnt) set_random(&it);
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

/* A model's loss, gradient and update do not depend on the padding. */
static void check_model(bptt_targets targets) {
  bptt_model_options options;
  bptt_layer_options layers;
  bptt_model* models[2];
  static int64_t tokens[2][T * N], classes[2][T * N];
  static double states[2][2 * N * H], values[2][MOST], outputs[2][T * N * I];
  bptt_step steps[2];
  double losses[2];
  int64_t k, t, n, count, walks;
  OK(bptt_model_options_init(&options, sizeof options));
  OK(bptt_layer_options_init(&layers, sizeof layers));
  layers.cell = BPTT_LSTM;
  layers.dtype = BPTT_FLOAT64;
  layers.hidden_size = H;
  layers.bidirectional = 1;
  layers.dropout = 0.5;
  layers.recurrent_dropout = 0.2;
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
    OK(bptt_model_create(&options, &layers, NULL, &models[k]));
    sequence = tokens_over(T, N, tokens[k]);
    sequence.lengths = lengths;
    target = classes_at(classes[k], N);
    steps[k] = new_step();
    out = outputs_to(outputs[k], N, I);
    out.hn = states[k];
    for (step = 0; step < 3; ++step)
      OK(bptt_model_train_step(models[k], &sequence, &target, &out, NULL, &steps[k]));
    out.hn = NULL;
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

int main(void) {
  int k;
  for (k = 0; k < 4; ++k) {
    check_lengths(cells[k], 0);
    check_lengths(cells[k], 1);
    check_directions(cells[k]);
    check_resets(cells[k], 0, 0);
    check_resets(cells[k], 1, 0);
    check_resets(cells[k], 0, 1);
    check_resets(cells[k], 1, 1);
    check_initial_states(cells[k], 0);
    check_initial_states(cells[k], 1);
    printf("cell %d: lengths, directions, resets, initial states\n", (int)cells[k]);
  }
  check_model(BPTT_EVERY_STEP);
  check_model(BPTT_LAST_STEP);
  printf("worst difference %.1e\n", worst_difference);
  return 0;
}
