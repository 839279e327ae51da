/* interpose.c: a library for LD_PRELOAD that counts the allocations and locks of the calling
 * thread. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

static __thread long calls;
long interposed_calls(void) { return calls; }

/* ISO C cannot convert void* to a function pointer; POSIX allows it by a copy. */
static void find(void* function, const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  memcpy(function, &found, sizeof found);
}

/* Memory for allocations that dlsym makes before the real functions are known. */
static char early[65536];
static size_t early_used;
static int searching;
static void* early_block(size_t size) {
  void* block = early + early_used;
  early_used += (size + 15) / 16 * 16;
  return early_used <= sizeof early ? block : NULL;
}
static int is_early(const void* block) {
  return (const char*)block >= early && (const char*)block < early + sizeof early;
}

#define FORWARD(result, name, parameters, arguments) \
  result name parameters {                           \
    static result(*real) parameters;                 \
    ++calls;                                         \
    if (!real) find(&real, #name);                   \
    return real arguments;                           \
  }

FORWARD(int, posix_memalign, (void** block, size_t alignment, size_t size),
        (block, alignment, size))
FORWARD(void*, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
FORWARD(void*, memalign, (size_t alignment, size_t size), (alignment, size))
FORWARD(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
FORWARD(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
FORWARD(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))

void* malloc(size_t size) {
  static void* (*real)(size_t);
  ++calls;
  if (!real && !searching) {
    searching = 1;
    find(&real, "malloc");
    searching = 0;
  }
  return real ? real(size) : early_block(size);
}

void* calloc(size_t count, size_t size) {
  static void* (*real)(size_t, size_t);
  ++calls;
  if (!real && !searching) {
    searching = 1;
    find(&real, "calloc");
    searching = 0;
  }
  return real ? real(count, size) : early_block(count * size);
}

void* realloc(void* block, size_t size) {
  static void* (*real)(void*, size_t);
  ++calls;
  if (!real) find(&real, "realloc");
  return real(block, size);
}

void free(void* block) {
  static void (*real)(void*);
  ++calls;
  if (is_early(block)) return;
  if (!real) find(&real, "free");
  real(block);
}
