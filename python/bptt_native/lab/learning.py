"""Nets, training loop and evaluation that the experiments on tasks share."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..models.model import Model
from ..options.init import Init
from ..options.words import Cell, Nonlinearity
from ..tasks import adding
from .experiment import Row

NETS: dict[str, tuple[Cell, Nonlinearity, Init]] = {
    "tanh RNN": ("rnn", "tanh", Init("default")),
    "IRNN": ("rnn", "relu", Init("identity")),
    "LSTM": ("lstm", "tanh", Init("default", forget_bias=1.0)),
    "GRU": ("gru", "tanh", Init("default")),
    "chrono LSTM": ("lstm", "tanh", Init("chrono")),
}
GATED = ("LSTM", "GRU", "chrono LSTM")
HELD_OUT = 2000  # sequences that training never uses
Batch = Callable[[np.random.Generator], tuple[Any, Any]]


def build(net: str, time_scale: float, seed: int, **options: Any) -> Model:
    """Build one of ``NETS``, trained by Adam with the gradient's norm clipped at 1.

    Parameters
    ----------
    net : str
    time_scale : float
        Time scale of the chrono initialisation in steps.
    seed : int
    **options
        Further options of ``Model``.
    """
    cell, nonlinearity, init = NETS[net]
    if init.weights == "chrono":
        init = init._replace(time_scale=time_scale)
    return Model(
        cell, nonlinearity=nonlinearity, init=init, optimizer="adam", clip_norm=1.0, seed=seed,
        **options,
    )  # fmt: skip


def batch_rng(seed: int, update: int) -> np.random.Generator:
    """Return the generator of one update's batch, which depends only on seed and update."""
    return np.random.default_rng((seed, update))


def train(
    model: Model, batch: Batch, updates: int, window: int, seed: int, goal: float = 0.0
) -> list[Row]:
    """Train on a new batch at each update.

    Parameters
    ----------
    model : Model
    batch : callable (rng) -> (x, y)
    updates, window : int
        Largest number of updates, and updates per row.
    seed : int
        Seed of the batches.
    goal : float
        Training ends after the first window whose mean loss is below this.

    Returns
    -------
    list of Row
        For each window, the updates so far and the mean loss.
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
    """Return the outputs on sequences that training never uses, and the targets."""
    x, y = batch(count, np.random.default_rng((2**32, seed)))
    return model(x)[0], y


def adding_error(model: Model, steps: int, seed: int) -> float:
    """Return the mean squared error on held-out sequences of the adding problem."""
    x, y = adding(steps, HELD_OUT, np.random.default_rng(2**32 + seed))
    return float(np.mean((model(x)[0].astype(np.float64) - y) ** 2))


def runs_of(rows: Sequence[Row], **which: object) -> list[list[Row]]:
    """Return the rows whose values equal all of `which`, a list for each seed."""
    runs: dict[int, list[Row]] = {}
    for row in rows:
        if all(row.get(key) == value for key, value in which.items()):
            runs.setdefault(int(row["seed"]), []).append(row)
    return list(runs.values())


def ends(rows: Sequence[Row], of: str, **which: object) -> list[float]:
    """Return a value of the last row of each run."""
    return [float(run[-1][of]) for run in runs_of(rows, **which)]


def filled(run: Sequence[Row], updates: Sequence[int], of: str = "loss") -> list[float]:
    """Return a run's values at `updates`; after the run's end, its last value."""
    values = {int(row["update"]): float(row[of]) for row in run}
    last = float(run[-1][of])
    return [values.get(update, last) for update in updates]


def first_below(run: Sequence[Row], level: float) -> float:
    """Return the updates until a window's mean loss is below `level`, or infinity."""
    return next((float(r["update"]) for r in run if float(r["loss"]) < level), math.inf)


def spelled(values: Sequence[float], form: str = ".3g") -> str:
    """Return values as text, in ascending order."""
    return ", ".join("never" if math.isinf(v) else format(v, form) for v in sorted(values))
