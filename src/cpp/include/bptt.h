/* bptt.h: train recurrent networks by backpropagation through time (BPTT) on a CPU. C99, ABI 1.
 *
 * The network (one layer; layers stack, each reading the states of the one below):
 *     RNN    h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), f = tanh, relu, ... (see below)
 *     LSTM   i, f, o = sigmoid(.), g = tanh(.);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)
 *     GRU    r, z = sigmoid(.);  n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn));
 *            h_t = (1 - z) n + z h_{t-1}
 *     MINGRU z = sigmoid(W_iz x_t + b_iz);  n = W_in x_t + b_in;  h_t = (1 - z) h_{t-1} + z n
 * A model adds a readout y_t = W_o h_t + b_o, a loss on it and an optimiser. (LSTM: Hochreiter &
 * Schmidhuber 1997 with the forget gate of Gers et al. 2000; GRU: Cho et al. 2014 with the reset
 * after the product, arXiv:1406.1078v1; MINGRU: Feng et al. 2024, arXiv:2410.01201; BPTT: Werbos
 * 1990. bptt_layer_options has variants.)
 *
 * GLOSSARY
 *     T    time steps                         I    input size
 *     N    batch: number of sequences         H    hidden size
 *     L    layers                             O    output size
 *     D    directions: 1, or 2                V    vocabulary size
 *     G    gates: RNN 1; LSTM 4: i f g o;     E    embedding size
 *          GRU 3: r z n; MINGRU 2: z n        P    number of parameters
 *     R    elements of h: H, or proj_size     l*D + d  index of layer l, direction d
 *     a_t  pre-activations, the arguments of f, sigmoid and tanh
 *     dX   dL/dX, the gradient of the loss with respect to X
 * All P parameters form one flat vector, in the order that bptt_params_info lists.
 *
 * A FIRST PROGRAM teaches a small LSTM to continue 0 1 2 0 1 2, then prints its next logits.
 * This command compiles it: cc first.c $(pkg-config --cflags --libs bptt) -o first
 *
 *     #include <bptt.h>
 *     #include <stdio.h>
 *
 *     static int failed(void) {
 *       bptt_error error;
 *       bptt_last_error(&error, sizeof error);
 *       fprintf(stderr, "%s\n", error.text);
 *       return 1;
 *     }
 *
 *     int main(void) {
 *       int64_t text[] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
 *       float y[8][3];
 *       bptt_sequence in = {.struct_size = sizeof in, .time = 8, .batch = 1, .tokens = text,
 *                           .tokens_stride_t = 1};
 *       bptt_target next = {.struct_size = sizeof next, .classes = text + 1, .stride_t = 1};
 *       bptt_outputs out = {.struct_size = sizeof out, .y = y, .y_stride_t = 3};
 *       bptt_step step = {.struct_size = sizeof step};
 *       bptt_model_options options;
 *       bptt_layer_options layer;
 *       bptt_model* model;
 *       bptt_model_options_init(&options, sizeof options);
 *       bptt_layer_options_init(&layer, sizeof layer);
 *       options.vocab_size = options.output_size = 3;
 *       layer.hidden_size = 16;
 *       if (bptt_model_create(&options, &layer, NULL, &model)) return failed();
 *       for (int i = 0; i < 500; ++i)
 *         if (bptt_model_train_step(model, &in, &next, NULL, NULL, &step)) return failed();
 *       if (bptt_model_forward(model, &in, &out, NULL)) return failed();
 *       printf("loss %.3f, after 1: %.1f %.1f %.1f\n", step.loss, y[7][0], y[7][1], y[7][2]);
 *       return bptt_model_free(model) ? failed() : 0;
 *     }
 *
 * ARRAYS. The last axis changes the fastest and is contiguous. A batch of sequences is [T, N, F]:
 * element (t, n, f) is at base[t * stride_t + n * stride_n + f], with strides in elements, so [N,
 * T, F] is only another pair of strides. States are [L*D, N, R] (c: [L*D, N, H]) and contiguous.
 * Elements are float or double, by the dtype of the layer or model; tokens and sizes are int64_t.
 * The library never writes to an input. Outputs, single results such as a norm included, must not
 * overlap inputs or each other (BPTT_ERR_ARGUMENT). Two strided arrays overlap if they share an
 * element, even one beyond a sequence's length; rows between each other's rows, such as columns of
 * one buffer, do not.
 *
 * OWNERSHIP. X_create makes a handle and X_free ends it; freeing NULL does nothing. A handle is a
 * number dressed as a pointer: the library checks it and never dereferences it, so a stale, foreign
 * or twice freed handle is BPTT_ERR_HANDLE and not a crash, and freeing one that another thread is
 * using is BPTT_ERR_BUSY. A bptt_params or bptt_optimizer obtained from a layer or model belongs to
 * it and ends with it. A tape remains valid after its layer is freed, but serves no call any more.
 *
 * STRUCTS. Every struct begins with struct_size = sizeof the struct. Options have defaults: call
 * bptt_x_options_init(&options, sizeof options), then change fields. The comment of an option
 * begins with its default, then says what other values mean. In all other structs that a caller
 * fills, the default of every field is 0 or NULL (bptt_spectrum: see there), so bptt_x_init and
 * {.struct_size = sizeof s} are the same. A program that was compiled with an older header has
 * smaller structs: the library neither reads nor writes beyond struct_size, and the fields that are
 * missing have their defaults. A program that was compiled with a newer header has larger structs:
 * the library accepts them if the fields that it does not know are 0. Other sizes are
 * BPTT_ERR_STRUCT_SIZE. Structs never contain each other. A later version adds a field at the end
 * of its struct, in units of 8 bytes, with a default that means what the library did before.
 *
 * ERRORS. Every function but bptt_version, bptt_abi_version and bptt_status_name returns a
 * bptt_status; results come through pointers, which may be NULL only where the text says so. The
 * library checks arguments before anything changes. bptt_last_error describes the calling thread's
 * last failure. The library never prints, exits or throws. Any function may return
 * BPTT_ERR_ARGUMENT, BPTT_ERR_MEMORY and BPTT_ERR_INTERNAL; with a handle BPTT_ERR_HANDLE, with a
 * struct BPTT_ERR_STRUCT_SIZE, with a dtype BPTT_ERR_TYPE. "Also:" lists the others.
 *
 * THREADS. Any thread may call any function. Calls that only read the parameters (forward,
 * backward, evaluate, gradients, bptt_params_get) may run at the same time on one layer or model.
 * Calls that change them (marked "Changes the parameters") wait until the calls before them on the
 * same layer or model have ended, and run alone. A stream, and the memory that a call reads or
 * writes, belong to one thread at a time. The engine's worker threads start with the first large
 * call; results have the same bits for any number of them. They run until the process ends, so the
 * library stays in memory after dlclose().
 *
 * FORK. A forked child can use the library and all its handles, and no call waits for a thread that
 * stayed in the parent. An object that such a thread was using during the fork may be BPTT_ERR_BUSY
 * in the child: freeing it, or calls on a layer or model whose parameters that thread was changing.
 * The states of a stream that another thread was stepping are unspecified until they are set or
 * reset.
 *
 * CHAPTERS. bptt_optimizer.h: parameters, gradients, optimisers. bptt_files.h: model files.
 * bptt_stream.h: one step at a time. bptt_diagnostics.h: tapes, gradient flow, Jacobians, profile.
 * bptt_library.h: instruction sets, threads, subnormal numbers, cancelling. bptt_options.h: the
 * options as data, for bindings of other languages.
 *
 * PROMISE. Within ABI 1 no function, field, enumerator or status changes its meaning or is removed;
 * new ones are added. Only what is EXPERIMENTAL is exempt: part of bptt_diagnostics.h, and
 * bptt_options.h.
 */
#ifndef BPTT_H
#define BPTT_H

#include <stddef.h>
#include <stdint.h>

#if defined(BPTT_BUILDING) && defined(__GNUC__)
#define BPTT_API __attribute__((visibility("default")))
#else
#define BPTT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define BPTT_ABI_VERSION 1

typedef enum bptt_status {
  BPTT_OK = 0,
  /* a value is not allowed (negative size, NaN, NULL) */
  BPTT_ERR_ARGUMENT = 1,
  /* a dtype does not fit */
  BPTT_ERR_TYPE = 2,
  /* sizes do not fit each other */
  BPTT_ERR_SHAPE = 3,
  /* an index, token or target is out of range */
  BPTT_ERR_RANGE = 4,
  /* a name is unknown, missing or repeated */
  BPTT_ERR_NAME = 5,
  /* a handle is stale, foreign or NULL */
  BPTT_ERR_HANDLE = 6,
  /* struct_size fits no version of the struct, or a newer version's field is not 0 */
  BPTT_ERR_STRUCT_SIZE = 7,
  /* out of memory, or a size that no memory can hold */
  BPTT_ERR_MEMORY = 8,
  /* the operating system refused; system_error holds errno */
  BPTT_ERR_IO = 9,
  /* a file is not a model, is altered, truncated, or of a newer format */
  BPTT_ERR_FORMAT = 10,
  /* the call does not fit the object's state (another layer's tape) */
  BPTT_ERR_STATE = 11,
  /* another thread is using the object */
  BPTT_ERR_BUSY = 12,
  /* an instruction set is unknown, or this CPU lacks it */
  BPTT_ERR_ISA = 13,
  /* the cancel callback asked to stop; nothing was changed */
  BPTT_ERR_CANCELLED = 14,
  /* a defect of this library */
  BPTT_ERR_INTERNAL = 15,
  /* BPTT_NONFINITE_RAISE; nothing was changed */
  BPTT_ERR_NONFINITE = 16,
  /* the cancel callback threw an exception; nothing was changed */
  BPTT_ERR_CALLBACK = 17
} bptt_status;

typedef enum bptt_dtype {
  BPTT_FLOAT32 = 1,
  BPTT_FLOAT64 = 2,
  /* only for extra tensors (bptt_files.h) */
  BPTT_INT64 = 3
} bptt_dtype;

/* A handle of a stack of L recurrent layers. */
typedef struct bptt_layer_handle bptt_layer;
/* A handle of a model: layers with a readout, a loss and an optimiser, perhaps an embedding. */
typedef struct bptt_model_handle bptt_model;
/* A handle of the record of one forward call, for BPTT. */
typedef struct bptt_tape_handle bptt_tape;

/* Structs of other chapters: bptt_optimizer.h, bptt_diagnostics.h. */
struct bptt_optimizer_options;
struct bptt_flow;

/* ------------------------------------------------------------------------------ layers: create */

/* MINGRU has no W_hh and no b_hh: its gates read the input alone. */
typedef enum bptt_cell { BPTT_RNN = 1, BPTT_LSTM = 2, BPTT_GRU = 3, BPTT_MINGRU = 4 } bptt_cell;

/* f(a). RELU: derivative 0 at 0. SOFTPLUS: log(1 + exp(a)). ELU: a > 0 ? a : exp(a) - 1.
 * HARD_SIGMOID: a / 6 + 1/2, cut to [0, 1]. SOFTSIGN: a / (1 + |a|). LEAKY_RELU: a > 0 ? a : 0.01
 * a; derivative 0.01 at 0. SILU: a / (1 + exp(-a)). */
typedef enum bptt_nonlinearity {
  BPTT_TANH = 1,
  BPTT_RELU = 2,
  BPTT_SIGMOID = 3,
  BPTT_IDENTITY = 4,
  BPTT_SOFTPLUS = 5,
  BPTT_ELU = 6,
  BPTT_HARD_SIGMOID = 7,
  BPTT_SOFTSIGN = 8,
  BPTT_LEAKY_RELU = 9,
  BPTT_SILU = 10
} bptt_nonlinearity;

/* The initial parameters. */
typedef enum bptt_weight_init {
  /* U(-1/sqrt(H), 1/sqrt(H)) for every tensor: PyTorch's default */
  BPTT_INIT_UNIFORM = 1,
  /* each gate's W_hh orthogonal times gain (Saxe et al. 2014); the rest as UNIFORM */
  BPTT_INIT_ORTHOGONAL = 2,
  /* W_hh = gain * I per gate, biases 0, W_ih ~ N(0, 0.001) as in IRNN (Le et al. 2015) */
  BPTT_INIT_IDENTITY = 3,
  /* W_ih and W_hh U(-b, b) per gate, b = sqrt(6 / (columns + H)), biases 0 (Glorot & Bengio
   * 2010) */
  BPTT_INIT_XAVIER = 4,
  /* each gate's W_hh N(0, 1) rescaled to spectral_radius; the rest as UNIFORM (Pascanu et al.
   * 2013) */
  BPTT_INIT_NORMAL = 5,
  /* as NORMAL with 15 entries a row, the others 0 (Martens 2010; Sutskever et al. 2013) */
  BPTT_INIT_SPARSE = 6,
  /* as UNIFORM but b_ih of the LSTM's forget gates = ln U[1, time_scale - 1] and of its input gates
   * the opposite, of the GRU's gates z = ln U[1, time_scale - 1] and of MINGRU's the opposite; b_hh
   * of these 0 (Tallec & Ollivier 2018) */
  BPTT_INIT_CHRONO = 7,
  /* W_ih U(-b, b), b = sqrt(6 / (I + G*H)); W_hh [G*H, H] with orthonormal columns; biases 0, b_ih
   * of the forget gates 1: Keras's defaults */
  BPTT_INIT_KERAS = 8
} bptt_weight_init;

/* The numbers that products read, forward and backward. */
typedef enum bptt_compute {
  /* the elements as they are */
  BPTT_COMPUTE_DTYPE = 0,
  /* float32 only: the elements rounded to bfloat16. Sums, states, parameters and gradients stay
   * float32. Errors are 3e-3 to 2e-2 of a tensor's largest element, more with a few units; up to
   * twice as fast, with AVX512_BF16 only */
  BPTT_COMPUTE_BFLOAT16 = 1
} bptt_compute;

/* An option that the cell does not have is an error unless it has its default; so are layer_norm
 * with reset_before, and zoneout or zoneout_c with proj_size. */
typedef struct bptt_layer_options {
  size_t struct_size;
  /* BPTT_LSTM */
  bptt_cell cell;
  /* BPTT_FLOAT32 */
  bptt_dtype dtype;
  /* I >= 1, no default; 0 in a model with vocab_size > 0 */
  int64_t input_size;
  /* H >= 1, no default */
  int64_t hidden_size;
  /* 1; the number of layers L */
  int64_t num_layers;
  /* BPTT_TANH; f, RNN only */
  bptt_nonlinearity nonlinearity;
  /* 1; 0: the layers have no b_ih and no b_hh */
  int32_t bias;

  /* Structure */
  /* 0; 1: D = 2, a second set of layers ("_reverse") reads each sequence from its end */
  int32_t bidirectional;
  /* 0; 1: layer normalisation of W_ih x, of W_hh h and of c_t (Ba et al. 2016) */
  int32_t layer_norm;
  /* 0; 1: the gates see the cell state (Gers & Schmidhuber 2000); LSTM only */
  int32_t peephole;
  /* 0; 1: f = 1 - i, and the gates are i g o (Greff et al. 2017); LSTM only */
  int32_t coupled;
  /* 0; 1: n = tanh(. + W_hn (r h) + b_hn) (Cho et al. 2014, v3); GRU only */
  int32_t reset_before;
  /* 0; 1: dropout has one mask for all steps (Gal & Ghahramani 2016) */
  int32_t variational;
  /* 0; R < H: h_t = W_hr (o tanh(c_t)), with R elements; LSTM only */
  int64_t proj_size;
  /* 1; in (0, 1): leaky units, h_t = (1 - alpha) h_{t-1} + alpha f(a_t); RNN only */
  double alpha;
  /* NaN: off; in [0, 1]: the first floor(dale H + 1/2) units excite, the others inhibit: W_hh acts
   * as |W_hh| with the sign of its column (Song et al. 2016). The promise of init holds for W_hh as
   * it acts: the inhibitory part of each row is rescaled until the row sums to 0, then the whole to
   * the spectral radius, which is |init_gain| with ORTHOGONAL, 1 with XAVIER and KERAS, 1/sqrt(3)
   * with UNIFORM. RNN only; not with IDENTITY and SPARSE, whose zeros would never learn */
  double dale;

  /* Initial parameters */
  /* BPTT_INIT_UNIFORM */
  bptt_weight_init init;
  /* BPTT_COMPUTE_DTYPE */
  bptt_compute compute;
  /* 0; seed of the counter-based generator (Philox4x32-10, Salmon et al. 2011) */
  uint64_t seed;
  /* 1; factor of W_hh with ORTHOGONAL and IDENTITY: 0, or an absolute value from 1e-30 to 1e30
   * (float64: 1e-300 to 1e300) */
  double init_gain;
  /* NaN: as init sets it; b_ih of the forget gates (b_hh: 0), finite in the dtype; LSTM only */
  double forget_bias;
  /* 0.95; spectral radius of W_hh with NORMAL and SPARSE, > 0 and in the range of init_gain */
  double spectral_radius;
  /* NaN; with CHRONO, which needs it: the longest dependency in steps, >= 2, finite in the dtype */
  double time_scale;

  /* Noise: passes with a tape, training steps and passes with `training` of bptt_sequence draw it;
   * others have zoneout's expectation, and a_t has noise if `noise` of bptt_sequence is 1 */
  /* 0; > 0: a_t += sqrt(2 / alpha) noise xi, xi ~ N(0, 1); RNN only */
  double noise;
  /* 0; probability in [0, 1) that an input of a layer above the first is dropped */
  double dropout;
  /* 0; probability in [0, 1) that a unit of h is dropped from W_hh h_{t-1}, at all steps alike */
  double recurrent_dropout;
  /* 0; probability in [0, 1) that a unit of h keeps its value (Krueger et al. 2017) */
  double zoneout;
  /* 0; probability in [0, 1) that a unit of c keeps its value; LSTM only */
  double zoneout_c;

  /* Initial states */
  /* 0; 1: the states before the first step, and after a reset, are parameters, 0 at first: h0 [R],
   * and c0 [H] of an LSTM, of each layer and direction. Their gradients are the sums of dL/dh and
   * dL/dc there. h0 and c0 of bptt_sequence take precedence before the first step */
  int32_t learn_initial_state;
  /* must be 0 */
  int32_t reserved32;
  /* NULL; [H], each in (0, 1]: the alpha of each unit, in every layer and direction; `alpha` is
   * then 1, and in `noise` each unit has its own alpha. The library copies them; those of
   * bptt_model_get_options are valid as long as the model. RNN only */
  const double* alphas;
} bptt_layer_options;
BPTT_API bptt_status bptt_layer_options_init(bptt_layer_options* options, size_t struct_size);

/* Make a layer with initial parameters. Also: BPTT_ERR_ISA, BPTT_ERR_CANCELLED,
 * BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_layer_create(const bptt_layer_options* options, bptt_layer** layer);
BPTT_API bptt_status bptt_layer_free(bptt_layer* layer);

/* ------------------------------------------------------------------------------ models: create */

typedef enum bptt_loss {
  /* softmax cross-entropy of logits against a class */
  BPTT_CROSS_ENTROPY = 1,
  /* squared errors of values */
  BPTT_MSE = 2,
  /* cross-entropy of the sigmoid of each logit against a value in [0, 1] */
  BPTT_BINARY_CROSS_ENTROPY = 3,
  /* half the squared errors of values, but linear beyond huber_delta (Huber 1964) */
  BPTT_HUBER = 4
} bptt_loss;

/* The steps that the readout reads and that have targets. */
typedef enum bptt_targets {
  BPTT_EVERY_STEP = 1,
  /* with one direction h_{length-1}; with two [h_{length-1} | h_0 of the second direction]: the
   * final state of each, which has read the whole sequence */
  BPTT_LAST_STEP = 2,
  /* bidirectional only: [h_{length-1} | h_{length-1} of the second direction], which has read one
   * step only. Model files from before BPTT_LAST_STEP meant final states have it */
  BPTT_LAST_ROW = 3
} bptt_targets;

typedef enum bptt_reduction { BPTT_MEAN = 1, BPTT_SUM = 2 } bptt_reduction;

/* The treatment of a gradient that is not finite. SKIP and RAISE apply to an update, too, that
 * would turn a finite parameter or moment into one that is not; with ZERO such an update is
 * skipped. */
typedef enum bptt_nonfinite {
  /* change nothing, and count it */
  BPTT_NONFINITE_SKIP = 0,
  /* take 0 for each element that is not finite */
  BPTT_NONFINITE_ZERO = 1,
  /* change nothing and return BPTT_ERR_NONFINITE */
  BPTT_NONFINITE_RAISE = 2
} bptt_nonfinite;

typedef struct bptt_model_options {
  size_t struct_size;
  /* 0: the input is dense; V: it is tokens 0..V-1, and input_size of the layer is 0 */
  int64_t vocab_size;
  /* 0: tokens are one-hot; E: they are rows of a table [V, E], which is trained too */
  int64_t embedding_size;
  /* O >= 1, no default */
  int64_t output_size;
  /* BPTT_CROSS_ENTROPY */
  bptt_loss loss;
  /* BPTT_EVERY_STEP */
  bptt_targets targets;
  /* BPTT_MEAN, for cross-entropy over the T*N (last step: N) targets, for the others over all T*N*O
   * elements; with weights see bptt_target */
  bptt_reduction reduction;
  /* BPTT_NONFINITE_SKIP */
  bptt_nonfinite nonfinite;
  /* 0; 1: the caller's arrays are [N, T, F]. This is a note for callers, which files keep: in this
   * library strides decide */
  int32_t batch_first;
  /* 0; e in [0, 1] (Szegedy et al. 2016), see bptt_target; cross-entropy only */
  double label_smoothing;
  /* -100; targets of this class do not count; cross-entropy only */
  int64_t ignore_index;
  /* 1; > 0 and finite in the dtype, see bptt_target; Huber only */
  double huber_delta;
  /* NULL: all 1; c [O], finite, >= 0 and not all 0: weights of the classes or outputs. The library
   * copies them; those of bptt_model_get_options are valid as long as the model */
  const double* class_weights;

  /* Clipping, in this order */
  /* 0: off; bound of the absolute value of each element */
  double clip_value;
  /* 0: off; largest norm of each parameter tensor's gradient */
  double clip_tensor_norm;
  /* 0: off; largest global norm of the gradient */
  double clip_norm;

  /* Backpropagation: 0: off; see bptt_backward */
  double clip_step, clip_step_norm;
  int64_t truncation_k1, truncation_k2;
  double omega;

  /* Regularisers weight_l1 sum |w| + weight_l2 sum w^2 of the matrices that are not frozen: 0: off;
   * finite in the dtype. Unlike weight decay, their gradient is clipped and enters the moments */
  double weight_l1, weight_l2;

  /* Regularisers of the activity, see bptt_backward: 0: off; finite in the dtype. The value is not
   * part of loss */
  double activity_l1, activity_l2;
} bptt_model_options;
BPTT_API bptt_status bptt_model_options_init(bptt_model_options* options, size_t struct_size);

/* Make a model with initial parameters. optimizer NULL: Adam with its defaults, else see
 * bptt_optimizer.h. Errors name fields as "hidden_size" of options, "layer.hidden_size" and
 * "optimizer.lr" of the others. Also: BPTT_ERR_ISA, BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_model_create(const bptt_model_options* options,
                                       const bptt_layer_options* layer,
                                       const struct bptt_optimizer_options* optimizer,
                                       bptt_model** model);
BPTT_API bptt_status bptt_model_free(bptt_model* model);
/* Copy the options out: those of the model, of its layers, and (bptt_optimizer_get_options) of its
 * optimiser. */
BPTT_API bptt_status bptt_model_get_options(bptt_model* model, bptt_model_options* options,
                                            size_t struct_size);
BPTT_API bptt_status bptt_model_get_layer_options(bptt_model* model, bptt_layer_options* options,
                                                  size_t struct_size);

/* ------------------------------------------------------------------------------------- forward */

/* A batch of sequences. Exactly one of x and tokens is given. */
typedef struct bptt_sequence {
  size_t struct_size;
  /* T >= 1 */
  int64_t time;
  /* N >= 1 */
  int64_t batch;
  /* [T, N, I] */
  const void* x;
  int64_t x_stride_t, x_stride_n;
  /* [T, N], 0 <= token < I (in a model V), each in place of the one-hot vector of that index */
  const int64_t* tokens;
  int64_t tokens_stride_t, tokens_stride_n;
  /* [L*D, N, R] the states before the first step; NULL: zeros, or learnt (learn_initial_state) */
  const void* h0;
  /* [L*D, N, H] the cell states before it; NULL: the same; LSTM only */
  const void* c0;
  /* [N], 1 <= length <= T; NULL: all T. Steps beyond are never read; outputs there are 0; final
   * states are those of each sequence's end */
  const int64_t* lengths;
  /* [T, N], 0 or 1, or NULL: the states are zero, or learnt, before this step, and no gradient
   * passes (reverse direction: between this step and the one before) */
  const uint8_t* resets;
  int64_t resets_stride_t, resets_stride_n;
  /* 0; which set of random masks and noise a pass draws. Training steps use their number instead
   * (the steps taken), so that a skipped step uses none up */
  uint64_t draw;
  /* 0; 1: a pass without a tape draws masks and noise too, and has the bits of one with a tape.
   * Passes with a tape and training steps always draw them */
  int32_t training;
  /* 0; 1: a pass without a tape and without training draws the noise alone: no mask of dropout, and
   * the expectation of zoneout */
  int32_t noise;
} bptt_sequence;
BPTT_API bptt_status bptt_sequence_init(bptt_sequence* sequence, size_t struct_size);

/* The places for the results of a forward pass; every pointer may be NULL. */
typedef struct bptt_outputs {
  size_t struct_size;
  /* [T, N, D*R] of a layer; [T, N, O] of a model, or [N, O] (y_stride_t unused) unless its targets
   * are BPTT_EVERY_STEP */
  void* y;
  int64_t y_stride_t, y_stride_n;
  /* [L*D, N, R] the states after the last step */
  void* hn;
  /* [L*D, N, H] the cell states after it; LSTM only */
  void* cn;
} bptt_outputs;
BPTT_API bptt_status bptt_outputs_init(bptt_outputs* outputs, size_t struct_size);

/* Run forward. outputs may be NULL. With tape NULL nothing is remembered: with one direction only
 * copies of tokens and resets grow with T (two directions: all states, until the call returns).
 * Else *tape serves any number of backward calls; it holds copies, never the caller's arrays. If
 * the parameters change while it exists, it keeps what backward calls need of the former ones: once
 * for all tapes that were made with them, until the last of these is freed. A function that changes
 * the parameters is refused with BPTT_ERR_MEMORY if there is no memory for that.
 * Also: BPTT_ERR_RANGE (tokens), BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_layer_forward(bptt_layer* layer, const bptt_sequence* sequence,
                                        const bptt_outputs* outputs, bptt_tape** tape);
BPTT_API bptt_status bptt_model_forward(bptt_model* model, const bptt_sequence* sequence,
                                        const bptt_outputs* outputs, bptt_tape** tape);

BPTT_API bptt_status bptt_tape_free(bptt_tape* tape);
/* The memory that a tape holds, without what it keeps of former parameters. */
BPTT_API bptt_status bptt_tape_bytes(bptt_tape* tape, int64_t* bytes);

/* ------------------------------------------------------------------------------------ backward */

/* One backward pass: gradients that come in, thresholds, and the places for results, each of which
 * may be NULL. */
typedef struct bptt_backward {
  size_t struct_size;
  /* dL/dy, as y of bptt_outputs; NULL: zeros */
  const void* dy;
  int64_t dy_stride_t, dy_stride_n;
  /* dL/dhn [L*D, N, R]; NULL: zeros */
  const void* dhn;
  /* dL/dcn [L*D, N, H]; NULL: zeros; LSTM only */
  const void* dcn;

  /* 0: off. c: clamp each element of da_t to [-c, c] (Graves 2013) */
  double clip_step;
  /* 0: off. c: rescale each sample's carried (dh, dc) of a layer to norm <= c */
  double clip_step_norm;
  /* Truncated BPTT (Williams & Peng 1990; Sutskever 2013): the losses of steps (j-1) k1 .. j k1 - 1
   * go back to step j k1 - k2, k2 >= k1. Both 0: off. k1 = k2: the gradient is cut every k1 steps.
   * k2 > k1: flow must be NULL (windows overlap). Not with bidirectional */
  int64_t truncation_k1, truncation_k2;
  /* 0: off; weight of the regulariser of Pascanu et al. (2013, eq. 9), whose immediate gradient is
   * added to that of W_hh. RNN only; not with layer_norm, alpha < 1, noise, dale, zoneout,
   * recurrent_dropout, clip_step, clip_step_norm or truncation */
  double omega;

  /* [P] in the order of the parameters: overwritten, or with accumulate = 1 added to */
  void* gradients;
  int32_t accumulate;
  /* dL/dx [T, N, I]; must be NULL for tokens */
  void* dx;
  int64_t dx_stride_t, dx_stride_n;
  /* dL/dh0 [L*D, N, R] */
  void* dh0;
  /* dL/dc0 [L*D, N, H]; LSTM only */
  void* dc0;
  /* receives the regulariser's value, without its weight */
  double* omega_value;
  /* where the norms of dL/dh_t and more go, or NULL: bptt_diagnostics.h */
  const struct bptt_flow* flow;

  /* 0: off; finite in the dtype. Weights of the regularisers activity_l1 mean |h| + activity_l2
   * mean h^2 (Song et al. 2016; Yang et al. 2019): the means are over the elements of h of all
   * layers and directions at all steps within the sequences. Their gradient is part of dL/dh_t */
  double activity_l1, activity_l2;
  /* receives their value */
  double* activity_penalty;
} bptt_backward;
BPTT_API bptt_status bptt_backward_init(bptt_backward* backward, size_t struct_size);

/* Run backward over a tape of this layer or model, with the parameters that it was made with; the
 * gradients of tensors that are frozen now are 0. Also: BPTT_ERR_STATE (the tape is another's),
 * BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_layer_backward(bptt_layer* layer, bptt_tape* tape,
                                         const bptt_backward* backward);
BPTT_API bptt_status bptt_model_backward(bptt_model* model, bptt_tape* tape,
                                         const bptt_backward* backward);

/* --------------------------------------------------------------------------------------- train */

/* The targets of a batch. Cross-entropy: classes, the other losses: values; the other array is
 * NULL. Where a weight is 0 or the class is ignore_index there is no target: the target there is
 * not read, and no gradient comes from it. At least one must be left (BPTT_ERR_ARGUMENT). With
 * class weights c and label smoothing e, the loss of a target with class y or values v is
 *     -(1 - e) c_y log p_y - e/O sum_k c_k log p_k, p = softmax(out)
 *     sum_o c_o (out_o - v_o)^2
 *     sum_o -c_o (v_o log s_o + (1 - v_o) log(1 - s_o)), s = sigmoid(out)
 *     sum_o c_o q_o (|d_o| - q_o / 2), d = out - v, q = min(|d|, huber_delta)
 * BPTT_SUM is the sum of w times these; BPTT_MEAN divides it by the sum of w c_y, the others by O
 * times the sum of w (as PyTorch's losses do). */
typedef struct bptt_target {
  size_t struct_size;
  /* [T, N] (last step: [N], stride_t unused), 0 <= class < O, or ignore_index */
  const int64_t* classes;
  /* [T, N, O] (last step: [N, O], stride_t unused); binary cross-entropy: in [0, 1] */
  const void* values;
  int64_t stride_t, stride_n;
  /* NULL: all 1; else w [T, N] (last step: [N], weights_stride_t unused), finite and >= 0 */
  const void* weights;
  int64_t weights_stride_t, weights_stride_n;
} bptt_target;
BPTT_API bptt_status bptt_target_init(bptt_target* target, size_t struct_size);

/* The results of a training step, all written by the library. */
typedef struct bptt_step {
  size_t struct_size;
  /* the loss of this batch, before the update */
  double loss;
  /* the regulariser's value, without its weight (omega of the options); not part of loss */
  double omega;
  /* the gradient's global norm before clipping; infinity where it exceeds float64 */
  double grad_norm;
  /* its global norm after clipping */
  double clipped_norm;
  /* angle between the gradient before and after, radians; NaN if zeros took the place of elements
   * that were not finite */
  double clip_angle;
  /* 1 if clip_value, clip_tensor_norm or clip_norm changed the gradient */
  int32_t clipped;
  /* 1 if the gradient was not finite, or a parameter or moment would have become so: nothing has
   * changed but the count of skipped steps */
  int32_t skipped;
  /* the value of the weights' regularisers; not part of loss */
  double weight_penalty;
  /* the value of the regularisers activity_l1 and activity_l2; not part of loss */
  double activity_penalty;
} bptt_step;
BPTT_API bptt_status bptt_step_init(bptt_step* step, size_t struct_size);

/* Forward, loss, BPTT, clipping and update in one call: all or nothing. Changes the parameters.
 * outputs and flow may be NULL. Also: BPTT_ERR_RANGE (tokens, classes), BPTT_ERR_NONFINITE,
 * BPTT_ERR_STATE (2^53 steps), BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_model_train_step(bptt_model* model, const bptt_sequence* sequence,
                                           const bptt_target* target, const bptt_outputs* outputs,
                                           const struct bptt_flow* flow, bptt_step* step);
/* The two halves of a training step, for gradients of several batches or of your own making.
 *
 * Loss and gradient with the model's clip_step, clip_step_norm, truncation and regularisers, but no
 * update: gradients [P] are overwritten, or with accumulate = 1 added to. outputs, flow and step
 * may be NULL; grad_norm is that of gradients as they then are, clipped and skipped are 0. Also:
 * BPTT_ERR_RANGE (tokens, classes), BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_model_gradients(bptt_model* model, const bptt_sequence* sequence,
                                          const bptt_target* target, const bptt_outputs* outputs,
                                          const struct bptt_flow* flow, void* gradients,
                                          int32_t accumulate, bptt_step* step);
/* The model's clipping, then its optimiser, on a copy of gradients [P] (those of frozen tensors and
 * masked elements taken as 0); counted by bptt_model_steps. Changes the parameters. step may be
 * NULL; its loss and the values of regularisers are not written. Also: BPTT_ERR_NONFINITE,
 * BPTT_ERR_STATE (2^53 steps). */
BPTT_API bptt_status bptt_model_apply(bptt_model* model, const void* gradients, bptt_step* step);
/* The loss without a tape. outputs may be NULL. Also: BPTT_ERR_RANGE (tokens, classes),
 * BPTT_ERR_CANCELLED, BPTT_ERR_CALLBACK. */
BPTT_API bptt_status bptt_model_evaluate(bptt_model* model, const bptt_sequence* sequence,
                                         const bptt_target* target, const bptt_outputs* outputs,
                                         double* loss);
/* dL/dy of the model's loss: y of outputs [T, N, O] (last: [N, O]) becomes its gradient, which is 0
 * where there is no target. Of sequence, only time, batch and lengths are used. loss may be NULL.
 * bptt_model_forward, this and bptt_model_backward with the gradient as dy are
 * bptt_model_gradients. Also: BPTT_ERR_RANGE (classes). */
BPTT_API bptt_status bptt_model_output_gradient(bptt_model* model, const bptt_sequence* sequence,
                                                const bptt_target* target,
                                                const bptt_outputs* outputs, double* loss);
/* The training steps since creation, kept in files; either may be NULL. */
BPTT_API bptt_status bptt_model_steps(bptt_model* model, int64_t* taken, int64_t* skipped);

/* -------------------------------------------------------------------------- versions and errors */

/* The version of the library, such as "0.1.0". */
BPTT_API const char* bptt_version(void);
/* BPTT_ABI_VERSION of the library. */
BPTT_API int32_t bptt_abi_version(void);
/* The name of a status, such as "BPTT_OK"; "BPTT_ERR_UNKNOWN" for any other number. */
BPTT_API const char* bptt_status_name(bptt_status status);

/* The calling thread's last failure. Texts are never NULL, and valid until this thread's next
 * failure; those quoted below are examples. bptt_last_error itself leaves no record. */
typedef struct bptt_error {
  size_t struct_size;
  /* BPTT_OK if nothing has failed yet */
  bptt_status status;
  /* errno of BPTT_ERR_IO, else 0 */
  int32_t system_error;
  /* the function that failed: "bptt_layer_forward" */
  const char* function;
  /* its argument at fault: "h0"; empty where no single argument is */
  const char* argument;
  /* what the argument must be: "a finite number > 0"; empty if the state is at fault instead */
  const char* expected;
  /* the value passed: "nan"; or a sentence about the state: "a profile is already running" */
  const char* got;
  /* the whole message: "bptt_layer_forward: argument 'h0': expected ..., got ..." */
  const char* text;
} bptt_error;
BPTT_API bptt_status bptt_last_error(bptt_error* error, size_t struct_size);

#ifdef __cplusplus
}
#endif

#endif
