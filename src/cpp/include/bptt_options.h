/* bptt_options.h: the options of models, layers and optimisers as data: names, kinds, defaults and
 * what excludes what, for bindings of other languages, command lines and documents. A chapter of
 * bptt.h, whose rules hold here too; a C program does without it. EXPERIMENTAL: all of it may
 * change or go in a later minor version, without a new ABI number. */
#ifndef BPTT_OPTIONS_H
#define BPTT_OPTIONS_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A value of an enum. */
typedef struct bptt_option_word {
  int32_t value;
  /* "BPTT_LSTM" */
  const char* symbol;
  /* "lstm": in model files and in Python */
  const char* name;
  /* in Python, where it differs; else NULL */
  const char* python;
} bptt_option_word;

typedef enum bptt_option_type {
  /* enums and flags, too */
  BPTT_OPTION_INT32 = 1,
  BPTT_OPTION_INT64 = 2,
  BPTT_OPTION_UINT64 = 3,
  BPTT_OPTION_DOUBLE = 4,
  BPTT_OPTION_POINTER = 5
} bptt_option_type;

/* A field of an option struct. Texts are valid as long as the library. Values of a choice are sets
 * of bits: value v is bit 1 << v. */
typedef struct bptt_option_info {
  size_t struct_size;
  /* "layer", "optimizer" or "model": the struct bptt_*_options that has the field */
  const char* group;
  /* of the field, and its offset in its struct, in bytes */
  const char* name;
  int64_t offset;
  bptt_option_type type;
  /* "choice", "flag", "size", "count", "integer", "seed", "number", "positive", "not_negative",
   * "fraction", "share", "leak" or "weights" */
  const char* kind;
  /* the default */
  double fallback;
  /* of a choice */
  const bptt_option_word* words;
  int64_t word_count;
  /* the choice that decides whether the option may differ from its default, or NULL; and the values
   * of that choice for which it may */
  const char* owner;
  uint32_t owners;
  /* 1: Python has the opposite flag */
  int32_t inverted;
  /* 1: Python's None means the default */
  int32_t or_none;
  /* the option in model files and on the command line */
  const char* file;
  /* the argument in Python, and that of Python's class of the optimiser, where it differs; else
   * NULL */
  const char* python;
  const char* alone;
  /* a line about it */
  const char* doc;
} bptt_option_info;
/* The option at an index from 0 on. Also: BPTT_ERR_RANGE past the last. */
BPTT_API bptt_status bptt_option(int64_t index, bptt_option_info* info, size_t struct_size);

/* An option that is refused where another is set (with = 1), or where it is not (with = 0). A
 * choice is set if it is one of the values, a flag if it is 1, any other option if it differs from
 * its default. */
typedef struct bptt_option_conflict {
  size_t struct_size;
  /* its index */
  int64_t option;
  /* of a choice: those that are refused; 0: all but the default */
  uint32_t values;
  int32_t with;
  /* index and values of the other */
  int64_t other;
  uint32_t other_values;
  /* or NULL */
  const char* reason;
} bptt_option_conflict;
/* The conflict at an index from 0 on. Also: BPTT_ERR_RANGE past the last. */
BPTT_API bptt_status bptt_conflict(int64_t index, bptt_option_conflict* conflict,
                                   size_t struct_size);

/* A loss. Its names are those of the option. */
typedef struct bptt_loss_info {
  size_t struct_size;
  /* in words, as a mean: "mean squared error" */
  const char* title;
  /* 1: targets are classes; 0: they are values */
  int32_t classes;
  /* 1: these values are in [0, 1] */
  int32_t unit_interval;
} bptt_loss_info;
/* Also: BPTT_ERR_RANGE (no such loss). */
BPTT_API bptt_status bptt_describe_loss(bptt_loss loss, bptt_loss_info* info, size_t struct_size);

/* bptt_last_error with options in the words of Python: argument 'optimizer' instead of 'algorithm',
 * "False unless the cell is 'lstm'" instead of "0 unless the cell is BPTT_LSTM". */
BPTT_API bptt_status bptt_last_error_python(bptt_error* error, size_t struct_size);

#ifdef __cplusplus
}
#endif

#endif
