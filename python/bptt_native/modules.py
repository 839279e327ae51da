"""Layers, models, streams, gradients and optimisers: NumPy in, NumPy out."""

from ._core import Tape, __version__
from .cells import GRU, LSTM, RNN
from .gradients import (
    Gradients,
    StepResult,
    UpdateResult,
    clip_grad_norm_,
    clip_grad_tensor_norm_,
    clip_grad_value_,
)
from .model import Model, load
from .optimizers import SGD, Adagrad, Adam, RMSprop
from .options import Init
from .parameters import Parameter
from .profiling import profile
from .runtime import (
    available_isas,
    get_flush_subnormals,
    get_num_threads,
    isa,
    set_flush_subnormals,
    set_num_threads,
)
from .stream import Stream

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "Gradients",
    "Init",
    "Model",
    "Parameter",
    "RMSprop",
    "StepResult",
    "Stream",
    "Tape",
    "UpdateResult",
    "__version__",
    "available_isas",
    "clip_grad_norm_",
    "clip_grad_tensor_norm_",
    "clip_grad_value_",
    "get_flush_subnormals",
    "get_num_threads",
    "isa",
    "load",
    "profile",
    "set_flush_subnormals",
    "set_num_threads",
]
