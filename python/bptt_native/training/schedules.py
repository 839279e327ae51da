"""Learning rate schedules and early stopping, as pure functions of the step and the measurements.

``schedule(step, losses)`` returns a factor of the learning rate; ``step`` is the number of updates
made before, ``losses`` are the validation losses measured so far. A run that is resumed from a
checkpoint therefore gets the same rates.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..arguments.names import guide, guided, suggestion
from ..arguments.values import choice, describe, integer, message, number, refuse_type
from ..options.words import Direction
from .scores import METRICS, direction_of

__all__ = [
    "SCHEDULES", "Constant", "Cosine", "EarlyStopping", "Exponential", "Plateau", "Schedule",
    "StepDecay", "Warmup", "schedule_of",
]  # fmt: skip

Schedule = Callable[[int, Sequence[float]], float]


def _at_least(self: object, least: int, *names: str) -> None:
    for name in names:
        integer(getattr(self, name), type(self).__name__, name, least)


def _within(self: object, name: str, low: float, high: float) -> None:
    """Check low <= value <= high."""
    where, expected = type(self).__name__, f"a number from {low:g} to {high:g}"
    value = number(getattr(self, name), where, name, expected)
    if not low <= value <= high:
        raise ValueError(message(where, name, expected, repr(value)))


def suggestion_of_monitor(monitor: str, known: Sequence[str]) -> str:
    """Return the end of a message with the measurement that was meant, or nothing.

    The names in a history, "valid_f1", and those of Keras, "val_f1", mean the measurement "f1".
    """
    plain = monitor.removeprefix("valid_").removeprefix("val_")
    return f"; did you mean {plain!r}?" if plain in known else suggestion(plain, known)


def sign_of(monitor: object, mode: object, where: str) -> float:
    """Return 1 for measurements of which small ones are good, -1 for the others.

    Parameters
    ----------
    monitor : str
        "loss", or the name of a metric.
    mode : "min" or "max" or None
        None: as is known for the metrics of this package.
    where : str
        The class, for messages.

    Raises
    ------
    TypeError, ValueError
        If `monitor` is no text, or no mode is given and none is known.
    """
    if not isinstance(monitor, str):
        refuse_type(monitor, where, "monitor", "'loss' or the name of a metric")
    if mode is None:
        mode = direction_of(monitor)
        if mode is None:
            got = f"{monitor!r:.80}{suggestion_of_monitor(monitor, ('loss', *METRICS))}"
            expected = "'loss', a metric of this package, or with a mode another name"
            raise ValueError(message(where, "monitor", expected, got))
    return choice(mode, {"min": 1.0, "max": -1.0}, where, "mode")


@guided
@dataclass(frozen=True)
class Constant:
    """Keep the learning rate.

    Examples
    --------
    >>> bn.schedules.Constant()(1000)
    1.0
    """

    def __call__(self, step: int, losses: Sequence[float] = ()) -> float:
        """Return 1."""
        return 1.0


@guided
@dataclass(frozen=True)
class StepDecay:
    """Multiply by ``factor`` after every ``every`` steps.

    Examples
    --------
    >>> rule = bn.schedules.StepDecay(every=100, factor=0.5)
    >>> rule(0), rule(99), rule(100), rule(250)
    (1.0, 1.0, 0.5, 0.25)
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self, 1, "every")
        _within(self, "factor", 0, 1)

    def __call__(self, step: int, losses: Sequence[float] = ()) -> float:
        """Return factor ** floor(step / every)."""
        return float(self.factor ** (step // self.every))


@guided
@dataclass(frozen=True)
class Exponential:
    """Decay exponentially, by ``factor`` over ``every`` steps.

    Examples
    --------
    >>> rule = bn.schedules.Exponential(every=100, factor=0.25)
    >>> rule(0), rule(50), rule(100)
    (1.0, 0.5, 0.25)
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self, 1, "every")
        _within(self, "factor", 0, 1)

    def __call__(self, step: int, losses: Sequence[float] = ()) -> float:
        """Return factor ** (step / every)."""
        return float(self.factor ** (step / self.every))


@guided
@dataclass(frozen=True)
class Cosine:
    """Follow half a cosine from 1 to ``floor`` over ``steps`` steps (Loshchilov & Hutter 2017).

    Examples
    --------
    >>> rule = bn.schedules.Cosine(steps=100, floor=0.1)
    >>> [round(rule(step), 3) for step in (0, 50, 100, 1000)]
    [1.0, 0.55, 0.1, 0.1]
    """

    steps: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        _at_least(self, 1, "steps")
        _within(self, "floor", 0, 1)

    def __call__(self, step: int, losses: Sequence[float] = ()) -> float:
        """Return floor + (1 - floor) (1 + cos(pi s)) / 2, where s goes from 0 to 1."""
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.floor + (1 - self.floor) * share


@guided
@dataclass(frozen=True)
class Plateau:
    """Multiply by ``factor`` when the validation loss, or a metric, has stopped improving.

    This is ``torch.optim.lr_scheduler.ReduceLROnPlateau`` with a relative threshold. A loss is
    better if it is below best * (1 - threshold), a measurement with ``mode="max"`` if it is above
    best * (1 + threshold). After more than ``patience`` consecutive measurements without a better
    one, the factor is applied and the next ``cooldown`` measurements do not count. ``monitor`` and
    ``mode`` are as in `EarlyStopping`.

    Examples
    --------
    >>> rule = bn.schedules.Plateau(factor=0.5, patience=1)
    >>> rule(10, [1.0, 0.9, 0.8]), rule(20, [1.0, 0.9, 0.95, 0.92])
    (1.0, 0.5)
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    floor: float = 0.0
    monitor: str = "loss"
    mode: Direction | None = None

    def __post_init__(self) -> None:
        _at_least(self, 0, "patience", "cooldown")
        for name in ("factor", "threshold", "floor"):
            _within(self, name, 0, 1)
        sign_of(self.monitor, self.mode, type(self).__name__)

    def __call__(self, step: int, losses: Sequence[float] = ()) -> float:
        """Return the factor after these losses, or measurements of ``monitor``."""
        return _Decay(self).after(losses)


class _Decay:
    """The factor of a plateau, which reads a growing list of measurements."""

    def __init__(self, rule: Plateau) -> None:
        self._rule = rule
        self._sign = sign_of(rule.monitor, rule.mode, type(rule).__name__)
        self._scale, self._best = 1.0, math.inf
        self._read = self._bad = self._cooling = 0

    def after(self, values: Sequence[float]) -> float:
        """Return the factor after some values, of which those before the new ones were read."""
        rule = self._rule
        for value in values[self._read :]:
            loss = self._sign * value
            least = self._best < math.inf
            bound = self._best * (1 - self._sign * rule.threshold) if least else self._best
            self._best, self._bad = (loss, 0) if loss < bound else (self._best, self._bad + 1)
            if self._cooling:
                self._cooling, self._bad = self._cooling - 1, 0
            if self._bad > rule.patience:
                self._scale = max(rule.floor, self._scale * rule.factor)
                self._cooling, self._bad = rule.cooldown, 0
        self._read = len(values)
        return self._scale


@guided
@dataclass(frozen=True)
class Warmup:
    """Rise linearly over ``steps`` steps, from 1 / steps to 1, and then follow another schedule.

    Examples
    --------
    >>> rule = bn.schedules.Warmup(4, bn.schedules.Cosine(steps=96))
    >>> [round(rule(step), 2) for step in (0, 1, 3, 4, 52)]
    [0.25, 0.5, 1.0, 1.0, 0.5]
    """

    steps: int
    then: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        _at_least(self, 0, "steps")

    def __call__(self, step: int, losses: Sequence[float] = ()) -> float:
        """Return the factor; the other schedule begins at its step 0 after the warm-up."""
        if step < self.steps:
            return (step + 1) / self.steps
        return self.then(step - self.steps, losses)


SCHEDULES = ("constant", "step", "exponential", "cosine", "plateau")
_KINDS = {kind.__name__: kind for kind in
          (Constant, StepDecay, Exponential, Cosine, Plateau, Warmup)}  # fmt: skip


def schedule_of(
    name: str, steps: int, warmup: int = 0, decay: float = 0.1, every: int | None = None,
    patience: int = 10, where: str = "schedule_of",
) -> Schedule:  # fmt: skip
    """Return the schedule of a name.

    Parameters
    ----------
    name : str
        One of ``SCHEDULES``: "constant", "step", "exponential", "cosine" or "plateau".
    steps : int
        Number of steps of the whole run, including the warm-up.
    warmup : int
        Number of steps of a linear warm-up before the schedule, 0 for none.
    decay : float
        The factor of "step", "exponential" and "plateau".
    every : int, optional
        Steps per decay of "step" and "exponential". The default is a third of the steps after the
        warm-up.
    patience : int
        The patience of "plateau" in measurements.
    where : str
        The function, for messages.

    Raises
    ------
    TypeError, ValueError
        A value is invalid.

    Examples
    --------
    >>> bn.schedules.schedule_of("cosine", steps=1000, warmup=100)
    Warmup(steps=100, then=Cosine(steps=900, floor=0.0))
    """
    integer(warmup, where, "warmup", 0)
    rest = max(1, steps - warmup)
    every = max(1, rest // 3) if every is None else every
    make: dict[str, Callable[[], Schedule]] = {
        "constant": Constant,
        "step": lambda: StepDecay(every, decay),
        "exponential": lambda: Exponential(every, decay),
        "cosine": lambda: Cosine(rest),
        "plateau": lambda: Plateau(decay, patience),
    }
    then = choice(name, make, where, "schedule")()
    return Warmup(warmup, then) if warmup else then


def factor_of(value: Any, where: str) -> float:
    """Return the factor that a schedule returned, after checking it.

    Raises
    ------
    TypeError, ValueError
        It is no number, is not finite or is negative.
    """
    expected = "a function that returns a finite factor >= 0"
    factor = number(value, where, "schedule", expected)
    if factor < 0:
        raise ValueError(message(where, "schedule", expected, describe(value)))
    return factor


def check_schedule(value: Any, where: str) -> None:
    """Refuse the argument `schedule` of a run if it is no function of the step and the losses.

    Raises
    ------
    TypeError, ValueError
        It cannot be called so, or its factor for step 0 is no finite number >= 0.
    """
    expected = "the name of a schedule, or a function of the step and the losses"
    if isinstance(value, type):
        name = value.__name__
        raise TypeError(message(where, "schedule", "an object of the class", f"the class {name}"))
    if not callable(value):
        refuse_type(value, where, "schedule", "the name of a schedule, or a function")
    try:
        inspect.signature(value).bind(0, [])
    except ValueError:  # written in C
        pass
    except TypeError as error:
        raise TypeError(message(where, "schedule", expected, f"another: {error}")) from None
    factor_of(value(0, []), where)


def to_json(schedule: Any) -> dict[str, Any] | None:
    """Return a schedule as an object for JSON, or None for a function of the user."""
    kind = type(schedule).__name__
    if _KINDS.get(kind) is not type(schedule):
        return None
    values = {name: getattr(schedule, name) for name in schedule.__dataclass_fields__}
    if "then" in values and (inner := to_json(values["then"])) is None:
        return None
    return {"kind": kind, **values} | ({"then": inner} if "then" in values else {})


def from_json(data: dict[str, Any]) -> Schedule:
    """Return the schedule that `to_json` described.

    Raises
    ------
    KeyError, TypeError, ValueError
        The data do not describe a schedule.
    """
    values = dict(data)
    kind = _KINDS[values.pop("kind")]
    if "then" in values:
        values["then"] = from_json(values["then"])
    made: Schedule = kind(**values)
    return made


def monitor_of(schedule: Any) -> str:
    """Return the name of the measurements that a schedule reads: "loss", or a metric."""
    if isinstance(schedule, Warmup):
        return monitor_of(schedule.then)
    return schedule.monitor if isinstance(schedule, Plateau) else "loss"


def reading_once(schedule: Schedule) -> Schedule:
    """Return a schedule for calls with one growing list, of which it reads each number once."""
    if isinstance(schedule, Warmup):
        return Warmup(schedule.steps, reading_once(schedule.then))
    if isinstance(schedule, Plateau):
        decay = _Decay(schedule)
        return lambda step, losses: decay.after(losses)
    return schedule


def reads_losses(schedule: Any) -> bool:
    """Return whether a schedule depends on the losses; a function of the user may."""
    if isinstance(schedule, Warmup):
        return reads_losses(schedule.then)
    return not isinstance(schedule, Constant | StepDecay | Exponential | Cosine)


@guided
@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the validation results have stopped improving.

    Parameters
    ----------
    patience : int
        Number of consecutive measurements without a better one after which training stops.
    min_delta : float
        A measurement is better if it beats the best one by more than this.
    monitor : str
        The measurement to compare: "loss", "accuracy" (of classes), or a metric. A metric of this
        package need not be among the `metrics` of the run.
    restore_best : bool
        Whether the model gets the parameters of its best measurement at the end of the run,
        whatever ends it: early stopping, the last step, a callback or an interruption. If all
        measurements are NaN, there is no best one and the parameters stay.
    mode : {"min", "max"}, optional
        Whether small or large measurements are good. It is known for the metrics of this package.

    Raises
    ------
    TypeError, ValueError
        A value is invalid.

    Examples
    --------
    >>> rule = bn.EarlyStopping(patience=2, min_delta=0.01)
    >>> rule.over([1.0, 0.8, 0.9]), rule.over([1.0, 0.8, 0.9, 0.85])
    (False, True)
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str = "loss"
    restore_best: bool = True
    mode: Direction | None = None

    def __post_init__(self) -> None:
        _at_least(self, 1, "patience")
        _within(self, "min_delta", 0, math.inf)
        sign_of(self.monitor, self.mode, type(self).__name__)

    def best(self, values: Sequence[float]) -> int | None:
        """Return the index of the best value so far, or None if there is none.

        Parameters
        ----------
        values : sequence of float
            The measurements of ``monitor``. NaN is never better.

        Examples
        --------
        >>> bn.EarlyStopping().best([1.0, 0.8, 0.9])
        1
        """
        search = Search(self)
        for value in values:
            search.add(value)
        return search.best

    def over(self, values: Sequence[float]) -> bool:
        """Return whether to stop after these values.

        Examples
        --------
        >>> bn.EarlyStopping(patience=1, monitor="accuracy").over([0.5, 0.7, 0.6])
        True
        """
        search = Search(self)
        for value in values:
            search.add(value)
        return search.over

    def to_json(self) -> dict[str, Any]:
        """Return the arguments as an object for JSON."""
        return asdict(self)


class Search:
    """The search of a rule of early stopping, to which measurements are added one by one.

    Attributes
    ----------
    monitor : str
        Name of the measurements.
    best : int or None
        Index of the best measurement so far.
    """

    def __init__(self, rule: EarlyStopping) -> None:
        self._rule, self._sign = rule, sign_of(rule.monitor, rule.mode, type(rule).__name__)
        self.monitor: str = rule.monitor
        self._count, self._value = 0, math.inf
        self.best: int | None = None

    def add(self, value: float) -> bool:
        """Add a measurement and return whether it is the best so far."""
        least = self._value - (0.0 if self.best is None else self._rule.min_delta)
        better = self._sign * value < least
        if better:
            self._value, self.best = self._sign * value, self._count
        self._count += 1
        return better

    @property
    def over(self) -> bool:
        """Whether to stop."""
        behind = self._count - (0 if self.best is None else self.best + 1)
        return behind >= self._rule.patience


guide(globals(), __all__)
