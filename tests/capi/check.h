/* check.h: checks that the C programs of the tests share: calls that must succeed, and calls
 * that must be refused. */
#ifndef CHECK_H
#define CHECK_H

#include <bptt_diagnostics.h>
#include <bptt_files.h>
#include <bptt_library.h>
#include <bptt_optimizer.h>
#include <bptt_stream.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refusals = 0, shows_refusals = 0;

static inline void die(const char* file, int line, const char* what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  exit(1);
}

#define REQUIRE(condition)                                 \
  do {                                                     \
    if (!(condition)) die(__FILE__, __LINE__, #condition); \
  } while (0)

static inline void ok(bptt_status status, const char* file, int line) {
  bptt_error error;
  if (status == BPTT_OK) return;
  bptt_last_error(&error, sizeof error);
  die(file, line, error.text);
}
#define OK(call) ok((call), __FILE__, __LINE__)

/* Return whether a record describes the state in a sentence, without an expected value. */
static inline int is_state(bptt_status status, const char* argument) {
  return status == BPTT_ERR_BUSY || status == BPTT_ERR_NONFINITE || status == BPTT_ERR_CANCELLED ||
         status == BPTT_ERR_CALLBACK || (status == BPTT_ERR_STATE && !*argument);
}

/* Require that the call returned `status` and left a record with this status, the function, the
 * expected value and the actual one. */
static inline void refused(bptt_status wanted, bptt_status got, const char* call, const char* file,
                           int line) {
  bptt_error error;
  if (got != wanted) {
    fprintf(stderr, "%s:%d: %s: %s instead of %s\n", file, line, call, bptt_status_name(got),
            bptt_status_name(wanted));
    exit(1);
  }
  if (bptt_last_error(&error, sizeof error) != BPTT_OK || error.status != wanted ||
      (*error.expected == 0) != is_state(wanted, error.argument) || !*error.got ||
      strncmp(call, error.function, strlen(error.function)) != 0 ||
      !strstr(error.text, error.expected) || !strstr(error.text, error.got) ||
      (*error.argument && !strstr(error.text, error.argument))) {
    fprintf(stderr, "%s:%d: %s: the record says: %s\n", file, line, call, error.text);
    exit(1);
  }
  if (shows_refusals) printf("%s refuses '%s'\n", error.function, error.argument);
  ++refusals;
}
#define REFUSED(status, call) refused((status), (call), #call, __FILE__, __LINE__)

/* Return numbers in [-1, 1), the same on every run. */
static uint32_t random_state = 12345;
static inline uint32_t random_bits(void) {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}
static inline double random_number(void) { return random_bits() / 8388608.0 - 1.0; }

#endif
