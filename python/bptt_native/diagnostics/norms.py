"""Norms that neither over- nor underflow on the way."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Norms = npt.NDArray[np.float64]


class Direction(NamedTuple):
    """A vector as unit * norm * scale, as the norm itself may lie beyond float64.

    Attributes
    ----------
    unit : float64 [n]
        Of length 1; zeros for a vector of zeros.
    norm : float
        From 1 to sqrt(n); 0 for a vector of zeros.
    scale : float
        The largest modulus of an element; 1 for zeros.
    """

    unit: Norms
    norm: float
    scale: float


def direction_of(vector: Norms) -> Direction:
    """Take a vector apart."""
    largest = float(np.abs(vector).max(initial=0))
    scale = largest if largest > 0 else 1.0
    with np.errstate(invalid="ignore"):  # NaN of what is not finite
        scaled = vector / scale
    norm = float(np.linalg.norm(scaled))
    return Direction(scaled / norm if norm > 0 else scaled, norm, scale)


def safe_norm(values: Norms, axis: int) -> Norms:
    """Give norms along an axis."""
    largest = np.abs(values).max(axis=axis, keepdims=True, initial=0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    with np.errstate(over="ignore", invalid="ignore"):  # beside an infinite element
        norms: Norms = np.squeeze(scale, axis) * np.linalg.norm(values / scale, axis=axis)
    return norms
