"""History of a training run: one row per step, its CSV file, and the display of progress."""

import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import numpy.typing as npt

from ..arguments.values import message
from ..nn.network import Network
from ..options.losses import loss_of
from ..runtime.files import Growing, csv_bytes, csv_rows, refuse_line
from ..runtime.standard_error import messages


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


@dataclass(frozen=True)
class HistoryRow:
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

    @property
    def bpc(self) -> float | None:
        """The validation loss in bits; for a text, bits per character."""
        return None if self.valid_loss is None else self.valid_loss / math.log(2)


COLUMNS = tuple(field.name for field in fields(HistoryRow))
LATER = ("clipped_norm", "clip_angle")  # columns that are missing from older files


def _cells(row: HistoryRow) -> list[str]:
    values = asdict(row)
    values |= {"clipped": int(row.clipped), "skipped": int(row.skipped)}
    values |= {"targets_per_s": f"{row.targets_per_s:.0f}", "seconds": f"{row.seconds:.3f}"}
    return ["" if value is None else str(value) for value in values.values()]


def _row(cells: Mapping[str, str], before: HistoryRow | None) -> HistoryRow:
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
    if names not in (COLUMNS, COLUMNS[: -len(LATER)]):
        text = f"the columns {','.join(COLUMNS)} in {str(path)!r}"
        got = ",".join(names)[:200] or "none"
        raise ValueError(message(where, "path", text, got))
    rows = list[HistoryRow]()
    for number, cells in found:
        try:
            if len(cells) not in (len(COLUMNS), len(COLUMNS) - len(LATER)):
                raise ValueError(f"{len(cells)} cells")
            named = dict(zip(names, cells, strict=False))
            rows.append(_row(named, rows[-1] if rows else None))
        except ValueError as error:
            refuse_line(path, number, where, "the numbers of an update", str(error)[:200])
    return rows


def open_history(path: str | Path, rows: Iterable[HistoryRow] = ()) -> Growing[HistoryRow]:
    """Replace a history file by the rows so far and return it, open for further rows."""
    head = csv_bytes([COLUMNS])
    return Growing(path, rows, _line, "open_history", head=head, delay=1.0)


def _line(row: HistoryRow) -> bytes:
    return csv_bytes([_cells(row)])


def columns(rows: Sequence[HistoryRow]) -> dict[str, npt.NDArray[Any]]:
    """Return a history as arrays with one value per step.

    Returns
    -------
    dict of ndarray [steps]
        Keyed by the names of ``HistoryRow``; NaN where nothing was measured.
    """
    kinds = {"step": np.int64, "epoch": np.int64, "clipped": np.bool_, "skipped": np.bool_}
    nan = math.nan
    return {
        name: np.array(
            [nan if (value := getattr(row, name)) is None else value for row in rows],
            kinds.get(name, np.float64),
        )
        for name in COLUMNS
    }


def epochs(rows: Sequence[HistoryRow]) -> dict[str, npt.NDArray[Any]]:
    """Return a history as arrays with one value per epoch.

    Returns
    -------
    dict of ndarray [epochs]
        The names of `columns`. ``loss`` and ``grad_norm`` are means over the epoch's steps that had
        targets, ``clipped`` and ``skipped`` are numbers of steps, and the others are the values of
        the epoch's last step.
    """
    steps = columns(rows)
    numbers, first = np.unique(steps["epoch"], return_index=True)
    parts = [slice(a, b) for a, b in pairwise([*first.tolist(), len(rows)])]
    result = {name: values[[part.stop - 1 for part in parts]] for name, values in steps.items()}
    counted = ~np.isnan(steps["loss"]) | steps["skipped"]
    for name in ("loss", "grad_norm"):
        chosen = [steps[name][part][counted[part]] for part in parts]
        result[name] = np.array([values.mean() if values.size else math.nan for values in chosen])
    for name in ("clipped", "skipped"):
        result[name] = np.array([steps[name][part].sum() for part in parts], np.int64)
    return result | {"epoch": numbers}


def summary(rows: Sequence[HistoryRow], text: bool = False) -> dict[str, str]:
    """Return the key figures of a run so far as texts, by short names.

    Loss and norm are those of the last step, ``clipped`` is the share of steps, and the speed is
    the median of the last 50 steps. With ``text`` the validation loss is in bits per character.
    """
    row = rows[-1]
    measured = next((r for r in reversed(rows) if r.valid_loss is not None), None)
    speeds = sorted(r.targets_per_s for r in rows[-50:])
    figures = {"loss": f"{row.loss:.3f}" if text else f"{row.loss:.4g}"}
    if measured is not None and text:
        figures["bpc"] = f"{measured.bpc:.3f}"
    elif measured is not None:
        figures["valid"] = f"{measured.valid_loss:.4g}"
        if measured.valid_accuracy is not None:
            figures["accuracy"] = f"{measured.valid_accuracy:.2%}"
    figures["norm"] = f"{row.grad_norm:.3g}"
    figures["clipped"] = f"{sum(r.clipped for r in rows) / len(rows):.0%}"
    if skipped := sum(r.skipped for r in rows):
        figures["skipped"] = str(skipped)
    figures["chars/s" if text else "targets/s"] = f"{speeds[len(speeds) // 2]:,.0f}"
    return figures


class Progress:
    """Display of progress: a bar if tqdm is installed and the stream is a terminal, else lines.

    Parameters
    ----------
    total : int
        Number of steps of the run.
    every : float
        Seconds between lines.
    stream : file, optional
        The default is the standard error.
    text : bool
        Whether the run's targets are characters; see `summary`.
    """

    def __init__(
        self, total: int, every: float = 3.0, stream: TextIO | None = None, text: bool = False
    ) -> None:
        self._stream: TextIO = stream or messages(sys.stderr)
        self._text = text
        self._every, self._last, self._total = every, -math.inf, total
        self._bar: Any = None
        self._unshown: tuple[Sequence[HistoryRow], int] | None = None
        if self._stream.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=total, unit="step", file=self._stream, dynamic_ncols=True)

    def show(self, rows: Sequence[HistoryRow], total: int) -> None:
        """Show the progress of the run; ``total`` may change during the run."""
        now, step = time.monotonic(), rows[-1].step
        if self._bar is not None:
            if self._bar.n == 0:  # a resumed run does not begin at 0
                self._bar.initial = self._bar.n = step - 1
            self._bar.total = total
            if now - self._last > 0.2 or step == total:
                self._bar.set_postfix(summary(rows, self._text), refresh=False)
                self._last = now
            self._bar.update(step - self._bar.n)
        elif now - self._last > self._every or step == total:
            self._write(rows, total)
            self._last = now
        else:
            self._unshown = rows, total

    def _write(self, rows: Sequence[HistoryRow], total: int) -> None:
        figures = "  ".join(f"{name} {text}" for name, text in summary(rows, self._text).items())
        print(f"step {rows[-1].step}/{total}  {figures}", file=self._stream, flush=True)
        self._unshown = None

    def close(self) -> None:
        """Show the last progress, if it has not been shown, and close the bar."""
        if self._unshown is not None:
            self._write(*self._unshown)
        if self._bar is not None:
            self._bar.close()
