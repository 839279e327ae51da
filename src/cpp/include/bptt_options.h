/* bptt_options.h: the options of bptt.h as data: names, kinds, defaults and what excludes what, for bindings of other
 * languages, command lines and documents. The third page of bptt.h, whose rules hold here too; a C program does
 * without it. Experimental: it may change between versions. */
#ifndef BPTT_OPTIONS_H
#define BPTT_OPTIONS_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A value of an enum. */
typedef struct bptt_option_word {
  int32_t value;
  const char* symbol; /* "BPTT_LSTM" */
  const char* name;   /* "lstm": in model files and in Python */
  const char* python; /* in Python, where it differs; else NULL */
} bptt_option_word;

typedef enum bptt_option_type {
  BPTT_OPTION_INT32 = 1, /* enums and flags, too */
  BPTT_OPTION_INT64 = 2,
  BPTT_OPTION_UINT64 = 3,
  BPTT_OPTION_DOUBLE = 4,
  BPTT_OPTION_POINTER = 5
} bptt_option_type;

/* Values of a choice are sets of bits: value v is bit 1 << v. */
typedef struct bptt_option_info {
  size_t struct_size;
  const char*
      group; /* "layer", "optimizer" or "model": the struct bptt_*_options that has the field */
  const char* name; /* of the field */
  int64_t offset;   /* of the field in its struct, in bytes */
  bptt_option_type type;
  const char* kind; /* "choice", "flag", "size", "count", "integer", "seed", "number", "positive",
                       "not_negative", "fraction", "share", "leak" or "weights" */
  double fallback;  /* the default */
  const bptt_option_word* words; /* of a choice */
  int64_t word_count;
  const char*
      owner; /* the choice that decides whether the option may differ from its default, or NULL */
  uint32_t owners;    /* the values of that choice for which it may */
  int32_t inverted;   /* 1: Python has the opposite flag */
  int32_t or_none;    /* 1: Python's None means the default */
  const char* file;   /* the option in model files and on the command line */
  const char* python; /* the argument in Python */
  const char*
      alone; /* the argument of Python's class of the optimiser, where it differs; else NULL */
  const char* doc; /* a line about it */
} bptt_option_info;
/* Texts are valid as long as the library. BPTT_ERR_RANGE: there are `index` options. */
BPTT_API bptt_status bptt_option(int64_t index, bptt_option_info* info, size_t struct_size);

/* An option that is refused where another is set (with = 1), or where it is not (with = 0). A choice is set if it is
 * one of the values, a flag if it is 1, any other option if it differs from its default. */
typedef struct bptt_option_conflict {
  size_t struct_size;
  int64_t option;  /* its index */
  uint32_t values; /* of a choice: those that are refused; 0: all but the default */
  int32_t with;
  int64_t other; /* its index */
  uint32_t other_values;
  const char* reason; /* or NULL */
} bptt_option_conflict;
BPTT_API bptt_status bptt_conflict(int64_t index, bptt_option_conflict* conflict,
                                   size_t struct_size); /* BPTT_ERR_RANGE */

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
/* BPTT_ERR_RANGE: there is no such loss. */
BPTT_API bptt_status bptt_describe_loss(bptt_loss loss, bptt_loss_info* info, size_t struct_size);

/* bptt_last_error with options in the words of Python: argument 'optimizer' instead of 'algorithm', "False unless the
 * cell is 'lstm'" instead of "0 unless the cell is BPTT_LSTM". */
BPTT_API bptt_status bptt_last_error_python(bptt_error* error, size_t struct_size);

#ifdef __cplusplus
}
#endif

#endif
