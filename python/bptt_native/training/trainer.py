"""The training loop: updates, measurements, checkpoints, and conditions to stop.

The bits of a run depend only on its options, its data and the number of the step. A run that is
resumed therefore continues as if it had never stopped.
"""

import errno
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments.caller import warn
from ..arguments.names import suggestion
from ..arguments.values import integer, message
from ..nn.network import Network
from ..runtime.files import Growing, check, path_of
from .batches import Source
from .callbacks import Callback, Callbacks, Function, ModelCheckpoint, check_callbacks
from .evaluation import Metrics
from .gradient_record import GradientRecord, open_records, read_records
from .history import EpochSums, HistoryRow, open_history, read_history
from .provenance import Provenance
from .run_files import GRADIENTS_FILE, HISTORY_FILE, MODEL_FILE, REPORT_FILE, RESULTS, clear
from .schedules import (
    EarlyStopping,
    Schedule,
    Search,
    factor_of,
    monitor_of,
    reading_once,
    reads_losses,
)
from .updates import Update, accumulated, update
from .watch import Watch


class TrainingDiverged(RuntimeError):  # noqa: N818 - it names what happened
    """The gradients of too many steps in a row were not finite.

    Examples
    --------
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=1, loss="mse",
    ...                  nonlinearity="relu", init=bn.Init("identity", gain=9.0))
    >>> x = np.ones((99, 4, 1), np.float32)
    >>> try:
    ...     result = model.fit(x, x, epochs=5, max_skips=3)
    ... except bn.TrainingDiverged:
    ...     print("the gradient was not finite")
    the gradient was not finite
    """


class Trainer:
    """A training run: a model, its data, and the progress made.

    Parameters
    ----------
    model : Model
        The model. The schedule multiplies its learning rate.
    source : Source
        The batches.
    steps : int
        Number of updates of the whole run.
    schedule : callable
        Returns the factor of the learning rate, see ``training.schedules``.
    accumulate : int
        Number of batches per update. The gradient is that of the mean over all their targets.
    validate : callable, optional
        Measures the held-out data.
    early_stopping : EarlyStopping, optional
        Decides from the results of ``validate`` when to stop.
    monitors : sequence of str
        Names of the results of ``validate``.

    Attributes
    ----------
    step : int
        Number of updates made.
    epoch : int
        Number of the present epoch, from 1; 0 before the first one.
    seconds : float
        Time of these updates, including measurements.
    history : list of HistoryRow
        One row per step.
    measured : list of Metrics
        Results of ``validate``.
    eval_every : int or None
        Steps between measurements, if they were given to `fit`.
    provenance : Provenance
        Origin of the run, which the model file records.
    """

    model: Network
    source: Source
    steps: int
    schedule: Schedule
    accumulate: int
    validate: Callable[[], Metrics] | None
    early_stopping: EarlyStopping | None
    monitors: tuple[str, ...]
    steps_per_epoch: int
    step: int
    epoch: int
    seconds: float
    history: list[HistoryRow]
    measured: list[Metrics]
    provenance: Provenance

    def __init__(
        self, model: Network, source: Source, *, steps: int, schedule: Schedule,
        accumulate: int = 1, validate: Callable[[], Metrics] | None = None,
        early_stopping: EarlyStopping | None = None, monitors: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.model, self.source, self.steps, self.schedule = model, source, steps, schedule
        self.accumulate, self.validate = accumulate, validate
        self.early_stopping, self.monitors = early_stopping, tuple(monitors)
        self.steps_per_epoch = -(-source.batches // accumulate)
        self.step, self.epoch, self.seconds = 0, 0, 0.0
        self._where = f"{type(self).__name__}.fit"
        self.history, self.measured = list[HistoryRow](), list[Metrics]()
        self._optimizer = model.optimizer
        self._mean = model.config["reduction"] == "mean"
        self._values: dict[str, list[float]] = {name: [] for name in ("loss", *self.monitors)}
        self._search = None if early_stopping is None else Search(early_stopping)
        self._read_once = self.schedule, reading_once(self.schedule)
        self._sums, self._stop = EpochSums(), False
        self.eval_every: int | None = None
        self.provenance = Provenance()
        self._every_known = True
        self._state: Any = None
        self._skips = 0
        self._best: dict[str, Any] = {}  # parameters of the best measurement
        self._last: dict[str, Any] = {}  # those of the last step, while the model has the best ones

    def __repr__(self) -> str:
        """Return the place of the run, by the public name of its class."""
        return f"Run(step={self.step} of {self.steps}, epoch={self.epoch} of {self.epochs})"

    def __getattr__(self, name: str) -> Any:
        known = [own for own in dir(self) if not own.startswith("_")]
        end = "" if name.startswith("_") else suggestion(name, known)
        raise AttributeError(f"'Run' object has no attribute {name!r}{end}", name=name)

    def set_steps(self, steps: int) -> None:
        """Change the length of the run.

        Parameters
        ----------
        steps : int
            The new number of updates, larger than `step`.
        """
        if steps <= self.step:
            where, expected = type(self).__name__, f"more than the {self.step} steps taken"
            raise ValueError(message(f"{where}.set_steps", "steps", expected, str(steps)))
        self.steps = steps

    @property
    def over(self) -> bool:
        """Whether the run is complete: all steps are taken, or early stopping ends it."""
        return self.step >= self.steps or self.stopped_early

    @property
    def epochs(self) -> int:
        """Number of epochs of the whole run."""
        return -(-self.steps // self.steps_per_epoch)

    @property
    def stopped_early(self) -> bool:
        """Whether early stopping ends the run."""
        return self._search is not None and self._search.over

    def stop(self) -> None:
        """End the present call of `fit` after this update."""
        self._stop = True

    @property
    def logs(self) -> dict[str, float]:
        """The present epoch so far, by the names of `FitResult.epochs`; empty before an update."""
        if not self.history:
            return {}
        row = self.history[-1]
        found = {"epoch": row.epoch, "step": row.step, **self._sums.means(), "lr": row.lr,
                 "seconds": row.seconds}  # fmt: skip
        held = {"loss": row.valid_loss, "accuracy": row.valid_accuracy, **row.metrics}
        measured = {f"valid_{name}": v for name, v in held.items() if v is not None}
        return {**found, **measured}

    @property
    def restored(self) -> int | None:
        """The step of the best measurement if the model has its parameters, else None."""
        if not self._last or self._search is None or self._search.best is None:
            return None
        return self._measured_at(self._search.best)

    def _measured_at(self, index: int) -> int | None:
        """Return the step of a measurement, or None if the history does not reach back to it."""
        steps = [row.step for row in self.history if row.valid_loss is not None]
        behind = len(self.measured) - index
        return steps[-behind] if behind <= len(steps) else None

    def _add(self, row: HistoryRow) -> None:
        """Add an update to the sums of its epoch."""
        if row.epoch != self._sums.epoch:
            self._sums = EpochSums(row.epoch)
        self._sums.add(row)

    def measurements(self, name: str) -> list[float]:
        """Return all measurements of a name among `monitors`, in their order."""
        return list(self._values[name])

    def _note(self, metrics: Metrics) -> bool:
        """Add a measurement and return whether early stopping finds it the best so far."""
        self.measured.append(metrics)
        for name, values in self._values.items():
            value = metrics[name]
            values.append(math.nan if value is None else value)
        search = self._search
        return search is not None and search.add(self._values[search.monitor][-1])

    def _metric_names(self) -> list[str]:
        return [name for name in self.monitors if name not in ("loss", "accuracy")]

    def _factor(self) -> float:
        """Return the schedule's factor of the learning rate for the next update."""
        if self._read_once[0] is not self.schedule:  # it was set anew
            self._read_once = self.schedule, reading_once(self.schedule)
        factor = self._read_once[1](self.step, self._values[monitor_of(self.schedule)])
        return factor_of(factor, self._where)

    def train_step(self) -> HistoryRow:
        """Make one update.

        If the gradient is not finite, nothing changes, and the next window starts from a zero
        state, since the carried state may not be finite either. If no target counts
        (``ignore_index``), only the carried state changes and the loss is NaN.
        """
        began = time.perf_counter()
        epoch, index = divmod(self.step, self.steps_per_epoch)
        highest = self._optimizer.lr  # a callback may have changed it
        lr = highest * self._factor()
        self._optimizer.lr = lr
        try:
            done, self._state = self._update(epoch, index)
        finally:
            self._optimizer.lr = highest
        self._state = None if done.skipped else self._state
        self._skips = self._skips + 1 if done.skipped else 0
        self.step, self.epoch = self.step + 1, epoch + 1
        took = time.perf_counter() - began
        self.seconds += took
        row = HistoryRow(
            self.step, epoch + 1, done.loss, None, None, done.grad_norm, done.clipped,
            done.skipped, lr, done.targets / took, self.seconds, done.clipped_norm,
            done.clip_angle, done.loss_weight,
        )  # fmt: skip
        self.history.append(row)
        self._add(row)
        return row

    def _update(self, epoch: int, index: int) -> tuple[Update, Any]:
        """Make an update of an epoch, and return its results and the state after it."""
        k, source, state, mean = self.accumulate, self.source, self._state, self._mean
        if k == 1:
            return update(self.model, source.batch(epoch, index), state, mean)
        numbers = range(index * k, min((index + 1) * k, source.batches))
        batches = (source.batch(epoch, i) for i in numbers)
        return accumulated(self.model, batches, k, state, mean)

    def _measure(self, row: HistoryRow) -> HistoryRow:
        """Measure the held-out data and return the row with the results."""
        assert self.validate is not None
        began = time.perf_counter()
        metrics = self.validate()
        best, stopping = self._note(metrics), self.early_stopping
        if best and stopping is not None and stopping.restore_best:
            self._best = self.model.state_dict()
        self.seconds += time.perf_counter() - began
        row = replace(
            row, valid_loss=metrics.loss, valid_accuracy=metrics.accuracy,
            metrics={name: metrics[name] for name in self._metric_names()},
        )  # fmt: skip
        self.history[-1] = row
        return row

    def fit(
        self, out: str | Path | None = None, *, until: int | None = None,
        eval_every: int | None = None, checkpoint_every: int | None = None, max_skips: int = 20,
        stop: Callable[[], bool] = lambda: False, callbacks: Sequence[Callback | Function] = (),
        watch: Watch | None = None, where: str | None = None,
    ) -> bool:  # fmt: skip
        """Train until the run is complete or is stopped, and write a checkpoint.

        If early stopping restores the best parameters, the model has them when this method returns
        or raises, for whatever reason. The next call continues with the last parameters.

        Parameters
        ----------
        out : str or Path, optional
            Folder of ``model.safetensors`` and ``history.csv``; without it nothing is written. A
            new run replaces an older run in the folder and removes its other files.
        until : int, optional
            Stop after this step, although the run may be longer.
        eval_every, checkpoint_every : int, optional
            Steps between measurements of the held-out data and between checkpoints. The default is
            an epoch. Both also happen at the run's last step. A resumed run measures as often as
            before.
        max_skips : int
            Number of consecutive steps without a finite gradient after which the run fails.
        stop : callable
            Called after each step; returns whether to stop (``interruption.Interruption``).
        callbacks : sequence of Callback or callable
            Callbacks, and functions that are called with the row of each step. If one returns True,
            the run stops after this step. They may change the length of the run.
        watch : Watch, optional
            Looks at the gradient's flow; its records are written to ``gradients.jsonl``.
        where : str, optional
            The function that was called, for messages.

        Returns
        -------
        bool
            Whether the run is complete.

        Warns
        -----
        RuntimeWarning
            If all measurements are NaN of which early stopping, the schedule or a callback looks
            for the best.

        Raises
        ------
        TrainingDiverged
            After ``max_skips``; the last checkpoint of a finite step stays.
        TypeError, ValueError
            An argument is invalid, and nothing has changed; or ``eval_every`` differs from that of
            a resumed run whose learning rates or end depend on the measurements.
        OSError
            A file cannot be written.
        """
        where = self._where = where or f"{type(self).__name__}.fit"
        place = None if out is None else path_of(out, where, "out")
        if place is not None and place.exists() and not place.is_dir():
            text = message(where, "out", "a folder", f"the file {str(place)!r}")
            raise NotADirectoryError(errno.ENOTDIR, text)
        for name, given in (("until", until), ("eval_every", eval_every),
                            ("checkpoint_every", checkpoint_every)):  # fmt: skip
            if given is not None:
                integer(given, where, name, 1)
        max_skips = integer(max_skips, where, "max_skips", 1)
        called = Callbacks(check_callbacks(callbacks, where))
        eval_every, checkpoint_every = self._every(eval_every), checkpoint_every or self.interval
        ended = self.over or self.step >= (until or math.inf)
        with ExitStack() as closing:
            history, looks = self._open(place, watch, not ended, closing)
            closing.callback(called.end, self)
            closing.callback(self._take_best)
            if not ended:
                self._take_last()
            self._stop = False
            asks = called.call("on_train_begin", self) or self._stop
            ended = ended or asks or self._begin_epoch(called)
            while not ended:
                if watch is not None and watch.due(self.step) and not watch.has(self.step):
                    self._look(watch, looks)
                row = self.train_step()
                if watch is not None:
                    watch.saw(self.model, row)
                due = self.step % eval_every == 0 or self.step == self.steps
                if due and self.validate is not None:
                    row = self._measure(row)
                asks = called.call("on_update_end", self)
                whole = self.step % self.steps_per_epoch == 0
                if whole or self.step == self.steps:
                    asks |= called.call("on_epoch_end", self)
                asks |= self._stop
                ended = self.over or self.step >= (until or math.inf) or asks or stop()
                ended = ended or (whole and self._begin_epoch(called))
                if self.over and watch is not None:
                    self._look(watch, looks)
                if place is not None and history is not None:
                    history.append(row)
                    due = ended or (self.step % checkpoint_every == 0 and self._skips == 0)
                    if due and self._skips < max_skips and self._finite():
                        self._checkpoint(place, history, looks, ended)
                if self._skips >= max_skips:
                    raise TrainingDiverged(
                        f"the gradients of {max_skips} steps in a row, up to step {self.step}, "
                        "were not finite: lower the learning rate or the clip norm"
                    )
        self._warn_of_nan(callbacks)
        return self.over

    def _warn_of_nan(self, callbacks: Sequence[Callback | Function]) -> None:
        """Warn of measurements that were all NaN, if something looks for the best of them."""
        read = {c.monitor for c in callbacks if isinstance(c, ModelCheckpoint)}
        if self._search is not None:
            read.add(self._search.monitor)
        if reads_losses(self.schedule):
            read.add(monitor_of(self.schedule))
        for name, values in self._values.items():
            if name in read and values and all(map(math.isnan, values)):
                warn(
                    f"{self._where}: all measurements of {name!r} are NaN, so none of them is the "
                    "best, which early stopping, Plateau or ModelCheckpoint looks for",
                    RuntimeWarning,
                )

    def _begin_epoch(self, called: Callbacks) -> bool:
        """Begin the epoch of the next update, and return whether a callback ends the run."""
        self.epoch = self.step // self.steps_per_epoch + 1
        return called.call("on_epoch_begin", self) or self._stop

    @property
    def interval(self) -> int:
        """Default number of steps between measurements and between checkpoints."""
        return self.steps_per_epoch

    def _every(self, given: int | None) -> int:
        """Return the steps between measurements, given now or when the run began."""
        before = self.eval_every or self.interval
        decides = self.early_stopping is not None or reads_losses(self.schedule)
        begun = self.step > 0 and self.validate is not None and self._every_known
        if begun and decides and given not in (None, before):
            expected = f"{before}, the steps between measurements that the run began with"
            raise ValueError(message(self._where, "eval_every", expected, str(given)))
        self.eval_every, self._every_known = given or self.eval_every, True
        return given or before

    def _open(
        self, out: Path | None, watch: Watch | None, goes_on: bool, closing: ExitStack
    ) -> tuple[Growing[HistoryRow] | None, Growing[GradientRecord] | None]:
        """Open the files of the run: new ones, or the existing ones up to its step.

        Everything is read and checked before anything is replaced or removed. ``closing`` closes
        the files that are returned.
        """
        if out is None:
            if watch is not None:
                watch.keep(watch.records if self.step else [], self.step, goes_on)
            return None, None
        out.mkdir(parents=True, exist_ok=True)
        path = out / GRADIENTS_FILE
        begun = self.step > 0
        kept = read_records(path) if begun and path.exists() else []
        kept = [record for record in kept if record.step <= self.step]
        looked = bool(kept) or watch is not None
        written = {MODEL_FILE: goes_on, HISTORY_FILE: True, GRADIENTS_FILE: looked}
        for name in (name for name, now in written.items() if now):
            check(out / name, f"{type(self).__name__}.fit")
        if watch is not None:
            kept = watch.keep(kept, self.step, goes_on)
        if goes_on:
            self.provenance.begin(self.step)
        stale: tuple[str, ...] = () if looked else (GRADIENTS_FILE,)
        if begun and goes_on:
            stale += RESULTS
        elif not begun:
            stale += (*RESULTS, REPORT_FILE) if (out / MODEL_FILE).exists() else ()
            self.save(out / MODEL_FILE)
        history = open_history(out / HISTORY_FILE, self.history, self._metric_names())
        closing.callback(history.close)
        looks = open_records(path, kept) if looked else None
        if looks is not None:
            closing.callback(looks.close)
        clear(out, stale)
        return history, looks

    def _checkpoint(
        self, out: Path, history: Growing[HistoryRow], looks: Growing[GradientRecord] | None,
        ended: bool,
    ) -> None:  # fmt: skip
        """Sync the other files, then write the model file, at the end with the best parameters."""
        history.sync()
        if looks is not None:
            looks.sync()
        if ended:
            self._take_best()
        self.save(out / MODEL_FILE)

    def _take_best(self) -> None:
        """Load the best parameters, if there are any, and keep the last ones for resuming."""
        if self._best and not self._last:
            self._last = self.model.state_dict()
            self.model.load_state_dict(self._best)

    def _take_last(self) -> None:
        """Load the last parameters again, if the model has the best ones."""
        if self._last:
            self.model.load_state_dict(self._last)
            self._last = {}

    def _look(self, watch: Watch, looks: Growing[GradientRecord] | None) -> None:
        """Look at the gradient's flow on the batch of the next update."""
        began = time.perf_counter()
        epoch, index = divmod(self.step, self.steps_per_epoch)
        batch = self.source.batch(epoch, index * self.accumulate)
        if batch.mass > 0:
            record = watch.look(self.model, batch, batch.carried(self._state), self.step)
            if looks is not None:
                looks.append(record)
        self.seconds += time.perf_counter() - began

    def _finite(self) -> bool:
        return all(np.isfinite(values).all() for values in self.model.state_dict().values())

    def describe(self) -> dict[str, Any]:
        """Return the run's options and the data's SHA-256, for the model file's JSON."""
        return {}

    def save(self, path: str | Path) -> None:
        """Write the model file with everything that is needed to resume the run."""
        model = self.model
        place = {
            "step": self.step, "seconds": self.seconds, "skips": self._skips,
            "measured": [(metrics.loss, metrics.accuracy) for metrics in self.measured],
            "metrics": {name: self.measurements(name) for name in self._metric_names()},
            "eval_every": self.eval_every,
            "run": self.provenance.to_json(),
        }  # fmt: skip
        whole = self.describe() | place
        model.metadata["training"] = json.dumps(whole, default=lambda number: number.item())
        for name in [name for name in model.tensors if name.startswith("training.")]:
            del model.tensors[name]
        if self._state is not None:
            parts = self._state if isinstance(self._state, tuple) else (self._state,)
            names = ("training.state.h", "training.state.c")
            model.tensors.update(zip(names, parts, strict=False))
        for kind, values in (("best", self._best), ("last", self._last)):
            if not (kind == "best" and self._last):  # else the model itself has the best ones
                model.tensors.update({f"training.{kind}.{k}": v for k, v in values.items()})
        model.save(str(path))

    def restore(self, training: dict[str, Any], history: Path) -> None:
        """Restore the progress that `save` wrote to the model's file.

        Parameters
        ----------
        training : dict
            The file's metadata, see ``metadata.read_place``.
        history : Path
            The history file, which may be missing.

        Raises
        ------
        OSError, ValueError
            The history cannot be read.
        """
        self.step, self.seconds = training["step"], training["seconds"]
        self._skips, self.eval_every = training["skips"], training.get("eval_every")
        self._every_known = "eval_every" in training  # older files lack it
        if "run" in training:  # older files lack it
            self.provenance = Provenance.from_json(training["run"])
        others = training.get("metrics", {})
        for k, (loss, accuracy) in enumerate(training["measured"]):
            named = {name: values[k] for name, values in others.items()}
            self._note(Metrics(loss, accuracy, named or None))
        self.epoch = -(-self.step // self.steps_per_epoch)
        tensors = dict(self.model.tensors)
        if "training.state.h" in tensors:
            h, c = tensors["training.state.h"], tensors.get("training.state.c")
            self._state = h if c is None else (h, c)
        for kind, values in (("best", self._best), ("last", self._last)):
            prefix = f"training.{kind}."
            values.update({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        if self._last:
            self._best = self.model.state_dict()
        if history.exists():
            self.history = [row for row in read_history(history) if row.step <= self.step]
        for row in self.history[-self.steps_per_epoch :]:
            self._add(row)
