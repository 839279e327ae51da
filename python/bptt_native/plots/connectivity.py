"""Figures of connectivity: the dependence of outputs on inputs."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..arguments.values import message
from .base import INK, dress, heat_map, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_connectivity(
    ax: "Axes", matrix: npt.ArrayLike, text: str | None = None, decades: float = 6.0
) -> None:
    """Draw the dependence of each output on each input, on a logarithmic scale.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    matrix : float [T_out, T_in]
        ||d logit_k(t) / d x_s||.
    text : str, optional
        The characters of the inputs, and optionally the target of the last output. They are
        written along the axes if there are at most 80.
    decades : float
        Range of the colours in powers of ten, below the largest number. Numbers that are 0 or not
        finite stay white.

    Raises
    ------
    ValueError
        The array is not a matrix, or is empty.
    """
    values = np.array(matrix, np.float64)
    if values.ndim != 2 or values.size == 0:
        expected, got = "shape [T_out, T_in], not empty", f"{values.shape}"
        raise ValueError(message("plot_connectivity", "matrix", expected, got))
    outputs, inputs = values.shape
    values[(values == 0) | ~np.isfinite(values)] = np.nan
    high = float(np.nanmax(values, initial=0)) or 1.0
    extent = (-0.5, inputs - 0.5, outputs - 0.5, -0.5)
    low = high * 10**-decades
    heat_map(ax, values, extent, "||d logit / d x||", low=low, high=high, origin="upper")
    dress(ax, "Dependence of outputs on inputs", "input (step)", "output (step)")
    ax.grid(visible=False)
    if text is not None and len(text) <= 80:
        shown = [c if c.isprintable() and c != " " else "␣" if c == " " else "·" for c in text]
        ax.set_xticks(range(min(inputs, len(shown))), shown[:inputs], fontsize=8)
        targets = shown[1 : outputs + 1]
        ax.set_yticks(range(len(targets)), targets, fontsize=8)
        ax.set_ylabel("output: the character to predict", fontsize=10.5, color=INK)
        ax.set_xlabel("input: the character read", fontsize=10.5, color=INK)


def connectivity_figure(matrix: npt.ArrayLike, text: str | None = None) -> "Figure":
    """Draw a connectivity matrix; see `plot_connectivity`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        The array is not a matrix, or is empty.
    """
    figure = new_figure(9.5, 8)
    plot_connectivity(figure.subplots(), matrix, text)
    return figure
