/* hostile_calls.c: calls from the cancel callback, handles that other threads free, and the
 * error record of each thread. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "hostile.h"

static int callbacks = 0, depth = 0;

/* Runs as the callback of a forward pass of `layer`: each call that it makes on `layer` is
 * refused, and none waits for its own thread. */
static int intrude(void* user) {
  (void)user;
  if (depth) return 0; /* called from one of the calls below */
  ++depth;
  if (callbacks++ == 0) {
    int64_t count;
    REFUSED(BPTT_ERR_BUSY, bptt_layer_free(layer));
    REFUSED(BPTT_ERR_BUSY, bptt_params_set(layer_params, gradients));
    REFUSED(BPTT_ERR_BUSY, bptt_params_get(layer_params, gradients));
    REFUSED(BPTT_ERR_BUSY, bptt_optimizer_step(optimizer, gradients, NULL));
    REFUSED(BPTT_ERR_BUSY, bptt_layer_forward(layer, &sequence, &outputs, NULL));
    OK(bptt_params_count(layer_params, &count, NULL));
    OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL,
                             &step)); /* other objects can be freed */
  }
  --depth;
  return 1;
}

static void check_callbacks(void) {
  enum { long_ = 4000 };
  static float long_x[long_ * N * I];
  float before[2][400];
  bptt_sequence long_sequence = sequence;
  bptt_tape* made_tape;
  int64_t taken, after, count;
  long_sequence.time = long_;
  long_sequence.x = long_x;
  outputs.y = NULL;
  OK(bptt_set_cancel(intrude, NULL));
  REFUSED(BPTT_ERR_CANCELLED, bptt_layer_forward(layer, &long_sequence, &outputs, NULL));
  REQUIRE(callbacks > 0);
  REFUSED(BPTT_ERR_CANCELLED, bptt_layer_forward(layer, &long_sequence, &outputs, &made_tape));
  OK(bptt_set_cancel(NULL, NULL));
  OK(bptt_params_count(model_params, NULL, &count));
  REQUIRE(count <= 400);
  OK(bptt_params_get(model_params, before[0]));
  OK(bptt_model_steps(model, &taken, NULL));
  {
    static float long_goal[long_ * N * O];
    bptt_target long_target = target;
    long_target.values = long_goal;
    OK(bptt_set_cancel(intrude, NULL));
    REFUSED(BPTT_ERR_CANCELLED,
            bptt_model_train_step(model, &long_sequence, &long_target, NULL, NULL, &step));
    OK(bptt_set_cancel(NULL, NULL));
  }
  OK(bptt_model_steps(model, &after, NULL));
  OK(bptt_params_get(model_params, before[1]));
  REQUIRE(taken == after && !memcmp(before[0], before[1], (size_t)count * sizeof(float)));
  reset();
  OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
}

/* Eight threads use, free and recreate the same handles: each call returns one of the statuses
 * that are possible. */
enum { THREADS = 8, ROUNDS = 3000 };
static bptt_layer* shared[4];
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

static void* scramble(void* seed) {
  uint32_t state = (uint32_t)(uintptr_t)seed * 7919u + 1u;
  float local_y[T * N * H];
  bptt_outputs local = outputs;
  intptr_t freed = 0;
  int k;
  local.y = local_y;
  for (k = 0; k < ROUNDS; ++k) {
    bptt_layer* handle;
    bptt_status status;
    int slot;
    state = state * 1664525u + 1013904223u;
    slot = state >> 30;
    pthread_mutex_lock(&shared_lock);
    handle = shared[slot];
    pthread_mutex_unlock(&shared_lock);
    if (state >> 20 & 15) {
      status = bptt_layer_forward(handle, &sequence, &local, NULL);
      REQUIRE(status == BPTT_OK || status == BPTT_ERR_HANDLE);
    } else {
      status = bptt_layer_free(handle);
      REQUIRE(status == BPTT_OK || status == BPTT_ERR_HANDLE || status == BPTT_ERR_BUSY);
      if (status == BPTT_OK) {
        bptt_layer* fresh = new_layer();
        ++freed;
        pthread_mutex_lock(&shared_lock);
        shared[slot] = fresh;
        pthread_mutex_unlock(&shared_lock);
      }
    }
  }
  return (void*)freed;
}

static void check_threads(void) {
  pthread_t threads[THREADS];
  int k, freed = 0;
  for (k = 0; k < 4; ++k) shared[k] = new_layer();
  for (k = 0; k < THREADS; ++k)
    REQUIRE(!pthread_create(&threads[k], NULL, scramble, (void*)(intptr_t)k));
  for (k = 0; k < THREADS; ++k) {
    void* count;
    REQUIRE(!pthread_join(threads[k], &count));
    freed += (int)(intptr_t)count;
  }
  for (k = 0; k < 4; ++k) OK(bptt_layer_free(shared[k]));
  REQUIRE(freed > 100);
  printf("%d threads freed %d handles under each other\n", THREADS, freed);
}

/* Each thread has a separate record. */
static void* other_record(void* unused) {
  bptt_error error;
  (void)unused;
  REQUIRE(bptt_last_error(&error, sizeof error) == BPTT_OK && error.status == BPTT_OK &&
          !*error.text);
  REFUSED(BPTT_ERR_HANDLE, bptt_layer_free((bptt_layer*)1));
  return NULL;
}

static void check_records(void) {
  bptt_error error;
  pthread_t thread;
  REFUSED(BPTT_ERR_RANGE, bptt_params_info(layer_params, 99, NULL, 0));
  REQUIRE(!pthread_create(&thread, NULL, other_record, NULL) && !pthread_join(thread, NULL));
  OK(bptt_last_error(&error, sizeof error));
  REQUIRE(error.status == BPTT_ERR_RANGE && !strcmp(error.argument, "index") &&
          !strcmp(error.got, "99"));
}

int main(void) {
  begin();
  check_callbacks();
  check_records();
  check_threads();
  end();
  return 0;
}
