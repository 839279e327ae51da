"""The training of a model on arrays and lists of sequences."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ..arguments.values import describe, integer, message, refuse_type
from ..nn.network import Network
from ..runtime.documents import OBJECT, SIZE, TEXT, Kind, judge, optional
from .batches import Data, read_data, source_of
from .evaluation import measure
from .gradient_record import GradientRecord
from .history import HistoryRow, Progress, columns, epochs, open_history
from .metadata import read_place
from .run_files import HISTORY_FILE
from .schedules import (
    EarlyStopping,
    Plateau,
    Schedule,
    Warmup,
    from_json,
    schedule_of,
    to_json,
)
from .trainer import Callback, Trainer, check_callbacks
from .watch import Watch

M = TypeVar("M", bound=Network)


@dataclass(frozen=True)
class FitResult(Generic[M]):
    """The result of `Model.fit` or `resume`.

    Attributes
    ----------
    model : Model
        The trained model. If early stopping restores, it has the parameters of the best
        measurement, for whatever reason the run ended.
    rows : list of HistoryRow
        The history, one row per step.
    ended : str
        "steps" (all were taken), "early stopping", or "stopped" (by a callback).
    gradients : list of GradientRecord
        The records of ``watch``.
    restored : int or None
        The step of the best measurement, whose parameters the model has. None if the model has the
        parameters of the last step: early stopping does not restore, or all measurements were NaN.
    """

    model: M
    rows: list[HistoryRow]
    ended: str
    gradients: list[GradientRecord]
    restored: int | None = None

    @property
    def steps(self) -> dict[str, npt.NDArray[Any]]:
        """The history per step: arrays by the names of ``HistoryRow``."""
        return columns(self.rows)

    @property
    def epochs(self) -> dict[str, npt.NDArray[Any]]:
        """The history per epoch, see ``bptt_native.history.epochs``."""
        return epochs(self.rows)

    def to_csv(self, path: str | Path) -> None:
        """Write the history per step as CSV, which ``bptt_native.history.read_history`` reads."""
        open_history(path, self.rows).close()


class FitTrainer(Trainer):
    """The trainer of a model on sequences, with its place in them.

    The arguments are those of `Model.fit`; further ones are passed to ``schedules.schedule_of``.
    """

    def __init__(
        self, model: Network, x: Any, targets: Any, *, epochs: int | None = None,
        steps: int | None = None, batch_size: int | None = None, window: int | None = None,
        accumulate: int = 1, validation: tuple[Any, Any] | None = None,
        early_stopping: EarlyStopping | None = None, schedule: str | Schedule = "constant",
        warmup: int = 0, seed: int = 0, where: str = "fit", **decays: Any,
    ) -> None:  # fmt: skip
        if not isinstance(model, Network):
            refuse_type(model, where, "model", "a Model")
        data = read_data(model, x, targets, where, finite=True)
        held_out = None
        pair: Any = validation
        if pair is not None:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(message(where, "validation", "(x, targets)", describe(pair)))
            names = ("validation[0]", "validation[1]")
            held_out = read_data(model, pair[0], pair[1], where, names, finite=True)
        seed = integer(seed, where, "seed", 0, 2**64 - 1)
        accumulate = integer(accumulate, where, "accumulate", 1)
        if epochs is not None and steps is not None:
            raise ValueError(message(where, "epochs", "only one of epochs and steps", "both"))
        if window is not None and model.config.get("bidirectional"):
            expected = "None for a bidirectional model, which reads a sequence as a whole"
            raise ValueError(message(where, "window", expected, str(window)))
        if early_stopping is not None:
            if held_out is None:
                expected = "held-out data, which early_stopping needs"
                raise ValueError(message(where, "validation", expected, "None"))
            if early_stopping.monitor == "accuracy" and not data.form.classes:
                expected = "one that monitors the loss, because there are no classes"
                raise ValueError(message(where, "early_stopping", expected, "'accuracy'"))
        source = source_of(data, batch_size, window, seed)
        each = -(-source.batches // accumulate)
        if steps is None:
            steps = integer(10 if epochs is None else epochs, where, "epochs", 1) * each
        steps = integer(steps, where, "steps", 1)
        self._named: dict[str, Any] | None = None
        if isinstance(schedule, str):
            self._named = {"name": schedule, "warmup": warmup, **decays}
            rule = schedule_of(steps=steps, where=where, **self._named)
        elif warmup:
            expected = "0, because the schedule is not a name; use schedules.Warmup"
            raise ValueError(message(where, "warmup", expected, str(warmup)))
        else:
            rule = schedule
        after = rule.then if isinstance(rule, Warmup) else rule
        if isinstance(after, Plateau) and held_out is None:
            expected = "held-out data, which the schedule plateau needs"
            raise ValueError(message(where, "validation", expected, "None"))
        validate = None
        if held_out is not None:
            measured = source_of(held_out, batch_size, window)
            validate = lambda: measure(self.model, measured)  # noqa: E731
        super().__init__(
            model, source, steps=steps, schedule=rule, accumulate=accumulate, validate=validate,
            early_stopping=early_stopping,
        )  # fmt: skip
        self._options = {"batch_size": batch_size, "window": window, "accumulate": accumulate,
                         "seed": seed}  # fmt: skip
        self._sha256 = _fingerprint(data, held_out)
        self.provenance.size = _size(data, held_out)

    def set_steps(self, steps: int) -> None:
        """Change the length of the run, and with it a schedule that was given by name.

        Parameters
        ----------
        steps : int
            The number of steps of the whole run, above `step`.
        """
        super().set_steps(steps)
        if self._named:
            self.schedule = schedule_of(steps=steps, **self._named)

    def describe(self) -> dict[str, Any]:
        """Return the options and the SHA-256 of the data."""
        rule = {"by": self._named} if self._named else to_json(self.schedule)
        stopping = self.early_stopping.to_json() if self.early_stopping else None
        options = {**self._options, "steps": self.steps, "schedule": rule,
                   "early_stopping": stopping}  # fmt: skip
        return {"fit": options, "data_sha256": self._sha256}

    @classmethod
    def go_on(
        cls, model: Network, path: Path, x: Any, targets: Any, *,
        validation: tuple[Any, Any] | None = None, schedule: Schedule | None = None,
    ) -> Self:  # fmt: skip
        """Return a trainer for the model of a checkpoint, which was loaded from `path`."""
        expected = "a checkpoint of fit"
        training = read_place(model, path, {"fit": _FORM}, "resume", expected)
        options = dict(training["fit"])
        rule, stopping = options.pop("schedule"), options.pop("early_stopping")
        try:
            if stopping is not None:
                options["early_stopping"] = EarlyStopping(**stopping)
            if rule is not None and "by" in rule:
                judge(rule["by"], {"name": TEXT}, "training.fit.schedule.by")
                schedule_of(steps=options["steps"], **rule["by"])
                options["schedule"] = rule["by"]["name"]
                options |= {k: v for k, v in rule["by"].items() if k != "name"}
            elif rule is not None:
                options["schedule"] = from_json(rule)
            if set(options) - {*_OPTIONS, *_NAMED}:
                raise ValueError(f"training.fit: {', '.join(sorted(options))}")
        except (KeyError, TypeError, ValueError) as error:
            got = f"{str(path)!r}: {error}"
            raise ValueError(message("resume", "path", expected, got)) from None
        if schedule is not None:
            options = {k: options[k] for k in _OPTIONS if k in options} | {"schedule": schedule}
        elif rule is None:
            expected = "the function that the run began with"
            raise ValueError(message("resume", "schedule", expected, "None"))
        self = cls(model, x, targets, validation=validation, where="resume", **options)
        if self._sha256 != training["data_sha256"]:
            expected = f"the data of the run, SHA-256 {training['data_sha256'][:16]}..."
            got = f"others, {self._sha256[:16]}..."
            raise ValueError(message("resume", "x", expected, got))
        self.restore(training, path.with_name(HISTORY_FILE))
        return self


_OPTIONS = ("batch_size", "window", "accumulate", "seed", "steps", "early_stopping")
_NAMED = ("schedule", "warmup", "decay", "every", "patience")
_FORM = {
    "batch_size": optional(SIZE), "window": optional(SIZE), "accumulate": SIZE,
    "seed": Kind("an integer from 0 to 2^64 - 1", lambda v: type(v) is int and 0 <= v < 2**64),
    "steps": SIZE,
    "schedule": optional(OBJECT), "early_stopping": optional(OBJECT),
}  # fmt: skip


def _size(data: Data, held_out: Data | None) -> str:
    """Return the size of the data in words."""
    steps = sorted(len(x) for x in data.x)
    length = f"{steps[0]:,}" if steps[0] == steps[-1] else f"{steps[0]:,} to {steps[-1]:,}"
    count = "one sequence" if len(steps) == 1 else f"{len(steps):,} sequences"
    rest = "" if held_out is None else f"; {len(held_out.x):,} held out"
    return f"{count} of {length} step{'s' * (steps[-1] > 1)}{rest}"


def _fingerprint(*parts: Data | None) -> str:
    sha256 = hashlib.sha256()
    for data in parts:
        arrays = [] if data is None else [*data.x, *(data.targets or [])]
        for array in arrays:
            sha256.update(f"{array.dtype}{array.shape}".encode())
            sha256.update(np.ascontiguousarray(array).data)
        sha256.update(b"|")
    return sha256.hexdigest()


def run(
    trainer: FitTrainer, out: str | Path | None, callbacks: Sequence[Callback], progress: bool,
    checkpoint_every: int | None, max_skips: int, watch: int | Watch | None, where: str,
) -> FitResult[Any]:  # fmt: skip
    """Run a trainer to its end, with the options of `Model.fit`, and return the result."""
    calls = check_callbacks(callbacks, where)
    if watch is not None and not isinstance(watch, Watch):
        watch = Watch(watch)
    shown = Progress(trainer.steps) if progress else None
    if shown is not None:
        calls.append(lambda _: shown.show(trainer.history, trainer.steps))
    try:
        over = trainer.fit(
            out, checkpoint_every=checkpoint_every, max_skips=max_skips, callbacks=calls,
            watch=watch, where=where,
        )  # fmt: skip
    finally:
        if shown is not None:
            shown.close()
    ended = "steps" if trainer.step >= trainer.steps else "early stopping" if over else "stopped"
    records = watch.records if watch is not None else []
    return FitResult(trainer.model, trainer.history, ended, records, trainer.restored)


def fit(
    model: M, x: Any, targets: Any, *, callbacks: Sequence[Callback] = (),
    out: str | Path | None = None, checkpoint_every: int | None = None, max_skips: int = 20,
    progress: bool = False, watch: int | Watch | None = None, **options: Any,
) -> FitResult[M]:  # fmt: skip
    """Train a model on sequences; see `Model.fit`. The other options are those of `FitTrainer`."""
    trainer = FitTrainer(model, x, targets, **options)
    return run(trainer, out, callbacks, progress, checkpoint_every, max_skips, watch, "fit")
