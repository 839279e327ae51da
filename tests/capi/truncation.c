/* truncation.c: truncated BPTT, compared with passes over its windows, the regulariser of an RNN
 * and those of the activity. */
#include "passes.h"

/* Windows that span the whole sequence do not truncate. Other windows are separate passes: each
 * starts from the state before its first step and uses only the losses of its last k1 steps (at
 * the end, of the remaining ones). */
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

/* The regulariser adds its weight times a fixed matrix to dW_hh and changes no other gradient. */
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

/* The regularisers of the activity are a loss of h: of one layer, which is y, their gradient is a
 * part of dL/dy. */
static void check_activity(bptt_cell cell, int32_t bidirectional) {
  net it = new_net(cell, 1, bidirectional);
  pass *with = new_pass(), *without = new_pass();
  const double l1 = 0.7, l2 = 0.3;
  double penalty = -1, expected = 0, elements = 0;
  bptt_sequence sequence;
  bptt_backward backward;
  int64_t n, t, k;
  create(&it);
  memcpy(without->x, with->x, sizeof with->x);
  for (n = 0; n < N; ++n) elements += (double)(lengths[n] * it.D * it.R);
  sequence = sequence_of(with, T);
  sequence.lengths = lengths;
  backward = backward_of(&it, with);
  backward.activity_l1 = l1;
  backward.activity_l2 = l2;
  backward.activity_penalty = &penalty;
  run(&it, with, &sequence, &backward);
  for (t = 0; t < T; ++t) {
    for (k = 0; k < N * it.D * it.R; ++k) {
      const int64_t at = t * N * it.D * it.R + k;
      const double h = with->y[at];
      expected += (l1 * fabs(h) + l2 * h * h) / elements;
      without->dy[at] = with->dy[at] + (l1 * ((h > 0) - (h < 0)) + 2 * l2 * h) / elements;
    }
  }
  same(&penalty, &expected, 1, "penalty of the activity");
  backward = backward_of(&it, without);
  backward.activity_penalty = &penalty;
  run(&it, without, &sequence, &backward);
  REQUIRE(penalty == 0 && expected > 0);
  same(with->gradients, without->gradients, it.count, "gradients with a penalty of the activity");
  same(with->dx, without->dx, T * N * I, "dx with a penalty of the activity");
  same(with->flow, without->flow, it.D * T, "flow with a penalty of the activity");
  backward.activity_l1 = -1;
  {
    bptt_tape* tape = forward(&it, without, &sequence);
    REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(it.layer, tape, &backward));
    OK(bptt_tape_free(tape));
  }
  OK(bptt_layer_free(it.layer));
  free(with);
  free(without);
}

int main(void) {
  int k;
  for (k = 0; k < 4; ++k) {
    check_truncation(cells[k]);
    check_activity(cells[k], 0);
    check_activity(cells[k], 1);
    printf("cell %d: truncation\n", (int)cells[k]);
  }
  check_omega();
  printf("worst difference %.1e\n", worst_difference);
  return 0;
}
