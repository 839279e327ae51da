"""Derivatives by the complex step, and small random parameters for them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_native import reference as ref
from helpers.arrays import error
from helpers.cells import GATES, RECURRENT

KINDS = [("rnn", f) for f in ref.NONLINEARITIES]
KINDS += [(cell, "tanh") for cell in GATES if cell != "rnn"]
STEP = 1e-100
TOLERANCE = 1e-13


def act(f):
    """Return the options of an rnn with this nonlinearity."""
    return ref.Options(nonlinearity=f)


def random_params(rng, cell, features, hidden, layers=1, bias=True):
    """Draw parameters of stacked layers, by PyTorch's names and shapes."""
    params, rows = {}, GATES[cell] * hidden
    for k in range(layers):
        columns, scale = features if k == 0 else hidden, 0.8 / math.sqrt(hidden)
        params[f"weight_ih_l{k}"] = scale * rng.standard_normal((rows, columns))
        if cell in RECURRENT:
            params[f"weight_hh_l{k}"] = scale * rng.standard_normal((rows, hidden))
        if bias:
            params[f"bias_ih_l{k}"] = scale * rng.standard_normal(rows)
        if bias and cell in RECURRENT:
            params[f"bias_hh_l{k}"] = scale * rng.standard_normal(rows)
    return params


def random_state(rng, cell, shape):
    """Draw an (h, c) for lstm, an h for the others."""
    h, c = 0.5 * rng.standard_normal((2, *shape))
    return (h, c) if cell == "lstm" else h


def complex_step(f, tensors):
    """Return df/dz of a real function of a dict of real arrays, one perturbed element at a time."""
    gradients = {}
    for name, z in tensors.items():
        gradients[name] = np.zeros(z.shape)
        for index in np.ndindex(z.shape):
            moved = z.astype(complex)
            moved[index] += 1j * STEP
            gradients[name][index] = f({**tensors, name: moved}).imag / STEP
    return gradients


def assert_equal_gradients(got, expected, tolerance=TOLERANCE):
    """Assert that every tensor is within the tolerance, none missing, none left over."""
    assert got.keys() == expected.keys()
    errors = {name: error(got[name], expected[name]) for name in got}
    assert max(errors.values()) <= tolerance, errors


@dataclass
class SmallNet:
    """A small random net with its data."""

    cfg: ref.ModelConfig
    params: dict[str, Any]
    x: Any
    targets: Any
    state: Any
    dstate: Any


def small_net(seed, kind, layers, bias, source):
    """Return a net whose sizes, loss, place of the targets and reduction follow from the seed."""
    rng = np.random.default_rng(seed)
    T, N, H = (int(n) for n in rng.integers(1, (6, 4, 5)))
    features, outputs = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    cell, nonlinearity = kind
    loss, targets = (("cross_entropy", "mse")[seed % 2], ("every", "last")[seed // 2 % 2])
    reduction = ("mean", "sum")[seed // 4 % 2]
    cfg = ref.ModelConfig(cell, loss, targets, reduction, nonlinearity=nonlinearity)
    rnn = random_params(rng, cell, features, H, layers, bias)
    params = {f"rnn.{name}": p for name, p in rnn.items()}
    x: Any = rng.standard_normal((T, N, features))
    if source == "tokens":
        x = rng.integers(0, features, (T, N), dtype=np.uint8)
    if source == "embedding":
        params["embedding.weight"] = rng.standard_normal((5, features))
        x = rng.integers(0, 5, (T, N), dtype=np.int32)
    params["readout.weight"] = rng.standard_normal((outputs, H)) / math.sqrt(H)
    params["readout.bias"] = rng.standard_normal(outputs)
    shape = (T, N) if targets == "every" else (N,)
    wanted: Any = rng.integers(0, outputs, shape)
    if loss == "mse":
        wanted = rng.standard_normal((*shape, outputs))
    states = [random_state(rng, cell, (layers, N, H)) for _ in range(2)]
    return SmallNet(cfg, params, x, wanted, *states)
