/* layer_io.c: runs layers forward and backward on cases from a file and writes the results:
 * `layer_io CASES RESULTS`.
 *
 * A case consists of int64 fields and double numbers in the order of the enumerations below, double
 * alphas [H], then, in the case's dtype, the flat parameters, x [T, N, I] (or int64 tokens [T, N]),
 * h0 and c0, dy [T, N, D*R], dhn and dcn, then int64 lengths [N], bytes resets [T, N] and the masks
 * of the parameters, also bytes. c0 and dcn are present for LSTM only; alphas, states, lengths,
 * resets and masks only if their field is set. The results begin with the initial parameters of one
 * layer. The result of a case: y, hn, cn, gradients, dx, dh0, dc0 in the case's dtype, then flow and
 * flow_c (absent where windows overlap), omega and the penalty of the activity as double. */
#include <stdio.h>
#include <stdlib.h>

#include "bptt_diagnostics.h"
#include "bptt_library.h"
#include "bptt_optimizer.h"

enum {
  CELL,
  NONLINEARITY,
  DTYPE,
  I,
  H,
  L,
  BIAS,
  T,
  N,
  TOKENS,
  STATE,
  DSTATE,
  BIDIRECTIONAL,
  LAYER_NORM,
  PEEPHOLE,
  COUPLED,
  RESET_BEFORE,
  VARIATIONAL,
  PROJ_SIZE,
  COMPUTE,
  LEARN_INITIAL_STATE,
  ALPHAS,
  LENGTHS,
  RESETS,
  MASKS,
  K1,
  K2,
  SEED,
  DRAW,
  FIELDS
};
enum {
  ALPHA,
  DALE,
  NOISE,
  DROPOUT,
  RECURRENT_DROPOUT,
  ZONEOUT,
  ZONEOUT_C,
  CLIP_STEP,
  CLIP_STEP_NORM,
  OMEGA,
  ACTIVITY_L1,
  ACTIVITY_L2,
  NUMBERS
};

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

static bptt_layer* create(const int64_t* c, const double* v, const double* alphas) {
  bptt_layer_options options;
  bptt_layer* layer;
  CHECK(bptt_layer_options_init(&options, sizeof options));
  options.cell = (bptt_cell)c[CELL];
  options.nonlinearity = (bptt_nonlinearity)c[NONLINEARITY];
  options.dtype = (bptt_dtype)c[DTYPE];
  options.input_size = c[I];
  options.hidden_size = c[H];
  options.num_layers = c[L];
  options.bias = (int32_t)c[BIAS];
  options.seed = (uint64_t)c[SEED];
  options.bidirectional = (int32_t)c[BIDIRECTIONAL];
  options.layer_norm = (int32_t)c[LAYER_NORM];
  options.peephole = (int32_t)c[PEEPHOLE];
  options.coupled = (int32_t)c[COUPLED];
  options.reset_before = (int32_t)c[RESET_BEFORE];
  options.variational = (int32_t)c[VARIATIONAL];
  options.proj_size = c[PROJ_SIZE];
  options.compute = (bptt_compute)c[COMPUTE];
  options.learn_initial_state = (int32_t)c[LEARN_INITIAL_STATE];
  options.alpha = v[ALPHA];
  options.alphas = alphas;
  options.dale = v[DALE];
  options.noise = v[NOISE];
  options.dropout = v[DROPOUT];
  options.recurrent_dropout = v[RECURRENT_DROPOUT];
  options.zoneout = v[ZONEOUT];
  options.zoneout_c = v[ZONEOUT_C];
  CHECK(bptt_layer_create(&options, &layer));
  return layer;
}

static void set_masks(bptt_params* params, int64_t tensors, int64_t count, FILE* in) {
  uint8_t* masks = take(in, count, 1);
  int64_t i;
  for (i = 0; i < tensors; ++i) {
    bptt_param_info info;
    info.struct_size = sizeof info;
    CHECK(bptt_params_info(params, i, &info, sizeof info));
    CHECK(bptt_params_set_mask(params, info.name, masks + info.offset));
  }
  free(masks);
}

static void run(const int64_t* c, const double* v, FILE* in, FILE* out) {
  const size_t size = c[DTYPE] == BPTT_FLOAT32 ? sizeof(float) : sizeof(double);
  const int lstm = c[CELL] == BPTT_LSTM, overlap = c[K2] > c[K1];
  const int64_t D = c[BIDIRECTIONAL] ? 2 : 1, R = c[PROJ_SIZE] ? c[PROJ_SIZE] : c[H],
                walks = c[L] * D, states = walks * c[N] * R, cells = walks * c[N] * c[H],
                outputs = c[T] * c[N] * D * R, inputs = c[T] * c[N] * c[I];
  double* alphas = c[ALPHAS] ? take(in, c[H], sizeof *alphas) : NULL;
  bptt_layer* layer = create(c, v, alphas);
  bptt_sequence sequence;
  bptt_outputs results;
  bptt_backward backward;
  bptt_flow flow;
  bptt_params* params;
  bptt_tape* tape;
  int64_t tensors, count, *tokens = NULL, *lengths = NULL;
  double* omega = room(1, sizeof(double));
  double* penalty = room(1, sizeof(double));
  uint8_t* resets = NULL;
  void *flat, *x = NULL, *h0 = NULL, *c0 = NULL, *dy, *dhn = NULL, *dcn = NULL;

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
    if (lstm) c0 = take(in, cells, size);
  }
  dy = take(in, outputs, size);
  if (c[DSTATE]) {
    dhn = take(in, states, size);
    if (lstm) dcn = take(in, cells, size);
  }
  if (c[LENGTHS]) lengths = take(in, c[N], sizeof(int64_t));
  if (c[RESETS]) resets = take(in, c[T] * c[N], 1);
  if (c[MASKS]) set_masks(params, tensors, count, in);

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
  sequence.lengths = lengths;
  sequence.resets = resets;
  sequence.resets_stride_t = c[N];
  sequence.resets_stride_n = 1;
  sequence.draw = (uint64_t)c[DRAW];
  CHECK(bptt_outputs_init(&results, sizeof results));
  results.y = room(outputs, size);
  results.y_stride_t = c[N] * D * R;
  results.y_stride_n = D * R;
  results.hn = room(states, size);
  results.cn = lstm ? room(cells, size) : NULL;
  CHECK(bptt_layer_forward(layer, &sequence, &results, &tape));

  CHECK(bptt_backward_init(&backward, sizeof backward));
  backward.dy = dy;
  backward.dy_stride_t = c[N] * D * R;
  backward.dy_stride_n = D * R;
  backward.dhn = dhn;
  backward.dcn = dcn;
  backward.clip_step = v[CLIP_STEP];
  backward.clip_step_norm = v[CLIP_STEP_NORM];
  backward.truncation_k1 = c[K1];
  backward.truncation_k2 = c[K2];
  backward.omega = v[OMEGA];
  backward.omega_value = omega;
  backward.activity_l1 = v[ACTIVITY_L1];
  backward.activity_l2 = v[ACTIVITY_L2];
  backward.activity_penalty = penalty;
  backward.gradients = room(count, size);
  if (!c[TOKENS]) {
    backward.dx = room(inputs, size);
    backward.dx_stride_t = c[N] * c[I];
    backward.dx_stride_n = c[I];
  }
  backward.dh0 = room(states, size);
  backward.dc0 = lstm ? room(cells, size) : NULL;
  CHECK(bptt_flow_init(&flow, sizeof flow));
  flow.h = overlap ? NULL : room(walks * c[T], sizeof(double));
  flow.c = lstm && !overlap ? room(walks * c[T], sizeof(double)) : NULL;
  backward.flow = &flow;
  CHECK(bptt_layer_backward(layer, tape, &backward));

  give(out, results.y, outputs, size);
  give(out, results.hn, states, size);
  if (lstm) give(out, results.cn, cells, size);
  give(out, backward.gradients, count, size);
  if (!c[TOKENS]) give(out, backward.dx, inputs, size);
  give(out, backward.dh0, states, size);
  if (lstm) give(out, backward.dc0, cells, size);
  if (!overlap) give(out, flow.h, walks * c[T], sizeof(double));
  if (lstm && !overlap) give(out, flow.c, walks * c[T], sizeof(double));
  give(out, omega, 1, sizeof(double));
  give(out, penalty, 1, sizeof(double));
  CHECK(bptt_tape_free(tape));
  CHECK(bptt_layer_free(layer));
  free(alphas);
  free(flat);
  free(x);
  free(tokens);
  free(h0);
  free(c0);
  free(dy);
  free(dhn);
  free(dcn);
  free(lengths);
  free(resets);
}

/* Write the initial parameters of an LSTM with orthogonal weights, in double precision. */
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
  double numbers[NUMBERS];
  const char* isa;
  FILE *in, *out;
  if (argc != 3 || !(in = fopen(argv[1], "rb")) || !(out = fopen(argv[2], "wb"))) {
    fprintf(stderr, "usage: layer_io CASES RESULTS\n");
    return 2;
  }
  CHECK(bptt_isa(&isa));
  printf("%s\n", isa);
  write_initial(out);
  while (fread(fields, sizeof fields[0], FIELDS, in) == FIELDS) {
    if (fread(numbers, sizeof numbers[0], NUMBERS, in) != NUMBERS) return 1;
    run(fields, numbers, in, out);
  }
  fclose(in);
  return fclose(out) == 0 ? 0 : 1;
}
