"""The record of a training run: one row per step, a CSV file, a line or bar of progress."""

import csv
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class HistoryRow:
    """What one step of training (one update) did.

    Attributes
    ----------
    step, epoch : int
        1 for the first.
    loss : float
        Of the step's batch before the update (text: in nats per character).
    valid_loss, valid_accuracy : float or None
        Of the held-out data after the update, where they were measured.
    grad_norm : float
        Global norm of the gradient before clipping.
    clipped, skipped : bool
        The gradient was clipped; it was not finite, so the update was left out.
    lr : float
        Learning rate.
    targets_per_s : float
        Targets (text: characters) trained on per second of this step.
    seconds : float
        Since the beginning of training, evaluations included, earlier runs included.
    clipped_norm : float or None
        Global norm of the gradient after clipping; None in files from before it was recorded.
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
        """The validation loss in bits: bits per character of a text."""
        return None if self.valid_loss is None else self.valid_loss / math.log(2)


COLUMNS = tuple(field.name for field in fields(HistoryRow))
LATER = ("clipped_norm", "clip_angle")  # columns that older files lack


def _cells(row: HistoryRow) -> list[str]:
    values = asdict(row)
    values |= {"clipped": int(row.clipped), "skipped": int(row.skipped)}
    values |= {"targets_per_s": f"{row.targets_per_s:.0f}", "seconds": f"{row.seconds:.3f}"}
    return ["" if value is None else str(value) for value in values.values()]


def _row(cells: dict[str, str]) -> HistoryRow:
    return HistoryRow(
        step=int(cells["step"]),
        epoch=int(cells["epoch"]),
        loss=float(cells["loss"]),
        valid_loss=float(cells["valid_loss"]) if cells["valid_loss"] else None,
        valid_accuracy=float(cells["valid_accuracy"]) if cells["valid_accuracy"] else None,
        grad_norm=float(cells["grad_norm"]),
        clipped=cells["clipped"] == "1",
        skipped=cells["skipped"] == "1",
        lr=float(cells["lr"]),
        targets_per_s=float(cells["targets_per_s"]),
        seconds=float(cells["seconds"]),
        **{name: float(cells[name]) for name in LATER if cells.get(name)},
    )


def read_history(path: str | Path) -> list[HistoryRow]:
    """Read a history file.

    Parameters
    ----------
    path : str or Path
        ``history.csv`` of a run. A last line that was cut short (a killed run) is left out.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not a history file.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        lines = [line for line in file if line.endswith("\n")]
    reader = csv.DictReader(lines)
    if tuple(reader.fieldnames or ()) not in (COLUMNS, COLUMNS[: -len(LATER)]):
        expected, got = ",".join(COLUMNS), ",".join(reader.fieldnames or ())
        text = f"the columns {expected} in {str(path)!r}"
        raise ValueError(f"read_history: argument 'path': expected {text}, got {got or 'none'}")
    try:
        return [_row(cells) for cells in reader]
    except (TypeError, ValueError) as error:
        expected = f"numbers in {str(path)!r}, line {reader.line_num}"
        text = f"read_history: argument 'path': expected {expected}, got {error}"
        raise ValueError(text) from None


class HistoryFile:
    """A history file that grows with the run.

    The file is replaced as a whole by the rows so far (by a new file and a rename, so a crash
    leaves the old file or the new one); further rows are appended.

    Parameters
    ----------
    path : str or Path
    rows : iterable of HistoryRow
        The rows so far.
    """

    def __init__(self, path: str | Path, rows: Iterable[HistoryRow] = ()) -> None:
        self.path = Path(path)
        sibling = self.path.with_name(self.path.name + ".tmp")
        with sibling.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(map(_cells, rows))
            file.flush()
            os.fsync(file.fileno())
        sibling.replace(self.path)
        self._file = self.path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._flushed = time.monotonic()

    def append(self, row: HistoryRow) -> None:
        """Add a row; it reaches the file within a second or with the next ``flush``."""
        self._writer.writerow(_cells(row))
        if time.monotonic() - self._flushed > 1:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        self._file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what was added and close the file."""
        self._file.close()


def columns(rows: Sequence[HistoryRow]) -> dict[str, npt.NDArray[Any]]:
    """Give a history as arrays, one value per step.

    Returns
    -------
    dict of ndarray [steps]
        By the names of ``HistoryRow``; NaN where nothing was measured.
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
    """Give a history as arrays, one value per epoch.

    Returns
    -------
    dict of ndarray [epochs]
        As `columns`: ``loss`` and ``grad_norm`` are means over the epoch's steps (without those
        that had no target), ``clipped`` and ``skipped`` say how many, the rest is that of its last
        step.
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
    """Give the figures of a run so far, by short names, as texts.

    Loss and norm are of the last step; ``clipped`` is the share of steps; speed is the median of
    the last 50 steps. With ``text`` the validation loss is in bits per character.
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
    """Progress on the standard error: a bar where tqdm and a terminal are there, else lines.

    Parameters
    ----------
    total : int
        Steps of the run.
    every : float
        Seconds between lines.
    stream : file, optional
        Instead of the standard error.
    text : bool
        Whether the run's targets are characters; see `summary`.
    """

    def __init__(
        self, total: int, every: float = 3.0, stream: TextIO | None = None, text: bool = False
    ) -> None:
        self._stream, self._text = stream or sys.stderr, text
        self._every, self._last, self._total = every, -math.inf, total
        self._bar: Any = None
        self._unsaid: tuple[Sequence[HistoryRow], int] | None = None
        if self._stream.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=total, unit="step", file=self._stream, dynamic_ncols=True)

    def show(self, rows: Sequence[HistoryRow], total: int) -> None:
        """Show how far the run has come; ``total`` may change on the way."""
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
            self._unsaid = rows, total

    def _write(self, rows: Sequence[HistoryRow], total: int) -> None:
        figures = "  ".join(f"{name} {text}" for name, text in summary(rows, self._text).items())
        print(f"step {rows[-1].step}/{total}  {figures}", file=self._stream, flush=True)
        self._unsaid = None

    def close(self) -> None:
        """Say how far the run has come, if that is still to be said, and end the bar."""
        if self._unsaid is not None:
            self._write(*self._unsaid)
        if self._bar is not None:
            self._bar.close()
