"""Figure of a range test of learning rates."""

from typing import TYPE_CHECKING

import numpy as np

from ..arguments.values import refuse_type
from ..training.lr_finder import RangeTest
from .base import BLUE, PALE, REFERENCE, VERMILION, axes_of, dress, label_lines, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_lr_finder(found: RangeTest, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the losses of a range test by the learning rate, and the suggested rate.

    Parameters
    ----------
    found : RangeTest
        The result of `find_lr`.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        ``found`` is something else.

    Examples
    --------
    >>> from bptt_native import plots
    >>> lr = np.geomspace(1e-4, 1, 5)
    >>> loss = np.array([1.0, 0.9, 0.5, 0.4, 3.0])
    >>> plots.plot_lr_finder(bn.RangeTest(lr, loss, loss, 1e-2, True)).get_ylabel()
    'loss (grey: of each batch)'
    """
    if not isinstance(found, RangeTest):
        refuse_type(found, "plot_lr_finder", "found", "the result of find_lr")
    ax = axes_of(ax, "plot_lr_finder")
    lr, loss, smoothed = found.lr, found.loss, found.smoothed
    ax.plot(lr, loss, color=PALE, linewidth=0.5)
    lines = ax.plot(lr, smoothed, color=BLUE, linewidth=1.3, label="smoothed")
    low, start = float(smoothed.min()), float(smoothed[: max(1, len(smoothed) // 10)].max())
    high = start + 0.35 * max(start - low, 0.05 * abs(start), 1e-12)  # divergence leaves the axes
    ax.set_ylim(low - 0.1 * (high - low), high)
    ax.set_xlim(lr[0], max(lr[-1], lr[0] * 1.01))
    log_axis(ax, "x")
    title = "No learning rate lowers the loss"
    if found.suggestion is not None:
        at = float(np.interp(np.log(found.suggestion), np.log(lr), smoothed))
        ax.axvline(found.suggestion, **{**REFERENCE, "color": VERMILION})
        ax.plot([found.suggestion], [at], "o", color=VERMILION, markersize=4)
        title = f"The loss falls fastest at a learning rate of {found.suggestion:.2g}"
    label_lines(ax, lines)
    dress(ax, title, "learning rate, logarithmic", "loss (grey: of each batch)")
    return ax
