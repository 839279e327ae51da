"""The evaluation of a model on sequences: loss, accuracy and outputs."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from ..arguments.names import missing_attribute, suggestion
from ..arguments.values import Array, choice, flag, refuse_type
from ..nn.network import Network
from ..nn.parameters import draw_of
from ..nn.probabilities import sigmoid, softmax
from ..options.losses import loss_of
from .batches import Batch, Source, source_of
from .data import read_data
from .metric_arrays import classes_of
from .scores import Metric, Scores, named_metrics


class Metrics(tuple[Any, ...]):
    """The loss, the accuracy and other metrics of a model, as a tuple and by name.

    As a tuple it is (loss, accuracy); if metrics were given by name, the loss and those, in their
    order. ``metrics["f1"]`` and ``metrics.f1`` are values by name, and ``dict(metrics)`` is all of
    them.

    Parameters
    ----------
    loss : float
        The loss over all targets, with the `reduction` of the model.
    accuracy : float, optional
        Share of the targets whose class has the largest output; None for a loss without classes.
    others : mapping of str to float, optional
        The metrics that were given by name.

    Examples
    --------
    >>> loss, f1 = found = Metrics(0.5, 0.75, {"f1": 0.7})
    >>> found
    Metrics(loss=0.5, accuracy=0.75, f1=0.7)
    >>> f1 == found.f1 == found["f1"]
    True
    """

    loss: float
    accuracy: float | None
    _others: dict[str, float] | None

    def __new__(  # noqa: D102 - the class documents it
        cls, loss: float, accuracy: float | None = None, others: Mapping[str, float] | None = None
    ) -> Self:
        values = (accuracy,) if others is None else others.values()
        self = super().__new__(cls, (loss, *values))
        self.loss, self.accuracy = loss, accuracy
        self._others = None if others is None else dict(others)
        return self

    def keys(self) -> list[str]:
        """Return the names of the metrics."""
        own = ["loss", *(["accuracy"] if self.accuracy is not None else [])]
        return list(dict.fromkeys([*own, *(self._others or {})]))

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key in ("loss", "accuracy"):
            return getattr(self, key)
        if self._others and key in self._others:
            return self._others[key]
        known = self.keys()
        raise KeyError(f"Metrics: no {key!r}{suggestion(key, known)} (it has {', '.join(known)})")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in (self._others or {}):
            return self[name]
        raise missing_attribute(self, name, [] if name.startswith("_") else self.keys())

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.keys()})

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.loss, self.accuracy, self._others

    def __repr__(self) -> str:
        return f"Metrics({', '.join(f'{name}={self[name]!r}' for name in self.keys())})"


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
    metrics: Mapping[str, Metric] | None = None,
    where: str = "evaluate",
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
    metrics : mapping of str to Metric, optional
        Further metrics by name.
    where : str
        The function, for messages.

    Returns
    -------
    Metrics
        The loss and accuracy; NaN if there is no target.
    """
    config, loss_kind = model.config, loss_of(model.config)
    mean, classes = config["reduction"] == "mean", loss_kind.classes and accuracy
    names = metrics or {}
    rest = {k: v for k, v in names.items() if not (classes and k == "accuracy")}
    scores, looks = Scores(rest, loss_kind, where), classes or bool(names)
    total = mass = right = counted = 0.0
    state: Any = None
    for index in range(source.batches):
        batch = source.batch(0, index)
        begin, options = batch.carried(state), chance.options(batch, index)
        if batch.mass == 0:
            _, state = model(batch.x, begin, **options)
            continue
        outputs: dict[str, Any] = {"return_outputs": True} if looks else {}
        loss, state, *out = model.eval_step(
            batch.x, batch.targets, begin, **outputs, **options, **batch.target_options
        )
        weight = batch.mass if mean else 1.0
        total, mass = total + loss * weight, mass + weight
        if looks:
            real = _counts(batch, config)
            own = None if batch.weights is None else batch.weights[real].astype(np.float64)
            if classes:
                hits = (classes_of(out[0]) == batch.targets)[real]
                right += float(hits.sum() if own is None else own @ hits)
                counted += float(real.sum() if own is None else own.sum())
            if rest:
                scores.add(batch.targets[real], out[0][real], own)
    found = scores.results()
    if classes:
        found["accuracy"] = right / counted if counted else math.nan
    value = math.nan if mass == 0 else total / mass if mean else total
    others = {name: found[name] for name in names} if names else None
    return Metrics(value, found.get("accuracy"), others)


def _counts(batch: Batch, config: Mapping[str, Any]) -> Array:
    """Return where a batch has targets that count, in the layout of the model."""
    classes, every = loss_of(dict(config)).classes, config["targets"] == "every"
    shape = batch.targets.shape if classes else batch.targets.shape[:-1]
    real = np.ones(shape, np.bool_)
    if classes:
        real = batch.targets != config.get("ignore_index", -100)
    if batch.weights is not None:
        real &= batch.weights > 0
    if batch.lengths is not None and every:
        if config.get("batch_first", False):
            real &= np.arange(shape[1]) < batch.lengths[:, None]
        else:
            real &= np.arange(shape[0])[:, None] < batch.lengths
    return real


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
    weights: Any = None,
    metrics: Any = None,
) -> Metrics:
    """Compute the loss and metrics of a model on sequences; see `Model.evaluate`."""
    _check_model(model, "evaluate")
    chance = _chance(model, training, noise, draw, "evaluate")
    outputs = int(model.config["output_size"])
    named = named_metrics(metrics, loss_of(model.config), "evaluate", outputs)
    data = read_data(model, x, targets, "evaluate", weights=weights)
    return measure(model, source_of(data, batch_size, window), chance=chance, metrics=named)


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
    data = read_data(model, x, None, where, needed=False)
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
