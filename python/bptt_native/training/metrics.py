"""Metrics of predictions: accuracy, F1, errors and others, as functions and by name.

Each function takes targets and the predictions of a model (`Model.predict`) and returns a number.
Their names, and functions like them, are values of the argument `metrics` of `Model.fit` and
`Model.evaluate`.

- Of classes (the loss "cross_entropy"), targets are integers [...] and predictions are outputs
  (logits) or probabilities [..., O], or labels [...].
- Of bits (the loss "binary_cross_entropy"), targets are numbers in [0, 1] and predictions are
  logits, probabilities or labels, both [..., O]; a single output may lack the last axis. A target
  above one half is a 1.
- Of values (the losses "mse" and "huber"), both are [..., O].

``kind`` says what the predictions are, in the words of `Model.predict`: "outputs", "probabilities"
or "labels" (not for `cross_entropy`, `perplexity`, `bits` and `top_k`). By default this is seen
from them: numbers of classes in [0, 1] whose rows add up to 1 are probabilities, others are
outputs; for bits, numbers that are all in [0, 1] may be either, and ``kind`` is needed unless all
are 0 or 1. A prediction that is NaN is wrong.

``weights`` [...] are those of the targets, 1 by default.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arguments.names import guide
from ..arguments.values import Array
from ..options.words import PredictionKind
from .metric_arrays import labels, logits, values

Numbers = npt.NDArray[np.float64]

__all__ = [
    "accuracy", "balanced_accuracy", "bits", "cross_entropy", "f1", "mae", "mse", "perplexity",
    "precision", "r2", "recall", "rmse", "top_k",
]  # fmt: skip


# ------------------------------------------------------------------------------ of classes and bits


def accuracy(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the share of targets that are predicted; of bits, the share of all bits.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities", "labels"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.accuracy([0, 1, 1], np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]))
    0.6666666666666666
    >>> bn.metrics.accuracy([0, 1, 1], np.array([0, 1, 0]), kind="labels")
    0.6666666666666666
    """
    t, p, w = labels("accuracy", targets, outputs, weights, kind)
    right = t == p
    return _mean(right.mean(axis=1) if right.ndim == 2 else right, w)


def balanced_accuracy(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the mean over the classes in the targets of the share that is predicted.

    Of bits, it is the mean over the outputs of that of the classes 0 and 1.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities", "labels"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.balanced_accuracy([0, 0, 0, 1], np.array([0, 0, 0, 0]))
    0.5
    """
    return _over(labels("balanced_accuracy", targets, outputs, weights, kind), _balanced)


def precision(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the share of the predictions of a class that are right, as the mean over the classes.

    The mean is over the classes in the targets or predictions ("macro"), with 0 for a class that is
    never predicted. Of bits, it is that of the ones, as the mean over the outputs.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities", "labels"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.precision([0, 0, 1, 1], np.array([0, 1, 1, 1]))
    0.8333333333333333
    """
    return _over(labels("precision", targets, outputs, weights, kind), _precision)


def recall(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the share of the targets of a class that are predicted, as the mean over the classes.

    The mean is over the classes in the targets or predictions ("macro"), with 0 for a class that is
    no target. Of bits, it is that of the ones, as the mean over the outputs.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities", "labels"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.recall([0, 0, 1, 1], np.array([0, 1, 1, 1]))
    0.75
    """
    return _over(labels("recall", targets, outputs, weights, kind), _recall)


def f1(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the F1 score, 2 / (1 / precision + 1 / recall), as the mean over the classes.

    The mean is over the classes in the targets or predictions ("macro"). Of bits, it is that of the
    ones, as the mean over the outputs, with 0 for an output without ones.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities", "labels"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.f1([0, 0, 1, 1], np.array([0, 1, 1, 1]))
    0.7333333333333334
    """
    return _over(labels("f1", targets, outputs, weights, kind), _f1)


# --------------------------------------------------------------------------------------- of classes


def top_k(
    targets: Any, outputs: Any, weights: Any = None, k: int = 5, *,
    kind: PredictionKind | None = None,
) -> float:  # fmt: skip
    """Return the share of targets that are among the classes with the k largest logits.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities"}, optional
        See ``bptt_native.metrics``.
    k : int
        Number of classes. The names of these metrics are "top_1", "top_2" and so on.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.top_k([0, 1], np.array([[1.0, 3.0, 2.0], [1.0, 2.0, 3.0]]), k=2)
    0.5
    """
    t, o, w, _ = logits("top_k", targets, outputs, weights, kind)
    own = np.take_along_axis(o, t[:, None], axis=1)
    return _mean((~(o <= own)).sum(axis=1) < k, w)  # NaN counts as larger


def cross_entropy(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the mean cross-entropy in nats, without the model's label smoothing and class weights.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bool(np.isclose(bn.metrics.cross_entropy([0, 1], np.zeros((2, 3))), np.log(3)))
    True
    >>> p = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    >>> bool(np.isclose(bn.metrics.cross_entropy([0, 1], p), 1.5 * np.log(2)))
    True
    """
    return _cross_entropy("cross_entropy", targets, outputs, weights, kind)


def _cross_entropy(
    where: str, targets: Any, outputs: Any, weights: Any, kind: PredictionKind | None
) -> float:
    t, o, w, probabilities = logits(where, targets, outputs, weights, kind)
    wide = o.astype(np.float64)
    own = t[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN stays NaN
        if probabilities:
            return _mean(-np.log(np.take_along_axis(wide, own, axis=1)[:, 0]), w)
        wide -= wide.max(axis=1, keepdims=True)
        sums = np.log(np.exp(wide).sum(axis=1))
        return _mean(sums - np.take_along_axis(wide, own, axis=1)[:, 0], w)


def perplexity(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the perplexity, exp of `cross_entropy`.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> round(bn.metrics.perplexity([0, 1], np.zeros((2, 3))), 6)
    3.0
    """
    return exp(_cross_entropy("perplexity", targets, outputs, weights, kind))


def bits(
    targets: Any, outputs: Any, weights: Any = None, *, kind: PredictionKind | None = None
) -> float:  # fmt: skip
    """Return the mean `cross_entropy` in bits per target; of characters, bits per character.

    Parameters
    ----------
    targets, outputs, weights : array_like
    kind : {"outputs", "probabilities"}, optional
        See ``bptt_native.metrics``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> round(bn.metrics.bits([0, 1], np.zeros((2, 4))), 6)
    2.0
    """
    return _cross_entropy("bits", targets, outputs, weights, kind) / math.log(2)


# ---------------------------------------------------------------------------------------- of values


def mae(targets: Any, outputs: Any, weights: Any = None) -> float:
    """Return the mean absolute error over all elements.

    Parameters
    ----------
    targets, outputs, weights : array_like
        See ``bptt_native.metrics``. By name, outputs of bits are replaced by their probabilities.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.mae(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    t, o, w = values("mae", targets, outputs, weights)
    return _mean(np.abs(t - o).mean(axis=1), w)


def mse(targets: Any, outputs: Any, weights: Any = None) -> float:
    """Return the mean squared error over all elements.

    Parameters
    ----------
    targets, outputs, weights : array_like
        See ``bptt_native.metrics``. By name, outputs of bits are replaced by their probabilities.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.mse(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    2.0
    """
    t, o, w = values("mse", targets, outputs, weights)
    return _mean(np.square(t - o).mean(axis=1), w)


def rmse(targets: Any, outputs: Any, weights: Any = None) -> float:
    """Return the root of the mean squared error over all elements.

    Parameters
    ----------
    targets, outputs, weights : array_like
        See ``bptt_native.metrics``. By name, outputs of bits are replaced by their probabilities.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.rmse(np.array([1.0, 2.0]), np.array([4.0, 6.0]))
    3.5355339059327378
    """
    return math.sqrt(mse(targets, outputs, weights))


def r2(targets: Any, outputs: Any, weights: Any = None) -> float:
    """Return the coefficient of determination, as the mean over the outputs.

    It is 1 - sum (y - v)^2 / sum (y - mean y)^2, and for a constant y 1 or 0. With fewer than two
    targets it is NaN.

    Parameters
    ----------
    targets, outputs, weights : array_like
        See ``bptt_native.metrics``. By name, outputs of bits are replaced by their probabilities.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> bn.metrics.r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    0.5
    """
    t, o, w = values("r2", targets, outputs, weights)
    if len(t) < 2:
        return math.nan
    each = np.ones(len(t)) if w is None else w
    left = each @ np.square(t - o)
    spread = each @ np.square(t - np.average(t, axis=0, weights=each))
    score = np.where(left == 0, 1.0, 0.0)
    score[np.isnan(left)] = np.nan
    np.divide(spread - left, spread, out=score, where=spread > 0)
    return float(score.mean())


# ------------------------------------------------------------------------------------ the functions


def _mean(each: Array, weights: Any) -> float:
    return float(each.mean() if weights is None else np.average(each, weights=weights))


def exp(value: float) -> float:
    """Return exp(value), or infinity instead of an OverflowError."""
    return math.exp(value) if not value > 709 else math.inf


class _Counts(NamedTuple):
    """Weights of some classes: right predictions, targets and predictions, each [classes]."""

    right: Numbers
    targets: Numbers
    predicted: Numbers


def _over(
    found: tuple[Array, Array, Any], score: Callable[[_Counts, bool], float]
) -> float:  # fmt: skip
    """Return a score of classes, or the mean of that of each output's bits."""
    t, p, w = found
    each = np.ones(len(t)) if w is None else w
    if t.ndim == 1:
        return score(_counts(t, p, each), False)
    scores = [score(_counts(a, b, each, 2), True) for a, b in zip(t.T, p.T, strict=True)]
    return float(np.mean(scores))


def _counts(targets: Array, predicted: Array, weights: Numbers, least: int = 0) -> _Counts:
    n = max(least, int(targets.max()) + 1, int(predicted.max()) + 1)
    right, real = targets == predicted, predicted >= 0
    parts = ((targets[right], weights[right]), (targets, weights), (predicted[real], weights[real]))
    return _Counts(*(np.bincount(a, w, n).astype(np.float64) for a, w in parts))


def _shares(part: Numbers, whole: Numbers) -> Numbers:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _macro(scores: Numbers, counts: _Counts, bits: bool) -> float:
    """Return the score of ones, or the mean over the classes that occur."""
    there = (counts.targets > 0) | (counts.predicted > 0)
    return float(scores[1] if bits else scores[there].mean())


def _precision(counts: _Counts, bits: bool) -> float:
    return _macro(_shares(counts.right, counts.predicted), counts, bits)


def _recall(counts: _Counts, bits: bool) -> float:
    return _macro(_shares(counts.right, counts.targets), counts, bits)


def _f1(counts: _Counts, bits: bool) -> float:
    scores = _shares(2 * counts.right, counts.targets + counts.predicted)
    return _macro(scores, counts, bits)


def _balanced(counts: _Counts, bits: bool) -> float:
    there = counts.targets > 0
    return float((counts.right[there] / counts.targets[there]).mean())


guide(globals(), __all__)
