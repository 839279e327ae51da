"""Charts of a run: dots for each peer, with the percentage of the peak or the time on the axis."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import results
from peers import PEERS
from report import OURS, Table, best, by_item
from results import Row

from bptt_native.plots import base

STYLES: dict[str, dict[str, Any]] = {
    "bptt": {"color": base.VERMILION, "marker": "o"},
    "bptt-bf16": {"color": base.VERMILION, "marker": "o", "markerfacecolor": "none"},
    "bptt-1": {"color": base.VERMILION, "marker": "<", "markerfacecolor": "none"},
    "bptt-narrow-bf16": {"color": base.VERMILION, "marker": "p", "markerfacecolor": "none"},
    "bptt-narrow-int8": {"color": base.VERMILION, "marker": "*", "markerfacecolor": "none"},
    "onednn": {"color": base.BLUE, "marker": "s"},
    "torch": {"color": base.GREEN, "marker": "^"},
    "torch-bf16": {"color": base.GREEN, "marker": "^", "markerfacecolor": "none"},
    "jax": {"color": base.PURPLE, "marker": "D"},
    "numpy": {"color": base.ORANGE, "marker": "v"},
    "onnxruntime": {"color": base.INK, "marker": "X"},
}
TITLES = {
    "train": "Training step", "train-fixed": "Training step, weights fixed", "infer": "Inference",
    "step": "One streaming step", "lm": "Character model", "minchar": "min-char-rnn",
}  # fmt: skip
UNITS = {"lm": ("ms", 1.0), "train": ("ms", 1.0), "train-fixed": ("ms", 1.0), "infer": ("ms", 1.0)}
ROW = 0.46  # height of an item in inches
COLOURS = 64  # of the pictures, which makes their files small


class Scale(NamedTuple):
    """The quantity on the axis, and its label."""

    value: Callable[[Row, float], float]  # of a row, for a time in ms
    label: str
    end: float = math.nan  # of an axis of percentages

    @property
    def percent(self) -> bool:
        """Whether it is the percentage of the peak."""
        return math.isfinite(self.end)


def scale_of(job: str, rows: list[Row]) -> Scale:
    """Return the scale of a job: the percentage of the peak if it is known for whole layers."""
    percents = [row.percent_of_peak for row in rows]
    if job in ("train", "train-fixed", "infer") and all(map(math.isfinite, percents)):
        label = "% of the peak of multiply-adds"
        end = max(100.0, 1.04 * max(percents))  # above 100: of another instruction set
        return Scale(lambda row, ms: row.percent_of_peak * row.ms / ms, label, end)
    unit, factor = UNITS.get(job, ("µs", 1e3))
    each = "update" if job in ("lm", "minchar") else "step"
    return Scale(lambda _, ms: factor * ms, f"{unit} per {each}, logarithmic")


def dots(axis: Any, table: Table, names: list[str], scale: Scale) -> None:
    """Draw medians as dots and quartiles as lines, with a row for each item of `table`."""
    for k, name in enumerate(names):
        shift = 0.74 * ((k + 0.5) / len(names) - 0.5)
        style = STYLES[name]
        for place, found in enumerate(table.values()):
            if name in found:
                row = found[name]
                middle, *ends = (scale.value(row, ms) for ms in (row.ms, row.q1_ms, row.q3_ms))
                axis.plot(ends, [place + shift] * 2, color=style["color"], linewidth=1)
                axis.plot(middle, place + shift, linestyle="", markersize=4, label=name, **style)
                if name == OURS:
                    axis.annotate(
                        f"{middle:.0f}" if scale.percent else f"{middle:#.3g}".rstrip("."),
                        (1, place), (4, 0), xycoords=("axes fraction", "data"),
                        textcoords="offset points", va="center", fontsize=base.NOTE,
                        color=base.ink_of(style["color"]),
                    )  # fmt: skip
    axis.set_yticks(range(len(table)), [key[2] for key in table])
    axis.set_ylim(len(table) - 0.5, -0.5)
    if scale.percent:
        axis.set_xlim(-3, scale.end)
    else:
        base.log_axis(axis, "x")


def finding(job: str, table: Table) -> str:
    """Return in how many items ours has the shortest median."""
    others = [(found[OURS].ms, best(found)) for found in table.values()]
    compared = [(ours, other) for ours, other in others if other is not None]
    if not compared:
        return TITLES[job]
    first = sum(ours <= other for ours, other in compared)
    text = f"{TITLES[job]}: bptt_native is {'' if first else 'not '}the fastest"
    return text + f" in {first} of {len(compared)} cases" * (len(compared) > 1 and first > 0)


def draw(path: Path, job: str, rows: list[Row], header: dict[str, str]) -> None:
    """Draw the chart of one job, with a panel for each cell."""
    rows = [row for row in rows if row.job == job]
    table = by_item(rows)
    present = {name for found in table.values() for name in found}
    names = [name for name in STYLES if name in present]
    cells = list(dict.fromkeys(key[1] for key in table))
    scale = scale_of(job, rows)
    longest = max(sum(key[1] == cell for key in table) for cell in cells)
    figure = base.new_figure(base.TWO_COLUMNS, 1.65 + ROW * longest)
    axes = figure.subplots(1, len(cells), squeeze=False)[0]
    for axis, cell in zip(axes, cells, strict=True):
        part = {key: found for key, found in table.items() if key[1] == cell}
        dots(axis, part, names, scale)
        base.dress(axis, cell.upper(), scale.label, "")
        axis.grid(visible=False, axis="y")
        for edge in range(1, longest):
            axis.axhline(edge - 0.5, color=base.PALE, linewidth=0.5)
        axis.tick_params(axis="y", length=0)
        if axis is not axes[0]:
            axis.set_yticklabels([])
    threads = header["threads"] + (" threads" if header["threads"] != "1" else " thread")
    where = f"{header['cpu']}, {header['isa']}, {threads}, {header['dtype']}"
    figure.suptitle(finding(job, table), x=0.01, ha="left", fontsize=base.TITLE + 0.5,
                    fontweight="bold", color=base.INK)  # fmt: skip
    handles = [line for name in names for line in axes[0].lines if line.get_label() == name]
    first = list({line.get_label(): line for line in handles}.values())
    for line in first:
        line.set_label(PEERS[line.get_label()].label)
    note = f"{where}; medians and quartiles; the numbers are those of bptt_native"
    base.figure_legend(figure, first, min(len(first), 6), note)
    base.save_figure(figure, path, colours=COLOURS)


def draw_all(folder: Path, stem: str, rows: list[Row], header: dict[str, str]) -> None:
    """Draw the charts of all jobs of a run."""
    for job in dict.fromkeys(row.job for row in rows):
        draw(folder / f"{stem}-{job}.png", job, rows, header)


def main(arguments: list[str]) -> int:
    """Draw the charts of kept results again."""
    parser = argparse.ArgumentParser(prog="benchmarks draw", description=main.__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER",
                        help="folders of results; default: all of benchmarks/results")  # fmt: skip
    folders = parser.parse_args(arguments).folders or sorted(results.KEPT.iterdir())
    for folder in folders:
        for path in sorted(folder.glob("*.csv")):
            header, rows = results.read(path)
            draw_all(folder, path.stem, rows, header)
            print(f"drawn: {folder / path.stem}-*.png")
    return 0
