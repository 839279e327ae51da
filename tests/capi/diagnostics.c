/* diagnostics.c: gradients of single outputs, Jacobians and spectra through the C API, compared
 * with one backward pass per loss, with central differences of forward passes, and with networks
 * whose spectrum is known; the same after a change of the parameters. */
#include "structs.h"

enum { T = 7, N = 3, I = 2, H = 4, L = 2, O = 3, SEEDS = 12, MOST = 2000 };

static const int64_t lengths[N] = {5, 7, 1};
static const double bounds[] = {1e-5, 1e-12};

/* The arrays are doubles; they hold floats if the dtype is float32. */
static bptt_dtype dtype;
static double bound, worst = 0;

static double at(const void* values, int64_t k) {
  return dtype == BPTT_FLOAT32 ? (double)((const float*)values)[k] : ((const double*)values)[k];
}
static void put(void* values, int64_t k, double value) {
  if (dtype == BPTT_FLOAT32) {
    ((float*)values)[k] = (float)value;
  } else {
    ((double*)values)[k] = value;
  }
}
static void fill(void* values, int64_t count) {
  int64_t k;
  for (k = 0; k < count; ++k) put(values, k, random_number());
}
static void close_to(double a, double b, double most, const char* what) {
  if (!(fabs(a - b) <= most)) {
    fprintf(stderr, "%s: %.17g, not %.17g\n", what, a, b);
    exit(1);
  }
  if (fabs(a - b) / most > worst) worst = fabs(a - b) / most;
}

typedef struct net {
  bptt_layer* layer;
  bptt_model* model; /* the same layers with a readout */
  bptt_cell cell;
  bptt_targets targets;
  int64_t D, S;
  double x[T * N * I];
  bptt_sequence sequence;
  bptt_tape *tape, *model_tape;
} net;

static net* new_net(bptt_cell cell, int32_t bidirectional, bptt_targets targets) {
  net* it = calloc(1, sizeof *it);
  bptt_layer_options l;
  bptt_model_options m;
  bptt_params *own, *other;
  static double values[MOST], all[MOST];
  int64_t count, k;
  REQUIRE(it);
  OK(bptt_model_options_init(&m, sizeof m));
  l = layer_of(cell, dtype, I, H);
  l.num_layers = L;
  l.bidirectional = bidirectional;
  m.output_size = O;
  m.targets = targets;
  OK(bptt_layer_create(&l, &it->layer));
  OK(bptt_model_create(&m, &l, NULL, &it->model));
  OK(bptt_layer_params(it->layer, &own));
  OK(bptt_model_params(it->model, &other));
  OK(bptt_params_count(own, NULL, &count));
  REQUIRE(count <= MOST - 100);
  fill(values, count);
  OK(bptt_params_set(own, values));
  OK(bptt_params_get(other, all));
  for (k = 0; k < count; ++k) put(all, k, at(values, k));
  OK(bptt_params_set(other, all));
  it->cell = cell;
  it->targets = targets;
  it->D = bidirectional ? 2 : 1;
  it->S = cell == BPTT_LSTM ? 2 * H : H;
  fill(it->x, T * N * I);
  it->sequence = values_over(T, N, it->x, I);
  it->sequence.lengths = lengths;
  OK(bptt_layer_forward(it->layer, &it->sequence, NULL, &it->tape));
  OK(bptt_model_forward(it->model, &it->sequence, NULL, &it->model_tape));
  return it;
}

static void free_net(net* it) {
  OK(bptt_tape_free(it->tape));
  OK(bptt_tape_free(it->model_tape));
  OK(bptt_layer_free(it->layer));
  OK(bptt_model_free(it->model));
  free(it);
}

/* Compute the state of walk `walk` after step `step` of sequence n, if element j of the state
 * before that step is changed by `change`: one forward step from the state that the tape holds. */
static void moved(const net* it, int64_t walk, int64_t n, int64_t step, int64_t j, double change,
                  double* state) {
  double before[2][2 * L * H], after[2][2 * L * H], all[2][T * N * H];
  const int64_t time = walk % it->D ? lengths[n] - 1 - step : step;
  bptt_sequence one = it->sequence;
  bptt_outputs out;
  int64_t k, part;
  const int lstm = it->cell == BPTT_LSTM;
  memset(before, 0, sizeof before);
  for (k = 0; k < L * it->D; ++k) {
    const int64_t from = k % it->D ? time + 1 : time - 1;
    OK(bptt_tape_read(it->tape, BPTT_TAPE_H, k, 0, all[0]));
    if (lstm) OK(bptt_tape_read(it->tape, BPTT_TAPE_C, k, 0, all[1]));
    for (part = 0; part <= lstm && from >= 0 && from < lengths[n]; ++part)
      memcpy(before[part] + k * H, all[part] + (from * N + n) * H, H * sizeof(double));
  }
  before[j / H][walk * H + j % H] += change;
  one.time = one.batch = 1;
  one.x = it->x + (time * N + n) * I;
  one.lengths = NULL;
  one.h0 = before[0];
  one.c0 = lstm ? before[1] : NULL;
  OK(bptt_outputs_init(&out, sizeof out));
  out.hn = after[0];
  out.cn = lstm ? after[1] : NULL;
  OK(bptt_layer_forward(it->layer, &one, &out, NULL));
  for (part = 0; part <= lstm; ++part)
    memcpy(state + part * H, after[part] + walk * H, H * sizeof(double));
}

static void check_jacobians(const net* it) {
  double J[4 * H * H], same[4 * H * H], up[2 * H], down[2 * H];
  int64_t walk, n, step, i, j;
  const double e = 1e-5;
  for (walk = 0; walk < L * it->D; ++walk) {
    for (n = 0; n < N; ++n) {
      for (step = 0; step < lengths[n]; ++step) {
        OK(bptt_layer_jacobian(it->layer, it->tape, walk, n, step, J));
        OK(bptt_model_jacobian(it->model, it->model_tape, walk, n, step, same));
        for (i = 0; i < it->S * it->S; ++i) close_to(at(same, i), at(J, i), bound, "of a model");
        for (j = 0; dtype == BPTT_FLOAT64 && j < it->S; ++j) {
          moved(it, walk, n, step, j, e, up);
          moved(it, walk, n, step, j, -e, down);
          for (i = 0; i < it->S; ++i)
            close_to(J[i * it->S + j], (up[i] - down[i]) / (2 * e), 1e-8, "a Jacobian");
        }
      }
    }
  }
}

/* Compare one backward pass for loss s with row s. */
static void check_row(const net* it, int model, const bptt_seeds* seeds, int64_t s,
                      const double* dy) {
  static double full[T * N * 2 * H], dx[T * N * I], flow[2][2 * L * T];
  const int64_t n = seeds->samples ? seeds->samples[s] : 0, time = seeds->times[s];
  const int64_t far = seeds->horizon ? seeds->horizon : T, width = model ? O : it->D * H;
  const int last = model && it->targets == BPTT_LAST_STEP, ends = last && it->D == 2;
  const int64_t row = (last ? 0 : time) * N + n;
  bptt_backward backward;
  bptt_flow norms;
  int64_t k, t, walk;
  memset(full, 0, sizeof full);
  for (k = 0; k < width; ++k) put(full, row * width + k, dy[k]);
  backward = backward_from(full, N, width, NULL);
  backward.dx = dx;
  backward.dx_stride_t = N * I;
  backward.dx_stride_n = I;
  OK(bptt_flow_init(&norms, sizeof norms));
  norms.h = flow[0];
  norms.c = it->cell == BPTT_LSTM ? flow[1] : NULL;
  backward.flow = &norms;
  if (model) {
    OK(bptt_model_backward(it->model, it->model_tape, &backward));
  } else {
    OK(bptt_layer_backward(it->layer, it->tape, &backward));
  }
  for (t = 0; t < T; ++t) {
    const double a = at(dx, (t * N + n) * I), b = at(dx, (t * N + n) * I + 1);
    const int cut = ends ? time - t >= far && t >= far : time - t >= far || t - time >= far;
    close_to(seeds->dx_norms[s * T + t], cut ? 0 : sqrt(a * a + b * b), bound, "dx_norms");
    for (walk = 0; walk < L * it->D; ++walk) {
      const int64_t own = (walk * seeds->count + s) * T + t;
      close_to(seeds->flow[own], cut ? 0 : flow[0][walk * T + t], bound, "flow");
      if (seeds->flow_c)
        close_to(seeds->flow_c[own], cut ? 0 : flow[1][walk * T + t], bound, "flow_c");
    }
  }
}

static bptt_status backward_seeds(const net* it, int model, const bptt_seeds* seeds) {
  return model ? bptt_model_backward_seeds(it->model, it->model_tape, seeds)
               : bptt_layer_backward_seeds(it->layer, it->tape, seeds);
}

static void check_seeds(const net* it, int model) {
  static double dx_norms[SEEDS * T], flow[2][2 * L * SEEDS * T], dy[SEEDS * 2 * H], own[2 * H];
  int64_t times[SEEDS], samples[SEEDS], outputs[SEEDS], s, k;
  const int64_t width = model ? O : it->D * H;
  const int last = model && it->targets == BPTT_LAST_STEP;
  int form;
  for (form = 0; form < 4; ++form) { /* bit 0: dy; bit 1: only the first sequence, with a horizon */
    bptt_seeds seeds;
    OK(bptt_seeds_init(&seeds, sizeof seeds));
    REQUIRE(!seeds.samples && !seeds.outputs && !seeds.dy && seeds.horizon == 0);
    fill(dy, SEEDS * width);
    for (s = 0; s < SEEDS; ++s) {
      samples[s] = form & 2 ? 0 : s % N;
      times[s] = last ? lengths[samples[s]] - 1 : random_bits() % lengths[samples[s]];
      outputs[s] = random_bits() % width;
    }
    seeds.count = SEEDS;
    seeds.times = times;
    seeds.samples = form & 2 ? NULL : samples;
    seeds.outputs = form & 1 ? NULL : outputs;
    seeds.dy = form & 1 ? dy : NULL;
    seeds.horizon = !(form & 2) ? 0 : it->D == 1 ? 3 : last ? 2 : 0;
    seeds.dx_norms = dx_norms;
    seeds.flow = flow[0];
    seeds.flow_c = it->cell == BPTT_LSTM ? flow[1] : NULL;
    OK(backward_seeds(it, model, &seeds));
    for (s = 0; s < SEEDS; ++s) {
      for (k = 0; k < width; ++k) own[k] = form & 1 ? at(dy, s * width + k) : k == outputs[s];
      check_row(it, model, &seeds, s, own);
    }
    seeds.dx_norms = seeds.flow = seeds.flow_c = NULL;
    OK(backward_seeds(it, model, &seeds)); /* no results: nothing to do */
  }
}

/* An RNN with the identity as its nonlinearity; W_hh is orthogonal, or has `diagonal` on its
 * diagonal. */
static void check_spectrum(const double* diagonal) {
  bptt_layer_options options;
  bptt_layer* layer;
  bptt_params* params;
  bptt_param_info info;
  bptt_sequence sequence;
  bptt_spectrum spectrum;
  bptt_tape* tape;
  double x[T * I], values[200], exponents[H], logs[H], start[H * H], sum = 0;
  uint8_t resets[T] = {0, 0, 0, 1, 0, 0, 0};
  int64_t k, interval;
  OK(bptt_layer_options_init(&options, sizeof options));
  options.cell = BPTT_RNN;
  options.nonlinearity = BPTT_IDENTITY;
  options.dtype = dtype;
  options.input_size = I;
  options.hidden_size = H;
  options.init = BPTT_INIT_ORTHOGONAL;
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_layer_params(layer, &params));
  OK(bptt_params_info(params, 1, &info, sizeof info));
  REQUIRE(!strcmp(info.name, "weight_hh_l0"));
  OK(bptt_params_get(params, values));
  for (k = 0; k < H * H; ++k) {
    put(start, k, k % (H + 1) == 0);
    if (diagonal) put(values, info.offset + k, k % (H + 1) ? 0 : diagonal[k / H]);
  }
  for (k = 0; diagonal && k < H; ++k) sum += log(fabs(diagonal[k]));
  OK(bptt_params_set(params, values));
  fill(x, T * I);
  OK(bptt_sequence_init(&sequence, sizeof sequence));
  sequence.time = T;
  sequence.batch = 1;
  sequence.x = x;
  sequence.x_stride_t = sequence.x_stride_n = I;
  OK(bptt_layer_forward(layer, &sequence, NULL, &tape));
  for (interval = 1; interval <= T + 1; interval += 3) {
    /* the effect of rounding on the smallest value */
    const double most = bound * pow(4, (double)interval);
    double total = 0;
    OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
    REQUIRE(spectrum.interval == 1 && spectrum.count == 0 && spectrum.last == 0);
    spectrum.first = 1;
    spectrum.interval = interval;
    spectrum.exponents = exponents;
    spectrum.log_singular_values = logs;
    OK(bptt_layer_spectrum(layer, tape, &spectrum));
    for (k = 0; k < H; ++k) {
      total += exponents[k];
      close_to(logs[k], diagonal ? (T - 1) * log(fabs(diagonal[k])) : 0, most, "a log");
      if (!diagonal) close_to(exponents[k], 0, bound, "an exponent of a rotation");
    }
    close_to(total, sum, most, "the sum of exponents");
    spectrum.start = start;
    spectrum.discard = interval == 1 ? 2 : 0;
    spectrum.log_singular_values = NULL;
    spectrum.count = 2;
    OK(bptt_layer_spectrum(layer, tape, &spectrum));
    for (k = 0; k < 2; ++k)
      close_to(exponents[k], diagonal ? log(fabs(diagonal[k])) : 0, most, "an exponent");
  }
  OK(bptt_tape_free(tape));
  sequence.resets = resets;
  sequence.resets_stride_t = sequence.resets_stride_n = 1;
  OK(bptt_layer_forward(layer, &sequence, NULL, &tape));
  OK(bptt_layer_jacobian(layer, tape, 0, 0, 3, values));
  for (k = 0; k < H * H; ++k) REQUIRE(at(values, k) == 0);
  OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
  spectrum.exponents = exponents;
  OK(bptt_layer_spectrum(layer, tape, &spectrum));
  for (k = 0; k < H; ++k) REQUIRE(exponents[k] == -INFINITY);
  OK(bptt_tape_free(tape));
  OK(bptt_layer_free(layer));
}

static void check_refusals(net* it, net* other) {
  bptt_layer* layer = it->layer;
  bptt_tape* tape = it->tape;
  bptt_seeds seeds;
  bptt_spectrum spectrum;
  int64_t times[2] = {0, 4}, samples[2] = {0, 0}, outputs[2] = {0, H - 1}, k;
  double norms[2 * T], flow[4 * L * T], dy[2 * H], values[MOST], exponents[2 * H], logs[2 * H];
  const int lstm = it->cell == BPTT_LSTM;
  memset(dy, 0, sizeof dy);
#define SEEDS_(set, status)                                          \
  do {                                                               \
    OK(bptt_seeds_init(&seeds, sizeof seeds));                       \
    seeds.count = 2;                                                 \
    seeds.times = times;                                             \
    seeds.samples = samples;                                         \
    seeds.outputs = outputs;                                         \
    seeds.dx_norms = norms;                                          \
    seeds.flow = flow;                                               \
    OK(bptt_layer_backward_seeds(layer, tape, &seeds));              \
    set;                                                             \
    REFUSED(status, bptt_layer_backward_seeds(layer, tape, &seeds)); \
    times[0] = samples[0] = outputs[0] = 0;                          \
  } while (0)
#define SPECTRUM(set, status)                                     \
  do {                                                            \
    OK(bptt_spectrum_init(&spectrum, sizeof spectrum));           \
    spectrum.exponents = exponents;                               \
    spectrum.log_singular_values = logs;                          \
    OK(bptt_layer_spectrum(layer, tape, &spectrum));              \
    set;                                                          \
    REFUSED(status, bptt_layer_spectrum(layer, tape, &spectrum)); \
  } while (0)
  SEEDS_(seeds.times = NULL, BPTT_ERR_ARGUMENT);
  SEEDS_(seeds.count = 0, BPTT_ERR_ARGUMENT);
  SEEDS_(seeds.count = -1, BPTT_ERR_ARGUMENT);
  SEEDS_(seeds.count = INT64_MAX, BPTT_ERR_MEMORY);
  SEEDS_(seeds.outputs = NULL, BPTT_ERR_ARGUMENT);
  SEEDS_(seeds.dy = dy, BPTT_ERR_ARGUMENT);
  SEEDS_(seeds.horizon = -1, BPTT_ERR_ARGUMENT);
  SEEDS_(times[0] = -1, BPTT_ERR_RANGE);
  SEEDS_(times[0] = lengths[0], BPTT_ERR_RANGE);
  SEEDS_(samples[0] = -1, BPTT_ERR_RANGE);
  SEEDS_(samples[0] = N, BPTT_ERR_RANGE);
  SEEDS_(outputs[0] = -1, BPTT_ERR_RANGE);
  SEEDS_(outputs[0] = it->D * H, BPTT_ERR_RANGE);
  SEEDS_(seeds.flow = norms, BPTT_ERR_ARGUMENT);
  SEEDS_(seeds.dx_norms = (double*)times, BPTT_ERR_ARGUMENT);
  SEEDS_(seeds.struct_size = 3, BPTT_ERR_STRUCT_SIZE);
  SEEDS_(seeds.struct_size = SIZE_MAX, BPTT_ERR_STRUCT_SIZE);
  if (!lstm) SEEDS_(seeds.flow_c = logs, BPTT_ERR_ARGUMENT);
  SPECTRUM(spectrum.index = L * it->D, BPTT_ERR_RANGE);
  SPECTRUM(spectrum.sample = N, BPTT_ERR_RANGE);
  SPECTRUM(spectrum.first = lengths[0], BPTT_ERR_RANGE);
  SPECTRUM(spectrum.last = lengths[0] + 1, BPTT_ERR_RANGE);
  SPECTRUM((spectrum.first = 2, spectrum.last = 2), BPTT_ERR_RANGE);
  SPECTRUM(spectrum.count = it->S + 1, BPTT_ERR_RANGE);
  SPECTRUM(spectrum.count = -1, BPTT_ERR_RANGE);
  SPECTRUM(spectrum.count = 1, BPTT_ERR_ARGUMENT); /* not allowed with log_singular_values */
  SPECTRUM(spectrum.interval = 0, BPTT_ERR_ARGUMENT);
  SPECTRUM(spectrum.discard = lengths[0], BPTT_ERR_RANGE);
  SPECTRUM(spectrum.exponents = logs, BPTT_ERR_ARGUMENT);
  SPECTRUM(spectrum.struct_size = 1, BPTT_ERR_STRUCT_SIZE);
  for (k = -1; k <= 7; k += 8) {
    REFUSED(BPTT_ERR_RANGE, bptt_layer_jacobian(layer, tape, k, 0, 0, values));
    REFUSED(BPTT_ERR_RANGE, bptt_layer_jacobian(layer, tape, 0, k, 0, values));
    REFUSED(BPTT_ERR_RANGE, bptt_model_jacobian(it->model, it->model_tape, 0, 0, k, values));
  }
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_jacobian(layer, tape, 0, 0, 0, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_backward_seeds(layer, tape, NULL));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_spectrum(layer, tape, NULL));
  REFUSED(BPTT_ERR_HANDLE, bptt_layer_jacobian(layer, NULL, 0, 0, 0, values));
  OK(bptt_seeds_init(&seeds, sizeof seeds));
  OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
  seeds.count = 1;
  seeds.times = &lengths[2];
  seeds.outputs = outputs;
  REFUSED(BPTT_ERR_STATE, bptt_layer_backward_seeds(layer, other->tape, &seeds));
  REFUSED(BPTT_ERR_STATE, bptt_layer_spectrum(layer, it->model_tape, &spectrum));
  REFUSED(BPTT_ERR_STATE, bptt_model_jacobian(it->model, tape, 0, 0, 0, values));
  if (it->targets == BPTT_LAST_STEP)
    REFUSED(BPTT_ERR_RANGE, bptt_model_backward_seeds(it->model, it->model_tape, &seeds));
}

/* Collect the diagnostics of both tapes: norms of seeds, exponents, a Jacobian. */
static void look(net* it, double* seen) {
  const int64_t time = lengths[0] - 1, output = 1;
  bptt_seeds seeds;
  bptt_spectrum spectrum;
  OK(bptt_seeds_init(&seeds, sizeof seeds));
  seeds.count = 1;
  seeds.times = &time;
  seeds.outputs = &output;
  OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
  seeds.dx_norms = seen;
  spectrum.exponents = seen + T;
  OK(bptt_layer_backward_seeds(it->layer, it->tape, &seeds));
  OK(bptt_layer_spectrum(it->layer, it->tape, &spectrum));
  seeds.dx_norms = seen + T + it->S;
  spectrum.exponents = seen + 2 * T + it->S;
  OK(bptt_model_backward_seeds(it->model, it->model_tape, &seeds));
  OK(bptt_model_spectrum(it->model, it->model_tape, &spectrum));
  OK(bptt_layer_jacobian(it->layer, it->tape, 1, 1, 2, seen + 2 * (T + it->S)));
}

/* Diagnostics of a tape use the parameters with which the tape was made. */
static void check_changed(net* it) {
  static double before[MOST], after[MOST], values[MOST];
  bptt_params* params[2];
  int64_t count, i, k;
  memset(before, 0, sizeof before);
  memset(after, 0, sizeof after);
  look(it, before);
  OK(bptt_layer_params(it->layer, &params[0]));
  OK(bptt_model_params(it->model, &params[1]));
  for (i = 0; i < 2; ++i) {
    OK(bptt_params_count(params[i], NULL, &count));
    REQUIRE(count <= MOST);
    for (k = 0; k < count; ++k) put(values, k, 2 * random_number());
    OK(bptt_params_set(params[i], values));
    look(it, after);
    REQUIRE(memcmp(before, after, sizeof before) == 0);
  }
}

int main(void) {
  static const bptt_cell cells[] = {BPTT_RNN, BPTT_LSTM, BPTT_GRU, BPTT_MINGRU};
  static const double diagonal[H] = {2, -1.25, 0.8, 0.5};
  int k, type, both;
  for (type = 0; type < 2; ++type) {
    dtype = type ? BPTT_FLOAT64 : BPTT_FLOAT32;
    bound = bounds[type];
    for (k = 0; k < 4; ++k) {
      for (both = 0; both < 2; ++both) {
        net* it = new_net(cells[k], both, both ? BPTT_LAST_STEP : BPTT_EVERY_STEP);
        net* other = new_net(cells[k], both, BPTT_EVERY_STEP);
        check_jacobians(it);
        check_seeds(it, 0);
        check_seeds(it, 1);
        check_refusals(it, other);
        check_changed(it);
        free_net(it);
        free_net(other);
      }
      printf("cell %d, float%d: Jacobians, seeds\n", (int)cells[k], type ? 64 : 32);
    }
    check_spectrum(NULL);
    check_spectrum(diagonal);
  }
  printf("worst difference %.1g of its bound, %d refusals\n", worst, refusals);
  return 0;
}
