"""Line styles, curves and panels that the figures of the experiments share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plots.base import COLOURS, LINES, REFERENCE, TWO_COLUMNS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES: tuple[Mapping[str, Any], ...] = tuple(
    {"color": colour, "linestyle": line, "marker": marker}
    for colour, line, marker in zip(COLOURS, LINES, MARKERS, strict=False)
)
"""Colour, line style and marker of each curve. Any one of them distinguishes the curves."""


def curve(
    ax: "Axes", x: Sequence[float], runs: Sequence[Sequence[float]], style: Mapping[str, Any],
    label: str, markers: int = 8,
) -> "Line2D":  # fmt: skip
    """Draw the median over the seeds as a line and their range as a band; return the line.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : sequence of float [n]
    runs : sequence [seeds] of sequence of float [n]
    style : mapping
        Style of the line, for example one of `STYLES`.
    label : str
    markers : int
        Approximate number of points with a marker.
    """
    values = np.array(runs, np.float64)
    every = max(1, len(x) // markers)
    (line,) = ax.plot(
        x, np.median(values, axis=0), label=label, linewidth=1.3, markersize=3.2, markevery=every,
        **style,
    )  # fmt: skip
    low, high = values.min(axis=0), values.max(axis=0)
    ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    return line


def seeds_row(
    ax: "Axes", values: Sequence[float], height: float, style: Mapping[str, Any], size: float = 5.5
) -> None:
    """Draw the results of the seeds as marks in a row."""
    ax.plot(values, [height] * len(values), style["marker"], color=style["color"],
            markersize=size, markeredgewidth=0.4, markeredgecolor="white")  # fmt: skip


def rows_of(ax: "Axes", names: Sequence[str]) -> None:
    """Name the rows of axes from the top down, the first at height 0."""
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)


def level(ax: "Axes", height: float) -> None:
    """Draw a line for a value that is not measured."""
    ax.axhline(height, **REFERENCE)


def panels(height: float, rows: int, columns: int, *, aligned: bool = True) -> "tuple[Figure, Any]":
    """Return an empty figure of two columns' width, and its panels [rows, columns].

    Parameters
    ----------
    height : float
        The height in inches.
    rows, columns : int
    aligned : bool
        Whether the panels of a column have the same left and right sides.
    """
    figure = new_figure(TWO_COLUMNS, height)
    if not aligned:
        cells = figure.subfigures(rows, columns, squeeze=False, wspace=0.01, hspace=0.01)
        return figure, np.array([[cell.subplots() for cell in row] for row in cells])
    parts = figure.subfigures(1, columns, squeeze=False, wspace=0.01)[0]
    axes = [part.subplots(rows, 1, squeeze=False)[:, 0] for part in parts]
    return figure, np.array(axes).T
