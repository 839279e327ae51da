"""Backpropagation through time in plain NumPy: the specification of bptt_native.

Each forward function is followed by its backward function, in which ``da`` means dL/da. The
equations of the articles are in these functions (with a row per sample, so W x is ``x @ W.T``)::

    a_t = W_x x_t + W_h h_{t-1} + b           cells: weight_ih, bias_ih; weight_hh, bias_hh
    h_t = f(a_t)                              cells: rnn_forward, also lstm_forward, gru_forward,
                                              mingru_forward
    y_t = softmax(W_o h_t + b_o)              model_forward, then softmax_cross_entropy
    dL/da_t = f'(a_t) dL/dh_t                 cells: rnn_backward
    dL/dh_{t-1} = W_h^T dL/da_t + dy_{t-1}    sequence: the carry, plus the gradient of y_{t-1}
    dL/dW_h = sum_t dL/da_t h_{t-1}^T         linear_backward, summed over t in sequence

There are T steps, N samples, I inputs, H hidden units, R elements of h (H, or fewer with a
projection), L layers, D directions, O outputs and G gates (lstm: i f g o, coupled: i g o; gru:
r z n; mingru: z n, without weight_hh and bias_hh; else one). Parameters have PyTorch's names and
shapes, with the suffix ``_l{k}`` for layer k and ``_l{k}_reverse`` for its second direction:
``weight_ih`` [G*H, in], ``weight_hh`` [G*H, R],
``bias_ih`` and ``bias_hh`` [G*H], ``weight_hr`` [R, H]. Further parameters are
the initial states ``h0`` [R] and, for lstm, ``c0`` [H],
``weight_peephole`` [3*H] (i f o; coupled [2*H]: i o) and the gains of layer norm, ``weight_ln_ih``
and ``weight_ln_hh`` [G*H], for lstm also ``weight_ln_c`` and ``bias_ln_c`` [H]. The parameters
that are present define the network, together with `Options`.

A *walk* is one direction of one layer, with the index l*D + d. A *draw* is one set of random masks
and noise for the whole network.

Everything is computed in float64, or in complex128 if an input is complex. The complex step
f(x + 1e-100j).imag / 1e-100 then equals f'(x) to the last digit. For this reason comparisons use
real parts, and norms are sqrt(sum z*z).
"""

from .basics import linear_backward, linear_forward
from .cells import NONLINEARITIES, Options, sigmoid
from .losses import binary_cross_entropy, huber, mean_squared_error, softmax_cross_entropy
from .model import (
    ModelConfig,
    ModelResult,
    model_backward,
    model_forward,
    model_loss,
    model_loss_and_gradients,
    weight_penalty,
)
from .optimizers import (
    SGD,
    Adagrad,
    Adam,
    Lion,
    RMSprop,
    clip_grad_norm,
    clip_grad_tensor_norm,
    clip_grad_value,
    constrain,
    restrict,
)
from .random import Draw, philox4x32_10
from .sequence import Gradients, Tape, activity_penalty, backward, forward

__all__ = [
    "NONLINEARITIES",
    "SGD",
    "Adagrad",
    "Adam",
    "Draw",
    "Gradients",
    "Lion",
    "ModelConfig",
    "ModelResult",
    "Options",
    "RMSprop",
    "Tape",
    "activity_penalty",
    "backward",
    "binary_cross_entropy",
    "clip_grad_norm",
    "clip_grad_tensor_norm",
    "clip_grad_value",
    "constrain",
    "forward",
    "huber",
    "linear_backward",
    "linear_forward",
    "mean_squared_error",
    "model_backward",
    "model_forward",
    "model_loss",
    "model_loss_and_gradients",
    "philox4x32_10",
    "restrict",
    "sigmoid",
    "softmax_cross_entropy",
    "weight_penalty",
]
