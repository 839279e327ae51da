/* stream.c: steps of a stream, which allocate no memory, take no lock and make no system call.
 * Run it with interpose.so preloaded; or with an argument to run steps without counting (for
 * sanitizers, which allocate and lock themselves). */
#define _GNU_SOURCE
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

extern long interposed_calls(void) __attribute__((weak));

enum { I = 5, H = 33, O = 7, L = 2, STEPS = 500 };

static double x[I], y[O], h[L * H], c[L * H]; /* read as float, too: any bits will do */

static void run_steps(bptt_stream* stream, bptt_cell cell, int tokens) {
  int k;
  for (k = 0; k < STEPS; ++k) {
    if (tokens) {
      OK(bptt_stream_step_token(stream, k % I, y));
    } else {
      OK(bptt_stream_step(stream, x, y));
    }
  }
  OK(bptt_stream_get_state(stream, h, cell == BPTT_LSTM ? c : NULL));
  OK(bptt_stream_set_state(stream, h, cell == BPTT_LSTM ? c : NULL));
  OK(bptt_stream_reset(stream));
}

/* In strict mode the kernel kills a process at any system call except read, write and exit. */
static int survives_strict_mode(bptt_stream* stream, bptt_cell cell, int tokens) {
  int status = 0;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(77);
    run_steps(stream, cell, tokens);
    syscall(SYS_exit, 0);
  }
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    printf("seccomp strict mode is not available here; not checked\n");
    return 1;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void check_refusals(bptt_model* model, bptt_dtype dtype) {
  bptt_stream_options options;
  bptt_stream* stream;
  bptt_error error;
  OK(bptt_stream_options_init(&options, sizeof options));
  REQUIRE(options.weights == BPTT_WEIGHTS_MODEL && options.noise == 0 && options.draw == 0);
  options.weights = (bptt_weights)3;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_create(model, &options, &stream));
  options.weights = (bptt_weights)-1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_create(model, &options, &stream));
  options.weights = BPTT_WEIGHTS_MODEL;
  options.noise = 2;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_create(model, &options, &stream));
  if (dtype == BPTT_FLOAT32) return;
  options.noise = 0;
  options.weights = BPTT_WEIGHTS_INT8;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_stream_create(model, &options, &stream));
  OK(bptt_last_error(&error, sizeof error));
  REQUIRE(!strcmp(error.text,
                  "bptt_stream_create: argument 'weights': expected "
                  "BPTT_WEIGHTS_MODEL, because the model is float64, got "
                  "BPTT_WEIGHTS_INT8"));
}

int main(int argc, char** argv) {
  const int counts = argc < 2;
  const bptt_cell cells[] = {BPTT_RNN, BPTT_LSTM, BPTT_GRU, BPTT_MINGRU};
  const bptt_dtype dtypes[] = {BPTT_FLOAT32, BPTT_FLOAT64};
  int cell, dtype, input, weights, counted = 0, i;
  (void)argv;
  REQUIRE(!counts || interposed_calls);
  for (i = 0; i < I; ++i) x[i] = random_number();
  for (cell = 0; cell < 4; ++cell) {
    for (dtype = 0; dtype < 2; ++dtype) {
      for (input = 0; input < 3; ++input) { /* values, one-hot tokens, an embedding */
        bptt_model_options options;
        bptt_layer_options layers;
        bptt_stream_options reading;
        bptt_model* model;
        long before;
        OK(bptt_model_options_init(&options, sizeof options));
        OK(bptt_layer_options_init(&layers, sizeof layers));
        OK(bptt_stream_options_init(&reading, sizeof reading));
        layers.cell = cells[cell];
        layers.dtype = dtypes[dtype];
        layers.hidden_size = H;
        layers.noise = cells[cell] == BPTT_RNN ? 0.1 : 0;
        layers.num_layers = L;
        layers.input_size = input ? 0 : I;
        options.vocab_size = input ? I : 0;
        options.embedding_size = input == 2 ? 3 : 0;
        options.output_size = O;
        before = counts ? interposed_calls() : 0;
        OK(bptt_model_create(&options, &layers, NULL, &model));
        REQUIRE(!counts || interposed_calls() > before + 10); /* the counter works */
        check_refusals(model, dtypes[dtype]);
        for (weights = 0; weights < (dtype ? 1 : 3); ++weights) {
          bptt_stream* stream;
          reading.weights = (bptt_weights)weights;
          reading.noise = 1;
          OK(bptt_stream_create(model, &reading, &stream));
          REFUSED(input ? BPTT_ERR_RANGE : BPTT_ERR_ARGUMENT, bptt_stream_step_token(stream, I, y));
          before = counts ? interposed_calls() : 0;
          run_steps(stream, cells[cell], input);
          REQUIRE(!counts || interposed_calls() == before);
          REQUIRE(!counts || survives_strict_mode(stream, cells[cell], input));
          OK(bptt_stream_free(stream));
          ++counted;
        }
        OK(bptt_model_free(model));
      }
    }
  }
  printf("%d streams of %d steps%s\n", counted, STEPS,
         counts ? ": no allocation, no lock, no system call" : "");
  return 0;
}
