"""Small models and data to fit them to, and the figures that a run decides."""

import dataclasses

import numpy as np

import bptt_native as bn


def classifier(**changes):
    """Return a model of one class per sequence."""
    options = {"input_size": 3, "hidden_size": 8, "output_size": 4, "targets": "last", "lr": 1e-2}
    return bn.Model("gru", **(options | changes))


def tagger(**changes):
    """Return a model of one class per step."""
    return classifier(**({"targets": "every"} | changes))


def regressor(**changes):
    """Return a model of one number per step."""
    options = {"targets": "every", "loss": "mse", "input_size": 1, "output_size": 1}
    return classifier(**(options | changes))


def sequences(n=10, T=7, I=3, seed=0, equal=True):  # noqa: E741
    """Return sequences and the class of each, the feature that has the largest mean."""
    rng = np.random.default_rng(seed)
    lengths = np.full(n, T) if equal else rng.integers(2, T + 1, n)
    x = [rng.standard_normal((t, I)).astype(np.float32) for t in lengths]
    return x, np.array([s.mean(axis=0).argmax() for s in x])


def series(T=200, seed=0):
    """Return a noisy sine and the same one step ahead."""
    t = np.arange(T + 1)
    noise = 0.05 * np.random.default_rng(seed).standard_normal(T + 1)
    x = (np.sin(t / 3) + noise).astype(np.float32)
    return x[:-1, None], x[1:]


def bits(model):
    """Return the bits of each parameter."""
    return {name: value.tobytes() for name, value in model.state_dict().items()}


def figures(rows):
    """Return the rows of a history without those figures that the clock decides."""
    return [dataclasses.replace(row, seconds=0.0, targets_per_s=0.0) for row in rows]
