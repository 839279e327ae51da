/* Runs layers forward and backward for cases read from a file and writes the results: `layer_io
 * CASES RESULTS`.
 *
 * A case: 12 int64 (cell, nonlinearity, dtype, I, H, L, bias, T, N, tokens?, state?, dstate?), then
 * in the case's dtype the flat parameters, x [T, N, I] (or int64 tokens [T, N]), h0 and c0, dy [T,
 * N, H], dhn and dcn. c0, dcn for LSTM only. The results begin with the initial parameters of one
 * layer. A result: y, hn, cn, gradients, dx, dh0, dc0 in the case's dtype, then flow and flow_c as
 * double. */
#include <stdio.h>
#include <stdlib.h>

#include "bptt.h"

enum { CELL, NONLINEARITY, DTYPE, I, H, L, BIAS, T, N, TOKENS, STATE, DSTATE, FIELDS };

static void check(bptt_status status, int line) {
  bptt_error error;
  if (status == BPTT_OK) return;
  bptt_last_error(&error, sizeof error);
  fprintf(stderr, "line %d: %s: %s\n", line, bptt_status_name(status), error.text);
  exit(1);
}
#define CHECK(call) check(call, __LINE__)

static void* take(FILE* file, int64_t count, size_t size) {
  void* values = malloc(count > 0 ? (size_t)count * size : 1);
  if (!values || fread(values, size, (size_t)count, file) != (size_t)count) {
    fprintf(stderr, "a case is cut short\n");
    exit(1);
  }
  return values;
}

static void* room(int64_t count, size_t size) {
  void* values = calloc(count > 0 ? (size_t)count : 1, size);
  if (!values) exit(1);
  return values;
}

static void give(FILE* file, void* values, int64_t count, size_t size) {
  if (fwrite(values, size, (size_t)count, file) != (size_t)count) exit(1);
  free(values);
}

static void run(const int64_t* c, FILE* in, FILE* out) {
  const size_t size = c[DTYPE] == BPTT_FLOAT32 ? sizeof(float) : sizeof(double);
  const int lstm = c[CELL] == BPTT_LSTM;
  const int64_t states = c[L] * c[N] * c[H], outputs = c[T] * c[N] * c[H],
                inputs = c[T] * c[N] * c[I];
  bptt_layer_options options;
  bptt_sequence sequence;
  bptt_outputs results;
  bptt_backward backward;
  bptt_layer* layer;
  bptt_params* params;
  bptt_tape* tape;
  int64_t tensors, count;
  void *flat, *x = NULL, *h0 = NULL, *c0 = NULL, *dy, *dhn = NULL, *dcn = NULL;
  int64_t* tokens = NULL;

  CHECK(bptt_layer_options_init(&options, sizeof options));
  options.cell = (bptt_cell)c[CELL];
  options.nonlinearity = (bptt_nonlinearity)c[NONLINEARITY];
  options.dtype = (bptt_dtype)c[DTYPE];
  options.input_size = c[I];
  options.hidden_size = c[H];
  options.num_layers = c[L];
  options.bias = (int32_t)c[BIAS];
  CHECK(bptt_layer_create(&options, &layer));
  CHECK(bptt_layer_params(layer, &params));
  CHECK(bptt_params_count(params, &tensors, &count));
  flat = take(in, count, size);
  CHECK(bptt_params_set(params, flat));
  if (c[TOKENS]) {
    tokens = take(in, c[T] * c[N], sizeof(int64_t));
  } else {
    x = take(in, inputs, size);
  }
  if (c[STATE]) {
    h0 = take(in, states, size);
    if (lstm) c0 = take(in, states, size);
  }
  dy = take(in, outputs, size);
  if (c[DSTATE]) {
    dhn = take(in, states, size);
    if (lstm) dcn = take(in, states, size);
  }

  CHECK(bptt_sequence_init(&sequence, sizeof sequence));
  sequence.time = c[T];
  sequence.batch = c[N];
  sequence.x = x;
  sequence.x_stride_t = c[N] * c[I];
  sequence.x_stride_n = c[I];
  sequence.tokens = tokens;
  sequence.tokens_stride_t = c[N];
  sequence.tokens_stride_n = 1;
  sequence.h0 = h0;
  sequence.c0 = c0;
  CHECK(bptt_outputs_init(&results, sizeof results));
  results.y = room(outputs, size);
  results.y_stride_t = c[N] * c[H];
  results.y_stride_n = c[H];
  results.hn = room(states, size);
  results.cn = lstm ? room(states, size) : NULL;
  CHECK(bptt_layer_forward(layer, &sequence, &results, &tape));

  CHECK(bptt_backward_init(&backward, sizeof backward));
  backward.dy = dy;
  backward.dy_stride_t = c[N] * c[H];
  backward.dy_stride_n = c[H];
  backward.dhn = dhn;
  backward.dcn = dcn;
  backward.gradients = room(count, size);
  if (!c[TOKENS]) {
    backward.dx = room(inputs, size);
    backward.dx_stride_t = c[N] * c[I];
    backward.dx_stride_n = c[I];
  }
  backward.dh0 = room(states, size);
  backward.dc0 = lstm ? room(states, size) : NULL;
  backward.flow = room(c[L] * c[T], sizeof(double));
  backward.flow_c = lstm ? room(c[L] * c[T], sizeof(double)) : NULL;
  CHECK(bptt_layer_backward(layer, tape, &backward));

  give(out, results.y, outputs, size);
  give(out, results.hn, states, size);
  if (lstm) give(out, results.cn, states, size);
  give(out, backward.gradients, count, size);
  if (!c[TOKENS]) give(out, backward.dx, inputs, size);
  give(out, backward.dh0, states, size);
  if (lstm) give(out, backward.dc0, states, size);
  give(out, backward.flow, c[L] * c[T], sizeof(double));
  if (lstm) give(out, backward.flow_c, c[L] * c[T], sizeof(double));
  CHECK(bptt_tape_free(tape));
  CHECK(bptt_layer_free(layer));
  free(flat);
  free(x);
  free(tokens);
  free(h0);
  free(c0);
  free(dy);
  free(dhn);
  free(dcn);
}

/* The initial parameters of an LSTM with orthogonal weights, in double precision. */
static void write_initial(FILE* out) {
  bptt_layer_options options;
  bptt_layer* layer;
  bptt_params* params;
  int64_t tensors, count;
  void* values;
  CHECK(bptt_layer_options_init(&options, sizeof options));
  options.dtype = BPTT_FLOAT64;
  options.input_size = 7;
  options.hidden_size = 33;
  options.init = BPTT_INIT_ORTHOGONAL;
  options.seed = 42;
  CHECK(bptt_layer_create(&options, &layer));
  CHECK(bptt_layer_params(layer, &params));
  CHECK(bptt_params_count(params, &tensors, &count));
  values = room(count, sizeof(double));
  CHECK(bptt_params_get(params, values));
  give(out, values, count, sizeof(double));
  CHECK(bptt_layer_free(layer));
}

int main(int argc, char** argv) {
  int64_t fields[FIELDS];
  const char* isa;
  FILE *in, *out;
  if (argc != 3 || !(in = fopen(argv[1], "rb")) || !(out = fopen(argv[2], "wb"))) {
    fprintf(stderr, "usage: layer_io CASES RESULTS\n");
    return 2;
  }
  CHECK(bptt_isa(&isa));
  printf("%s\n", isa);
  write_initial(out);
  while (fread(fields, sizeof fields[0], FIELDS, in) == FIELDS) run(fields, in, out);
  fclose(in);
  return fclose(out) == 0 ? 0 : 1;
}
