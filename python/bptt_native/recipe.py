"""What decides a run from the command line: the model's options and those of its training."""

import math
from dataclasses import MISSING, dataclass, fields
from typing import Any

from . import Model
from .schedules import SCHEDULES, Schedule, schedule_of


@dataclass(frozen=True)
class Recipe:
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
    optimizer: str = "adam"
    lr: float = 5e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: int = 0
    decay: float = 0.1
    decay_every: int | None = None
    clip_norm: float | None = 1.0
    clip_value: float | None = None
    clip_step: float | None = None
    clip_step_norm: float | None = None
    init: str = "default"
    forget_bias: float | None = None
    dtype: str = "float32"
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
        names = {f.name for f in fields(Recipe)} - set(_OF_TRAINING)
        options = {
            f.name: getattr(self, f.name) for f in fields(Recipe)
            if f.name in names and (f.default is MISSING or getattr(self, f.name) != f.default)
        }  # fmt: skip
        return Model(
            self.cell, hidden_size=self.hidden, num_layers=self.layers, lr=self.lr,
            clip_norm=self.clip_norm, **options, **sizes,
        )  # fmt: skip

    def schedule_over(self, steps: int, patience: int = 10) -> Schedule:
        """Make the schedule of a run of so many steps."""
        return schedule_of(
            self.schedule, steps, self.warmup, self.decay, self.decay_every, patience,
            where=type(self).__name__,
        )  # fmt: skip


_OF_TRAINING = ("cell", "hidden", "layers", "lr", "clip_norm", "schedule", "warmup", "decay",
                "decay_every")  # fmt: skip
