"""The specification's sequences, cells and random numbers, against simpler computations."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from bptt_native import reference as ref
from helpers.cells import GATES, arrays_of
from helpers.complex_step import assert_equal_gradients
from helpers.nets import option_net, reference_forward


def pair(cell: str, arrays):
    """A state of its arrays."""
    return tuple(arrays) if cell == "lstm" else arrays[0]


# --- lengths, directions, resets -----------------------------------------------------------------
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", GATES)
def test_lengths_are_sequences_of_their_own(cell: str, bidirectional: bool) -> None:
    options = {"cell": cell, "bidirectional": bidirectional, "lengths": True, "T": 6}
    net = option_net(np.random.default_rng(1), options | {"tokens": False}, small=True)
    y, last, tape = reference_forward(net)
    g = ref.backward(cell, net.params, tape, net.dy, net.dstate)
    sums: dict = {}
    for n, end in enumerate(net.lengths):
        one = slice(n, n + 1)

        def own(state, one=one):
            return None if state is None else pair(cell, [s[:, one] for s in arrays_of(state)])

        alone, end_state, own_tape = ref.forward(cell, net.params, net.x[:end, one], own(net.state))
        np.testing.assert_allclose(y[:end, one], alone, rtol=0, atol=1e-14)
        assert not y[end:, n].any()
        for got, want in zip(arrays_of(last), arrays_of(end_state), strict=True):
            np.testing.assert_allclose(got[:, one], want, rtol=0, atol=1e-14)
        h = tape.states()[0]
        np.testing.assert_allclose(h[:, :end, one], own_tape.states()[0], rtol=0, atol=1e-14)
        assert not h[:, end:, n].any()
        part = ref.backward(cell, net.params, own_tape, net.dy[:end, one], own(net.dstate))
        np.testing.assert_allclose(g.x[:end, one], part.x, rtol=0, atol=1e-13)
        assert not g.x[end:, n].any()
        for got, want in zip(arrays_of(g.state), arrays_of(part.state), strict=True):
            np.testing.assert_allclose(got[:, one], want, rtol=0, atol=1e-13)
        sums = {name: sums.get(name, 0) + d for name, d in part.params.items()}
    assert_equal_gradients(g.params, sums, 1e-13)


@pytest.mark.parametrize("tokens", [False, True])
def test_padding_is_never_read(tokens: bool) -> None:
    options = {"cell": "lstm", "bidirectional": True, "lengths": True, "resets": True}
    net = option_net(np.random.default_rng(2), options | {"tokens": tokens}, small=True)
    net.lengths[:] = [1, *([net.T - 1] * (net.N - 1))]
    padding = np.arange(net.T)[:, None] >= net.lengths
    results = []
    for filler, flag in ((0, False), (10**6 if tokens else np.nan, True)):
        net.x[padding], net.resets[padding] = filler, flag
        net.dy[padding] = np.nan if flag else 0.0
        y, last, tape = reference_forward(net)
        g = ref.backward("lstm", net.params, tape, net.dy, net.dstate)
        results.append([y, *last, *g.params.values(), *g.state, g.flow, g.flow_c])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", GATES)
def test_the_second_direction_is_a_layer_on_the_turned_sequence(cell: str) -> None:
    options = {"cell": cell, "bidirectional": True, "tokens": False}
    net = option_net(np.random.default_rng(3), options, small=True)
    first = {n: p for n, p in net.params.items() if "_l0" in n}
    state = None if net.state is None else pair(cell, [s[:2] for s in arrays_of(net.state)])
    y, last, _ = ref.forward(cell, first, net.x, state)
    for d, x in enumerate((net.x, net.x[::-1])):
        own = {n.removesuffix("_reverse"): p for n, p in first.items() if ("_rev" in n) == bool(d)}
        start = None if state is None else pair(cell, [s[d : d + 1] for s in arrays_of(state)])
        half, end, _ = ref.forward(cell, own, x, start)
        np.testing.assert_array_equal(y[..., d * net.H : (d + 1) * net.H], half[:: -1 if d else 1])
        for got, want in zip(arrays_of(last), arrays_of(end), strict=True):
            np.testing.assert_array_equal(got[d : d + 1], want)


@pytest.mark.parametrize("cell", GATES)
def test_resets_cut_a_sequence_into_pieces(cell: str) -> None:
    options = {"cell": cell, "bidirectional": True, "tokens": False, "T": 7}
    net = option_net(np.random.default_rng(4), options, small=True)
    for name in [n for n in net.params if "_l1" in n]:  # one layer, so that pieces are separate
        del net.params[name]
    net.state = pair(cell, [0.5 + np.zeros((2, net.N, net.H)) for _ in "hc"])
    net.dy = net.dy[..., : 2 * net.H]
    resets = np.zeros((7, net.N), bool)
    resets[[2, 5]] = True
    y, last, tape = ref.forward(cell, net.params, net.x, net.state, resets=resets)
    g = ref.backward(cell, net.params, tape, net.dy)
    sums: dict = {}
    for a, b in ((0, 2), (2, 5), (5, 7)):
        state = [s * 1.0 for s in arrays_of(net.state)]
        for s in state:
            s[0] *= a == 0
            s[1] *= b == 7
        part, end, own = ref.forward(cell, net.params, net.x[a:b], pair(cell, state))
        np.testing.assert_allclose(y[a:b], part, rtol=0, atol=1e-14)
        found = ref.backward(cell, net.params, own, net.dy[a:b])
        np.testing.assert_allclose(g.x[a:b], found.x, rtol=0, atol=1e-13)
        for got, want, dgot, dwant in zip(
            *map(arrays_of, (last, end, g.state, found.state)), strict=True
        ):
            if b == 7:
                np.testing.assert_allclose(got[0], want[0], rtol=0, atol=1e-14)
                np.testing.assert_allclose(dgot[1], dwant[1], rtol=0, atol=1e-14)
            if a == 0:
                np.testing.assert_allclose(got[1], want[1], rtol=0, atol=1e-14)
                np.testing.assert_allclose(dgot[0], dwant[0], rtol=0, atol=1e-14)
        sums = {name: sums.get(name, 0) + d for name, d in found.params.items()}
    assert_equal_gradients(g.params, sums, 1e-13)


@pytest.mark.parametrize("cell", GATES)
def test_a_reset_before_the_first_step_forgets_the_initial_state(cell: str) -> None:
    net = option_net(np.random.default_rng(5), {"cell": cell}, small=True)
    net.state = pair(cell, [np.ones((2, net.N, net.H)) for _ in "hc"])
    net.resets = np.zeros((net.T, net.N), bool)
    net.resets[0] = True
    y, _, tape = reference_forward(net)
    np.testing.assert_array_equal(y, reference_forward(net, state=None)[0])
    start = ref.backward(cell, net.params, tape, net.dy).state
    assert not any(s.any() for s in arrays_of(start))


# --- variants of cells by hand -------------------------------------------------------------------
def s(a):
    """The logistic function."""
    return 1 / (1 + np.exp(-a))


def by_hand(net):
    """The parameters of the first layer, x and the first state."""
    net.state = pair(net.cell, [0.3 + np.zeros((net.L, net.N, k)) for k in (net.P, net.H)])
    tape = reference_forward(net)[2]
    p = {n.removesuffix("_l0"): v for n, v in net.params.items() if n.endswith("_l0")}
    h = tape.states()[0][0]
    return p, [x[0] for x in arrays_of(net.state)], h, tape


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("proj_size", [0, 2])
def test_lstm_variants_by_hand(coupled: bool, proj_size: int) -> None:
    options = {"cell": "lstm", "peephole": True, "coupled": coupled, "proj_size": proj_size}
    net = option_net(
        np.random.default_rng(6), options | {"tokens": False, "bias": True}, small=True
    )
    p, (h, c), want, tape = by_hand(net)
    peep = p["weight_peephole"].reshape(-1, net.H)
    for t in range(net.T):
        a = net.x[t] @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
        a = np.split(a, 3 if coupled else 4, axis=1)
        i = s(a[0] + peep[0] * c)
        f = 1 - i if coupled else s(a[1] + peep[1] * c)
        c = f * c + i * np.tanh(a[-2])
        h = s(a[-1] + peep[-1] * c) * np.tanh(c)
        h = h @ p["weight_hr"].T if proj_size else h
        np.testing.assert_allclose(want[t], h, rtol=0, atol=1e-14)
        np.testing.assert_allclose(tape.states()[1][0, t], c, rtol=0, atol=1e-14)
        np.testing.assert_allclose(tape.gates()["i"][0, t], i, rtol=0, atol=1e-14)
    assert list(tape.gates()) == (["i", "g", "o"] if coupled else ["i", "f", "g", "o"])


def test_gru_with_the_reset_before_the_product_by_hand() -> None:
    options = {"cell": "gru", "reset_after": False, "tokens": False, "bias": True}
    net = option_net(np.random.default_rng(7), options, small=True)
    p, (h,), want, tape = by_hand(net)
    W, b = np.split(p["weight_hh"], 3), np.split(p["bias_hh"], 3)
    for t in range(net.T):
        x = np.split(net.x[t] @ p["weight_ih"].T + p["bias_ih"], 3, axis=1)
        r, z = (s(x[k] + h @ W[k].T + b[k]) for k in (0, 1))
        n = np.tanh(x[2] + (r * h) @ W[2].T + b[2])
        h = (1 - z) * n + z * h
        np.testing.assert_allclose(want[t], h, rtol=0, atol=1e-14)
    assert list(tape.gates()) == ["r", "z", "n"]


def test_leaky_dale_rnn_by_hand() -> None:
    options = {"cell": "rnn", "alpha": 0.25, "dale": 0.5, "nonlinearity": "softplus"}
    net = option_net(
        np.random.default_rng(8), options | {"tokens": False, "bias": True}, small=True
    )
    p, (h,), want, _ = by_hand(net)
    W = np.abs(p["weight_hh"]) * np.where(np.arange(5) < 3, 1, -1)  # floor(2.5 + 0.5) excite
    for t in range(net.T):
        a = net.x[t] @ p["weight_ih"].T + p["bias_ih"] + h @ W.T + p["bias_hh"]
        h = 0.75 * h + 0.25 * np.log(1 + np.exp(a))
        np.testing.assert_allclose(want[t], h, rtol=0, atol=1e-14)


def test_layer_norm_lstm_by_hand() -> None:
    options = {"cell": "lstm", "layer_norm": True, "tokens": False, "bias": True}
    net = option_net(np.random.default_rng(9), options, small=True)
    p, (h, c), want, _ = by_hand(net)

    def norm(v):
        return (v - v.mean(1, keepdims=True)) / np.sqrt(v.var(1, keepdims=True) + 1e-5)

    for t in range(net.T):
        a = p["weight_ln_ih"] * norm(net.x[t] @ p["weight_ih"].T) + p["bias_ih"]
        a = a + p["weight_ln_hh"] * norm(h @ p["weight_hh"].T) + p["bias_hh"]
        i, f, g, o = np.split(a, 4, axis=1)
        c = s(f) * c + s(i) * np.tanh(g)
        h = s(o) * np.tanh(p["weight_ln_c"] * norm(c) + p["bias_ln_c"])
        np.testing.assert_allclose(want[t], h, rtol=0, atol=1e-14)


def test_nonlinearities_at_chosen_points() -> None:
    a = np.array([-800.0, -3.0, -1.0, 0.0, 1.0, 3.0, 800.0])
    e = math.exp(-1)
    want = {
        "softplus": ([0, math.log1p(math.exp(-3)), math.log1p(e), math.log(2),
                      1 + math.log1p(e), 3 + math.log1p(math.exp(-3)), 800], None),
        "elu": ([-1, math.expm1(-3), math.expm1(-1), 0, 1, 3, 800],
                [0, math.exp(-3), e, 1, 1, 1, 1]),
        "hard_sigmoid": ([0, 0, 1 / 3, 0.5, 2 / 3, 1, 1], [0, 0, 1 / 6, 1 / 6, 1 / 6, 0, 0]),
        "softsign": ([-800 / 801, -0.75, -0.5, 0, 0.5, 0.75, 800 / 801],
                     [801.0**-2, 1 / 16, 0.25, 1, 0.25, 1 / 16, 801.0**-2]),
        "leaky_relu": ([-8, -0.03, -0.01, 0, 1, 3, 800], [0.01] * 4 + [1] * 3),
    }  # fmt: skip
    for name, (values, slopes) in want.items():
        section, f, slope = ref.NONLINEARITIES[name]
        np.testing.assert_allclose(f(a, section(a)), values, rtol=1e-15, atol=1e-300)
        if slopes is not None:
            np.testing.assert_allclose(slope(a, f(a, section(a)), section(a)), slopes, rtol=1e-15)
    for section, f, _ in ref.NONLINEARITIES.values():
        assert np.isnan(f(np.array([np.nan]), section(np.array([np.nan]))))


# --- random numbers ------------------------------------------------------------------------------
def test_words_are_philox_of_their_indices() -> None:
    seed, draw, place = 2**40 + 3, 2**33 + 1, 5
    words = ref.Draw(seed, draw).words("zoneout", place, 3, 2, 6)
    key = ref.philox4x32_10([1, 2, 2 + 8 * place, 0x6D61736B], [3, 2**8])[:2]
    for t, n, u in itertools.product(range(3), range(2), range(6)):
        assert words[t, n, u] == ref.philox4x32_10([u // 4, n, t, 0], key)[u % 4]


def test_masks_have_their_probability_and_noise_its_distribution() -> None:
    draw, shape = ref.Draw(1, 2), (10, 20, 500)
    kept = draw.kept(0.25, "dropout", 1, *shape)
    assert set(np.unique(kept)) == {0.0, 1 / 0.75}
    assert kept.mean() == pytest.approx(1, abs=0.01)
    assert draw.zoned(0.25, "zoneout", 1, *shape).mean() == pytest.approx(0.25, abs=0.005)
    noise = draw.normal("noise", 0, *shape)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert np.mean(noise < NormalDist().inv_cdf(0.9)) == pytest.approx(0.9, abs=0.005)


def test_outside_training_masks_are_their_expectations() -> None:
    options = {"cell": "lstm", "dropout": 0.5, "recurrent_dropout": 0.5, "tokens": False}
    net = option_net(np.random.default_rng(10), options, small=True)
    plain = ref.forward("lstm", net.params, net.x, net.state)[0]
    calm = ref.forward("lstm", net.params, net.x, net.state, options=ref.Options(
        dropout=0.5, recurrent_dropout=0.5))[0]  # fmt: skip
    np.testing.assert_array_equal(calm, plain)
    assert np.abs(reference_forward(net)[0] - plain).max() > 1e-3
    params = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.ones((1, 1))}
    options = ref.Options(nonlinearity="identity", zoneout=0.25, noise=3.0)
    y = ref.forward("rnn", params, np.ones((2, 1, 1)), options=options)[0]
    np.testing.assert_array_equal(y.ravel(), [0.75, 0.25 * 0.75 + 0.75 * 1.75])


def test_variational_and_recurrent_masks_are_the_same_at_all_steps() -> None:
    options = {"cell": "gru", "recurrent_dropout": 0.5, "dropout": 0.5}
    for variational in (False, True):
        net = option_net(
            np.random.default_rng(11), options | {"variational": variational, "T": 5}, small=True
        )
        tape = reference_forward(net)[2]
        assert tape.keeps[1].shape[0] == (1 if variational else 5)
        for walk in tape.walks:
            assert all((r.step.keep == walk[0].step.keep).all() for r in walk)
