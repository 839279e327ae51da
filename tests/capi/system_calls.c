/* system_calls.c: a library for LD_PRELOAD that records the file calls of a program between
 * watch_system_calls(1) and (0), and makes some of them fail.
 *
 * SYSTEM_CALLS_LOG names the file of the record. Each line is a call: its name, its paths or the
 * path of its descriptor (for open: the flags and the mode instead of a second path), its
 * result. SYSTEM_CALLS_FAIL is "<name> <first> <count> <how>": of the calls with this name,
 * `count` fail, beginning with number `first` (from 1). `how` is an errno; for write and read it
 * can also be 0 (nothing is done, 0 is returned) or -1 (at most one byte is transferred). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int watching, record = -1;
static char fails[32];
static long first, count, how;

static void real_function(void* function, const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  memcpy(function, &found, sizeof found);
}

void watch_system_calls(int on) {
  const char* path = getenv("SYSTEM_CALLS_LOG");
  const char* wanted = getenv("SYSTEM_CALLS_FAIL");
  if (on && path) record = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (on && wanted) sscanf(wanted, "%31s %ld %ld %ld", fails, &first, &count, &how);
  watching = on;
}

/* Return whether this call must fail. */
static int is_chosen(const char* name) {
  static long seen;
  if (!watching || strcmp(name, fails) != 0) return 0;
  ++seen;
  return seen >= first && (count < 0 || seen - first < count);
}

static long noted(const char* name, const char* from, const char* to, long result) {
  const int error = errno;
  if (watching && record >= 0) {
    static ssize_t (*real)(int, const void*, size_t);
    char line[8400];
    const int size = snprintf(line, sizeof line, "%s\t%s\t%s\t%ld\n", name, from, to, result);
    if (!real) real_function(&real, "write");
    if (size > 0 && real(record, line, (size_t)size) != size) abort();
  }
  errno = error;
  return result;
}

/* Return the path of a descriptor, for the record. */
static const char* path_of(int file) {
  static char path[4096];
  char link[64];
  ssize_t length;
  if (!watching) return "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = 0;
  return path;
}

/* Define int name(parameters), which records the call and can fail with -1 and errno. */
#define WATCHED(name, parameters, arguments, from, to)  \
  int name parameters {                                 \
    static int(*real) parameters;                       \
    if (!real) real_function(&real, #name);             \
    if (is_chosen(#name)) {                             \
      errno = (int)how;                                 \
      return (int)noted(#name, from, to, -1);           \
    }                                                   \
    return (int)noted(#name, from, to, real arguments); \
  }

WATCHED(rename, (const char* from, const char* to), (from, to), from, to)
WATCHED(unlink, (const char* path), (path), path, "")
WATCHED(access, (const char* path, int mode), (path, mode), path, "")
WATCHED(stat, (const char* path, struct stat* status), (path, status), path, "")
WATCHED(fstat, (int file, struct stat* status), (file, status), path_of(file), "")
WATCHED(fsync, (int file), (file), path_of(file), "")
WATCHED(fchmod, (int file, mode_t mode), (file, mode), path_of(file), "")
WATCHED(flock, (int file, int operation), (file, operation), path_of(file), "")

int open(const char* path, int flags, ...) {
  static int (*real)(const char*, int, ...);
  char how_to[32];
  va_list rest;
  mode_t mode;
  va_start(rest, flags);
  mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (!real) real_function(&real, "open");
  snprintf(how_to, sizeof how_to, "%d %d", flags, (int)mode);
  if (is_chosen("open")) {
    errno = (int)how;
    return (int)noted("open", path, how_to, -1);
  }
  return (int)noted("open", path, how_to, real(path, flags, mode));
}

/* A failing close() closes the descriptor, too, as on Linux. */
int close(int file) {
  static int (*real)(int);
  const char* path = path_of(file);
  if (!real) real_function(&real, "close");
  if (is_chosen("close")) {
    real(file);
    errno = (int)how;
    return (int)noted("close", path, "", -1);
  }
  return (int)noted("close", path, "", real(file));
}

ssize_t write(int file, const void* data, size_t size) {
  static ssize_t (*real)(int, const void*, size_t);
  if (!real) real_function(&real, "write");
  if (is_chosen("write")) {
    if (how >= 0) {
      errno = (int)how;
      return noted("write", path_of(file), "", how ? -1 : 0);
    }
    size = size > 0;
  }
  return noted("write", path_of(file), "", real(file, data, size));
}

ssize_t read(int file, void* data, size_t size) {
  static ssize_t (*real)(int, void*, size_t);
  if (!real) real_function(&real, "read");
  if (is_chosen("read")) {
    if (how >= 0) {
      errno = (int)how;
      return noted("read", path_of(file), "", how ? -1 : 0);
    }
    size = size > 0;
  }
  return noted("read", path_of(file), "", real(file, data, size));
}
