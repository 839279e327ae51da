/* bptt_options.h: the options of layers, models and optimisers as data: names, kinds, defaults and
 * which exclude each other, for bindings of other languages, command lines and documents. A chapter
 * of bptt.h, whose rules hold here too. A C program does without it. */
#ifndef BPTT_OPTIONS_H
#define BPTT_OPTIONS_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ================================================================================================
 * EXPERIMENTAL. All that follows may change or be removed in a later minor version, without a new
 * ABI number.
 * ============================================================================================= */

/* A value of an enum. Texts of this chapter are valid as long as the library. */
typedef struct bptt_option_word {
  int32_t value;
  /* in C: "BPTT_LSTM" */
  const char* symbol;
  /* in model files and in Python: "lstm" */
  const char* name;
  /* in Python, if it differs there; else NULL */
  const char* python;
} bptt_option_word;

typedef enum bptt_option_type {
  /* enums and flags too */
  BPTT_OPTION_INT32 = 1,
  BPTT_OPTION_INT64 = 2,
  BPTT_OPTION_UINT64 = 3,
  BPTT_OPTION_DOUBLE = 4,
  BPTT_OPTION_POINTER = 5
} bptt_option_type;

/* One field of an options struct. Sets of a choice's values are bits: value v is 1 << v. */
typedef struct bptt_option_info {
  size_t struct_size;
  /* "layer", "optimizer" or "model": the struct bptt_*_options that has the field */
  const char* group;
  /* the field, and where it is in the struct, in bytes */
  const char* name;
  int64_t offset;
  bptt_option_type type;
  /* "choice", "flag" (0 or 1), "size" (>= 1), "count" (>= 0), "integer", "seed", "number" (finite),
   * "positive", "not_negative", "fraction" [0, 1), "share" [0, 1], "leak" (0, 1], "weights"
   * or "leaks" (a leak per unit) */
  const char* kind;
  /* the default; 0 if the option has to be set */
  double fallback;
  /* the values of a choice */
  const bptt_option_word* words;
  int64_t word_count;
  /* the choice on which it depends whether the option may differ from its default, and the values
   * of that choice for which it may; NULL: it always may */
  const char* owner;
  uint32_t owners;
  /* 1: model files and Python have the opposite flag */
  int32_t inverted;
  /* 1: None means the default in Python */
  int32_t or_none;
  /* the name in model files and on the command line */
  const char* file;
  /* the argument of Python's classes, and that of its optimiser's class if it differs there */
  const char* python;
  const char* alone;
  /* a line about the option */
  const char* doc;
} bptt_option_info;
/* Describe the option at an index from 0 on, in the order of model files. Also: BPTT_ERR_RANGE past
 * the last. */
BPTT_API bptt_status bptt_describe_option(int64_t index, bptt_option_info* info,
                                          size_t struct_size);

/* Two options that do not go together. A choice is set if it is one of the values, a flag if it is
 * 1, any other option if it differs from its default. */
typedef struct bptt_option_conflict {
  size_t struct_size;
  /* the index of the option that is refused, and, of a choice, its refused values; 0: all but the
   * default */
  int64_t option;
  uint32_t values;
  /* 1: it is refused if the other option is set; 0: if the other is not */
  int32_t with;
  int64_t other;
  uint32_t other_values;
  /* why, or NULL */
  const char* reason;
} bptt_option_conflict;
/* Describe the conflict at an index from 0 on. Also: BPTT_ERR_RANGE past the last. */
BPTT_API bptt_status bptt_describe_conflict(int64_t index, bptt_option_conflict* conflict,
                                            size_t struct_size);

/* A loss; its names are those of the option. */
typedef struct bptt_loss_info {
  size_t struct_size;
  /* in words, as a mean: "mean squared error" */
  const char* title;
  /* 1: targets are classes; 0: they are values */
  int32_t classes;
  /* 1: these values are in [0, 1] */
  int32_t unit_interval;
} bptt_loss_info;
/* Describe one loss. Also: BPTT_ERR_RANGE (there is no such loss). */
BPTT_API bptt_status bptt_describe_loss(bptt_loss loss, bptt_loss_info* info, size_t struct_size);

/* Describe the calling thread's last failure as bptt_last_error does, but with options in the words
 * of Python: argument 'reset_after', "True unless the cell is 'gru'" instead of argument
 * 'reset_before', "0 unless the cell is BPTT_GRU". */
BPTT_API bptt_status bptt_last_error_python(bptt_error* error, size_t struct_size);

#ifdef __cplusplus
}
#endif

#endif
