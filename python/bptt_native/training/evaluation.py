"""The evaluation of a model on sequences: loss, accuracy and outputs."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..arguments.values import Array, choice, flag, refuse_type
from ..nn.network import Network
from ..nn.parameters import draw_of
from ..nn.probabilities import sigmoid, softmax
from ..options.losses import loss_of
from .batches import Batch, Source, read_data, source_of


class Metrics(NamedTuple):
    """The loss and accuracy of a model.

    Attributes
    ----------
    loss : float
        The loss over all targets, with the `reduction` of the model.
    accuracy : float or None
        Share of the targets whose class has the largest output; None for a loss without classes.
    """

    loss: float
    accuracy: float | None


class Chance(NamedTuple):
    """The random masks and noise that the passes of an evaluation draw."""

    training: bool = False  # masks and noise
    noise: bool = False  # noise, even without training
    first: int = 0  # number of the masks and noise of the first batch or window

    def options(self, batch: Batch, index: int) -> dict[str, Any]:
        """Return the keyword arguments of a pass over a batch; each batch has another draw."""
        if not (self.training or self.noise):
            return batch.options
        draw = (self.first + index) % 2**64
        return {**batch.options, "training": self.training, "noise": self.noise, "draw": draw}


NONE = Chance()


def _chance(model: Network, training: bool, noise: bool, draw: int | None, where: str) -> Chance:
    masks, noisy = flag(training, where, "training"), flag(noise, where, "noise")
    first = model.step_count if draw is None else draw_of(draw, where, masks or noisy)
    return Chance(masks, noisy, first)


def measure(
    model: Network,
    source: Source,
    accuracy: bool = True,
    chance: Chance = NONE,
) -> Metrics:
    """Compute the loss, and for classes the accuracy, over the batches of one epoch.

    Parameters
    ----------
    model : Model
        The model, which does not change.
    source : Source
        The batches. States are carried from window to window.
    accuracy : bool
        Whether to compute the accuracy.
    chance : Chance
        The masks and noise that are drawn; none by default.

    Returns
    -------
    Metrics
        The loss and accuracy; NaN if there is no target.
    """
    config = model.config
    mean, classes = config["reduction"] == "mean", loss_of(config).classes and accuracy
    ignored = config.get("ignore_index", -100)
    total = mass = 0.0
    right = targets = 0
    state: Any = None
    for index in range(source.batches):
        batch = source.batch(0, index)
        begin, options = batch.carried(state), chance.options(batch, index)
        if batch.mass == 0:
            _, state = model(batch.x, begin, **options)
            continue
        outputs: dict[str, Any] = {"return_outputs": True} if classes else {}
        loss, state, *out = model.eval_step(batch.x, batch.targets, begin, **outputs, **options)
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
    if mass == 0:  # no window has a target
        return Metrics(math.nan, math.nan if classes else None)
    return Metrics(total / mass if mean else total, right / targets if classes else None)


def evaluate(
    model: Network,
    x: Any,
    targets: Any,
    *,
    batch_size: int | None = None,
    window: int | None = None,
    training: bool = False,
    noise: bool = False,
    draw: int | None = None,
) -> Metrics:
    """Compute the loss and accuracy of a model on sequences; see `Model.evaluate`."""
    _check_model(model, "evaluate")
    chance = _chance(model, training, noise, draw, "evaluate")
    data = read_data(model, x, targets, "evaluate")
    return measure(model, source_of(data, batch_size, window), chance=chance)


def outputs(
    model: Network,
    x: Any,
    *,
    batch_size: int = 32,
    window: int | None = None,
    training: bool = False,
    noise: bool = False,
    draw: int | None = None,
    where: str = "predict",
) -> Array | list[Array]:
    """Compute the outputs of a model for sequences; see `Model.predict`."""
    _check_model(model, where)
    chance = _chance(model, training, noise, draw, where)
    data = read_data(model, x, None, where)
    form = data.form
    pieces: list[list[Array]] = [[] for _ in data.x]
    state: Any = None
    whole = type(data)(form, data.x, None, single=False)
    source = source_of(whole, batch_size, window)
    for index in range(source.batches):
        batch = source.batch(0, index)
        out, state = model(batch.x, batch.carried(state), **chance.options(batch, index))
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


def predict(model: Network, x: Any, kind: str | None = None, **options: Any) -> Array | list[Array]:
    """Compute predictions of a model for sequences; see `Model.predict`."""
    _check_model(model, "predict")
    kinds = _kinds_of(model)
    convert = choice(next(iter(kinds)) if kind is None else kind, kinds, "predict", "kind")
    found = outputs(model, x, **options)
    return [convert(out) for out in found] if isinstance(found, list) else convert(found)


def _kinds_of(model: Network) -> dict[str, Callable[[Array], Array]]:
    """Return the conversions of a model's outputs by the kind of prediction, the default first."""
    loss = loss_of(model.config)
    if loss.classes:
        return {
            "probabilities": lambda out: softmax(out).astype(out.dtype),
            "labels": lambda out: np.asarray(out.argmax(axis=-1)),
            "outputs": np.asarray,
        }
    if loss.unit_interval:
        return {
            "probabilities": lambda out: sigmoid(out).astype(out.dtype),
            "labels": lambda out: (out > 0).astype(np.int64),
            "outputs": np.asarray,
        }
    return {"outputs": np.asarray}


def _check_model(model: object, where: str) -> None:
    if not isinstance(model, Network):
        refuse_type(model, where, "model", "a Model")
