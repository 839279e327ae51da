/* forks.c: fork() during each public call: one thread is inside the call when another one forks,
 * and the child makes every call on the same objects. Each call must succeed or return
 * BPTT_ERR_BUSY; a child that hangs is killed. Arguments: a file to save to, and the time limit
 * of a child in seconds. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "structs.h"

enum { T = 16, N = 16, I = 32, H = 32, O = 4, FORKS = 12, P = 4 * H * (I + H + 2) + O * H + O };

static float x[T * N * I], goal[T * N * O];
static bptt_model* model;
static bptt_layer* layer;
static bptt_params* params;
static bptt_optimizer *optimizer, *own_optimizer;
static bptt_model_options options;
static bptt_layer_options layer_options;
static bptt_sequence sequence;
static bptt_target target;
static const char* path;
static char child_path[4096];
static int in_child = 0, busy = 0;

/* Return whether the call succeeded; in a child it may also return BPTT_ERR_BUSY. */
static int may(bptt_status status, int line) {
  if (in_child && status == BPTT_ERR_BUSY) {
    ++busy;
    return 0;
  }
  ok(status, __FILE__, line);
  return 1;
}
#define MAY(call) may((call), __LINE__)

static void train(void) {
  bptt_step step = new_step();
  MAY(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
}

static void halves(void) {
  static float gradients[P];
  if (MAY(bptt_model_gradients(model, &sequence, &target, NULL, NULL, gradients, 0, NULL)))
    MAY(bptt_model_apply(model, gradients, NULL));
}

static void evaluate(void) {
  double loss;
  MAY(bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
}

static void model_passes(void) {
  static float dout[T * N * O], gradients[P];
  bptt_backward call;
  bptt_tape* tape;
  if (!MAY(bptt_model_forward(model, &sequence, NULL, &tape))) return;
  call = backward_from(dout, N, O, gradients);
  MAY(bptt_model_backward(model, tape, &call));
  OK(bptt_tape_free(tape));
}

static void diagnostics(void) {
  static float values[T * N * H], jacobian[4 * H * H];
  static double norms[T], exponents[3];
  const int64_t time = T - 1, element = 0;
  int64_t bytes;
  bptt_seeds seeds;
  bptt_spectrum spectrum;
  bptt_tape* tape;
  if (!MAY(bptt_layer_forward(layer, &sequence, NULL, &tape))) return;
  OK(bptt_seeds_init(&seeds, sizeof seeds));
  seeds.count = 1;
  seeds.times = &time;
  seeds.outputs = &element;
  seeds.dx_norms = norms;
  MAY(bptt_layer_backward_seeds(layer, tape, &seeds));
  MAY(bptt_layer_jacobian(layer, tape, 0, 0, 0, jacobian));
  OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
  spectrum.count = 3;
  spectrum.exponents = exponents;
  MAY(bptt_layer_spectrum(layer, tape, &spectrum));
  MAY(bptt_tape_read(tape, BPTT_TAPE_H, 0, 0, values));
  MAY(bptt_tape_bytes(tape, &bytes));
  OK(bptt_tape_free(tape));
}

static void parameters(void) {
  static float values[P];
  bptt_param_info info;
  int64_t count;
  const void* data;
  if (MAY(bptt_params_get(params, values))) MAY(bptt_params_set(params, values));
  MAY(bptt_params_info(params, 0, &info, sizeof info));
  MAY(bptt_params_count(params, &count, NULL));
  MAY(bptt_params_data(params, &data));
  MAY(bptt_params_freeze(params, "readout.bias", 0));
}

static void optimise(void) {
  static float values[P];
  double lr, decay;
  int64_t count, steps;
  const char* const* names;
  MAY(bptt_optimizer_step(own_optimizer, values, NULL));
  if (MAY(bptt_optimizer_get_lr(optimizer, &lr))) MAY(bptt_optimizer_set_lr(optimizer, lr));
  MAY(bptt_optimizer_set_group(optimizer, "readout.bias", 1, NAN));
  MAY(bptt_optimizer_get_group(optimizer, "readout.bias", &lr, &decay));
  MAY(bptt_optimizer_moments(optimizer, &count, &names));
  if (MAY(bptt_optimizer_get_state(optimizer, 0, values)))
    MAY(bptt_optimizer_set_state(optimizer, 0, values));
  if (MAY(bptt_optimizer_get_steps(optimizer, &steps)))
    MAY(bptt_optimizer_set_steps(optimizer, steps));
}

static void extras(void) {
  const int64_t shape[1] = {3};
  const char* text;
  bptt_extra_info info;
  int64_t taken;
  MAY(bptt_model_set_metadata(model, "key", "value"));
  MAY(bptt_model_get_metadata(model, "key", &text));
  MAY(bptt_model_metadata_key(model, 0, &text));
  MAY(bptt_model_set_extra(model, "name", BPTT_FLOAT32, 1, shape, x));
  MAY(bptt_model_extra(model, 0, &info, sizeof info));
  MAY(bptt_model_steps(model, &taken, NULL));
}

static void files(void) {
  static unsigned char buffer[200000];
  const char* name = in_child ? child_path : path;
  size_t size;
  bptt_model* made;
  if (MAY(bptt_model_serialize(model, buffer, sizeof buffer, &size))) {
    OK(bptt_model_deserialize(buffer, size, &made));
    OK(bptt_model_free(made));
  }
  if (!MAY(bptt_model_save(model, name))) return;
  OK(bptt_model_load(name, &made));
  OK(bptt_model_free(made));
}

static void stream_steps(void) {
  float y[O], h[H], c[H];
  int k;
  bptt_stream* stream;
  if (!MAY(bptt_stream_create(model, NULL, &stream))) return;
  for (k = 0; k < 10; ++k) OK(bptt_stream_step(stream, x, y));
  OK(bptt_stream_get_state(stream, h, c));
  OK(bptt_stream_set_state(stream, h, c));
  OK(bptt_stream_reset(stream));
  OK(bptt_stream_free(stream));
}

static void objects(void) {
  bptt_model* made;
  bptt_layer* other;
  bptt_params* its;
  bptt_model_options read;
  OK(bptt_model_create(&options, &layer_options, NULL, &made));
  OK(bptt_layer_create(&layer_options, &other));
  OK(bptt_model_params(made, &its));
  OK(bptt_model_free(made));
  OK(bptt_layer_free(other));
  REFUSED(BPTT_ERR_HANDLE, bptt_layer_free(other));
  MAY(bptt_model_get_options(model, &read, sizeof read));
}

static void profile(void) {
  double seconds;
  const bptt_status status = bptt_profile_start();
  /* already running at the fork */
  REQUIRE(status == BPTT_OK || (in_child && status == BPTT_ERR_STATE));
  OK(bptt_profile_read(BPTT_PACKING, &seconds));
  OK(bptt_profile_stop());
}

static void library(void) {
  static float values[1 << 17];
  const char* name;
  const char* const* names;
  int64_t count;
  double norm;
  OK(bptt_isa(&name));
  OK(bptt_available_isas(&names, &count));
  OK(bptt_set_num_threads(2));
  OK(bptt_get_num_threads(&count));
  OK(bptt_map("tanh", BPTT_FLOAT32, x, values, 100));
  OK(bptt_clip_grad_norm(BPTT_FLOAT32, values, 1 << 17, 1, 0, &norm));
  OK(bptt_clip_grad_value(BPTT_FLOAT32, values, 1 << 17, 1));
}

static void (*const calls[])(void) = {train,      halves,   evaluate, model_passes, diagnostics,
                                      parameters, optimise, extras,   files,        stream_steps,
                                      objects,    profile,  library};
enum { CALLS = sizeof calls / sizeof *calls };

/* The other thread repeats one of the calls. */
static volatile int ended;
static void* repeat(void* which) {
  while (!ended) calls[(intptr_t)which]();
  return NULL;
}

static void fork_once(int which, unsigned seconds) {
  int status = 0;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int round, k;
    in_child = 1;
    busy = 0;
    alarm(seconds);
    for (round = 0; round < 2; ++round) {
      for (k = 0; k < CALLS; ++k) calls[(which + k) % CALLS]();
    }
    _exit(busy ? 2 : 0);
  }
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) {
    fprintf(stderr, "call %d: the child ended by signal %d\n", which, WTERMSIG(status));
    exit(1);
  }
  REQUIRE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2);
  if (WEXITSTATUS(status) == 2) ++busy;
}

/* A callback that forks: the call ends in the child, where the library remains usable. */
static pid_t forked = -1;
static int fork_inside(void* seconds) {
  if (forked >= 0) return 0;
  forked = fork();
  if (forked == 0) alarm(*(const unsigned*)seconds);
  return 0;
}

static void fork_in_a_callback(unsigned seconds) {
  double loss;
  int status = 0;
  bptt_status got;
  OK(bptt_set_cancel(fork_inside, &seconds));
  got = bptt_model_evaluate(model, &sequence, &target, NULL, &loss);
  OK(bptt_set_cancel(NULL, NULL));
  REQUIRE(forked >= 0);
  if (forked == 0) {
    int k;
    in_child = 1;
    busy = 0;
    REQUIRE(got == BPTT_ERR_CANCELLED);
    for (k = 0; k < CALLS; ++k) calls[k]();
    _exit(busy ? 2 : 0);
  }
  REQUIRE(got == BPTT_OK);
  REQUIRE(waitpid(forked, &status, 0) == forked);
  REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char** argv) {
  bptt_optimizer_options rule;
  unsigned seconds;
  intptr_t which;
  int k;
  REQUIRE(argc == 3);
  path = argv[1];
  snprintf(child_path, sizeof child_path, "%s.child", path);
  seconds = (unsigned)atoi(argv[2]);
  for (k = 0; k < T * N * I; ++k) x[k] = (float)random_number();
  sequence = values_over(T, N, x, I);
  target = values_at(goal, N, O);
  options = regressor_of(O);
  layer_options = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  OK(bptt_model_create(&options, &layer_options, NULL, &model));
  OK(bptt_layer_create(&layer_options, &layer));
  OK(bptt_model_params(model, &params));
  OK(bptt_model_optimizer(model, &optimizer));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  OK(bptt_optimizer_create(&rule, params, &own_optimizer));
  for (k = 0; k < CALLS; ++k) calls[k]();
  for (which = 0; which < CALLS; ++which) {
    pthread_t other;
    ended = 0;
    REQUIRE(!pthread_create(&other, NULL, repeat, (void*)which));
    for (k = 0; k < FORKS; ++k) {
      usleep((useconds_t)(random_bits() % 2000));
      fork_once((int)which, seconds);
    }
    ended = 1;
    REQUIRE(!pthread_join(other, NULL));
  }
  fork_in_a_callback(seconds);
  for (k = 0; k < CALLS; ++k) calls[k](); /* all calls work in the parent */
  printf("%d children, %d of them refused something\n", CALLS * FORKS, busy);
  return 0;
}
