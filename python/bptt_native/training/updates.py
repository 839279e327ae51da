"""Updates of a model: by one batch, or by the gradient over several."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..nn.network import Network
from .batches import Batch


class Update(NamedTuple):
    """The results of an update, by the names of `HistoryRow`.

    Attributes
    ----------
    targets : int
        Number of targets.
    """

    loss: float = math.nan
    grad_norm: float = 0.0
    clipped: bool = False
    skipped: bool = False
    targets: int = 0
    clipped_norm: float | None = None
    clip_angle: float | None = None
    loss_weight: float | None = None


def update(model: Network, batch: Batch, state: Any, mean: bool) -> tuple[Update, Any]:
    """Make an update by a batch.

    Parameters
    ----------
    model : Model
        The model.
    batch : Batch
        The batch. If no target counts, it only changes the state.
    state : ndarray, tuple of ndarray or None
        The state after the previous window.
    mean : bool
        Whether the loss of the model is a mean over targets, not a sum.

    Returns
    -------
    Update, state
        The results, and the state after this window.
    """
    if batch.mass == 0:
        return Update(), _read(model, batch, state)
    result = model.train_step(
        batch.x, batch.targets, batch.carried(state), flow=False, **batch.options,
        **batch.target_options,
    )  # fmt: skip
    weight = batch.mass if mean else 1.0
    return _results(float(result.loss), result, batch.number, weight), result.state


def accumulated(
    model: Network, batches: Iterable[Batch], most: int, state: Any, mean: bool
) -> tuple[Update, Any]:
    """Make an update by the gradient over all targets of several batches.

    Parameters
    ----------
    model, state, mean : optional
        As for `update`.
    batches : iterable of Batch
        The batches, in their order.
    most : int
        Largest number of batches of an update.

    Returns
    -------
    Update, state
        The results, and the state after the last window.
    """
    first = model.step_count * most  # like the draws of train_step: skipped updates do not count
    loss, mass, targets = 0.0, 0.0, 0
    share = 1.0  # a power of two, so scaling is exact; it keeps sums about as small as means
    total: Any = None
    for draw, batch in enumerate(batches, first):
        if batch.mass == 0:
            state = _read(model, batch, state)
            continue
        part, gradients = model.gradients(
            batch.x, batch.targets, batch.carried(state), draw=draw, flow=False, **batch.options,
            **batch.target_options,
        )  # fmt: skip
        state = part.state
        weight = batch.mass if mean else 1.0
        if total is None and mean:
            share = math.ldexp(1.0, -math.frexp(weight * most)[1])
        gradients *= weight * share
        if total is None:
            total = gradients
        else:
            total += gradients
        loss, mass = loss + part.loss * weight, mass + weight
        targets += batch.number
    if total is None:
        return Update(), state
    if mean:
        loss /= mass
        total *= 1 / (mass * share)
    return _results(float(loss), model.apply(total), targets, mass if mean else 1.0), state


def _read(model: Network, batch: Batch, state: Any) -> Any:
    """Return the state after a batch without targets."""
    return model(batch.x, batch.carried(state), **batch.options)[1]


def _results(loss: float, result: Any, targets: int, weight: float) -> Update:
    return Update(
        loss, float(result.grad_norm), bool(result.clipped), bool(result.skipped), targets,
        float(result.clipped_norm), float(result.clip_angle), weight,
    )  # fmt: skip
