"""Figures of connectivity: the dependence of outputs on inputs."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.values import message
from .base import INK, LABEL, NOTE, axes_of, characters, dress, few_ticks, heat_map, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHARACTERS = 80  # the longest text that is written along the axes
WIDTH, HEIGHT = 5.4, 4.4  # in inches


def plot_connectivity(
    matrix: Any, text: str | None = None, decades: float = 6.0, *, ax: "Axes | None" = None
) -> "Axes":
    """Draw the dependence of each output on each input, on a logarithmic scale.

    Parameters
    ----------
    matrix : float [T_out, T_in], or the result of `diagnostics.connectivity`
        The norm of the derivative of output k at time t with respect to the input at time s.
    text : str, optional
        The characters of the inputs, and optionally the target of the last output. They are
        written along the axes if there are at most 80.
    decades : float
        Range of the colours in powers of ten, below the largest number. Numbers that are 0 or not
        finite stay white.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        The array is not a matrix, or is empty.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> from bptt_native.diagnostics import connectivity
    >>> depends = connectivity(bn.GRU(3, 4), np.ones((6, 1, 3), np.float32))
    >>> plots.plot_connectivity(depends).images[0].get_array().shape
    (6, 6)
    """
    values = np.array(getattr(matrix, "matrix", matrix), np.float64)
    if values.ndim != 2 or values.size == 0:
        expected, got = "shape [T_out, T_in], not empty", f"{values.shape}"
        raise ValueError(message("plot_connectivity", "matrix", expected, got))
    ax = axes_of(ax, "plot_connectivity", WIDTH, HEIGHT)
    outputs, inputs = values.shape
    values[(values == 0) | ~np.isfinite(values)] = np.nan
    high = float(np.nanmax(values, initial=0)) or 1.0
    extent = (-0.5, inputs - 0.5, outputs - 0.5, -0.5)
    label = r"$\|\partial\,\mathrm{logit}_t / \partial x_s\|$"
    heat_map(ax, values, extent, label, low=high * 10**-decades, high=high, origin="upper")
    dress(ax, "Dependence of outputs on inputs", "time step s of the input",
          "time step t of the output")  # fmt: skip
    ax.grid(visible=False)
    for axis in (ax.xaxis, ax.yaxis):
        few_ticks(axis, 8, integer=True)
    if text is not None and len(text) <= CHARACTERS:
        shown = characters(text)
        look: Any = {"fontsize": NOTE - 0.5, "family": "monospace"}
        ax.set_xticks(range(min(inputs, len(shown))), shown[:inputs], **look)
        targets = shown[1 : outputs + 1]
        ax.set_yticks(range(len(targets)), targets, **look)
        ax.set_ylabel("output: the character to predict", fontsize=LABEL, color=INK)
        ax.set_xlabel("input: the character read", fontsize=LABEL, color=INK)
    return ax


def connectivity_figure(matrix: Any, text: str | None = None) -> "Figure":
    """Draw a connectivity matrix.

    Parameters
    ----------
    matrix, text
        As in `plot_connectivity`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        The array is not a matrix, or is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import plots
    >>> figure = plots.connectivity_figure(np.tril(np.ones((4, 4))), "abcde")
    >>> [mark.get_text() for mark in figure.axes[0].get_xticklabels()]
    ['a', 'b', 'c', 'd']
    """
    marks = len(text) if text is not None and len(text) <= CHARACTERS else 0
    figure = new_figure(max(WIDTH, 1.6 + 0.07 * marks), max(HEIGHT, 0.8 + 0.1 * marks))
    plot_connectivity(matrix, text, ax=figure.subplots())
    return figure
