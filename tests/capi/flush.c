/* flush.c: bptt_set_flush_subnormals: whether gradients below the smallest normal number become
 * zeros. The caller's floating-point mode is restored after every call and in the callback. */
#include "structs.h"

#include <float.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
static unsigned long mode(void) { return _mm_getcsr() & ~0x3FuL; }
static void set_mode(unsigned long value) { _mm_setcsr((unsigned)value); }
enum { ROUND_DOWN = 1 << 13 };
#else
static unsigned long mode(void) {
  unsigned long value;
  __asm__ volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
static void set_mode(unsigned long value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
enum { ROUND_DOWN = 2 << 22 };
#endif

enum { T = 60, N = 32, I = 40, H = 64 };
static float x[T * N * I], dy[T * N * H], gradients[40000], other[40000];
static unsigned long callers;
static int asked, stop;

static int callback(void* user) {
  (void)user;
  ++asked;
  REQUIRE(mode() == callers);
  return stop;
}

static bptt_layer* layer;
static int64_t count;

static void train(float* into) {
  bptt_sequence sequence;
  bptt_outputs outputs;
  bptt_backward backward;
  bptt_tape* tape = NULL;
  OK(bptt_sequence_init(&sequence, sizeof sequence));
  OK(bptt_outputs_init(&outputs, sizeof outputs));
  OK(bptt_backward_init(&backward, sizeof backward));
  sequence.time = T;
  sequence.batch = N;
  sequence.x = x;
  sequence.x_stride_t = N * I;
  sequence.x_stride_n = I;
  OK(bptt_layer_forward(layer, &sequence, &outputs, &tape));
  backward.dy = dy;
  backward.dy_stride_t = N * H;
  backward.dy_stride_n = H;
  backward.gradients = into;
  stop = 1;
  REFUSED(BPTT_ERR_CANCELLED, bptt_layer_backward(layer, tape, &backward));
  stop = 0;
  REQUIRE(mode() == callers);
  OK(bptt_layer_backward(layer, tape, &backward));
  REQUIRE(mode() == callers);
  OK(bptt_tape_free(tape));
  sequence.x = NULL;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_forward(layer, &sequence, &outputs, NULL));
  REQUIRE(mode() == callers);
}

static int64_t subnormal(const float* values, int64_t* zeros) {
  int64_t found = 0, k;
  *zeros = 0;
  for (k = 0; k < count; ++k) {
    found += values[k] != 0 && fabsf(values[k]) < FLT_MIN;
    *zeros += values[k] == 0;
  }
  return found;
}

int main(void) {
  const unsigned long before = mode();
  bptt_layer_options options;
  bptt_params* params;
  int64_t zeros = 0;
  int32_t flush = 1;
  int k, threads, modes;
  options = layer_of(BPTT_LSTM, BPTT_FLOAT32, I, H);
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_layer_params(layer, &params));
  OK(bptt_params_count(params, NULL, &count));
  REQUIRE(count <= 40000);
  for (k = 0; k < T * N * I; ++k) x[k] = (float)random_number();
  for (k = 0; k < T * N * H; ++k) dy[k] = (float)random_number() * 2e-39f;
  OK(bptt_set_cancel(callback, NULL));
  OK(bptt_get_flush_subnormals(&flush));
  REQUIRE(flush == 0);
  REFUSED(BPTT_ERR_ARGUMENT, bptt_set_flush_subnormals(2));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_get_flush_subnormals(NULL));
  for (modes = 0; modes < 2; ++modes) {
    callers = before | (modes ? ROUND_DOWN : 0);
    set_mode(callers);
    for (flush = 0; flush < 2; ++flush) {
      OK(bptt_set_flush_subnormals(flush));
      REQUIRE(mode() == callers);
      for (threads = 1; threads <= 4; ++threads) {
        OK(bptt_set_num_threads(threads));
        train(threads == 1 ? gradients : other);
        if (threads > 1) REQUIRE(memcmp(gradients, other, (size_t)count * sizeof(float)) == 0);
      }
      if (flush) {
        REQUIRE(subnormal(gradients, &zeros) == 0 && zeros > 0);
      } else {
        REQUIRE(subnormal(gradients, &zeros) > 0);
      }
    }
  }
  set_mode(before);
  REQUIRE(asked > 0);
  OK(bptt_set_flush_subnormals(0));
  OK(bptt_layer_free(layer));
  printf("flush ok\n");
  return 0;
}
