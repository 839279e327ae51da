"""Minima of q(s) = |F(s) - s|^2 / 2 by the method of Levenberg and Marquardt, side by side.

With the residual r = F(s) - s and its Jacobian R = J - I, a step is

    d = -(R^T R + lambda I)^-1 R^T r        lambda = mu |r|

It is taken if q falls. mu follows the ratio of the fall to that of the quadratic model (Nielsen
1999). As lambda vanishes with |r|, convergence to a fixed point is quadratic (Fan & Yuan 2005).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .norms import Norms, safe_norm
from .step_map import StepMap, diagonals

BLOCK = 2**18  # elements of Jacobians that are computed at a time, so that they stay in the cache
FIRST, MOST = 0.01, 1e15  # mu at the start, and at most
EPSILON, TINY = 2.0**-52, 2.0**-1022
STILL = 1e-8  # iterations end with steps below this fraction of the state's norm, or of 1
FLAT = 1e-5  # at a minimum |R^T r| is below this fraction of |r|; at a kink of a ReLU it is not


class Minima(NamedTuple):
    """The ends of minimisations from N starts.

    Attributes
    ----------
    states : float64 [N, S]
    q : float64 [N]
    reached : bool [N]
        Whether a minimum is reached: q is within the tolerance, or its gradient is almost 0.
    iterations : int64 [N]
        Number of steps that were computed.
    """

    states: Norms
    q: Norms
    reached: npt.NDArray[np.bool_]
    iterations: npt.NDArray[np.int64]


def speeds(residuals: Norms) -> Norms:
    """Return q = |r|^2 / 2 of residuals [N, S]; infinite if they are not finite."""
    q = 0.5 * np.einsum("ns,ns->n", residuals, residuals)
    return np.where(np.isnan(q), np.inf, q)


def is_fixed(states: Norms, q: Norms, tolerance: float) -> npt.NDArray[np.bool_]:
    """Return whether q is at most tolerance max(1, |s|^2) for states [N, S]."""
    size = np.maximum(1.0, safe_norm(states, 1))
    return np.asarray(q / size <= tolerance * size)


def minimise(step: StepMap, starts: Norms, tolerance: float, iterations: int) -> Minima:
    """Minimise q from many starts.

    Parameters
    ----------
    step : StepMap
    starts : float64 [N, S]
    tolerance : float
        See `is_fixed`.
    iterations : int
        The largest number of steps.

    Returns
    -------
    Minima
    """
    states = starts.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        q = speeds(step(states) - states)
    reached, taken = is_fixed(states, q, tolerance), np.zeros(len(states), np.int64)
    ended = reached.copy()
    mu, factor = np.full(len(states), FIRST), np.full(len(states), 2.0)
    active = np.flatnonzero(~reached & np.isfinite(q))
    while len(active) and taken[active[0]] < iterations:
        for block in _blocks(active, step.size):
            before, q_before = states[block], q[block]
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                damping = mu[block] * np.sqrt(2 * q_before)
                shift, gradient, damping = _shifts(step, before, damping)
                after = before + shift
                q_after = speeds(step(after) - after)
                expected = 0.5 * (shift * (damping[:, None] * shift - gradient)).sum(1)
                ratio = (q_before - q_after) / expected
            good = (q_after < q_before) & (ratio > 1e-3)
            better, worse = block[good], block[~good]
            states[better], q[better] = after[good], q_after[good]
            mu[better] *= np.clip(1 - (2 * ratio[good] - 1) ** 3, 1 / 3, 2.0)
            factor[better] = 2.0
            mu[worse] = np.minimum(mu[worse] * factor[worse], MOST)
            factor[worse] = np.minimum(2 * factor[worse], MOST)
            size = np.maximum(1.0, safe_norm(states[block], 1))
            still = (safe_norm(shift, 1) <= STILL * size) & (q[block] > 0.25 * q_before)
            flat = safe_norm(gradient, 1) <= FLAT * np.sqrt(2 * q_before)
            reached[block] = (still & flat) | is_fixed(states[block], q[block], tolerance)
            ended[block] = still | reached[block]
            taken[block] += 1
        active = active[~ended[active]]
    return Minima(states, q, reached, taken)


def _blocks(active: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the indices in blocks whose Jacobians have about `BLOCK` elements."""
    length = max(1, BLOCK // size**2)
    for first in range(0, len(active), length):
        yield active[first : first + length]


def _shifts(step: StepMap, states: Norms, damping: Norms) -> tuple[Norms, Norms, Norms]:
    """Return the steps from states [N, S], the gradients of q, and the lambda that were used."""
    after, J = step.with_jacobians(states)
    residual = after - states
    diagonals(J)[:] -= 1
    transposed = J.swapaxes(1, 2)
    gradient: Norms = np.matmul(transposed, residual[:, :, None])[:, :, 0]
    matrix: Norms = np.matmul(transposed, J)
    # Below this, rounding may make the matrix singular.
    least: Norms = 4 * step.size * EPSILON * diagonals(matrix).max(axis=1)
    used: Norms = np.maximum(np.maximum(damping, least), TINY)
    diagonals(matrix)[:] += used[:, None]
    shift = np.asarray(np.linalg.solve(matrix, -gradient[:, :, None])[:, :, 0], np.float64)
    return shift, gradient, used
