"""The specification: the forward pass and the gradient flow."""

import math

import numpy as np
import pytest

from bptt_native import reference as ref
from helpers.cells import GATES, arrays_of
from helpers.complex_step import (
    KINDS,
    act,
    assert_equal_gradients,
    complex_step,
    random_params,
    random_state,
    small_net,
)


# --- the forward pass ----------------------------------------------------------------------------
def test_one_rnn_step_by_hand():
    params = {
        "weight_ih_l0": np.array([[0.5, -1.0]]), "weight_hh_l0": np.array([[2.0]]),
        "bias_ih_l0": np.array([0.25]), "bias_hh_l0": np.array([-0.5]),
    }  # fmt: skip
    y, h, _ = ref.forward("rnn", params, np.array([[[1.0, 2.0]]]), np.array([[[0.75]]]))
    expected = math.tanh(0.5 * 1 - 1.0 * 2 + 2.0 * 0.75 + 0.25 - 0.5)
    assert y.item() == h.item() == pytest.approx(expected, abs=1e-16)


def test_tokens_are_one_hot_vectors():
    rng = np.random.default_rng(0)
    for cell in GATES:
        params = random_params(rng, cell, 7, 3, layers=2)
        tokens, dy = rng.integers(0, 7, (5, 4)), rng.standard_normal((5, 4, 3))
        tokens[0] = tokens[1] = 2  # a token that occurs twice
        y, _, tape = ref.forward(cell, params, tokens)
        same, _, dense = ref.forward(cell, params, np.eye(7)[tokens])
        np.testing.assert_allclose(y, same, rtol=0, atol=1e-15)
        g = ref.backward(cell, params, tape, dy)
        assert g.x is None
        assert_equal_gradients(g.params, ref.backward(cell, params, dense, dy).params)


def test_an_embedding_is_a_table_of_dense_inputs():
    rng = np.random.default_rng(12)
    cfg, table = ref.ModelConfig("gru", loss="mse"), rng.standard_normal((5, 2))
    tokens, targets = rng.integers(0, 5, (4, 3)), rng.standard_normal((4, 3, 2))
    params = {f"rnn.{n}": p for n, p in random_params(rng, "gru", 2, 3).items()}
    params["readout.weight"] = rng.standard_normal((2, 3))
    dense = ref.model_loss_and_gradients(cfg, params, table[tokens], targets)
    embedded = params | {"embedding.weight": table}
    result = ref.model_loss_and_gradients(cfg, embedded, tokens, targets)
    assert result.loss == dense.loss
    assert_equal_gradients({n: result.gradients[n] for n in params}, dense.gradients, 0.0)


def test_the_state_carries_a_sequence_over_a_cut():
    rng = np.random.default_rng(1)
    for cell, f in KINDS:
        params, x = random_params(rng, cell, 2, 3, layers=2), rng.standard_normal((6, 2, 2))
        y, last, _ = ref.forward(cell, params, x, options=act(f))
        first, state, _ = ref.forward(cell, params, x[:2], options=act(f))
        second, end, _ = ref.forward(cell, params, x[2:], state, options=act(f))
        np.testing.assert_array_equal(np.concatenate([first, second]), y)
        np.testing.assert_array_equal(arrays_of(end), arrays_of(last))
        np.testing.assert_array_equal(arrays_of(last)[0][-1], y[-1])


def test_float32_arguments_are_computed_in_float64():
    rng = np.random.default_rng(2)
    for cell in GATES:
        params = {n: p.astype("f4") for n, p in random_params(rng, cell, 3, 3).items()}
        x, dy = rng.standard_normal((2, 4, 2, 3)).astype("f4")
        state = tuple(s.astype("f4") for s in arrays_of(random_state(rng, cell, (1, 2, 3))))
        wide = {n: p.astype("f8") for n, p in params.items()}
        results = []
        for p, cast in ((params, "f4"), (wide, "f8")):
            s = [a.astype(cast) for a in state]
            y, _, tape = ref.forward(cell, p, x.astype(cast), tuple(s) if cell == "lstm" else s[0])
            last = tuple(s) if cell == "lstm" else s[0]
            results.append((y, ref.backward(cell, p, tape, dy.astype(cast), last)))
        (y, g), (y_wide, g_wide) = results
        assert y.dtype == g.x.dtype == g.params["weight_ih_l0"].dtype == np.float64
        np.testing.assert_array_equal(y, y_wide)
        assert_equal_gradients(g.params | {"x": g.x}, g_wide.params | {"x": g_wide.x}, 0.0)


def test_sigmoid_is_exact_at_both_ends_and_keeps_nan():
    a = np.array([-np.inf, -800.0, -40.0, 0.0, 40.0, 800.0, np.inf])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got = ref.sigmoid(a)
    expected = [0.0, 0.0, math.exp(-40), 0.5, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(got, expected, rtol=1e-15, atol=0)
    assert np.isnan(ref.sigmoid(np.array([np.nan])))


@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_a_nan_stays_in_its_sample_and_does_not_vanish(cell, f):
    rng = np.random.default_rng(4)
    params, x = random_params(rng, cell, 2, 3), rng.standard_normal((4, 3, 2))
    clean, _, _ = ref.forward(cell, params, x, options=act(f))
    x[1, 2] = np.nan
    y, _, tape = ref.forward(cell, params, x, options=act(f))
    np.testing.assert_array_equal(y[:, :2], clean[:, :2])
    assert np.isnan(y[1:, 2]).all()
    g = ref.backward(cell, params, tape, np.ones_like(y), clip_step=0.1, clip_step_norm=0.1)
    assert np.isfinite(g.x[:, :2]).all()
    assert all(np.isnan(p).any() for name, p in g.params.items() if "weight" in name)


def test_a_model_without_readout_bias_is_one_whose_bias_is_zero():
    net = small_net(0, ("gru", "tanh"), 1, True, "dense")
    zero = net.params | {"readout.bias": np.zeros_like(net.params["readout.bias"])}
    without = {name: p for name, p in net.params.items() if name != "readout.bias"}
    a, b = (
        ref.model_loss_and_gradients(net.cfg, params, net.x, net.targets)
        for params in (zero, without)
    )
    assert a.loss == b.loss
    del a.gradients["readout.bias"]
    assert_equal_gradients(b.gradients, a.gradients, 0.0)


# --- ReLU ----------------------------------------------------------------------------------------
def test_the_derivative_of_relu_at_zero_is_zero():
    params = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.ones((1, 1))}
    y, _, tape = ref.forward("rnn", params, np.zeros((1, 1, 1)), options=act("relu"))
    assert y.item() == 0
    assert ref.backward("rnn", params, tape, np.ones((1, 1, 1))).x.item() == 0


def test_given_sections_replace_the_sign():
    rng = np.random.default_rng(6)
    params, x = random_params(rng, "rnn", 2, 4, layers=2), rng.standard_normal((3, 2, 2))
    pattern = [rng.random((3, 2, 4)) < 0.5 for _ in range(2)]
    dy = rng.standard_normal((3, 2, 4))
    options = {"options": act("relu"), "sections": pattern}
    y, _, tape = ref.forward("rnn", params, x, **options)
    assert (y[~pattern[1]] == 0).all()
    assert (y[pattern[1]] < 0).any()

    def loss(z):
        return np.sum(dy * ref.forward("rnn", z, x, **options)[0])

    assert_equal_gradients(ref.backward("rnn", params, tape, dy).params, complex_step(loss, params))


def test_the_own_sections_change_nothing():
    rng = np.random.default_rng(7)
    params, x = random_params(rng, "rnn", 2, 4), rng.standard_normal((3, 2, 2))
    y, _, _ = ref.forward("rnn", params, x, options=act("relu"))
    same, _, _ = ref.forward("rnn", params, x, options=act("relu"), sections=[y > 0])
    np.testing.assert_array_equal(y, same)


# --- gradient flow -------------------------------------------------------------------------------
@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_flow_is_the_norm_of_the_total_derivative(cell, f):
    rng = np.random.default_rng(8)
    T, N, H = 5, 2, 3
    params, x = random_params(rng, cell, 2, H), rng.standard_normal((T, N, 2))
    dy, dstate = rng.standard_normal((T, N, H)), random_state(rng, cell, (1, N, H))
    _, _, tape = ref.forward(cell, params, x, options=act(f))
    g = ref.backward(cell, params, tape, dy, dstate)
    assert g.flow.shape == (1, T)
    assert (g.flow_c is not None) == (cell == "lstm")
    for t in range(T):

        def loss(z, t=t):  # what follows from the state after step t, y_t = h_t included
            h = z["h"]
            total, last = np.sum(dy[t] * h[0]), (h, z["c"]) if "c" in z else h
            if t + 1 < T:
                y, last, _ = ref.forward(cell, params, x[t + 1 :], last, options=act(f))
                total = total + np.sum(dy[t + 1 :] * y)
            pairs = zip(arrays_of(dstate), arrays_of(last), strict=True)
            return total + sum(np.sum(d * s) for d, s in pairs)

        _, state, _ = ref.forward(cell, params, x[: t + 1], options=act(f))
        d = complex_step(loss, dict(zip("hc", arrays_of(state), strict=False)))
        assert g.flow[0, t] == pytest.approx(np.sqrt(np.sum(d["h"] ** 2)), rel=1e-12)
        if g.flow_c is not None:  # c_t acts on its own and through h_t = o_t tanh(c_t)
            h, c = state
            total = d["c"] + d["h"] * h / np.tanh(c) * (1 - np.tanh(c) ** 2)
            assert g.flow_c[0, t] == pytest.approx(np.sqrt(np.sum(total**2)), rel=1e-12)


@pytest.mark.parametrize("cell", GATES)
def test_flow_of_a_lower_layer_includes_what_the_upper_layer_sends(cell):
    rng = np.random.default_rng(9)
    params, x = random_params(rng, cell, 2, 3, layers=2), rng.standard_normal((4, 2, 2))
    dy = rng.standard_normal((4, 2, 3))
    both = ref.backward(cell, params, ref.forward(cell, params, x)[2], dy)
    lower = {n: p for n, p in params.items() if n.endswith("l0")}
    upper = {n.replace("l1", "l0"): p for n, p in params.items() if n.endswith("l1")}
    y, _, lower_tape = ref.forward(cell, lower, x)
    above = ref.backward(cell, upper, ref.forward(cell, upper, y)[2], dy)
    below = ref.backward(cell, lower, lower_tape, above.x)
    np.testing.assert_array_equal(both.flow, [below.flow[0], above.flow[0]])
    if cell == "lstm":
        np.testing.assert_array_equal(both.flow_c, [below.flow_c[0], above.flow_c[0]])
    np.testing.assert_array_equal(both.x, below.x)


# --- bad input -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"cell": "lsmt"}, ValueError, "forward: argument 'cell': expected one of"),
        ({"options": act("gelu")}, ValueError, "forward: argument 'nonlinearity': expected one"),
        ({"x": np.zeros((3, 2, 5))}, ValueError, r"'x': expected numbers \(3, 2, 4\), got float64"),
        ({"x": np.zeros((3, 2))}, ValueError, "argument 'x': expected numbers"),
        ({"x": np.full((3, 2), 4)}, IndexError, r"'x': expected 0 \.\.\. 3, got 4 \.\.\. 4"),
        ({"x": np.full((3, 2), -1)}, IndexError, r"got -1 \.\.\. -1"),
        ({"state": np.zeros((1, 1, 3))}, ValueError, r"'state': expected numbers \(1, 2, 3\)"),
    ],
)
def test_forward_refuses(change, kind, text):
    params = random_params(np.random.default_rng(0), "rnn", 4, 3)
    arguments = {"cell": "rnn", "params": params, "x": np.zeros((3, 2, 4))} | change
    with pytest.raises(kind, match=text):
        ref.forward(**arguments)


def test_backward_and_losses_refuse():
    params = random_params(np.random.default_rng(0), "rnn", 4, 3)
    _, _, tape = ref.forward("rnn", params, np.zeros((3, 2, 4)))
    with pytest.raises(ValueError, match="backward: argument 'dy': expected numbers"):
        ref.backward("rnn", params, tape, np.zeros((3, 1, 3)))
    with pytest.raises(ValueError, match="backward: argument 'dstate': expected numbers"):
        ref.backward("rnn", params, tape, np.zeros((3, 2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="softmax_cross_entropy: argument 'targets': expected int"):
        ref.softmax_cross_entropy(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(IndexError, match=r"expected 0 \.\.\. 2, got 0 \.\.\. 3"):
        ref.softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3]))
    with pytest.raises(ValueError, match="mean_squared_error: argument 'targets': expected numb"):
        ref.mean_squared_error(np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="argument 'reduction': expected one of"):
        ref.mean_squared_error(np.zeros(3), np.zeros(3), "none")
