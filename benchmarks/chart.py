"""Bar charts of a run: percent of peak for whole sequences, times for steps and updates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from peers import PEERS
from report import OURS, Table, by_item
from results import Row

COLOURS = {
    "bptt": "#c1121f", "bptt-bf16": "#6a040f", "bptt-1": "#e5989b", "onednn": "#1d3557",
    "torch": "#457b9d", "jax": "#2a9d8f", "numpy": "#e9c46a", "onnxruntime": "#8d99ae",
    "torch-bf16": "#a8c5da", "bptt-c": "#f4a261", "bptt-model": "#e76f51",
    "bptt-narrow-bf16": "#b5838d", "bptt-narrow-int8": "#6d6875",
}  # fmt: skip
TITLES = {
    "train": "Training step", "train-fixed": "Training step, weights fixed", "infer": "Inference",
    "step": "One streaming step", "lm": "Character model, one update",
    "minchar": "min-char-rnn, one update",
}  # fmt: skip


def bars(
    axis: plt.Axes, table: Table, names: list[str], value: Callable[[Row], float], form: str
) -> None:
    """Draw a group of bars for each item of `table`, with the values of ours above them."""
    width = 0.85 / len(names)
    for k, name in enumerate(names):
        places = [i for i, found in enumerate(table.values()) if name in found]
        heights = [value(found[name]) for found in table.values() if name in found]
        offsets = [i + (k - (len(names) - 1) / 2) * width for i in places]
        drawn = axis.bar(offsets, heights, width, color=COLOURS[name], label=PEERS[name].label)
        if name == OURS:
            axis.bar_label(drawn, fmt=form, fontsize=8, padding=1)
    axis.set_xticks(range(len(table)), [key[2] for key in table])
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)


def draw(path: Path, job: str, rows: list[Row], header: dict[str, str]) -> None:
    """Draw the chart of one job, with a panel for each cell."""
    table = by_item(row for row in rows if row.job == job)
    present = {name for found in table.values() for name in found}
    names = [name for name in COLOURS if name in present and name not in ("bptt-c", "bptt-model")]
    cells = list(dict.fromkeys(key[1] for key in table))
    whole = job in ("train", "train-fixed", "infer")
    figure, axes = plt.subplots(
        len(cells), 1, figsize=(9, 1.2 + 2.6 * len(cells)), layout="constrained", squeeze=False
    )
    for axis, cell in zip(axes[:, 0], cells, strict=True):
        part = {key: found for key, found in table.items() if key[1] == cell}
        axis.set_title(cell.upper(), loc="left", fontsize=11, fontweight="bold")
        if whole:
            bars(axis, part, names, lambda row: row.percent_of_peak, "%.0f")
            axis.set_ylim(0, 105)
            axis.set_ylabel("% of FMA peak")
        elif job == "lm":
            bars(axis, part, names, lambda row: row.ms, "%.3g")
            axis.set_ylabel("ms")
        else:
            bars(axis, part, names, lambda row: 1e3 * row.ms, "%.3g")
            axis.set_yscale("log")
            axis.set_ylabel("µs, logarithmic")
    threads = header["threads"] + (" threads" if header["threads"] != "1" else " thread")
    figure.suptitle(f"{TITLES[job]}: {header['cpu']}, {header['isa']}, {threads}, "
                    f"{header['dtype']}", fontsize=11)  # fmt: skip
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=min(len(names), 6), frameon=False)  # fmt: skip
    figure.savefig(path, dpi=130)
    plt.close(figure)
