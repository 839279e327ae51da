"""Figures of the gradient's norm over training, before and after clipping."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..training.history import HistoryRow, columns
from .base import (
    BLUE,
    BOX,
    GREEN,
    INK,
    PALE,
    STYLES,
    VERMILION,
    dress,
    legend,
    new_figure,
    tick,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_gradient_norm(ax: "Axes", history: Sequence[HistoryRow], clip_norm: float | None) -> None:
    """Draw the gradient's global norm before clipping, the threshold, and the clipped steps."""
    step = np.array([row.step for row in history])
    norm = np.array([row.grad_norm for row in history])
    clipped = np.array([row.clipped for row in history], np.bool_)
    good = np.isfinite(norm) & (norm > 0)
    ax.set_yscale("log")
    for mark, chosen, colour, name in (
        ("o", good & ~clipped, BLUE, "not clipped"), ("^", good & clipped, VERMILION, "clipped")
    ):  # fmt: skip
        ax.plot(
            step[chosen], norm[chosen], mark, color=colour, markersize=3, markeredgewidth=0,
            alpha=0.75, label=f"{name}: {chosen.sum() / max(1, len(step)):.0%} of the steps",
        )  # fmt: skip
    if (~np.isfinite(norm)).any():
        for k, x in enumerate(step[~np.isfinite(norm)]):
            ax.axvline(x, color=INK, linewidth=0.8, label="not finite: skipped" if k == 0 else None)
    if clip_norm is not None:
        ax.axhline(clip_norm, color=INK, linewidth=1.3, linestyle=(0, (5, 2)))
        ax.annotate(
            f"threshold {clip_norm:g}", (0.99, clip_norm), (0, 3),
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", color=INK,
            fontsize=9.5, bbox=BOX,
        )  # fmt: skip
    tick(ax, (1, 2, 3, 5))
    legend(ax, markerscale=2)
    dress(ax, "Gradient norm, before clipping", "step of training", "global norm, logarithmic")


def plot_clipping_angle(ax: "Axes", history: Sequence[HistoryRow]) -> None:
    """Draw the angle by which clipping turned the gradient, in degrees."""
    steps = columns(history)
    angle = np.degrees(steps["clip_angle"])
    ax.plot(steps["step"], angle, "o", color=BLUE, markersize=3, markeredgewidth=0, alpha=0.75)
    largest = float(np.nanmax(angle, initial=0))
    ax.set_ylim(0, max(1.0, 1.1 * largest))
    if largest == 0 and np.isfinite(angle).any():
        ax.text(0.5, 0.5, "0 at all steps: the direction is kept", transform=ax.transAxes,
                ha="center", color=INK, fontsize=10.5)  # fmt: skip
    dress(ax, "Change of direction by clipping", "step of training", "angle (degrees)")


def plot_norm_quantiles(
    ax: "Axes", history: Sequence[HistoryRow], clip_norm: float | None = None, window: int = 200
) -> None:
    """Draw running quantiles of the gradient's norm, and the thresholds of Pascanu et al.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    history : sequence of HistoryRow
    clip_norm : float, optional
        The threshold of the global norm.
    window : int
        Number of steps for a quantile.
    """
    steps = columns(history)
    good = np.isfinite(steps["grad_norm"]) & (steps["grad_norm"] > 0)
    step, norm = steps["step"][good], steps["grad_norm"][good]
    recent = [norm[max(0, k + 1 - window) : k + 1] for k in range(len(norm))]
    ax.set_yscale("log")
    for (colour, style), q, name in zip(
        STYLES, (0.5, 0.9, 0.99), ("median", "90 %", "99 %"), strict=False
    ):
        values = [np.quantile(part, q) for part in recent]
        ax.plot(step, values, color=colour, linestyle=style, linewidth=2, label=name)
    if len(norm):
        mean = norm.mean()
        ax.axhspan(0.5 * mean, 10 * mean, color=PALE, alpha=0.4, linewidth=0,
                   label="0.5 to 10 times the mean")  # fmt: skip
    if clip_norm is not None:
        ax.axhline(clip_norm, color=INK, linewidth=1.3, linestyle=(0, (5, 2)),
                   label=f"threshold {clip_norm:g}")  # fmt: skip
    tick(ax, (1, 2, 3, 5))
    legend(ax)
    title = f"Quantiles of the norm over the last {window} steps"
    dress(ax, title, "step of training", "global norm before clipping, logarithmic")


def clipping_figure(history: Sequence[HistoryRow], clip_norm: float | None = None) -> "Figure":
    """Draw the norms before and after clipping, their quantiles, and the angle.

    Parameters
    ----------
    history : sequence of HistoryRow
    clip_norm : float, optional
        The threshold of the global norm.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    figure = new_figure(15, 4.8)
    left, middle, right = figure.subplots(1, 3)
    plot_gradient_norm(left, history, clip_norm)
    after = columns(history)
    if np.isfinite(after["clipped_norm"]).any():
        left.plot(after["step"], after["clipped_norm"], color=GREEN, linewidth=1.2,
                  zorder=1, label="after clipping")  # fmt: skip
        legend(left, markerscale=2)
        dress(left, "Gradient norm, before and after clipping", "step of training",
              "global norm, logarithmic")  # fmt: skip
    plot_norm_quantiles(middle, history, clip_norm)
    plot_clipping_angle(right, history)
    return figure
