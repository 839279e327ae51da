/* profile.c: a call that spans the end of one profile and the beginning of the next: each counts
 * its part. */
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#include "structs.h"

enum { T = 600, N = 16, I = 64, H = 256 };

static int asked = 0, half = 0;
static struct timespec since;
static double first = 0;

static double profiled(void) {
  double sum = 0;
  int phase;
  for (phase = BPTT_PACKING; phase <= BPTT_OTHER; ++phase) {
    double seconds;
    OK(bptt_profile_read((bptt_phase)phase, &seconds));
    sum += seconds;
  }
  return sum;
}

/* Begin the second profile after half of the callback's calls. */
static int change(void* user) {
  (void)user;
  if (++asked != half) return 0;
  OK(bptt_profile_stop());
  first = profiled();
  REQUIRE(!clock_gettime(CLOCK_MONOTONIC, &since));
  OK(bptt_profile_start());
  return 0;
}

int main(void) {
  static float x[T * N * I], y[T * N * H];
  const bptt_layer_options options = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  const bptt_sequence sequence = values_over(T, N, x, I);
  const bptt_outputs outputs = outputs_to(y, N, H);
  bptt_layer* layer;
  struct timespec until;
  double second, elapsed;
  OK(bptt_set_num_threads(1));
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_set_cancel(change, NULL));
  OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
  REQUIRE(asked >= 4);
  half = asked / 2;
  asked = 0;
  OK(bptt_profile_start());
  OK(bptt_layer_forward(layer, &sequence, &outputs, NULL));
  REQUIRE(!clock_gettime(CLOCK_MONOTONIC, &until));
  OK(bptt_profile_stop());
  second = profiled();
  elapsed = (double)(until.tv_sec - since.tv_sec) + 1e-9 * (double)(until.tv_nsec - since.tv_nsec);
  REQUIRE(first > 0 && second > 0 && second <= 1.05 * elapsed);
  OK(bptt_layer_free(layer));
  printf("asked %d times, profile ok\n", asked);
  return 0;
}
