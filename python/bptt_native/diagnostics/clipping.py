"""Statistics of gradient norms and of clipping over a training run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.display import Shown, View, fields_view
from ..arguments.values import integer, message, refuse_type
from .norms import Norms

LEVELS = (0.1, 0.5, 0.9)  # levels of the running quantiles


@dataclass(frozen=True, repr=False)
class ClippingStatistics(Shown):
    """Statistics of gradient norms and of clipping.

    A value over an empty set is NaN.

    Attributes
    ----------
    count : int
        Number of updates.
    nonfinite : int
        Number of updates whose gradient was not finite.
    fraction : float or None
        Share of clipped updates among those with a finite gradient.
    mean, median, largest : float
        Statistics of the finite norms before clipping.
    suggested : (float, float)
        Smallest and largest suggested threshold: 0.5 and 10 times the mean norm.
    kept : float or None
        Mean of norm after / norm before, over the clipped updates.
    angle : float or None
        The largest finite angle between the gradient before and after clipping, in radians.
    quantiles : float64 [3, count]
        10, 50 and 90 % quantiles of the finite norms of the last `window` updates.
    window : int
        Number of updates for a quantile.

    Examples
    --------
    >>> found = bn.diagnostics.clipping([1.0, 2.0, 6.0], clipped=[False, False, True])
    >>> found.count, found.mean, found.median, found.suggested
    (3, 3.0, 2.0, (1.5, 30.0))
    """

    count: int
    nonfinite: int
    fraction: float | None
    mean: float
    median: float
    largest: float
    suggested: tuple[float, float]
    kept: float | None
    angle: float | None
    quantiles: Norms
    window: int

    def explain(self) -> str:
        """Return the statistics as a sentence."""
        if self.nonfinite == self.count:
            return f"None of {self.count} gradients was finite."
        text = f"{self.count} updates: the gradient's norm has the mean {self.mean:.3g}, "
        text += f"the median {self.median:.3g} and the maximum {self.largest:.3g}"
        if self.fraction is not None:
            text += f"; {self.fraction:.1%} of them were clipped"
        if self.kept is not None and np.isfinite(self.kept):
            text += f", to {self.kept:.1%} of their norm"
        if self.angle is not None and self.angle > 0:
            text += f"; clipping turned it by up to {np.degrees(self.angle):.3g} degrees"
        if self.nonfinite:
            text += f"; {self.nonfinite} were not finite"
        low, high = self.suggested
        return f"{text}. Suggested thresholds range from {low:.3g} to {high:.3g}."

    def _view(self) -> View:
        return fields_view(self, self.explain())


def clipping(
    norms: Iterable[Any], clipped: npt.ArrayLike | None = None, after: npt.ArrayLike | None = None,
    angles: npt.ArrayLike | None = None, *, window: int = 100,
) -> ClippingStatistics:  # fmt: skip
    """Summarise the norms of the gradient over training.

    Parameters
    ----------
    norms : float [K], or rows
        Norms before clipping, one per update; or objects with the attribute ``grad_norm``, such as
        `HistoryRow`, `StepResult` or `UpdateResult`. Their attributes ``clipped``, ``clipped_norm``
        and ``clip_angle`` are the defaults of the next three arguments.
    clipped : bool [K], optional
        Whether each gradient was clipped.
    after : float [K], optional
        Norms after clipping.
    angles : float [K], optional
        Angles between the gradient before and after clipping, in radians.
    window : int
        Number of updates for a running quantile.

    Returns
    -------
    ClippingStatistics

    Raises
    ------
    TypeError, ValueError
        ``norms`` is empty, a norm is negative, or the lengths differ.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks",
    section 3.2: thresholds from half to ten times the average norm.

    Examples
    --------
    >>> found = bn.diagnostics.clipping([1.0, 2.0, 6.0], after=[1.0, 2.0, 3.0])
    >>> found.kept
    0.5
    >>> print(bn.diagnostics.clipping([1.0, 2.0, 6.0]).explain().split(". ")[1])
    Suggested thresholds range from 1.5 to 30.
    """
    where = "clipping"
    window = integer(window, where, "window", 1)
    try:
        rows = list(norms)
    except TypeError:
        refuse_type(norms, where, "norms", "norms or rows that have them")
    given: dict[str, Any] = {"clipped": clipped, "clipped_norm": after, "clip_angle": angles}
    if rows and hasattr(rows[0], "grad_norm"):
        for name, value in given.items():
            if value is None and any(getattr(row, name, None) is not None for row in rows):
                given[name] = [getattr(row, name, None) for row in rows]  # None becomes NaN
        rows = [row.grad_norm for row in rows]
    before = _column(rows, len(rows), "norms")
    if not len(before):
        raise ValueError(message(where, "norms", "at least one", "none"))
    if (before < 0).any():
        raise ValueError(message(where, "norms", "numbers >= 0", str(before.min())))
    cut, short, turned = (
        None if value is None else _column(value, len(before), name)
        for value, name in zip(given.values(), ("clipped", "after", "angles"), strict=True)
    )
    good = np.isfinite(before)
    finite = before[good]
    mean = _mean(finite)
    largest = float(finite.max()) if len(finite) else float("nan")
    kept = None
    if short is not None:
        less = (
            good
            & np.isfinite(short)
            & (before > 0)
            & ((short < before) if cut is None else cut.astype(bool))
        )
        kept = _mean(short[less] / before[less])
    angle = None
    if turned is not None:
        own = turned[np.isfinite(turned)]
        angle = float(own.max()) if len(own) else float("nan")
    return ClippingStatistics(
        len(before), int((~good).sum()), None if cut is None else _mean(cut[good] != 0), mean,
        float(np.median(finite)) if len(finite) else float("nan"), largest,
        (0.5 * mean, 10 * mean), kept, angle, running_quantiles(before, window), window,
    )  # fmt: skip


def running_quantiles(
    values: npt.ArrayLike, window: int, levels: tuple[float, ...] = LEVELS
) -> Norms:
    """Return running quantiles, which ignore values that are not finite.

    Parameters
    ----------
    values : float [K]
    window : int
        Number of values for a quantile, including the current one; fewer at the beginning.
    levels : floats in [0, 1]

    Returns
    -------
    float64 [len(levels), K]
        Quantiles with linear interpolation, as in numpy.quantile; NaN if no value is finite.

    Examples
    --------
    >>> bn.diagnostics.running_quantiles([1.0, 2.0, 3.0, 4.0], window=2, levels=(0.5,))
    array([[1. , 1.5, 2.5, 3.5]])
    """
    own = np.asarray(values, np.float64)
    window = max(1, min(window, len(own)))
    padded = np.concatenate([np.full(window - 1, np.nan), np.where(np.isfinite(own), own, np.nan)])
    result = np.full((len(levels), len(own)), np.nan)
    at_once = max(1, 2**20 // window)
    for begin in range(0, len(own), at_once):
        part = padded[begin : begin + at_once + window - 1]
        rows = np.sort(np.lib.stride_tricks.sliding_window_view(part, window), axis=1)  # NaN last
        count = np.isfinite(rows).sum(axis=1)
        at = np.arange(len(rows))
        for k, level in enumerate(levels):
            place = level * np.maximum(count - 1, 0)
            low = place.astype(np.int64)
            less, more = rows[at, low], rows[at, np.minimum(low + 1, np.maximum(count - 1, 0))]
            result[k, begin : begin + at_once] = less + (place - low) * (more - less)
    return result


def _column(values: Any, count: int, name: str) -> Norms:
    try:
        column = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(message("clipping", name, "numbers", type(values).__name__)) from None
    if column.shape != (count,):
        raise ValueError(message("clipping", name, f"shape ({count},)", f"shape {column.shape}"))
    return column


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
