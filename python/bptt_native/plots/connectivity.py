"""Pictures of what outputs depend on: the connectivity of a network."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .base import INK, dress, heat_map, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_connectivity(
    ax: "Axes", matrix: npt.ArrayLike, text: str | None = None, decades: float = 6.0
) -> None:
    """Draw which inputs each output depends on, on a logarithmic scale.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    matrix : float [T_out, T_in]
        ||d logit_k(t) / d x_s||.
    text : str, optional
        The characters of the inputs, written along the axes if there are no more than 80; one more
        is that which the last output should say.
    decades : float
        Powers of ten from the largest number down that the colours tell apart. What is 0 or not
        finite stays white.

    Raises
    ------
    ValueError
        It is no matrix, or empty.
    """
    values = np.array(matrix, np.float64)
    if values.ndim != 2 or values.size == 0:
        expected = f"shape [T_out, T_in], not empty, got {values.shape}"
        raise ValueError(f"plot_connectivity: argument 'matrix': expected {expected}")
    outputs, inputs = values.shape
    values[(values == 0) | ~np.isfinite(values)] = np.nan
    high = float(np.nanmax(values, initial=0)) or 1.0
    extent = (-0.5, inputs - 0.5, outputs - 0.5, -0.5)
    low = high * 10**-decades
    heat_map(ax, values, extent, "||d logit / d x||", low=low, high=high, origin="upper")
    dress(ax, "What each output depends on", "input (step)", "output (step)")
    ax.grid(visible=False)
    if text is not None and len(text) <= 80:
        shown = [c if c.isprintable() and c != " " else "␣" if c == " " else "·" for c in text]
        ax.set_xticks(range(min(inputs, len(shown))), shown[:inputs], fontsize=8)
        said = shown[1 : outputs + 1]
        ax.set_yticks(range(len(said)), said, fontsize=8)
        ax.set_ylabel("output: the character to say", fontsize=10.5, color=INK)
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
        It is no matrix, or empty.
    """
    figure = new_figure(9.5, 8)
    plot_connectivity(figure.subplots(), matrix, text)
    return figure
