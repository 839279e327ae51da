"""Rules of optimisers with their variants, and gradients for them."""

import numpy as np

import bptt_native as bn
from helpers.arrays import generator

TOKENS = generator(1).integers(0, 3, (6, 2))
# Every rule with its variants: the class and its options.
RULES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adagrad", {}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("RMSprop", {"form": "graves"}),
    ("Lion", {}),
]


def layer_and_gradients(dtype="float64", **options):
    """Return a layer and gradients of it."""
    layer = bn.LSTM(3, 9, dtype=dtype, seed=5, **options)
    y, _, tape = layer.forward(np.zeros((1, 1, 3), dtype))
    return layer, layer.backward(tape, y)
