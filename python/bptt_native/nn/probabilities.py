"""The softmax of a model's outputs, its logarithm, and their sigmoid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..arguments.values import Array

Probabilities = npt.NDArray[np.float64]


def _shifted(logits: Array) -> Probabilities:
    """Return the logits in float64, shifted so that the largest is 0."""
    wide = logits.astype(np.float64)
    return np.asarray(wide - wide.max(axis=-1, keepdims=True))


def softmax(logits: Array) -> Probabilities:
    """Return exp(logits) / sum exp(logits) over the last axis, without overflow."""
    p = np.exp(_shifted(logits))
    return np.asarray(p / p.sum(axis=-1, keepdims=True))


def log_softmax(logits: Array) -> Probabilities:
    """Return the logarithms of the softmax over the last axis, without overflow."""
    shifted = _shifted(logits)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def sigmoid(logits: Array) -> Probabilities:
    """Return 1 / (1 + exp(-logits)) of each element, without overflow."""
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small))
