/* bptt_diagnostics.h: look at what a recurrent network does: what a tape remembers, what the gradient
 * is on its way back, and where the time goes. Part of bptt.h, whose glossary and rules hold here; it
 * includes this file. */
#ifndef BPTT_DIAGNOSTICS_H
#define BPTT_DIAGNOSTICS_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --------------------------------------------------------------------------------------- tapes */

/* What a tape remembers of layer l, direction d (index l*D + d): every h_t [T, N, R] or c_t
 * [T, N, H], or a gate after its nonlinearity [T, N, H] (LSTM: 0 i, 1 f, 2 g, 3 o; coupled: 0 i,
 * 1 g, 2 o; GRU: 0 r, 1 z, 2 n); zeros beyond a sequence's length. */
typedef enum bptt_tape_part { BPTT_TAPE_H = 1, BPTT_TAPE_C = 2, BPTT_TAPE_GATE = 3 } bptt_tape_part;
BPTT_API bptt_status bptt_tape_read(bptt_tape* tape, bptt_tape_part part, int64_t index,
                                    int64_t gate, void* values);

/* ------------------------------------------------------------------------------------- profile */

/* Where calls spend their time, by phase, in seconds of all threads together. start sets all to zero
 * and counts from then on (BPTT_ERR_STATE if it does already), stop ends that; read may be called at
 * any time: BPTT_ERR_ARGUMENT for an unknown phase. For the whole process. */
typedef enum bptt_phase {
  BPTT_PACKING = 1,          /* weights into the kernels' order */
  BPTT_INPUT = 2,            /* products with W_ih forward, or rows of the table */
  BPTT_RECURRENT = 3,        /* products with W_hh, both ways */
  BPTT_POINTWISE = 4,        /* activations, and their gradients */
  BPTT_WEIGHT_GRADIENTS = 5, /* dL/dW and the biases' */
  BPTT_INPUT_GRADIENTS = 6,  /* products with W_ih backward */
  BPTT_READOUT = 7,          /* readout and loss, both ways */
  BPTT_CLIP = 8,             /* the gradient's norm, clipping */
  BPTT_UPDATE = 9,           /* the optimiser */
  BPTT_OTHER = 10            /* the rest of passes: copies, waiting for other threads */
} bptt_phase;
BPTT_API bptt_status bptt_profile_start(void);
BPTT_API bptt_status bptt_profile_stop(void);
BPTT_API bptt_status bptt_profile_read(bptt_phase phase, double* seconds);

#ifdef __cplusplus
}
#endif

#endif
