"""The record of a training run: one row per step, a CSV file, a line or bar of progress."""

import csv
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True)
class HistoryRow:
    """What one step of training did.

    Attributes
    ----------
    step : int
        1 for the first.
    loss : float
        Of the step's window before the update, in nats per character.
    bpc : float or None
        Bits per character of the held-out text after the update, where it was measured.
    grad_norm : float
        Global norm of the gradient before clipping.
    clipped, skipped : bool
        The gradient was clipped; it was not finite, so the update was left out.
    lr : float
        Learning rate.
    chars_per_s : float
        Characters trained on per second of this step.
    seconds : float
        Since the beginning of training, evaluations included, earlier runs included.
    """

    step: int
    loss: float
    bpc: float | None
    grad_norm: float
    clipped: bool
    skipped: bool
    lr: float
    chars_per_s: float
    seconds: float


COLUMNS = tuple(field.name for field in fields(HistoryRow))


def _cells(row: HistoryRow) -> list[str]:
    values = asdict(row)
    values |= {"clipped": int(row.clipped), "skipped": int(row.skipped)}
    values |= {"chars_per_s": f"{row.chars_per_s:.0f}", "seconds": f"{row.seconds:.3f}"}
    return ["" if value is None else str(value) for value in values.values()]


def _row(cells: dict[str, str]) -> HistoryRow:
    return HistoryRow(
        step=int(cells["step"]),
        loss=float(cells["loss"]),
        bpc=float(cells["bpc"]) if cells["bpc"] else None,
        grad_norm=float(cells["grad_norm"]),
        clipped=cells["clipped"] == "1",
        skipped=cells["skipped"] == "1",
        lr=float(cells["lr"]),
        chars_per_s=float(cells["chars_per_s"]),
        seconds=float(cells["seconds"]),
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
    if tuple(reader.fieldnames or ()) != COLUMNS:
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


def summary(rows: Sequence[HistoryRow]) -> dict[str, str]:
    """Give the figures of a run so far, by short names, as texts.

    Loss and norm are of the last step; ``clipped`` is the share of steps; speed is the median of
    the last 50 steps.
    """
    row = rows[-1]
    bpc = next((r.bpc for r in reversed(rows) if r.bpc is not None), None)
    speeds = sorted(r.chars_per_s for r in rows[-50:])
    figures = {"loss": f"{row.loss:.3f}"}
    if bpc is not None:
        figures["bpc"] = f"{bpc:.3f}"
    figures["norm"] = f"{row.grad_norm:.3g}"
    figures["clipped"] = f"{sum(r.clipped for r in rows) / len(rows):.0%}"
    if skipped := sum(r.skipped for r in rows):
        figures["skipped"] = str(skipped)
    figures["chars/s"] = f"{speeds[len(speeds) // 2]:,.0f}"
    return figures


class Progress:
    """Progress on the standard error: a bar where tqdm and a terminal are there, else lines.

    Parameters
    ----------
    total : int
        Steps of the run.
    every : float
        Seconds between lines.
    """

    def __init__(self, total: int, every: float = 3.0, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._every, self._last, self._total = every, -math.inf, total
        self._bar: Any = None
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
                self._bar.set_postfix(summary(rows), refresh=False)
                self._last = now
            self._bar.update(step - self._bar.n)
        elif now - self._last > self._every or step == total:
            figures = "  ".join(f"{name} {text}" for name, text in summary(rows).items())
            print(f"step {step}/{total}  {figures}", file=self._stream, flush=True)
            self._last = now

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
