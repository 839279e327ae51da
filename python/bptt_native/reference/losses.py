"""The losses, each with its gradient.

Each row is a target with a weight; rows with weight 0 are not read. ``reduction="mean"`` divides by
the sum of weights that the loss defines, "sum" does not. Class weights are one factor per output. A
mean without any target is refused.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .basics import Array, check, choose
from .cells import sigmoid, softplus


def _weights(where: str, weights: Any, shape: tuple[int, ...]) -> Array:
    if weights is None:
        return np.ones(shape)
    weights = check(f"{where}: argument 'weights'", weights, shape)
    if not (weights >= 0).all():
        raise ValueError(f"{where}: argument 'weights': expected numbers >= 0, got {weights.min()}")
    return np.asarray(weights)


def _classes(where: str, class_weights: Any, count: int) -> Array:
    if class_weights is None:
        return np.ones(count)
    return check(f"{where}: argument 'class_weights'", class_weights, (count,))


def _divisor(where: str, reduction: str, total: Any) -> Any:
    if choose("argument 'reduction'", {"mean": True, "sum": False}, reduction) and total == 0:
        raise ValueError(f"{where}: argument 'targets': expected a target at least, got none")
    return total if reduction == "mean" else 1


def softmax_cross_entropy(logits: Array, targets: Array, reduction: str = "mean", *,
                          weights: Array | None = None, class_weights: Array | None = None,
                          ignore_index: int = -100, label_smoothing: float = 0.0,
                          ) -> Any:  # fmt: skip
    """Return sum_i w_i l_i / sum_i w_i c_{y_i} and its gradient by the logits [..., O].

    l = -(1-e) c_y log p_y - e/O sum_k c_k log p_k, where y is the target, c are the class weights,
    p = softmax(logits) and e is the label smoothing (Szegedy et al. 2016). Targets equal to
    ``ignore_index`` do not count.
    """
    where, O = "softmax_cross_entropy", logits.shape[-1]  # noqa: E741
    targets = check(f"{where}: argument 'targets'", targets, logits.shape[:-1], "iu")
    w, c = _weights(where, weights, targets.shape), _classes(where, class_weights, O)
    w = np.where(targets == ignore_index, 0, w)
    targets = np.where(w > 0, targets, 0)
    if targets.min() < 0 or targets.max() >= O:
        got = f"{targets.min()} ... {targets.max()}"
        raise IndexError(f"{where}: argument 'targets': expected 0 ... {O - 1}, got {got}")
    divisor = _divisor(where, reduction, np.sum(w * c[targets]))
    logits = np.where((w > 0)[..., None], logits, 0)
    q = (1 - label_smoothing) * c * np.eye(O)[targets] + label_smoothing / O * c
    shifted = logits - logits.real.max(axis=-1, keepdims=True).astype(np.float64)
    sums = np.exp(shifted).sum(axis=-1, keepdims=True)
    minus_log_p = np.where(q > 0, np.log(sums) - shifted, 0)
    loss = np.sum(w[..., None] * np.where(q > 0, q, 0) * minus_log_p) / divisor
    d = q.sum(axis=-1, keepdims=True) * np.exp(shifted) / sums - q
    return loss, w[..., None] * d / divisor


def mean_squared_error(out: Array, targets: Array, reduction: str = "mean", *,
                       weights: Array | None = None, class_weights: Array | None = None,
                       ) -> Any:  # fmt: skip
    """Return sum_io w_i c_o (out - target)^2 / (O sum_i w_i) and its gradient."""

    def element(out: Array, targets: Array) -> Any:
        error = out - targets
        return error * error, 2 * error

    how = (reduction, weights, class_weights)
    return _by_elements("mean_squared_error", element, out, targets, *how)


def binary_cross_entropy(out: Array, targets: Array, reduction: str = "mean", *,
                         weights: Array | None = None, class_weights: Array | None = None,
                         ) -> Any:  # fmt: skip
    """Return sum_io w_i c_o l_io / (O sum_i w_i) and its gradient.

    l = -t log p - (1-t) log(1-p) with p = sigmoid(out) and a target t in [0, 1]: out are logits.
    """
    where = "binary_cross_entropy"

    def element(out: Array, targets: Array) -> Any:
        if not ((targets >= 0) & (targets <= 1)).all():
            got = f"{targets.min()} ... {targets.max()}"
            raise ValueError(f"{where}: argument 'targets': expected 0 ... 1, got {got}")
        return softplus(out) - targets * out, sigmoid(out) - targets

    return _by_elements(where, element, out, targets, reduction, weights, class_weights)


def huber(out: Array, targets: Array, reduction: str = "mean", *, delta: float = 1.0,
          weights: Array | None = None, class_weights: Array | None = None,
          ) -> Any:  # fmt: skip
    """Return sum_io w_i c_o l_io / (O sum_i w_i) and its gradient.

    l = d^2 / 2 for |d| <= delta, else delta (|d| - delta/2), with d = out - target (Huber 1964).
    """
    if not (delta > 0 and np.isfinite(delta)):
        raise ValueError(f"huber: argument 'delta': expected a finite number > 0, got {delta}")

    def element(out: Array, targets: Array) -> Any:
        error = out - targets
        sign = np.where(error.real < 0, -1.0, 1.0)
        size = sign * error
        most = np.where(size.real > delta, delta, size)
        return most * (size - most / 2), sign * most

    return _by_elements("huber", element, out, targets, reduction, weights, class_weights)


def _by_elements(where: str, element: Callable[[Array, Array], Any], out: Array, targets: Array,
                 reduction: str, weights: Any, class_weights: Any) -> Any:  # fmt: skip
    """Return the weighted sum of `element(out, targets)`, a loss and its derivative."""
    targets = check(f"{where}: argument 'targets'", targets, out.shape)
    w = _weights(where, weights, out.shape[:-1])
    c = _classes(where, class_weights, out.shape[-1])
    divisor = _divisor(where, reduction, out.shape[-1] * np.sum(w))
    read = (w > 0)[..., None]
    loss, slope = element(np.where(read, out, 0), np.where(read, targets, 0))
    factor = w[..., None] * c
    return np.sum(factor * loss) / divisor, factor * slope / divisor


LOSSES: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "cross_entropy": (
        softmax_cross_entropy,
        {"ignore_index": "ignore_index", "label_smoothing": "label_smoothing"},
    ),
    "mse": (mean_squared_error, {}),
    "binary_cross_entropy": (binary_cross_entropy, {}),
    "huber": (huber, {"delta": "huber_delta"}),
}
"""The losses by name, each with the options of a model that are its arguments."""
