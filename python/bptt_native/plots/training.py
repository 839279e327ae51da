"""Figures of a training run: the loss, and an overview."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..diagnostics import GradientFlow
from ..training.history import Unit
from .base import (
    BLUE,
    GREY,
    PALE,
    REFERENCE,
    TWO_COLUMNS,
    VERMILION,
    axes_of,
    dress,
    label_lines,
    log_axis,
    new_figure,
    plain_numbers,
    smooth,
)
from .clipping import plot_gradient_norm
from .flow import plot_gradient_flow
from .runs import history_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def training_figure(
    run: Any, clip_norm: float | None = None, before: Mapping[str, GradientFlow] | None = None,
    after: Mapping[str, GradientFlow] | None = None,
    references: Mapping[str, float] | None = None, unit: Unit | None = None,
) -> "Figure":  # fmt: skip
    """Draw a training run: the loss, the gradient's norm, and the flow of the gradient.

    Parameters
    ----------
    run : FitResult, str, Path or sequence of HistoryRow
        As in `plot_learning`.
    clip_norm : float, optional
        The threshold of the global norm; by default that of the run's model.
    before, after : mapping of str to GradientFlow, optional
        Gradient flows before and after training, by the name of the network. Without them these
        panels are left out.
    references, unit
        As in `plot_learning`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError, OSError
        The run cannot be drawn; see `plot_learning`.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=2, targets="last")
    >>> result = model.fit(np.ones((5, 8, 1), np.float32), np.zeros(8, np.int64), epochs=2)
    >>> figure = plots.training_figure(result)
    >>> len(figure.axes)
    2
    """
    flows = {"before training": before, "after training": after}
    shown = {when: given for when, given in flows.items() if given}
    figure = new_figure(TWO_COLUMNS, 5.2 if shown else 2.6)
    rows = figure.subfigures(2 if shown else 1, 1, squeeze=False, hspace=0.02)[:, 0]
    left, right = rows[0].subplots(1, 2)
    plot_learning(run, references, unit, ax=left)
    plot_gradient_norm(run, clip_norm, ax=right)
    if shown:
        axes = rows[1].subplots(1, len(shown), squeeze=False)[0]
        for ax, (when, given) in zip(axes, shown.items(), strict=True):
            plot_gradient_flow(given, when, ax=ax)
    return figure


def plot_learning(
    run: Any, references: Mapping[str, float] | None = None, unit: Unit | None = None, *,
    ax: "Axes | None" = None,
) -> "Axes":  # fmt: skip
    """Draw the losses of training and of the held-out data by update, and those of other models.

    Parameters
    ----------
    run : FitResult, str, Path, sequence of HistoryRow or mapping
        The result of ``fit``; the folder of a run, its model file or its ``history.csv``; the rows
        of a history; or its columns, `FitResult.history`.
    references : mapping of str to float, optional
        Losses of other models by name, in ``unit``.
    unit : Unit, optional
        Unit of the losses. By default it is that of the run's model, which is "bits per character"
        for a model of characters only; for rows or a history file, the recorded numbers are drawn.
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
        The run is of another type.
    ValueError
        The run has no updates, or a file is not as expected.
    OSError
        A file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=1, loss="mse")
    >>> x = np.ones((5, 8, 1), np.float32)
    >>> result = model.fit(x, x, epochs=3)
    >>> plots.plot_learning(result).get_ylabel()
    'mean squared error, logarithmic'
    """
    found = history_of(run, "plot_learning")
    ax = axes_of(ax, "plot_learning")
    unit = unit or found.unit
    update = np.array([row.step for row in found.rows])
    loss = np.array([row.loss for row in found.rows]) * unit.factor
    ax.plot(update, loss, color=PALE, linewidth=0.5)
    lines = ax.plot(update, smooth(loss), color=GREY, linewidth=1.3)
    held = [(r.step, r.valid_loss * unit.factor) for r in found.rows if r.valid_loss is not None]
    levels = {
        level: (f"{name}: {level:#.3g}", VERMILION) for name, level in (references or {}).items()
    }
    lines[0].set_label(f"training: {smooth(loss)[-1]:#.3g}")
    title = f"Training loss {smooth(loss)[-1]:#.3g} at update {update[-1]:,}"
    if held:
        x, y = zip(*held, strict=True)
        label = f"held-out: {y[-1]:#.3g}"
        lines += ax.plot(x, y, "o-", color=BLUE, linewidth=1.3, markersize=2.5, label=label)
        title = f"Held-out loss {y[-1]:#.3g} at update {x[-1]:,}"
    for level in levels:
        ax.axhline(level, **{**REFERENCE, "color": VERMILION})
    values = [*smooth(loss), *(y for _, y in held), *levels]
    good = [v for v in values if np.isfinite(v) and v > 0] or [1.0]
    ax.set_ylim(0.93 * min(good), 1.07 * max(good))
    ax.set_xlim(min(0, update[0]), max(update[-1], update[0] + 1))
    log_axis(ax)
    plain_numbers(ax)
    label_lines(ax, lines, levels)
    dress(ax, title, "update", f"{unit.name}, logarithmic")
    return ax
