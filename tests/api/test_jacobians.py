"""Step Jacobians, their products and Lyapunov spectra: complex step, NumPy's QR, known values."""

import dataclasses

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from bptt_native.diagnostics import (
    gain_bounds,
    jacobian,
    jacobian_product,
    lyapunov,
    recurrent_matrices,
    spectral_radius,
)
from helpers.arrays import error
from helpers.cells import LAYERS
from helpers.complex_step import STEP

OPTIONS = [
    ("rnn", {}),
    ("rnn", {"nonlinearity": "sigmoid"}),
    ("rnn", {"alpha": 0.4}),
    ("lstm", {}),
    ("lstm", {"proj_size": 5}),
    ("lstm", {"peephole": True}),
    ("lstm", {"layer_norm": True}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
]


def states_of(tape):
    """[L*D, T, N, S]: h and, of an LSTM, c behind it."""
    found = tape.states()
    return np.concatenate(found, axis=-1) if isinstance(found, tuple) else found


def small(cell, options, batch=3, layers=1, steps=12):
    rng = np.random.default_rng(2)
    net = LAYERS[cell](4, 9, num_layers=layers, dtype="float64", seed=1, **options)
    x = rng.standard_normal((steps, batch, 4))
    return net, x, net.forward(x)[2]


@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_step_jacobian_is_that_of_the_complex_step(cell, options, batch, isa):
    net, x, tape = small(cell, options, batch, layers=2)
    n, t, H = batch - 1, 5, 9
    R = options.get("proj_size", H)
    known = {field.name for field in dataclasses.fields(reference.Options)}
    cfg = reference.Options(**{k: v for k, v in options.items() if k in known})
    states = states_of(tape)
    inputs = [x, states[0][..., :R]]
    for layer in range(2):
        params = {
            name.replace(f"_l{layer}", "_l0"): p
            for name, p in net.state_dict().items()
            if name.endswith(f"_l{layer}")
        }
        before = states[layer, t - 1, n]
        S = len(before)
        expected = np.zeros((S, S))
        for j in range(S):
            moved = before.astype(complex)
            moved[j] += 1j * STEP
            h, c = moved[None, None, :R], moved[None, None, R:]
            state = (h, c) if cell == "lstm" else h
            own = inputs[layer][t : t + 1, n : n + 1]
            _, after, _ = reference.forward(cell, params, own, state, options=cfg)
            flat = np.concatenate([a.ravel() for a in after]) if cell == "lstm" else after.ravel()
            expected[:, j] = flat.imag / STEP
        got = jacobian(net, tape, t, layer=layer, sample=n)
        assert error(got, expected) <= 1e-12


@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=str)
def test_spectra_are_those_of_the_jacobians(cell, options, isa):
    net, _, tape = small(cell, options)
    matrices = [jacobian(net, tape, t, sample=1) for t in range(12)]
    S = len(matrices[0])
    rows, sums = np.eye(S), np.zeros(S)
    product = np.eye(S)
    for J in reversed(matrices):
        q, r = np.linalg.qr((rows @ J).T)
        sums += np.log(np.abs(np.diag(r)))
        rows, product = q.T, product @ J
    expected = np.sort(sums / 12)[::-1]
    found = lyapunov(net, tape, sample=1, start=np.eye(S))
    # Directions that a step all but loses are known to fewer digits.
    sure = expected > expected[0] - 8
    np.testing.assert_allclose(found.exponents[sure], expected[sure], rtol=1e-9, atol=1e-9)
    values = np.linalg.svd(product, compute_uv=False)
    sure = values > 1e-9 * values[0]
    got = jacobian_product(net, tape, sample=1, interval=2).log_singular_values
    np.testing.assert_allclose(got[sure], np.log(values[sure]), rtol=0, atol=2e-6)
    first = lyapunov(net, tape, sample=1, count=3, start=np.eye(S)[:3])
    assert len(first.exponents) == 3
    np.testing.assert_allclose(
        np.sort(first.exponents), np.sort(sums[:3] / 12), rtol=1e-9, atol=1e-9
    )


def linear_net(W):
    net = bn.RNN(2, len(W), nonlinearity="identity", dtype="float64", bias=False)
    net.load_state_dict({**net.state_dict(), "weight_hh_l0": np.asarray(W, float)})
    return net, net.forward(np.random.default_rng(0).standard_normal((200, 1, 2)))[2]


def test_exponents_of_a_linear_net_are_its_eigenvalues(isa):
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    moduli = np.array([1.2, 0.9, 0.5, 0.1, 1e-3, 1e-6])
    net, tape = linear_net(Q @ np.diag(moduli) @ Q.T)
    found = lyapunov(net, tape, discard=100)
    np.testing.assert_allclose(found.exponents, np.log(moduli), rtol=0, atol=1e-9)
    assert found.steps == 100
    # The product's singular values span 1200 decades.
    product = jacobian_product(net, tape).log_singular_values
    np.testing.assert_allclose(product / 200, np.log(moduli), rtol=0, atol=1e-9)
    # A pair of complex eigenvalues and others: moduli.
    spin = 0.8 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    W = np.zeros((4, 4))
    W[:2, :2], W[2, 2], W[3, 3] = spin, 0.3, 1.1
    B = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    net, tape = linear_net(B @ W @ B.T)
    found = lyapunov(net, tape, discard=150)
    np.testing.assert_allclose(found.exponents, np.log([1.1, 0.8, 0.8, 0.3]), rtol=0, atol=1e-9)


def test_exponents_of_an_orthogonal_net_are_zero(isa):
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 20)))[0]
    net, tape = linear_net(Q)
    assert np.abs(lyapunov(net, tape).exponents).max() <= 1e-12
    assert np.abs(lyapunov(net, tape, interval=7).exponents).max() <= 1e-12
    assert np.abs(jacobian_product(net, tape).log_singular_values).max() <= 1e-10


def test_a_decoupled_net_hides_nothing():
    net, tape = linear_net(np.diag([0.5, 2.0, 0.1]))
    found = lyapunov(net, tape, count=1, discard=150)
    np.testing.assert_allclose(found.exponents, np.log([2.0]), rtol=1e-12)


def test_a_reset_loses_every_direction():
    net = bn.GRU(2, 5, dtype="float64")
    resets = np.zeros((6, 1), bool)
    resets[3] = True
    _, _, tape = net.forward(np.zeros((6, 1, 2)), resets=resets)
    assert (jacobian(net, tape, 3) == 0).all()
    assert (lyapunov(net, tape).exponents == -np.inf).all()
    assert (jacobian_product(net, tape).log_singular_values == -np.inf).all()


@pytest.mark.parametrize("size", [17, 40, 100])
def test_float32_spectra_agree_with_float64(size, isa):
    """More rows than a block of the factorisation has."""
    x = np.random.default_rng(0).standard_normal((30, 1, 3))
    found = []
    for dtype in ("float32", "float64"):
        net = bn.LSTM(3, size, dtype=dtype, seed=0)
        tape = net.forward(x.astype(dtype))[2]
        found.append(lyapunov(net, tape).exponents)
    # An exponent 4 below the largest loses two of seven digits in each step.
    sure = found[1] > found[1][0] - 4
    assert sure.sum() > size
    np.testing.assert_allclose(found[0][sure], found[1][sure], rtol=0, atol=1e-4)


def test_gains_lie_within_their_bounds():
    net, _, tape = small("gru", {})
    found = gain_bounds(net, tape, np.random.default_rng(0).standard_normal(9), sample=1)
    slack = 1 + 1e-9
    assert (found.gain <= found.largest * slack).all()
    assert (found.smallest <= found.gain * slack).all()
    assert (found.largest <= found.product_of_norms * slack).all()
    assert len(found.gain) == 13
    assert (found.largest[2:] < found.product_of_norms[2:]).all()


def test_recurrent_matrices_and_spectral_radius():
    lstm = bn.LSTM(3, 8, num_layers=2)
    found = recurrent_matrices(lstm, layer=1)
    assert list(found) == ["i", "f", "g", "o"]
    np.testing.assert_array_equal(found["f"], lstm.state_dict()["weight_hh_l1"][8:16])
    assert list(recurrent_matrices(bn.GRU(3, 8))) == ["r", "z", "n"]
    assert list(recurrent_matrices(bn.LSTM(3, 8, coupled=True))) == ["i", "g", "o"]
    model = bn.Model("rnn", input_size=3, hidden_size=8, output_size=2)
    assert list(recurrent_matrices(model)) == ["h"]
    assert spectral_radius([[0.0, 2.0], [-2.0, 0.0]]) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"layer": 1}, ValueError, "layer"),
        ({"direction": 1}, ValueError, "direction"),
        ({"sample": 3}, IndexError, "sample"),
        ({"first": 12}, IndexError, "first"),
        ({"last": 13}, IndexError, "last"),
        ({"first": 5, "last": 5}, IndexError, "last"),
        ({"count": 10}, ValueError, "count"),
        ({"count": 0}, ValueError, "count"),
        ({"interval": 0}, ValueError, "interval"),
        ({"discard": 12}, IndexError, "discard"),
        ({"start": np.eye(8)}, ValueError, "start"),
        ({"start": np.eye(9, dtype=complex)}, TypeError, "start"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, kind, said):
    net, _, tape = small("gru", {})
    with pytest.raises(kind, match=f"argument '{said}': expected"):
        lyapunov(net, tape, **arguments)
    with pytest.raises(IndexError, match="argument 'step': expected"):
        jacobian(net, tape, 12)


def test_what_is_not_finite_gives_nan():
    net = bn.LSTM(2, 20, seed=1)
    state = net.state_dict()
    with pytest.warns(RuntimeWarning, match="NaN or infinite: weight_hh_l0"):
        net.load_state_dict({**state, "weight_hh_l0": np.full_like(state["weight_hh_l0"], np.nan)})
    tape = net.forward(np.ones((6, 1, 2), np.float32))[2]
    found = jacobian_product(net, tape)
    assert np.isnan(found.exponents).all()
    assert np.isnan(found.log_singular_values).all()
    assert np.isnan(found.kaplan_yorke)
    # float32 overflows between factorisations, in some directions only.
    relu = bn.RNN(2, 40, nonlinearity="relu", seed=1)
    W = np.diag(np.where(np.arange(40) < 20, 1, 1e30))
    relu.load_state_dict({**relu.state_dict(), "weight_hh_l0": W.astype(np.float32)})
    tape = relu.forward(np.zeros((6, 1, 2), np.float32), np.full((1, 1, 40), 1e-30, "f4"))[2]
    found = jacobian_product(relu, tape, interval=3)
    assert np.isnan(found.exponents).all()
    assert np.isnan(found.log_singular_values).all()


def test_a_shorter_sequence_has_its_own_steps():
    net = bn.GRU(2, 5, dtype="float64", seed=1)
    x = np.random.default_rng(0).standard_normal((6, 3, 2))
    ragged, short = net.forward(x, lengths=[6, 2, 4])[2], net.forward(x[:4])[2]
    assert ragged.lengths == [6, 2, 4]
    assert lyapunov(net, ragged, sample=2, discard=1).steps == 3
    own, expected = (gain_bounds(net, t, np.ones(5), sample=2) for t in (ragged, short))
    assert len(own.gain) == 5
    assert error(own.gain, expected.gain) <= 1e-12
    with pytest.raises(ValueError, match="gain_bounds: argument 'gradient'"):
        gain_bounds(net, ragged, np.ones(4))
    with pytest.raises(ValueError, match="expected finite numbers, not all 0"):
        gain_bounds(net, ragged, np.zeros(5))


def test_layers_of_recurrent_matrices():
    net = bn.RNN(2, 5, num_layers=2, bidirectional=True)
    found = recurrent_matrices(net, layer=-1, direction=1)["h"]
    np.testing.assert_array_equal(found, net.state_dict()["weight_hh_l1_reverse"])
    for bad in ({"layer": 2}, {"direction": 2}):
        with pytest.raises(ValueError, match="recurrent_matrices: argument"):
            recurrent_matrices(net, **bad)


def test_spectra_of_jacobians_that_lose_directions(isa):
    net = bn.LSTM(3, 17, dtype="float64", seed=1, recurrent_dropout=0.3)
    tape = net.forward(np.random.default_rng(0).standard_normal((3, 1, 3)))[2]
    for count in (1, 3):
        product = np.eye(34)
        for t in range(count):
            product = jacobian(net, tape, t) @ product
        values = np.linalg.svd(product)[1]
        assert values[-1] < 1e-12  # what a mask takes, no gradient passes
        found = jacobian_product(net, tape, last=count)
        assert np.abs(np.exp(found.log_singular_values) - values).max() <= 1e-12
        assert found.exponents[-1] < -11


def linear(W, steps, dtype="float64", nonlinearity="identity", h0=1):
    """An RNN of h_t = W h_{t-1}, and a tape of it."""
    net = bn.RNN(1, len(W), nonlinearity=nonlinearity, dtype=dtype, seed=1)
    zeros = {name: np.zeros_like(value) for name, value in net.state_dict().items()}
    net.load_state_dict({**zeros, "weight_hh_l0": np.asarray(W, dtype)})
    x, h0 = np.zeros((steps, 1, 1), dtype), np.full((1, 1, len(W)), h0, dtype)
    return net, net.forward(x, h0)[2]


@pytest.mark.parametrize("dead", [slice(0, 20), slice(20, 40), slice(0, 40, 2)])
def test_directions_that_are_lost_at_once(dead, isa):
    """Units that are off: all others keep their exponent 0."""
    W = np.eye(40)
    W[dead, dead] = 0
    net, tape = linear(W, 6)
    found = lyapunov(net, tape, discard=2).exponents
    live = np.trace(W).astype(int)
    np.testing.assert_allclose(found[:live], 0, atol=1e-12)
    assert (found[live:] < -10).all()
    net = bn.LSTM(3, 40, recurrent_dropout=0.5, dtype="float64", seed=0)
    tape = net.forward(np.random.default_rng(0).standard_normal((9, 1, 3)))[2]
    found, values = lyapunov(net, tape).exponents, jacobian_product(net, tape).log_singular_values
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((80, 80)))[0]
    sums = 0
    for t in reversed(range(9)):
        Q, R = np.linalg.qr(jacobian(net, tape, t).T @ V)
        sums, V = sums + np.log(np.abs(np.diag(R))), Q
    best = np.sort(sums / 9)[::-1]
    assert best[:20] == pytest.approx(found[:20], abs=0.2)  # from another start
    product = np.linalg.multi_dot([jacobian(net, tape, t) for t in reversed(range(9))])
    largest = np.log(np.linalg.svd(product, compute_uv=False)[:10])
    np.testing.assert_allclose(values[:10], largest, atol=1e-9)


@pytest.mark.parametrize(("factor", "dtype"), [(0.3, "float32"), (1e-9, "float64"), (4, "float32")])
def test_no_interval_under_or_overflows(factor, dtype):
    net, tape = linear(factor * np.eye(6), 40 if dtype == "float64" else 120, dtype)
    found = jacobian_product(net, tape, interval=1000)
    steps = tape.lengths[0]
    np.testing.assert_allclose(found.exponents, np.log(factor), rtol=1e-6)
    np.testing.assert_allclose(found.log_singular_values, steps * np.log(factor), rtol=1e-6)


@pytest.mark.parametrize("other", ["same", 1.0])
@pytest.mark.parametrize("factor", [1e20, 1e-20, 1e30, 1e-35])
def test_an_interval_that_overflows_in_a_step_shortens_itself(factor, other):
    diagonal = [factor, factor if other == "same" else other] * 3
    net, tape = linear(np.diag(diagonal), 12, "float32", h0=0)
    one = jacobian_product(net, tape)
    assert np.isfinite(one.exponents).all()
    assert one.exponents[0] == pytest.approx(np.log(max(diagonal)), abs=0.1)
    for interval in (2, 5, 12):
        found = jacobian_product(net, tape, interval=interval)
        np.testing.assert_allclose(found.exponents, one.exponents, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            found.log_singular_values, one.log_singular_values, rtol=1e-5, atol=1e-4
        )


@pytest.mark.parametrize("interval", [2, 7, 100])
def test_an_interval_loses_no_weak_direction(interval):
    """Each interval leaves the weakest three digits at least."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    moduli = np.array([1.2, 0.9, 0.5, 0.1, 1e-3, 1e-6])
    net, tape = linear_net(Q @ np.diag(moduli) @ Q.T)
    found = lyapunov(net, tape, discard=100, interval=interval)
    np.testing.assert_allclose(found.exponents, np.log(moduli), rtol=0, atol=1e-6)
    product = jacobian_product(net, tape, interval=interval).log_singular_values
    np.testing.assert_allclose(product / 200, np.log(moduli), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", LAYERS)
def test_gain_bounds_are_the_singular_values_of_growing_products(cell):
    net, _, tape = small(cell, {}, layers=2)
    S = 18 if cell == "lstm" else 9
    for steps in (12, 5):
        found = gain_bounds(net, tape, np.ones(S), layer=1, sample=2, steps=steps)
        assert found.largest[0] == found.smallest[0] == 1
        for d in range(1, steps + 1):
            whole = jacobian_product(net, tape, layer=1, sample=2, first=12 - d)
            values = np.exp(whole.log_singular_values)
            assert found.largest[d] == pytest.approx(values[0], rel=1e-12)
            assert found.smallest[d] == pytest.approx(values[-1], rel=1e-9)


def test_gain_bounds_walk_each_step_once():
    """Products of the steps walked are linear in T."""
    net, _, tape = small("gru", {})
    walked = []

    class Counted:
        def jacobian(self, **arguments):
            walked.append(1)
            return native.jacobian(**arguments)

        def spectrum(self, first, last, **arguments):
            walked.append((last or 12) - first)
            return native.spectrum(first=first, last=last, **arguments)

        def __getattr__(self, name):
            return getattr(native, name)

    native, net._native = net._native, Counted()
    gain_bounds(net, tape, np.ones(9))
    assert sum(walked) == 24


def test_any_start_is_made_orthonormal():
    net, _, tape = small("gru", {})
    start = np.random.default_rng(3).standard_normal((9, 9))
    Q = np.linalg.qr(start.T)[0].T
    expected = lyapunov(net, tape, start=Q).exponents
    np.testing.assert_allclose(
        lyapunov(net, tape, start=100 * start).exponents, expected, rtol=1e-9
    )
    assert np.isfinite(lyapunov(net, tape, start=np.zeros((9, 9))).exponents).all()


def test_what_few_exponents_do_not_tell():
    net, tape = linear(np.diag([1.5, 1.2, 0.1]), 20)
    whole = lyapunov(net, tape, discard=10)
    assert whole.size == 3
    assert whole.kaplan_yorke == pytest.approx(2 + np.log(1.8) / -np.log(0.1), rel=1e-6)
    assert np.isnan(lyapunov(net, tape, count=2).kaplan_yorke)
    net, tape = linear(np.diag([1.5, 1.2]), 20)
    assert lyapunov(net, tape).kaplan_yorke == 2


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_gains_beyond_the_squares_of_float64(factor):
    net, tape = linear(factor * np.eye(3), 340)
    found = gain_bounds(net, tape, [1e200, 1e-200, 1e200])
    for values in (found.gain, found.smallest, found.largest, found.product_of_norms):
        np.testing.assert_allclose(values, factor ** np.arange(341.0), rtol=1e-9)


def test_gains_of_what_is_not_finite():
    with pytest.warns(RuntimeWarning, match="NaN or infinite: weight_hh_l0"):
        net, tape = linear(np.full((3, 3), np.nan), 4)
    assert np.isnan(gain_bounds(net, tape, np.ones(3)).product_of_norms[1:]).all()
    with pytest.raises(ValueError, match="expected finite numbers, not all 0, got numbers that"):
        gain_bounds(net, tape, [1, 2, np.inf])


def test_recurrent_matrices_have_dales_signs():
    net = bn.RNN(2, 10, nonlinearity="identity", dale=0.5, dtype="float64", seed=0)
    tape = net.forward(np.ones((3, 1, 2)))[2]
    W = recurrent_matrices(net)["h"]
    np.testing.assert_allclose(W, jacobian(net, tape, 1), rtol=1e-12)
    assert (W[:, :5] >= 0).all()
    assert (W[:, 5:] <= 0).all()


def test_refusals_name_the_function_that_was_called():
    net, _, tape = small("gru", {})
    for call, name in (
        (lambda: lyapunov(net, tape, discard=12), "lyapunov"),
        (lambda: jacobian_product(net, tape, first=12), "jacobian_product"),
        (lambda: jacobian(net, tape, 12), "jacobian"),
        (lambda: gain_bounds(net, tape, np.ones(9), layer=4), "gain_bounds"),
        (lambda: jacobian(net, None, 0), "jacobian"),
        (lambda: lyapunov(net, None), "lyapunov"),
        (lambda: lyapunov(net, tape, interval=2**63), "lyapunov"),
    ):
        with pytest.raises((TypeError, ValueError, IndexError), match=f"^{name}: argument '"):
            call()
