/* bptt_files.h: model files, and the text and arrays that travel in them. A chapter of bptt.h,
 * whose glossary and rules hold here too, for programs that keep a model. */
#ifndef BPTT_FILES_H
#define BPTT_FILES_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model file is a safetensors file (little-endian; any reader of that format opens it) that holds
 * everything needed to go on training: parameters, moments, steps and options, a format name and
 * version and the SHA-256 of the whole file. It is written to a sibling, fsynced and renamed: a
 * crash leaves the old file or the new one. Loading never maps memory or runs code, and a file that
 * is no model is refused by its header, before its data are read. A system call that a signal
 * interrupts or that would block is repeated, a bounded number of times. Counters and moments of a
 * file obey the rules of bptt_optimizer_set_steps and bptt_optimizer_set_state; parameters may be
 * NaN or infinite (bptt_params_finite).
 *
 * Also, for all four: BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK; save and load: BPTT_ERR_IO; load and
 * deserialize: BPTT_ERR_FORMAT, BPTT_ERR_ISA. */
BPTT_API bptt_status bptt_model_save(bptt_model* model, const char* path);
BPTT_API bptt_status bptt_model_load(const char* path, bptt_model** model);
/* The same bytes in memory. With buffer NULL, serialize only sets *size. */
BPTT_API bptt_status bptt_model_serialize(bptt_model* model, void* buffer, size_t capacity,
                                          size_t* size);
BPTT_API bptt_status bptt_model_deserialize(const void* buffer, size_t size, bptt_model** model);

/* The caller's own text and arrays that travel in the file (a vocabulary, the carried states). Keys
 * and names are 1 to 256 bytes of UTF-8. Setting the value NULL removes the entry (BPTT_ERR_NAME if
 * there is none of that name). The set functions change the parameters; a text or
 * array that the library returned is valid until the next call of one. */
BPTT_API bptt_status bptt_model_set_metadata(bptt_model* model, const char* key, const char* value);
/* Also: BPTT_ERR_NAME. */
BPTT_API bptt_status bptt_model_get_metadata(bptt_model* model, const char* key,
                                             const char** value);
/* The key at an index from 0 on. Also: BPTT_ERR_RANGE past the last. */
BPTT_API bptt_status bptt_model_metadata_key(bptt_model* model, int64_t index, const char** key);

typedef struct bptt_extra_info {
  size_t struct_size;
  const char* name;
  bptt_dtype dtype;
  /* from 0 to 8: the number of entries of shape that count */
  int64_t rank;
  int64_t shape[8];
  const void* values;
} bptt_extra_info;
BPTT_API bptt_status bptt_model_set_extra(bptt_model* model, const char* name, bptt_dtype dtype,
                                          int64_t rank, const int64_t* shape, const void* values);
/* The array at an index from 0 on. Also: BPTT_ERR_RANGE past the last. */
BPTT_API bptt_status bptt_model_extra(bptt_model* model, int64_t index, bptt_extra_info* info,
                                      size_t struct_size);

#ifdef __cplusplus
}
#endif

#endif
