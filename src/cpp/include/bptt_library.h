/* bptt_library.h: settings of the library: instruction sets, threads, subnormal numbers, and the
 * cancelling of long calls. A chapter of bptt.h, whose glossary and rules hold here too. */
#ifndef BPTT_LIBRARY_H
#define BPTT_LIBRARY_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Instruction sets, best first: "avx512" "avx2" "sse2" on x86-64, "neon" on AArch64. The
 * environment variable BPTT_ISA names the one to use; an empty one counts as not set. If it names
 * none of this CPU's, every create call and bptt_isa return BPTT_ERR_ISA and name the choices.
 * Names are static. */
BPTT_API bptt_status bptt_isa(const char** name);
BPTT_API bptt_status bptt_available_isas(const char* const** names, int64_t* count);

/* Worker threads for large calls, the caller included: 1..256. Default: the environment variable
 * BPTT_NUM_THREADS, else the CPUs this process may use. If the variable is no integer in 1..256,
 * every create call and bptt_get_num_threads return BPTT_ERR_ARGUMENT and name it, until a number
 * is set here. An empty one counts as not set. For the whole process. */
BPTT_API bptt_status bptt_set_num_threads(int64_t count);
BPTT_API bptt_status bptt_get_num_threads(int64_t* count);

/* All calls, on all their threads, round to nearest and trap no floating-point exception, whatever
 * fesetround or feenableexcept have set. When a call ends, however it ends, and in the cancel
 * callback, the caller's floating-point environment is what it was, exception flags included.
 *
 * By default calls treat subnormal numbers (float32: below 1.2e-38) as the caller's thread does, so
 * that vanishing gradients are seen as far down as their type goes; some CPUs take 10 to 30 times
 * as long for them. flush 1: calls compute with zeros in their place; 0: the default. For the whole
 * process, from the next call. */
BPTT_API bptt_status bptt_set_flush_subnormals(int32_t flush);
BPTT_API bptt_status bptt_get_flush_subnormals(int32_t* flush);

/* A function that long calls of this thread call once per block of time steps (some ms), and those
 * that read, write or hash a file once per some MiB: non-zero stops the call with
 * BPTT_ERR_CANCELLED before it changes parameters, moments or the file (outputs are then
 * unspecified). NULL: never. It may call this library, but a call that waits for the layer or model
 * whose call it was made from is BPTT_ERR_BUSY. A C++ exception that it throws ends the call in the
 * same way, with BPTT_ERR_CALLBACK. Leaving it by longjmp(), pthread_exit() or the thread's
 * cancellation is not supported. In a child that it forks the call ends with BPTT_ERR_CANCELLED. */
typedef int (*bptt_cancel)(void* user);
/* Set the function of the calling thread, and the argument that it gets. */
BPTT_API bptt_status bptt_set_cancel(bptt_cancel cancel, void* user);

#ifdef __cplusplus
}
#endif

#endif
