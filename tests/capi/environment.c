/* environment.c: the floating-point environment: every call computes the same bits for each
 * rounding direction of the caller and each set of trapping exceptions, and restores the
 * caller's environment, flags included. The cancel callback runs in the caller's environment. */
#define _GNU_SOURCE
#include "check.h"

#include <fenv.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
static uint64_t registers(void) {
  uint16_t control;
  __asm__ volatile("fnstcw %0" : "=m"(control));
  return (uint64_t)control << 32 | _mm_getcsr();
}
#else
static uint64_t registers(void) {
  uint64_t control, flags;
  __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(flags));
  return flags << 32 | control;
}
#endif

enum { T = 9, I = 5, V = 7, H = 19, O = 4, MOST_N = 17, LAYERS = 2, MOST = 40000 };

/* The environment that is set before each call and reset after it: the test's own arithmetic
 * would trap, too. */
static struct {
  int rounding, traps;
} mode;
static uint64_t callers; /* control registers of the caller during a call */
static int asked, stop;

static void enter(void) {
  feclearexcept(FE_ALL_EXCEPT);
  fesetround(mode.rounding);
  feenableexcept(mode.traps);
  callers = registers();
}
static void leave(void) {
  const uint64_t now = registers();
  fesetenv(FE_DFL_ENV);
  REQUIRE(now == callers);
}
#define CALL(call)                   \
  do {                               \
    bptt_status status_;             \
    enter();                         \
    status_ = (call);                \
    leave();                         \
    ok(status_, __FILE__, __LINE__); \
  } while (0)
#define CALL_REFUSED(wanted, call)                       \
  do {                                                   \
    bptt_status status_;                                 \
    enter();                                             \
    status_ = (call);                                    \
    leave();                                             \
    refused(wanted, status_, #call, __FILE__, __LINE__); \
  } while (0)

static int callback(void* user) {
  (void)user;
  ++asked;
  REQUIRE(registers() == callers);
  return stop;
}

/* A digest of all results, including NaN and infinities. */
static uint64_t digest;
static void add(const void* bytes, size_t size) {
  const unsigned char* at = bytes;
  size_t i;
  for (i = 0; i < size; ++i) digest = (digest ^ at[i]) * 0x100000001b3u;
}

/* The arrays are doubles; they hold floats if the dtype is float32. */
static bptt_dtype dtype;
static int64_t N;
static size_t width(void) { return dtype == BPTT_FLOAT32 ? sizeof(float) : sizeof(double); }
static void fill(double* values, int64_t count) {
  int64_t k;
  for (k = 0; k < count; ++k) {
    if (dtype == BPTT_FLOAT32) {
      ((float*)values)[k] = (float)random_number();
    } else {
      values[k] = random_number();
    }
  }
}

static double x[T * MOST_N * I], dy[T * MOST_N * 2 * H], gradients[MOST], values[MOST], y[MOST];
static double dx[T * MOST_N * I], h[4 * MOST_N * H];
static double flow[4 * T], flow_a[4 * T], samples[4 * T * MOST_N], dx_norms[2 * T], jacobian[MOST];
static double exponents[2 * H];
static int64_t lengths[MOST_N], classes[T * MOST_N], tokens[T * MOST_N];
static uint8_t resets[T * MOST_N];

/* The families of options that are combined with each cell. */
enum { PLAIN, RAGGED, STRUCTURE, NORMS, RANDOM, BOTH_WAYS, FAMILIES };

static bptt_layer_options options_of(bptt_cell cell, int family) {
  bptt_layer_options o;
  CALL(bptt_layer_options_init(&o, sizeof o));
  o.cell = cell;
  o.dtype = dtype;
  o.input_size = I;
  o.hidden_size = H;
  o.num_layers = LAYERS;
  if (family == STRUCTURE) {
    if (cell == BPTT_RNN) {
      o.dale = 0.75;
      o.alpha = 0.5;
      o.init = BPTT_INIT_NORMAL;
    } else if (cell == BPTT_LSTM) {
      o.peephole = o.coupled = 1;
      o.proj_size = H / 2;
      o.init = BPTT_INIT_ORTHOGONAL;
    } else if (cell == BPTT_GRU) {
      o.reset_before = 1;
      o.init = BPTT_INIT_NORMAL;
    } else {
      o.init = BPTT_INIT_XAVIER;
    }
  }
  if (family == NORMS && cell != BPTT_MINGRU) o.layer_norm = 1;
  if (family == RANDOM) {
    o.dropout = o.zoneout = 0.25;
    if (cell != BPTT_MINGRU) o.recurrent_dropout = 0.25;
    if (cell == BPTT_LSTM) o.zoneout_c = 0.25;
    if (cell == BPTT_RNN) o.noise = 0.125;
  }
  if (family == BOTH_WAYS) o.bidirectional = 1;
  return o;
}

static bptt_sequence sequence_of(int family) {
  bptt_sequence s;
  CALL(bptt_sequence_init(&s, sizeof s));
  s.time = T;
  s.batch = N;
  s.x = x;
  s.x_stride_t = N * I;
  s.x_stride_n = I;
  if (family == RAGGED || family == BOTH_WAYS) s.lengths = lengths;
  if (family == RAGGED) {
    s.resets = resets;
    s.resets_stride_t = N;
    s.resets_stride_n = 1;
  }
  return s;
}

static void add_params(bptt_params* params) {
  int64_t count;
  CALL(bptt_params_count(params, NULL, &count));
  REQUIRE(count <= MOST);
  CALL(bptt_params_get(params, values));
  add(values, (size_t)count * width());
}

static void run_layer(const bptt_layer_options* options, int family) {
  const int64_t D = options->bidirectional ? 2 : 1;
  const int64_t R = options->proj_size ? options->proj_size : H;
  const bptt_sequence sequence = sequence_of(family);
  bptt_layer* layer;
  bptt_params* params;
  bptt_tape* tape;
  bptt_outputs outputs;
  bptt_backward backward;
  bptt_flow detail;
  bptt_seeds seeds;
  bptt_spectrum spectrum;
  int64_t count, times[2] = {T - 1, 0}, rows[2] = {0, 0};
  CALL(bptt_layer_create(options, &layer));
  CALL(bptt_layer_params(layer, &params));
  add_params(params);
  CALL(bptt_params_count(params, NULL, &count));
  CALL(bptt_outputs_init(&outputs, sizeof outputs));
  outputs.y = y;
  outputs.y_stride_t = N * D * R;
  outputs.y_stride_n = D * R;
  outputs.hn = h;
  CALL(bptt_layer_forward(layer, &sequence, &outputs, NULL));
  add(y, (size_t)(T * N * D * R) * width());
  CALL(bptt_layer_forward(layer, &sequence, &outputs, &tape));
  add(y, (size_t)(T * N * D * R) * width());
  add(h, (size_t)(LAYERS * D * N * R) * width());
  CALL(bptt_backward_init(&backward, sizeof backward));
  CALL(bptt_flow_init(&detail, sizeof detail));
  backward.dy = dy;
  backward.dy_stride_t = N * D * R;
  backward.dy_stride_n = D * R;
  backward.gradients = gradients;
  CALL(bptt_layer_backward(layer, tape, &backward));
  add(gradients, (size_t)count * width());
  backward.dx = dx;
  backward.dx_stride_t = N * I;
  backward.dx_stride_n = I;
  backward.flow = &detail;
  detail.h = flow;
  detail.a = flow_a;
  detail.samples_h = samples;
  CALL(bptt_layer_backward(layer, tape, &backward));
  add(gradients, (size_t)count * width());
  add(dx, (size_t)(T * N * I) * width());
  add(flow, (size_t)(LAYERS * D * T) * sizeof *flow);
  add(flow_a, (size_t)(LAYERS * D * T) * sizeof *flow_a);
  add(samples, (size_t)(LAYERS * D * T * N) * sizeof *samples);
  if (options->cell == BPTT_RNN && family == PLAIN) backward.omega = 0.5;
  if (family == STRUCTURE) {
    backward.clip_step = 0.125;
    backward.clip_step_norm = 0.25;
  }
  if (family == NORMS) backward.truncation_k1 = backward.truncation_k2 = 4;
  CALL(bptt_layer_backward(layer, tape, &backward));
  add(gradients, (size_t)count * width());
  stop = 1;
  CALL_REFUSED(BPTT_ERR_CANCELLED, bptt_layer_backward(layer, tape, &backward));
  stop = 0;
  if (family == PLAIN || family == RAGGED || family == BOTH_WAYS) {
    CALL(bptt_seeds_init(&seeds, sizeof seeds));
    seeds.count = 2;
    seeds.times = times;
    seeds.samples = rows;
    seeds.outputs = rows;
    seeds.dx_norms = dx_norms;
    CALL(bptt_layer_backward_seeds(layer, tape, &seeds));
    add(dx_norms, 2 * T * sizeof *dx_norms);
    CALL(bptt_layer_jacobian(layer, tape, LAYERS * D - 1, 0, 3, jacobian));
    count = options->cell == BPTT_LSTM ? 2 * H : H;
    add(jacobian, (size_t)(count * count) * width());
    CALL(bptt_spectrum_init(&spectrum, sizeof spectrum));
    spectrum.exponents = exponents;
    CALL(bptt_layer_spectrum(layer, tape, &spectrum));
    add(exponents, (size_t)count * sizeof *exponents);
  }
  CALL(bptt_tape_free(tape));
  CALL_REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, NULL, &outputs, NULL));
  CALL(bptt_layer_free(layer));
}

static void run_model(const bptt_layer_options* layer, int family, bptt_algorithm algorithm) {
  bptt_model_options options;
  bptt_layer_options layers = *layer;
  bptt_optimizer_options rule;
  bptt_sequence sequence = sequence_of(family);
  bptt_target target;
  bptt_outputs outputs;
  bptt_step step;
  bptt_params* params;
  bptt_stream* stream;
  bptt_model *model, *copy;
  static char bytes[1 << 20];
  const char* text;
  size_t size;
  double loss;
  int64_t k;
  CALL(bptt_model_options_init(&options, sizeof options));
  CALL(bptt_optimizer_options_init(&rule, sizeof rule));
  options.output_size = O;
  options.clip_norm = 0.01;
  rule.algorithm = algorithm;
  rule.weight_decay = 0.1;
  options.loss = BPTT_CROSS_ENTROPY;
  options.label_smoothing = 0.1;
  options.clip_value = 0.5;
  options.clip_tensor_norm = 0.25;
  if (family == RAGGED) {
    layers.input_size = 0;
    options.vocab_size = V;
    options.embedding_size = I;
    sequence.x = NULL;
    sequence.tokens = tokens;
    sequence.tokens_stride_t = N;
    sequence.tokens_stride_n = 1;
  }
  CALL(bptt_model_create(&options, &layers, &rule, &model));
  CALL(bptt_model_params(model, &params));
  add_params(params);
  CALL(bptt_target_init(&target, sizeof target));
  target.classes = classes;
  target.stride_t = N;
  target.stride_n = 1;
  CALL(bptt_step_init(&step, sizeof step));
  for (k = 0; k < 3; ++k) {
    CALL(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    REQUIRE(!step.skipped);
    add(&step.loss, sizeof step.loss);
    add(&step.grad_norm, sizeof step.grad_norm);
    add(&step.clip_angle, sizeof step.clip_angle);
  }
  CALL(bptt_model_gradients(model, &sequence, &target, NULL, NULL, gradients, 0, &step));
  CALL(bptt_model_apply(model, gradients, &step));
  add_params(params);
  CALL(bptt_model_serialize(model, bytes, sizeof bytes, &size));
  CALL(bptt_model_deserialize(bytes, size, &copy));
  CALL(bptt_model_params(copy, &params));
  add_params(params);
  CALL(bptt_outputs_init(&outputs, sizeof outputs));
  outputs.y = y;
  outputs.y_stride_t = N * O;
  outputs.y_stride_n = O;
  CALL(bptt_model_evaluate(copy, &sequence, &target, &outputs, &loss));
  add(&loss, sizeof loss);
  add(y, (size_t)(T * N * O) * width());
  if (family != BOTH_WAYS) {
    CALL(bptt_stream_create(model, NULL, &stream));
    for (k = 0; k < 3; ++k) {
      if (family == RAGGED) {
        CALL(bptt_stream_step_token(stream, tokens[k], y));
      } else {
        CALL(bptt_stream_step(stream, x, y));
      }
      add(y, O * width());
    }
    CALL(bptt_stream_free(stream));
  }
  CALL_REFUSED(BPTT_ERR_NAME, bptt_model_get_metadata(model, "nothing", &text));
  CALL(bptt_model_free(copy));
  CALL(bptt_model_free(model));
}

static void run_functions(void) {
  static const char* names[] = {"tanh", "sigmoid", "exp"};
  static double in[256], out[256];
  bptt_error error;
  double norm;
  int k;
  for (k = 0; k < 3; ++k) {
    fill(in, 256);
    memset(in, 0xFF, 8 * width()); /* NaN */
    CALL(bptt_map(names[k], dtype, in, out, 256));
    add(out, 256 * width());
  }
  CALL(bptt_grad_norm(dtype, out + 64, 64, &norm));
  add(&norm, sizeof norm);
  CALL(bptt_clip_grad_norm(dtype, out + 64, 64, 0.1, 1e-6, &norm));
  CALL(bptt_clip_grad_value(dtype, out + 64, 64, 0.01));
  add(out, 256 * width());
  /* Errors that print a number work, too. */
  CALL_REFUSED(BPTT_ERR_ARGUMENT, bptt_clip_grad_value(dtype, out, 64, -0.3));
  CALL(bptt_last_error(&error, sizeof error));
  add(error.text, strlen(error.text));
}

static uint64_t run_all(void) {
  static const bptt_cell cells[] = {BPTT_RNN, BPTT_LSTM, BPTT_GRU, BPTT_MINGRU};
  static const bptt_algorithm algorithms[] = {BPTT_ADAM, BPTT_SGD, BPTT_RMSPROP, BPTT_ADAGRAD};
  int k, family, f;
  digest = 0xcbf29ce484222325u;
  random_state = 12345;
  fill(x, T * N * I);
  fill(dy, T * N * 2 * H);
  run_functions();
  for (k = 0; k < 4; ++k) {
    for (family = 0; family < FAMILIES; ++family) {
      const bptt_layer_options options = options_of(cells[k], family);
      run_layer(&options, family);
      run_model(&options, family, algorithms[(k + family) % 4]);
    }
  }
  for (f = BPTT_TANH; f <= BPTT_SILU; ++f) {
    bptt_layer_options options = options_of(BPTT_RNN, PLAIN);
    options.nonlinearity = (bptt_nonlinearity)f;
    run_layer(&options, PLAIN);
  }
  return digest;
}

/* A change that the callback makes to its caller's environment persists. */
static int rounds_up(void* user) {
  (void)user;
  fesetround(FE_UPWARD);
  return 0;
}
static void check_callback_changes(void) {
  bptt_layer_options options = options_of(BPTT_GRU, PLAIN);
  const bptt_sequence sequence = sequence_of(PLAIN);
  bptt_layer* layer;
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_set_cancel(rounds_up, NULL));
  OK(bptt_layer_forward(layer, &sequence, NULL, NULL));
  REQUIRE(fegetround() == FE_UPWARD);
  fesetround(FE_TONEAREST);
  OK(bptt_set_cancel(callback, NULL));
  OK(bptt_layer_free(layer));
}

/* An argument restricts the test to a few environments, for sanitizers and emulators, which are
 * slow. */
int main(int arguments, char** argument) {
  static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  static const int64_t batches[] = {1, 3, MOST_N};
  const int few = arguments > 1;
  int traps = FE_ALL_EXCEPT, runs = 0, k, threads, batch;
  (void)argument;
  if (feenableexcept(FE_ALL_EXCEPT) == -1) traps = 0; /* this processor has no traps */
  fesetenv(FE_DFL_ENV);
  for (k = 0; k < MOST_N; ++k) lengths[k] = T - k % T;
  for (k = 0; k < T * MOST_N; ++k) {
    classes[k] = k % O;
    tokens[k] = k % V;
    resets[k] = k % 5 == 4;
  }
  OK(bptt_set_cancel(callback, NULL));
  for (dtype = BPTT_FLOAT32; dtype <= (few ? BPTT_FLOAT32 : BPTT_FLOAT64); ++dtype) {
    for (batch = 0; batch < 3; ++batch) {
      uint64_t wanted = 0;
      N = batches[batch];
      for (threads = 1; threads <= 2; ++threads) {
        OK(bptt_set_num_threads(threads));
        for (k = 0; k < (few ? 2 : 4); ++k) {
          mode.rounding = roundings[k];
          mode.traps = k == 0 && threads == 1 ? 0 : traps; /* the first run sets the reference */
          if (!wanted) {
            wanted = run_all();
          } else {
            REQUIRE(run_all() == wanted);
          }
          ++runs;
        }
      }
      mode.rounding = FE_TONEAREST;
      mode.traps = traps;
      REQUIRE(run_all() == wanted);
    }
  }
  REQUIRE(asked > 0);
  mode.traps = 0;
  dtype = BPTT_FLOAT32;
  check_callback_changes();
  printf("%d environments, exceptions %s: the same bits\n", runs,
         traps ? "trapped" : "not trapped");
  return 0;
}
