// throws.cpp: a cancel callback that throws: its call ends with a status, nothing has changed, and
// everything still works.
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "structs.h"

enum { T = 600, N = 16, I = 16, H = 48, O = 3 };

static float x[T * N * I], goal[T * N * O], dy[T * N * O];
static double norms[T];
static int asked = 0;

static int throws(void* what) {
  ++asked;
  if (what) throw std::runtime_error(static_cast<const char*>(what));
  throw 7;
}

// The call must end with BPTT_ERR_CALLBACK, whatever is thrown, after one call of the callback.
#define THROWS(call)                                                            \
  do {                                                                          \
    static char why[] = "why it threw";                                         \
    bptt_error error;                                                           \
    for (void* what : {static_cast<void*>(why), static_cast<void*>(nullptr)}) { \
      asked = 0;                                                                \
      OK(bptt_set_cancel(throws, what));                                        \
      REFUSED(BPTT_ERR_CALLBACK, call);                                         \
      OK(bptt_set_cancel(NULL, NULL));                                          \
      REQUIRE(asked == 1);                                                      \
      OK(bptt_last_error(&error, sizeof error));                                \
      REQUIRE(strstr(error.got, what ? why : "no std::exception"));             \
    }                                                                           \
  } while (0)

int main() {
  bptt_model_options options;
  bptt_layer_options layers;
  bptt_model* model;
  bptt_params* params;
  bptt_tape* tape;
  bptt_tape* other;
  bptt_sequence sequence;
  bptt_target target;
  bptt_step step;
  bptt_backward backward;
  bptt_seeds seeds;
  bptt_spectrum spectrum;
  static float before[20000], after[20000], gradients[20000], jacobian[4 * H * H];
  double exponents[2 * H], loss;
  const int64_t time = T - 1, element = 0;
  int64_t count, taken;
  for (float& value : x) value = static_cast<float>(random_number());
  options = regressor_of(O);
  layers = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  OK(bptt_model_create(&options, &layers, NULL, &model));
  OK(bptt_model_params(model, &params));
  OK(bptt_params_count(params, NULL, &count));
  REQUIRE(count <= 20000);
  sequence = values_over(T, N, x, I);
  target = values_at(goal, N, O);
  step = new_step();
  backward = backward_from(dy, N, O, gradients);
  OK(bptt_seeds_init(&seeds, sizeof seeds));
  seeds.count = 1;
  seeds.times = &time;
  seeds.outputs = &element;
  seeds.dx_norms = norms;
  OK(bptt_spectrum_init(&spectrum, sizeof spectrum));
  spectrum.exponents = exponents;
  for (int64_t threads = 1; threads <= 2; ++threads) {
    OK(bptt_set_num_threads(threads));
    OK(bptt_params_get(params, before));
    OK(bptt_model_forward(model, &sequence, NULL, &tape));
    THROWS(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    THROWS(bptt_model_gradients(model, &sequence, &target, NULL, NULL, gradients, 0, &step));
    THROWS(bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
    THROWS(bptt_model_forward(model, &sequence, NULL, NULL));
    THROWS(bptt_model_forward(model, &sequence, NULL, &other));
    THROWS(bptt_model_backward(model, tape, &backward));
    THROWS(bptt_model_backward_seeds(model, tape, &seeds));
    THROWS(bptt_model_spectrum(model, tape, &spectrum));
    OK(bptt_params_get(params, after));
    REQUIRE(!memcmp(before, after, static_cast<size_t>(count) * sizeof(float)));
    OK(bptt_model_steps(model, &taken, NULL));
    REQUIRE(taken == threads - 1);
    OK(bptt_model_jacobian(model, tape, 0, 0, 0, jacobian));
    OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    OK(bptt_tape_free(tape));
  }
  // A call that waits for another one calls the callback, too.
  static std::atomic<int> holding{0};
  std::thread holder([&] {
    OK(bptt_set_cancel(
        [](void*) {
          holding = 1;
          while (holding != 2) std::this_thread::yield();
          return 1;
        },
        NULL));
    REFUSED(BPTT_ERR_CANCELLED, bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
  });
  while (holding != 1) std::this_thread::yield();
  THROWS(bptt_params_set(params, before));
  holding = 2;
  holder.join();
  OK(bptt_params_set(params, before));
  // In a child that the callback forks and in which it throws, the next call works like any other.
  static pid_t child = -1;
  OK(bptt_set_cancel(
      [](void*) {
        if (child < 0 && (child = fork()) == 0) throw 1;
        return 0;
      },
      NULL));
  const bptt_status ended = bptt_model_evaluate(model, &sequence, &target, NULL, &loss);
  if (child == 0) {
    const bptt_status next = bptt_model_evaluate(model, &sequence, &target, NULL, &loss);
    _exit(ended == BPTT_ERR_CANCELLED && next == BPTT_OK ? 0 : 1);
  }
  OK(ended);
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
  OK(bptt_set_cancel(NULL, NULL));
  OK(bptt_model_free(model));
  printf("%d refusals\n", refusals);
  return 0;
}
