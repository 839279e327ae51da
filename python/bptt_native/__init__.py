"""Recurrent networks trained by backpropagation through time, in a SIMD engine of their own."""

import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _sys.version_info < (3, 12):
    # Later versions refuse by themselves; before, the import of the engine would never return.
    try:
        import _xxsubinterpreters as _interpreters  # type: ignore[import-not-found]
    except ImportError:
        pass
    else:
        if _interpreters.get_current() != _interpreters.get_main():
            raise ImportError("bptt_native works in the main interpreter only, not in others")
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
from .arguments import display as _display
from .models.model import Model
from .models.model_file import load
from .nn.cells import GRU, LSTM, RNN, MinGRU
from .nn.gradients import (
    Gradients,
    StepResult,
    UpdateResult,
    clip_grad_norm_,
    clip_grad_tensor_norm_,
    clip_grad_value_,
)
from .nn.optimizers import SGD, Adagrad, Adam, AdamW, Lion, RMSprop
from .nn.parameter import Parameter
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


def _draw(thing: object) -> bytes | None:
    from .plots.notebook import picture_of

    return picture_of(thing)


def _plot(thing: object, ax: object) -> object:
    from .plots.notebook import plot

    return plot(thing, ax)


# The figures are in a room above those of the objects that they show.
_display.draw_with(_draw, _plot)

fit, evaluate, predict = Model.fit, Model.evaluate, Model.predict

if _TYPE_CHECKING:
    from . import diagnostics, plots, tasks
    from .models.resume import resume
    from .training import callbacks, metrics, schedules
    from .training.fit import FitResult
    from .training.lr_finder import RangeTest, find_lr
    from .training.schedules import EarlyStopping
    from .training.trainer import TrainingDiverged
    from .training.watch import Watch

# The modules and names that are imported when they are first used, and where they are.
_MODULES = {
    "callbacks": ".training.callbacks",
    "diagnostics": ".diagnostics",
    "metrics": ".training.metrics",
    "plots": ".plots",
    "schedules": ".training.schedules",
    "tasks": ".tasks",
}
_NAMES = {
    "EarlyStopping": ".training.schedules",
    "FitResult": ".training.fit",
    "RangeTest": ".training.lr_finder",
    "TrainingDiverged": ".training.trainer",
    "Watch": ".training.watch",
    "find_lr": ".training.lr_finder",
    "resume": ".models.resume",
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "EarlyStopping",
    "FitResult",
    "Gradients",
    "Init",
    "Lion",
    "MinGRU",
    "Model",
    "Parameter",
    "RMSprop",
    "RangeTest",
    "StepResult",
    "Stream",
    "Tape",
    "TrainingDiverged",
    "UpdateResult",
    "Watch",
    "__version__",
    "available_isas",
    "callbacks",
    "clip_grad_norm_",
    "clip_grad_tensor_norm_",
    "clip_grad_value_",
    "diagnostics",
    "evaluate",
    "find_lr",
    "fit",
    "get_flush_subnormals",
    "get_num_threads",
    "isa",
    "load",
    "metrics",
    "plots",
    "predict",
    "profile",
    "resume",
    "schedules",
    "set_flush_subnormals",
    "set_num_threads",
    "tasks",
]


def __getattr__(name: str) -> object:
    path = _MODULES.get(name) or _NAMES.get(name)
    if path is None:
        from .arguments.names import missing_attribute

        raise missing_attribute(_sys.modules[__name__], name, __all__)
    from importlib import import_module

    module = import_module(path, __name__)
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
