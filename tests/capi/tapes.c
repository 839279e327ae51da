/* tapes.c: the contents of a tape, and the random draws of a pass. */
#include "passes.h"

/* A tape holds the states and gates of every layer, as the equations define them. */
static void check_tape(bptt_cell cell, int32_t coupled) {
  net it = new_net(cell, 2, 1);
  pass* data = new_pass();
  bptt_sequence sequence;
  bptt_tape* tape;
  static double h[T * N * H], c[T * N * H], gates[4][T * N * H];
  const int64_t count = cell == BPTT_RNN                ? 0
                        : cell == BPTT_MINGRU           ? 2
                        : cell == BPTT_LSTM && !coupled ? 4
                                                        : 3;
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
          } else if (cell == BPTT_MINGRU) {
            const double z = gates[0][at];
            expected = z * gates[1][at] + (begins ? 0 : (1 - z) * h[before]);
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

/* The same draw with the same seed repeats a pass; other draws differ. Without a tape nothing is
 * drawn, except in a training pass. */
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
  sequence.training = 1;
  OK(bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  REQUIRE(!memcmp(first->y, second->y, size));
  sequence.training = 2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  sequence.training = 0;
  sequence.noise = 2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  sequence.noise = 1; /* a GRU has none */
  OK(bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  OK(bptt_tape_free(forward(&plain, second, &sequence)));
  REQUIRE(!memcmp(first->y, second->y, size));
  OK(bptt_layer_free(it.layer));
  OK(bptt_layer_free(plain.layer));
  free(first);
  free(second);
}

/* With `noise`, a pass without a tape draws the noise and no mask: it equals a pass with a tape of a
 * layer that has noise alone. */
static void check_noise(void) {
  net it = new_net(BPTT_RNN, 2, 1), noisy = new_net(BPTT_RNN, 2, 1);
  pass *first = new_pass(), *second = new_pass();
  bptt_sequence sequence;
  bptt_outputs outputs;
  const size_t size = sizeof first->y;
  it.options.noise = noisy.options.noise = 0.5;
  it.options.recurrent_dropout = 0.3;
  create(&it);
  create(&noisy);
  sequence = sequence_of(first, T);
  sequence.draw = 7;
  OK(bptt_tape_free(forward(&noisy, first, &sequence)));
  outputs = outputs_of(&it, second);
  sequence.noise = 1;
  OK(bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  REQUIRE(!memcmp(first->y, second->y, size));
  sequence.noise = 0;
  OK(bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  REQUIRE(memcmp(first->y, second->y, size));
  sequence.noise = sequence.training = 1; /* training draws everything */
  OK(bptt_tape_free(forward(&it, first, &sequence)));
  OK(bptt_layer_forward(it.layer, &sequence, &outputs, NULL));
  REQUIRE(!memcmp(first->y, second->y, size));
  OK(bptt_layer_free(it.layer));
  OK(bptt_layer_free(noisy.layer));
  free(first);
  free(second);
}

int main(void) {
  int k;
  for (k = 0; k < 4; ++k) {
    check_tape(cells[k], 0);
    printf("cell %d: tape\n", (int)cells[k]);
  }
  check_tape(BPTT_LSTM, 1);
  check_draws();
  check_noise();
  printf("worst difference %.1e, %d refusals\n", worst_difference, refusals);
  return 0;
}
