"""Sequences that test memory over many steps: adding, copying, and the order of two symbols."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.values import integer

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

ADDING_BASELINE = 1 / 6
"""Mean squared error of a net that always answers 1 in the adding problem."""


def adding(T: int, N: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Generate sequences of the adding problem: add the two marked numbers.

    Parameters
    ----------
    T, N : int
        Number of steps, at least 2, and of sequences.
    rng : numpy.random.Generator
        The source of the random numbers.

    Returns
    -------
    x : float32 [T, N, 2]
        Numbers from U[0, 1), and marks: 1 at one step of each half, 0 elsewhere.
    y : float32 [N, 1]
        The sum of the two marked numbers.

    Raises
    ------
    TypeError, ValueError
        A number is no integer, or is too small.

    References
    ----------
    Hochreiter & Schmidhuber 1997; in this form Arjovsky et al. 2016 (arXiv:1511.06464).

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import tasks
    >>> x, y = tasks.adding(100, 32, np.random.default_rng(0))
    >>> x.shape, y.shape
    ((100, 32, 2), (32, 1))
    >>> np.allclose((x[..., 0] * x[..., 1]).sum(axis=0), y[:, 0])
    True
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


BLANK, DELIMITER = 8, 9
COPIED = 10
COPY_WORDS = DELIMITER + 1
"""Tokens of the copy memory: the symbols 0 to 7, the blank and the delimiter."""


def copy_memory(T: int, N: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Generate sequences of the copy memory: repeat ten symbols after a long blank.

    Parameters
    ----------
    T, N : int
        Number of steps between the symbols and the answer, at least 1, and of sequences.
    rng : numpy.random.Generator
        The source of the random numbers.

    Returns
    -------
    x : int64 [T+20, N]
        Ten symbols below 8, T - 1 blanks, the delimiter, ten blanks.
    y : int64 [T+20, N]
        T + 10 blanks, the ten symbols.

    Raises
    ------
    TypeError, ValueError
        A number is no integer, or is too small.

    References
    ----------
    Hochreiter & Schmidhuber 1997; in this form Arjovsky et al. 2016 (arXiv:1511.06464).

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import tasks
    >>> x, y = tasks.copy_memory(3, 1, np.random.default_rng(0))
    >>> x[:, 0]
    array([6, 5, 4, 2, 2, 0, 0, 0, 1, 6, 8, 8, 9, 8, 8, 8, 8, 8, 8, 8, 8, 8,
           8])
    >>> y[13:, 0]
    array([6, 5, 4, 2, 2, 0, 0, 0, 1, 6])
    """
    integer(T, "copy_memory", "T", 1)
    integer(N, "copy_memory", "N", 1)
    symbols = rng.integers(0, BLANK, (COPIED, N))
    x = np.full((T + 2 * COPIED, N), BLANK, np.int64)
    y = x.copy()
    x[:COPIED] = y[-COPIED:] = symbols
    x[T + COPIED - 1] = DELIMITER
    return x, y


def copy_memory_baseline(T: int) -> float:
    """Return the loss of `copy_memory` for a net that knows the blanks and guesses the symbols.

    Parameters
    ----------
    T : int
        Number of steps between the symbols and the answer, at least 1.

    Returns
    -------
    float
        The cross-entropy in nats per step: 10 ln 8 / (T + 20).

    Raises
    ------
    TypeError, ValueError
        The number is no integer, or is too small.

    Examples
    --------
    >>> from bptt_native import tasks
    >>> round(tasks.copy_memory_baseline(500), 4)
    0.04
    """
    return COPIED * math.log(BLANK) / (integer(T, "copy_memory_baseline", "T", 1) + 2 * COPIED)


ORDER_WORDS, ORDER_CLASSES = 6, 4
"""Tokens of the temporal order (0 and 1 matter, 2 to 5 are distractors), and classes."""


def temporal_order(T: int, N: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Generate sequences of the temporal order: tell two symbols and their order.

    Parameters
    ----------
    T, N : int
        Number of steps, at least 10, and of sequences.
    rng : numpy.random.Generator
        The source of the random numbers.

    Returns
    -------
    x : int64 [T, N]
        Distractors 2 to 5, except for a 0 or 1 at one step of [T/10, 2T/10) and at one of
        [5T/10, 6T/10).
    y : int64 [N]
        2 * the first symbol + the second one: four classes, equally likely.

    Raises
    ------
    TypeError, ValueError
        A number is no integer, or is too small.

    References
    ----------
    Hochreiter & Schmidhuber 1997; in this form Pascanu et al. 2013 (arXiv:1211.5063).

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import tasks
    >>> x, y = tasks.temporal_order(20, 1, np.random.default_rng(0))
    >>> x[:, 0]
    array([5, 4, 4, 0, 3, 2, 2, 2, 2, 5, 1, 5, 4, 4, 5, 4, 4, 4, 4, 5])
    >>> y
    array([1])
    """
    integer(T, "temporal_order", "T", 10)
    integer(N, "temporal_order", "N", 1)
    x = rng.integers(2, ORDER_WORDS, (T, N))
    each = np.arange(N)
    pairs = rng.integers(0, 2, (2, N))
    for symbols, (low, high) in zip(pairs, ((1, 2), (5, 6)), strict=True):
        x[rng.integers(low * T // 10, high * T // 10, N), each] = symbols
    return x, 2 * pairs[0] + pairs[1]
