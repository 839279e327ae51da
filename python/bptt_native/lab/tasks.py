"""Tasks on which recurrent learning is measured: batches without end, from a generator."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import integer

Floats = npt.NDArray[np.float32]

ADDING_BASELINE = 1 / 6
"""The mean squared error of the adding problem when 1 is answered always."""


def adding(T: int, N: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Make sequences of the adding problem: add the two numbers that are marked.

    Parameters
    ----------
    T, N : int
        Steps, at least 2, and sequences.
    rng : numpy.random.Generator

    Returns
    -------
    x : float32 [T, N, 2]
        Numbers from U[0, 1), and marks: 1 at one step of each half, 0 elsewhere.
    y : float32 [N, 1]
        The sum of the two marked numbers.

    References
    ----------
    Hochreiter & Schmidhuber 1997; in this form Arjovsky et al. 2016 (arXiv:1511.06464).
    """
    integer(T, "adding", "T", 2)
    integer(N, "adding", "N", 1)
    x = np.zeros((T, N, 2), np.float32)
    x[..., 0] = rng.random((T, N), np.float32)
    each = np.arange(N)
    y: Any = np.zeros(N, np.float32)
    for low, high in ((0, T // 2), (T // 2, T)):
        at = rng.integers(low, high, N)
        x[at, each, 1] = 1
        y += x[at, each, 0]
    return x, y[:, None]
