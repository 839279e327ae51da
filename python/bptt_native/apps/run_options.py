"""The options of a run from the command line: those of its model and of its training."""

import math
from dataclasses import dataclass, fields
from typing import Any, Self

from ..nn.model import Model
from ..training.fit import FitTrainer
from ..training.schedules import SCHEDULES, EarlyStopping, Schedule, schedule_of


@dataclass(frozen=True)
class RunOptions:
    """Options of a run. The names are those of ``bptt-native train``; None switches off.

    Raises
    ------
    ValueError
        A value is not allowed. (Those that the model takes are judged by ``Model``.)
    """

    cell: str = "lstm"
    nonlinearity: str = "tanh"
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.0
    variational: bool = False
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    zoneout_c: float = 0.0
    layer_norm: bool = False
    proj_size: int = 0
    peephole: bool = False
    coupled: bool = False
    reset_after: bool = True
    alpha: float = 1.0
    noise: float = 0.0
    dale: float | None = None
    omega: float = 0.0
    optimizer: str = "adam"
    lr: float = 5e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: int = 0
    decay: float = 0.1
    decay_every: int | None = None
    clip_norm: float | None = 1.0
    clip_tensor_norm: float | None = None
    clip_value: float | None = None
    clip_step: float | None = None
    clip_step_norm: float | None = None
    init: str = "default"
    forget_bias: float | None = None
    dtype: str = "float32"
    compute: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.check_integers(warmup=0)
        if self.decay_every is not None:
            self.check_integers(decay_every=1)
        if self.schedule not in SCHEDULES:
            self.refuse("schedule", f"one of {', '.join(SCHEDULES)}", self.schedule)
        if not (math.isfinite(self.lr) and self.lr > 0):
            self.refuse("lr", "a finite number above 0", self.lr)
        if not 0 <= self.decay <= 1:
            self.refuse("decay", "a number from 0 to 1", self.decay)

    @classmethod
    def read(cls, options: object) -> Self:
        """Return the options that a model file holds.

        Raises
        ------
        ValueError
            A name or a type is another, or a value is not allowed.
        """
        known = {field.name: field.type for field in fields(cls)}
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
        """Check that fields are integers of at least so much."""
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                self.refuse(name, f"an integer of at least {low}", value)

    def refuse(self, name: str, expected: str, got: object) -> None:
        """Raise the error about a field."""
        where = type(self).__name__
        raise ValueError(f"{where}: argument {name!r}: expected {expected}, got {got!r}")

    def model(self, **sizes: Any) -> Model:
        """Make the model.

        Parameters
        ----------
        **sizes : int or str
            ``input_size`` or ``vocab_size``, ``output_size``, loss and targets.
        """
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name in _OF_MODEL}
        return Model(
            self.cell, hidden_size=self.hidden, num_layers=self.layers, lr=self.lr,
            clip_norm=self.clip_norm, **given, **sizes,
        )  # fmt: skip

    def schedule_over(self, steps: int) -> Schedule:
        """Make the schedule of a run of so many steps."""
        return schedule_of(
            self.schedule, steps, self.warmup, self.decay, self.decay_every,
            where=type(self).__name__,
        )  # fmt: skip


_OF_MODEL = (
    "nonlinearity", "dropout", "variational", "recurrent_dropout", "zoneout", "zoneout_c",
    "layer_norm", "proj_size", "peephole", "coupled", "reset_after", "alpha", "noise",
    "dale", "omega",
    "bidirectional", "label_smoothing", "optimizer", "momentum", "nesterov", "weight_decay",
    "clip_tensor_norm", "clip_value", "clip_step", "clip_step_norm", "init", "forget_bias",
    "dtype", "compute", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class SequenceOptions(RunOptions):
    """Options of a run on sequences that ``fit`` takes.

    Raises
    ------
    ValueError
        A value is not allowed.
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
            self.refuse("valid_fraction", f"a share above 0, which {why} looks at", 0)

    def trainer(
        self, model: Model, x: Any, targets: Any, validation: tuple[Any, Any] | None
    ) -> FitTrainer:
        """Make the trainer of the run."""
        stopping = None if self.patience is None else EarlyStopping(self.patience, self.min_delta)
        return FitTrainer(
            model, x, targets, epochs=self.epochs, batch_size=self.batch, window=self.seq_len,
            accumulate=self.accumulate, validation=validation, early_stopping=stopping,
            seed=self.seed, schedule=self.schedule, warmup=self.warmup, decay=self.decay,
            every=self.decay_every, patience=self.decay_patience, where=type(self).__name__,
        )  # fmt: skip
