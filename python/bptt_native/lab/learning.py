"""What the task experiments share: five nets that train on a task, and how long each took."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..nn.model import Model
from ..options.init import Init
from .experiment import Row

NETS: dict[str, tuple[str, str, Init]] = {
    "tanh RNN": ("rnn", "tanh", Init("default")),
    "IRNN": ("rnn", "relu", Init("identity")),
    "LSTM": ("lstm", "tanh", Init("default", forget_bias=1.0)),
    "GRU": ("gru", "tanh", Init("default")),
    "chrono LSTM": ("lstm", "tanh", Init("chrono")),
}
GATED = ("LSTM", "GRU", "chrono LSTM")
HELD_OUT = 2000
Batch = Callable[[np.random.Generator], tuple[Any, Any]]


def build(net: str, time_scale: float, seed: int, **options: Any) -> Model:
    """Make one of ``NETS`` with the recipe of all: Adam, the gradient's norm clipped at 1.

    Parameters
    ----------
    net : str
    time_scale : float
        Of chrono, in steps.
    seed : int
    **options
        Of ``Model``.
    """
    cell, nonlinearity, init = NETS[net]
    if init.weights == "chrono":
        init = init._replace(time_scale=time_scale)
    return Model(
        cell, nonlinearity=nonlinearity, init=init, optimizer="adam", clip_norm=1.0, seed=seed,
        **options,
    )  # fmt: skip


def batch_rng(seed: int, update: int) -> np.random.Generator:
    """Give the generator of one update's batch: it depends on seed and update alone."""
    return np.random.default_rng((seed, update))


def train(
    model: Model, batch: Batch, updates: int, window: int, seed: int, goal: float = 0.0
) -> list[Row]:
    """Train on batches that are all new.

    Parameters
    ----------
    model : Model
    batch : callable (rng) -> (x, y)
    updates, window : int
        Updates at most, and updates per row.
    seed : int
        Of the batches.
    goal : float
        Training ends with the first window whose mean loss is below this.

    Returns
    -------
    list of Row
        The updates so far and the mean loss of the window.
    """
    rows: list[Row] = []
    for first in range(0, updates, window):
        losses = [model.train_step(*batch(batch_rng(seed, first + k))).loss for k in range(window)]
        rows.append({"update": first + window, "loss": float(np.mean(losses))})
        if float(np.mean(losses)) < goal:
            break
    return rows


def held_out(model: Model, batch: Callable[[int, np.random.Generator], tuple[Any, Any]],
             seed: int, count: int = HELD_OUT) -> tuple[Any, Any]:  # fmt: skip
    """Give the outputs on sequences that training never sees, and the targets."""
    x, y = batch(count, np.random.default_rng((2**32, seed)))
    return model(x)[0], y


def runs_of(rows: Sequence[Row], **which: object) -> list[list[Row]]:
    """Give the rows in which all of `which` agree, by seed."""
    runs: dict[int, list[Row]] = {}
    for row in rows:
        if all(row.get(key) == value for key, value in which.items()):
            runs.setdefault(int(row["seed"]), []).append(row)
    return list(runs.values())


def ends(rows: Sequence[Row], of: str, **which: object) -> list[float]:
    """Give what stands in the last row of each run."""
    return [float(run[-1][of]) for run in runs_of(rows, **which)]


def filled(run: Sequence[Row], updates: Sequence[int], of: str = "loss") -> list[float]:
    """Give a run's values at `updates`, the last one held on where the run ended before."""
    values = {int(row["update"]): float(row[of]) for row in run}
    last = float(run[-1][of])
    return [values.get(update, last) for update in updates]


def first_below(run: Sequence[Row], level: float) -> float:
    """Give after how many updates a window's mean loss was below `level`; or infinity."""
    return next((float(r["update"]) for r in run if float(r["loss"]) < level), math.inf)


def spelled(values: Sequence[float], form: str = ".3g") -> str:
    """Write values in ascending order."""
    return ", ".join("never" if math.isinf(v) else format(v, form) for v in sorted(values))
