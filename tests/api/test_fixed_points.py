"""Fixed and slow points, against nets whose points are known, and their arguments."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import diagnostics
from bptt_native.diagnostics.step_map import StepMap
from helpers.cells import LAYERS

FUNCTIONS = ("tanh", "relu", "sigmoid", "identity", "softplus", "elu", "hard_sigmoid", "softsign",
             "leaky_relu", "silu")  # fmt: skip
CASES: list[tuple[str, dict[str, Any]]] = [
    *(("rnn", {"nonlinearity": f, "alpha": a}) for f in FUNCTIONS for a in (1.0, 0.3)),
    ("rnn", {"dale": 0.8, "bias": False}),
    ("rnn", {"layer_norm": True}),
    *(
        ("lstm", {"peephole": p, "coupled": c, "proj_size": r})
        for p, c, r in itertools.product((False, True), (False, True), (0, 4))
    ),
    ("lstm", {"zoneout": 0.2, "zoneout_c": 0.4, "bias": False}),
    ("lstm", {"layer_norm": True}),
    *(("gru", {"reset_after": after, "bias": b}) for after in (True, False) for b in (True, False)),
    ("gru", {"zoneout": 0.3, "recurrent_dropout": 0.5}),
    ("mingru", {}),
]


def drawn(cell: str, seed: int = 0, H: int = 6, **options: Any) -> Any:
    """Return a layer in float64 with parameters from N(0, 1)."""
    net, rng = LAYERS[cell](3, H, dtype="float64", **options), np.random.default_rng(seed)
    net.load_state_dict({k: rng.standard_normal(v.shape) for k, v in net.state_dict().items()})
    return net


def set_to(net: Any, **values: Any) -> Any:
    """Return the net with the values of some parameters of its layer, and 0 in the others."""
    given = {f"{name}_l0": value for name, value in values.items()}
    net.load_state_dict(
        {k: np.reshape(given.get(k, np.zeros(v.shape)), v.shape) for k, v in
         net.state_dict().items()}
    )  # fmt: skip
    return net


def roots(f: Callable[[float], float], low: float, high: float) -> list[float]:
    """Return the zeros of a function at which its sign changes, by bisection."""
    grid = np.linspace(low, high, 2001)
    found = []
    for a, b in itertools.pairwise(grid):
        if f(a) * f(b) < 0:
            for _ in range(80):
                middle = 0.5 * (a + b)
                a, b = (a, middle) if f(a) * f(middle) <= 0 else (middle, b)
            found.append(0.5 * (a + b))
    return found


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def slope(f: Callable[[float], float], at: float) -> float:
    return (f(at + 1e-6) - f(at - 1e-6)) / 2e-6


@pytest.mark.parametrize(("cell", "options"), CASES, ids=str)
def test_jacobians_of_many_states(cell: str, options: dict[str, Any], isa: str) -> None:
    net, rng = drawn(cell, **options), np.random.default_rng(1)
    step = StepMap(net, rng.standard_normal(3))
    states = rng.standard_normal((5, step.size))
    after, J = step.with_jacobians(states)
    assert np.abs(after - step(states)).max() <= 1e-14
    moves = 1e-6 * np.eye(step.size)
    columns = [(step(states + e) - step(states - e)) / 2e-6 for e in moves]
    assert np.abs(J - np.stack(columns, axis=-1)).max() <= 1e-8
    if step.kept is None:  # the engine's Jacobians are those of a training step
        h, c = states[None, :, : step.width], states[None, :, step.width :]
        x = np.tile(step.x, (1, 5, 1))
        tape = net.forward(x, (h, c) if cell == "lstm" else h)[2]
        engine = [diagnostics.jacobian(net, tape, 0, sample=k) for k in range(5)]
        assert np.abs(J - engine).max() <= 1e-13


def test_a_step_is_that_of_the_net_outside_training() -> None:
    options = {"dropout": 0.0, "zoneout": 0.3, "zoneout_c": 0.1}
    net, rng = drawn("lstm", **options), np.random.default_rng(1)
    step, states = StepMap(net, rng.standard_normal(3)), rng.standard_normal((4, 12))
    given = np.ascontiguousarray(states[None, :, :6]), np.ascontiguousarray(states[None, :, 6:])
    h, c = net(np.tile(step.x, (1, 4, 1)), given)[1]
    np.testing.assert_allclose(step(states), np.concatenate([h[0], c[0]], 1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("alpha", [1.0, 0.25])
def test_the_point_of_a_linear_net(alpha: float, isa: str) -> None:
    net = drawn("rnn", nonlinearity="identity", alpha=alpha)
    p, x = net.state_dict(), np.array([1.0, -2.0, 0.5])
    W = p["weight_hh_l0"]
    net.load_state_dict({**p, "weight_hh_l0": W / 2})
    drive = p["weight_ih_l0"] @ x + p["bias_ih_l0"] + p["bias_hh_l0"]
    points = diagnostics.fixed_points(net, x, np.random.default_rng(0).uniform(-9, 9, (50, 6)))
    assert len(points) == 1
    assert points.counts.tolist() == [50]
    np.testing.assert_allclose(points.states[0], np.linalg.solve(np.eye(6) - W / 2, drive))
    values = 1 - alpha + alpha * np.linalg.eigvals(W / 2)
    np.testing.assert_allclose(
        np.sort_complex(points.eigenvalues[0]), np.sort_complex(values), rtol=1e-9
    )
    moduli = np.sort(np.abs(values))[::-1]
    np.testing.assert_allclose(points.time_constants[0], -1 / np.log(moduli), rtol=1e-8)
    assert points.unstable[0] == (moduli > 1).sum() == len(points.directions[0])
    for value, direction in zip(points.eigenvalues[0], points.directions[0], strict=False):
        J = (1 - alpha) * np.eye(6) + alpha * W / 2
        np.testing.assert_allclose(J @ direction, value * direction, atol=1e-12)


@pytest.mark.parametrize("w", [0.5, 1.5, 3.0])
def test_a_unit_with_two_memories(w: float) -> None:
    net = set_to(bn.RNN(1, 1, dtype="float64"), weight_hh=w)
    points = diagnostics.fixed_points(net, starts=np.linspace(-1, 1, 21)[:, None])
    memories = roots(lambda h: math.tanh(w * h) - h, 1e-3, 1.0)
    known = sorted([0.0, *memories, *(-m for m in memories)])
    np.testing.assert_allclose(np.sort(points.states[:, 0]), known, rtol=0, atol=1e-12)
    for state, value, kind in zip(points.h[:, 0], points.eigenvalues, points.kinds, strict=True):
        assert value[0] == pytest.approx(w * (1 - math.tanh(w * state) ** 2), abs=1e-11)
        assert kind == ("stable" if abs(value[0]) < 1 else "repeller")
    assert len(memories) == (w > 1)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_a_gru_of_one_unit(reset_after: bool, seed: int) -> None:
    """Its points are those of h = n(h), whatever z is."""
    rng = np.random.default_rng(seed)
    w_r, w_z, b_r, b_z, b_n, b_h = rng.normal(0, 0.5, 6)
    w_n, x = 4.0, 0.7
    net = bn.GRU(1, 1, reset_after=reset_after, dtype="float64")
    set_to(net, weight_ih=[0.3, -0.2, 0.1], weight_hh=[w_r, w_z, w_n], bias_ih=[b_r, b_z, b_n],
           bias_hh=[0, 0, b_h])  # fmt: skip

    def candidate(h: float) -> float:
        r = sigmoid(0.3 * x + b_r + w_r * h)
        within = r * (w_n * h + b_h) if reset_after else w_n * r * h + b_h
        return math.tanh(0.1 * x + b_n + within)

    def step(h: float) -> float:
        z = sigmoid(-0.2 * x + b_z + w_z * h)
        return (1 - z) * candidate(h) + z * h

    known = roots(lambda h: candidate(h) - h, -1, 1)
    points = diagnostics.fixed_points(net, [x], np.linspace(-1, 1, 101)[:, None], slow=0.0)
    order = np.argsort(points.states[:, 0])
    np.testing.assert_allclose(points.states[order, 0], known, rtol=0, atol=1e-10)
    slopes = [slope(step, h) for h in known]
    np.testing.assert_allclose(points.eigenvalues[order, 0], slopes, rtol=0, atol=1e-8)
    assert points.stable[order].tolist() == [abs(s) < 1 for s in slopes]


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_an_lstm_of_one_unit(coupled: bool, seed: int) -> None:
    """Its points are those of h = o tanh(c) with c = i g / (1 - f)."""
    rng = np.random.default_rng(seed)
    w, b = rng.normal(0, 0.7, (2, 3 if coupled else 4))
    w[-2], x = 3.0, -0.4  # of g
    net = bn.LSTM(1, 1, coupled=coupled, dtype="float64")
    set_to(net, weight_ih=np.ones_like(w), weight_hh=w, bias_ih=b)

    def gates(h: float) -> tuple[float, float, float, float]:
        i, *f, g, o = x + w * h + b
        return sigmoid(i), sigmoid(f[0]) if f else 1 - sigmoid(i), math.tanh(g), sigmoid(o)

    def cell(h: float) -> float:
        i, f, g, _ = gates(h)
        return i * g / (1 - f)

    known = roots(lambda h: gates(h)[3] * math.tanh(cell(h)) - h, -1, 1)
    grid = np.linspace(-1, 1, 201)
    starts = grid[:, None], np.array([[cell(h)] for h in grid])
    points = diagnostics.fixed_points(net, [x], starts, slow=0.0)
    order = np.argsort(points.h[:, 0])
    np.testing.assert_allclose(points.h[order, 0], known, rtol=0, atol=1e-9)
    assert points.c is not None
    np.testing.assert_allclose(points.c[order, 0], [cell(h) for h in known], atol=1e-8)

    def step(state: Any) -> np.ndarray:
        i, f, g, o = gates(state[0])
        c = f * state[1] + i * g
        return np.array([o * math.tanh(c), c])

    for k in range(len(points)):
        moved = [(step(points.states[k] + e) - step(points.states[k] - e)) / 2e-6
                 for e in 1e-6 * np.eye(2)]  # fmt: skip
        values = np.linalg.eigvals(np.transpose(moved))
        np.testing.assert_allclose(
            np.sort_complex(points.eigenvalues[k]), np.sort_complex(values), atol=1e-7
        )


def test_the_memories_of_a_hopfield_net() -> None:
    """With orthogonal patterns p, W = (g / H) sum p p^T has the points m p with m = tanh(g m)."""
    H, gain = 16, 2.0
    patterns = np.array([[(-1.0) ** (j & bit > 0) for j in range(H)] for bit in (1, 2, 4)])
    assert np.array_equal(patterns @ patterns.T, H * np.eye(3))
    W = gain / H * patterns.T @ patterns
    net = set_to(bn.RNN(1, H, bias=False, dtype="float64"), weight_hh=W)
    (m,) = roots(lambda m: math.tanh(gain * m) - m, 0.1, 1.0)
    memories = m * np.concatenate([patterns, -patterns])
    rng = np.random.default_rng(0)
    near = np.repeat(memories, 20, axis=0) + rng.normal(0, 0.2, (120, H))
    points = diagnostics.fixed_points(net, starts=[*near, *rng.uniform(-0.1, 0.1, (5, H))])
    for memory in memories:
        k = int(np.abs(points.states - memory).max(axis=1).argmin())
        np.testing.assert_allclose(points.states[k], memory, rtol=0, atol=1e-10)
        # Three directions of patterns, and 13 in which W is 0.
        expected = [gain * (1 - m * m)] * 3 + [0.0] * 13
        np.testing.assert_allclose(np.abs(points.eigenvalues[k]), expected, atol=1e-8)
        assert points.kinds[k] == "stable"
    at_zero = int(np.abs(points.states).max(axis=1).argmin())
    assert points.unstable[at_zero] == 3
    assert points.kinds[at_zero] == "saddle"


def test_a_slow_point_is_a_minimum_of_the_speed() -> None:
    """Just beyond a fold, h = tanh(2 h + b) has no second solution, but nearly has one."""
    fold = math.sqrt(0.5)
    b = 2 * fold - math.atanh(fold) - 0.02  # -b is where the curves touch, and 0.02 beyond
    net = set_to(bn.RNN(1, 1, dtype="float64"), weight_hh=2.0, bias_ih=-b - 0.04)
    grid = np.linspace(0.3, 1, 700001)
    q = 0.5 * (np.tanh(2 * grid - b - 0.04) - grid) ** 2
    least = int(q.argmin())
    assert 0 < least < len(grid) - 1
    points = diagnostics.fixed_points(net, starts=np.linspace(-1, 1, 41)[:, None])
    assert points.slow.tolist() == [False, True]
    assert points.states[1, 0] == pytest.approx(grid[least], abs=2e-5)
    assert points.q[1] == pytest.approx(q[least], rel=1e-6)
    assert points.q[0] < 1e-30 < points.q[1] < 1e-4
    assert points.verdict == "1 stable point, 1 slow point"
    fixed = diagnostics.fixed_points(net, starts=np.linspace(-1, 1, 41)[:, None], slow=1e-6)
    assert len(fixed) == 1
    assert fixed.fast == points.counts[1] == (fixed.labels == -1).sum()


def test_a_kink_is_no_slow_point() -> None:
    """The speed of h -> relu(3 h + 0.01) is least at the kink; its gradient is 0 nowhere."""
    net = set_to(bn.RNN(1, 1, nonlinearity="relu", dtype="float64"), weight_hh=3.0, bias_ih=1e-2)
    points = diagnostics.fixed_points(net, starts=[[-1.0], [0.5], [2.0]])
    assert len(points) == 0
    assert points.unfinished == 3


def test_a_line_of_points_is_neutral() -> None:
    net = set_to(
        bn.RNN(1, 2, nonlinearity="identity", dtype="float64"), weight_hh=np.diag([1, 0.5])
    )
    points = diagnostics.fixed_points(net, starts=[[0.0, 1.0], [0.5, -1.0], [2.0, 0.0]])
    assert points.kinds == ["neutral"] * 3
    np.testing.assert_allclose(np.sort(points.states[:, 0]), [0, 0.5, 2], atol=1e-12)
    assert np.isinf(points.time_constants[:, 0]).all()
    assert points.verdict == "3 neutral points"


def test_the_point_of_a_mingru() -> None:
    net, x = drawn("mingru"), np.array([0.1, 0.2, -0.3])
    points = diagnostics.fixed_points(net, x, 5)
    p = net.state_dict()
    z, n = np.split(p["weight_ih_l0"] @ x + p["bias_ih_l0"], 2)
    np.testing.assert_allclose(points.states, n[None], atol=1e-9)
    kept = 1 - 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(points.eigenvalues[0].real, np.sort(kept)[::-1], atol=1e-12)


def model(**options: Any) -> bn.Model:
    settings = {"cell": "gru", "input_size": 2, "hidden_size": 8, "output_size": 3, "seed": 3}
    return bn.Model(**(settings | {"loss": "mse"} | options))


def test_a_float32_model_is_searched_in_float64() -> None:
    net = model(dropout=0.0)
    points = diagnostics.fixed_points(net, [0.3, -0.2], 64)
    assert points.states.dtype == np.float64
    assert points.q.max() < 1e-28
    h = points.h.astype(np.float32)
    x = np.tile(np.float32([0.3, -0.2]), (1, len(h), 1))
    out, after = net(x, h[None])
    np.testing.assert_allclose(after[0], h, atol=1e-6)
    assert points.outputs is not None
    np.testing.assert_allclose(points.outputs, out[0], atol=1e-6)
    assert points.inputs.tolist() == [0.3, -0.2]


def test_tokens_are_inputs() -> None:
    embedded = model(input_size=None, vocab_size=5, embedding_size=4, loss="cross_entropy")
    table = embedded.state_dict()["embedding.weight"]
    one = diagnostics.fixed_points(embedded, 2, 16)
    np.testing.assert_array_equal(one.inputs, table[2].astype(np.float64))
    np.testing.assert_array_equal(
        one.states, diagnostics.fixed_points(embedded, table[2], 16).states
    )
    layer = diagnostics.fixed_points(bn.GRU(4, 8), 3, 16)
    assert layer.inputs.tolist() == [0, 0, 0, 1]


def test_starts_are_arrays_runs_or_tapes() -> None:
    net, rng = bn.LSTM(2, 5, seed=2), np.random.default_rng(0)
    x = rng.standard_normal((12, 3, 2)).astype(np.float32)
    _, _, tape = net.forward(x, lengths=[12, 7, 9])
    states = [np.asarray(part, np.float64)[0] for part in tape.states()]
    inside = np.arange(12)[:, None] < np.array([12, 7, 9])
    pool = np.concatenate([part[inside] for part in states], axis=1)
    every = diagnostics.fixed_points(net, starts=tape, count=28, between=0.0)
    assert len(every.labels) == 28
    given = diagnostics.fixed_points(net, starts=pool)
    np.testing.assert_allclose(given.states, every.states, atol=1e-9)
    pair = diagnostics.fixed_points(net, starts=(pool[:, :5], pool[:, 5:]))
    np.testing.assert_array_equal(pair.states, given.states)
    h, c = (part.astype(np.float32) for part in states)
    assert len(diagnostics.fixed_points(net, starts=(h, c), count=10).labels) == 10
    assert len(diagnostics.fixed_points(net, starts=17).labels) == 17
    single = net.forward(x[:, 0])[2]
    assert len(diagnostics.fixed_points(net, starts=single, count=6).labels) == 6


def test_a_seed_draws_the_same_starts() -> None:
    net = drawn("gru", seed=5)
    one, same, other = (
        diagnostics.fixed_points(net, starts=40, noise=0.1, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.states, same.states)
    np.testing.assert_array_equal(one.labels, same.labels)
    assert not np.array_equal(one.labels, other.labels)


def two_memories() -> Any:
    return set_to(bn.RNN(1, 1, dtype="float64"), weight_hh=2.0)


def test_starts_are_labelled_and_points_sorted() -> None:
    starts = [[-0.9], [0.9], [0.8], [1e-3], [1.0]]
    points = diagnostics.fixed_points(two_memories(), starts=starts)
    assert points.labels.tolist() == [1, 0, 0, 2, 0]
    assert points.counts.tolist() == [3, 1, 1]
    assert points.unstable.tolist() == [0, 0, 1]
    near = diagnostics.fixed_points(two_memories(), starts=starts, merge=1.0)
    assert len(near) == 2, "0 and a memory are within 1"


def test_points_may_be_dropped() -> None:
    few = diagnostics.fixed_points(two_memories(), starts=[[0.01], [0.6]], outliers=2.0)
    assert np.abs(few.states).max() < 1e-12
    assert (few.far, few.labels.tolist()) == (1, [0, -1])
    early = diagnostics.fixed_points(two_memories(), starts=[[0.9], [0.3]], iterations=1)
    assert early.unfinished == 2
    assert len(early) == 0
    assert early.verdict == "no fixed or slow points"
    assert "2 did not reach a minimum" in early.explain()
    growing = set_to(bn.RNN(1, 1, nonlinearity="relu", dtype="float64"), weight_hh=1e200)
    lost = diagnostics.fixed_points(growing, starts=[[1e200], [-1.0]])
    assert lost.unfinished == 1
    assert np.abs(lost.states).max() < 1e-12
    frozen = set_to(bn.GRU(1, 1, dtype="float64"), weight_hh=[0, -2, 0], bias_ih=[0, 0, 0.5])
    ends = diagnostics.fixed_points(frozen, starts=[[0.4], [-20.0]])
    assert ends.far == 1, "1 - z is 1e-18 there, so the state hardly moves"
    np.testing.assert_allclose(ends.states, [[math.tanh(0.5)]])


def test_a_result_in_words_fits_a_screen() -> None:
    points = diagnostics.fixed_points(two_memories(), starts=np.linspace(-1, 1, 9)[:, None])
    assert points.verdict == "2 stable points, 1 repeller"
    assert points.explain().startswith("There are 2 stable points, 1 repeller. The slowest time")
    assert "9 of 9 starts led to these points." in points.explain()
    rows = repr(points).splitlines()
    assert rows[0] == "FixedPoints: 3 points"
    assert rows[1].split() == points.explain().split()[: len(rows[1].split())]
    kinds = [row.split()[1] for row in rows if row.split()[0].isdecimal()]
    assert kinds == ["stable", "stable", "repeller"]
    line = set_to(bn.RNN(1, 2, nonlinearity="identity", dtype="float64"), weight_hh=np.eye(2))
    many = diagnostics.fixed_points(line, starts=np.random.default_rng(0).random((50, 2)))
    assert len(repr(many).splitlines()) <= 20
    assert "... 37 more" in repr(many)
    none = diagnostics.fixed_points(two_memories(), starts=[[0.5]], iterations=1)
    assert repr(none).startswith("FixedPoints: 0 points\n  There are no fixed or slow points.")


def test_saddles_are_counted_by_their_unstable_directions() -> None:
    W = np.diag([3.0, 3.0, 0.5])
    net = set_to(bn.RNN(1, 3, dtype="float64"), weight_hh=W)
    points = diagnostics.fixed_points(net, starts=np.random.default_rng(0).uniform(-1, 1, (200, 3)))
    assert points.verdict == "4 stable points, 5 saddles (4 with 1 unstable direction, 1 with 2)"
    np.testing.assert_allclose(np.abs(points.directions[-1]).sum(0), [1, 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "argument", "expected", "arguments"),
    [
        (ValueError, "net", "one layer with one direction, got num_layers 2",
         {"net": bn.GRU(2, 3, 2)}),
        (ValueError, "net", "one layer with one direction, got bidirectional True",
         {"net": bn.GRU(2, 3, bidirectional=True)}),
        (TypeError, "net", "an RNN, LSTM, GRU, MinGRU or Model, got", {"net": "gru"}),
        (ValueError, "inputs", "numbers of shape \\[2\\], or None, got", {"inputs": [1.0]}),
        (ValueError, "inputs", "finite numbers", {"inputs": [1.0, np.nan]}),
        (ValueError, "inputs", "an integer from 0 to 1, got 2", {"inputs": 2}),
        (ValueError, "starts", "states of shape \\[N, 3\\] or \\[T, N, 3\\], a tape",
         {"starts": np.zeros((4, 2))}),
        (ValueError, "starts", "finite numbers", {"starts": [[0, 0, np.inf]]}),
        (ValueError, "starts", "an integer >= 1, got 0", {"starts": 0}),
        (ValueError, "starts", "a tape of this net",
         {"starts": bn.GRU(2, 4).forward(np.zeros((3, 1, 2), "f4"))[2]}),
        (ValueError, "count", "an integer >= 1, got 0", {"count": 0}),
        (ValueError, "between", "a number from 0 to 1, got 1.5", {"between": 1.5}),
        (ValueError, "noise", "a number >= 0, got -1", {"noise": -1}),
        (ValueError, "tolerance", "a number >= 0", {"tolerance": -1.0}),
        (ValueError, "slow", "a number >= 0", {"slow": -1.0}),
        (ValueError, "merge", "a number >= 0", {"merge": -1.0}),
        (TypeError, "outliers", "a number >= 0", {"outliers": "far"}),
        (ValueError, "iterations", "an integer >= 1, got 0", {"iterations": 0}),
    ],
)  # fmt: skip
def test_refusals(
    kind: type[Exception], argument: str, expected: str, arguments: dict[str, Any]
) -> None:
    net = arguments.pop("net", bn.GRU(2, 3))
    with pytest.raises(kind, match=f"^fixed_points: argument '{argument}': expected {expected}"):
        diagnostics.fixed_points(net, **arguments)


def test_the_halves_of_a_pair_must_agree() -> None:
    expected = r"expected states of shape \[N, 6\] or \[T, N, 6\], or a pair \(h, c\), a tape"
    with pytest.raises(ValueError, match=expected):
        diagnostics.fixed_points(bn.LSTM(2, 3), starts=np.zeros((5, 2, 3)))
    with pytest.raises(ValueError, match="expected h and c of the same states, got"):
        diagnostics.fixed_points(bn.LSTM(2, 3), starts=(np.zeros((4, 3)), np.zeros((5, 3))))
