"""History of a training run: one row per step, and its CSV file."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from ..arguments.display import (
    Shown,
    Table,
    View,
    constructor_text,
    counted,
    elided,
    number_text,
)
from ..arguments.names import nearest
from ..arguments.values import message
from ..nn.network import Network
from ..options.losses import loss_of
from ..runtime.files import Growing, csv_bytes, csv_rows, refuse_line


class Unit(NamedTuple):
    """A unit in which losses are shown.

    Attributes
    ----------
    name : str
    factor : float
        The factor from the recorded numbers to this unit.
    """

    name: str
    factor: float = 1.0


BITS, LOSS = Unit("bits per character", 1 / math.log(2)), Unit("loss")


def unit_of(model: Network, of: str = "") -> Unit:
    """Return the unit of the losses of a model's training.

    Parameters
    ----------
    model : Model
    of : str
        "text" for losses of characters, "standardised" for losses of standardised targets.
    """
    if of == "text":
        return BITS
    name = loss_of(model.config).title
    if model.config["reduction"] == "sum":
        name = f"summed {name.replace('mean ', '')}"
    return Unit(f"{name} of {of} values" if of else name)


@dataclass(frozen=True, repr=False)
class HistoryRow(Shown):
    """The results of one training step (one update).

    Attributes
    ----------
    step, epoch : int
        Numbers of the step and of its epoch, from 1.
    loss : float
        Loss of the step's batch before the update (text: in nats per character).
    valid_loss, valid_accuracy : float or None
        Results on the held-out data after the update, if they were measured.
    grad_norm : float
        Global norm of the gradient before clipping.
    clipped, skipped : bool
        Whether the gradient was clipped; whether the update was skipped because the gradient was
        not finite.
    lr : float
        Learning rate.
    targets_per_s : float
        Targets (text: characters) per second in this step.
    seconds : float
        Time since the beginning of training, including evaluations and earlier sessions.
    clipped_norm : float or None
        Global norm of the gradient after clipping; None in older files, which lack it.
    clip_angle : float or None
        Angle between the gradient before and after clipping, in radians.
    loss_weight : float or None
        Weight of the loss in the mean over its epoch: the sum of the weights of the step's targets
        (their number without weights), or 1 if the loss is a sum. None in older files, which lack
        it.
    metrics : mapping of str to float
        The metrics that were named, on the held-out data after the update, if they were measured;
        but the accuracy is ``valid_accuracy``.
    """

    step: int
    epoch: int
    loss: float
    valid_loss: float | None
    valid_accuracy: float | None
    grad_norm: float
    clipped: bool
    skipped: bool
    lr: float
    targets_per_s: float
    seconds: float
    clipped_norm: float | None = None
    clip_angle: float | None = None
    loss_weight: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def bpc(self) -> float | None:
        """The validation loss in bits; for a text, bits per character."""
        return None if self.valid_loss is None else self.valid_loss / math.log(2)

    def _view(self) -> View:
        shown = {name: value for name, value in vars(self).items() if value is not None}
        del shown["metrics"]
        shown |= {_METRIC + name: value for name, value in self.metrics.items()}
        given = [f"{name}={number_text(value, 6)}" for name, value in shown.items()]
        return View(constructor_text("HistoryRow", given))


class History(list[HistoryRow], Shown):
    """A history: a list of rows, of which the first and the last ones are shown."""

    __slots__ = ()

    def _view(self) -> View:
        first, left_out, last = elided(self, 9)
        names = ["step", "epoch", "loss", "valid_loss", "valid_accuracy", "grad_norm", "lr"]
        names = [name for name in names if any(getattr(row, name) is not None for row in self)]
        metrics = metric_names(self)
        rows = [
            [_shown(value) for value in (*(getattr(row, name) for name in names),
                                         *(row.metrics.get(name) for name in metrics))]
            for row in (*first, *last)
        ]  # fmt: skip
        names += [_METRIC + name for name in metrics]
        if left_out:
            rows.insert(len(first), ["..."] * len(names))
        return View(f"History: {counted(len(self), 'row')}", (Table(names, rows),))

    def __repr__(self) -> str:
        return Shown.__repr__(self)


def _shown(value: Any) -> str:
    return "" if value is None else number_text(value)


COLUMNS = tuple(f.name for f in fields(HistoryRow) if f.name != "metrics")
_METRIC = "valid_"  # begins the name of a metric's column
LATER = ("clipped_norm", "clip_angle", "loss_weight")  # columns that are missing from older files
_WIDTHS = [len(COLUMNS) - k for k in (0, 1, len(LATER))]  # numbers of columns of files, old and new


def _cells(row: HistoryRow, metrics: Iterable[str]) -> list[str]:
    values = {name: getattr(row, name) for name in COLUMNS}
    values |= {"clipped": int(row.clipped), "skipped": int(row.skipped)}
    values |= {"targets_per_s": f"{row.targets_per_s:.0f}", "seconds": f"{row.seconds:.3f}"}
    measured = (row.metrics.get(name) for name in metrics)
    return ["" if value is None else str(value) for value in (*values.values(), *measured)]


def _row(cells: Mapping[str, str], before: HistoryRow | None, metrics: Iterable[str]) -> HistoryRow:
    row = HistoryRow(
        step=int(cells["step"]),
        epoch=int(cells["epoch"]),
        loss=float(cells["loss"]),
        valid_loss=float(cells["valid_loss"]) if cells["valid_loss"] else None,
        valid_accuracy=float(cells["valid_accuracy"]) if cells["valid_accuracy"] else None,
        grad_norm=float(cells["grad_norm"]),
        clipped=bool(("0", "1").index(cells["clipped"])),
        skipped=bool(("0", "1").index(cells["skipped"])),
        lr=float(cells["lr"]),
        targets_per_s=float(cells["targets_per_s"]),
        seconds=float(cells["seconds"]),
        **{name: float(cells[name]) for name in LATER if cells.get(name)},
        metrics={name: float(cell) for name in metrics if (cell := cells[_METRIC + name])},
    )
    least = (1, 1) if before is None else (before.step + 1, before.epoch)
    if not least[0] <= row.step < 2**53:
        raise ValueError(f"step {row.step} where at least {least[0]} follows")
    if not least[1] <= row.epoch < 2**53:
        raise ValueError(f"epoch {row.epoch} where at least {least[1]} follows")
    return row


def read_history(path: str | Path) -> list[HistoryRow]:
    """Read a history file.

    Parameters
    ----------
    path : str or Path
        ``history.csv`` of a run. An incomplete last line (of a killed run) is ignored.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not a history file, or is too large.
    """
    where = "read_history"
    found = csv_rows(path, where, whole_lines=True)
    names = tuple(next(found, (0, []))[1])
    width = next((k for k in _WIDTHS if names[:k] == COLUMNS[:k]), 0)
    further = names[width:]
    extra = all(name.startswith(_METRIC) for name in further) and len({*names}) == len(names)
    if not width or not extra:
        text = f"the columns {','.join(COLUMNS)} in {str(path)!r}"
        got = ",".join(names)[:200] or "none"
        raise ValueError(message(where, "path", text, got))
    metrics = [name.removeprefix(_METRIC) for name in further]
    rows = list[HistoryRow]()
    for number, cells in found:
        try:
            if len(cells) not in (len(names), *_WIDTHS[1:]):
                raise ValueError(f"{len(cells)} cells")
            named = dict(zip(names, cells, strict=False))
            rows.append(_row(named, rows[-1] if rows else None, metrics))
        except ValueError as error:
            refuse_line(path, number, where, "the numbers of an update", str(error)[:200])
    return rows


def open_history(
    path: str | Path, rows: Iterable[HistoryRow] = (), metrics: Sequence[str] = ()
) -> Growing[HistoryRow]:
    """Replace a history file by the rows so far and return it, open for further rows.

    Parameters
    ----------
    path : str or Path
    rows : iterable of HistoryRow
    metrics : sequence of str
        Names of the metrics that have columns.
    """
    head = csv_bytes([[*COLUMNS, *(_METRIC + name for name in metrics)]])

    def line(row: HistoryRow) -> bytes:
        return csv_bytes([_cells(row, metrics)])

    return Growing(path, rows, line, "open_history", head=head, delay=1.0)


def metric_names(rows: Iterable[HistoryRow]) -> list[str]:
    """Return the names of the metrics in a history."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics))


class EpochSums:
    """Sums over the updates of an epoch, to which rows are added one by one.

    Parameters
    ----------
    epoch : int
        Number of the epoch.
    """

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        self._counted = self._clipped = self._skipped = 0
        self._loss = self._grad_norm = self._plain = self._weight = 0.0

    def add(self, row: HistoryRow) -> None:
        """Add an update of the epoch."""
        if row.skipped or not math.isnan(row.loss):
            self._counted += 1
            weight = math.nan if row.loss_weight is None else row.loss_weight
            self._loss += weight * row.loss
            self._weight += weight
            self._plain += row.loss
            self._grad_norm += row.grad_norm
        self._clipped += row.clipped
        self._skipped += row.skipped

    def means(self) -> dict[str, float]:
        """Return means and numbers, by the names of `HistoryRow`; means of nothing are NaN.

        The loss is weighted by ``loss_weight``, unless a row lacks it.
        """
        n = self._counted
        loss, mass = (self._loss, self._weight) if self._weight > 0 else (self._plain, n)
        return {
            "loss": loss / mass if n else math.nan,
            "grad_norm": self._grad_norm / n if n else math.nan,
            "clipped": self._clipped, "skipped": self._skipped,
        }  # fmt: skip


class Columns(dict[str, npt.NDArray[Any]]):
    """Arrays by name, with the nearest name in the error about an unknown one."""

    def __missing__(self, name: object) -> NoReturn:
        near = nearest(name, self) if isinstance(name, str) else None
        end = f"; did you mean {near!r}?" if near else f"; the names are {', '.join(self)}"
        raise KeyError(f"no {name!r}{end}")


def columns(rows: Sequence[HistoryRow]) -> dict[str, npt.NDArray[Any]]:
    """Return a history as arrays with one value per step.

    Returns
    -------
    dict of ndarray [steps]
        Keyed by the names of ``HistoryRow``, and "valid_" with the names of the metrics; NaN where
        nothing was measured.
    """
    kinds = {"step": np.int64, "epoch": np.int64, "clipped": np.bool_, "skipped": np.bool_}
    nan = math.nan
    found: dict[str, npt.NDArray[Any]] = {
        name: np.array(
            [nan if (value := getattr(row, name)) is None else value for row in rows],
            kinds.get(name, np.float64),
        )
        for name in COLUMNS
    }
    metrics = {
        _METRIC + name: np.array([row.metrics.get(name, nan) for row in rows], np.float64)
        for name in metric_names(rows)
    }
    return Columns(found | metrics)


def epochs(rows: Sequence[HistoryRow]) -> dict[str, npt.NDArray[Any]]:
    """Return a history as arrays with one value per epoch.

    Returns
    -------
    dict of ndarray [epochs]
        The names of `columns`. ``loss`` and ``grad_norm`` are means over the epoch's steps that had
        targets, the loss with the weights ``loss_weight`` if all have one; ``clipped`` and
        ``skipped`` are numbers of steps, and the others are the values of the epoch's last step.
    """
    steps = columns(rows)
    numbers, first = np.unique(steps["epoch"], return_index=True)
    parts = [slice(a, b) for a, b in pairwise([*first.tolist(), len(rows)])]
    result = {name: values[[part.stop - 1 for part in parts]] for name, values in steps.items()}
    sums = [EpochSums() for _ in parts]
    for total, part in zip(sums, parts, strict=True):
        for row in rows[part]:
            total.add(row)
    for name in ("loss", "grad_norm"):
        result[name] = np.array([total.means()[name] for total in sums])
    for name in ("clipped", "skipped"):
        result[name] = np.array([steps[name][part].sum() for part in parts], np.int64)
    return Columns(result | {"epoch": numbers})
