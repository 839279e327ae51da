"""Figures of a training run: the loss, and an overview."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..diagnostics import GradientFlow
from ..training.history import LOSS, HistoryRow, Unit
from .base import BLUE, BOX, GREY, PALE, VERMILION, dress, legend, new_figure, smooth, tick
from .clipping import plot_gradient_norm
from .flow import plot_gradient_flow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def training_figure(
    history: Sequence[HistoryRow], clip_norm: float | None, before: Mapping[str, GradientFlow],
    after: Mapping[str, GradientFlow], references: Mapping[str, float] | None = None,
    unit: Unit = LOSS,
) -> "Figure":  # fmt: skip
    """Draw a training run and the gradient flow of some networks before and after training.

    Parameters
    ----------
    history : sequence of HistoryRow
    clip_norm : float or None
        The threshold of the global norm.
    before, after : mapping of str to GradientFlow
        Gradient flows by the name of the network.
    references : mapping of str to float, optional
        Losses of other models, in ``unit``.
    unit : Unit
        Unit of the losses: ``history.unit_of(model)``, for a text ``history.BITS``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    figure = new_figure(13, 9.6)
    rows = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.3), hspace=0.04)
    above, below = rows[:, 0]
    left, right = above.subplots(1, 2)
    plot_learning(left, history, references, unit)
    plot_gradient_norm(right, history, clip_norm)
    left, right = below.subplots(1, 2)
    plot_gradient_flow(left, before, "before training")
    plot_gradient_flow(right, after, "after training")
    return figure


def plot_learning(
    ax: "Axes", history: Sequence[HistoryRow], references: Mapping[str, float] | None = None,
    unit: Unit = LOSS,
) -> None:  # fmt: skip
    """Draw the losses of training and of the held-out data by step, and those of other models.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    history : sequence of HistoryRow
    references : mapping of str to float, optional
        Losses of other models, in ``unit``.
    unit : Unit
        Unit of the losses: ``history.unit_of(model)``, for a text ``history.BITS``. By default the
        recorded numbers are drawn.
    """
    step = np.array([row.step for row in history])
    loss = np.array([row.loss for row in history]) * unit.factor
    ax.plot(step, loss, color=PALE, linewidth=0.7)
    ax.plot(step, smooth(loss), color=GREY, linewidth=1.6, label="training window")
    held = [(r.step, r.valid_loss * unit.factor) for r in history if r.valid_loss is not None]
    levels = dict(references or {})
    if held:
        x, y = zip(*held, strict=True)
        ax.plot(x, y, "o-", color=BLUE, linewidth=1.8, markersize=4.5, label="held-out data")
        ax.annotate(
            f"{y[-1]:#.3g}", (x[-1], y[-1]), (7, 0), textcoords="offset points", va="center",
            color=BLUE, fontsize=11, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    for name, level in levels.items():
        ax.axhline(level, color=VERMILION, linewidth=1.3, linestyle=(0, (5, 2)))
        ax.annotate(
            f"{name}: {level:#.3g}", (0.99, level), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", color=VERMILION, fontsize=9.5, bbox=BOX,
        )  # fmt: skip
    values = [*smooth(loss), *(y for _, y in held), *levels.values()]
    good = [v for v in values if np.isfinite(v) and v > 0] or [1.0]
    ax.set_yscale("log")
    ax.set_ylim(0.93 * min(good), 1.05 * max(good))
    tick(ax, (1, 1.5, 2, 3, 4, 5, 6, 8) if max(good) < 30 * min(good) else (1,))
    legend(ax)
    dress(ax, "Loss", "step of training", f"{unit.name}, logarithmic")
