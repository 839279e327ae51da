"""Figures of spectra: eigenvalues with the unit circle, and Lyapunov exponents."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .base import GREY, INK, STYLES, dress, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = ("o", "x", "^", "s", "+", "D")


def plot_eigenvalues(ax: "Axes", matrices: Mapping[str, npt.ArrayLike], what: str = "") -> None:
    """Draw the eigenvalues of matrices in the complex plane, with the unit circle.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    matrices : mapping of str to float [n, n], or complex [n] (eigenvalues)
        W_hh or step Jacobians, by name.
    what : str
        Name of the matrices, for the title.
    """
    turn = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(turn), np.sin(turn), color=INK, linewidth=1.2, linestyle=(0, (5, 2)),
            label="unit circle")  # fmt: skip
    for k, (name, given) in enumerate(matrices.items()):
        array = np.asarray(given)
        values = np.linalg.eigvals(array) if array.ndim == 2 else array
        radius = np.abs(values).max(initial=0)
        ax.plot(
            values.real, values.imag, MARKS[k % len(MARKS)], color=STYLES[3 * k % 4][0],
            markersize=4.5, markerfacecolor="none", alpha=0.9,
            label=f"{name}: largest modulus {radius:.3g}",
        )  # fmt: skip
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.08)
    legend(ax, loc="upper left", bbox_to_anchor=(0, -0.14), borderaxespad=0)
    dress(ax, f"Eigenvalues{f' of {what}' if what else ''}", "real part", "imaginary part")


def plot_lyapunov(ax: "Axes", spectra: Mapping[str, npt.ArrayLike]) -> None:
    """Draw Lyapunov spectra, the largest exponent first.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    spectra : mapping of str to float [n]
        Exponents in nats per step, by the name of the network.
    """
    ax.axhline(0, color=GREY, linewidth=1.2)
    for k, (name, given) in enumerate(spectra.items()):
        exponents = np.sort(np.asarray(given, np.float64))[::-1]
        colour, style = STYLES[k % len(STYLES)]
        ax.plot(np.arange(1, len(exponents) + 1), exponents, color=colour, linestyle=style,
                linewidth=2, label=f"{name}: largest {exponents[0]:.3g}")  # fmt: skip
    legend(ax)
    title = "Lyapunov spectrum: above 0 small differences grow"
    dress(ax, title, "exponent, in descending order", "Lyapunov exponent (nats per step)")


def spectrum_figure(
    matrices: Mapping[str, npt.ArrayLike], spectra: Mapping[str, npt.ArrayLike], what: str = "W_hh"
) -> "Figure":
    """Draw eigenvalues and Lyapunov spectra; see `plot_eigenvalues` and `plot_lyapunov`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    figure = new_figure(12, 5.4)
    left, right = figure.subplots(1, 2)
    plot_eigenvalues(left, matrices, what)
    plot_lyapunov(right, spectra)
    return figure
