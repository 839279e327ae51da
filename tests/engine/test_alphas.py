"""A leak for each unit of an RNN."""

import copy
import pickle

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import assert_same, draw, error, generator
from helpers.nets import TOLERANCE

T, N, I, H = 12, 4, 3, 9  # noqa: E741
ALPHAS = np.linspace(0.1, 1.0, H)


def results(layer, dtype, **passage):
    """Return everything that a forward and a backward pass compute."""
    x, dy = draw(T, N, I, dtype=dtype), draw(T, N, H * (1 + layer.bidirectional), dtype=dtype)
    y, state, tape = layer.forward(x, draw=0, **passage)
    gradients = layer.backward(tape, dy)
    return y, state, gradients.flat, gradients.x, gradients.state, gradients.flow


@pytest.mark.parametrize("options", [{}, {"noise": 0.3}, {"zoneout": 0.2}, {"layer_norm": True},
                                     {"dale": 0.7}, {"bidirectional": True, "num_layers": 2}],
                         ids=str)  # fmt: skip
def test_equal_alphas_have_the_bits_of_one(options, isa, dtype):
    one = bn.RNN(I, H, alpha=0.3, dtype=dtype, **options)
    each = bn.RNN(I, H, alpha=np.full(H, 0.3), dtype=dtype, **options)
    assert_same(results(each, dtype), results(one, dtype))
    x = draw(T, N, I, dtype=dtype)
    assert_same(each(x, noise=True), one(x, noise=True))


def test_alphas_of_one_are_no_leak(isa, dtype):
    plain, each = bn.RNN(I, H, dtype=dtype), bn.RNN(I, H, alpha=np.ones(H), dtype=dtype)
    for got, want in zip(results(each, dtype), results(plain, dtype), strict=True):
        assert error(got, want) <= TOLERANCE[dtype]


@pytest.mark.parametrize("num_layers", [1, 2])
def test_each_unit_forgets_at_its_rate(num_layers, isa, dtype):
    """Without weights, a state decays by 1 - alpha per step."""
    layer = bn.RNN(I, H, num_layers, nonlinearity="identity", alpha=ALPHAS, dtype=dtype)
    layer.load_state_dict({name: np.zeros_like(p) for name, p in layer.state_dict().items()})
    state = draw(num_layers, N, H, dtype=dtype)
    y, last, tape = layer.forward(np.zeros((T, N, I), dtype), state)
    decay = (1 - ALPHAS) ** np.arange(1, T + 1)[:, None, None]
    assert error(y, decay * state[-1]) <= TOLERANCE[dtype]
    gradients = layer.backward(tape, None, np.ones_like(last))
    assert error(gradients.state, np.broadcast_to(decay[-1], last.shape)) <= TOLERANCE[dtype]


def test_the_noise_of_each_unit_has_its_scale():
    layer = bn.RNN(1, H, nonlinearity="identity", noise=0.25, alpha=ALPHAS, dtype="float64")
    layer.load_state_dict({name: np.zeros_like(p) for name, p in layer.state_dict().items()})
    y, _ = layer(np.zeros((4000, 5, 1)), noise=True)
    fresh = (y[1:] - (1 - ALPHAS) * y[:-1]) / ALPHAS
    deviations = fresh.std(axis=(0, 1)) / (np.sqrt(2 / ALPHAS) * 0.25)
    assert np.abs(deviations - 1).max() < 0.03


def test_jacobians_have_the_leak_of_each_unit(isa, dtype):
    layer = bn.RNN(I, H, alpha=ALPHAS, dtype=dtype)
    y, _, tape = layer.forward(draw(T, N, I, dtype=dtype))
    f = (y[5, 2] - (1 - ALPHAS) * y[4, 2]) / ALPHAS
    W = layer.state_dict()["weight_hh_l0"]
    want = np.diag(1 - ALPHAS) + (ALPHAS * (1 - f**2))[:, None] * W
    assert error(bn.diagnostics.jacobian(layer, tape, 5, sample=2), want) <= 10 * TOLERANCE[dtype]


def model_of(alpha=ALPHAS, **options):
    sizes = {"input_size": I, "hidden_size": H, "output_size": 2, "num_layers": 2}
    return bn.Model("rnn", alpha=alpha, loss="mse", noise=0.1, dale=0.8, **sizes, **options)


def test_streams_equal_windows(dtype, isa):
    model, x = model_of(dtype=dtype), draw(T, I, dtype=dtype)
    stream = model.stream(noise=True)
    got = np.array([stream.step(step) for step in x])
    np.testing.assert_allclose(got, model(x, noise=True)[0], atol=TOLERANCE[dtype])


def test_files_and_pickles_hold_them(tmp_path):
    model, x, targets = model_of(), draw(T, N, I), draw(T, N, 2, seed=1)
    model.train_step(x, targets)
    assert model.config["alpha"] == model.alpha == tuple(ALPHAS.tolist())
    model.save(tmp_path / "model.safetensors")
    for other in (bn.load(tmp_path / "model.safetensors"), copy.copy(model)):
        assert other.alpha == model.alpha
        assert_same(other(x), model(x))
    loaded = bn.load(tmp_path / "model.safetensors")
    assert loaded.train_step(x, targets).loss == model.train_step(x, targets).loss
    assert_same(loaded(x), model(x))
    layer = bn.RNN(I, H, alpha=ALPHAS)
    for other in (pickle.loads(pickle.dumps(layer)), copy.copy(layer)):
        assert other.alpha == layer.alpha == tuple(ALPHAS.tolist())
        assert_same(other(x), layer(x))


def test_the_caller_may_change_the_array():
    alphas = ALPHAS.copy()
    layer, x = bn.RNN(I, H, alpha=alphas), draw(T, N, I)
    want = layer(x)
    alphas[:] = 0.5
    assert_same(layer(x), want)
    assert layer.alpha == tuple(ALPHAS.tolist())
    assert_same(bn.RNN(I, H, alpha=ALPHAS.tolist())(x), want)


def test_a_file_with_impossible_alphas_is_refused():
    model = model_of()
    data = bytearray(bytes(model._native.serialize()))
    at = data.index(ALPHAS.tobytes())
    data[at : at + 8] = np.float64(1.5).tobytes()
    with pytest.raises(ValueError, match="model file"):
        bn._core.Model.deserialize(bytes(data))


@pytest.mark.parametrize(("alpha", "kind", "text"), [
    (np.full(H + 1, 0.5), ValueError, rf"expected a number or \[{H}\] numbers in \(0, 1\]"),
    (np.full((1, H), 0.5), ValueError, "expected a number or"),
    ([0.5] * (H - 1) + ["x"], TypeError, "expected a number or"),
    (np.r_[ALPHAS[:-1], 0.0], ValueError, r"expected numbers in \(0, 1\], got 0 at 8"),
    (np.r_[1.5, ALPHAS[1:]], ValueError, r"expected numbers in \(0, 1\], got 1.5 at 0"),
    (np.r_[np.nan, ALPHAS[1:]], ValueError, r"expected numbers in \(0, 1\], got nan at 0"),
    (np.r_[1e-60, ALPHAS[1:]], ValueError, r"expected numbers in \(0, 1\], got 1e-60 at 0"),
    ("fast", TypeError, "expected a"),
    (0.0, ValueError, r"expected a number in \(0, 1\], got 0"),
])  # fmt: skip
def test_bad_alphas_are_refused(alpha, kind, text):
    makers = {"RNN": lambda: bn.RNN(I, H, alpha=alpha), "Model": lambda: model_of(alpha)}
    for where, make in makers.items():
        with pytest.raises(kind, match=rf"^{where}: argument 'alpha': {text}"):
            make()


def test_other_cells_and_omega_exclude_them():
    with pytest.raises(ValueError, match="argument 'alpha': expected 1 unless the cell is 'rnn'"):
        bn.Model("gru", input_size=I, hidden_size=H, output_size=2, alpha=ALPHAS)
    with pytest.raises(ValueError, match="argument 'omega': expected 0 unless alpha is 1"):
        bn.Model("rnn", input_size=I, hidden_size=H, output_size=2, alpha=ALPHAS, omega=1.0)
    layer = bn.RNN(I, H, alpha=ALPHAS)
    y, _, tape = layer.forward(draw(T, N, I))
    with pytest.raises(ValueError, match="argument 'omega': expected 0 unless alpha is 1"):
        layer.backward(tape, y, omega=1.0)
    with pytest.raises(ValueError, match="argument 'noise'"):
        bn.RNN(I, H, alpha=np.r_[1e-30, ALPHAS[1:]], noise=1e30)


def test_time_constants_are_those_of_a_simulation():
    """Euler steps of tau_i dh_i/dt = -h_i + tanh(a_i), one unit at a time."""
    tau, dt, rng = generator(2).uniform(20, 100, H), 10.0, generator(3)
    layer = bn.RNN(I, H, alpha=dt / tau, dtype="float64")
    p, x = layer.state_dict(), rng.standard_normal((T, I))
    h, want = np.zeros(H), []
    for step in x:
        a = p["weight_ih_l0"] @ step + p["bias_ih_l0"] + p["weight_hh_l0"] @ h + p["bias_hh_l0"]
        h = np.array([h[i] + dt / tau[i] * (np.tanh(a[i]) - h[i]) for i in range(H)])
        want.append(h)
    assert error(layer(x)[0], np.array(want)) <= 1e-13
