"""Metrics by name, as arguments of training and evaluation, and their sums over batches."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..arguments.values import Array, choice, describe, message, number, refuse_type
from ..nn.probabilities import sigmoid
from ..options.losses import Loss
from .metric_arrays import classes_of
from .metrics import (
    accuracy,
    balanced_accuracy,
    bits,
    cross_entropy,
    exp,
    f1,
    mae,
    mse,
    perplexity,
    precision,
    r2,
    recall,
    rmse,
    top_k,
)


class Metric(NamedTuple):
    """A metric of `Model.fit` and `Model.evaluate`.

    Attributes
    ----------
    function : callable
        Takes targets and outputs, and for a metric of this package weights.
    mean : callable, optional
        If the metric is a function of a mean over targets: the function that returns this mean.
    finish : callable
        The function of that mean.
    labels : bool
        Whether predicted classes are enough, in place of outputs.
    name : str
        The name among the metrics of this package; empty for a function of the user.
    """

    function: Callable[..., Any]
    mean: Callable[..., float] | None = None
    finish: Callable[[float], float] = float
    labels: bool = False
    name: str = ""


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {name: m._replace(name=name) for m in metrics for name in [m.function.__name__]}


_OF_LABELS = _table(
    Metric(accuracy, accuracy), Metric(balanced_accuracy, labels=True),
    Metric(precision, labels=True), Metric(recall, labels=True), Metric(f1, labels=True),
)  # fmt: skip
_OF_CLASSES = _table(
    Metric(cross_entropy, cross_entropy), Metric(perplexity, cross_entropy, exp),
    Metric(bits, cross_entropy, lambda value: value / math.log(2)),
)  # fmt: skip
_OF_VALUES = _table(Metric(mae, mae), Metric(mse, mse), Metric(rmse, mse, math.sqrt), Metric(r2))
METRICS = (*_OF_LABELS, "top_5", *_OF_CLASSES, *_OF_VALUES)
"""The names of all metrics. For "top_5", any number may be in place of 5."""
_SMALL = {"loss", "cross_entropy", "perplexity", "bits", "mae", "mse", "rmse"}
_LARGE = {*_OF_LABELS, "r2"}


_EXPECTED = "names of metrics, or functions of targets and outputs"


def direction_of(name: str) -> str | None:
    """Return whether a metric is good if it is large ("max") or small ("min"), or None."""
    if name in _LARGE or re.fullmatch(r"top_\d+", name):
        return "max"
    return "min" if name in _SMALL else None


def named_metrics(
    value: object, loss: Loss, where: str, outputs: int | None = None
) -> dict[str, Metric]:
    """Return metrics by name after checking the argument `metrics` of a function.

    Parameters
    ----------
    value : str, callable, or sequence of them, or mapping of str to callable, or None
        The argument.
    loss : Loss
        The loss of the model, which decides what metrics there are.
    where : str
        The function, for messages.
    outputs : int, optional
        Number of outputs of the model, the largest k of "top_k". None: any k is allowed.

    Raises
    ------
    TypeError, ValueError
        If a metric is none, has no name, or comes twice.
    """
    items: list[tuple[str, object]] = []
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, str) or callable(value):
        items = [("", value)]
    elif isinstance(value, Sequence | set | frozenset):
        items = [("", item) for item in value]
    elif value is not None:
        refuse_type(value, where, "metrics", _EXPECTED)
    found: dict[str, Metric] = {}
    for name, item in items:
        name, metric = _named(name, item, loss, where, outputs)
        if name in found:
            raise ValueError(message(where, "metrics", "each metric once", f"{name!r} twice"))
        found[name] = metric
    return found


def _named(
    name: str, item: object, loss: Loss, where: str, outputs: int | None
) -> tuple[str, Metric]:
    """Return a metric and its name, which is the given one if that is not empty."""
    if isinstance(item, str):
        metric, name = _known(item, loss, where, outputs), name or item
    elif callable(item):
        known = (m for m in metrics_of(loss).values() if m.function is item)
        metric, name = next(known, Metric(item)), name or getattr(item, "__name__", "")
    else:
        raise TypeError(message(where, "metrics", _EXPECTED, describe(item)))
    if not re.fullmatch(r"[^\W\d]\w*", str(name)):
        expected = "a function with a name, or a mapping of names to functions"
        raise ValueError(message(where, "metrics", expected, f"{name or item!r:.80}"))
    if name in ("loss", "accuracy") and metric.name != name:
        expected = "another name for a function, because there is a measurement of this name"
        raise ValueError(message(where, "metrics", expected, repr(name)))
    return name, metric


def metrics_of(loss: Loss, outputs: int | None = None) -> dict[str, Metric]:
    """Return the metrics that a loss has, by name; of "top_k" that with k = 5 at most."""
    if loss.classes:
        top = _top(min(5, outputs or 5))
        return {**_OF_LABELS, top.name: top, **_OF_CLASSES}
    return {**_OF_LABELS, **_OF_VALUES} if loss.unit_interval else _OF_VALUES


def _known(name: str, loss: Loss, where: str, outputs: int | None) -> Metric:
    """Return the metric of a name."""
    top = re.fullmatch(r"top_([1-9]\d{0,8})", name)
    if top and loss.classes and int(top[1]) <= (outputs or math.inf):
        return _top(int(top[1]))
    return choice(name, metrics_of(loss, outputs), where, "metrics")


def _top(k: int) -> Metric:
    """Return the metric "top_k"."""
    ranked: Callable[..., float] = partial(top_k, k=k) if k != 5 else top_k
    return Metric(ranked, ranked, name=f"top_{k}")


class Scores:
    """Metrics of a model over the batches of a data set, in which each target counts once.

    Parameters
    ----------
    metrics : mapping of str to Metric
        The metrics by name.
    loss : Loss
        The loss of the model.
    where : str
        The function, for messages.
    """

    def __init__(self, metrics: Mapping[str, Metric], loss: Loss, where: str) -> None:
        self._metrics, self._loss, self._where = metrics, loss, where
        self._means = dict.fromkeys(metrics, 0.0)
        self._weight = 0.0
        self._kept: dict[str, list[Array]] = {"targets": [], "weights": []}
        rest = [m for m in metrics.values() if m.mean is None]
        for name, some in (("labels", any(m.labels for m in rest)),
                           ("outputs", not all(m.labels for m in rest))):  # fmt: skip
            if some:
                self._kept[name] = []

    def add(self, targets: Array, outputs: Array, weights: Array | None) -> None:
        """Add targets [m] or [m, O], outputs [m, O] and weights [m]. All of them count."""
        each = np.ones(len(targets)) if weights is None else weights.astype(np.float64)
        if not each.size:
            return
        mass = each.sum()
        for name, metric in self._metrics.items():
            if metric.mean is not None:
                values = self._values_of(metric, outputs)
                self._means[name] += mass * metric.mean(targets, values, each, **_kind(metric))
        self._weight += mass
        if len(self._kept) > 2:
            labels = classes_of(outputs) if self._loss.classes else outputs
            known = {"targets": targets, "weights": each, "labels": labels, "outputs": outputs}
            for name, arrays in self._kept.items():
                arrays.append(known[name])

    def _values_of(self, metric: Metric, outputs: Array) -> Array:
        """Return outputs, or probabilities of bits for a metric of values."""
        return sigmoid(outputs) if self._loss.unit_interval and _of_values(metric) else outputs

    def results(self) -> dict[str, float]:
        """Return the metrics by name; NaN if there was no target.

        Raises
        ------
        TypeError
            If a function of the user does not return a number.
        """
        if not self._weight:
            return dict.fromkeys(self._metrics, math.nan)
        whole = {name: np.concatenate(arrays) for name, arrays in self._kept.items() if arrays}
        return {name: self._result(name, metric, whole) for name, metric in self._metrics.items()}

    def _result(self, name: str, metric: Metric, whole: Mapping[str, Array]) -> float:
        if metric.mean is not None:
            return metric.finish(float(self._means[name] / self._weight))
        if not metric.name:
            value = metric.function(whole["targets"], whole["outputs"])
            return _number(value, name, self._where)
        seen = whole["labels"] if metric.labels else self._values_of(metric, whole["outputs"])
        kind = {} if metric.labels and self._loss.classes else _kind(metric)
        return float(metric.function(whole["targets"], seen, whole["weights"], **kind))


def _of_values(metric: Metric) -> bool:
    return any(metric.function is known.function for known in _OF_VALUES.values())


def _kind(metric: Metric) -> dict[str, str]:
    """Return the keyword arguments by which a function knows that it gets outputs."""
    return {} if _of_values(metric) else {"kind": "outputs"}


def _number(value: object, name: str, where: str) -> float:
    """Return the number that a function of the user returned."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, float | np.floating):
        return float(value)  # NaN too
    return number(value, where, "metrics", f"a function {name} that returns a number")
