"""The verdict on a gradient's flow, clipping, saturation, omega and truncation, each by itself."""

import math

import numpy as np
import pytest
from bptt_native import reference
from bptt_native.diagnostics import GradientFlow, gradient_flow

import bptt_native as bn

# --------------------------------------------------------------------------- flow


def flow_of(norms):
    return GradientFlow(np.arange(len(norms)), np.array(norms, np.float64), None, 0.0)


@pytest.mark.parametrize(
    ("norms", "verdict", "horizon", "word"),
    [
        (0.5 ** np.arange(20), "vanishing", 2, "vanishes"),
        (1.5 ** np.arange(20), "exploding", None, "explodes"),
        (0.99 ** np.arange(20), "healthy", None, "survives"),
        ([1.0, math.nan, 2.0], "exploding", None, "not finite from 1 on"),
        ([math.inf, 1.0], "exploding", None, "explodes"),
        ([1.0, 0.0, 0.0], "vanishing", 1, "vanishes"),
        ([1.0, 1e-3, 0.5], "healthy", None, "survives"),  # not for good
        ([1.0, 0.2, 0.4, 0.3, 0.1], "healthy", 3, "1/e of the first from 3 on"),
        ([0.0, 0.0], "healthy", 0, "No gradient enters"),
        ([2.0], "healthy", None, "one step only"),
    ],
)
def test_verdict_and_horizon(norms, verdict, horizon, word):
    flow = flow_of(norms)
    assert flow.verdict == verdict
    if np.isfinite(flow.h[0]):
        assert flow.horizon() == horizon
    assert word in flow.explain()


def test_thresholds_of_the_verdict_are_the_callers():
    flow = flow_of([1.0, 0.5, 0.25])
    assert flow.judge(vanished=0.25) == "vanishing"
    assert flow.judge(vanished=0.2) == "healthy"
    assert flow_of([1.0, 1.5]).judge(exploded=1.4) == "exploding"
    assert flow.horizon(0.5) == 1
    assert flow.growth == flow.decay == pytest.approx(0.5)


def expected_flow(layer, cell, x, at):
    """Norms of dL/dh and dL/dc by the distance, of the sum of the outputs at a step."""
    params = {k: np.array(v) for k, v in layer.state_dict().items()}
    y, _, tape = reference.forward(cell, params, x)
    dy = np.zeros_like(y)
    dy[at] = 1
    g = reference.backward(cell, params, tape, dy)
    return g.flow[:, at::-1], None if g.flow_c is None else g.flow_c[:, at::-1]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_flow_from_a_step_in_the_middle(cell):
    layer = getattr(bn, cell.upper())(3, 6, 2, dtype="float64", seed=2)
    x = np.random.default_rng(0).standard_normal((11, 4, 3))
    for at in (0, 5, -3):
        flow = gradient_flow(layer, x, layer=0, at=at)
        h, c = expected_flow(layer, cell, x, at % 11)
        np.testing.assert_allclose(flow.h, h[0], rtol=1e-11)
        if cell == "lstm":
            np.testing.assert_allclose(flow.c, c[0], rtol=1e-11)
        assert len(flow.a) == len(flow.h) == at % 11 + 1


@pytest.mark.parametrize("batch_first", [False, True])
def test_flow_of_ragged_sequences_begins_at_each_ones_own_end(batch_first):
    layer = bn.LSTM(3, 6, dtype="float64", seed=2, batch_first=batch_first)
    x, lengths = np.random.default_rng(1).standard_normal((11, 3, 3)), np.array([11, 5, 8])
    for at in (-1, -2, 3):
        flow = gradient_flow(layer, x.swapaxes(0, batch_first), at=at, lengths=lengths)
        ends = lengths + at if at < 0 else np.full(3, at)
        alone = [expected_flow(layer, "lstm", x[:, n : n + 1], ends[n]) for n in range(3)]
        far = ends.min() + 1
        for got, which in ((flow.h, 0), (flow.c, 1)):
            want = np.linalg.norm([a[which][0, :far] for a in alone], axis=0)
            np.testing.assert_allclose(got, want, rtol=1e-11)
        assert flow.a.shape == (far,)


def test_norms_of_an_rnns_pre_activations():
    """||dL/da||: of an RNN dL/dh times 1 - h^2, here of one unit."""
    layer = bn.RNN(2, 1, dtype="float64", seed=4)
    x = np.random.default_rng(2).standard_normal((9, 1, 2))
    h = np.asarray(layer.forward(x)[2].states())[0, :, 0, 0]
    flow = gradient_flow(layer, x)
    np.testing.assert_allclose(flow.a, (flow.h * (1 - h**2)[::-1]), rtol=1e-12)


def test_refusals_of_the_step():
    layer = bn.GRU(2, 3)
    x = np.zeros((5, 2, 2), np.float32)
    with pytest.raises(ValueError, match="gradient_flow: argument 'at': expected"):
        gradient_flow(layer, x, at=5)
    with pytest.raises(ValueError, match="gradient_flow: argument 'at': expected"):
        gradient_flow(layer, x, at=-4, lengths=[5, 3])
    with pytest.raises(TypeError, match="gradient_flow: argument 'at': expected"):
        gradient_flow(layer, x, at=1.5)
    model = bn.Model("gru", input_size=2, hidden_size=3, output_size=2, targets="last")
    with pytest.raises(ValueError, match="its last output only"):
        gradient_flow(model, x, at=2)
