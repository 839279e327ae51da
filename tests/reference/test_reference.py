"""The specification: its gradients by the complex step, its values to 50 digits."""

import itertools
from typing import Any

import numpy as np
import pytest

from bptt_native import reference as ref
from helpers.cells import GATES, arrays_of
from helpers.complex_step import (
    KINDS,
    STEP,
    TOLERANCE,
    act,
    assert_equal_gradients,
    complex_step,
    random_params,
    small_net,
)

# --- every gradient by the complex step ----------------------------------------------------------
GRID = list(itertools.product(KINDS, (1, 2, 3), (True, False), ("dense", "tokens", "embedding")))
# Seeds for which no sum in a gradient cancels to less than its rounding errors.
NETS = [small_net(seed, *options) for seed, options in enumerate(GRID * 2, 4)]


def test_the_nets_cover_every_combination_of_loss_and_place():
    assert len(NETS) == 36 * len(KINDS)
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
    dy = rng.standard_normal((T, N, arrays_of(net.state)[0].shape[-1]))
    names = ("h0", "c0")[: len(arrays_of(net.state))]
    tensors = (
        params | dict(zip(names, arrays_of(net.state), strict=True)) | ({"x": x} if dense else {})
    )

    def loss(z):
        state = (z["h0"], z["c0"]) if "c0" in z else z["h0"]
        layers = {name: z[name] for name in params}
        y, last, _ = ref.forward(cell, layers, z.get("x", x), state, options=act(f))
        pairs = zip(arrays_of(net.dstate), arrays_of(last), strict=True)
        return np.sum(dy * y) + sum(np.sum(d * s) for d, s in pairs)

    _, _, tape = ref.forward(cell, params, x, net.state, options=act(f))
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
        y, _, tape = ref.forward(cell, moved, x, options=act(f))
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
    hidden = len(params["weight_ih_l0"]) // GATES[cell]
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
                if cell == "mingru":
                    z = sigmoid(ax[0])
                    new.append((1 - z) * old[j] + z * ax[1])
                    continue
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
        ("mingru", "tanh", 2, "mse"),
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

    result = ref.model_loss_and_gradients(
        ref.ModelConfig(cell, loss, nonlinearity=f), params, x, targets
    )
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
