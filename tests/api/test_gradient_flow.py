"""Gradient flow: the norms, the decay per step, and the vanishing gradient of the article."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bptt_native as bn
from bptt_native import reference
from bptt_native.apps.text import TextOptions, TextTrainer
from bptt_native.apps.text_data import pydoc_prose, windows
from bptt_native.diagnostics import decay_per_step, gradient_flow, half_life
from helpers.cells import LAYERS

# ---------------------------------------------------------------------------------------- the decay


@given(st.floats(0.01, 1.5), st.floats(1e-3, 1e3), st.integers(2, 60))
def test_decay_of_a_geometric_sequence(rate, first, n):
    norms = first * rate ** np.arange(n)
    assert decay_per_step(norms) == pytest.approx(rate, rel=1e-9)


def test_decay_is_the_least_squares_slope():
    norms = np.exp(np.random.default_rng(0).normal(size=50) - 0.3 * np.arange(50))
    slope = np.polyfit(np.arange(50), np.log(norms), 1)[0]
    assert decay_per_step(norms) == pytest.approx(np.exp(slope), rel=1e-9)


def test_decay_ends_where_nothing_is_measurable():
    norms = 0.1 ** np.arange(30.0)
    norms[20:] = 0.0
    assert decay_per_step(norms) == pytest.approx(0.1)
    norms[10:] = 1e-10
    assert decay_per_step(norms, floor=1e-10) == pytest.approx(0.1)
    assert decay_per_step([1.0, 0.5, math.inf, 0.1]) == pytest.approx(0.5)
    for nothing in ([], [1.0], [0.0, 0.0], [math.nan, 1.0, 1.0]):
        assert math.isnan(decay_per_step(nothing))


def test_half_life():
    assert half_life(0.5) == 1
    assert half_life(0.5**0.1) == pytest.approx(10)
    assert half_life(1.0) == half_life(1.2) == math.inf
    assert math.isnan(half_life(math.nan))


# ---------------------------------------------------------------------------------------- the norms


@pytest.mark.parametrize("cell", LAYERS)
def test_flow_of_a_layer_is_that_of_the_reference(cell, dtype):
    rng = np.random.default_rng(1)
    make = LAYERS[cell]
    layer = make(3, 7, 2, dtype=dtype, seed=4)
    x = rng.standard_normal((12, 4, 3)).astype(dtype)
    params = {name: value.astype(np.float64) for name, value in layer.state_dict().items()}
    y, _, tape = reference.forward(cell, params, x.astype(np.float64))
    dy = np.zeros_like(y)
    dy[-1] = 1
    expected = reference.backward(cell, params, tape, dy)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    for k in (0, 1, -1):
        flow = gradient_flow(layer, x, layer=k)
        np.testing.assert_allclose(flow.h[::-1], expected.flow[k], rtol=tolerance)
        assert flow.distance.tolist() == list(range(12))
        if cell == "lstm":
            np.testing.assert_allclose(flow.c[::-1], expected.flow_c[k], rtol=tolerance)
        else:
            assert flow.c is None
            assert flow.decay_c is None
    last = np.sqrt(y[-1].size)  # of a gradient of ones
    assert gradient_flow(layer, x).h[0] == pytest.approx(last, rel=tolerance)


def test_batch_first_means_the_same():
    x = np.random.default_rng(2).standard_normal((9, 3, 2)).astype(np.float32)
    one = gradient_flow(bn.GRU(2, 5), x)
    two = gradient_flow(bn.GRU(2, 5, batch_first=True), x.swapaxes(0, 1))
    np.testing.assert_allclose(one.h, two.h, rtol=1e-6)


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_flow_of_a_model_is_that_of_its_loss_at_the_last_step(targets, kind):
    """The same as the flow that a model with the loss at the last step reports itself."""
    rng = np.random.default_rng(3)
    common = {"cell": "lstm", "hidden_size": 6, "output_size": 5, "dtype": "float64", "seed": 1}
    if kind == "classes":
        common |= {"vocab_size": 5}
        x, target = rng.integers(0, 5, (10, 3)), rng.integers(0, 5, 3)
    else:
        common |= {"input_size": 4, "loss": "mse"}
        x, target = rng.standard_normal((10, 3, 4)), rng.standard_normal((3, 5))
    flow = gradient_flow(bn.Model(**common, targets=targets), x, target)
    itself = bn.Model(**common, targets="last").train_step(x, target)
    np.testing.assert_allclose(flow.h[::-1], itself.flow[0], rtol=1e-10)
    assert flow.decay == pytest.approx(decay_per_step(itself.flow[0][::-1]))


def test_flow_leaves_the_model_alone_and_knows_the_state():
    model = bn.Model(cell="gru", vocab_size=5, hidden_size=6, output_size=5)
    before = model.state_dict()
    x, target = np.arange(20).reshape(10, 2) % 5, np.array([1, 2])
    one = gradient_flow(model, x, target)
    two = gradient_flow(model, x, target, np.full((1, 2, 6), 0.9, np.float32))
    assert not np.allclose(one.h, two.h)
    assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items())


def test_bad_targets_are_named():
    model = bn.Model(cell="gru", vocab_size=5, hidden_size=6, output_size=5)
    x = np.zeros((10, 2), np.int64)
    where = "gradient_flow: argument 'target': expected "
    with pytest.raises(ValueError, match=where + r"shape \(2,\), got \(3,\)"):
        gradient_flow(model, x, np.array([1, 2, 3]))
    with pytest.raises(ValueError, match=where + r"shape \(2, 5\), got \(2,\)"):
        gradient_flow(model, x, np.array([1.0, 2.0]))
    with pytest.raises(IndexError, match=where + r"0 \.\.\. 4, got 1 \.\.\. 5"):
        gradient_flow(model, x, np.array([1, 5]))


# --------------------------------------------------------------------------- the vanishing gradient


KINDS = {
    "sigmoid RNN": {"cell": "rnn", "nonlinearity": "sigmoid"},
    "tanh RNN": {"cell": "rnn"},
    "GRU": {"cell": "gru"},
    "LSTM": {"cell": "lstm", "forget_bias": 1.0},
}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_the_article(seed):
    """The sigmoid loses most, tanh less, the LSTM least: at first, and after some training."""
    text = pydoc_prose()
    options = TextOptions(hidden=32, seq_len=50, batch=16, steps=60, lr=5e-3, seed=seed)
    for steps in (0, 60):
        decays = {}
        for name, changes in KINDS.items():
            trainer = TextTrainer(text, dataclasses.replace(options, **changes))
            if steps:
                trainer.fit(eval_every=1000)
            x, targets = next(windows(trainer.valid, 50, 16))
            flow = gradient_flow(trainer.model, x, targets[-1])
            decays[name] = flow.decay
            if flow.c is not None:
                decays["c"] = flow.decay_c
            assert flow.half_life == half_life(flow.decay)
        assert decays["sigmoid RNN"] < 0.25 * 1.5  # at most 1/4 by f', times the norm of W_hh
        assert decays["sigmoid RNN"] < decays["tanh RNN"] < decays["LSTM"] < 1
        assert decays["tanh RNN"] < decays["c"]


def test_with_a_loss_at_every_step_the_curve_is_flat():
    trainer = TextTrainer(pydoc_prose(), TextOptions(hidden=32, seq_len=50, batch=16, steps=1))
    x, targets = next(windows(trainer.valid, 50, 16))
    last = gradient_flow(trainer.model, x, targets[-1])
    every = trainer.model.train_step(x, targets).flow[0]
    assert every.max() < 3 * every.min()
    assert last.h[0] > 1e3 * last.h[-1]
