"""Callbacks: objects and functions that a run of training calls, and some that are ready to use.

`Model.fit` takes a list of them. A function is called with the `HistoryRow` of each update. The
methods of a `Callback` are called with the run. Whichever returns True stops the run.
"""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..arguments.display import Shown, View, array_text, constructor_text, plain
from ..arguments.names import guide, guided, suggestion
from ..arguments.values import message, refuse_type
from ..options.words import Direction
from ..runtime.files import path_of
from .history import HistoryRow, epochs
from .schedules import EarlyStopping, sign_of, suggestion_of_monitor

__all__ = ["Callback", "EarlyStopping", "LambdaCallback", "ModelCheckpoint", "Run"]


class Run(Protocol):
    """A run of training, as the methods of a `Callback` see it.

    Attributes
    ----------
    model : Model
        The model that is trained. It may be changed, also its `lr`; a run that is resumed repeats
        such changes only as far as the callbacks make them again.
    step, steps : int
        Number of updates made, and of the whole run.
    epoch, epochs : int
        Number of the present epoch, from 1, and of all epochs.
    steps_per_epoch : int
        Number of updates of an epoch.
    history : list of HistoryRow
        One row per update.
    logs : dict of str to float
        The present epoch so far, or the one that has ended, by the names of `FitResult.epochs`:
        "epoch", "step", "loss" (mean over targets), "grad_norm" (mean over updates), "clipped" and
        "skipped" (numbers of updates), "lr", "seconds"; and after a measurement of the held-out
        data "valid_loss", "valid_accuracy" (of classes) and "valid_" with the names of the metrics.
    seconds : float
        Time of the updates and measurements.
    monitors : tuple of str
        Names of the measurements of the held-out data: "loss", "accuracy" (of classes) and the
        metrics. Empty if nothing is held out.

    Examples
    --------
    >>> class Halve(bn.callbacks.Callback):
    ...     def on_epoch_end(self, run):
    ...         run.model.lr = run.model.lr / 2
    ...         print(run.epoch, run.monitors, sorted(run.logs)[:2], run.model.lr)
    >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse", lr=0.4)
    >>> x = np.ones((5, 4, 1), np.float32)
    >>> result = model.fit(x, x, epochs=2, validation=(x, x), callbacks=[Halve()])
    1 ('loss',) ['clipped', 'epoch'] 0.2
    2 ('loss',) ['clipped', 'epoch'] 0.1
    """

    model: Any  # a Model, of the room above
    step: int
    steps: int
    epoch: int
    steps_per_epoch: int
    history: list[HistoryRow]
    seconds: float

    @property
    def epochs(self) -> int:
        """Number of epochs of the whole run."""

    @property
    def logs(self) -> dict[str, float]:
        """The present epoch so far."""

    @property
    def monitors(self) -> tuple[str, ...]:
        """Names of the measurements of the held-out data."""

    def measurements(self, name: str) -> list[float]:
        """Return all measurements of a name, in their order.

        Examples
        --------
        >>> class Best(bn.callbacks.Callback):
        ...     def on_train_end(self, run):
        ...         losses = run.measurements("loss")
        ...         print(len(losses), min(losses) == losses[-1])
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> result = model.fit(x, x, epochs=3, validation=(x, x), callbacks=[Best()])
        3 True
        """

    def stop(self) -> None:
        """End the run after this update."""


class Callback(Shown):
    """Base class of callbacks. Its methods do nothing; override those that you need.

    Each takes the run, see `Run`, and returns True to end it. (``run.stop()`` does the same.) An
    exception ends the run and reaches the caller of `fit`. The last checkpoint stays, without the
    update of this call.

    Examples
    --------
    >>> class Loud(bn.callbacks.Callback):
    ...     def on_epoch_end(self, run):
    ...         print(f"epoch {run.epoch} of {run.epochs}, {run.step} steps")
    >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
    >>> x = np.ones((5, 4, 1), np.float32)
    >>> result = model.fit(x, x, epochs=2, callbacks=[Loud()])
    epoch 1 of 2, 1 steps
    epoch 2 of 2, 2 steps
    """

    def _view(self) -> View:
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        given = [f"{name}={_short(value)}" for name, value in own.items()]
        return View(constructor_text(type(self).__name__, given))

    def on_train_begin(self, run: Run) -> object:
        """Do something before the first update of a call of `fit` or `resume`.

        Examples
        --------
        >>> callback = bn.callbacks.LambdaCallback(on_train_begin=lambda run: print(run.steps))
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> result = model.fit(x, x, epochs=2, batch_size=2, callbacks=[callback])
        4
        """

    def on_epoch_begin(self, run: Run) -> object:
        """Do something before the first update of an epoch, or of the rest of a resumed one.

        Examples
        --------
        >>> callback = bn.callbacks.LambdaCallback(on_epoch_begin=lambda run: print(run.epoch))
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> result = model.fit(x, x, epochs=2, batch_size=2, callbacks=[callback])
        1
        2
        """

    def on_update_end(self, run: Run) -> object:
        """Do something after an update, which is ``run.history[-1]``.

        Examples
        --------
        >>> callback = bn.callbacks.LambdaCallback(on_update_end=lambda run: run.step == 3)
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> result = model.fit(x, x, epochs=2, batch_size=2, callbacks=[callback])
        >>> result.ended, len(result.rows)
        ('stopped', 3)
        """

    def on_epoch_end(self, run: Run) -> object:
        """Do something after the last update of an epoch or of the run, and its measurement.

        Examples
        --------
        >>> callback = bn.callbacks.LambdaCallback(on_epoch_end=lambda run: print(run.logs["step"]))
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> result = model.fit(x, x, epochs=2, batch_size=2, callbacks=[callback])
        2
        4
        """

    def on_train_end(self, run: Run) -> object:
        """Do something at the end of the call, whatever ended it, also an exception.

        The model has the parameters that the caller will find. The returned value is ignored.

        Examples
        --------
        >>> callback = bn.callbacks.LambdaCallback(on_train_end=lambda run: print(run.step))
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> result = model.fit(x, x, epochs=2, batch_size=2, callbacks=[callback])
        4
        """


_WITHOUT = "without held-out data (validation or validation_split)"
HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
Function = Callable[[HistoryRow], object]


def _short(value: object) -> str:
    if inspect.isroutine(value):
        return value.__name__
    return array_text(value) if isinstance(value, np.ndarray) else plain(repr(value))


@guided
class LambdaCallback(Callback):
    """A callback made of functions, each of which takes the run.

    Parameters
    ----------
    on_train_begin, on_epoch_begin, on_update_end, on_epoch_end, on_train_end : callable, optional
        Functions in place of the methods of `Callback`.

    Raises
    ------
    TypeError
        If one of them cannot be called.

    Examples
    --------
    >>> seen = []
    >>> show = bn.callbacks.LambdaCallback(on_epoch_end=lambda run: seen.append(run.step))
    >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
    >>> x = np.ones((5, 4, 1), np.float32)
    >>> result = model.fit(x, x, epochs=2, callbacks=[show])
    >>> seen
    [1, 2]
    """

    def __init__(
        self,
        *,
        on_train_begin: Callable[[Run], object] | None = None,
        on_epoch_begin: Callable[[Run], object] | None = None,
        on_update_end: Callable[[Run], object] | None = None,
        on_epoch_end: Callable[[Run], object] | None = None,
        on_train_end: Callable[[Run], object] | None = None,
    ) -> None:
        given = (on_train_begin, on_epoch_begin, on_update_end, on_epoch_end, on_train_end)
        for name, function in zip(HOOKS, given, strict=True):
            if function is not None and not callable(function):
                refuse_type(function, type(self).__name__, name, "a function")
            if function is not None:
                setattr(self, name, function)


@guided
class ModelCheckpoint(Callback):
    """Save the model whenever a measurement of the held-out data is the best so far.

    Without held-out data it is the training loss of an epoch.

    The file is a model file, without the state of the run. (With the argument `out`, `fit` itself
    saves everything from which `resume` continues.) In a run that is resumed, earlier measurements
    count.

    Parameters
    ----------
    path : str or Path
        The file, which is replaced. It may contain names of `Run.logs` in braces:
        ``"models/{epoch:03d}-{valid_loss:.3f}.safetensors"``.
    monitor : str or None
        The measurement: "loss", "accuracy" (of classes), or a metric. A metric of this package need
        not be among the `metrics` of `Model.fit`. None: save after every epoch.
    mode : {"min", "max"}, optional
        Whether small or large measurements are good. It is known for the metrics of this package.

    Attributes
    ----------
    saved : Path or None
        The file that was written last.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed; at the beginning of a run, if it does not measure `monitor`.
    OSError
        In a run, if the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
    >>> x = np.ones((5, 4, 1), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     best = bn.callbacks.ModelCheckpoint(os.path.join(folder, "best.safetensors"))
    ...     result = model.fit(x, x, epochs=2, validation=(x, x), callbacks=[best])
    ...     bn.load(best.saved).cell
    'gru'
    """

    saved: Path | None

    def __init__(
        self, path: str | Path, monitor: str | None = "loss", mode: Direction | None = None
    ) -> None:
        self._path = path_of(path, type(self).__name__, "path")
        self.monitor: str | None = monitor
        self.saved = None
        self._sign = 1.0 if monitor is None else sign_of(monitor, mode, type(self).__name__)
        self._best = math.inf

    def on_train_begin(self, run: Run) -> None:
        """Find the best of the earlier measurements.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> best = bn.callbacks.ModelCheckpoint("best.safetensors")
        >>> result = model.fit(x, x, epochs=1, callbacks=[best])
        >>> best.saved.name
        'best.safetensors'
        """
        names = run.monitors
        known = names or ("loss",)
        if self.monitor is not None and self.monitor not in known:
            expected = f"one of {', '.join(names)}" if names else f"'loss' or None {_WITHOUT}"
            got = f"{self.monitor!r}{suggestion_of_monitor(self.monitor, known)}"
            raise ValueError(message(type(self).__name__, "monitor", expected, got))
        self._best = math.inf
        if self.monitor is not None and (names or run.history):
            earlier = run.measurements(self.monitor) if names else epochs(run.history)["loss"]
            for value in earlier:
                self._is_best(value)

    def _is_best(self, value: float) -> bool:
        better = self._sign * value < self._best  # never for NaN
        if better:
            self._best = self._sign * value
        return better

    def on_epoch_end(self, run: Run) -> None:
        """Save the model if it is the best so far.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1, loss="mse")
        >>> x = np.ones((5, 4, 1), np.float32)
        >>> each = bn.callbacks.ModelCheckpoint("{epoch}.safetensors", monitor=None)
        >>> result = model.fit(x, x, epochs=2, callbacks=[each])
        >>> each.saved.name
        '2.safetensors'
        """
        logs = run.logs
        if self.monitor is not None:
            value = logs.get(f"valid_{self.monitor}" if run.monitors else "loss")
            if value is None or not self._is_best(value):
                return
        where = type(self).__name__
        try:
            path = path_of(str(self._path).format(**logs), where, "path")
        except (KeyError, IndexError, ValueError) as error:
            expected = f"a name with fields among {', '.join(logs)}"
            raise ValueError(message(where, "path", expected, f"{str(self._path)!r}")) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = copy.copy(run.model)
        for kept in (plain.metadata, plain.tensors):
            for name in [name for name in kept if name.partition(".")[0] == "training"]:
                del kept[name]
        plain.save(path)
        self.saved = path


class Callbacks:
    """The callbacks of a run, by the events at which they are called.

    Parameters
    ----------
    callbacks : sequence
        Callbacks and functions that `check_callbacks` has accepted.
    """

    def __init__(self, callbacks: Sequence[Callback | Function]) -> None:
        self._at: dict[str, list[Callable[[Any], object]]] = {name: [] for name in HOOKS}
        for callback in callbacks:
            if isinstance(callback, Callback):
                for name in HOOKS:
                    method = getattr(callback, name)
                    if getattr(method, "__func__", None) is not getattr(Callback, name):
                        self._at[name].append(method)
            else:
                self._at["on_update_end"].append(_of_rows(callback))

    def call(self, name: str, run: Any) -> bool:
        """Call the methods of an event and return whether one of them ends the run."""
        ends = False
        for method in self._at[name]:
            value = method(run)
            ends |= value is True or (isinstance(value, np.bool_) and bool(value))
        return ends

    def end(self, run: Any) -> None:
        """Call all methods `on_train_end`; an exception of one does not keep the others from it."""
        errors = list[BaseException]()
        for method in self._at["on_train_end"]:
            try:
                method(run)
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors[0]


def _of_rows(function: Function) -> Callable[[Any], object]:
    return lambda run: function(run.history[-1])


def check_callbacks(value: object, where: str) -> list[Callback | Function]:
    """Return callbacks as a list, after checking them.

    Raises
    ------
    TypeError
        The value is not a sequence, a member cannot be called, or a method of a callback does not
        take the run or has an unknown name.
    """
    expected = "a sequence of functions"
    if isinstance(value, Callback):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        refuse_type(value, where, "callbacks", f"{expected} or Callback objects")
    for k, callback in enumerate(value):
        name = f"callbacks[{k}]"
        if isinstance(callback, Callback):
            _check_methods(callback, where, name)
        elif isinstance(callback, type) and issubclass(callback, Callback):
            got = f"the class {callback.__name__}"
            raise TypeError(message(where, name, "an object of the class", got))
        elif not callable(callback):
            refuse_type(callback, where, name, "a function or a Callback")
    return list(value)


def _check_methods(callback: Callback, where: str, argument: str) -> None:
    kind = type(callback).__name__
    for name in dir(callback):
        if not name.startswith("on_"):
            continue
        if name not in HOOKS:
            end = suggestion(name, HOOKS) or f"; the methods are {', '.join(HOOKS)}"
            raise TypeError(f"{where}: argument '{argument}': unknown method {kind}.{name}{end}")
        try:
            parameters = inspect.signature(getattr(callback, name)).parameters.values()
        except (TypeError, ValueError):  # written in C
            continue
        positional = [p for p in parameters if p.kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]
        rest = any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters)
        needed = any(
            p.kind == inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty
            for p in parameters
        )
        if (len(positional) != 1 and not rest) or needed:
            got = f"{kind}.{name}({', '.join(map(str, parameters))})"
            expected = f"a method {name}(run), where run has model, step, epoch and logs"
            raise TypeError(message(where, argument, expected, got))


guide(globals(), __all__)
