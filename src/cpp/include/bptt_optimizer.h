/* bptt_optimizer.h: parameters, their gradients and optimisers, all of them flat vectors [P]. A
 * chapter of bptt.h, whose glossary and rules hold here too, for programs that choose a model's
 * optimiser, look at parameters, or write their own training loop over a layer. */
#ifndef BPTT_OPTIMIZER_H
#define BPTT_OPTIMIZER_H

#include "bptt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A handle of the parameters of a layer or model. */
typedef struct bptt_params_handle bptt_params;
/* A handle of an optimiser: its options, moments and count of steps over such parameters. */
typedef struct bptt_optimizer_handle bptt_optimizer;

/* ---------------------------------------------------------------------------------- parameters */

/* Names and shapes are PyTorch's. Layer l of a stack: weight_ih_l{l} [G*H, I or D*R],
 * weight_hh_l{l} [G*H, R], bias_ih_l{l} [G*H], bias_hh_l{l} [G*H] (BPTT_MINGRU has no hh); with
 * proj_size weight_hr_l{l} [R, H]; then weight_peephole_l{l} [3*H] (i f o; coupled [2*H]: i o) and
 * the gains of layer_norm weight_ln_ih_l{l}, weight_ln_hh_l{l} [G*H], of an LSTM weight_ln_c_l{l},
 * bias_ln_c_l{l} [H]. The second direction of a layer follows it, weight_ih_l{l}_reverse ...
 * A model: embedding.weight [V, E], rnn.weight_ih_l0 ..., readout.weight [O, D*R], readout.bias
 * [O]. */
typedef struct bptt_param_info {
  size_t struct_size;
  /* valid as long as the layer or model */
  const char* name;
  /* 1 or 2 */
  int64_t rank;
  int64_t shape[2];
  /* the position of its first element in the flat vector */
  int64_t offset;
  /* the number of its elements */
  int64_t count;
  bptt_dtype dtype;
  /* 1: its gradient is 0 and steps leave it alone */
  int32_t frozen;
  /* 1: it has a mask (bptt_params_set_mask) */
  int32_t masked;
  /* 1: its elements are never negative (bptt_params_set_nonnegative) */
  int32_t nonnegative;
} bptt_param_info;

/* The parameters of a layer or model, a view that is never freed. */
BPTT_API bptt_status bptt_layer_params(bptt_layer* layer, bptt_params** params);
BPTT_API bptt_status bptt_model_params(bptt_model* model, bptt_params** params);
BPTT_API bptt_status bptt_params_dtype(bptt_params* params, bptt_dtype* dtype);
/* The numbers of tensors and of elements P; either may be NULL. */
BPTT_API bptt_status bptt_params_count(bptt_params* params, int64_t* tensors, int64_t* elements);
/* Describe the tensor at an index from 0 on. Also: BPTT_ERR_RANGE past the last. */
BPTT_API bptt_status bptt_params_info(bptt_params* params, int64_t index, bptt_param_info* info,
                                      size_t struct_size);
/* A view of the flat vector [P], to read only. */
BPTT_API bptt_status bptt_params_data(bptt_params* params, const void** data);
/* Copy all P elements out. */
BPTT_API bptt_status bptt_params_get(bptt_params* params, void* values);
/* Copy all P elements in. NaN and infinity are taken without an error, masked elements become 0,
 * and so do negative ones of non-negative tensors. Changes the parameters. */
BPTT_API bptt_status bptt_params_set(bptt_params* params, const void* values);
/* Freeze (1) or thaw (0) the tensor of that name. Changes the parameters. Also: BPTT_ERR_NAME. */
BPTT_API bptt_status bptt_params_freeze(bptt_params* params, const char* name, int32_t frozen);
/* Constraints of the tensor of that name, kept in model files.
 *
 * A mask [count], in row-major order, has 1 for an element that is free, and 0 for one that is 0
 * from now on: its gradient is 0 too, so that norms and clipping do not count it, and after every
 * step of any optimiser the element and its moments are 0. NULL removes the mask. A tensor that is
 * not negative (1) has max(w, 0) in place of each element w, now, after every step and whenever
 * values are set; its gradient is not changed. Backward passes use the masks of the moment. The set
 * functions change the parameters. Also: BPTT_ERR_NAME. */
BPTT_API bptt_status bptt_params_set_mask(bptt_params* params, const char* name,
                                          const uint8_t* mask);
/* Copy the mask out, all 1 if there is none. Also: BPTT_ERR_NAME. */
BPTT_API bptt_status bptt_params_get_mask(bptt_params* params, const char* name, uint8_t* mask);
BPTT_API bptt_status bptt_params_set_nonnegative(bptt_params* params, const char* name,
                                                 int32_t nonnegative);
/* *finite = 1 if no element of the tensor of that name, or with NULL of any tensor, is NaN or
 * infinite. A file may hold such parameters. Also: BPTT_ERR_NAME. */
BPTT_API bptt_status bptt_params_finite(bptt_params* params, const char* name, int32_t* finite);

/* -------------------------------------------------------------------------- optimisers: create */

typedef enum bptt_algorithm {
  BPTT_SGD = 1,
  /* Duchi et al. 2011 */
  BPTT_ADAGRAD = 2,
  /* Kingma & Ba 2015 */
  BPTT_ADAM = 3,
  BPTT_RMSPROP = 4,
  /* Chen et al. 2023, arXiv:2302.06675 */
  BPTT_LION = 5
} bptt_algorithm;

typedef enum bptt_rmsprop_form {
  /* w -= lr g / (sqrt(n) + eps), as torch.optim.RMSprop (Tieleman & Hinton 2012) */
  BPTT_RMSPROP_TORCH = 0,
  /* d = momentum d - lr g / sqrt(n - m^2 + eps), w += d (Graves 2013, arXiv:1308.0850, with lr 1e-4
   * and momentum 0.9) */
  BPTT_RMSPROP_GRAVES = 1
} bptt_rmsprop_form;

/* lr, eps and weight_decay have to be finite in the parameters' dtype. */
typedef struct bptt_optimizer_options {
  size_t struct_size;
  /* BPTT_ADAM */
  bptt_algorithm algorithm;
  /* BPTT_RMSPROP_TORCH */
  bptt_rmsprop_form rmsprop_form;
  /* 1e-3: the learning rate */
  double lr;
  /* 0; in [0, 1): momentum as in torch.optim; SGD and RMSprop only */
  double momentum;
  /* 0.9; in [0, 1): decay of Adam's first moment, or Lion's share of its moment in an update */
  double beta1;
  /* NaN: 0.999 for Adam, 0.99 for Lion; in [0, 1): decay of Adam's second and Lion's moment */
  double beta2;
  /* NaN: 1e-8 for Adam and RMSprop, 1e-10 for Adagrad, 1e-4 in Graves' form; >= 0: the number that
   * keeps the quotient finite. With 0, or a value that the dtype rounds to 0, 0/0 is 0 */
  double eps;
  /* NaN: 0.99, in Graves' form 0.95; in [0, 1): n = alpha n + (1 - alpha) g^2, and m likewise of g;
   * RMSprop only */
  double rmsprop_alpha;
  /* 0; > 0: decay of matrices, and with decay_biases of the other tensors: decoupled for Adam
   * (Loshchilov & Hutter 2019) and Lion, added to the gradient for the others */
  double weight_decay;
  /* 0; 1: weight decay on tensors of rank 1 too, as torch.optim */
  int32_t decay_biases;
  /* 0; 1: Nesterov's momentum (Sutskever et al. 2013); SGD with a momentum only */
  int32_t nesterov;
  /* 0; 1: the largest second moment so far in place of the last (Reddi et al. 2018); Adam only */
  int32_t amsgrad;
  /* 0; 1: n - m^2 in place of n; BPTT_RMSPROP_TORCH only, as Graves' form always has it */
  int32_t centered;
} bptt_optimizer_options;
BPTT_API bptt_status bptt_optimizer_options_init(bptt_optimizer_options* options,
                                                 size_t struct_size);
/* The same with an algorithm and its own lr, momentum, beta2, eps and rmsprop_alpha: for example
 * lr 1e-4 for BPTT_LION and for BPTT_RMSPROP in Graves' form, and momentum 0.9 for the latter. The
 * form of the others is BPTT_RMSPROP_TORCH. AdamW is BPTT_ADAM with a weight_decay, torch.optim's
 * 0.01. Also: BPTT_ERR_RANGE (there is no such algorithm or form). */
BPTT_API bptt_status bptt_optimizer_options_of(bptt_algorithm algorithm, bptt_rmsprop_form form,
                                               bptt_optimizer_options* options, size_t struct_size);

/* An optimiser over the parameters of a layer or model. Also: BPTT_ERR_ISA. */
BPTT_API bptt_status bptt_optimizer_create(const bptt_optimizer_options* options,
                                           bptt_params* params, bptt_optimizer** optimizer);
/* The model's own optimiser, a view that is never freed. */
BPTT_API bptt_status bptt_model_optimizer(bptt_model* model, bptt_optimizer** optimizer);
BPTT_API bptt_status bptt_optimizer_free(bptt_optimizer* optimizer);
/* Copy the options out, lr as it now is. */
BPTT_API bptt_status bptt_optimizer_get_options(bptt_optimizer* optimizer,
                                                bptt_optimizer_options* options,
                                                size_t struct_size);

/* ---------------------------------------------------------------------------- optimisers: step */

/* Update the parameters with gradients [P]. *skipped = 1 and nothing changed if the gradient has a
 * value that is not finite, or if the update would turn a finite parameter or moment into one that
 * is not. The gradients of frozen tensors and masked elements are not used, but have to be finite.
 * skipped may be NULL.
 * Changes the parameters. Also: BPTT_ERR_STATE (2^53 steps). */
BPTT_API bptt_status bptt_optimizer_step(bptt_optimizer* optimizer, const void* gradients,
                                         int32_t* skipped);
/* Set (as a call that changes the parameters) or get the learning rate. */
BPTT_API bptt_status bptt_optimizer_set_lr(bptt_optimizer* optimizer, double lr);
BPTT_API bptt_status bptt_optimizer_get_lr(bptt_optimizer* optimizer, double* lr);
/* One parameter tensor's factor >= 0 of the learning rate (1), and its weight decay >= 0 (NaN: as
 * the options say). Kept in model files. Set changes the parameters; results of get may be NULL.
 * Also: BPTT_ERR_NAME. */
BPTT_API bptt_status bptt_optimizer_set_group(bptt_optimizer* optimizer, const char* name,
                                              double lr_scale, double weight_decay);
BPTT_API bptt_status bptt_optimizer_get_group(bptt_optimizer* optimizer, const char* name,
                                              double* lr_scale, double* weight_decay);

/* --------------------------------------------------------------------------- optimisers: state */

/* The names of the moments, each a flat vector [P], as torch.optim's: SGD with momentum 1
 * (momentum_buffer), Adagrad 1 (sum), Adam 2 (exp_avg, exp_avg_sq) and with amsgrad 3
 * (max_exp_avg_sq), Lion 1 (exp_avg), RMSprop 1 (square_avg), if centred grad_avg, with momentum
 * momentum_buffer; Graves' form has all three. names may be NULL. */
BPTT_API bptt_status bptt_optimizer_moments(bptt_optimizer* optimizer, int64_t* count,
                                            const char* const** names);
/* Copy a moment, by its index, out or in. In, values are finite, and >= 0 for sum, exp_avg_sq,
 * max_exp_avg_sq and square_avg; set changes the parameters. Also: BPTT_ERR_RANGE (moment). */
BPTT_API bptt_status bptt_optimizer_get_state(bptt_optimizer* optimizer, int64_t moment,
                                              void* values);
BPTT_API bptt_status bptt_optimizer_set_state(bptt_optimizer* optimizer, int64_t moment,
                                              const void* values);
/* The number of updates made, and the number that each tensor has had: a frozen one has none, and
 * Adam's bias correction goes by the tensor's own number (as torch.optim's). set_steps sets those
 * of all tensors too. From 0 to 2^53; set changes the parameters. Also: BPTT_ERR_NAME. */
BPTT_API bptt_status bptt_optimizer_get_steps(bptt_optimizer* optimizer, int64_t* steps);
BPTT_API bptt_status bptt_optimizer_set_steps(bptt_optimizer* optimizer, int64_t steps);
BPTT_API bptt_status bptt_optimizer_get_tensor_steps(bptt_optimizer* optimizer, const char* name,
                                                     int64_t* steps);
BPTT_API bptt_status bptt_optimizer_set_tensor_steps(bptt_optimizer* optimizer, const char* name,
                                                     int64_t steps);

/* ----------------------------------------------------------------------------------- gradients */

/* All three work on a flat vector of one dtype, which belongs to the calling thread. Norms and
 * factors are computed and applied in double precision. By global norm (Pascanu et al. 2013): if
 * ||g|| > max_norm, g *= max_norm / (||g|| + eps). *norm is the norm before: infinity where it
 * exceeds float64, which is clipped as any other; norm may be NULL when clipping. An element that
 * is not finite leaves the gradient as it is. Also: BPTT_ERR_ISA. */
BPTT_API bptt_status bptt_clip_grad_norm(bptt_dtype dtype, void* gradients, int64_t count,
                                         double max_norm, double eps, double* norm);
BPTT_API bptt_status bptt_clip_grad_value(bptt_dtype dtype, void* gradients, int64_t count,
                                          double value);
BPTT_API bptt_status bptt_grad_norm(bptt_dtype dtype, const void* gradients, int64_t count,
                                    double* norm);

#ifdef __cplusplus
}
#endif

#endif
