/* unload.c: repeatedly loads the library, trains with two threads and unloads it. The library's
 * threads outlive dlclose(). Argument: the library. */
#include <bptt.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 64, N = 16, I = 32, H = 64, ROUNDS = 20 };

static float x[T * N * I];

#define REQUIRE(condition)                                            \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: " #condition "\n", __FILE__, __LINE__); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

/* ISO C cannot convert void* to a function pointer; POSIX allows it by a copy. */
#define FIND(name)                                \
  do {                                            \
    void* found_ = dlsym(library, "bptt_" #name); \
    REQUIRE(found_);                              \
    memcpy(&name, &found_, sizeof found_);        \
  } while (0)

int main(int argc, char** argv) {
  int round;
  REQUIRE(argc == 2);
  for (round = 0; round < ROUNDS; ++round) {
    void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    bptt_status (*set_num_threads)(int64_t);
    bptt_status (*layer_options_init)(bptt_layer_options*, size_t);
    bptt_status (*layer_create)(const bptt_layer_options*, bptt_layer**);
    bptt_status (*layer_forward)(bptt_layer*, const bptt_sequence*, const bptt_outputs*,
                                 bptt_tape**);
    bptt_status (*layer_free)(bptt_layer*);
    bptt_status (*sequence_init)(bptt_sequence*, size_t);
    bptt_layer_options options;
    bptt_sequence sequence;
    bptt_layer* layer;
    REQUIRE(library);
    FIND(set_num_threads);
    FIND(layer_options_init);
    FIND(layer_create);
    FIND(layer_forward);
    FIND(layer_free);
    FIND(sequence_init);
    REQUIRE(set_num_threads(2) == BPTT_OK);
    REQUIRE(layer_options_init(&options, sizeof options) == BPTT_OK);
    options.input_size = I;
    options.hidden_size = H;
    REQUIRE(layer_create(&options, &layer) == BPTT_OK);
    REQUIRE(sequence_init(&sequence, sizeof sequence) == BPTT_OK);
    sequence.time = T;
    sequence.batch = N;
    sequence.x = x;
    sequence.x_stride_t = N * I;
    sequence.x_stride_n = I;
    REQUIRE(layer_forward(layer, &sequence, NULL, NULL) == BPTT_OK);
    REQUIRE(layer_free(layer) == BPTT_OK);
    REQUIRE(dlclose(library) == 0);
  }
  printf("loaded %d times\n", ROUNDS);
  return 0;
}
