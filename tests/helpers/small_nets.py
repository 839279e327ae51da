"""Sizes, states and models for tests that need any small net."""

import bptt_native as bn
from helpers.arrays import generator

T, N, I, H, L = 5, 3, 4, 6, 2  # noqa: E741


def draw_state(cell, *shape, dtype="float32", seed=1):
    """Return an h, or an (h, c) of an LSTM."""
    h, c = generator(seed).standard_normal((2, *shape)).astype(dtype)
    return (h, c) if cell == "lstm" else h


def model(**options):
    """Return a model of tokens."""
    settings = {
        "vocab_size": 7,
        "hidden_size": H,
        "output_size": 7,
        "optimizer": "adam",
        "lr": 0.01,
    }
    return bn.Model(**(settings | options))
