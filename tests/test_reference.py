"""The specification itself: its gradients by the complex step, its numbers to 50 digits."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bptt_native import reference as ref

KINDS = [("rnn", f) for f in ("tanh", "relu", "sigmoid", "identity")]
KINDS += [("lstm", "tanh"), ("gru", "tanh")]
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
STEP = 1e-100
TOLERANCE = 1e-13


def random_params(rng, cell, features, hidden, layers=1, bias=True):
    """Draw parameters of stacked layers, by PyTorch's names and shapes."""
    params, rows = {}, GATES[cell] * hidden
    for k in range(layers):
        columns, scale = features if k == 0 else hidden, 0.8 / math.sqrt(hidden)
        params[f"weight_ih_l{k}"] = scale * rng.standard_normal((rows, columns))
        params[f"weight_hh_l{k}"] = scale * rng.standard_normal((rows, hidden))
        if bias:
            params[f"bias_ih_l{k}"] = scale * rng.standard_normal(rows)
            params[f"bias_hh_l{k}"] = scale * rng.standard_normal(rows)
    return params


def random_state(rng, cell, shape):
    """Draw an h for rnn and gru, an (h, c) for lstm."""
    h, c = 0.5 * rng.standard_normal((2, *shape))
    return (h, c) if cell == "lstm" else h


def arrays_of(state):
    """Give the arrays of a state as a tuple."""
    return state if isinstance(state, tuple) else (state,)


def complex_step(f, tensors):
    """df/dz of a real scalar function of a dict of real arrays, one perturbed element at a time."""
    gradients = {}
    for name, z in tensors.items():
        gradients[name] = np.zeros(z.shape)
        for index in np.ndindex(z.shape):
            moved = z.astype(complex)
            moved[index] += 1j * STEP
            gradients[name][index] = f({**tensors, name: moved}).imag / STEP
    return gradients


def error(got, expected):
    """Largest difference, relative to the largest expected magnitude of this tensor."""
    assert got.shape == expected.shape
    return np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-300)


def assert_equal_gradients(got, expected, tolerance=TOLERANCE):
    """Every tensor within the tolerance, none missing, none left over."""
    assert got.keys() == expected.keys()
    errors = {name: error(got[name], expected[name]) for name in got}
    assert max(errors.values()) <= tolerance, errors


# --- every gradient by the complex step ----------------------------------------------------------
@dataclass
class Net:
    """A small random net with its data."""

    cfg: ref.ModelConfig
    params: dict[str, Any]
    x: Any
    targets: Any
    state: Any
    dstate: Any


def small_net(seed, kind, layers, bias, source):
    """Sizes, loss, place of the targets and reduction follow from the seed."""
    rng = np.random.default_rng(seed)
    T, N, H = (int(n) for n in rng.integers(1, (6, 4, 5)))
    features, outputs = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    cell, nonlinearity = kind
    loss, targets = (("cross_entropy", "mse")[seed % 2], ("every", "last")[seed // 2 % 2])
    reduction = ("mean", "sum")[seed // 4 % 2]
    cfg = ref.ModelConfig(cell, nonlinearity, loss, targets, reduction)
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
    return Net(cfg, params, x, wanted, *states)


GRID = list(itertools.product(KINDS, (1, 2, 3), (True, False), ("dense", "tokens", "embedding")))
NETS = [small_net(seed, *options) for seed, options in enumerate(GRID * 2)]


def test_the_nets_cover_every_combination_of_loss_and_place():
    assert len(NETS) == 216
    seen = {(n.cfg.cell, n.cfg.nonlinearity, n.cfg.loss, n.cfg.targets) for n in NETS}
    assert len(seen) == len(KINDS) * 4


@pytest.mark.parametrize("net", NETS, ids=lambda n: f"{n.cfg.cell}-{n.cfg.nonlinearity}")
def test_model_gradients(net):
    cfg, names = net.cfg, ("h0", "c0")[: len(arrays_of(net.state))]
    tensors = net.params | dict(zip(names, arrays_of(net.state), strict=True))
    if net.x.dtype.kind == "f":
        tensors["x"] = net.x

    def outputs(z):
        state = (z["h0"], z["c0"]) if "c0" in z else z["h0"]
        params = {name: z[name] for name in net.params}
        return ref.model_forward(cfg, params, z.get("x", net.x), state)

    def loss(z):
        compute = (
            ref.softmax_cross_entropy if cfg.loss == "cross_entropy" else ref.mean_squared_error
        )
        return compute(outputs(z)[0], net.targets, cfg.reduction)[0]

    result = ref.model_loss_and_gradients(cfg, net.params, net.x, net.targets, net.state)
    assert result.loss == loss(tensors)
    out, _, tape = outputs(tensors)
    np.testing.assert_array_equal(out, result.out)
    compute = ref.softmax_cross_entropy if cfg.loss == "cross_entropy" else ref.mean_squared_error
    gradients, g = ref.model_backward(
        cfg, net.params, tape, compute(out, net.targets, cfg.reduction)[1]
    )
    assert list(gradients) == list(net.params)
    assert_equal_gradients(result.gradients, gradients, 0.0)
    got = gradients | dict(zip(names, arrays_of(g.state), strict=True))
    if "x" in tensors:
        got["x"] = g.x
    assert_equal_gradients(got, complex_step(loss, tensors))


@pytest.mark.parametrize("net", NETS[1::3], ids=lambda n: f"{n.cfg.cell}-{n.cfg.nonlinearity}")
@pytest.mark.parametrize("dense", [True, False], ids=["dense", "tokens"])
def test_layer_gradients_with_a_gradient_of_the_last_state(net, dense):
    cell, f = net.cfg.cell, net.cfg.nonlinearity
    rng, (T, N) = np.random.default_rng(17), net.x.shape
    params = {name[4:]: p for name, p in net.params.items() if name.startswith("rnn.")}
    x = rng.standard_normal((T, N, params["weight_ih_l0"].shape[1])) if dense else net.x
    dy = rng.standard_normal((T, N, params["weight_hh_l0"].shape[1]))
    names = ("h0", "c0")[: len(arrays_of(net.state))]
    tensors = (
        params | dict(zip(names, arrays_of(net.state), strict=True)) | ({"x": x} if dense else {})
    )

    def loss(z):
        state = (z["h0"], z["c0"]) if "c0" in z else z["h0"]
        layers = {name: z[name] for name in params}
        y, last, _ = ref.forward(cell, layers, z.get("x", x), state, nonlinearity=f)
        pairs = zip(arrays_of(net.dstate), arrays_of(last), strict=True)
        return np.sum(dy * y) + sum(np.sum(d * s) for d, s in pairs)

    _, _, tape = ref.forward(cell, params, x, net.state, nonlinearity=f)
    g = ref.backward(cell, params, tape, dy, net.dstate)
    got = g.params | dict(zip(names, arrays_of(g.state), strict=True))
    assert (g.x is not None) == dense
    assert_equal_gradients(got | ({"x": g.x} if dense else {}), complex_step(loss, tensors))


@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_backward_runs_in_complex128_its_second_derivative_is_symmetric(cell, f):
    rng = np.random.default_rng(5)
    params = random_params(rng, cell, 2, 3, layers=2)
    x, dy = rng.standard_normal((4, 2, 2)), rng.standard_normal((4, 2, 3))
    u, v = ({n: rng.standard_normal(p.shape) for n, p in params.items()} for _ in range(2))

    def along(direction):  # Hessian times direction
        moved = {name: p + 1j * STEP * direction[name] for name, p in params.items()}
        y, _, tape = ref.forward(cell, moved, x, nonlinearity=f)
        return {n: g.imag / STEP for n, g in ref.backward(cell, moved, tape, dy * y).params.items()}

    hu, hv = along(u), along(v)
    vhu, uhv = (sum(np.sum(a[n] * b[n]) for n in params) for a, b in ((v, hu), (u, hv)))
    assert abs(vhu) > 1e-3
    assert vhu == pytest.approx(uhv, rel=1e-12)


# --- against 50 digits ---------------------------------------------------------------------------
def mp_forward(mp, cell, f, params, x, readout, layers):
    """One sample's logits at every step, in scalar mpmath arithmetic written from the equations."""

    def sigmoid(a):
        return 1 / (1 + mp.exp(-a))

    functions = {"tanh": mp.tanh, "sigmoid": sigmoid, "relu": lambda a: a if a > 0 else mp.mpf(0)}
    hidden = len(params["weight_hh_l0"][0])
    h = [[mp.mpf(0)] * hidden for _ in range(layers)]
    c = [[mp.mpf(0)] * hidden for _ in range(layers)]
    logits = []
    for x_t in x:
        below = x_t
        for k in range(layers):

            def product(kind, row, vector, k=k):
                W, b = params[f"weight_{kind}_l{k}"][row], params[f"bias_{kind}_l{k}"][row]
                return sum((w * v for w, v in zip(W, vector, strict=True)), b)

            old, new = h[k], []
            for j in range(hidden):
                rows = [j + gate * hidden for gate in range(GATES[cell])]
                ax = [product("ih", row, below) for row in rows]
                ah = [product("hh", row, old) for row in rows]
                if cell == "rnn":
                    new.append(functions[f](ax[0] + ah[0]))
                elif cell == "lstm":
                    i, forget, o = (sigmoid(ax[g] + ah[g]) for g in (0, 1, 3))
                    c[k][j] = forget * c[k][j] + i * mp.tanh(ax[2] + ah[2])
                    new.append(o * mp.tanh(c[k][j]))
                else:
                    r, z = sigmoid(ax[0] + ah[0]), sigmoid(ax[1] + ah[1])
                    new.append((1 - z) * mp.tanh(ax[2] + r * ah[2]) + z * old[j])
            h[k] = below = new
        logits.append([sum(w * v for w, v in zip(row, below, strict=True)) for row in readout])
    return logits


@pytest.mark.parametrize(
    ("cell", "f", "layers", "loss"),
    [
        ("rnn", "tanh", 2, "cross_entropy"),
        ("rnn", "sigmoid", 1, "mse"),
        ("rnn", "relu", 2, "mse"),
        ("lstm", "tanh", 1, "cross_entropy"),
        ("gru", "tanh", 1, "cross_entropy"),
    ],
)
def test_loss_and_gradients_to_fifty_digits(cell, f, layers, loss):
    mp = pytest.importorskip("mpmath", reason="the check to 50 digits needs mpmath").mp.clone()
    mp.dps = 50
    rng = np.random.default_rng(3)
    T, H, outputs = 3, 2, 3
    rnn = random_params(rng, cell, 2, H, layers)
    params = {f"rnn.{n}": p for n, p in rnn.items()}
    params |= {
        "readout.weight": rng.standard_normal((outputs, H)),
        "readout.bias": np.zeros(outputs),
    }
    x = rng.standard_normal((T, 1, 2))
    targets: Any = rng.integers(0, outputs, (T, 1))
    if loss == "mse":
        targets = rng.standard_normal((T, 1, outputs))

    exact = {n: np.vectorize(mp.mpf, otypes=[object])(p) for n, p in params.items()}
    exact_x = [[mp.mpf(v) for v in row[0]] for row in x]

    def exact_loss():
        layer = {n[4:]: p.tolist() for n, p in exact.items() if n.startswith("rnn.")}
        logits = mp_forward(mp, cell, f, layer, exact_x, exact["readout.weight"].tolist(), layers)
        logits = [[v + b for v, b in zip(r, exact["readout.bias"], strict=True)] for r in logits]
        if loss == "mse":
            pairs = zip(itertools.chain(*logits), targets.reshape(-1), strict=True)
            return sum((v - mp.mpf(t)) ** 2 for v, t in pairs) / (T * outputs)
        pairs = zip(logits, targets[:, 0], strict=True)
        return sum(mp.log(sum(mp.exp(v) for v in row)) - row[t] for row, t in pairs) / T

    result = ref.model_loss_and_gradients(ref.ModelConfig(cell, f, loss), params, x, targets)
    assert abs(result.loss - exact_loss()) <= TOLERANCE * result.loss
    h, expected = mp.mpf(10) ** -16, {}
    for name, p in exact.items():
        expected[name] = np.zeros(p.shape)
        for index in np.ndindex(p.shape):
            centre = p[index]
            p[index] = centre + h
            above = exact_loss()
            p[index] = centre - h
            expected[name][index] = (above - exact_loss()) / (2 * h)
            p[index] = centre
    assert_equal_gradients(result.gradients, expected)


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
        y, last, _ = ref.forward(cell, params, x, nonlinearity=f)
        first, state, _ = ref.forward(cell, params, x[:2], nonlinearity=f)
        second, end, _ = ref.forward(cell, params, x[2:], state, nonlinearity=f)
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
        assert y.dtype == g.x.dtype == g.params["weight_hh_l0"].dtype == np.float64
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
    clean, _, _ = ref.forward(cell, params, x, nonlinearity=f)
    x[1, 2] = np.nan
    y, _, tape = ref.forward(cell, params, x, nonlinearity=f)
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
    y, _, tape = ref.forward("rnn", params, np.zeros((1, 1, 1)), nonlinearity="relu")
    assert y.item() == 0
    assert ref.backward("rnn", params, tape, np.ones((1, 1, 1))).x.item() == 0


def test_a_given_relu_pattern_replaces_the_sign():
    rng = np.random.default_rng(6)
    params, x = random_params(rng, "rnn", 2, 4, layers=2), rng.standard_normal((3, 2, 2))
    pattern = [rng.random((3, 2, 4)) < 0.5 for _ in range(2)]
    dy = rng.standard_normal((3, 2, 4))
    options = {"nonlinearity": "relu", "relu_pattern": pattern}
    y, _, tape = ref.forward("rnn", params, x, **options)
    assert (y[~pattern[1]] == 0).all()
    assert (y[pattern[1]] < 0).any()

    def loss(z):
        return np.sum(dy * ref.forward("rnn", z, x, **options)[0])

    assert_equal_gradients(ref.backward("rnn", params, tape, dy).params, complex_step(loss, params))


def test_the_own_relu_pattern_changes_nothing():
    rng = np.random.default_rng(7)
    params, x = random_params(rng, "rnn", 2, 4), rng.standard_normal((3, 2, 2))
    y, _, _ = ref.forward("rnn", params, x, nonlinearity="relu")
    same, _, _ = ref.forward("rnn", params, x, nonlinearity="relu", relu_pattern=[y > 0])
    np.testing.assert_array_equal(y, same)


# --- gradient flow -------------------------------------------------------------------------------
@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_flow_is_the_norm_of_the_total_derivative(cell, f):
    rng = np.random.default_rng(8)
    T, N, H = 5, 2, 3
    params, x = random_params(rng, cell, 2, H), rng.standard_normal((T, N, 2))
    dy, dstate = rng.standard_normal((T, N, H)), random_state(rng, cell, (1, N, H))
    _, _, tape = ref.forward(cell, params, x, nonlinearity=f)
    g = ref.backward(cell, params, tape, dy, dstate)
    assert g.flow.shape == (1, T)
    assert (g.flow_c is not None) == (cell == "lstm")
    for t in range(T):

        def loss(z, t=t):  # what follows from the state after step t, y_t = h_t included
            h = z["h"]
            total, last = np.sum(dy[t] * h[0]), (h, z["c"]) if "c" in z else h
            if t + 1 < T:
                y, last, _ = ref.forward(cell, params, x[t + 1 :], last, nonlinearity=f)
                total = total + np.sum(dy[t + 1 :] * y)
            pairs = zip(arrays_of(dstate), arrays_of(last), strict=True)
            return total + sum(np.sum(d * s) for d, s in pairs)

        _, state, _ = ref.forward(cell, params, x[: t + 1], nonlinearity=f)
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


# --- clipping inside the backward loop -----------------------------------------------------------
def sloped(f, *arguments):
    """Partial derivatives of an elementwise function, each by one complex step."""
    wide = [np.asarray(a, complex) for a in arguments]
    moved = ([*wide[:k], w + 1j * STEP, *wide[k + 1 :]] for k, w in enumerate(wide))
    return [f(*m).imag / STEP for m in moved]


def naive_backward(cell, f, p, x, dy, dstate, limit, limit_norm):
    """Go back through one layer, sample by sample; each elementwise slope is a complex step."""

    def clamp(d):
        return d if limit is None else np.clip(d, -limit, limit)

    (T, N, _), H = x.shape, p["weight_hh_l0"].shape[1]
    functions = {"tanh": np.tanh, "sigmoid": ref.sigmoid, "identity": lambda a: a}
    functions["relu"] = lambda a: np.where(a.real > 0, a, 0)
    W_x, W_h, b_x, b_h = (p[f"{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    d = {n: np.zeros(q.shape) for n, q in p.items()} | {"x": np.zeros(x.shape)}
    starts = []
    for n in range(N):
        sample = x[:, n : n + 1]
        states = [(np.zeros(H), np.zeros(H))]
        for t in range(T):
            _, last, _ = ref.forward(cell, p, sample[: t + 1], nonlinearity=f)
            states.append(tuple(s[0, 0] for s in (last if cell == "lstm" else (last, last))))
        dh, dc = (s[0, n] for s in dstate) if cell == "lstm" else (dstate[0, n], np.zeros(H))
        for t in reversed(range(T)):
            h, c = states[t]
            ax, ah = W_x @ x[t, n] + b_x, W_h @ h + b_h
            dh = dh + dy[t, n]
            if cell == "rnn":
                da_x = da_h = clamp(dh * sloped(functions[f], ax + ah)[0])
                dh_direct = np.zeros(H)
            elif cell == "lstm":

                def new_c(i, forget, g, c):
                    return ref.sigmoid(forget) * c + ref.sigmoid(i) * np.tanh(g)

                i, forget, g, o = (ax + ah).reshape(4, H)
                slope_o, slope_c = sloped(
                    lambda o, c: ref.sigmoid(o) * np.tanh(c), o, new_c(i, forget, g, c)
                )
                total = dc + dh * slope_c
                *inner, slope = sloped(new_c, i, forget, g, c)
                gates = [total * s for s in inner] + [dh * slope_o]
                da_x = da_h = clamp(np.concatenate(gates))
                dh_direct, dc = np.zeros(H), total * slope
            else:
                r, z, _ = (ax + ah).reshape(3, H)
                xn, hn = ax[2 * H :], ah[2 * H :]

                def candidate(r, hn, xn=xn):
                    return xn + ref.sigmoid(r) * hn

                def new_h(n, z, h):
                    return (1 - ref.sigmoid(z)) * np.tanh(n) + ref.sigmoid(z) * h

                s_n, s_z, s_h = sloped(new_h, candidate(r, hn), z, h)
                s_r, s_hn = sloped(candidate, r, hn)
                da_n = clamp(dh * s_n)
                da_r, da_z, dh_direct = clamp(da_n * s_r), clamp(dh * s_z), dh * s_h
                da_x = np.concatenate([da_r, da_z, da_n])
                da_h = np.concatenate([da_r, da_z, da_n * s_hn])
            d["weight_ih_l0"] += np.outer(da_x, x[t, n])
            d["weight_hh_l0"] += np.outer(da_h, h)
            d["bias_ih_l0"] += da_x
            d["bias_hh_l0"] += da_h
            d["x"][t, n] = W_x.T @ da_x
            dh = W_h.T @ da_h + dh_direct
            norm = math.sqrt(sum(v * v for v in [*dh, *dc]))
            if limit_norm is not None and norm > limit_norm:
                dh, dc = dh / norm * limit_norm, dc / norm * limit_norm
        starts.append((dh, dc))
    d["h0"], d["c0"] = (np.stack(s)[None] for s in zip(*starts, strict=True))
    return d


@pytest.mark.parametrize("limits", [(None, None), (0.05, None), (None, 0.2), (0.1, 0.1)], ids=str)
@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_step_clipping_against_a_naive_computation(cell, f, limits):
    rng = np.random.default_rng(10)
    params, x = random_params(rng, cell, 2, 4), rng.standard_normal((5, 3, 2))
    dy, dstate = rng.standard_normal((5, 3, 4)), random_state(rng, cell, (1, 3, 4))
    dy[:, 0] *= 1e-3  # a sample that no norm limit touches
    tape = ref.forward(cell, params, x, nonlinearity=f)[2]
    g, free = (
        ref.backward(cell, params, tape, dy, dstate, clip_step=c, clip_step_norm=norm)
        for c, norm in (limits, (None, None))
    )
    states = dict(zip(("h0", "c0"), arrays_of(g.state), strict=False))
    expected = naive_backward(cell, f, params, x, dy, dstate, *limits)
    if cell != "lstm":
        assert not expected.pop("c0").any()
    assert_equal_gradients(g.params | {"x": g.x} | states, expected, 1e-12)
    clipped = limits != (None, None)
    assert (error(g.params["weight_hh_l0"], free.params["weight_hh_l0"]) > 1e-3) == clipped
    if limits[1] is not None:
        norms = np.sqrt(sum(np.sum(s**2, axis=-1) for s in arrays_of(g.state)))
        assert norms.max() <= limits[1] * (1 + 1e-15)


@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_huge_step_limits_change_no_bit(cell, f):
    rng = np.random.default_rng(11)
    params, x = random_params(rng, cell, 2, 3, layers=2), rng.standard_normal((5, 2, 2))
    dy, tape = rng.standard_normal((5, 2, 3)), ref.forward(cell, params, x, nonlinearity=f)[2]
    free = ref.backward(cell, params, tape, dy)
    wide = ref.backward(cell, params, tape, dy, clip_step=1e6, clip_step_norm=1e6)
    assert_equal_gradients(wide.params | {"x": wide.x}, free.params | {"x": free.x}, 0.0)
    np.testing.assert_array_equal(wide.flow, free.flow)


def test_step_clipping_by_hand():
    """h_t = x_t + 2 h_{t-1} and a gradient of 3 at the last step: 3, 6, 12 going back."""
    params = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.full((1, 1), 2.0)}
    x, dy = np.ones((3, 1, 1)), np.array([0.0, 0.0, 3.0]).reshape(3, 1, 1)
    y, _, tape = ref.forward("rnn", params, x, nonlinearity="identity")
    np.testing.assert_array_equal(y.ravel(), [1, 3, 7])

    def run(**limits):
        g = ref.backward("rnn", params, tape, dy, **limits)
        return [*g.flow[0], *g.x.ravel(), g.state.item(), g.params["weight_hh_l0"].item()]

    #                   flow of h    dx           dh0  dW_h = sum da_t h_{t-1}
    assert run() == [12, 6, 3, 12, 6, 3, 24, 6 * 1 + 3 * 3]
    assert run(clip_step=1.0) == [2, 2, 3, 1, 1, 1, 2, 1 * 1 + 1 * 3]
    assert run(clip_step=4.0) == [8, 6, 3, 4, 4, 3, 8, 4 * 1 + 3 * 3]
    assert run(clip_step_norm=5.0) == [5, 5, 3, 5, 5, 3, 5, 5 * 1 + 3 * 3]


def test_the_step_norm_is_of_h_and_c_together():
    """Forget gate 1/2, no path to h_{t-1}: what is carried is dc / 2."""
    params = {"weight_ih_l0": np.zeros((4, 1)), "weight_hh_l0": np.zeros((4, 1))}
    params["weight_hh_l0"][3] = 4.0  # the output gate alone looks back: a_o = 4 h_{t-1} = 0
    start = (np.zeros((1, 1, 1)), np.full((1, 1, 1), 2.0))
    _, _, tape = ref.forward("lstm", params, np.ones((1, 1, 1)), start)
    dh, dc = 1.0, 3.0
    total = dc + dh * 0.5 * (1 - math.tanh(1) ** 2)
    carried = np.array([4 * dh * math.tanh(1) * 0.25, 0.5 * total])
    dlast = (np.full((1, 1, 1), dh), np.full((1, 1, 1), dc))
    for limit in (0.5, 1.75, 100.0):
        zero = np.zeros((1, 1, 1))
        g = ref.backward("lstm", params, tape, zero, dlast, clip_step_norm=limit)
        scale = min(1.0, limit / math.hypot(*carried))
        np.testing.assert_allclose(np.ravel(g.state), carried * scale, rtol=1e-15)


# --- losses --------------------------------------------------------------------------------------
def test_cross_entropy_of_known_logits():
    logits = np.log(np.array([[[0.5, 0.25, 0.25]], [[0.1, 0.2, 0.7]]]))
    loss, d = ref.softmax_cross_entropy(logits, np.array([[0], [2]]))
    assert loss == pytest.approx(-(math.log(0.5) + math.log(0.7)) / 2, rel=1e-15)
    np.testing.assert_allclose(d, [[[-0.25, 0.125, 0.125]], [[0.05, 0.1, -0.15]]], rtol=1e-14)
    total, d_total = ref.softmax_cross_entropy(logits, np.array([[0], [2]]), "sum")
    assert total == pytest.approx(2 * loss, rel=1e-15)
    np.testing.assert_array_equal(d_total, 2 * d)


def test_cross_entropy_of_huge_float32_and_infinite_logits():
    loss, d = ref.softmax_cross_entropy(np.array([[1e4, 0.0, -1e4]]), np.array([1]))
    assert loss == 1e4
    np.testing.assert_array_equal(d, [[1.0, -1.0, 0.0]])
    loss, d = ref.softmax_cross_entropy(np.array([[0.0, -np.inf]]), np.array([0]))
    assert loss == 0
    assert not d.any()
    loss, d = ref.softmax_cross_entropy(np.zeros((1, 3), "f4"), np.array([1]))
    assert loss == pytest.approx(math.log(3), rel=1e-15)
    assert d.dtype == np.float64


def test_mean_squared_error_of_known_values():
    out, targets = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 0.0], [0.0, 6.0]])
    loss, d = ref.mean_squared_error(out, targets)
    assert loss == (0 + 4 + 9 + 1) / 4
    np.testing.assert_array_equal(d, [[0, 1], [1.5, -0.5]])
    assert ref.mean_squared_error(out, targets, "sum")[0] == 14


# --- clipping whole gradients --------------------------------------------------------------------
def some_gradients(scale=1.0):
    """Two tensors of norm 5 scale together."""
    return {"a": scale * np.array([[3.0, 0.0]]), "b": scale * np.array([-4.0])}


def test_clip_grad_value():
    clipped = ref.clip_grad_value({"a": np.array([-3.0, -0.5, np.nan, 0.5, np.inf])}, 1.0)
    np.testing.assert_array_equal(clipped["a"], [-1, -0.5, np.nan, 0.5, 1])


def test_clip_grad_tensor_norm():
    clipped = ref.clip_grad_tensor_norm(some_gradients(), 3.5)
    np.testing.assert_array_equal(clipped["a"], [[3.0, 0.0]])
    np.testing.assert_array_equal(clipped["b"], [-3.5])


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e5, 1e30])
def test_clip_grad_norm(scale):
    grads = some_gradients(scale)
    clipped, norm = ref.clip_grad_norm(grads, 2.5 * scale)
    assert norm == pytest.approx(5 * scale, rel=1e-15)
    assert_equal_gradients(clipped, {n: 0.5 * g for n, g in grads.items()}, 1e-15)
    for untouched in (norm, 2 * norm):
        assert_equal_gradients(ref.clip_grad_norm(grads, untouched)[0], grads, 0.0)
    np.testing.assert_array_equal(grads["b"], [-4 * scale])


def test_clip_grad_norm_with_eps_float32_and_nan():
    assert ref.clip_grad_norm(some_gradients(), 2.0, eps=3.0)[0]["b"] == [-1.0]
    assert ref.clip_grad_norm(some_gradients(), 5.0, eps=3.0)[0]["b"] == [-4.0]  # no need to clip
    huge = {n: g.astype("f4") for n, g in some_gradients(1e30).items()}
    assert ref.clip_grad_norm(huge, 1.0)[1] == pytest.approx(5e30, rel=1e-6)
    clipped, norm = ref.clip_grad_norm({"a": np.array([1.0, np.nan])}, 1.0)
    assert math.isnan(norm)
    assert np.isnan(clipped["a"]).all()


# --- optimisers ----------------------------------------------------------------------------------
def run_optimizer(optimizer):
    """Start from p = 1, step with the gradients 0.5 and -0.25; give both values of p."""
    p, other = np.array([1.0]), np.array([7.0])
    params, seen = {"p": p, "other": other}, []
    for g in (0.5, -0.25):
        optimizer.step(params, {"p": np.array([g])})
        seen.append(p.item())
    assert params["p"] is p
    assert other == 7.0
    return seen


def test_sgd_by_hand():
    first = 1 - 0.1 * 0.5
    assert run_optimizer(ref.SGD(0.1)) == pytest.approx([first, first + 0.1 * 0.25], rel=1e-15)
    got = run_optimizer(ref.SGD(0.1, momentum=0.9, weight_decay=0.01))
    v1 = 0.5 + 0.01 * 1
    p1 = 1 - 0.1 * v1
    v2 = 0.9 * v1 + (-0.25 + 0.01 * p1)
    assert got == pytest.approx([p1, p1 - 0.1 * v2], rel=1e-15)


def test_adagrad_by_hand():
    got = run_optimizer(ref.Adagrad(0.1, eps=0.01, weight_decay=0.02))
    g1 = 0.5 + 0.02
    p1 = 1 - 0.1 * g1 / (g1 + 0.01)
    g2 = -0.25 + 0.02 * p1
    assert got == pytest.approx([p1, p1 - 0.1 * g2 / (math.hypot(g1, g2) + 0.01)], rel=1e-15)


def test_adam_by_hand():
    got = run_optimizer(ref.Adam(0.1, betas=(0.8, 0.9), eps=0.01, weight_decay=0.5))
    p1 = 1 * (1 - 0.1 * 0.5) - 0.1 * 0.5 / (0.5 + 0.01)  # corrected: the moments are g and g^2
    m2 = (0.8 * 0.2 * 0.5 + 0.2 * -0.25) / (1 - 0.64)
    v2 = (0.9 * 0.1 * 0.25 + 0.1 * 0.0625) / (1 - 0.81)
    p2 = p1 * (1 - 0.1 * 0.5) - 0.1 * m2 / (math.sqrt(v2) + 0.01)
    assert got == pytest.approx([p1, p2], rel=1e-14)


def test_the_defaults_of_the_optimizers_are_those_of_pytorch():
    assert run_optimizer(ref.Adagrad(0.1))[0] == pytest.approx(1 - 0.05 / (0.5 + 1e-10), rel=1e-15)
    m2 = (0.9 * 0.1 * 0.5 + 0.1 * -0.25) / (1 - 0.81)
    v2 = (0.999 * 0.001 * 0.25 + 0.001 * 0.0625) / (1 - 0.999**2)
    p1 = 1 - 0.1 * 0.5 / (0.5 + 1e-8)
    p2 = p1 - 0.1 * m2 / (math.sqrt(v2) + 1e-8)
    assert run_optimizer(ref.Adam(0.1)) == pytest.approx([p1, p2], rel=1e-12)


@pytest.mark.parametrize("optimizer", [ref.SGD(0.5, 0.9), ref.Adagrad(0.5), ref.Adam(0.05)])
def test_optimizers_learn_a_tiny_task(optimizer):
    net = small_net(0, ("gru", "tanh"), 1, True, "dense")
    params = {name: p.copy() for name, p in net.params.items()}
    losses = []
    for _ in range(60):
        result = ref.model_loss_and_gradients(net.cfg, params, net.x, net.targets)
        optimizer.step(params, result.gradients)
        losses.append(result.loss)
    assert losses[-1] < 0.3 * losses[0]


# --- random bits ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_known_answers(counter, key, expected):
    words = ([int(word, 16) for word in text.split()] for text in (counter, key, expected))
    counter_words, key_words, answer = words
    assert list(ref.philox4x32_10(counter_words, key_words)) == answer


# --- bad input -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"cell": "lsmt"}, ValueError, "forward: argument 'cell': expected one of"),
        ({"nonlinearity": "gelu"}, ValueError, "forward: argument 'nonlinearity': expected one"),
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
