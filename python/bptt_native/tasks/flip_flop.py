"""The flip-flop: channels that keep the sign of their last pulse."""

import numpy as np
import numpy.typing as npt

from ..arguments.values import integer, message, number

Floats = npt.NDArray[np.float32]


def flip_flop(
    T: int, N: int, rng: np.random.Generator, bits: int = 3, probability: float = 0.1
) -> tuple[Floats, Floats]:
    """Generate sequences of the flip-flop: keep the sign of each channel's last pulse.

    The channels are independent. A net solves the task with a stable fixed point for each of the
    2**bits memories, and saddle points between them (`bptt_native.diagnostics.fixed_points`).

    Parameters
    ----------
    T, N : int
        Number of steps and of sequences, at least 1.
    rng : numpy.random.Generator
        The source of the random numbers.
    bits : int
        Number of channels, at least 1.
    probability : float
        Probability of a pulse in a channel at a step, above 0 and at most 1. At the first step
        there is a pulse in all channels, so the target is always defined.

    Returns
    -------
    x : float32 [T, N, bits]
        The pulses: -1 or 1, equally likely, and 0 where there is none.
    y : float32 [T, N, bits]
        The last pulse up to this step, -1 or 1.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type, or out of bounds.

    References
    ----------
    Sussillo & Barak 2013, "Opening the black box: low-dimensional dynamics in high-dimensional
    recurrent neural networks", Neural Computation 25(3), section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import tasks
    >>> x, y = tasks.flip_flop(10, 1, np.random.default_rng(2), bits=2, probability=0.4)
    >>> x[:, 0, 0].astype(int)
    array([-1,  0,  0,  1,  1,  0,  0,  0,  0, -1])
    >>> y[:, 0, 0].astype(int)
    array([-1, -1, -1,  1,  1,  1,  1,  1,  1, -1])
    """
    where = "flip_flop"
    integer(T, where, "T", 1)
    integer(N, where, "N", 1)
    integer(bits, where, "bits", 1)
    expected = "a number above 0, at most 1"
    if not 0 < number(probability, where, "probability", expected) <= 1:
        raise ValueError(message(where, "probability", expected, str(probability)))
    pulses = rng.random((T, N, bits)) < probability
    pulses[0] = True
    signs = 2 * rng.integers(0, 2, (T, N, bits)) - 1
    x = np.where(pulses, signs, 0).astype(np.float32)
    steps = np.arange(T)[:, None, None]
    last = np.maximum.accumulate(np.where(pulses, steps, 0), axis=0)
    return x, np.take_along_axis(x, last, axis=0)
