"""Recurrent networks trained by backpropagation through time, in a SIMD engine of their own."""

import sys

if sys.version_info < (3, 12):
    # Later versions refuse by themselves; before, the import of the engine would never return.
    try:
        import _xxsubinterpreters as _interpreters  # type: ignore[import-not-found]
    except ImportError:
        pass
    else:
        if _interpreters.get_current() != _interpreters.get_main():
            raise ImportError("bptt_native: expected the main interpreter, got a sub-interpreter")
        del _interpreters

from .runtime import startup as _startup

try:
    from . import _core as _core
except ImportError as _error:
    _startup.end_program(_error)
    raise
finally:
    del _startup

from ._core import Tape, __version__
from .nn.cells import GRU, LSTM, RNN, MinGRU
from .nn.gradients import (
    Gradients,
    StepResult,
    UpdateResult,
    clip_grad_norm_,
    clip_grad_tensor_norm_,
    clip_grad_value_,
)
from .nn.model import Model
from .nn.model_file import load
from .nn.optimizers import SGD, Adagrad, Adam, Lion, RMSprop
from .nn.parameters import Parameter
from .nn.stream import Stream
from .options.init import Init
from .runtime.profile import profile
from .runtime.settings import (
    available_isas,
    get_flush_subnormals,
    get_num_threads,
    isa,
    set_flush_subnormals,
    set_num_threads,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "Gradients",
    "Init",
    "Lion",
    "MinGRU",
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

del sys
