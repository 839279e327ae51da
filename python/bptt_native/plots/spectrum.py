"""Figures of spectra: eigenvalues with the unit circle, and Lyapunov exponents."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arguments.values import message, refuse_type
from ..diagnostics import recurrent_matrices
from .base import (
    COLOURS,
    INK,
    ONE_COLUMN,
    REFERENCE,
    STYLES,
    TWO_COLUMNS,
    axes_of,
    dress,
    few_ticks,
    label_lines,
    legend,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MANY = 300  # eigenvalues of a figure above which the marks are smaller
MARKS = ("o", "x", "^", "s", "+", "D")


def plot_eigenvalues(matrices: Any, what: str = "", *, ax: "Axes | None" = None) -> "Axes":
    """Draw the eigenvalues of matrices in the complex plane, with the unit circle.

    Parameters
    ----------
    matrices : mapping of str to float [n, n] or complex [n]; float [n, n]; or a net
        W_hh or step Jacobians by name, or their eigenvalues; one matrix; or a layer or model, whose
        recurrent matrices (`diagnostics.recurrent_matrices`) are drawn.
    what : str
        Name of the matrices, for the title.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        There are no matrices, or one is not square.

    Examples
    --------
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> ax = plots.plot_eigenvalues(bn.GRU(3, 8, seed=0), "$W_{hh}$")
    >>> [text.get_text().partition(":")[0] for text in ax.get_legend().get_texts()]
    ['unit circle', 'r', 'z', 'n']
    """
    found = {
        name: _eigenvalues(name, given)
        for name, given in _named(matrices, "plot_eigenvalues", "matrices", "matrix").items()
    }
    ax = axes_of(ax, "plot_eigenvalues", ONE_COLUMN, height_of(found))
    turn = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(turn), np.sin(turn), color=INK, linewidth=1, linestyle=(0, (4, 2)), zorder=3,
            label="unit circle")  # fmt: skip
    everything = sum(map(len, found.values()))
    size = 3.5 if everything <= MANY else 2.0
    for k, (name, values) in enumerate(found.items()):
        radius = np.abs(values).max(initial=0)
        ax.plot(
            values.real, values.imag, MARKS[k % len(MARKS)], color=COLOURS[k % len(COLOURS)],
            markersize=size, markeredgewidth=0.26 * size, markerfacecolor="none",
            label=f"{name}: largest modulus {radius:.3g}",
        )  # fmt: skip
    ax.set_aspect("equal", adjustable="box", anchor="NW")
    ax.margins(0.06)
    outside = sum(int((np.abs(values) > 1 + 1e-9).sum()) for values in found.values())
    where = f"{outside:,} of {everything:,} outside" if outside else "all inside"
    dress(ax, f"Eigenvalues{f' of {what}' if what else ''}:\n{where} the unit circle",
          "real part", "imaginary part")  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis):
        few_ticks(axis)
    legend(ax, markerscale=3.5 / size)
    return ax


def height_of(matrices: Mapping[str, Any]) -> float:
    """Return the height in inches of a panel of eigenvalues with its legend, one column wide."""
    return 4.05 + 0.16 * len(matrices)


def _named(given: Any, where: str, argument: str, one: str) -> Mapping[str, Any]:
    """Return arrays by name: those of a mapping or of a net, or one array."""
    if hasattr(given, "state_dict"):
        given = recurrent_matrices(given, layer=-1)
    if hasattr(given, "exponents"):
        given = given.exponents
    if isinstance(given, list | tuple | np.ndarray):
        given = {one: given}
    if not isinstance(given, Mapping):
        refuse_type(given, where, argument, f"a mapping from names to arrays, or one {one}")
    if not given:
        raise ValueError(message(where, argument, f"one {one} at least", "none"))
    return given


def _eigenvalues(name: str, given: Any) -> npt.NDArray[Any]:
    array = np.asarray(given)
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        return np.linalg.eigvals(array)
    if array.ndim != 1:
        expected = f"square matrices or their eigenvalues [n] ({name!r})"
        got = f"an array of shape {list(array.shape)}"
        raise ValueError(message("plot_eigenvalues", "matrices", expected, got))
    return array


def plot_lyapunov(spectra: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw Lyapunov spectra, the largest exponent first.

    Parameters
    ----------
    spectra : mapping of str to float [n], float [n] or the result of `diagnostics.lyapunov`
        Exponents in nats per time step, by the name of the network.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        There are no spectra.

    Examples
    --------
    >>> from bptt_native import plots
    >>> ax = plots.plot_lyapunov({"net": [-0.1, 0.02, -0.5]})
    >>> ax.get_title(loc="left")
    'Small differences grow (exponent 0.02)'
    """
    found = {
        name: np.sort(np.asarray(getattr(given, "exponents", given), np.float64).ravel())[::-1]
        for name, given in _named(spectra, "plot_lyapunov", "spectra", "spectrum").items()
    }
    found = {name: exponents for name, exponents in found.items() if len(exponents)}
    if not found:
        raise ValueError(message("plot_lyapunov", "spectra", "one exponent at least", "none"))
    ax = axes_of(ax, "plot_lyapunov")
    ax.axhline(0, **REFERENCE)
    lines: list[Line2D] = []
    for k, (name, exponents) in enumerate(found.items()):
        colour, style = STYLES[k % len(STYLES)]
        lines += ax.plot(np.arange(1, len(exponents) + 1), exponents, "o", color=colour,
                         linestyle=style, linewidth=1.3, markersize=2.5,
                         label=f"{name}\n(largest {_signed(exponents[0])})")  # fmt: skip
    longest = max(map(len, found.values()))
    ax.set_xlim(0.5, longest + 0.5)
    seen = np.concatenate([*found.values(), [0.0]])
    seen = seen[np.isfinite(seen)]
    margin = 0.06 * float(np.ptp(seen)) or 1.0
    ax.set_ylim(seen.min() - margin, seen.max() + margin)
    few_ticks(ax.xaxis, integer=True)
    largest = [float(exponents[0]) for exponents in found.values()]
    growing = sum(value > 0 for value in largest)
    change = "grow" if growing else "shrink"
    title = f"Small differences {change} (exponent {_signed(max(largest))})"
    if 0 < growing < len(found):
        title = f"Small differences grow in {growing} of {len(found)} nets"
    label_lines(ax, lines)
    dress(ax, title, "number of the exponent", "Lyapunov exponent (nats per time step)")
    return ax


def _signed(value: float) -> str:
    return f"{value:.2g}".replace("-", "\N{MINUS SIGN}")


def spectrum_figure(matrices: Any, spectra: Any = None, what: str = "$W_{hh}$") -> "Figure":
    """Draw eigenvalues and Lyapunov spectra.

    Parameters
    ----------
    matrices, what
        As in `plot_eigenvalues`.
    spectra : optional
        As in `plot_lyapunov`. Without spectra, the eigenvalues are drawn alone.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        There are no matrices, or one is not square.

    Examples
    --------
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> figure = plots.spectrum_figure(bn.RNN(3, 8, seed=0), {"RNN": [-0.2, -0.4]})
    >>> len(figure.axes)
    2
    """
    both = spectra is not None and not (isinstance(spectra, Mapping) and not spectra)
    named = _named(matrices, "spectrum_figure", "matrices", "matrix")
    figure = new_figure(TWO_COLUMNS if both else ONE_COLUMN, height_of(named))
    parts = figure.subfigures(1, 2 if both else 1, squeeze=False, wspace=0.02)[0]
    axes = [part.subplots() for part in parts]
    plot_eigenvalues(named, what, ax=axes[0])
    if both:
        plot_lyapunov(spectra, ax=axes[1])
    return figure
