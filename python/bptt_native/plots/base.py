"""Colours, axes, legends and heat maps that the figures share.

The colours are those of Okabe & Ito, which can be distinguished without colour vision. Every curve
also has a distinct line style and a label. The colour maps are viridis and cividis.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..diagnostics import Norms
from ..runtime.files import replace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, PALE = "#222222", "#6b6b6b", "#c9c9c9"
VERMILION, ORANGE, GREEN, BLUE, SKY, PURPLE = (
    "#d55e00", "#e69f00", "#009e73", "#0072b2", "#56b4e9", "#cc79a7"
)  # fmt: skip
STYLES: tuple[tuple[str, Any], ...] = (
    (VERMILION, "-"), (ORANGE, (0, (6, 1.5))), (GREEN, (0, (6, 1.5, 1, 1.5))), (BLUE, "-"),
    (PURPLE, (0, (2, 1))), (SKY, (0, (1, 1))),
)  # fmt: skip
BOX = {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches, without a window."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        text = "bptt_native.plots needs matplotlib: pip install 'bptt_native[plot]'"
        raise ImportError(text) from error
    return Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure in the format of the file name's suffix (see ``files.replace``)."""
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix[1:] or "png")
    replace(path, picture.getvalue(), "save_figure")


def dress(ax: "Axes", title: str, x: str, y: str) -> None:
    """Set the title and labels of axes, add a grid, and remove needless lines."""
    ax.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=INK, pad=10)
    ax.set_xlabel(x, fontsize=10.5, color=INK)
    ax.set_ylabel(y, fontsize=10.5, color=INK)
    ax.grid(visible=True, color="#ececec", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    ax.tick_params(colors=GREY, labelsize=9.5)


def tick(ax: "Axes", at: tuple[float, ...]) -> None:
    """Set plain numbers as ticks of a logarithmic axis: ``at`` times the powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.yaxis.set_major_locator(LogLocator(subs=at))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def smooth(values: Norms) -> Norms:
    """Average over a window of a fiftieth of the run, narrower at its ends."""
    reach, n = max(1, len(values) // 100), len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    near = np.minimum(reach, np.minimum(np.arange(n), n - 1 - np.arange(n)))
    mean: Norms = (sums[np.arange(n) + near + 1] - sums[np.arange(n) - near]) / (2 * near + 1)
    return mean


def legend(ax: "Axes", **options: Any) -> None:
    """Add a legend to axes, in the common style."""
    look = {"framealpha": 0.85, "edgecolor": "none", "facecolor": "white", "fontsize": 9.5}
    ax.legend(**{**look, "labelcolor": INK, **options})


def heat_map(
    ax: "Axes", values: Any, extent: tuple[float, float, float, float], label: str, *,
    low: float, high: float, origin: str = "lower",
) -> None:  # fmt: skip
    """Draw positive numbers as colours on a logarithmic scale, with a colour bar.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : float [rows, columns]
        Numbers below ``low`` have its colour; those that are not finite stay white.
    extent : tuple of float
        Left, right, bottom and top of the map.
    label : str
        Label of the colour bar.
    low, high : float
        Ends of the scale.
    origin : str
        Place of row 0, "lower" or "upper".
    """
    from matplotlib.colors import LogNorm

    numbers = np.asarray(values, np.float64)
    shown = np.ma.masked_invalid(np.where(numbers < low, low, numbers))
    scale: Any = LogNorm(low, high)
    image = ax.imshow(
        shown, aspect="auto", origin="lower" if origin == "lower" else "upper", extent=extent,
        norm=scale, cmap="viridis", interpolation="nearest",
    )  # fmt: skip
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label(label, fontsize=10.5, color=INK)
    bar.ax.tick_params(colors=GREY, labelsize=9.5)
    bar.outline.set_edgecolor(PALE)
