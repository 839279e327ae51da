"""The options that all runs of the command line share, for their model and their training."""

import math
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any, Self

from ..arguments.values import choice
from ..models.model import Model
from ..options.algorithms import OWN
from ..options.from_engine import arguments_of
from ..options.table import OPTIONS
from ..training.fit import FitTrainer
from ..training.schedules import SCHEDULES, EarlyStopping, Schedule, schedule_of

# Options of a model that depend on the data or on another field, or that only some tasks have.
_DECIDED = {
    "input_size", "vocab_size", "embedding_size", "hidden_size", "num_layers", "output_size",
    "loss", "targets", "reduction", "ignore_index", "class_weights", "alphas", "batch_first",
    "bidirectional", "label_smoothing", "huber_delta",
}  # fmt: skip
_TYPES: dict[str, Any] = {"choice": str, "flag": bool, "size": int, "count": int, "integer": int,
                          "seed": int}  # fmt: skip
MODEL_OPTIONS = {o.file_name: o for o in OPTIONS.values() if o.name not in _DECIDED}
"""The options of a model that every run has, by the name of their field in `RunOptions`."""

_Fields = make_dataclass(
    "_Fields",
    [
        (name, kind if default is not None else kind | None, field(default=default))
        for name, o in MODEL_OPTIONS.items()
        for kind, default in [
            (_TYPES.get(o.kind, float), None if name in OWN else o.python_default)
        ]
    ],
    frozen=True,
)


@dataclass(frozen=True)
class RunOptions(_Fields):  # type: ignore[misc, valid-type]
    """Options of a run, with the names of ``bptt-native train``. None switches an option off.

    The fields of `MODEL_OPTIONS` have the meaning that they have for `Model`.

    Raises
    ------
    ValueError
        If a value is not allowed. `Model` checks its own options.
    """

    hidden: int = 64
    layers: int = 1
    lr: float = 5e-3
    clip_norm: float | None = 1.0
    dtype: str = "float32"
    seed: int = 0
    schedule: str = "cosine"
    warmup: int = 0
    decay: float = 0.1
    decay_every: int | None = None

    def __post_init__(self) -> None:
        self.check_integers(warmup=0)
        if self.decay_every is not None:
            self.check_integers(decay_every=1)
        choice(self.schedule, dict.fromkeys(SCHEDULES), type(self).__name__, "schedule")
        if not (math.isfinite(self.lr) and self.lr > 0):
            self.refuse("lr", "a finite number above 0", self.lr)
        if not 0 <= self.decay <= 1:
            self.refuse("decay", "a number from 0 to 1", self.decay)
        if (self.truncation_k1, self.truncation_k2) != (None, None):
            self.check_integers(truncation_k1=1)
            self.check_integers(truncation_k2=self.truncation_k1)

    @classmethod
    def read(cls, options: object) -> Self:
        """Return the options that a model file holds.

        Parameters
        ----------
        options : dict
            The object that the file holds.

        Raises
        ------
        ValueError
            If a name is unknown, a type is wrong or a value is not allowed.
        """
        known = {f.name: f.type for f in fields(cls)}
        if not isinstance(options, dict):
            raise ValueError("options: expected an object")
        for name, value in options.items():
            if name not in known:
                raise ValueError(f"options: expected no {name!r}")
            kind: Any = known[name]
            exact = type(value) is not bool or kind is bool
            real = type(value) is int and isinstance(0.0, kind) and abs(value) < 2**1000
            if not (exact and (isinstance(value, kind) or real)):
                shown = getattr(kind, "__name__", str(kind))
                raise ValueError(f"options.{name}: expected {shown}, got {str(value)[:60]!r}")
        return cls(**options)

    def check_integers(self, **least: int) -> None:
        """Check that fields are integers not below the given bounds."""
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                self.refuse(name, f"an integer of at least {low}", value)

    def refuse(self, name: str, expected: str, got: object) -> None:
        """Raise a ValueError about a field."""
        where = type(self).__name__
        raise ValueError(f"{where}: argument {name!r}: expected {expected}, got {got!r}")

    def model(self, **sizes: Any) -> Model:
        """Return a new model with these options.

        Parameters
        ----------
        **sizes : int or str
            The other arguments of `Model`: ``input_size`` or ``vocab_size``, ``output_size``,
            ``loss``, ``targets``.
        """
        own = [option for option in OPTIONS.values() if hasattr(self, option.file_name)]
        given = {option.name: getattr(self, option.file_name) for option in own}
        arguments = {**arguments_of(given), **sizes}
        return Model(hidden_size=self.hidden, num_layers=self.layers, **arguments)

    def schedule_over(self, steps: int) -> Schedule:
        """Return the schedule of the learning rate for a run of `steps` steps."""
        return schedule_of(
            self.schedule, steps, self.warmup, self.decay, self.decay_every,
            where=type(self).__name__,
        )  # fmt: skip


@dataclass(frozen=True)
class SequenceOptions(RunOptions):
    """Options of a run that trains by `FitTrainer`.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    hidden: int = 32
    lr: float = 1e-2
    decay_patience: int = 10
    epochs: int = 100
    batch: int | None = None
    seq_len: int | None = None
    accumulate: int = 1
    valid_fraction: float = 0.0
    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_integers(epochs=1, accumulate=1, decay_patience=0)
        for name in ("batch", "seq_len", "patience"):
            if getattr(self, name) is not None:
                self.check_integers(**{name: 1})
        if not 0 <= self.valid_fraction < 1:
            self.refuse("valid_fraction", "a number at least 0 and below 1", self.valid_fraction)
        looks = self.patience is not None or self.schedule == "plateau"
        if looks and self.valid_fraction == 0:
            why = "early stopping" if self.patience is not None else "the schedule plateau"
            self.refuse("valid_fraction", f"a share above 0, which {why} needs", 0)

    def trainer(
        self, model: Model, x: Any, targets: Any, validation: tuple[Any, Any] | None
    ) -> FitTrainer:
        """Return the trainer of the run."""
        stopping = None if self.patience is None else EarlyStopping(self.patience, self.min_delta)
        return FitTrainer(
            model, x, targets, epochs=self.epochs, batch_size=self.batch, window=self.seq_len,
            accumulate=self.accumulate, validation=validation, early_stopping=stopping,
            seed=self.seed, schedule=self.schedule, warmup=self.warmup, decay=self.decay,
            every=self.decay_every, patience=self.decay_patience, where=type(self).__name__,
        )  # fmt: skip
