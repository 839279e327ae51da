"""The training of a model on arrays and lists of sequences."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ..arguments.display import Shown, Table, View, counted, number_text, plain, plot
from ..arguments.values import describe, integer, message, number, refuse_type
from ..nn.network import Network
from ..options.losses import Loss, loss_of
from ..runtime.documents import (
    NUMBER,
    OBJECT,
    SIZE,
    TEXT,
    Kind,
    Missing,
    judge,
    optional,
    table_of,
)
from .batches import Sequences, Streams, source_of
from .callbacks import Callback, Function, ModelCheckpoint, check_callbacks
from .data import Data, read_data
from .evaluation import measure
from .gradient_record import GradientRecord, Records
from .history import History, HistoryRow, columns, epochs, metric_names, open_history
from .metadata import read_place
from .progress import shown_by
from .run_files import HISTORY_FILE
from .schedules import (
    EarlyStopping,
    Plateau,
    Schedule,
    Warmup,
    check_schedule,
    from_json,
    schedule_of,
    suggestion_of_monitor,
    to_json,
)
from .scores import Metric, direction_of, metrics_of, named_metrics
from .trainer import Trainer
from .watch import Watch

M = TypeVar("M", bound=Network)
MOST_METRICS = 8  # metrics that the description of a result has


@dataclass(frozen=True, repr=False)
class FitResult(Shown, Generic[M]):
    """The result of `Model.fit` or `resume`.

    Attributes
    ----------
    model : Model
        The trained model. If early stopping restores, it has the parameters of the best
        measurement, for whatever reason the run ended.
    rows : list of HistoryRow
        The history, one row per step; of a long one the first and last rows are shown.
    ended : str
        "steps" (all were taken), "early stopping", or "stopped" (by a callback).
    gradients : list of GradientRecord
        The records of ``watch``.
    restored : int or None
        The step of the best measurement, whose parameters the model has. None if the model has the
        parameters of the last step: early stopping does not restore, or all measurements were NaN.
    data : str
        How the data were read: "200 sequences of 5 to 11 steps; 20 sequences held out", or "one
        sequence of 500 steps in 4 streams".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((10, 16, 2), np.float32)
    >>> labels = (x[-1, :, 0] > 0).astype(int)
    >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=2, targets="last")
    >>> result = model.fit(x, labels, epochs=3, batch_size=8)
    >>> len(result.rows), result.ended
    (6, 'steps')
    >>> result.steps["loss"].shape, result.epochs["loss"].shape
    ((6,), (3,))
    """

    model: M
    rows: list[HistoryRow]
    ended: str
    gradients: list[GradientRecord]
    restored: int | None = None
    data: str = ""

    @property
    def steps(self) -> dict[str, npt.NDArray[Any]]:
        """The history per step: arrays by the names of ``HistoryRow``."""
        return columns(self.rows)

    @property
    def epochs(self) -> dict[str, npt.NDArray[Any]]:
        """The history per epoch: arrays by name.

        They are "epoch", "step", "loss" (the mean over the targets of the epoch, weighted as they
        are, each before its update), "grad_norm" (the mean over the updates), "clipped" and
        "skipped" (numbers of updates), "lr", "seconds" and other entries of ``HistoryRow`` (values
        of the last update). With held-out data also "valid_loss", "valid_accuracy" (of classes)
        and "valid_" with the name of each metric.
        """
        return epochs(self.rows)

    @property
    def history(self) -> dict[str, npt.NDArray[Any]]:
        """The same as `epochs`, by the name that Keras has for it."""
        return self.epochs

    def to_csv(self, path: str | Path) -> None:
        """Write the history per step as CSV, readable by ``training.history.read_history``.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x = rng.standard_normal((10, 16, 2), np.float32)
        >>> labels = (x[-1, :, 0] > 0).astype(int)
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=2, targets="last")
        >>> model.fit(x, labels, epochs=1).to_csv("history.csv")
        >>> with open("history.csv") as file:
        ...     file.readline()[:22]
        'step,epoch,loss,valid_'
        """
        open_history(path, self.rows, metric_names(self.rows)).close()

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses of training and of the held-out data; see ``plots.plot_learning``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default, those of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=1, loss="mse")
        >>> x = np.ones((5, 8, 1), np.float32)
        >>> model.fit(x, x, epochs=3).plot().get_xlabel()
        'update'
        """
        return plot(self, ax)

    def _view(self) -> View:
        if not self.rows:
            return View("FitResult: no step was taken")
        last = self.rows[-1]
        taken = "all of them were taken" if last.step > 1 else "it was taken"
        reasons = {"steps": taken, "stopped": "a callback stopped the run"}
        head = (
            f"FitResult: {counted(last.step, 'step')} in {counted(last.epoch, 'epoch')}, "
            f"{last.seconds:.3g} s; {reasons.get(self.ended, self.ended)}"
        )
        columns: dict[str, tuple[Sequence[float | None], Any]] = {
            "loss": ([row.loss for row in self.rows], min),
            "held-out loss": ([row.valid_loss for row in self.rows], min),
            "held-out accuracy": ([row.valid_accuracy for row in self.rows], max),
        }
        for name in metric_names(self.rows)[:MOST_METRICS]:
            best = {"min": min, "max": max}.get(str(direction_of(name)))
            columns[f"held-out {plain(name)}"] = [row.metrics.get(name) for row in self.rows], best
        columns["gradient norm"] = [row.grad_norm for row in self.rows], None
        columns["learning rate"] = [row.lr for row in self.rows], None
        steps = [row.step for row in self.rows]
        lines = [_line(name, values, steps, best) for name, (values, best) in columns.items()]
        table = Table(("", "first", "best", "at step", "last"), [line for line in lines if line])
        clipped, skipped = (sum(getattr(r, k) for r in self.rows) for k in ("clipped", "skipped"))
        clips = any(v for k, v in self.model.config.items() if k.startswith("clip"))
        share = f"{clipped / len(self.rows):.0%} of the updates clipped" * (clips or clipped > 0)
        skips = f"{counted(skipped, 'update')} skipped" * (skipped > 0)
        counts = ", ".join(text for text in (share, skips) if text)
        restored = self.restored
        from_best = "" if restored is None else f"the parameters are those of step {restored:,}"
        looks = counted(len(self.gradients), "record") + " of the gradient"
        return View(
            head,
            (self.data, table, counts, from_best, looks * bool(self.gradients),
             self.model._constructor()),
        )  # fmt: skip


def _line(
    name: str, values: Sequence[float | None], steps: Sequence[int], best: Any
) -> tuple[str, ...] | None:  # fmt: skip
    """Return the first, best and last of some values; None if there are none."""
    pairs = zip(values, steps, strict=True)
    found = [(value, step) for value, step in pairs if value is not None and value == value]
    if not found:
        return None
    ends = number_text(found[0][0]), number_text(found[-1][0])
    if best is None:
        return name, ends[0], "", "", ends[1]
    value, step = best(found, key=lambda each: each[0])
    return name, ends[0], number_text(value), f"{step:,}", ends[1]


class FitTrainer(Trainer):
    """The trainer of a model on sequences, with its place in them.

    The arguments are those of `Model.fit`; `savers` are the `ModelCheckpoint` among its callbacks.
    Further ones are passed to ``schedules.schedule_of``.
    """

    schedule: Schedule

    def __init__(
        self, model: Network, x: Any, targets: Any, *, epochs: int | None = None,
        steps: int | None = None, batch_size: int | None = None, window: int | None = None,
        accumulate: int = 1, weights: Any = None, validation: Any = None,
        validation_split: float | None = None, metrics: Any = None,
        early_stopping: EarlyStopping | None = None, schedule: str | Schedule = "constant",
        warmup: int = 0, seed: int = 0, savers: Sequence[ModelCheckpoint] = (), where: str = "fit",
        **decays: Any,
    ) -> None:  # fmt: skip
        if not isinstance(model, Network):
            refuse_type(model, where, "model", "a Model")
        if all(parameter.frozen for _, parameter in model.named_parameters()):
            raise ValueError(f"{where}: all parameters are frozen; model.unfreeze() frees them")
        if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
            refuse_type(early_stopping, where, "early_stopping", "an EarlyStopping")
        if isinstance(schedule, str):
            schedule_of(schedule, 1, warmup, where=where, **decays)  # is it one?
        else:
            check_schedule(schedule, where)
        loss = loss_of(model.config)
        # A run that an older version began may have a larger k of "top_k".
        outputs = None if where == "resume" else int(model.config["output_size"])
        named = named_metrics(metrics, loss, where, outputs)
        readers: list[tuple[str, Any]] = [("callbacks", saver) for saver in savers]
        readers += [("early_stopping", early_stopping), ("schedule", _plateau(schedule))]
        for name, reader in readers:
            if reader is not None and reader.monitor is not None:
                named |= _monitored(reader.monitor, named, loss, where, name, outputs)
        data, held_out = _data(
            model, x, targets, weights, validation, validation_split, where
        )  # fmt: skip
        seed = integer(seed, where, "seed", 0, 2**64 - 1)
        accumulate = integer(accumulate, where, "accumulate", 1)
        if epochs is not None and steps is not None:
            raise ValueError(message(where, "epochs", "only one of epochs and steps", "both"))
        if window is not None and model.config.get("bidirectional"):
            expected = "None for a bidirectional model, which reads a sequence as a whole"
            raise ValueError(message(where, "window", expected, str(window)))
        plateau = schedule == "plateau" or _plateau(schedule) is not None
        needs = {"early_stopping needs": early_stopping is not None, "metrics need": bool(metrics),
                 "the schedule plateau needs": plateau,
                 **{f"ModelCheckpoint(monitor={s.monitor!r}) needs": s.monitor not in (None, "loss")
                    for s in savers}}  # fmt: skip
        for who, needed in needs.items():
            if needed and held_out is None:
                expected = f"held-out data, which {who}"
                raise ValueError(message(where, "validation", expected, "None"))
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
        validate, monitors = None, list[str]()
        if held_out is not None:
            measured = source_of(held_out, batch_size, window)
            validate = lambda: measure(self.model, measured, metrics=named, where=where)  # noqa: E731
            own = ["accuracy"] if loss.classes else []
            monitors = list(dict.fromkeys(["loss", *own, *named]))
        super().__init__(
            model, source, steps=steps, schedule=rule, accumulate=accumulate, validate=validate,
            early_stopping=early_stopping, monitors=monitors,
        )  # fmt: skip
        self._options: dict[str, Any] = {"batch_size": batch_size, "window": window,
                                         "accumulate": accumulate, "seed": seed}  # fmt: skip
        if validation_split is not None:
            self._options["validation_split"] = float(validation_split)
        if named:
            self._options["metrics"] = {name: m.name or None for name, m in named.items()}
        self._sha256, self._parts = _fingerprint(data, held_out)
        self.provenance.size = _size(data, held_out, source)

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
        return {"fit": options, "data_sha256": self._sha256, "parts_sha256": self._parts}

    @classmethod
    def go_on(
        cls, model: Network, path: Path, x: Any, targets: Any, *, weights: Any = None,
        validation: Any = None, schedule: Schedule | None = None, metrics: Any = None,
    ) -> Self:  # fmt: skip
        """Return a trainer for the model of a checkpoint, which was loaded from `path`."""
        expected = "a checkpoint of fit"
        training = read_place(model, path, {"fit": _FORM}, "resume", expected)
        options = dict(training["fit"])
        rule, stopping = options.pop("schedule"), options.pop("early_stopping")
        named = _given_again(options.pop("metrics", {}), metrics, loss_of(model.config))
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
        self = cls(
            model, x, targets, weights=weights, validation=validation, metrics=named,
            where="resume", **options,
        )  # fmt: skip
        if self._sha256 != training["data_sha256"]:
            expected = f"the data of the run, SHA-256 {training['data_sha256'][:16]}..."
            got = f"others, {self._sha256[:16]}..."
            names = ["x", "targets", "weights"]
            names += names if "validation_split" in training["fit"] else ["validation"] * 3
            parts = zip(names, training.get("parts_sha256", []), self._parts, strict=False)
            name = next((name for name, then, now in parts if then != now), "x")
            raise ValueError(message("resume", name, expected, got))
        measured = {*training.get("metrics", {}), *(() if training["measured"] else self.monitors)}
        if missing := [name for name in self._metric_names() if name not in measured]:
            got = f"{str(path)!r}, which lacks the measurements of {', '.join(missing)}"
            raise ValueError(message("resume", "path", expected, got))
        self.restore(training, path.with_name(HISTORY_FILE))
        return self


_OPTIONS = (
    "batch_size", "window", "accumulate", "seed", "steps", "early_stopping", "validation_split"
)  # fmt: skip
_NAMED = ("schedule", "warmup", "decay", "every", "patience")
_FORM = {
    "batch_size": optional(SIZE), "window": optional(SIZE), "accumulate": SIZE,
    "seed": Kind("an integer from 0 to 2^64 - 1", lambda v: type(v) is int and 0 <= v < 2**64),
    "steps": SIZE,
    "schedule": optional(OBJECT), "early_stopping": optional(OBJECT),
    "validation_split": Missing(NUMBER), "metrics": Missing(table_of(optional(TEXT))),
}  # fmt: skip


def _plateau(schedule: Any) -> Plateau | None:
    """Return the plateau in a schedule."""
    after = schedule.then if isinstance(schedule, Warmup) else schedule
    return after if isinstance(after, Plateau) else None


def _monitored(
    monitor: str,
    named: dict[str, Metric],
    loss: Loss,
    where: str,
    argument: str,
    outputs: int | None,
) -> dict[str, Metric]:
    """Return the metric that early stopping or a schedule reads, if it is not measured anyway."""
    if monitor == "loss" or monitor in named or (monitor == "accuracy" and loss.classes):
        return {}
    try:
        return named_metrics(monitor, loss, where, outputs)
    except ValueError:
        own = ["accuracy"] if loss.classes else []
        names = list(dict.fromkeys(["loss", *own, *named, *metrics_of(loss, outputs)]))
        expected = f"one that monitors one of {', '.join(map(repr, names))}"
        got = f"{monitor!r}{suggestion_of_monitor(monitor, names)}"
        raise ValueError(message(where, argument, expected, got)) from None


def _given_again(saved: dict[str, str | None], given: Any, loss: Loss) -> dict[str, Any]:
    """Return the metrics of a run, with functions that are given again."""
    functions = {name: m.function for name, m in named_metrics(given, loss, "resume").items()
                 if not m.name}  # fmt: skip
    missing = [name for name, known in saved.items() if known is None and name not in functions]
    if missing:
        expected = f"the functions {', '.join(missing)}, with which the run began"
        got = describe(given) if not functions else ", ".join(functions)
        raise ValueError(message("resume", "metrics", expected, got))
    if more := [name for name in functions if name not in saved]:
        expected = f"the metrics with which the run began: {', '.join(saved) or 'none'}"
        raise ValueError(message("resume", "metrics", expected, ", ".join(more)))
    return {name: functions[name] if known is None else known for name, known in saved.items()}


def _data(
    model: Network, x: Any, targets: Any, weights: Any, validation: Any,
    split: float | None, where: str,
) -> tuple[Data, Data | None]:  # fmt: skip
    """Return the checked data of training, and those that are held out."""
    by_name = split is not None and isinstance(weights, str)  # of the part that is trained on
    own = None if by_name else weights
    data = read_data(model, x, targets, where, finite=True, weights=own)
    if split is not None:
        expected = "a number above 0 and below 1"
        share = number(split, where, "validation_split", expected)
        if not 0 < share < 1:
            raise ValueError(message(where, "validation_split", expected, str(split)))
        if validation is not None:
            expected = "None with validation_split"
            raise ValueError(message(where, "validation", expected, describe(validation)))
        trained, held_out = data.split(share, "validation_split")
        return trained.balanced(weights, "weights") if by_name else trained, held_out
    if validation is None:
        return data, None
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        expected = "(x, targets) or (x, targets, weights)"
        raise TypeError(message(where, "validation", expected, describe(validation)))
    names = tuple(f"validation[{k}]" for k in range(3))
    own = validation[2] if len(validation) == 3 else None
    held_out = read_data(
        model, validation[0], validation[1], where, names, finite=True, weights=own
    )
    return data, held_out


def _size(data: Data, held_out: Data | None, source: Sequences | Streams) -> str:
    """Return the size of the data in words, and how they are read."""
    steps = sorted(len(x) for x in data.x)
    length = f"{steps[0]:,}" if steps[0] == steps[-1] else f"{steps[0]:,} to {steps[-1]:,}"
    count = "one sequence" if len(steps) == 1 else f"{len(steps):,} sequences"
    streams = source.streams if isinstance(source, Streams) else 1
    cut = f" in {streams:,} streams" * (streams > 1)
    rest = ""
    if held_out is not None:
        single = held_out.single
        some = (len(held_out.x[0]), "step") if single else (len(held_out.x), "sequence")
        rest = f"; {counted(*some)} held out"
    return f"{count} of {length} step{'s' * (steps[-1] > 1)}{cut}{rest}"


def _fingerprint(*parts: Data | None) -> tuple[str, list[str]]:
    """Return the SHA-256 of data, and those of their beginnings up to x, targets and weights."""
    sha256, beginnings = hashlib.sha256(), list[str]()
    for data in parts:
        for arrays in () if data is None else (data.x, data.targets, data.weights):
            for array in arrays or []:
                sha256.update(f"{array.dtype}{array.shape}".encode())
                sha256.update(np.ascontiguousarray(array).data)
            beginnings.append(sha256.hexdigest())
        sha256.update(b"|")
    return sha256.hexdigest(), beginnings


def run(
    trainer: FitTrainer, out: str | Path | None, callbacks: Sequence[Callback | Function],
    verbose: int | bool, checkpoint_every: int | None, max_skips: int, watch: int | Watch | None,
    where: str,
) -> FitResult[Any]:  # fmt: skip
    """Run a trainer to its end, with the options of `Model.fit`, and return the result."""
    calls = check_callbacks(callbacks, where)
    if watch is not None and not isinstance(watch, Watch):
        watch = Watch(watch)
    calls += shown_by(verbose, where)
    over = trainer.fit(
        out, checkpoint_every=checkpoint_every, max_skips=max_skips, callbacks=calls,
        watch=watch, where=where,
    )  # fmt: skip
    ended = "steps" if trainer.step >= trainer.steps else "early stopping" if over else "stopped"
    records = watch.records if watch is not None else Records()
    rows = History(trainer.history)
    size = trainer.provenance.size or ""
    return FitResult(trainer.model, rows, ended, records, trainer.restored, size)


def fit(
    model: M, x: Any, targets: Any, *,
    callbacks: Sequence[Callback | Function | EarlyStopping] | Callback | EarlyStopping = (),
    out: str | Path | None = None, checkpoint_every: int | None = None, max_skips: int = 20,
    verbose: int | bool = 0, watch: int | Watch | None = None,
    early_stopping: EarlyStopping | None = None, **options: Any,
) -> FitResult[M]:  # fmt: skip
    """Train a model on sequences; see `Model.fit`. The other options are those of `FitTrainer`."""
    others: Any = callbacks
    if isinstance(callbacks, EarlyStopping):
        callbacks = [callbacks]
    if isinstance(callbacks, list | tuple):  # other checks are those of `run`
        rules = [c for c in callbacks if isinstance(c, EarlyStopping)]
        others = [c for c in callbacks if not isinstance(c, EarlyStopping)]
        if len(rules) + (early_stopping is not None) > 1:
            expected = "one EarlyStopping, here or in early_stopping"
            raise ValueError(message("fit", "callbacks", expected, "several"))
        early_stopping = rules[0] if rules else early_stopping
    savers = [c for c in check_callbacks(others, "fit") if isinstance(c, ModelCheckpoint)]
    shown_by(verbose, "fit")
    if checkpoint_every is not None and out is None:
        integer(checkpoint_every, "fit", "checkpoint_every", 1)
        expected = "None without out, the folder of checkpoints"
        raise ValueError(message("fit", "checkpoint_every", expected, str(checkpoint_every)))
    trainer = FitTrainer(
        model, x, targets, early_stopping=early_stopping, savers=savers, **options
    )  # fmt: skip
    return run(trainer, out, others, verbose, checkpoint_every, max_skips, watch, "fit")
