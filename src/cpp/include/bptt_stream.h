/* bptt_stream.h: run a model one time step at a time, without a tape. A chapter of bptt.h, whose
 * glossary and rules hold here too. */
#ifndef BPTT_STREAM_H
#define BPTT_STREAM_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bptt_stream_handle bptt_stream;

/* The weights that the products of a stream read: W_ih, W_hh, W_hr and W_o. Narrow weights are made
 * once, at creation, of a float32 model with any compute. Biases, gains, peepholes, embeddings, and
 * the columns of W_ih of one-hot tokens, which are looked up, keep their values. A step of many
 * units takes the time of reading its weights, so narrower ones are faster from H = 128 or so on;
 * and they take a half or a quarter of the memory. */
typedef enum bptt_weights {
  /* as the model multiplies them (bptt_compute) */
  BPTT_WEIGHTS_MODEL = 0,
  /* rounded to bfloat16, to nearest and ties to even; the other factors are float32 */
  BPTT_WEIGHTS_BFLOAT16 = 1,
  /* q scale, with an integer |q| <= 127 and scale = max|w| / 127 of the row of one unit and gate;
   * NaN if that row has a NaN or an infinity. The vector that they multiply (x, h) is rounded too,
   * to q scale with |q| <= 32767 and scale = max|a| / 32767: if a few elements of it are larger
   * than the others by orders of magnitude, the others lose digits */
  BPTT_WEIGHTS_INT8 = 2
} bptt_weights;

typedef struct bptt_stream_options {
  size_t struct_size;
  /* BPTT_WEIGHTS_MODEL */
  bptt_weights weights;
  /* 0; 1: each step draws the noise of the layers' option of that name, as a pass over a batch of
   * one sequence with `noise` of bptt_sequence does */
  int32_t noise;
  /* 0; the set of noise until the first reset, as draw of bptt_sequence; each reset goes to the
   * next */
  uint64_t draw;
} bptt_stream_options;
BPTT_API bptt_status bptt_stream_options_init(bptt_stream_options* options, size_t struct_size);

/* One sequence (N = 1), step by step, with the weights as they were at creation; the model may
 * train on meanwhile. A step allocates nothing, takes no lock and makes no system call, and equals
 * a window's result within rounding (that of the weights too, if they are narrow). options may be
 * NULL: the defaults. The model must have one direction. Also: BPTT_ERR_ISA, BPTT_ERR_STATE
 * (bidirectional). */
BPTT_API bptt_status bptt_stream_create(bptt_model* model, const bptt_stream_options* options,
                                        bptt_stream** stream);
BPTT_API bptt_status bptt_stream_free(bptt_stream* stream);
/* Run one step of a model without a vocabulary: x [I]; y [O] (logits or values) may be NULL. */
BPTT_API bptt_status bptt_stream_step(bptt_stream* stream, const void* x, void* y);
/* Run one step of a model with a vocabulary. Also: BPTT_ERR_RANGE (token). */
BPTT_API bptt_status bptt_stream_step_token(bptt_stream* stream, int64_t token, void* y);
/* Set the states to zero, or to the learnt ones, and begin a new sequence. */
BPTT_API bptt_status bptt_stream_reset(bptt_stream* stream);
/* Copy the states h [L, 1, R] and c [L, 1, H] (LSTM only) out or in; NULL: not this one. */
BPTT_API bptt_status bptt_stream_get_state(bptt_stream* stream, void* h, void* c);
BPTT_API bptt_status bptt_stream_set_state(bptt_stream* stream, const void* h, const void* c);

#ifdef __cplusplus
}
#endif

#endif
