"""Figures of the gradient's norm over training, before and after clipping."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.values import integer
from ..training.history import columns
from .base import (
    BLUE,
    GREEN,
    INK,
    PALE,
    REFERENCE,
    STYLES,
    TWO_COLUMNS,
    VERMILION,
    axes_of,
    dress,
    label_lines,
    legend,
    log_axis,
    new_figure,
    plain_numbers,
)
from .runs import history_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def plot_gradient_norm(
    run: Any, clip_norm: float | None = None, *, ax: "Axes | None" = None
) -> "Axes":
    """Draw the gradient's global norm before clipping, the threshold, and the clipped updates.

    The norms after clipping of the clipped updates are drawn too, unless they are the threshold.

    Parameters
    ----------
    run : FitResult, str, Path or sequence of HistoryRow
        As in `plot_learning`.
    clip_norm : float, optional
        The threshold of the global norm; by default that of the run's model.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

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
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=1, loss="mse",
    ...                  clip_norm=1e-6)
    >>> x = np.ones((5, 8, 1), np.float32)
    >>> ax = plots.plot_gradient_norm(model.fit(x, x, epochs=3))
    >>> ax.get_title(loc="left")
    'Clipped in 100 % of the updates'
    """
    found = history_of(run, "plot_gradient_norm")
    ax = axes_of(ax, "plot_gradient_norm")
    threshold = found.clip_norm if clip_norm is None else clip_norm
    values = columns(found.rows)
    update, norm, clipped = values["step"], values["grad_norm"], values["clipped"]
    good = np.isfinite(norm) & (norm > 0)
    for mark, chosen, colour, name in (
        ("o", good & ~clipped, BLUE, "not clipped"), ("^", good & clipped, VERMILION, "clipped")
    ):  # fmt: skip
        if chosen.any():
            ax.plot(update[chosen], norm[chosen], mark, color=colour, markersize=2.4,
                    markeredgewidth=0, alpha=0.75, label=name)  # fmt: skip
    for k, x in enumerate(update[~np.isfinite(norm)]):
        ax.axvline(x, color=INK, linewidth=0.7, label="not finite: skipped" if k == 0 else None)
    after = values["clipped_norm"]
    if np.isfinite(after[clipped]).any() and not np.allclose(after[clipped], threshold or 0, 1e-3):
        ax.plot(update[clipped], after[clipped], "_", color=GREEN, markersize=3,
                label="after clipping")  # fmt: skip
    levels = {} if threshold is None else {threshold: (f"threshold {threshold:g}", INK)}
    for level in levels:
        ax.axhline(level, **{**REFERENCE, "color": INK})
    seen = [*norm[good], *levels] or [1.0]
    ax.set_ylim(0.8 * min(seen), 1.25 * max(seen))
    ax.set_xlim(min(0, update[0]), max(update[-1], update[0] + 1))
    log_axis(ax)
    plain_numbers(ax)
    label_lines(ax, [], levels)
    title = "Gradient norm"
    if threshold is not None or clipped.any():
        title = f"Clipped in {100 * clipped.mean():.0f} % of the updates"
    dress(ax, title, "update", "global norm, logarithmic")
    if ax.get_legend_handles_labels()[0]:
        legend(ax, ncols=3, markerscale=2, handlelength=1, columnspacing=1)
    return ax


def plot_clipping_angle(run: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the angle by which clipping turned the gradient, in degrees.

    Parameters
    ----------
    run : FitResult, str, Path or sequence of HistoryRow
        As in `plot_learning`.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

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
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=1, loss="mse",
    ...                  clip_value=1e-3)
    >>> x = np.ones((5, 8, 1), np.float32)
    >>> plots.plot_clipping_angle(model.fit(x, x, epochs=3)).get_ylabel()
    'angle (degrees)'
    """
    values = columns(history_of(run, "plot_clipping_angle").rows)
    ax = axes_of(ax, "plot_clipping_angle")
    update, angle = values["step"], np.degrees(values["clip_angle"])
    ax.plot(update, angle, "o", color=BLUE, markersize=2.4, markeredgewidth=0, alpha=0.75)
    largest = float(np.nanmax(angle, initial=0))
    ax.set_ylim(0, 1.1 * largest or 1.0)
    ax.set_xlim(min(0, update[0]), max(update[-1], update[0] + 1))
    plain_numbers(ax)
    title = f"Clipping turned the gradient by up to {largest:.2g}°"
    if not largest:
        title = "Clipping kept the gradient's direction"
    dress(ax, title, "update", "angle (degrees)")
    return ax


def plot_norm_quantiles(
    run: Any, clip_norm: float | None = None, window: int = 200, *, ax: "Axes | None" = None
) -> "Axes":
    """Draw running quantiles of the gradient's norm, and the thresholds of Pascanu et al.

    Pascanu et al. 2013 (arXiv:1211.5063, section 3.2) suggest thresholds between a half and ten
    times the mean norm.

    Parameters
    ----------
    run : FitResult, str, Path or sequence of HistoryRow
        As in `plot_learning`.
    clip_norm : float, optional
        The threshold of the global norm; by default that of the run's model.
    window : int
        Number of updates for a quantile.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError, OSError
        The run cannot be drawn (see `plot_learning`), or the window is not a positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=1, loss="mse")
    >>> x = np.ones((5, 8, 1), np.float32)
    >>> ax = plots.plot_norm_quantiles(model.fit(x, x, epochs=3), clip_norm=0.5, window=2)
    >>> ax.texts[-1].get_text()
    'threshold 0.5'
    """
    found = history_of(run, "plot_norm_quantiles")
    window = integer(window, "plot_norm_quantiles", "window", 1)
    ax = axes_of(ax, "plot_norm_quantiles")
    threshold = found.clip_norm if clip_norm is None else clip_norm
    values = columns(found.rows)
    good = np.isfinite(values["grad_norm"]) & (values["grad_norm"] > 0)
    update, norm = values["step"][good], values["grad_norm"][good]
    recent = [norm[max(0, k + 1 - window) : k + 1] for k in range(len(norm))]
    lines: list[Line2D] = []
    seen = [1.0]
    for (colour, style), q, name in zip(
        STYLES, (0.5, 0.9, 0.99), ("median", "90 %", "99 %"), strict=False
    ):
        curve = [float(np.quantile(part, q)) for part in recent]
        lines += ax.plot(update, curve, color=colour, linestyle=style, linewidth=1.3, label=name)
        seen = [*seen, *curve] if seen != [1.0] else curve or seen
    levels = {} if threshold is None else {threshold: (f"threshold {threshold:g}", INK)}
    for level in levels:
        ax.axhline(level, **{**REFERENCE, "color": INK})
    seen += [*levels]
    title = "Quantiles of the gradient's norm"
    if len(norm):
        mean = float(norm.mean())
        seen += [0.5 * mean, 10 * mean]
        ax.axhspan(0.5 * mean, 10 * mean, color=PALE, alpha=0.4, linewidth=0,
                   label="½ to 10 times the mean (Pascanu et al. 2013)")  # fmt: skip
        ax.set_xlim(min(0, update[0]), max(update[-1], update[0] + 1))
        if threshold is not None:
            title = f"Threshold: {threshold / mean:.2g} times the mean norm"
    ax.set_ylim(0.8 * min(seen), 1.25 * max(seen))
    log_axis(ax)
    plain_numbers(ax)
    label_lines(ax, lines, levels)
    dress(ax, title, "update", f"norm over {window} updates, logarithmic")
    if len(norm):
        legend(ax, handles=ax.patches)
    return ax


def clipping_figure(run: Any, clip_norm: float | None = None) -> "Figure":
    """Draw the norms before and after clipping, their quantiles, and the angle.

    The angle is left out if it was not recorded, or if it was 0 at all updates.

    Parameters
    ----------
    run : FitResult, str, Path or sequence of HistoryRow
        As in `plot_learning`.
    clip_norm : float, optional
        The threshold of the global norm; by default that of the run's model.

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
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=1, loss="mse",
    ...                  clip_norm=1e-3)
    >>> x = np.ones((5, 8, 1), np.float32)
    >>> figure = plots.clipping_figure(model.fit(x, x, epochs=3))
    >>> len(figure.axes)  # clipping by norm does not turn the gradient
    2
    """
    found = history_of(run, "clipping_figure")
    turned = bool((np.nan_to_num(columns(found.rows)["clip_angle"]) > 0).any())
    figure = new_figure(TWO_COLUMNS, 5.2 if turned else 2.7)
    axes = figure.subplots(2 if turned else 1, 2).ravel()
    threshold = found.clip_norm if clip_norm is None else clip_norm
    plot_gradient_norm(found.rows, threshold, ax=axes[0])
    plot_norm_quantiles(found.rows, threshold, ax=axes[1])
    if turned:
        plot_clipping_angle(found.rows, ax=axes[2])
        axes[3].remove()
    return figure
