/* bptt.h: train recurrent networks by backpropagation through time (BPTT) on a CPU. C99, ABI 1.
 *
 * The network (one layer; layers stack, each reading the states of the one below):
 *     RNN    h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), f = tanh, relu, ... (see below)
 *     LSTM   i, f, o = sigmoid(.), g = tanh(.);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)
 *     GRU    r, z = sigmoid(.);  n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn));
 *            h_t = (1 - z) n + z h_{t-1}
 * A model adds a readout y_t = W_o h_t + b_o, a loss on it and an optimiser. (LSTM: Hochreiter &
 * Schmidhuber 1997 with the forget gate of Gers et al. 2000; GRU: Cho et al. 2014 with the reset
 * after the product, arXiv:1406.1078v1; BPTT: Werbos 1990. bptt_layer_options has variants.)
 *
 * GLOSSARY
 *     T    time steps                         I    input size
 *     N    batch: sequences side by side      H    hidden size
 *     L    layers                             O    output size
 *     D    directions: 1, or 2                V    vocabulary size
 *     G    gates: RNN 1; LSTM 4: i f g o;     E    embedding size
 *          GRU 3: r z n                       P    number of parameters
 *     R    elements of h: H, or proj_size     l*D + d  index of layer l, direction d
 *     a_t  pre-activations, the arguments of f, sigmoid and tanh
 *     dX   dL/dX, the gradient of the loss with respect to X
 * All P parameters lie in one flat vector, in the order that bptt_params_info lists.
 *
 * ARRAYS. The last axis changes the fastest and is contiguous. A batch of sequences is [T, N, F]:
 * element (t, n, f) lies at base[t * stride_t + n * stride_n + f], strides in elements, so [N, T,
 * F] is only another pair of strides. States are [L*D, N, R] ([.., H] of c), contiguous. Elements are
 * float or double, as the dtype of the layer or model says; tokens are int64_t. Sizes are int64_t. Input
 * arrays are const and never written to. Outputs must not overlap inputs or each other
 * (BPTT_ERR_ARGUMENT), single results such as a norm included. Strided arrays may lie between each
 * other's rows, as columns of one buffer do: what counts is whether they share an element, which may
 * also be one beyond a sequence's length.
 *
 * OWNERSHIP. X_create gives a handle, X_free takes it back; free of NULL is allowed and does
 * nothing. A handle is a number dressed as a pointer: it is checked, never dereferenced, so a
 * stale, foreign or twice freed handle is BPTT_ERR_HANDLE and not a crash; freeing one that another
 * thread is using is BPTT_ERR_BUSY. A bptt_params or bptt_optimizer obtained from a layer or model
 * belongs to it and goes with it. A tape stays valid after its layer is freed, but is then of no
 * use.
 *
 * STRUCTS. Call bptt_x_options_init(&options, sizeof options) and change what you want. Every
 * struct begins with struct_size; a smaller known size is accepted (fields after it take their
 * defaults), a larger one only if what lies beyond is zero.
 *
 * ERRORS. Every function returns bptt_status; results come through pointers. Arguments are checked
 * before anything changes. bptt_last_error describes the calling thread's last failure. The library
 * never prints, exits or throws.
 *
 * THREADS. Any function may be called from any thread. Calls that only read the parameters
 * (forward, evaluate, gradients, backward) may run concurrently on one layer or model; calls that
 * change them (set, load, optimizer and train steps) wait for these and each other. A stream and a
 * tape's own memory belong to one thread at a time. The engine's worker threads start with the
 * first large call; results have the same bits for any number of them. They run until the process
 * ends, so the library stays in memory after dlclose().
 *
 * FORK. A forked child can use the library and all its handles, and no call waits for a thread that
 * stayed in the parent. What such a thread was using when it was forked may be BPTT_ERR_BUSY in the
 * child: freeing it, or calls on a layer or model whose parameters that thread was changing. The
 * states of a stream that another thread was stepping are unspecified until they are set or reset.
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

/* Status values are pinned for ever; new ones are appended. */
typedef enum bptt_status {
  BPTT_OK = 0,
  BPTT_ERR_ARGUMENT = 1,    /* a value is not allowed (negative size, NaN, NULL) */
  BPTT_ERR_TYPE = 2,        /* a dtype does not fit */
  BPTT_ERR_SHAPE = 3,       /* sizes do not fit each other */
  BPTT_ERR_RANGE = 4,       /* an index, token or target is out of range */
  BPTT_ERR_NAME = 5,        /* an unknown, missing or repeated name */
  BPTT_ERR_HANDLE = 6,      /* a stale, foreign or NULL handle */
  BPTT_ERR_STRUCT_SIZE = 7, /* struct_size is garbage, or of a version not known here */
  BPTT_ERR_MEMORY = 8,      /* out of memory, or a size that no memory can hold */
  BPTT_ERR_IO = 9,          /* the operating system refused; system_error holds errno */
  BPTT_ERR_FORMAT = 10,     /* a file is not a model, is altered, truncated, or of a newer format */
  BPTT_ERR_STATE = 11,      /* the call does not fit the object's state (a stale tape) */
  BPTT_ERR_BUSY = 12,       /* the object is in use by another thread */
  BPTT_ERR_ISA = 13,        /* an instruction set that is unknown or that this CPU lacks */
  BPTT_ERR_CANCELLED = 14,  /* the cancel callback asked to stop; nothing was changed */
  BPTT_ERR_INTERNAL = 15,   /* a defect of this library */
  BPTT_ERR_NONFINITE = 16,  /* BPTT_NONFINITE_RAISE; nothing was changed */
  BPTT_ERR_CALLBACK = 17    /* the cancel callback threw an exception; nothing was changed */
} bptt_status;

typedef enum bptt_dtype {
  BPTT_FLOAT32 = 1,
  BPTT_FLOAT64 = 2,
  BPTT_INT64 = 3 /* extra tensors only */
} bptt_dtype;
typedef enum bptt_cell { BPTT_RNN = 1, BPTT_LSTM = 2, BPTT_GRU = 3 } bptt_cell;
/* What products read, on both ways: the elements, or (float32 only) these rounded to bfloat16: errors
 * of 3e-3 to 2e-2 of a tensor's largest element, more with a few units; up to twice as fast, with
 * AVX512_BF16 only. Sums, states, parameters and gradients stay float32. */
typedef enum bptt_compute { BPTT_COMPUTE_DTYPE = 0, BPTT_COMPUTE_BFLOAT16 = 1 } bptt_compute;
typedef enum bptt_nonlinearity {
  BPTT_TANH = 1,
  BPTT_RELU = 2, /* derivative 0 at 0 */
  BPTT_SIGMOID = 3,
  BPTT_IDENTITY = 4,
  BPTT_SOFTPLUS = 5,     /* log(1 + exp(a)) */
  BPTT_ELU = 6,          /* a > 0 ? a : exp(a) - 1 */
  BPTT_HARD_SIGMOID = 7, /* a / 6 + 1/2, cut to [0, 1] */
  BPTT_SOFTSIGN = 8,     /* a / (1 + |a|) */
  BPTT_LEAKY_RELU = 9    /* a > 0 ? a : 0.01 a; derivative 0.01 at 0 */
} bptt_nonlinearity;
typedef enum bptt_loss {
  BPTT_CROSS_ENTROPY = 1,       /* softmax cross-entropy of logits against a class */
  BPTT_MSE = 2,                 /* squared errors of values */
  BPTT_BINARY_CROSS_ENTROPY = 3 /* of the sigmoid of each logit against a value in [0, 1] */
} bptt_loss;
/* The steps that the readout reads and that have targets. With one direction the last step of a sequence is
 * h_{length-1}. With two it is [h_{length-1} | h_0 of the second direction]: the final state of each,
 * which has read the whole sequence. */
typedef enum bptt_targets {
  BPTT_EVERY_STEP = 1,
  BPTT_LAST_STEP = 2,
  BPTT_LAST_ROW =
      3 /* bidirectional only: [h_{length-1} | h_{length-1} of the second direction], which
                       has read one step only. Model files that were written before BPTT_LAST_STEP
                       meant final states have it */
} bptt_targets;
typedef enum bptt_reduction { BPTT_MEAN = 1, BPTT_SUM = 2 } bptt_reduction;
/* The treatment of a gradient that is not finite. SKIP and RAISE apply to an update, too, that would
 * turn a finite parameter or moment into one that is not; with ZERO such an update is skipped. */
typedef enum bptt_nonfinite {
  BPTT_NONFINITE_SKIP = 0, /* nothing, and it is counted */
  BPTT_NONFINITE_ZERO = 1, /* takes 0 for each element that is not finite */
  BPTT_NONFINITE_RAISE = 2 /* nothing: BPTT_ERR_NONFINITE */
} bptt_nonfinite;
typedef enum bptt_algorithm {
  BPTT_SGD = 1,
  BPTT_ADAGRAD = 2,
  BPTT_ADAM = 3,
  BPTT_RMSPROP = 4,
  BPTT_LION = 5 /* Chen et al. 2023, arXiv:2302.06675 */
} bptt_algorithm;
typedef enum bptt_rmsprop_form {
  BPTT_RMSPROP_TORCH = 0, /* w -= lr g / (sqrt(n) + eps), as torch.optim.RMSprop (Tieleman & Hinton
                             2012) */
  BPTT_RMSPROP_GRAVES = 1 /* d = momentum d - lr g / sqrt(n - m^2 + eps), w += d (Graves 2013,
                             arXiv:1308.0850, with lr 1e-4 and momentum 0.9) */
} bptt_rmsprop_form;
typedef enum bptt_weight_init {
  BPTT_INIT_UNIFORM = 1, /* U(-1/sqrt(H), 1/sqrt(H)) for every tensor: PyTorch's default */
  BPTT_INIT_ORTHOGONAL =
      2, /* each gate's W_hh orthogonal times gain (Saxe et al. 2014); the rest as UNIFORM */
  BPTT_INIT_IDENTITY =
      3, /* W_hh = gain * I per gate, biases 0, W_ih ~ N(0, 0.001) as in IRNN (Le et al. 2015) */
  BPTT_INIT_XAVIER = 4, /* W_ih and W_hh U(-b, b) per gate, b = sqrt(6 / (columns + H)), biases 0
                           (Glorot & Bengio 2010) */
  BPTT_INIT_NORMAL = 5, /* each gate's W_hh N(0, 1) rescaled to spectral_radius; the rest as UNIFORM
                           (Pascanu et al. 2013) */
  BPTT_INIT_SPARSE = 6, /* as NORMAL with 15 entries a row, the others 0 (Martens 2010; Sutskever et
                           al. 2013) */
  BPTT_INIT_CHRONO = 7, /* as UNIFORM but b_ih of the LSTM's forget gates = ln U[1, time_scale - 1]
                           and of its input gates the opposite, of the GRU's gates z = ln U[1,
                           time_scale - 1]; b_hh of these 0 (Tallec & Ollivier 2018) */
  BPTT_INIT_KERAS = 8   /* W_ih U(-b, b), b = sqrt(6 / (I + G*H)); W_hh [G*H, H] with orthonormal
                           columns; biases 0, b_ih of the forget gates 1: Keras's defaults */
} bptt_weight_init;

typedef struct bptt_params_handle
    bptt_params;                             /* the parameters of a layer or model; belongs to it */
typedef struct bptt_layer_handle bptt_layer; /* a stack of L recurrent layers */
typedef struct bptt_tape_handle bptt_tape;   /* what one forward call remembers for BPTT */
typedef struct bptt_optimizer_handle
    bptt_optimizer;                          /* moments and step count over one parameter vector */
typedef struct bptt_model_handle bptt_model; /* (embedding,) layers, readout, loss, optimiser */
typedef struct bptt_stream_handle bptt_stream; /* one sequence, one step at a time, no tape */

/* ------------------------------------------------------------------------------------- library */

BPTT_API const char* bptt_version(void);                   /* "0.1.0" */
BPTT_API int32_t bptt_abi_version(void);                   /* BPTT_ABI_VERSION of the library */
BPTT_API const char* bptt_status_name(bptt_status status); /* else "BPTT_ERR_UNKNOWN" */

/* The calling thread's last failure. Texts are valid until its next one and never NULL. */
typedef struct bptt_error {
  size_t struct_size;
  bptt_status status;
  int32_t system_error; /* errno of BPTT_ERR_IO, else 0 */
  const char* function; /* "bptt_layer_forward" */
  const char* argument; /* "h0"; empty where no single argument is at fault */
  const char* expected; /* "a finite number > 0" */
  const char* got;      /* "nan" */
  const char* text;     /* all of it: "bptt_layer_forward: argument 'h0': expected ..., got ..." */
} bptt_error;
BPTT_API bptt_status bptt_last_error(bptt_error* error,
                                     size_t struct_size); /* status BPTT_OK if nothing failed yet */

/* Instruction sets, best first: "avx512" "avx2" "sse2" on x86-64, "neon" on AArch64. The
 * environment variable BPTT_ISA names the one to use; if it names none of this CPU's, every create
 * call returns BPTT_ERR_ISA and names the choices. An empty one counts as not set. */
BPTT_API bptt_status bptt_isa(const char** name); /* the one in use */
BPTT_API bptt_status bptt_available_isas(const char* const** names,
                                         int64_t* count); /* static storage */
BPTT_API bptt_status bptt_use_isa(const char* name); /* for tests; NULL: the best (or BPTT_ISA) */

/* Worker threads for large calls, the caller included: 1..256. Default: the environment variable
 * BPTT_NUM_THREADS, else the CPUs this process may use. If the variable is no integer in 1..256, every
 * create call and bptt_get_num_threads return BPTT_ERR_ARGUMENT and name it, until a number is set
 * here. An empty one counts as not set. */
BPTT_API bptt_status bptt_set_num_threads(int64_t count);
BPTT_API bptt_status bptt_get_num_threads(int64_t* count);

/* All calls, on all their threads, round to nearest and trap no floating-point exception, whatever
 * fesetround or feenableexcept have set. When a call ends, however it ends, and in the cancel callback,
 * the caller's floating-point environment is what it was, exception flags included.
 *
 * Subnormal numbers (float32: below 1.2e-38) are computed with as the caller's thread does, by
 * default, so that vanishing gradients are seen as far down as their type goes; some CPUs take 10 to
 * 30 times as long for them. 1: calls compute with zeros in their place; 0: the default. For the
 * whole process, from the next call. */
BPTT_API bptt_status bptt_set_flush_subnormals(int32_t flush); /* 0 or 1 */
BPTT_API bptt_status bptt_get_flush_subnormals(int32_t* flush);

/* A function that long calls of this thread ask about once per block of time steps (some ms), and
 * those that read, write or hash a file once per some MiB: non-zero stops the call with
 * BPTT_ERR_CANCELLED before it changes parameters, moments or the file (outputs are then unspecified).
 * NULL: never. It may call this library, but what waits for the layer or model that it is asked inside
 * of is BPTT_ERR_BUSY. A C++ exception that it throws ends the call in the same way, with
 * BPTT_ERR_CALLBACK. Leaving it by longjmp(), pthread_exit() or the thread's cancellation is not
 * supported. In a child that it forks the call ends with BPTT_ERR_CANCELLED. */
typedef int (*bptt_cancel)(void* user);
BPTT_API bptt_status bptt_set_cancel(bptt_cancel cancel, void* user);

/* out[i] = f(in[i]) for f = "tanh", "sigmoid" or "exp" exactly as the cells compute them. out may be
 * in, but not overlap it otherwise. */
BPTT_API bptt_status bptt_map(const char* function, bptt_dtype dtype, const void* in, void* out,
                              int64_t count);

/* ---------------------------------------------------------------------------------- parameters */

/* Names and shapes are PyTorch's. Layer l of a layer: weight_ih_l{l} [G*H, I or D*R],
 * weight_hh_l{l} [G*H, R], bias_ih_l{l} [G*H], bias_hh_l{l} [G*H]; with proj_size weight_hr_l{l}
 * [R, H]; then weight_peephole_l{l} [3*H] (i f o; coupled [2*H]: i o) and the gains of layer_norm
 * weight_ln_ih_l{l}, weight_ln_hh_l{l} [G*H], of an LSTM weight_ln_c_l{l}, bias_ln_c_l{l} [H]. The
 * second direction of a layer follows it: weight_ih_l{l}_reverse ... A model: embedding.weight
 * [V, E], rnn.weight_ih_l0 ..., readout.weight [O, D*R], readout.bias [O]. */
typedef struct bptt_param_info {
  size_t struct_size;
  const char* name; /* lives as long as the layer or model */
  int64_t rank;     /* 1 or 2 */
  int64_t shape[2];
  int64_t offset; /* of its first element in the flat vector */
  int64_t count;  /* number of elements */
  int32_t frozen; /* 1: its gradient is 0 and steps leave it alone */
} bptt_param_info;
BPTT_API bptt_status bptt_params_count(bptt_params* params, int64_t* tensors, int64_t* elements);
BPTT_API bptt_status bptt_params_info(bptt_params* params, int64_t index, bptt_param_info* info,
                                      size_t struct_size);
BPTT_API bptt_status bptt_params_dtype(bptt_params* params, bptt_dtype* dtype);
BPTT_API bptt_status bptt_params_data(bptt_params* params,
                                      const void** data); /* the flat vector [P]; a view, to read */
BPTT_API bptt_status bptt_params_get(bptt_params* params,
                                     void* values); /* copies all P elements out */
BPTT_API bptt_status bptt_params_set(bptt_params* params,
                                     const void* values); /* copies all P elements in */
BPTT_API bptt_status bptt_params_freeze(bptt_params* params, const char* name,
                                        int32_t frozen); /* BPTT_ERR_NAME */
/* *finite = 1 if no element of the tensor of that name, or with NULL of any tensor, is NaN or
 * infinite. Such values are set and loaded without an error: a loader that cares asks here.
 * BPTT_ERR_NAME if there is no tensor of that name. */
BPTT_API bptt_status bptt_params_finite(bptt_params* params, const char* name, int32_t* finite);

/* -------------------------------------------------------------------------------------- layers */

typedef struct bptt_layer_options {
  size_t struct_size;
  bptt_cell cell;                 /* BPTT_LSTM */
  bptt_nonlinearity nonlinearity; /* BPTT_TANH; RNN only */
  bptt_dtype dtype;               /* BPTT_FLOAT32 */
  int64_t input_size;             /* I >= 1; no default */
  int64_t hidden_size;            /* H >= 1; no default */
  int64_t num_layers;             /* 1 */
  int32_t bias;                   /* 1: b_ih and b_hh; 0: none */
  bptt_weight_init init;          /* BPTT_INIT_UNIFORM */
  double init_gain;   /* 1: of ORTHOGONAL and IDENTITY; 0, or a size from 1e-30 to 1e30 (float64:
                         1e-300 to 1e300) */
  double forget_bias; /* NaN: leave; else LSTM: b_ih of the forget gates = this, b_hh of them = 0;
                         finite in the dtype */
  uint64_t seed;      /* 0: of the counter-based generator (Philox4x32-10, Salmon et al. 2011) */
  double spectral_radius; /* 0.95: of NORMAL and SPARSE; from 1e-30 to 1e30 (float64: 1e-300 to
                             1e300) */
  double time_scale;      /* NaN; >= 2 and finite in the dtype, of CHRONO only, which needs it: the
                             longest dependency */
  /* Structure. An option that the cell does not have is an error unless it has its default; so are
   * layer_norm with reset_before, and zoneout or zoneout_c with proj_size. */
  int32_t bidirectional; /* 0; 1: D = 2, a second set of layers ("_reverse") reads from the end */
  int32_t layer_norm;    /* 0; 1: of W_ih x, of W_hh h and of c_t (Ba et al. 2016) */
  int32_t peephole;      /* 0; LSTM: the gates see the cell state (Gers & Schmidhuber 2000) */
  int32_t coupled;       /* 0; LSTM: f = 1 - i, gates i g o (Greff et al. 2017) */
  int32_t reset_before;  /* 0; GRU: n = tanh(. + W_hn (r h) + b_hn) (Cho et al. 2014, v3) */
  int32_t variational; /* 0; 1: dropout's mask is the same for all steps (Gal & Ghahramani 2016) */
  int64_t proj_size;   /* 0; LSTM: h_t = W_hr (o tanh(c_t)) has R = proj_size < H elements */
  double alpha;        /* 1; RNN: h_t = (1 - alpha) h_{t-1} + alpha f(a_t), 0 < alpha <= 1 */
  double dale; /* NaN: off; RNN: the first floor(dale H + 1/2) units excite, the others inhibit:
                  W_hh acts as |W_hh| with the sign of its column (Song et al. 2016). The promise of
                  init holds for W_hh as it acts: the inhibitory part of each row is rescaled until
                  the row sums to 0, then the whole to the spectral radius, which is |init_gain| with
                  ORTHOGONAL, 1 with XAVIER and KERAS, 1/sqrt(3) with UNIFORM. Not with IDENTITY and
                  SPARSE, whose zeros would never learn */
  /* Noise. Passes with a tape and training steps draw it; others have zoneout's expectation. */
  double noise;             /* 0; RNN: a_t += sqrt(2 / alpha) noise xi, xi ~ N(0, 1) */
  double dropout;           /* 0; in [0, 1): of the input of every layer but the first */
  double recurrent_dropout; /* 0; in [0, 1): of h_{t-1} in W_hh h_{t-1}, one mask for all steps */
  double zoneout;           /* 0; in [0, 1): units of h keep their value (Krueger et al. 2017) */
  double zoneout_c;         /* 0; in [0, 1); LSTM: of c */
  bptt_compute compute;     /* BPTT_COMPUTE_DTYPE */
  int32_t reserved32;       /* 0 */
  uint64_t reserved[2]; /* 0: room for later options, so that bptt_model_options keeps its layout */
} bptt_layer_options;
BPTT_API bptt_status bptt_layer_options_init(bptt_layer_options* options, size_t struct_size);
BPTT_API bptt_status bptt_layer_create(const bptt_layer_options* options, bptt_layer** layer);
BPTT_API bptt_status bptt_layer_free(bptt_layer* layer);
BPTT_API bptt_status bptt_layer_params(bptt_layer* layer, bptt_params** params);

/* A batch of sequences going in. Exactly one of x and tokens is given. h0, c0 NULL: zeros. c0: LSTM
 * only. */
typedef struct bptt_sequence {
  size_t struct_size;
  int64_t time;  /* T >= 1 */
  int64_t batch; /* N >= 1 */
  const void* x; /* [T, N, I] */
  int64_t x_stride_t, x_stride_n;
  const int64_t* tokens; /* [T, N], 0 <= token < I (V): means the one-hot vector of that index */
  int64_t tokens_stride_t, tokens_stride_n;
  const void* h0;         /* [L*D, N, R] */
  const void* c0;         /* [L*D, N, H] */
  const int64_t* lengths; /* [N], 1 <= length <= T; NULL: all T. What lies beyond is never read;
                             outputs there are 0; final states are those of each sequence's end */
  const uint8_t* resets;  /* [T, N], 0 or 1: the states are zero before this step, and no gradient
                             passes (reverse direction: between this step and the one before) */
  int64_t resets_stride_t, resets_stride_n;
  uint64_t
      draw; /* which random masks and noise a pass with a tape draws; train_step's is the number
                    of steps taken, so that a skipped step uses none up */
} bptt_sequence;
BPTT_API bptt_status bptt_sequence_init(bptt_sequence* sequence, size_t struct_size);

/* Where results of a forward pass go; every pointer may be NULL. y is [T, N, D*R] for a layer. For
 * a model it is the output: [T, N, O] with BPTT_EVERY_STEP, else [N, O] (y_stride_t unused). */
typedef struct bptt_outputs {
  size_t struct_size;
  void* y;
  int64_t y_stride_t, y_stride_n;
  void* hn; /* [L*D, N, R], the states after the last step */
  void* cn; /* [L*D, N, H], LSTM only */
} bptt_outputs;
BPTT_API bptt_status bptt_outputs_init(bptt_outputs* outputs, size_t struct_size);

/* tape NULL: nothing is remembered; with one direction only copies of tokens and resets grow with T
 * (two directions: all states, until the call returns). Else *tape serves any number of backward calls
 * until the parameters change; it holds copies, never the caller's arrays. */
BPTT_API bptt_status bptt_layer_forward(bptt_layer* layer, const bptt_sequence* sequence,
                                        const bptt_outputs* outputs, bptt_tape** tape);

/* One backward pass. dy, dhn, dcn NULL: zeros. Every result may be NULL. */
typedef struct bptt_backward {
  size_t struct_size;
  const void* dy; /* as y of bptt_outputs: [T, N, D*R] (model: of the output) */
  int64_t dy_stride_t, dy_stride_n;
  const void* dhn;       /* [L*D, N, R] gradient with respect to the final states */
  const void* dcn;       /* [L*D, N, H], LSTM only */
  double clip_step;      /* 0: off. c: clamp each element of da_t to [-c, c] (Graves 2013) */
  double clip_step_norm; /* 0: off. c: rescale each sample's carried (dh, dc) of a layer to norm <=
                            c */
  void* gradients;       /* [P] flat, in the order of the parameters */
  int32_t accumulate;    /* 0: overwrite gradients; 1: add to them */
  void* dx;              /* [T, N, I]; must be NULL for tokens */
  int64_t dx_stride_t, dx_stride_n;
  void* dh0;      /* [L*D, N, R] */
  void* dc0;      /* [L*D, N, H], LSTM only */
  double* flow;   /* [L*D, T]: norm over (N, H) of the total derivative dL/dh_t */
  double* flow_c; /* [L*D, T]: the same of dL/dc_t, LSTM only */
  /* Truncated BPTT (Williams & Peng 1990; Sutskever 2013): the losses of steps (j-1) k1 .. j k1 - 1
   * go back to step j k1 - k2, k2 >= k1. Both 0: off. k1 = k2: the gradient is cut every k1 steps.
   * k2 > k1: flow, flow_c, flow_a and detail must be NULL (windows overlap). Not with bidirectional. */
  int64_t truncation_k1, truncation_k2;
  double omega; /* 0: off; RNN: weight of the regulariser of Pascanu et al. (2013, eq. 9), whose
                   immediate gradient is added to that of W_hh. Not with layer_norm, alpha < 1, noise,
                   dale, zoneout, recurrent_dropout, clip_step, clip_step_norm or truncation */
  double* omega_value;            /* receives it, unweighted; may be NULL */
  double* flow_a;                 /* [L*D, T]: norm over (N, G*H) of dL/da_t */
  const struct bptt_flow* detail; /* NULL, or where more of the flow goes: bptt_diagnostics.h */
} bptt_backward;
BPTT_API bptt_status bptt_backward_init(bptt_backward* backward, size_t struct_size);
BPTT_API bptt_status bptt_layer_backward(bptt_layer* layer, bptt_tape* tape,
                                         const bptt_backward* backward);

BPTT_API bptt_status bptt_tape_free(bptt_tape* tape);
BPTT_API bptt_status bptt_tape_bytes(bptt_tape* tape, int64_t* bytes); /* memory that it holds */
/* ----------------------------------------------------------------------- gradients, optimisers */

/* All three judge and work on the flat vector of one dtype. Norms and factors are computed and
 * applied in double precision. By global norm (Pascanu et al. 2013): if ||g|| > max_norm, g *=
 * max_norm / (||g|| + eps). *norm is the norm before: infinity where it exceeds float64, which is
 * clipped as any other. An element that is not finite leaves the gradient as it is. */
BPTT_API bptt_status bptt_clip_grad_norm(bptt_dtype dtype, void* gradients, int64_t count,
                                         double max_norm, double eps, double* norm);
BPTT_API bptt_status bptt_clip_grad_value(bptt_dtype dtype, void* gradients, int64_t count,
                                          double value);
BPTT_API bptt_status bptt_grad_norm(bptt_dtype dtype, const void* gradients, int64_t count,
                                    double* norm);

typedef struct bptt_optimizer_options {
  size_t struct_size;
  bptt_algorithm algorithm; /* BPTT_ADAM */
  double lr;                /* 1e-3. lr, eps and weight_decay are finite in the parameters' dtype */
  double momentum;          /* 0; SGD and RMSprop, as torch.optim */
  double beta1;             /* 0.9; Adam (Kingma & Ba 2015) and Lion */
  double beta2;             /* NaN: 0.999 for Adam, 0.99 for Lion */
  double eps;               /* NaN: 1e-8 for Adam, 1e-10 for Adagrad (Duchi et al. 2011), 1e-8 for
                               RMSprop, 1e-4 in Graves' form. 0, or what the dtype rounds to it: as
                               written, but 0/0 is 0 */
  double weight_decay;  /* 0; decoupled for Adam (Loshchilov & Hutter 2019), added to the gradient
                           for the others; on matrices only unless decay_biases */
  int32_t decay_biases; /* 0; 1: weight decay on tensors of rank 1 too, as torch.optim */
  int32_t nesterov;     /* 0; SGD with a momentum (Sutskever et al. 2013) */
  int32_t amsgrad;      /* 0; Adam (Reddi et al. 2018) */
  int32_t centered;     /* 0; RMSprop: n - m^2 in place of n; Graves' form always has it */
  double
      rmsprop_alpha; /* NaN: 0.99, 0.95 in Graves' form; n = alpha n + (1 - alpha) g^2, m likewise
                           of g */
  bptt_rmsprop_form rmsprop_form; /* BPTT_RMSPROP_TORCH */
  int32_t reserved32;             /* 0 */
  uint64_t reserved[4];           /* 0: room for later options */
} bptt_optimizer_options;
BPTT_API bptt_status bptt_optimizer_options_init(bptt_optimizer_options* options,
                                                 size_t struct_size);
BPTT_API bptt_status bptt_optimizer_create(const bptt_optimizer_options* options,
                                           bptt_params* params, bptt_optimizer** optimizer);
BPTT_API bptt_status bptt_optimizer_free(bptt_optimizer* optimizer);
/* *skipped = 1 and nothing changed if the gradient has a value that is not finite, or if the update
 * would turn a finite parameter or moment into one that is not. The gradient of a frozen tensor is not
 * used, but has to be finite. skipped may be NULL. */
BPTT_API bptt_status bptt_optimizer_step(bptt_optimizer* optimizer, const void* gradients,
                                         int32_t* skipped);
BPTT_API bptt_status bptt_optimizer_set_lr(bptt_optimizer* optimizer, double lr);
BPTT_API bptt_status bptt_optimizer_get_lr(bptt_optimizer* optimizer, double* lr);
/* What one parameter tensor has of its own: a factor >= 0 of the learning rate (1), and a weight
 * decay >= 0 (NaN: as the options say). Kept in model files. BPTT_ERR_NAME if there is no tensor of
 * that name. Results of get may be NULL. */
BPTT_API bptt_status bptt_optimizer_set_group(bptt_optimizer* optimizer, const char* name,
                                              double lr_scale, double weight_decay);
BPTT_API bptt_status bptt_optimizer_get_group(bptt_optimizer* optimizer, const char* name,
                                              double* lr_scale, double* weight_decay);
/* Moments, each a flat vector [P], with torch.optim's names: SGD with momentum 1 (momentum_buffer),
 * Adagrad 1 (sum), Adam 2 (exp_avg, exp_avg_sq) and with amsgrad 3 (max_exp_avg_sq), RMSprop 1
 * (square_avg), if centred grad_avg, with momentum momentum_buffer; Graves' form has all three. */
BPTT_API bptt_status bptt_optimizer_moments(bptt_optimizer* optimizer, int64_t* count,
                                            const char* const** names);
BPTT_API bptt_status bptt_optimizer_get_state(bptt_optimizer* optimizer, int64_t moment,
                                              void* values);
/* values: finite, and >= 0 for sum, exp_avg_sq, max_exp_avg_sq and square_avg */
BPTT_API bptt_status bptt_optimizer_set_state(bptt_optimizer* optimizer, int64_t moment,
                                              const void* values);
/* How many updates were made, and how many each tensor has had: a frozen one has none, and Adam's
 * bias correction goes by the tensor's own number (as torch.optim's). set_steps sets those of all
 * tensors too. From 0 to 2^53; a step beyond is BPTT_ERR_STATE. BPTT_ERR_NAME if there is no tensor
 * of that name. */
BPTT_API bptt_status bptt_optimizer_get_steps(bptt_optimizer* optimizer, int64_t* steps);
BPTT_API bptt_status bptt_optimizer_set_steps(bptt_optimizer* optimizer, int64_t steps);
BPTT_API bptt_status bptt_optimizer_get_tensor_steps(bptt_optimizer* optimizer, const char* name,
                                                     int64_t* steps);
BPTT_API bptt_status bptt_optimizer_set_tensor_steps(bptt_optimizer* optimizer, const char* name,
                                                     int64_t steps);

/* -------------------------------------------------------------------------------------- models */

typedef struct bptt_model_options {
  size_t struct_size;
  bptt_layer_options layer; /* its input_size is I, or 0 with vocab_size */
  int64_t vocab_size;       /* 0: dense input; V: tokens 0..V-1 */
  int64_t embedding_size;   /* 0: tokens are one-hot; E: a table [V, E] in front */
  int64_t output_size;      /* O >= 1; no default */
  bptt_loss loss;           /* BPTT_CROSS_ENTROPY */
  bptt_targets targets;     /* BPTT_EVERY_STEP */
  bptt_reduction reduction; /* BPTT_MEAN: over T*N (last: N) targets for cross-entropy, over all
                               T*N*O elements for the others; with weights see bptt_target */
  bptt_optimizer_options optimizer;
  double clip_norm;        /* 0: off; global norm of the gradient */
  double clip_tensor_norm; /* 0: off; norm of each parameter tensor's gradient */
  double clip_value;       /* 0: off; each element. Order: value, tensor norm, global norm */
  double clip_step, clip_step_norm;     /* 0: off; see bptt_backward */
  int64_t truncation_k1, truncation_k2; /* 0: off; see bptt_backward */
  double omega;                         /* 0: off; see bptt_backward */
  int32_t batch_first;      /* 0; 1: callers lay their arrays out as [N, T, F]. A note for them that
                          travels in files: here strides decide */
  double label_smoothing;   /* 0; in [0, 1], cross-entropy (Szegedy et al. 2016): see bptt_target */
  int64_t ignore_index;     /* -100; cross-entropy: targets of this class do not count */
  bptt_nonfinite nonfinite; /* BPTT_NONFINITE_SKIP */
  const double*
      class_weights; /* NULL: all 1; else c [O], finite, >= 0 and not all 0: of classes, or
                                  of outputs. Copied; bptt_model_get_options gives a view that lives
                                  as long as the model */
} bptt_model_options;
BPTT_API bptt_status bptt_model_options_init(bptt_model_options* options, size_t struct_size);
BPTT_API bptt_status bptt_model_create(const bptt_model_options* options, bptt_model** model);
BPTT_API bptt_status bptt_model_free(bptt_model* model);
BPTT_API bptt_status bptt_model_get_options(bptt_model* model, bptt_model_options* options,
                                            size_t struct_size);
BPTT_API bptt_status bptt_model_params(bptt_model* model, bptt_params** params);
BPTT_API bptt_status bptt_model_optimizer(bptt_model* model, bptt_optimizer** optimizer);

/* What to hit. Cross-entropy: classes, int64_t [T, N] (last step: [N], stride_t unused), 0 <= class
 * < O, or ignore_index. MSE: values [T, N, O] (last step: [N, O]); binary cross-entropy: the same,
 * in [0, 1]. The one that the loss does not use is NULL.
 * weights, NULL: all 1; else w [T, N] (last step: [N], weights_stride_t unused), finite and >= 0.
 * Where w is 0 or the class is ignored there is no target: what stands there is not read, and no
 * gradient comes from it. At least one must be left (BPTT_ERR_ARGUMENT).
 * With class weights c and label smoothing e, the loss of a target with class y or values v is
 *     -(1 - e) c_y log p_y - e/O sum_k c_k log p_k, p = softmax(out)
 *     sum_o c_o (out_o - v_o)^2
 *     sum_o -c_o (v_o log s_o + (1 - v_o) log(1 - s_o)), s = sigmoid(out)
 * BPTT_SUM is the sum of w times these; BPTT_MEAN divides it by the sum of w c_y, the others by O
 * times the sum of w (as PyTorch's losses do). */
typedef struct bptt_target {
  size_t struct_size;
  const int64_t* classes;
  const void* values;
  int64_t stride_t, stride_n;
  const void* weights;
  int64_t weights_stride_t, weights_stride_n;
} bptt_target;
BPTT_API bptt_status bptt_target_init(bptt_target* target, size_t struct_size);

typedef struct bptt_step {
  size_t struct_size;
  /* in, each may be NULL */
  void* hn;     /* [L*D, N, R] receives the final states */
  void* cn;     /* [L*D, N, H], LSTM only */
  double* flow; /* [L*D, T]; NULL with truncation_k2 > truncation_k1; flow_a, detail too */
  double* flow_c;
  /* out */
  double loss;      /* of this batch, before the update */
  double grad_norm; /* global norm before clipping; infinity where it exceeds float64 */
  int32_t clipped;  /* 1 if clip_value, clip_tensor_norm or clip_norm changed the gradient */
  int32_t skipped;  /* 1 if the gradient was not finite, or a parameter or moment would have become
                       so: nothing has changed but the count of skipped steps */
  double omega; /* of the options: the regulariser's value, without its weight; not part of loss */
  double* flow_a;                 /* in: [L*D, T], or NULL */
  const struct bptt_flow* detail; /* in: NULL, or where more of the flow goes */
  double clipped_norm;            /* out: global norm after clipping */
  double
      clip_angle; /* out: angle between the gradient before and after, radians; NaN if zeros took the
                        place of what was not finite */
} bptt_step;
BPTT_API bptt_status bptt_step_init(bptt_step* step, size_t struct_size);

/* Forward, loss, BPTT, clipping and update in one call: all or nothing. */
BPTT_API bptt_status bptt_model_train_step(bptt_model* model, const bptt_sequence* sequence,
                                           const bptt_target* target, bptt_step* step);
/* The two halves of a training step, for gradients of several batches or of your own making. Loss
 * and gradient with the model's clip_step and clip_step_norm, without an update: gradients [P] are
 * overwritten, or with accumulate = 1 added to. step may be NULL; its grad_norm is that of gradients
 * as they then are, clipped and skipped are 0. */
BPTT_API bptt_status bptt_model_gradients(bptt_model* model, const bptt_sequence* sequence,
                                          const bptt_target* target, bptt_step* step,
                                          void* gradients, int32_t accumulate);
/* The model's clipping, then its optimiser, on a copy of gradients [P] (those of frozen tensors
 * taken as 0); counted by bptt_model_steps. Of step, which may be NULL, only grad_norm, clipped and
 * skipped are used. */
BPTT_API bptt_status bptt_model_apply(bptt_model* model, const void* gradients, bptt_step* step);
/* The loss without a tape; outputs may be NULL. */
BPTT_API bptt_status bptt_model_evaluate(bptt_model* model, const bptt_sequence* sequence,
                                         const bptt_target* target, const bptt_outputs* outputs,
                                         double* loss);
/* Outputs without a tape (tape NULL) or with one, for a loss of your own: then bptt_model_backward
 * with dy = dL/d output. */
BPTT_API bptt_status bptt_model_forward(bptt_model* model, const bptt_sequence* sequence,
                                        const bptt_outputs* outputs, bptt_tape** tape);
BPTT_API bptt_status bptt_model_backward(bptt_model* model, bptt_tape* tape,
                                         const bptt_backward* backward);
BPTT_API bptt_status bptt_model_steps(bptt_model* model, int64_t* taken,
                                      int64_t* skipped); /* since creation, kept in files */

/* --------------------------------------------------------------------------------------- files */

/* A model file is a safetensors file (little-endian; any reader of that format opens it) that holds
 * everything needed to go on training: parameters, moments, steps and options, a format name and
 * version and the SHA-256 of the whole file. It is written to a sibling, fsynced and renamed: a
 * crash leaves the old file or the new one. Loading never maps memory or runs code, and a file that is
 * no model is refused by its header, before its data are read. A system call that a signal interrupts
 * or that would block is repeated, a bounded number of times. Counters and moments of a file obey the
 * rules of bptt_optimizer_set_steps and bptt_optimizer_set_state; parameters may be NaN or infinite
 * (bptt_params_finite). */
BPTT_API bptt_status bptt_model_save(bptt_model* model, const char* path);
BPTT_API bptt_status bptt_model_load(const char* path, bptt_model** model);
BPTT_API bptt_status bptt_model_serialize(bptt_model* model, void* buffer, size_t capacity,
                                          size_t* size); /* buffer NULL: size only */
BPTT_API bptt_status bptt_model_deserialize(const void* buffer, size_t size, bptt_model** model);
/* Text and arrays of the caller's own that travel in the file (a vocabulary, the carried states).
 * Keys and names are 1 to 256 bytes of UTF-8. Value NULL removes (BPTT_ERR_NAME if there is nothing
 * of that name). */
BPTT_API bptt_status bptt_model_set_metadata(bptt_model* model, const char* key, const char* value);
BPTT_API bptt_status
bptt_model_get_metadata(bptt_model* model, const char* key,
                        const char** value); /* valid until the next set; BPTT_ERR_NAME */
BPTT_API bptt_status bptt_model_metadata_key(bptt_model* model, int64_t index,
                                             const char** key); /* BPTT_ERR_RANGE past the last */
BPTT_API bptt_status bptt_model_set_extra(bptt_model* model, const char* name, bptt_dtype dtype,
                                          int64_t rank, const int64_t* shape, const void* values);
typedef struct bptt_extra_info {
  size_t struct_size;
  const char* name;
  bptt_dtype dtype;
  int64_t rank; /* <= 8 */
  int64_t shape[8];
  const void* values; /* valid until the next set */
} bptt_extra_info;
BPTT_API bptt_status bptt_model_extra(bptt_model* model, int64_t index, bptt_extra_info* info,
                                      size_t struct_size); /* BPTT_ERR_RANGE past the last */

/* ------------------------------------------------------------------------------------- streams */

/* One sequence (N = 1), step by step, with the weights as they were at creation; the model may
 * train on meanwhile. The model has one direction (else BPTT_ERR_STATE). A step allocates nothing, takes no lock and makes no system call. Equal to a
 * window's result within rounding. */
BPTT_API bptt_status bptt_stream_create(bptt_model* model, bptt_stream** stream);
BPTT_API bptt_status bptt_stream_free(bptt_stream* stream);
/* x [I] without a vocabulary, a token with one; y [O] (logits or values), or NULL */
BPTT_API bptt_status bptt_stream_step(bptt_stream* stream, const void* x, void* y);
BPTT_API bptt_status bptt_stream_step_token(bptt_stream* stream, int64_t token, void* y);
BPTT_API bptt_status bptt_stream_reset(bptt_stream* stream); /* states to zero */
/* h [L, 1, R]; c [L, 1, H], LSTM only; NULL: not asked for, or left as it is */
BPTT_API bptt_status bptt_stream_get_state(bptt_stream* stream, void* h, void* c);
BPTT_API bptt_status bptt_stream_set_state(bptt_stream* stream, const void* h, const void* c);

#ifdef __cplusplus
}
#endif

#endif
