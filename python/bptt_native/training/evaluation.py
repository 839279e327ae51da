"""How well a model does on sequences it is not trained on: loss, accuracy, its outputs."""

import math
from typing import Any, NamedTuple

import numpy as np

from ..arguments.values import Array, flag
from ..nn.model import Model
from ..nn.parameters import draw_of
from ..options.losses import loss_of
from .batches import Batch, Source, read_data, source_of


class Metrics(NamedTuple):
    """What was measured.

    Attributes
    ----------
    loss : float
        As the model reduces it, over all targets.
    accuracy : float or None
        Share of the targets whose class has the largest output; None for a loss without classes.
    """

    loss: float
    accuracy: float | None


def _first_draw(model: Model, training: bool, draw: int | None, where: str) -> int | None:
    """Return which masks and noise the first batch draws; None: no pass draws any."""
    draws = flag(training, where, "training")
    if draw is not None:
        return draw_of(draw, where, draws)
    return model.step_count if draws else None


def _options(batch: Batch, index: int, first_draw: int | None) -> dict[str, Any]:
    """Return what a pass over a batch takes; each batch draws masks and noise of its own."""
    if first_draw is None:
        return batch.options
    return {**batch.options, "training": True, "draw": (first_draw + index) % 2**64}


def measure(
    model: Model,
    source: Source,
    accuracy: bool = True,
    first_draw: int | None = None,
) -> Metrics:
    """Measure the loss, and for classes the accuracy, over the batches of one epoch.

    Parameters
    ----------
    model : Model
    source : Source
        The states are carried from window to window.
    accuracy : bool
        Whether it is wanted.
    first_draw : int, optional
        Which masks and noise the first batch draws, others the numbers after it; none are drawn by
        default.
    """
    config = model.config
    mean, classes = config["reduction"] == "mean", loss_of(config).classes and accuracy
    ignored = config.get("ignore_index", -100)
    total = mass = 0.0
    right = targets = 0
    state: Any = None
    for index in range(source.batches):
        batch = source.batch(0, index)
        begin, options = batch.carried(state), _options(batch, index, first_draw)
        if batch.mass == 0:
            _, state = model(batch.x, begin, **options)
            continue
        outputs: dict[str, Any] = {"return_outputs": True} if classes else {}
        loss, state, *out = model.evaluate(batch.x, batch.targets, begin, **outputs, **options)
        weight = batch.mass if mean else 1.0
        total, mass = total + loss * weight, mass + weight
        if classes:
            real = batch.targets != ignored
            if batch.lengths is not None and config["targets"] == "every":
                inside = np.arange(real.shape[0])[:, None] < batch.lengths
                if config.get("batch_first", False):
                    inside = np.arange(real.shape[1]) < batch.lengths[:, None]
                real &= inside
            right += int((out[0].argmax(axis=-1) == batch.targets)[real].sum())
            targets += int(real.sum())
    if mass == 0:  # all targets lie in what fills no window
        return Metrics(math.nan, math.nan if classes else None)
    return Metrics(total / mass if mean else total, right / targets if classes else None)


def evaluate(
    model: Model,
    x: Any,
    targets: Any,
    *,
    batch_size: int | None = None,
    window: int | None = None,
    training: bool = False,
    draw: int | None = None,
) -> Metrics:
    """Measure a model on sequences.

    Parameters
    ----------
    model : Model
    x, targets : array_like, or lists of them
        As in ``fit``.
    batch_size : int, optional
        Sequences side by side: 32; one long sequence is read in one piece by default.
    window : int, optional
        Steps at a time, with carried states: the result is the same, the memory less.
    training : bool
        Whether dropout, zoneout and noise are drawn as in training (Monte-Carlo dropout: Gal &
        Ghahramani 2016).
    draw : int, optional
        With `training`: the first batch draws the masks and noise of this number, the next those of
        the number after it, and so on. None: from the model's step count on.

    Returns
    -------
    Metrics
        loss and accuracy. A number of the data that is not finite is measured as it is: the loss
        is NaN or infinite.

    Raises
    ------
    TypeError, ValueError, IndexError
        As in ``fit``.
    """
    first = _first_draw(model, training, draw, "evaluate")
    data = read_data(model, x, targets, "evaluate")
    return measure(model, source_of(data, batch_size, window), first_draw=first)


def predict(
    model: Model,
    x: Any,
    *,
    batch_size: int = 32,
    window: int | None = None,
    training: bool = False,
    draw: int | None = None,
) -> Array | list[Array]:
    """Compute a model's outputs for sequences.

    Parameters
    ----------
    model : Model
    x : array_like, or list of array_like
        As in ``fit``.
    batch_size, window, training, draw : optional
        As in ``evaluate``.

    Returns
    -------
    ndarray or list of ndarray
        With ``targets="last"`` [N, O] ([O] for one sequence); else the form of x with O outputs: a
        list of [T_i, O] for a list. A NaN in a sequence makes the outputs NaN that depend on it,
        and no others.

    Raises
    ------
    TypeError, ValueError, IndexError
        As in ``fit``.
    """
    first = _first_draw(model, training, draw, "predict")
    data = read_data(model, x, None, "predict")
    form = data.form
    pieces: list[list[Array]] = [[] for _ in data.x]
    state: Any = None
    whole = type(data)(form, data.x, None, single=False)
    source = source_of(whole, batch_size, window)
    for index in range(source.batches):
        batch = source.batch(0, index)
        out, state = model(batch.x, batch.carried(state), **_options(batch, index, first))
        steps = form.laid_out(out) if form.every else out
        for n, member in enumerate(batch.members):
            end = None if batch.lengths is None else batch.lengths[n]
            pieces[member].append(steps[:end, n] if form.every else steps[n])
    results = [np.concatenate(p) if form.every else p[0] for p in pieces]
    if data.single:
        return results[0]
    if not form.every:
        return np.stack(results)
    if isinstance(x, list | tuple):
        return results
    return np.stack(results, axis=0 if form.batch_first else 1)
