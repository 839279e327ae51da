/* protocol.h: the workers' line protocol (see serve.py) for C and C++. The including file calls
 * worker_main and defines
 *     const char* worker_setup(const Item*, const void* data)  Prepare an item; return NULL, or the
 *                                   reason for skipping it. The data are floats or doubles.
 *     void worker_change(void)      Change the weights before a timed run, if they are not fixed.
 *     void worker_run(void)         Run once.
 *     int worker_result(FILE*)      Write the result as doubles; return 0 on failure. */
#ifndef BENCHMARKS_PROTOCOL_H
#define BENCHMARKS_PROTOCOL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Item {
  char job[16], cell[16], shape[16], dtype[16];
  long T, N, I, H, L, gates;
  size_t parameters; /* of all layers */
} Item;

/* Offsets of the parts of `Item.flat`, in elements. */
typedef struct Parts {
  size_t x, dy, h0, c0, weights[2], end;
} Parts;

static const char* worker_setup(const Item* item, const void* data);
static void worker_change(void);
static void worker_run(void);
static int worker_result(FILE* file);

static Parts parts_of(const Item* item) {
  Parts p;
  p.x = 0;
  p.dy = p.x + (size_t)(item->T * item->N * item->I);
  p.h0 = p.dy + (size_t)(item->T * item->N * item->H);
  p.c0 = p.h0 + (size_t)(item->L * item->N * item->H);
  p.weights[0] = p.c0 + (size_t)(item->L * item->N * item->H);
  p.weights[1] = p.weights[0] + item->parameters;
  p.end = p.weights[1] + item->parameters;
  return p;
}

static double worker_now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Read item and data; return the data, which the caller frees, or NULL. */
static void* worker_read(const char* words, Item* item) {
  char path[1024];
  size_t size, got;
  void* data;
  FILE* file;
  if (sscanf(words, "%15s %15s %15s %ld %ld %ld %ld %ld %15s %1023s", item->job, item->cell,
             item->shape, &item->T, &item->N, &item->I, &item->H, &item->L, item->dtype,
             path) != 10) {
    return NULL;
  }
  item->gates = !strcmp(item->cell, "rnn") ? 1 : !strcmp(item->cell, "lstm") ? 4 : 3;
  item->parameters = (size_t)(item->gates * item->H *
                              (item->I + (item->L - 1) * item->H + item->L * (item->H + 2)));
  size = parts_of(item).end * (strcmp(item->dtype, "float64") ? sizeof(float) : sizeof(double));
  data = malloc(size);
  file = fopen(path, "rb");
  got = data && file ? fread(data, 1, size, file) : 0;
  if (file) fclose(file);
  if (got == size) return data;
  free(data);
  return NULL;
}

static void worker_time(const Item* item, long count) {
  const int changing = !strcmp(item->job, "train"), several = count > 1;
  const double repeats = !strcmp(item->job, "step") ? (double)item->T : 1;
  long k;
  for (k = 0; k < count + several; ++k) {
    double wall, cpu;
    if (changing) worker_change();
    cpu = worker_now(CLOCK_PROCESS_CPUTIME_ID);
    wall = worker_now(CLOCK_MONOTONIC);
    worker_run();
    wall = worker_now(CLOCK_MONOTONIC) - wall;
    cpu = worker_now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (k || !several) printf("%.4e:%.4e ", wall / repeats, cpu / repeats);
  }
  puts("");
}

/* Answer the lines of the standard input. */
static int worker_main(const char* version) {
  char line[2048];
  Item item;
  printf("ready %s\n", version);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "setup ", 6)) {
      void* data = worker_read(line + 6, &item);
      const char* why = data ? worker_setup(&item, data) : "the data cannot be read";
      free(data);
      if (why) {
        printf("skip %s\n", why);
      } else {
        puts("ok");
      }
    } else if (!strncmp(line, "run ", 4)) {
      worker_time(&item, atol(line + 4));
    } else if (!strncmp(line, "result ", 7)) {
      FILE* file = fopen(line + 7, "wb");
      const int written = file && worker_result(file);
      puts(file && !fclose(file) && written ? "ok" : "skip the result cannot be written");
    } else {
      break;
    }
    fflush(stdout);
  }
  return 0;
}

#endif
