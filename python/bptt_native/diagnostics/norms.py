"""Norms whose computation neither overflows nor underflows."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Norms = npt.NDArray[np.float64]


class Direction(NamedTuple):
    """A vector as unit * norm * scale, since its norm may be out of the range of float64.

    Attributes
    ----------
    unit : float64 [n]
        A vector of length 1, or zeros for a vector of zeros.
    norm : float
        A number from 1 to sqrt(n), or 0 for a vector of zeros.
    scale : float
        The largest modulus of an element, or 1 for a vector of zeros.
    """

    unit: Norms
    norm: float
    scale: float


def direction_of(vector: Norms) -> Direction:
    """Return the direction and length of a vector."""
    largest = float(np.abs(vector).max(initial=0))
    scale = largest if largest > 0 else 1.0
    with np.errstate(invalid="ignore"):  # infinite elements become NaN
        scaled = vector / scale
    norm = float(np.linalg.norm(scaled))
    return Direction(scaled / norm if norm > 0 else scaled, norm, scale)


def safe_norm(values: Norms, axis: int) -> Norms:
    """Return the norms along an axis."""
    largest = np.abs(values).max(axis=axis, keepdims=True, initial=0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    with np.errstate(over="ignore", invalid="ignore"):  # for vectors with infinite elements
        norms: Norms = np.squeeze(scale, axis) * np.linalg.norm(values / scale, axis=axis)
    return norms
