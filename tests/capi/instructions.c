/* instructions.c: the number of instructions that the library executes in warmed-up training steps,
 * on one thread. It depends on no clock and on no other process.
 *
 * `instructions steps` counts by single steps: the processor traps after each instruction while the
 * trap flag is set. It prints a line for each item, or "skip REASON" where this cannot be done.
 * `instructions` only trains, for callgrind, which counts what `measured` does. Instructions of
 * other libraries do not count, since the C library chooses its functions by the CPU. */
#define _GNU_SOURCE
#include "structs.h"

enum { WARM_UP = 3 };

static const struct {
  const char* name;
  bptt_cell cell;
  int is_model;
  int64_t T, N, I, H;
} items[] = {
    {"tiny rnn", BPTT_RNN, 0, 6, 1, 32, 32},     {"tiny lstm", BPTT_LSTM, 0, 6, 1, 32, 32},
    {"tiny gru", BPTT_GRU, 0, 6, 1, 32, 32},     {"small rnn", BPTT_RNN, 0, 2, 16, 32, 32},
    {"small lstm", BPTT_LSTM, 0, 2, 16, 32, 32}, {"small gru", BPTT_GRU, 0, 2, 16, 32, 32},
    {"neuro rnn", BPTT_RNN, 1, 1, 16, 16, 48},   {"neuro lstm", BPTT_LSTM, 1, 1, 16, 16, 48},
    {"neuro gru", BPTT_GRU, 1, 1, 16, 16, 48},
};

static struct {
  bptt_layer* layer; /* or model */
  bptt_model* model;
  bptt_params* params;
  bptt_sequence sequence;
  bptt_outputs outputs;
  bptt_backward backward;
  bptt_target target;
  bptt_step step;
  int64_t count;
} w;

static float* draw(int64_t count) {
  float* made = malloc((size_t)count * sizeof *made);
  int64_t k;
  REQUIRE(made);
  for (k = 0; k < count; ++k) made[k] = 0.1f * (float)random_number();
  return made;
}

static void set_up(int k) {
  const int64_t T = items[k].T, N = items[k].N, I = items[k].I, H = items[k].H;
  bptt_layer_options options = layer_of(items[k].cell, BPTT_FLOAT32, I, H);
  memset(&w, 0, sizeof w);
  w.sequence = values_over(T, N, draw(T * N * I), I);
  if (items[k].is_model) {
    bptt_model_options model;
    OK(bptt_model_options_init(&model, sizeof model));
    model.output_size = 1;
    model.loss = BPTT_MSE;
    model.clip_norm = 1;
    OK(bptt_model_create(&model, &options, NULL, &w.model));
    w.target = values_at(draw(T * N), N, 1);
    w.step = new_step();
    return;
  }
  OK(bptt_layer_create(&options, &w.layer));
  OK(bptt_layer_params(w.layer, &w.params));
  OK(bptt_params_count(w.params, NULL, &w.count));
  w.outputs = outputs_to(draw(T * N * H), N, H);
  w.backward = backward_from(draw(T * N * H), N, H, draw(w.count));
  w.backward.dx = draw(T * N * I);
  w.backward.dx_stride_t = N * I;
  w.backward.dx_stride_n = I;
}

static void release(void) {
  free((void*)w.sequence.x);
  free((void*)w.target.values);
  free(w.outputs.y);
  free((void*)w.backward.dy);
  free(w.backward.gradients);
  free(w.backward.dx);
  OK(bptt_layer_free(w.layer));
  OK(bptt_model_free(w.model));
}

/* Change the weights, so that the next step packs them; a model's steps do this themselves. */
static void change(void) {
  float* values;
  if (w.model) return;
  values = draw(w.count);
  OK(bptt_params_set(w.params, values));
  free(values);
}

static void train(void) {
  bptt_tape* tape;
  double norm;
  if (w.model) {
    OK(bptt_model_train_step(w.model, &w.sequence, &w.target, NULL, NULL, &w.step));
    return;
  }
  OK(bptt_layer_forward(w.layer, &w.sequence, &w.outputs, &tape));
  OK(bptt_layer_backward(w.layer, tape, &w.backward));
  OK(bptt_tape_free(tape));
  OK(bptt_clip_grad_norm(BPTT_FLOAT32, w.backward.gradients, w.count, 1.0, 1e-6, &norm));
}

void measured(void);
__attribute__((noinline)) void measured(void) { train(); }

#if defined(__linux__) && defined(__x86_64__)
#include <link.h>
#include <signal.h>
#include <ucontext.h>

enum { TRAP_FLAG = 0x100 };

static uintptr_t first, last; /* the library's code */
static volatile uint64_t counted, traps;

static int find_library(struct dl_phdr_info* info, size_t size, void* unused) {
  int k;
  (void)size, (void)unused;
  if (!strstr(info->dlpi_name, "libbptt")) return 0;
  for (k = 0; k < info->dlpi_phnum; ++k) {
    const ElfW(Phdr)* part = &info->dlpi_phdr[k];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    first = info->dlpi_addr + part->p_vaddr;
    last = first + part->p_memsz;
  }
  return 1;
}

static void on_trap(int number, siginfo_t* info, void* context) {
  const uintptr_t at = (uintptr_t)((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
  (void)number, (void)info;
  ++traps;
  if (at >= first && at < last) ++counted;
}

/* Change the trap flag of the code that the signal interrupted. */
static void on_switch(int number, siginfo_t* info, void* context) {
  (void)number, (void)info;
  ((ucontext_t*)context)->uc_mcontext.gregs[REG_EFL] ^= TRAP_FLAG;
}

static void catch_signal(int number, void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO;
  REQUIRE(sigaction(number, &action, NULL) == 0);
}

/* Return the number of the library's instructions in a step; 0 where the system does not trap. */
static uint64_t count_steps(void) {
  dl_iterate_phdr(find_library, NULL);
  REQUIRE(first < last);
  catch_signal(SIGTRAP, on_trap);
  catch_signal(SIGUSR1, on_switch);
  counted = 0;
  raise(SIGUSR1);
  measured();
  raise(SIGUSR1);
  return counted;
}
#else
static uint64_t count_steps(void) {
  measured();
  return 0;
}
#endif

int main(int argc, char** argv) {
  int k, j;
  const int steps = argc > 1 && !strcmp(argv[1], "steps");
  OK(bptt_set_num_threads(1));
  for (k = 0; k < (int)(sizeof items / sizeof *items); ++k) {
    uint64_t found = 0;
    set_up(k);
    for (j = 0; j < WARM_UP; ++j) {
      change();
      train();
    }
    change();
    if (steps) {
      found = count_steps();
      if (!found) {
        printf("skip the system does not trap after single instructions\n");
        return 0;
      }
    } else {
      measured();
    }
    release();
    printf("%s: %lu\n", items[k].name, (unsigned long)found);
  }
  return 0;
}
