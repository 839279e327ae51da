/* bptt_diagnostics.h: look at what a recurrent network does: what a tape remembers, what the gradient
 * is on its way back, and where the time goes. The second page of bptt.h, whose glossary and rules
 * hold here too. A program that only trains and runs models does without it. */
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

/* ---------------------------------------------------------------------------------- gradient flow */

/* More of what a backward pass sees; each array may be NULL. a_t are the pre-activations of all gates
 * (G*H, in the order of the weights), dL/da_t their gradients. The share of step t in dL/dW is
 * sum_n da_{t,n} v_{t,n}^T with v what the product reads: x_t (the input of the layer) or h_{t-1}; of
 * one sample its norm is ||da|| ||v||. (GRU: for W_hh the gradients of r, z and of W_hn h + b_hn; layer
 * norm: those before it.) Zeros beyond a sequence's length. Costs as much memory as a tape again. */
typedef struct bptt_flow {
  size_t struct_size;
  double* samples_h; /* [L*D, T, N]: of each sample, ||dL/dh_t|| */
  double* samples_c; /* ||dL/dc_t||, LSTM only */
  double* samples_a; /* ||dL/da_t|| */
  double* units_h;   /* [L*D, T, R]: of each unit, the norm over the samples */
  double* units_c;   /* [L*D, T, H], LSTM only */
  double* units_a;   /* [L*D, T, G*H] */
  double* share_ih;  /* [L*D, T, N]: of each sample, the norm of its share in dL/dW_ih */
  double* share_hh;  /* of dL/dW_hh; NULL with reset_before, which has two products */
  double* weight_ih; /* [L*D, T]: norm of the share of all samples together */
  double* weight_hh; /* NULL with reset_before */
} bptt_flow;
BPTT_API bptt_status bptt_flow_init(bptt_flow* flow, size_t struct_size);

/* ------------------------------------------------------------------ gradients of single outputs */

/* S losses, each of the output at one step of one sequence, taken back side by side over one tape: all
 * that a parameter gradient adds up. ||d logit_k(t~)/d x_t|| for all pairs of steps is the connectivity
 * of Madsen ("Visualizing memorization in RNNs", Distill 2019). */
typedef struct bptt_seeds {
  size_t struct_size;
  int64_t count; /* S >= 1 */
  const int64_t*
      times; /* [S]: the step, below the sequence's length (a model of one output: its last) */
  const int64_t* samples; /* [S]: the sequence, 0 <= . < N; NULL: all 0 */
  const int64_t* outputs; /* [S]: loss s is this element of the output (a logit); or NULL, and */
  const void* dy;         /* [S, O] (of a layer O = D*R): its gradient with respect to the output */
  int64_t horizon;        /* 0: none; norms `horizon` and more steps from their loss are 0 (of final
                             states of two directions: from both ends of the sequence) */
  /* results, each may be NULL; zeros where nothing flows */
  double* dx_norms; /* [S, T]: ||dL_s/dx_t||; of tokens x_t is the one-hot or embedded vector */
  double* flow;     /* [L*D, S, T]: ||dL_s/dh_t|| */
  double* flow_c;   /* [L*D, S, T]: ||dL_s/dc_t||, LSTM only */
} bptt_seeds;
BPTT_API bptt_status bptt_seeds_init(bptt_seeds* seeds, size_t struct_size);
BPTT_API bptt_status bptt_layer_backward_seeds(bptt_layer* layer, bptt_tape* tape,
                                               const bptt_seeds* seeds);
BPTT_API bptt_status bptt_model_backward_seeds(bptt_model* model, bptt_tape* tape,
                                               const bptt_seeds* seeds);

/* -------------------------------------------------------------------- Jacobians, Lyapunov exponents */

/* The state of layer l, direction d (index l*D + d) has S elements: h_t, R of them, of an LSTM followed
 * by c_t, H. J_t = d state_t / d state_{t-1} [S, S] along the tape's trajectory, inputs (and layers
 * below) held fixed, in that order; the second direction's steps count from each sequence's end. A reset
 * before step t makes it 0. */
BPTT_API bptt_status bptt_layer_jacobian(bptt_layer* layer, bptt_tape* tape, int64_t index,
                                         int64_t sample, int64_t step, void* jacobian);
BPTT_API bptt_status bptt_model_jacobian(bptt_model* model, bptt_tape* tape, int64_t index,
                                         int64_t sample, int64_t step, void* jacobian);

/* Products of Jacobians over steps first <= t < last, by a QR factorisation every `interval` steps, so
 * that nothing over- or underflows. Rows of Q^T go backward through the steps: the adjoint has the same
 * Lyapunov spectrum (Benettin et al. 1980; Engelken, Wolf & Abbott 2023). */
typedef struct bptt_spectrum {
  size_t struct_size;
  int64_t index;       /* 0; l*D + d */
  int64_t sample;      /* 0 */
  int64_t first, last; /* 0, 0; last 0: the sequence's length */
  int64_t count;       /* 0: all S exponents; else so many, of about the largest */
  int64_t interval;    /* 1; most steps between factorisations; fewer where rows grow or shrink too
                          far, or by factors too different for the digits of the dtype */
  int64_t discard;     /* 0; so many of the steps walked first (the latest) do not count */
  const void* start;   /* [count, S] rows to begin with, made orthonormal first; NULL: drawn at
                              random, always the same */
  double* exponents;   /* [count]: per step, descending; -inf where a direction is lost */
  double* log_singular_values; /* [S]: of J_{last-1} ... J_first, natural logarithms, descending;
                                  needs count 0 or S; NULL: not asked for */
  double* log_extremes; /* [last - first, 2]: row d: the largest and the smallest singular value of
                           J_{last-1} ... J_{last-1-d}, natural logarithms; needs count 0 or S and
                           interval 1; NULL: not asked for */
} bptt_spectrum;
BPTT_API bptt_status bptt_spectrum_init(bptt_spectrum* spectrum, size_t struct_size);
BPTT_API bptt_status bptt_layer_spectrum(bptt_layer* layer, bptt_tape* tape,
                                         const bptt_spectrum* spectrum);
BPTT_API bptt_status bptt_model_spectrum(bptt_model* model, bptt_tape* tape,
                                         const bptt_spectrum* spectrum);

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
