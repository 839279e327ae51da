"""Targets, predictions and weights of metrics, as arrays of the targets that count."""

import math
from typing import Any

import numpy as np

from ..arguments.values import Array, choice, describe, message

KINDS = ("outputs", "probabilities", "labels")
_CLOSE = 1e-3  # error of the sum of a row of probabilities


def labels(
    where: str, targets: Any, outputs: Any, weights: Any, kind: str | None
) -> tuple[Array, Array, Any]:
    """Return targets and predictions as classes [M], or as bits [M, O], and weights.

    A prediction from NaN is -1.
    """
    _check_kind(where, kind, KINDS)
    t, o = _array(where, "targets", targets), _array(where, "outputs", outputs)
    if t.dtype.kind in "iu" and _has_bits(t, o, kind):
        if t.size and not _within(t, 0, 1):
            expected = f"labels {list(t.shape)} or outputs {[*t.shape, 'O']} of classes"
            raise ValueError(message(where, "outputs", expected, describe(o)))
        t = t.reshape(o.shape).astype(np.float64) if t.size == o.size else t
    t, o, w = _arrays(where, t, o, weights)
    if _is_classes(where, t):
        return t, _predicted(where, o, kind), w
    t, o = t.reshape(len(t), -1), o.reshape(len(o), -1)
    if t.shape != o.shape:
        raise ValueError(message(where, "targets", "classes as integers", describe(t)))
    middle = 0.0 if kind in (None, "outputs") else 0.5
    if kind is None and _within(o, 0, 1) and not np.isin(o[~np.isnan(o)], (0, 1)).all():
        expected = "kind='outputs' or kind='probabilities' for outputs that are all in [0, 1]"
        raise ValueError(message(where, "kind", expected, "None"))
    if kind == "probabilities":
        _check_probabilities(where, o, rows=False)
    return (t > 0.5).astype(int), np.where(np.isnan(o), -1, o > middle), w


def logits(
    where: str, targets: Any, outputs: Any, weights: Any, kind: str | None
) -> tuple[Array, Array, Any, bool]:
    """Return classes [M], outputs [M, O], weights, and whether the outputs are probabilities."""
    _check_kind(where, kind, KINDS[:2])
    t, o, w = _arrays(where, targets, outputs, weights)
    if not _is_classes(where, t):
        raise ValueError(message(where, "targets", "classes as integers", describe(t)))
    if o.ndim != 2:
        expected = f"logits {[*t.shape, 'O']} of classes, which are integers"
        raise ValueError(message(where, "outputs", expected, describe(o)))
    if t.max() >= o.shape[1]:
        expected = f"classes 0 ... {o.shape[1] - 1}, as the outputs have"
        raise ValueError(message(where, "targets", expected, str(t.max())))
    if kind == "probabilities":
        _check_probabilities(where, o, rows=True)
    return t, o, w, kind == "probabilities" or (kind is None and _are_probabilities(o))


def values(where: str, targets: Any, outputs: Any, weights: Any) -> tuple[Array, Array, Any]:
    """Return targets and outputs as numbers [M, O], and weights."""
    t, o, w = _arrays(where, targets, outputs, weights)
    if t.size != o.size:
        raise ValueError(message(where, "outputs", f"{list(t.shape)}, as the targets", describe(o)))
    wide = [a.reshape(len(t), -1).astype(np.float64) for a in (t, o)]
    return wide[0], wide[1], w


def classes_of(outputs: Array) -> Array:
    """Return the class of the largest output of each row [..., O], or -1 if one of them is NaN."""
    return np.where(np.isnan(outputs).any(axis=-1), -1, outputs.argmax(axis=-1))


def _array(where: str, name: str, value: Any) -> Array:
    """Return numbers as an array; those of sequences of several lengths one after the other."""
    listed = isinstance(value, list | tuple) and len(value) > 0
    parts = value if listed and isinstance(value[0], list | tuple | np.ndarray) else ()
    if len({len(part) for part in parts}) > 1:
        value = np.concatenate(parts)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(message(where, name, "numbers", describe(array)))
    return array


def _arrays(where: str, targets: Any, outputs: Any, weights: Any) -> tuple[Array, Array, Any]:
    """Return targets, outputs and weights as arrays whose leading axis is that of the targets."""
    t, o = _array(where, "targets", targets), _array(where, "outputs", outputs)
    fits = o.shape == t.shape or o.shape[:-1] == t.shape
    if not fits or t.ndim == 0 or t.size == 0:
        expected = f"{list(t.shape)} or {[*t.shape, 'O']}, as the targets, and at least one"
        raise ValueError(message(where, "outputs", expected, describe(o)))
    axes = t.ndim if o.ndim > t.ndim or t.ndim == 1 or t.dtype.kind in "iu" else t.ndim - 1
    n = math.prod(t.shape[:axes])
    w = None
    if weights is not None:
        w = _array(where, "weights", weights).astype(np.float64)
        if w.shape != t.shape[:axes]:
            expected = f"{list(t.shape[:axes])}, one for each target"
            raise ValueError(message(where, "weights", expected, describe(w)))
        w = w.ravel()
    return t.reshape(n, *t.shape[axes:]), o.reshape(n, *o.shape[axes:]), w


def _check_kind(where: str, kind: object, kinds: tuple[str, ...]) -> None:
    if kind is not None:
        choice(kind, dict.fromkeys(kinds), where, "kind")


def _has_bits(targets: Array, outputs: Array, kind: str | None) -> bool:
    """Return whether outputs for integers are those of bits: single ones, or no labels."""
    if outputs.shape == (*targets.shape, 1):
        return True
    if outputs.dtype.kind != "f" or outputs.shape != targets.shape or kind == "labels":
        return False
    real = outputs[np.isfinite(outputs)]
    return bool((real != np.rint(real)).any())


def _is_classes(where: str, targets: Array) -> bool:
    """Return whether these are classes, which must not be negative."""
    found = targets.dtype.kind in "iu" and targets.ndim == 1
    if found and targets.min() < 0:
        expected = "classes >= 0, without targets that are ignored"
        raise ValueError(message(where, "targets", expected, str(targets.min())))
    return found


def _predicted(where: str, o: Array, kind: str | None) -> Array:
    """Return the labels of classes from labels [M] or from outputs or probabilities [M, O]."""
    if kind is not None and (kind == "labels") != (o.ndim == 1):
        expected = "labels, one for each target" if kind == "labels" else f"{kind} of each class"
        raise ValueError(message(where, "outputs", expected, describe(o)))
    if o.ndim == 2:
        if kind == "probabilities":
            _check_probabilities(where, o, rows=True)
        return classes_of(o)
    return np.where(np.isnan(o), -1, o).astype(int) if o.dtype.kind == "f" else o


def _within(array: Array, low: float, high: float) -> bool:
    """Return whether all numbers but NaN are in an interval."""
    return not ((array < low) | (array > high)).any()


def _are_probabilities(o: Array) -> bool:
    """Return whether rows [M, O] are all in [0, 1] and add up to 1, but for those with NaN."""
    sums = o.sum(axis=1, dtype=np.float64)
    return _within(o, 0, 1) and _within(sums, 1 - _CLOSE, 1 + _CLOSE)


def _check_probabilities(where: str, o: Array, rows: bool) -> None:
    if not (_are_probabilities(o) if rows else _within(o, 0, 1)):
        expected = "probabilities in [0, 1]" + (", which add up to 1 for each target" * rows)
        raise ValueError(message(where, "outputs", expected, f"{o.min()} ... {o.max()}"))
