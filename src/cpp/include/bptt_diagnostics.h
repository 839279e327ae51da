/* bptt_diagnostics.h: views of a network at work: the contents of a tape, the gradient on its way
 * back, and the time that each phase takes. A chapter of bptt.h, whose glossary and rules hold here
 * too. A program that only trains and runs models does without it. */
#ifndef BPTT_DIAGNOSTICS_H
#define BPTT_DIAGNOSTICS_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --------------------------------------------------------------------------------------- tapes */

typedef enum bptt_tape_part {
  /* h_t of every step [T, N, R] */
  BPTT_TAPE_H = 1,
  /* c_t of every step [T, N, H], LSTM only */
  BPTT_TAPE_C = 2,
  /* a gate after its nonlinearity [T, N, H] (LSTM: 0 i, 1 f, 2 g, 3 o; coupled: 0 i, 1 g, 2 o; GRU:
   * 0 r, 1 z, 2 n; MINGRU: 0 z, 1 n) */
  BPTT_TAPE_GATE = 3
} bptt_tape_part;
/* Copy one part of a tape out, of layer l, direction d (index l*D + d); zeros beyond a sequence's
 * length. gate is of BPTT_TAPE_GATE only. Also: BPTT_ERR_RANGE (index, gate). */
BPTT_API bptt_status bptt_tape_read(bptt_tape* tape, bptt_tape_part part, int64_t index,
                                    int64_t gate, void* values);

/* ------------------------------------------------------------------------------- gradient flow */

/* The norms of the gradient on its way back, which bptt_backward and training steps write where
 * these point; each array may be NULL. a_t are the pre-activations of all gates (G*H, in the order
 * of the weights), dL/da_t their gradients. The share of step t in dL/dW is sum_n da_{t,n}
 * v_{t,n}^T with v the input of the product: x_t (the input of the layer) or h_{t-1}; of one sample
 * its norm is ||da|| ||v||. (GRU: for W_hh the gradients of r, z and of W_hn h + b_hn; layer norm:
 * those before it.) Zeros beyond a sequence's length. All arrays from samples_h on cost as much
 * memory as a tape again. */
typedef struct bptt_flow {
  size_t struct_size;
  /* [L*D, T]: norm over (N, R) of the total derivative dL/dh_t */
  double* h;
  /* [L*D, T]: norm over (N, H) of dL/dc_t, LSTM only */
  double* c;
  /* [L*D, T]: norm over (N, G*H) of dL/da_t */
  double* a;
  /* [L*D, T, N]: of each sample, ||dL/dh_t||, ||dL/dc_t|| (LSTM only) and ||dL/da_t|| */
  double* samples_h;
  double* samples_c;
  double* samples_a;
  /* of each unit, the norm over the samples: [L*D, T, R], [L*D, T, H] (LSTM only), [L*D, T, G*H] */
  double* units_h;
  double* units_c;
  double* units_a;
  /* [L*D, T, N]: of each sample, the norm of its share in dL/dW_ih and in dL/dW_hh (NULL with
   * reset_before, which has two products, and with BPTT_MINGRU, which has none) */
  double* share_ih;
  double* share_hh;
  /* [L*D, T]: norm of the share of all samples together (hh: NULL where share_hh is) */
  double* weight_ih;
  double* weight_hh;
} bptt_flow;
BPTT_API bptt_status bptt_flow_init(bptt_flow* flow, size_t struct_size);

/* ================================================================================================
 * EXPERIMENTAL. All that follows may change or be removed in a later minor version, without a new
 * ABI number.
 * ============================================================================================= */

/* ------------------------------------------------------------------------------ parts of cells */

/* Where a function is flat, so that little gradient passes it. */
typedef enum bptt_flat {
  BPTT_FLAT_NEVER = 1,
  /* at both ends of (-1, 1) */
  BPTT_FLAT_SYMMETRIC = 2,
  /* at both ends of (0, 1) */
  BPTT_FLAT_UNIT = 3,
  /* below 0 */
  BPTT_FLAT_NEGATIVE = 4,
  /* where its derivative says so */
  BPTT_FLAT_SLOPE = 5
} bptt_flat;

/* The parts of a cell. Texts live as long as the process. */
typedef struct bptt_cell_info {
  size_t struct_size;
  /* its name in model files: "lstm" */
  const char* name;
  /* G, and the gates in the order of the weights: "i", "input gate i". Of an RNN, whose gate is its
   * state, the nonlinearity says where it is flat */
  int64_t gates;
  const char* letters[8];
  const char* names[8];
  bptt_flat flat[8];
  /* how many of them a tape has (BPTT_TAPE_GATE): G or 0 */
  int64_t tape_gates;
  /* products with W_hh in a step: 0 for BPTT_MINGRU, 2 with reset_before */
  int64_t products;
  /* 1: the state is (h, c) */
  int64_t has_c;
} bptt_cell_info;
/* Describe the cell that these options name; only cell, coupled and reset_before matter. */
BPTT_API bptt_status bptt_describe_cell(const bptt_layer_options* options, bptt_cell_info* info,
                                        size_t struct_size);

typedef struct bptt_nonlinearity_info {
  size_t struct_size;
  /* its name in model files: "tanh" */
  const char* name;
  bptt_flat flat;
  /* 1: f'(a) is computed from a; 0: from f(a) */
  int32_t slope_of_a;
} bptt_nonlinearity_info;
BPTT_API bptt_status bptt_describe_nonlinearity(bptt_nonlinearity nonlinearity,
                                                bptt_nonlinearity_info* info, size_t struct_size);

/* ------------------------------------------------------------------ gradients of single outputs */

/* S losses, each of the output at one step of one sequence, walk back together over one tape, apart
 * from each other where a parameter gradient is their sum. ||d logit_k(t~)/d x_t|| for all pairs of
 * steps is the connectivity of Madsen ("Visualizing memorization in RNNs", Distill 2019). */
typedef struct bptt_seeds {
  size_t struct_size;
  /* S >= 1 */
  int64_t count;
  /* [S]: the step, below the sequence's length (a model of one output: its last) */
  const int64_t* times;
  /* [S]: the sequence, 0 <= . < N; NULL: all 0 */
  const int64_t* samples;
  /* [S]: loss s is this element of the output (a logit); NULL if dy is given */
  const int64_t* outputs;
  /* [S, O] (of a layer O = D*R): the gradient of loss s with respect to the output; else NULL */
  const void* dy;
  /* 0: none; norms `horizon` and more steps from their loss are 0 (of final states of two
   * directions: from both ends of the sequence) */
  int64_t horizon;

  /* Results, each may be NULL; zeros where nothing flows */
  /* [S, T]: ||dL_s/dx_t||; of tokens x_t is the one-hot or embedded vector */
  double* dx_norms;
  /* [L*D, S, T]: ||dL_s/dh_t|| */
  double* flow;
  /* [L*D, S, T]: ||dL_s/dc_t||, LSTM only */
  double* flow_c;
} bptt_seeds;
BPTT_API bptt_status bptt_seeds_init(bptt_seeds* seeds, size_t struct_size);
/* Also: BPTT_ERR_RANGE, BPTT_ERR_STATE (as bptt_layer_backward), BPTT_ERR_CANCELLED,
 * BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_layer_backward_seeds(bptt_layer* layer, bptt_tape* tape,
                                               const bptt_seeds* seeds);
BPTT_API bptt_status bptt_model_backward_seeds(bptt_model* model, bptt_tape* tape,
                                               const bptt_seeds* seeds);

/* --------------------------------------------------------------- Jacobians, Lyapunov exponents */

/* The state of layer l, direction d (index l*D + d) has S elements: h_t, R of them, of an LSTM
 * followed by c_t, H. J_t = d state_t / d state_{t-1} [S, S] along the tape's trajectory, inputs
 * (and layers below) held fixed, in that order; the second direction's steps count from each
 * sequence's end. A reset before step t makes it 0. Also: BPTT_ERR_RANGE, BPTT_ERR_STATE (as
 * bptt_layer_backward). */
BPTT_API bptt_status bptt_layer_jacobian(bptt_layer* layer, bptt_tape* tape, int64_t index,
                                         int64_t sample, int64_t step, void* jacobian);
BPTT_API bptt_status bptt_model_jacobian(bptt_model* model, bptt_tape* tape, int64_t index,
                                         int64_t sample, int64_t step, void* jacobian);

/* Products of Jacobians over steps first <= t < last, by a QR factorisation every `interval` steps,
 * so that nothing over- or underflows. Rows of Q^T go backward through the steps: the adjoint has
 * the same Lyapunov spectrum (Benettin et al. 1980; Engelken, Wolf & Abbott 2023). */
typedef struct bptt_spectrum {
  size_t struct_size;
  /* 0; the index l*D + d of layer l, direction d */
  int64_t index;
  /* 0; the sequence */
  int64_t sample;
  /* 0, 0; the steps first <= t < last; last 0: the sequence's length */
  int64_t first, last;
  /* 0: all S exponents; else this number of about the largest */
  int64_t count;
  /* 1; the largest number of steps between factorisations: they are closer where rows grow or
   * shrink too far, or by factors too different for the digits of the dtype */
  int64_t interval;
  /* 0; the number of the steps walked first (the latest) that do not count */
  int64_t discard;
  /* [count, S] rows to begin with, made orthonormal first; NULL: drawn at random, always the
   * same */
  const void* start;
  /* [count]: per step, descending; -inf where a direction is lost; may be NULL */
  double* exponents;
  /* [S]: of J_{last-1} ... J_first, natural logarithms, descending; needs count 0 or S; may be
   * NULL */
  double* log_singular_values;
  /* [last - first, 2]: row d: the largest and the smallest singular value of J_{last-1} ...
   * J_{last-1-d}, natural logarithms; needs count 0 or S and interval 1; may be NULL */
  double* log_extremes;
} bptt_spectrum;
BPTT_API bptt_status bptt_spectrum_init(bptt_spectrum* spectrum, size_t struct_size);
/* Also: as bptt_layer_backward_seeds. */
BPTT_API bptt_status bptt_layer_spectrum(bptt_layer* layer, bptt_tape* tape,
                                         const bptt_spectrum* spectrum);
BPTT_API bptt_status bptt_model_spectrum(bptt_model* model, bptt_tape* tape,
                                         const bptt_spectrum* spectrum);

/* ------------------------------------------------------------------------------------- profile */

typedef enum bptt_phase {
  /* weights into the kernels' order */
  BPTT_PACKING = 1,
  /* products with W_ih forward, or rows of the table */
  BPTT_INPUT = 2,
  /* products with W_hh, forward and backward */
  BPTT_RECURRENT = 3,
  /* activations, and their gradients */
  BPTT_POINTWISE = 4,
  /* dL/dW and the biases' */
  BPTT_WEIGHT_GRADIENTS = 5,
  /* products with W_ih backward */
  BPTT_INPUT_GRADIENTS = 6,
  /* readout and loss, forward and backward */
  BPTT_READOUT = 7,
  /* the gradient's norm, and clipping */
  BPTT_CLIP = 8,
  /* the optimiser */
  BPTT_UPDATE = 9,
  /* the rest of passes: copies, waiting for other threads */
  BPTT_OTHER = 10
} bptt_phase;
/* The time that calls spend in each phase, in seconds of all threads together, for the whole
 * process. start sets all to zero and counts from then on (BPTT_ERR_STATE if it does already), stop
 * ends that; read may be called at any time. */
BPTT_API bptt_status bptt_profile_start(void);
BPTT_API bptt_status bptt_profile_stop(void);
BPTT_API bptt_status bptt_profile_read(bptt_phase phase, double* seconds);

/* ----------------------------------------------------------------------------------- for tests */

/* Use the instruction set of that name (bptt_available_isas) from the next call on, in the whole
 * process; NULL: the best, or that of BPTT_ISA. A tape of former parameters goes back with the set
 * that was in use when they changed. Also: BPTT_ERR_ISA. */
BPTT_API bptt_status bptt_use_isa(const char* name);

/* out[i] = f(in[i]) exactly as the cells compute f: a nonlinearity by its name ("tanh"), its
 * derivative ("tanh'") from f(a) or a (bptt_describe_nonlinearity), or "exp". out may be in, but
 * not overlap it otherwise. Also: BPTT_ERR_NAME (function), BPTT_ERR_ISA. */
BPTT_API bptt_status bptt_map(const char* function, bptt_dtype dtype, const void* in, void* out,
                              int64_t count);

#ifdef __cplusplus
}
#endif

#endif
