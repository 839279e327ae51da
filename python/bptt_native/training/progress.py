"""Display of the progress of a run: a bar, or lines."""

import math
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TextIO

from ..arguments.values import integer
from ..runtime.standard_error import messages
from .callbacks import Callback, Run
from .history import HistoryRow

WIDTH = 77  # columns of a terminal that does not tell its width; bars are two columns wider there


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
        figures |= _held_out(measured)
    figures["norm"] = f"{row.grad_norm:.3g}"
    figures["clipped"] = f"{sum(r.clipped for r in rows) / len(rows):.0%}"
    if skipped := sum(r.skipped for r in rows):
        figures["skipped"] = str(skipped)
    figures["chars/s" if text else "targets/s"] = f"{speeds[len(speeds) // 2]:,.0f}"
    return figures


def _held_out(row: HistoryRow) -> dict[str, str]:
    """Return the measurements of a row as texts, by short names."""
    figures = {"valid": f"{row.valid_loss:.4g}"}
    if row.valid_accuracy is not None:
        figures["accuracy"] = f"{row.valid_accuracy:.2%}"
    return figures | {name: f"{value:.4g}" for name, value in row.metrics.items()}


def _short(number: float) -> str:
    """Return a number of targets per second in at most four characters."""
    power = max(k for k in range(4) if k == 0 or number >= 999.5 * 1000 ** (k - 1))
    scaled = number / 1000**power
    digits = 1 if power and scaled < 9.95 else 0
    return f"{scaled:.{digits}f}{'kMG'[power - 1] if power else ''}"


def bar_text(rows: Sequence[HistoryRow], text: bool = False, width: int = 40) -> str:
    """Return the figures of `summary` for the end of a bar, as many as fit into a width.

    Parameters
    ----------
    rows : sequence of HistoryRow
    text : bool
        Whether the targets are characters.
    width : int
        The largest number of characters.
    """
    figures = summary(rows, text)
    speed = float(figures.pop("chars/s" if text else "targets/s").replace(",", ""))
    line = ""
    for name, value in (figures | {"": f"{_short(speed)}/s"}).items():
        if name == "accuracy":
            name, value = "acc", f"{float(value.rstrip('%')):.1f}%"
        longer = f"{line}, {name} {value}".strip(", ")
        if len(longer) <= width and (name, value) != ("clipped", "0%"):
            line = longer.replace(",  ", ", ")
    return line


def _in_notebook() -> bool:
    """Return whether the program runs in a notebook, which shows a bar of its own."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return type(found).__name__ == "ZMQInteractiveShell"


class Progress:
    """Display of progress: a bar of tqdm on a terminal or in a notebook, else lines.

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
        notebook = stream is None and _in_notebook()
        if notebook or self._stream.isatty():
            where = {} if notebook else {"file": self._stream, "dynamic_ncols": True}
            try:
                tqdm = import_module("tqdm.auto" if notebook else "tqdm").tqdm
            except ImportError:
                return
            form = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}"
            self._bar = tqdm(total=total, bar_format=form, **where)

    def show(self, rows: Sequence[HistoryRow], total: int) -> None:
        """Show the progress of the run; ``total`` may change during the run."""
        now, step = time.monotonic(), rows[-1].step
        if self._bar is not None:
            if self._bar.n == 0:  # a resumed run does not begin at 0
                self._bar.initial = self._bar.n = step - 1
            self._bar.total = total
            if now - self._last > 0.2 or step == total:
                wide = int(getattr(self._bar, "ncols", None) or WIDTH)
                rest = 2 * len(str(total)) + 30  # percentage, eight columns of bar, numbers, times
                line = bar_text(rows, self._text, max(8, wide - rest))
                self._bar.set_postfix_str(line, refresh=False)
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


class _Bar(Callback):
    """A callback that shows the progress of a run by a bar, or by a line every few seconds."""

    def __init__(self) -> None:
        self._shown: Progress | None = None

    def on_update_end(self, run: Run) -> None:
        self._shown = self._shown or Progress(run.steps)
        self._shown.show(run.history, run.steps)

    def on_train_end(self, run: Run) -> None:
        if self._shown is not None:
            self._shown.close()


class _Lines(Callback):
    """A callback that prints a line after each epoch."""

    def on_epoch_end(self, run: Run) -> None:
        logs, row = run.logs, run.history[-1]
        figures = {"loss": f"{logs['loss']:.4g}"}
        if row.valid_loss is not None:
            figures |= _held_out(row)
        figures["norm"] = f"{logs['grad_norm']:.3g}"
        for name in ("clipped", "skipped"):
            if logs[name]:
                figures[name] = f"{logs[name]:.0f}"
        line = "  ".join(f"{name} {text}" for name, text in figures.items())
        begin, stream = f"epoch {run.epoch}/{run.epochs}", messages(sys.stderr)
        print(f"{begin}  {line}  {run.seconds:.1f} s", file=stream, flush=True)


def shown_by(verbose: object, where: str) -> list[Callback]:
    """Return the callbacks that show the progress of a run.

    Parameters
    ----------
    verbose : int
        0: none. 1: a bar on a terminal or in a notebook, else a line every few seconds. 2: a line
        after each epoch.
    where : str
        The function, for messages.

    Raises
    ------
    TypeError, ValueError
        If `verbose` is something else.
    """
    level = int(verbose) if isinstance(verbose, bool) else integer(verbose, where, "verbose", 0, 2)
    made: list[list[Callback]] = [[], [_Bar()], [_Lines()]]
    return made[level]
