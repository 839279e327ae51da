/* hostile_sequences.c: invalid sequences and the arrays along them: sizes, strides, lengths,
 * resets, tokens, and results whose elements overlap. */
#include <limits.h>

#include "hostile.h"

static float h[2 * N * H], c[N * H];
static double norms[2 * T];
static int64_t tokens[T * N], lengths[N];
static uint8_t resets[T * N];

static void check_sequences(void) {
  const int64_t sizes[] = {0, -1, INT64_MIN, INT64_MIN + 1};
  const int64_t large[] = {INT64_MAX, INT64_MAX / 2, (int64_t)1 << 60, (int64_t)1 << 47};
  size_t k;
  double loss;
#define WITH(field, value, status, call) \
  do {                                   \
    reset();                             \
    field = value;                       \
    REFUSED(status, call);               \
    reset();                             \
  } while (0)
  for (k = 0; k < 4; ++k) {
    WITH(sequence.time, sizes[k], BPTT_ERR_ARGUMENT,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(sequence.batch, sizes[k], BPTT_ERR_ARGUMENT,
         bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    WITH(sequence.time, large[k], BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(sequence.batch, large[k], BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(sequence.batch, large[k], BPTT_ERR_MEMORY,
         bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    WITH(sequence.x_stride_t, k < 2 ? INT64_MIN + (int64_t)k : INT64_MAX, BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
    WITH(outputs.y_stride_n, k < 2 ? INT64_MIN + (int64_t)k : INT64_MAX, BPTT_ERR_MEMORY,
         bptt_layer_forward(layer, &sequence, &outputs, NULL));
  }
  WITH(sequence.x, NULL, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(sequence.tokens, tokens, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(sequence.c0, c, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL)); /* not an LSTM */
  WITH(outputs.cn, c, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(backward.dcn, c, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.dc0, c, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(flow.c, norms, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.accumulate, 2, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.clip_step, NAN, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.clip_step_norm, -1, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  for (k = 0; k < 4; ++k) {
    const double numbers[] = {NAN, INFINITY, -INFINITY, -1};
    const int64_t windows[4][2] = {{0, 3}, {3, 0}, {-1, 3}, {3, 2}};
    WITH(backward.omega, numbers[k], BPTT_ERR_ARGUMENT,
         bptt_layer_backward(layer, tape, &backward));
    backward.truncation_k1 = windows[k][0];
    backward.truncation_k2 = windows[k][1];
    REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  }
  WITH(backward.omega, 1, BPTT_ERR_ARGUMENT, /* not an RNN */
       bptt_layer_backward(layer, tape, &backward));
  flow.h = norms;
  backward.omega_value = norms + 1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  backward.omega_value = NULL;
  backward.truncation_k1 = 1;
  backward.truncation_k2 = 2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  /* Lengths and resets. */
  for (k = 0; k < 5; ++k) {
    const int64_t bad[] = {0, T + 1, -1, INT64_MIN, INT64_MAX};
    int n;
    for (n = 0; n < N; ++n) {
      bptt_tape* made;
      lengths[0] = lengths[1] = T;
      lengths[n] = bad[k];
      WITH(sequence.lengths, lengths, BPTT_ERR_ARGUMENT,
           bptt_layer_forward(layer, &sequence, &outputs, &made));
      WITH(sequence.lengths, lengths, BPTT_ERR_ARGUMENT,
           bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    }
  }
  lengths[0] = lengths[1] = T - 1;
  resets[T * N - 1] = 7; /* beyond a length: not read */
  reset();
  sequence.lengths = lengths;
  sequence.resets = resets;
  sequence.resets_stride_t = N;
  sequence.resets_stride_n = 1;
  OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
  sequence.lengths = NULL;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  resets[T * N - 1] = 0;
  sequence.resets_stride_t = INT64_MAX;
  REFUSED(BPTT_ERR_MEMORY, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  reset();
  sequence.lengths = lengths;
  outputs.hn = lengths;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  /* A tape of one GRU layer of one direction. */
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, (bptt_tape_part)0, 0, 0, h));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, (bptt_tape_part)4, 0, 0, h));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, (bptt_tape_part)INT_MIN, 0, 0, h));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_tape_read(tape, BPTT_TAPE_C, 0, 0, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_H, 1, 0, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_H, INT64_MIN, 0, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_GATE, 0, 3, h));
  REFUSED(BPTT_ERR_RANGE, bptt_tape_read(tape, BPTT_TAPE_GATE, 0, INT64_MAX, h));
  reset();
  /* Outputs whose elements overlap each other or inputs. */
  WITH(outputs.y_stride_n, H - 1, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.y_stride_t, 0, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.y_stride_t, H, BPTT_ERR_ARGUMENT,
       bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.y, x, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.hn, y + 1, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(outputs.hn, x, BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  WITH(backward.gradients, y, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(backward.dh0, y, BPTT_ERR_ARGUMENT, bptt_layer_backward(layer, tape, &backward));
  WITH(outputs.y = NULL; outputs.hn, x, BPTT_ERR_ARGUMENT,
                         bptt_model_train_step(model, &sequence, &target, &outputs, NULL, &step));
  WITH(flow.h, (double*)(void*)goal, BPTT_ERR_ARGUMENT,
       bptt_model_train_step(model, &sequence, &target, NULL, &flow, &step));
  WITH(target.values, NULL, BPTT_ERR_ARGUMENT,
       bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
  WITH(target.classes, tokens, BPTT_ERR_ARGUMENT,
       bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
  /* Tokens are the one-hot vectors of a layer's inputs. */
  for (k = 0; k < 4; ++k) {
    const int64_t bad[] = {-1, I, INT64_MIN, INT64_MAX};
    reset();
    sequence.x = NULL;
    sequence.tokens = tokens;
    sequence.tokens_stride_t = N;
    sequence.tokens_stride_n = 1;
    OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
    tokens[T * N - 1] = bad[k];
    REFUSED(BPTT_ERR_RANGE, bptt_layer_forward(layer, &sequence, &outputs, NULL));
    tokens[T * N - 1] = 0;
    outputs.hn = (void*)tokens; /* a result that overlaps the token indices */
    REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  }
  reset();
}

int main(void) {
  begin();
  check_sequences();
  end();
  return 0;
}
