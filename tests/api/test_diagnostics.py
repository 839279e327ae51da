"""Diagnostics: verdict on the flow, clipping, truncation, saturation and omega."""

import math

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from bptt_native.diagnostics import (
    GradientFlow,
    clipping,
    gradient_flow,
    omega_ratios,
    running_quantiles,
    saturation,
    truncation_bias,
)
from bptt_native.diagnostics.norms import direction_of, safe_norm
from bptt_native.training.history import HistoryRow
from helpers.cells import LAYERS

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
        ([1e307, 1e308], "healthy", None, "survives"),
        ([math.inf, 1.0], "exploding", None, "explodes"),
        ([1.0, 0.0, 0.0], "vanishing", 1, "vanishes"),
        ([1.0, 1e-3, 0.5], "healthy", None, "survives"),  # not for good
        ([1.0, 0.2, 0.4, 0.3, 0.1], "healthy", 3, "1/e of the first from 3 on"),
        ([0.0, 0.0], "healthy", 0, "No gradient enters"),
        ([2.0], "healthy", None, "only one step"),
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


@pytest.mark.parametrize("cell", LAYERS)
def test_flow_from_a_step_in_the_middle(cell):
    layer = LAYERS[cell](3, 6, 2, dtype="float64", seed=2)
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
        a = [
            gradient_flow(layer, x[: ends[n] + 1, n : n + 1].swapaxes(0, batch_first)).a
            for n in range(3)
        ]
        np.testing.assert_allclose(flow.a, np.linalg.norm([v[:far] for v in a], axis=0), rtol=1e-11)


def test_flow_of_a_model_with_the_batch_first():
    rng = np.random.default_rng(4)
    config = {"vocab_size": 4, "hidden_size": 6, "output_size": 4, "dtype": "float64"}
    x, target = rng.integers(0, 4, (9, 3)), rng.integers(0, 4, 3)
    one = gradient_flow(bn.Model("gru", **config), x, target, at=4)
    two = gradient_flow(bn.Model("gru", **config, batch_first=True), x.T, target, at=4)
    np.testing.assert_allclose(one.h, two.h, rtol=1e-12)


def test_norms_of_an_rnns_pre_activations():
    """||dL/da||: of an RNN dL/dh times 1 - h^2, here of one unit."""
    layer = bn.RNN(2, 1, dtype="float64", seed=4)
    x = np.random.default_rng(2).standard_normal((9, 1, 2))
    h = np.asarray(layer.forward(x)[2].states())[0, :, 0, 0]
    flow = gradient_flow(layer, x)
    np.testing.assert_allclose(flow.a, (flow.h * (1 - h**2)[::-1]), rtol=1e-12)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("lengths", [None, [9, 6, 7]])
def test_each_direction_goes_back_its_own_way(cell, lengths):
    """Both as a layer of one direction that reads the sequence forward, or turned round."""
    both = LAYERS[cell](3, 5, bidirectional=True, dtype="float64", seed=3)
    x = np.random.default_rng(5).standard_normal((9, 3, 3))
    ends = np.full(3, 9) if lengths is None else np.array(lengths)
    turned = np.zeros_like(x)
    for n, end in enumerate(ends):
        turned[:end, n] = x[:end, n][::-1]
    for direction, inputs, suffix in ((0, x, ""), (1, turned, "_reverse")):
        one = LAYERS[cell](3, 5, dtype="float64")
        params = both.state_dict()
        own = [name for name in params if name.endswith(f"l0{suffix}")]
        one.load_state_dict({name.removesuffix("_reverse"): params[name] for name in own})
        for at in (-1, 2):
            found = gradient_flow(both, x, direction=direction, at=at, lengths=lengths)
            steps = ends + at if at < 0 else np.full(3, at)
            steps = ends - 1 - steps if direction else steps  # where the loss is in `inputs`
            alone = [gradient_flow(one, inputs[: k + 1, n : n + 1]).h for n, k in enumerate(steps)]
            norms = np.linalg.norm([h[: steps.min() + 1] for h in alone], axis=0)
            np.testing.assert_allclose(found.h, norms, rtol=1e-11)
    assert len(gradient_flow(both, x).h) == 9


def test_norms_beyond_the_squares_of_float64():
    values = np.array([[3e200, 4e200], [3e-200, 4e-200], [0, 0], [np.inf, 1], [np.nan, 1]])
    found = safe_norm(values, axis=1)
    np.testing.assert_allclose(found[:2], [5e200, 5e-200], rtol=1e-12)
    assert found[2] == 0
    assert found[3] == np.inf
    assert np.isnan(found[4])
    for scale in (1e-300, 1.0, 1e300):
        unit, norm, factor = direction_of(scale * np.array([3.0, 0, 4]))
        np.testing.assert_allclose(unit, [0.6, 0, 0.8], rtol=1e-12)
        assert norm * factor == pytest.approx(5 * scale, rel=1e-12)
    assert direction_of(np.zeros(3)).norm == 0
    assert np.isnan(direction_of(np.array([np.nan, 1])).norm)


def test_saturation_of_what_is_not_finite():
    layer = bn.RNN(2, 3)
    bad = {name: np.full_like(value, np.nan) for name, value in layer.state_dict().items()}
    with pytest.warns(RuntimeWarning, match="NaN or infinite: weight_ih_l0"):
        layer.load_state_dict(bad)
    found = saturation(layer, np.zeros((4, 2, 2), np.float32))
    assert np.isnan([found.share["h"], found.mean["h"], found.stuck["h"]]).all()


def test_refusals_of_the_layer():
    layer = bn.GRU(2, 3, num_layers=2)
    for bad in (2, -3, 1.5):
        with pytest.raises((TypeError, ValueError), match="gradient_flow: argument 'layer'"):
            gradient_flow(layer, np.zeros((5, 2, 2), np.float32), layer=bad)
    with pytest.raises(ValueError, match="gradient_flow: argument 'direction'"):
        gradient_flow(layer, np.zeros((5, 2, 2), np.float32), direction=1)


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


# --------------------------------------------------------------------------- clipping


def test_clipping_in_numbers():
    norms = [1.0, 3.0, math.nan, 8.0, math.inf, 4.0]
    clipped = [False, False, False, True, False, True]
    after = [1.0, 3.0, math.nan, 2.0, math.inf, 2.0]
    seen = clipping(norms, clipped, after, [0.0, 0.0, math.nan, 0.25, math.nan, 0.125], window=3)
    assert (seen.count, seen.nonfinite, seen.fraction) == (6, 2, 0.5)
    assert (seen.mean, seen.median, seen.largest) == (4.0, 3.5, 8.0)
    assert seen.suggested == (2.0, 40.0)
    assert seen.kept == pytest.approx((0.25 + 0.5) / 2)
    assert seen.angle == 0.25
    for k, part in enumerate([[1], [1, 3], [1, 3], [3, 8], [8], [8, 4]]):
        np.testing.assert_allclose(seen.quantiles[:, k], np.quantile(part, [0.1, 0.5, 0.9]))
    for word in (
        "6 updates",
        "50.0%",
        "37.5%",
        "14.3 degrees",
        "2 were not finite",
        "from 2 to 40",
    ):
        assert word in seen.explain()


def test_clipping_of_norms_alone_and_of_nothing_finite():
    seen = clipping(np.array([2.0, 4.0]))
    assert seen.fraction is None
    assert seen.kept is None
    assert seen.angle is None
    assert "clipped" not in seen.explain()
    lost = clipping([math.nan], [False], [math.nan], [math.nan])
    assert math.isnan(lost.mean)
    assert math.isnan(lost.fraction)
    assert math.isnan(lost.angle)
    assert np.isnan(lost.quantiles).all()
    assert lost.explain() == "None of 1 gradients was finite."


def test_clipping_of_training_steps():
    """Rows bring what they know; the thresholds are those of the run's own mean."""
    rng = np.random.default_rng(0)
    model = bn.Model(
        "rnn",
        input_size=3,
        hidden_size=5,
        output_size=2,
        loss="mse",
        clip_norm=0.2,
        clip_value=0.05,
    )
    x, y = rng.standard_normal((7, 4, 3)), rng.standard_normal((7, 4, 2))
    steps = [model.train_step(x.astype(np.float32), y.astype(np.float32)) for _ in range(8)]
    seen, norms = clipping(steps), np.array([s.grad_norm for s in steps])
    assert seen.fraction == np.mean([s.clipped for s in steps]) > 0
    assert seen.mean == pytest.approx(norms.mean(), rel=1e-12)
    kept = [s.clipped_norm / s.grad_norm for s in steps if s.clipped]
    assert seen.kept == pytest.approx(np.mean(kept), rel=1e-12)
    assert seen.angle == max(s.clip_angle for s in steps) > 0


def test_rows_of_a_history_whose_beginning_knows_less():
    row = {"loss": 1.0, "skipped": False, "lr": 0.1, "seconds": 0.0, "targets_per_s": 1.0}
    row |= {"valid_loss": None, "valid_accuracy": None, "epoch": 1, "grad_norm": 4.0}
    rows = [
        HistoryRow(step=1, clipped=True, **row),
        HistoryRow(step=2, clipped=True, clipped_norm=1.0, clip_angle=0.5, **row),
        HistoryRow(step=3, clipped=False, clipped_norm=4.0, clip_angle=0.0, **row),
    ]
    seen = clipping(rows)
    assert seen.fraction == pytest.approx(2 / 3)
    assert (seen.kept, seen.angle) == (0.25, 0.5)
    assert clipping(rows[:1]).angle is None


def test_running_quantiles_are_numpys():
    values = np.random.default_rng(3).standard_normal(3000)
    values[[0, 5, 6, 7, 2900]] = [math.nan, math.inf, math.nan, -math.inf, math.nan]
    for window in (1, 2, 100, 2000, 5000):
        seen = running_quantiles(values, window, (0.0, 0.3, 1.0))
        for k in (0, 1, 5, 7, 8, 99, 100, 523, 524, 2000, 2900, 2999):
            part = values[max(0, k + 1 - window) : k + 1]
            part = part[np.isfinite(part)]
            want = np.quantile(part, (0.0, 0.3, 1.0)) if len(part) else [math.nan] * 3
            np.testing.assert_allclose(seen[:, k], want, rtol=1e-12)


def test_clipping_refuses():
    with pytest.raises(TypeError, match="clipping: argument 'norms': expected norms or rows"):
        clipping(3.0)
    for bad, word in (([], "at least one, got none"), ([-1.0], "numbers >= 0")):
        with pytest.raises(ValueError, match=f"clipping: argument 'norms': expected {word}"):
            clipping(bad)
    with pytest.raises(ValueError, match=r"clipping: argument 'after': expected shape \(2,\)"):
        clipping([1.0, 2.0], after=[1.0])
    with pytest.raises(TypeError, match="clipping: argument 'norms': expected numbers"):
        clipping(["much"])


# --------------------------------------------------------------------------- truncation


def truncated(model, x, target, k1, k2):
    """The gradient of an MSE at every step by the definition: each window one reference pass."""
    params = {k.removeprefix("rnn."): np.array(v) for k, v in model.state_dict().items()}
    W, b = params.pop("readout.weight"), params.pop("readout.bias")
    y = reference.forward("rnn", params, x)[0]
    dout = 2 * (y @ W.T + b - target) / target.size
    total = dict.fromkeys(params, 0.0)
    for end in range(k1, len(x) + k1, k1):
        first = max(0, end - k2)
        part = slice(first, min(end, len(x)))
        h0 = y[first - 1][None] if first else np.zeros((1, *y.shape[1:]))
        _, _, own = reference.forward("rnn", params, x[part], h0)
        dy = dout[part] @ W
        dy[: max(0, end - k1 - first)] = 0
        g = reference.backward("rnn", params, own, dy)
        total = {name: total[name] + g.params[name] for name in total}
    total["readout.weight"] = np.einsum("tno,tnh->oh", dout, y)
    total["readout.bias"] = dout.sum((0, 1))
    return np.concatenate([total[name.removeprefix("rnn.")].ravel() for name in model.state_dict()])


def test_bias_of_truncation():
    rng = np.random.default_rng(3)
    model = bn.Model(
        "rnn", input_size=3, hidden_size=5, output_size=2, loss="mse", dtype="float64",
        truncation=(2, 2),
    )  # fmt: skip
    x, target = rng.standard_normal((10, 3, 3)), rng.standard_normal((10, 3, 2))
    full = truncated(model, x, target, 10, 10)
    for k1 in (None, 1, 2):
        seen = truncation_bias(model, x, target, [2, 3, 10, 20], k1=k1)
        assert seen.window.tolist() == [2, 3, 10, 20]
        for w, cosine, ratio in zip(seen.window, seen.cosine, seen.norm_ratio, strict=True):
            own = truncated(model, x, target, k1 or w, w)
            size = np.linalg.norm(own)
            assert ratio == pytest.approx(size / np.linalg.norm(full), rel=1e-9)
            assert cosine == pytest.approx(own @ full / size / np.linalg.norm(full), rel=1e-9)
        assert seen.cosine[-1] == pytest.approx(1, rel=1e-12)
        assert seen.cosine[0] < 1 - 1e-6
        assert "2 steps: cosine" in seen.explain()
    assert model.config["truncation"] == (2, 2)


def test_truncation_of_nothing_and_refusals():
    model = bn.Model("gru", input_size=2, hidden_size=3, output_size=1, loss="mse", dtype="float64")
    x = np.zeros((4, 1, 2))
    seen = truncation_bias(model, x, model(x)[0], [1])
    assert np.isnan(seen.cosine[0])
    assert np.isnan(seen.norm_ratio[0])
    with pytest.raises(ValueError, match="truncation_bias: argument 'windows': expected"):
        truncation_bias(model, x, model(x)[0], [2], k1=3)
    with pytest.raises(TypeError, match="truncation_bias: argument 'model': expected a Model"):
        truncation_bias(bn.GRU(2, 3), x, x, [2])


# --------------------------------------------------------------------------- activity


def test_saturation_of_gates_by_hand():
    rng = np.random.default_rng(5)
    layer = bn.LSTM(3, 4, 2, dtype="float64", bidirectional=True, seed=1)
    layer.load_state_dict({k: 3 * v for k, v in layer.state_dict().items()})
    x, lengths = rng.standard_normal((9, 3, 3)), np.array([9, 2, 5])
    seen = saturation(layer, x, lengths=lengths, tanh=0.8, low=0.2, high=0.7)
    tape = layer.forward(x, lengths=lengths)[2]
    values = tape.gates() | {"c": np.tanh(tape.states()[1])}
    assert list(seen.share) == ["i", "f", "g", "o", "c"]
    for name, value in values.items():
        for k in range(4):
            own = np.concatenate([value[k, : lengths[n], n] for n in range(3)])
            ends = np.abs(own) > 0.8 if name in "gc" else (own < 0.2) | (own > 0.7)
            assert seen.share[name][k] == pytest.approx(ends.mean(), abs=1e-15)
            assert seen.mean[name][k] == pytest.approx(own.mean(), rel=1e-12)
            assert seen.stuck[name][k] == ends.all(axis=0).mean()
    assert 0 < seen.share["i"][0] < 1
    assert "layer 3: i " in seen.explain()


@pytest.mark.parametrize(
    ("nonlinearity", "saturated"),
    [
        ("tanh", lambda y: abs(y) > 0.95),
        ("softsign", lambda y: abs(y) > 0.95),
        ("sigmoid", lambda y: (y < 0.05) | (y > 0.95)),
        ("hard_sigmoid", lambda y: (y < 0.05) | (y > 0.95)),
        ("relu", lambda y: y <= 0),
        ("leaky_relu", lambda y: y <= 0),
        ("elu", lambda y: y < -0.95),
        ("softplus", lambda y: y < -math.log(0.95)),
        ("identity", lambda y: y > math.inf),
    ],
)
def test_saturation_of_an_rnn(nonlinearity, saturated):
    layer = bn.RNN(2, 5, nonlinearity=nonlinearity, dtype="float64", seed=3, batch_first=True)
    x = 8 * np.random.default_rng(6).standard_normal((4, 7, 2))
    y = layer(x)[0]
    seen = saturation(layer, x)
    assert seen.share["h"][0] == saturated(y).mean()
    assert seen.mean["h"][0] == pytest.approx(y.mean(), rel=1e-12)


def test_a_dead_relu_and_the_gates_of_a_gru():
    layer = bn.RNN(1, 2, nonlinearity="relu", dtype="float64")
    state = {k: np.zeros_like(v) for k, v in layer.state_dict().items()}
    state["bias_ih_l0"] = np.array([-1.0, 1.0])
    layer.load_state_dict(state)
    seen = saturation(layer, np.zeros((1, 1, 1)))
    assert (seen.stuck["h"][0], seen.share["h"][0], seen.mean["h"][0]) == (0.5, 0.5, 0.5)
    assert "50% of the units always" in seen.explain()
    assert list(saturation(bn.GRU(1, 2), np.zeros((3, 1), np.int64)).share) == ["r", "z", "n"]
    with pytest.raises(TypeError, match="saturation: argument 'tanh'"):
        saturation(layer, np.zeros((1, 1, 1)), tanh="high")


NONLINEARITIES = ("tanh", "sigmoid", "relu", "identity", "softplus", "elu", "hard_sigmoid",
                  "softsign", "leaky_relu")  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_omega_is_the_engines(nonlinearity, dtype):
    rng = np.random.default_rng(7)
    layer = bn.RNN(3, 5, 2, nonlinearity=nonlinearity, dtype=dtype, seed=2)
    layer.load_state_dict({k: 2 * v for k, v in layer.state_dict().items()})
    x, lengths = rng.standard_normal((8, 3, 3)).astype(dtype), np.array([8, 3, 6])
    state = rng.standard_normal((2, 3, 5)).astype(dtype)
    x[3:, 1] = math.nan  # padding
    y, _, tape = layer.forward(x, state, lengths=lengths)
    dy = rng.standard_normal(y.shape).astype(dtype)
    want = layer.backward(tape, dy, omega=1.0).omega
    seen = omega_ratios(layer, x, state=state, dout=dy, lengths=lengths)
    assert seen.omega == pytest.approx(want, rel=1e-5 if dtype == "float32" else 1e-9) != 0
    assert seen.ratios.shape == (2, 7, 3)
    assert np.isnan(seen.ratios[:, 2:, 1]).all()


# A bias that makes y -1 in the dtype, and a gain of the matrices that is about 1 / f'.
SATURATING = {
    ("elu", "float32"): (-20.0, 2.0**28), ("elu", "float64"): (-40.0, 2.0**56),
    ("softsign", "float32"): (-1e8, 2.0**52), ("softsign", "float64"): (-1e17, 2.0**112),
}  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "compute", "tolerance"),
    [("float32", None, 1e-5), ("float64", None, 1e-9), ("float32", "bfloat16", 0.02)],
)
@pytest.mark.parametrize("nonlinearity", ["elu", "softsign"])
def test_omega_is_the_engines_of_saturated_units(nonlinearity, dtype, compute, tolerance):
    bias, gain = SATURATING[nonlinearity, dtype]
    rng = np.random.default_rng(11)
    layer = bn.RNN(3, 6, 2, nonlinearity=nonlinearity, dtype=dtype, compute=compute, seed=1)
    state = layer.state_dict()
    # Units 0 to 2 are -1 and receive gain times units 3 to 5, which are 0, as their terms cancel.
    # No order of summation rounds.
    ring = np.eye(3) - np.roll(np.eye(3), 1, 1)
    for name in ("weight_hh_l0", "weight_ih_l1", "weight_hh_l1"):
        state[name] = np.block([[np.zeros((3, 3)), gain * ring], [ring, np.zeros((3, 3))]])
        state[name] = state[name].astype(dtype)
    for to in (state["weight_ih_l0"][:, 0], state["bias_ih_l1"]):
        to[:3] = bias * rng.uniform(1, 1.05, 3)
    for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0", "bias_ih_l1", "bias_hh_l1"):
        state[name][3:] = 0
    layer.load_state_dict(state)
    x = rng.standard_normal((4, 2, 3)).astype(dtype)
    x[:, :, 0] = 257 / 256  # in bfloat16 1
    start = np.tile(np.array([-1, -1, -1, 0, 0, 0], dtype), (2, 2, 1))
    y, _, tape = layer.forward(x, start)
    assert np.all(tape.states() == start[:, None])
    dy = (gain * rng.standard_normal(y.shape)).astype(dtype)
    want = layer.backward(tape, dy, omega=1.0).omega
    seen = omega_ratios(layer, x, state=start, dout=dy)
    assert np.isfinite(seen.ratios).all()
    assert seen.omega == pytest.approx(want, rel=tolerance)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_omega_leaves_out_what_the_engine_does_after_a_nan(nonlinearity):
    layer = bn.RNN(2, 4, nonlinearity=nonlinearity, dtype="float64", seed=1)
    rng = np.random.default_rng(12)
    x, dy = rng.standard_normal((6, 2, 2)), rng.standard_normal((6, 2, 4))
    x[3, 0, 0] = math.nan
    want = layer.backward(layer.forward(x)[2], dy, omega=1.0).omega
    assert omega_ratios(layer, x, dout=dy).omega == pytest.approx(want, rel=1e-9) != 0


@pytest.mark.parametrize("embedding", [None, 3])
@pytest.mark.parametrize("nonlinearity", ["elu", "softsign"])
@pytest.mark.parametrize("single", [False, True])
def test_omega_of_tokens(nonlinearity, embedding, single):
    rng = np.random.default_rng(13)
    model = bn.Model(
        "rnn", vocab_size=4, embedding_size=embedding, hidden_size=6, num_layers=2, output_size=4,
        nonlinearity=nonlinearity, targets="last", omega=0.5, dtype="float64", seed=3,
        batch_first=not single,
    )  # fmt: skip
    model.load_state_dict({k: 3 * v for k, v in model.state_dict().items()})
    x, target, lengths = rng.integers(0, 4, (3, 9)), rng.integers(0, 4, 3), np.array([9, 4, 7])
    x[1, 4:] = -7  # padding
    if single:
        x, target, lengths = x[0], target[0], None
    batched = (x[:, None], target[None]) if single else (x, target)
    want = model.gradients(*batched, lengths=lengths)[0].omega
    seen = omega_ratios(model, x, target, lengths=lengths)
    assert seen.omega == pytest.approx(want, rel=1e-9) != 0


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_omega_of_a_model_is_that_of_its_step(targets, batch_first):
    rng = np.random.default_rng(8)
    model = bn.Model(
        "rnn", vocab_size=4, hidden_size=6, output_size=4, targets="last", omega=0.5,
        dtype="float64", batch_first=batch_first, seed=3,
    )  # fmt: skip
    x, target = rng.integers(0, 4, (9, 3)), rng.integers(0, 4, 3)
    turned = x.swapaxes(0, batch_first)
    other = bn.Model(**{**model.config, "targets": targets})
    other.load_state_dict(model.state_dict())
    seen = omega_ratios(other, turned, target)
    assert seen.omega == pytest.approx(model.gradients(turned, target)[0].omega, rel=1e-9) != 0


def test_ratios_are_those_of_the_flow_of_a_loss_at_the_end():
    """Without other losses on the way dL/da_k is what the ratio says, sample by sample."""
    layer = bn.RNN(2, 4, dtype="float64", seed=1)
    x = np.random.default_rng(9).standard_normal((7, 3, 2))
    y, _, tape = layer.forward(x)
    dy = np.zeros_like(y)
    dy[-1] = 1
    a = layer.backward(tape, dy, flow="samples").flow_detail.samples_a[0]
    np.testing.assert_allclose(omega_ratios(layer, x).ratios[0], a[:-1] / a[1:], rtol=1e-9)


def test_one_sequence_without_a_batch():
    """[T, I] means what [T, 1, I] does."""
    layer = bn.RNN(2, 4, 2, dtype="float64", seed=1)
    x = 3 * np.random.default_rng(9).standard_normal((7, 2))
    for one, two in (
        (gradient_flow(layer, x, at=4).h, gradient_flow(layer, x[:, None], at=4).h),
        (saturation(layer, x).share["h"], saturation(layer, x[:, None]).share["h"]),
        (saturation(layer, x).mean["h"], saturation(layer, x[:, None]).mean["h"]),
        (omega_ratios(layer, x).ratios, omega_ratios(layer, x[:, None]).ratios),
    ):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_omega_at_the_edges():
    layer = bn.RNN(2, 4, dtype="float64")
    x = np.ones((1, 2, 2))
    seen = omega_ratios(layer, x)
    assert seen.ratios.shape == (1, 0, 2)
    assert seen.omega == 0
    zero = omega_ratios(layer, np.ones((5, 2)), dout=np.zeros((5, 4)))  # one sequence, no gradient
    assert np.isnan(zero.ratios).all()
    assert zero.omega == 0
    layer = bn.RNN(2, 4, nonlinearity="elu", dtype="float64")
    layer.load_state_dict(layer.state_dict() | {"bias_ih_l0": np.full(4, -800.0)})
    with np.errstate(all="raise"):
        assert omega_ratios(layer, np.ones((5, 1, 2), np.int64)).omega == 0  # f' underflows
    layer = bn.RNN(2, 4, dtype="float64")
    where = "omega_ratios: argument 'net': expected "
    for net, word in ((bn.LSTM(2, 3), "an RNN"), (bn.RNN(2, 3, alpha=0.5), "alpha 1.0, got 0.5")):
        with pytest.raises(ValueError, match=where + word):
            omega_ratios(net, x)
    with pytest.raises(ValueError, match=r"'dout': expected a float64 array of shape \[1, 2, 4\]"):
        omega_ratios(layer, x, dout=np.ones((2, 2, 4)))
    with pytest.raises(ValueError, match="argument 'dout': expected None"):
        omega_ratios(layer, x, np.ones((2, 4)), dout=np.ones((1, 2, 4)))


def test_omega_reads_no_padding_and_survives_an_explosion():
    layer = bn.RNN(2, 4, nonlinearity="identity", dtype="float64", seed=1)
    rng = np.random.default_rng(10)
    x, dy, lengths = rng.standard_normal((6, 2, 2)), rng.standard_normal((6, 2, 4)), [6, 3]
    clean = omega_ratios(layer, x, dout=dy, lengths=lengths)
    dy[3:, 1] = math.nan
    again = omega_ratios(layer, x, dout=dy, lengths=lengths)
    np.testing.assert_array_equal(clean.ratios, again.ratios)
    wild = {k: 1e80 * np.ones_like(v) for k, v in layer.state_dict().items()}
    layer.load_state_dict(wild)
    with np.errstate(all="raise"):
        seen = omega_ratios(layer, x)
    assert np.isnan(seen.ratios[0, 0]).all()
    assert np.isfinite(seen.ratios[0, -1]).all()
    assert math.isfinite(seen.omega) or seen.omega == math.inf
