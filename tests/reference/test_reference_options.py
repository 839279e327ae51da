"""The specification's options: gradients by the complex step, alone, in pairs and at random."""

import numpy as np
import pytest

from bptt_native import reference as ref
from helpers.cells import LAYERS, arrays_of
from helpers.complex_step import STEP, assert_equal_gradients, complex_step
from helpers.nets import Net, option_net, reference_forward, reference_options, run_reference
from helpers.option_settings import (
    CLIPPED,
    COMPATIBLE,
    REFUSED,
    SETTINGS,
    combination,
    merged,
    refused,
)

NO_LOSS = {"truncation", "chunks", "omega"} | CLIPPED  # their gradients are not those of a loss
SMOOTH = [name for name in SETTINGS if name not in NO_LOSS]
PAIRS = [pair for pair in COMPATIBLE if not NO_LOSS & {*pair}]
TOLERANCE = 1e-12


def tensors_of(net: Net) -> dict[str, np.ndarray]:
    """Everything that has a gradient, with an initial state unless that may be learnt."""
    rng = np.random.default_rng(net.seed)
    if net.dstate is None:
        ends = [rng.standard_normal(s.shape) for s in arrays_of(reference_forward(net)[1])]
        net.dstate = tuple(ends) if net.cell == "lstm" else ends[0]
    if net.state is None and net.options.get("learn_initial_state"):
        return net.params | ({} if net.tokens else {"x": net.x})
    if net.state is None:
        state = [0.5 * rng.standard_normal(s.shape) for s in arrays_of(reference_forward(net)[1])]
        net.state = tuple(state) if net.cell == "lstm" else state[0]
    tensors = net.params | dict(zip(["h0", "c0"], arrays_of(net.state), strict=False))
    return tensors | ({} if net.tokens else {"x": net.x})


def run(net: Net, z: dict[str, np.ndarray]):
    state = (z["h0"], z["c0"]) if "c0" in z else z.get("h0")
    params = {name: z[name] * net.masks.get(name, 1) for name in net.params}
    return reference_forward(net, params=params, x=z.get("x", net.x), state=state)


def loss_of(net: Net, z: dict[str, np.ndarray]):
    y, last, tape = run(net, z)
    pairs = zip(arrays_of(net.dstate), arrays_of(last), strict=True)
    penalty, _ = ref.activity_penalty(tape, *net.activity)
    return np.sum(net.dy * y) + sum(np.sum(d * s) for d, s in pairs) + penalty


def gradients_of(net: Net, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tape = run(net, tensors)[2]
    g = ref.backward(net.cell, net.params, tape, net.dy, net.dstate, activity=net.activity)
    got = ref.restrict(g.params, net.masks)
    got |= dict(zip(["h0", "c0"], arrays_of(g.state), strict=False)) | {"x": g.x}
    return {name: got[name] for name in tensors}


def check_along_directions(net: Net) -> None:
    """The derivative of the loss along one random direction of each tensor."""
    tensors = tensors_of(net)
    got, rng = gradients_of(net, tensors), np.random.default_rng(1)
    assert got.keys() == tensors.keys()
    for name, z in tensors.items():
        direction = rng.standard_normal(z.shape)
        want = loss_of(net, {**tensors, name: z + 1j * STEP * direction}).imag / STEP
        scale = np.abs(got[name] * direction).sum()
        error = abs(np.sum(got[name] * direction) - want)
        assert error <= TOLERANCE * max(scale, abs(want)), (name, net)


ALONE = [
    (name, cell)
    for name in SMOOTH
    for cell in LAYERS
    if SETTINGS[name].get("cell", cell) == cell and not refused(cell, name)
]


@pytest.mark.parametrize(("name", "cell"), ALONE)
def test_every_element_of_every_gradient(name: str, cell: str) -> None:
    net = option_net(np.random.default_rng(2), {"cell": cell} | SETTINGS[name], small=True)
    tensors = tensors_of(net)
    want = complex_step(lambda z: loss_of(net, z), tensors)
    assert_equal_gradients(gradients_of(net, tensors), want, TOLERANCE)


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_pairs(names: tuple[str, str]) -> None:
    check_along_directions(option_net(np.random.default_rng(3), merged(*names), small=True))


@pytest.mark.parametrize("seed", range(200))
def test_random_combinations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    check_along_directions(option_net(rng, merged(*combination(rng, NO_LOSS)), small=True))


@pytest.mark.parametrize("names", REFUSED, ids="+".join)
def test_pairs_that_are_refused(names: tuple[str, str]) -> None:
    net = option_net(np.random.default_rng(7), merged(*names), small=True)
    with pytest.raises(ValueError, match=": expected ") as raised:
        run_reference(net)
    for name in names:
        assert {"chunks": "truncation", "alphas": "alpha"}.get(name, name) in str(raised.value)


# --- truncation: windows, each a whole backward pass from a recorded state -----------------------
def sum_of_windows(net: Net, k1: int, k2: int) -> dict[str, np.ndarray]:
    """Sample by sample and window by window; resets are part of a window's own forward pass."""
    total: dict[str, np.ndarray] = {}
    options = reference_options(net)
    for n in range(net.N):
        end = net.T if net.lengths is None else int(net.lengths[n])
        resets = None if net.resets is None else net.resets[:, n : n + 1]
        start = [s[:, n : n + 1] for s in arrays_of(net.state)]
        dlast = [s[:, n : n + 1] for s in arrays_of(net.dstate)]
        for e in range(k1, net.T + k1, k1):
            begin, first, stop = max(0, e - k2), e - k1, min(e, end)
            if stop <= begin:
                continue

            def part(a: int, b: int, state, n=n, resets=resets):
                cut = None if resets is None else resets[a:b]
                state = tuple(state) if net.cell == "lstm" else state[0]
                return ref.forward(
                    net.cell, net.params, net.x[a:b, n : n + 1], state,
                    options=options, resets=cut,
                )  # fmt: skip

            state = start if begin == 0 else [*arrays_of(part(0, begin, start)[1])]
            y, _, tape = part(begin, stop, state)
            dy = np.zeros_like(y)
            dy[max(first - begin, 0) :] = net.dy[max(first, begin) : stop, n : n + 1]
            if stop <= first:
                dy[:] = 0
            whole = [s if first < end <= e else 0 * s for s in dlast]
            g = ref.backward(
                net.cell, net.params, tape, dy, tuple(whole) if net.cell == "lstm" else whole[0]
            )
            found = dict(g.params)
            for name, d, old in zip(("h0", "c0"), arrays_of(g.state), start, strict=False):
                found[name] = np.zeros((net.L, net.N, old.shape[-1]))
                found[name][:, n : n + 1] = d if begin == 0 else 0
            if not net.tokens:
                found["x"] = np.zeros(net.x.shape)
                found["x"][begin:stop, n : n + 1] = g.x
            total = {name: total.get(name, 0) + d for name, d in found.items()}
    return total


@pytest.mark.parametrize("k", [(1, 1), (1, 4), (3, 3), (2, 3), (3, 7), (4, 50), (50, 60)], ids=str)
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("ragged", [False, True])
def test_truncation_is_the_sum_over_windows(cell: str, k: tuple[int, int], ragged: bool) -> None:
    rng = np.random.default_rng(4)
    net = option_net(rng, {"cell": cell, "T": 9, "lengths": ragged, "resets": ragged}, small=True)
    tensors_of(net)
    tape = reference_forward(net)[2]
    g = ref.backward(net.cell, net.params, tape, net.dy, net.dstate, truncation=k)
    got = g.params | dict(zip(["h0", "c0"], arrays_of(g.state), strict=False))
    got |= {} if net.tokens else {"x": g.x}
    assert_equal_gradients(got, sum_of_windows(net, *k), TOLERANCE)
    assert (g.flow is None) == (k[1] > k[0])
    if k[0] >= 9:  # one window is no truncation
        whole = ref.backward(net.cell, net.params, tape, net.dy, net.dstate)
        assert_equal_gradients(g.params, whole.params, 0.0)


# --- omega: its definition with the backward pass's numbers as constants -------------------------
@pytest.mark.parametrize("f", [*ref.NONLINEARITIES])
@pytest.mark.parametrize("ragged", [False, True])
def test_omega_and_its_immediate_gradient(f: str, ragged: bool) -> None:
    """With W_ih = 1 the gradient of x_t is that of a_t, and f'(a) is one complex step."""
    rng = np.random.default_rng(5)
    T, N, H = 6, 3, 4
    params = {"weight_ih_l0": np.eye(H), "weight_hh_l0": rng.standard_normal((H, H)) / 2}
    x, dy = rng.standard_normal((T, N, H)), rng.standard_normal((T, N, H))
    lengths = np.array([6, 3, 1]) if ragged else np.full(N, T)
    resets = rng.random((T, N)) < 0.3 if ragged else np.zeros((T, N), bool)
    options = ref.Options(nonlinearity=f)
    y, _, tape = ref.forward(
        "rnn", params, x, options=options, lengths=lengths, resets=resets
    )  # fmt: skip
    plain = ref.backward("rnn", params, tape, dy)
    g = ref.backward("rnn", params, tape, dy, omega=0.5)
    section, function, _ = ref.NONLINEARITIES[f]

    def omega(W):
        terms = []
        for n in range(N):
            for k in range(lengths[n] - 1):
                delta = plain.x[k + 1, n]
                if resets[k + 1, n] or np.sum(delta**2) < 1e-20:
                    continue
                h_before = np.zeros(H) if k == 0 or resets[k, n] else y[k - 1, n]
                a = x[k, n] + params["weight_hh_l0"] @ h_before + 1j * STEP
                v = (W.T @ delta) * (function(a, section(a)).imag / STEP)
                terms.append((np.sqrt(np.sum(v * v)) / np.sqrt(np.sum(delta**2)) - 1) ** 2)
        return sum(terms) / len(terms)

    W = params["weight_hh_l0"]
    assert g.omega == pytest.approx(omega(W), rel=1e-13)
    slope = complex_step(lambda z: omega(z["W"]), {"W": W})["W"]
    got, before = (gradients.params["weight_hh_l0"] for gradients in (g, plain))
    limit = 1e-13 * np.abs(slope).max() + 1e-14 * np.abs(before).max()
    np.testing.assert_allclose(got - before, 0.5 * slope, rtol=0, atol=limit)
    np.testing.assert_array_equal(g.params["weight_ih_l0"], plain.params["weight_ih_l0"])
    np.testing.assert_array_equal(g.x, plain.x)


def test_omega_of_a_stack_of_two_directions_is_the_sum() -> None:
    rng = np.random.default_rng(6)
    options = {"cell": "rnn", "bidirectional": True, "tokens": False, "bias": True}
    net = option_net(rng, options, small=True)
    net.state = net.dstate = None
    whole = ref.backward("rnn", net.params, reference_forward(net)[2], net.dy, omega=1.0)
    total, dy = 0.0, net.dy
    layers = [
        {n.replace(f"_l{k}", "_l0"): p for n, p in net.params.items() if f"_l{k}" in n}
        for k in (0, 1)
    ]
    middle = ref.forward("rnn", layers[0], net.x)[0]
    for x, params in ((middle, layers[1]), (net.x, layers[0])):
        below = 0.0
        for d in (0, 1):
            own = {n.removesuffix("_reverse"): p for n, p in params.items() if ("rev" in n) == d}
            turn = slice(None, None, -1 if d else 1)
            tape = ref.forward("rnn", own, x[turn])[2]
            g = ref.backward("rnn", own, tape, dy[turn, :, d * net.H : (d + 1) * net.H], omega=1.0)
            total, below = total + g.omega, below + g.x[turn]
        dy = below
    assert whole.omega == pytest.approx(total, rel=1e-13)
    np.testing.assert_allclose(whole.x, dy, rtol=0, atol=1e-14)


def test_omega_without_a_term_is_zero() -> None:
    params = {"weight_ih_l0": np.ones((2, 1)), "weight_hh_l0": np.ones((2, 2))}
    _, _, tape = ref.forward("rnn", params, np.ones((1, 3, 1)))
    g = ref.backward("rnn", params, tape, np.ones((1, 3, 2)), omega=1.0)
    assert g.omega == 0
    assert np.isfinite(g.params["weight_hh_l0"]).all()
