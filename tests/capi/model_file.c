/* model_file.c: loads a model file and saves it elsewhere; system_calls.so, if preloaded,
 * records the system calls. `model_file save FROM TO` records the save, `model_file load FROM`
 * the load. MODEL_FILE_CANCEL is the number of the callback's call, within the recorded one,
 * that returns nonzero. Prints the number of these calls, the status, the errno and the message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bptt_files.h"
#include "bptt_library.h"

extern void watch_system_calls(int on) __attribute__((weak));
static long asks, last;
static int count_ask(void* user) {
  (void)user;
  return ++asks == last;
}

static void watch(int on) {
  if (watch_system_calls) watch_system_calls(on);
  bptt_set_cancel(on ? count_ask : NULL, NULL);
}

static int told(bptt_status status) {
  bptt_error error;
  memset(&error, 0, sizeof error);
  if (status != BPTT_OK) bptt_last_error(&error, sizeof error);
  printf("%ld %d %d %s\n", asks, (int)status, (int)error.system_error,
         status == BPTT_OK ? "" : error.text);
  return 0;
}

int main(int argc, char** argv) {
  bptt_model* model = NULL;
  bptt_status status;
  const int saves = argc == 4 && strcmp(argv[1], "save") == 0;
  if (!saves && (argc != 3 || strcmp(argv[1], "load") != 0)) return 2;
  last = getenv("MODEL_FILE_CANCEL") ? atol(getenv("MODEL_FILE_CANCEL")) : 0;
  if (!saves) watch(1);
  status = bptt_model_load(argv[2], &model);
  watch(0);
  if (saves && status == BPTT_OK) {
    watch(1);
    status = bptt_model_save(model, argv[3]);
    watch(0);
  }
  bptt_model_free(model);
  return told(status);
}
