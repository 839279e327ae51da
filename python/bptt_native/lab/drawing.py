"""Line styles and panels that the figures of the experiments share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plots import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASH, DOT, DASH_DOT = (0, (6, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5))
LINES: tuple[Mapping[str, Any], ...] = (
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": VERMILION, "linestyle": DASH, "marker": "s"},
    {"color": GREEN, "linestyle": DASH_DOT, "marker": "^"},
    {"color": PURPLE, "linestyle": (0, (2, 1)), "marker": "D"},
    {"color": ORANGE, "linestyle": (0, (8, 2)), "marker": "v"},
    {"color": SKY, "linestyle": DOT, "marker": "P"},
    {"color": INK, "linestyle": "-", "marker": "x"},
)
"""Colour, line style and marker of each curve. Any one of them distinguishes the curves."""

BASELINE: Mapping[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": (0, (4, 2))}
"""Style of lines that are not measurements."""


def curve(
    ax: "Axes", x: Sequence[float], runs: Sequence[Sequence[float]], style: Mapping[str, Any],
    label: str | None = None, markers: int = 8,
) -> None:  # fmt: skip
    """Draw the median over the seeds as a line and their range as a band.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : sequence of float [n]
    runs : sequence [seeds] of sequence of float [n]
    style : mapping
        Style of the line, one of `LINES`.
    label : str, optional
    markers : int
        Approximate number of points with a marker.
    """
    values = np.array(runs, np.float64)
    every = max(1, len(x) // markers)
    ax.plot(
        x, np.median(values, axis=0), label=label, linewidth=1.8, markersize=4.5, markevery=every,
        **style,
    )  # fmt: skip
    low, high = values.min(axis=0), values.max(axis=0)
    ax.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)


def level(ax: "Axes", height: float, text: str, *, x: float = 0.99, below: bool = False) -> None:
    """Draw a labelled baseline across a panel."""
    ax.axhline(height, **BASELINE)
    ax.annotate(
        text, (x, height), (0, -3 if below else 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="top" if below else "bottom", color=INK,
        fontsize=8.5, bbox={"boxstyle": "square,pad=0", "fc": "white", "ec": "none", "alpha": 0.8},
    )  # fmt: skip


def panels(width: float, height: float, rows: int, columns: int) -> "tuple[Figure, Any]":
    """Return an empty figure of a size in inches, and its panels [rows, columns]."""
    from ..plots import new_figure

    figure = new_figure(width, height)
    return figure, figure.subplots(rows, columns, squeeze=False)
