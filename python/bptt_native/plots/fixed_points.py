"""Figures of fixed points: trajectories and points in principal components, and eigenvalues."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import Tape
from ..arguments.arrays import read
from ..arguments.values import describe, integer, message, refuse_type
from ..diagnostics import FixedPoints, Norms
from .base import (
    BLUE,
    GREEN,
    GREY,
    ONE_COLUMN,
    ORANGE,
    PURPLE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    axes_of,
    dress,
    few_ticks,
    legend,
    new_figure,
)
from .spectrum import height_of, plot_eigenvalues

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 0.09  # half the length of an unstable direction, as a share of the extent of the states
MARKS = ("o", "s", "^", "D", "v")  # of points with 1, 2, 3, 4 and more unstable directions
COLOURS = (VERMILION, ORANGE, PURPLE, GREEN, SKY)


class Kind(NamedTuple):
    """The points of a figure that look alike.

    Attributes
    ----------
    name : str
        Their name in the legend.
    chosen : bool [P]
        Which of the points they are.
    mark, colour, filled : str, str, bool
        Their look.
    """

    name: str
    chosen: npt.NDArray[np.bool_]
    mark: str
    colour: str
    filled: bool


def _kinds(points: FixedPoints) -> Iterator[Kind]:
    """Yield the kinds of which there are points: stable and neutral ones, saddles, slow points."""
    grown, slow, kinds = points.unstable, points.slow, np.array(points.kinds)
    for name, mark in (("stable", "o"), ("neutral", "P")):
        yield Kind(f"{name} point", (kinds == name) & ~slow, mark, BLUE, True)
    for count in range(1, int(grown.max(initial=0)) + 1):
        look = MARKS[min(count, len(MARKS)) - 1], COLOURS[min(count, len(COLOURS)) - 1]
        directions = f"{count} unstable direction{'s' * (count > 1)}"
        for name in ("saddle", "repeller"):
            chosen = (kinds == name) & (grown == count) & ~slow
            yield Kind(f"{name}, {directions}", chosen, *look, False)
    yield Kind("slow point", slow, "*", GREY, False)


def plot_fixed_points(
    points: FixedPoints, trajectories: Any = None, *, components: tuple[int, int] = (1, 2),
    directions: bool = True, ax: "Axes | None" = None,
) -> "Axes":  # fmt: skip
    """Draw fixed points and trajectories in principal components of the states.

    The components are those of the trajectories, or of the points if there are no trajectories.
    Stable points are filled and saddles are open. Lines through the saddles are their unstable
    directions: eigenvectors of the step Jacobian, of complex ones the real and the imaginary part.
    They have one length in the space of the states and are shorter where they leave the plane.

    Parameters
    ----------
    points : FixedPoints
        The result of `diagnostics.fixed_points`.
    trajectories : optional
        Array [T, N, S] or [T, S] of states, an LSTM's with c or without, or a `Tape`. Without c,
        the points and directions are shown without c too.
    components : (int, int)
        The principal components of the horizontal and of the vertical axis, counted from 1.
    directions : bool
        Whether to draw the unstable directions.
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
        An argument does not fit, or there are no states to draw.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import diagnostics, plots
    >>> net = bn.RNN(1, 2, bias=False, dtype="float64")
    >>> net.load_state_dict({"weight_ih_l0": [[1.0], [0.0]], "weight_hh_l0": [[2, 0], [0, 0.5]]})
    >>> x = np.random.default_rng(0).standard_normal((50, 3, 1))
    >>> tape = net.forward(x)[2]
    >>> points = diagnostics.fixed_points(net, starts=tape, count=30)
    >>> ax = plots.plot_fixed_points(points, tape)
    >>> ax.get_title(loc="left")
    '2 stable points, 1 saddle'
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['trajectory', 'stable point', 'saddle, 1 unstable direction']
    """
    where = "plot_fixed_points"
    if not isinstance(points, FixedPoints):
        refuse_type(points, where, "points", "the result of diagnostics.fixed_points")
    paths = None if trajectories is None else _paths(points, trajectories, where)
    width = points.states.shape[1] if paths is None else paths.shape[-1]
    states = points.states[:, :width]
    cloud = states if paths is None else paths.reshape(-1, width)
    if width < 2 or not len(cloud):
        expected = "two units or more, and one point or trajectory at least"
        got = f"{len(points)} points of {width} units"
        raise ValueError(message(where, "points", expected, got))
    first, second = (integer(k, where, "components", 1, width) - 1 for k in components)
    middle, across, shares = _principal(cloud)
    across, shares = across[[first, second]], shares[[first, second]]
    ax = axes_of(ax, where, ONE_COLUMN, 4.0)
    if paths is not None:
        flat = (paths - middle) @ across.T
        for k in range(flat.shape[1]):
            ax.plot(flat[:, k, 0], flat[:, k, 1], color=GREY, linewidth=0.5, alpha=0.5, zorder=1,
                    label="" if k else "trajectory")  # fmt: skip
    placed = (states - middle) @ across.T
    seen = np.concatenate([placed, (cloud - middle) @ across.T])
    reach = REACH * float(np.hypot(*np.ptp(seen, axis=0)))
    for kind in _kinds(points):
        if not kind.chosen.any():
            continue
        for at in np.flatnonzero(kind.chosen) if directions else ():
            for line in _lines(points.directions[at][:, :width]):
                ends = placed[at] + reach * np.array([[-1], [1]]) * (across @ line)
                ax.plot(*ends.T, color=kind.colour, linewidth=1.1, zorder=3)
        ax.plot(
            *placed[kind.chosen].T, kind.mark, color=kind.colour, markersize=5, zorder=4,
            markerfacecolor=kind.colour if kind.filled else "white", markeredgewidth=1.1,
            linestyle="none", label=kind.name,
        )  # fmt: skip
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.06)
    parts = [f"principal component {k + 1} ({100 * share:.0f} % of the variance)" for k, share in
             zip((first, second), shares, strict=True)]  # fmt: skip
    dress(ax, re.sub(r" \([^)]*\)", "", points.verdict).capitalize(), *parts)
    for axis in (ax.xaxis, ax.yaxis):
        few_ticks(axis)
    legend(ax)
    return ax


def _paths(points: FixedPoints, trajectories: Any, where: str) -> Norms:
    """Return trajectories as [T, N, width]; those on a tape may end before T, as NaN."""
    size = points.states.shape[1]
    if isinstance(trajectories, Tape):
        given = trajectories.states()
        parts = given if isinstance(given, tuple) else (given,)
        T, N = trajectories.steps, trajectories.batch
        array = np.concatenate([np.asarray(p)[-1].reshape(T, N, -1) for p in parts], axis=-1)
        array = array.astype(np.float64)
        array[np.arange(T)[:, None] >= np.array(trajectories.lengths)] = np.nan
    else:
        expected = f"states [T, N, {size}] or [T, {size}], or a tape"
        given = read(trajectories, where, "trajectories", expected)
        array = given[:, None] if given.ndim == 2 else given
    if array.ndim != 3 or array.dtype.kind != "f" or array.shape[-1] not in (size, points.width):
        expected = f"states [T, N, {size}] or [T, {size}], or a tape"
        raise ValueError(message(where, "trajectories", expected, describe(array)))
    return array.astype(np.float64)


def _principal(cloud: Norms) -> tuple[Norms, Norms, Norms]:
    """Return the mean, the principal axes as rows and their shares of the variance."""
    known = cloud[np.isfinite(cloud).all(axis=1)]
    middle = known.mean(axis=0)
    apart = known - middle
    variances, axes = np.linalg.eigh(apart.T @ apart)
    variances, axes = np.maximum(variances[::-1], 0), axes.T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)  # one of two signs, always the same
    return middle, axes, variances / (variances.sum() or 1.0)


def _lines(directions: npt.NDArray[np.complex128]) -> Iterator[Norms]:
    """Yield real directions of length 1: of a pair of complex ones, two that span their plane."""
    for k, vector in enumerate(directions):
        if k and vector.imag.any() and np.array_equal(vector, directions[k - 1].conj()):
            continue  # the second one of a pair
        for part in (vector.real, vector.imag):
            length = float(np.linalg.norm(part))
            if length > 1e-9:
                yield part / length


def fixed_points_figure(points: FixedPoints, trajectories: Any = None) -> "Figure":
    """Draw fixed points in principal components, and the eigenvalues of their Jacobians.

    Parameters
    ----------
    points, trajectories
        As in `plot_fixed_points`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        An argument does not fit, or there are no points.

    Examples
    --------
    >>> from bptt_native import GRU, diagnostics, plots
    >>> points = diagnostics.fixed_points(GRU(2, 8, seed=1), starts=20)
    >>> len(plots.fixed_points_figure(points).axes)
    2
    """
    kinds = np.array(
        [f"slow {k}" if s else k for s, k in zip(points.slow, points.kinds, strict=True)]
    )
    values = {
        f"{kind} points": points.eigenvalues[kinds == kind].ravel() for kind in dict.fromkeys(kinds)
    }
    figure = new_figure(TWO_COLUMNS, height_of(values))
    left, right = figure.subfigures(1, 2, squeeze=False, wspace=0.02)[0]
    plot_fixed_points(points, trajectories, ax=left.subplots())
    plot_eigenvalues(values, "step Jacobians", ax=right.subplots())
    return figure
