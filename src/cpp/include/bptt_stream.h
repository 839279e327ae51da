/* bptt_stream.h: run a model one time step at a time, without a tape. A chapter of bptt.h, whose
 * glossary and rules hold here too. */
#ifndef BPTT_STREAM_H
#define BPTT_STREAM_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bptt_stream_handle bptt_stream;

/* One sequence (N = 1), step by step, with the weights as they were at creation; the model may
 * train on meanwhile. A step allocates nothing, takes no lock and makes no system call, and equals
 * a window's result within rounding. The model must have one direction. Also: BPTT_ERR_ISA,
 * BPTT_ERR_STATE (bidirectional). */
BPTT_API bptt_status bptt_stream_create(bptt_model* model, bptt_stream** stream);
BPTT_API bptt_status bptt_stream_free(bptt_stream* stream);
/* Run one step of a model without a vocabulary: x [I]; y [O] (logits or values) may be NULL. */
BPTT_API bptt_status bptt_stream_step(bptt_stream* stream, const void* x, void* y);
/* Run one step of a model with a vocabulary. Also: BPTT_ERR_RANGE (token). */
BPTT_API bptt_status bptt_stream_step_token(bptt_stream* stream, int64_t token, void* y);
/* Set the states to zero. */
BPTT_API bptt_status bptt_stream_reset(bptt_stream* stream);
/* Copy the states h [L, 1, R] and c [L, 1, H] (LSTM only) out or in; NULL: not this one. */
BPTT_API bptt_status bptt_stream_get_state(bptt_stream* stream, void* h, void* c);
BPTT_API bptt_status bptt_stream_set_state(bptt_stream* stream, const void* h, const void* c);

#ifdef __cplusplus
}
#endif

#endif
