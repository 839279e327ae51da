"""Nets with options: the same bits for any threads, neighbours, splits of time and padding."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import assert_same
from helpers.nets import Net, cast, fill, option_net, run_native
from helpers.option_settings import RANDOM, combination, merged

pytestmark = pytest.mark.usefixtures("threads_afterwards")

SEEDS = range(40)


def random_option_net(seed: int, *without: str) -> Net:
    rng = np.random.Generator(np.random.Philox(seed))
    return option_net(rng, merged(*combination(rng, {*without})))


def per_row(results: dict[str, np.ndarray]) -> list[str]:
    """The results that have a row per sequence, and are no sums over the batch."""
    rows = {"y", "hn", "cn", "dx", "dh0", "dc0", "states_h", "states_c"}
    return [name for name in results if name in rows or name.startswith("gate_")]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_number_of_threads_and_run_to_run(seed: int, dtype: str) -> None:
    """A batch and a size at which the engine does use its threads."""
    rng = np.random.Generator(np.random.Philox(seed))
    options = merged(*combination(rng))
    small = option_net(rng, options)
    net = replace(small, H=64, N=int(rng.choice([3, 17, 33])), T=24, params={}, lengths=None)
    net.resets = None if small.resets is None else rng.random((net.T, net.N)) < 0.1
    if isinstance(net.options.get("alpha"), np.ndarray):  # one for each unit
        net.options = net.options | {"alpha": np.resize(net.options["alpha"], net.H)}
    fill(net, rng)
    if small.lengths is not None:
        net.lengths = rng.integers(1, net.T + 1, net.N)
    bn.set_num_threads(1)
    one = run_native(net, dtype)
    for threads in (1, 2, 3):
        bn.set_num_threads(threads)
        assert_same(run_native(net, dtype), one)


@pytest.mark.parametrize("seed", SEEDS)
def test_batch_permutation(seed: int, dtype: str) -> None:
    """Without random masks, which belong to places in the batch."""
    net = random_option_net(seed, *RANDOM)
    order = np.random.Generator(np.random.Philox(seed)).permutation(net.N)

    def move(value: Any, axis: int) -> Any:
        if isinstance(value, tuple):
            return tuple(move(v, axis) for v in value)
        return None if value is None else np.take(value, order, axis)

    axes = {"x": 1, "dy": 1, "state": 1, "dstate": 1, "resets": 1, "lengths": 0}
    moved = replace(net, **{n: move(getattr(net, n), axis) for n, axis in axes.items()})
    a, b = run_native(net, dtype), run_native(moved, dtype)
    for name in a:
        if name in per_row(a):
            axis = 2 if name.startswith(("states", "gate")) else 1
            assert np.take(a[name], order, axis).tobytes() == b[name].tobytes(), name
        elif name.startswith("d"):
            scale = max(float(np.abs(a[name]).max()), 1e-30)
            limit = {"float32": 1e-5, "float64": 1e-13}[dtype]
            assert np.abs(a[name] - b[name]).max() <= limit * scale, name


@pytest.mark.parametrize("seed", SEEDS)
def test_split_of_time(seed: int, dtype: str) -> None:
    """Two windows with carried state give the bits of one; masks and ends belong to a window."""
    net = random_option_net(
        seed, *RANDOM, "bidirectional", "lengths", "truncation", "chunks", "omega"
    )
    layer, cut = net.layer(dtype), net.T // 2
    x, dy = cast(net.x, dtype), cast(net.dy, dtype)
    state, dstate = cast(net.state, dtype), cast(net.dstate, dtype)
    resets = [
        {} if net.resets is None else {"resets": net.resets[part]}
        for part in (slice(None), slice(cut), slice(cut, None))
    ]
    y, last, tape = layer.forward(x, state, **resets[0])
    whole = layer.backward(tape, dy, dstate, **net.way_back())
    y1, middle, tape1 = layer.forward(x[:cut], state, **resets[1])
    y2, last2, tape2 = layer.forward(x[cut:], middle, **resets[2])
    g2 = layer.backward(tape2, dy[cut:], dstate, **net.way_back())
    g1 = layer.backward(tape1, dy[:cut], g2.state, accumulate=g2, **net.way_back())
    assert np.concatenate([y1, y2]).tobytes() == y.tobytes()
    for a, b in [(last2, last), (g1.state, whole.state)]:
        for one, other in zip(
            *((s if isinstance(s, tuple) else (s,)) for s in (a, b)), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    scale = max(float(np.abs(whole.flat).max()), 1e-30)
    limit = {"float32": 4e-6, "float64": 1e-13}[dtype]
    assert np.abs(g1.flat - whole.flat).max() <= limit * scale


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_changes_no_bit(seed: int, dtype: str) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    names = combination(rng, {"lengths"})
    net = option_net(rng, merged("lengths", *names))
    net.lengths = rng.integers(1, net.T, net.N)
    padding = np.arange(net.T)[:, None] >= net.lengths
    other = replace(net, x=net.x.copy(), dy=net.dy.copy())
    other.x[padding] = 10**9 if net.tokens else np.nan
    other.dy[padding] = np.nan
    if net.resets is not None:
        other.resets = net.resets ^ padding
    a, b = run_native(net, dtype), run_native(other, dtype)
    assert_same(a, b)
    assert not a["y"][padding].any()
    assert not any(a[name][:, padding].any() for name in a if name.startswith(("states", "gate")))
    if not net.tokens:
        assert not a["dx"][padding].any()


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_a_draw_is_named_by_seed_and_number(name: str, dtype: str) -> None:
    net = option_net(np.random.Generator(np.random.Philox(7)), merged(name))
    first = run_native(net, dtype)
    for other in (replace(net, seed=net.seed + 1), replace(net, draw=net.draw + 1)):
        assert run_native(other, dtype)["y"].tobytes() != first["y"].tobytes()
    assert_same(run_native(net, dtype), first)


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_a_pass_without_a_tape_is_never_random(name: str, dtype: str) -> None:
    net = option_net(np.random.Generator(np.random.Philox(8)), merged(name))
    layer, x = net.layer(dtype), cast(net.x, dtype)
    results = [layer(x, cast(net.state, dtype))[0].tobytes() for _ in range(2)]
    assert results[0] == results[1]
    assert layer.forward(x, cast(net.state, dtype))[0].tobytes() != results[0]
