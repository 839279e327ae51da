"""The same bits: from run to run, for any number of threads and any neighbours in the batch."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bptt_native as bn
from helpers.arrays import assert_same
from helpers.cells import LAYERS
from helpers.nets import Net, cast, random_net, run_native
from helpers.option_settings import refused

pytestmark = pytest.mark.usefixtures("threads_afterwards")

THREADS = [1, 2, 3, 4, 8]


def busy_net(seed: int, cell: str, N: int = 13) -> Net:
    """Large enough that the engine does use its threads."""
    rng = np.random.Generator(np.random.Philox(seed))
    net = random_net(rng)
    net = Net(cell, "tanh", 40, 96, 2, True, 70, N, False)
    for name, shape in net.shapes().items():
        net.params[name] = rng.uniform(-0.1, 0.1, shape)
    net.x, net.dy = rng.standard_normal((70, N, 40)), rng.standard_normal((70, N, 96))
    return net


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("N", [1, 2, 3, 13, 32])
def test_any_number_of_threads(cell: str, N: int, isa: str, dtype: str) -> None:
    net = busy_net(1, cell, N)
    bn.set_num_threads(1)
    one = run_native(net, dtype)
    for threads in THREADS[1:]:
        bn.set_num_threads(threads)
        assert_same(run_native(net, dtype), one)


# The divisions of work among threads: units of a step, rows, independent parts of the batch.
DIVISIONS = {
    "units": {"T": 40, "N": 1, "H": 512},
    "units, the last not whole": {"T": 40, "N": 2, "H": 300},
    "units, stacked": {"T": 30, "N": 1, "H": 264, "num_layers": 2},
    "units, ragged": {"T": 60, "N": 3, "H": 300, "ragged": True},
    "units, both directions": {"T": 40, "N": 1, "H": 300, "bidirectional": True},
    "rows": {"T": 700, "N": 4, "H": 64},
    "rows, unequal": {"T": 300, "N": 5, "H": 96},
    "parts": {"T": 60, "N": 19, "H": 80, "num_layers": 2},
    "parts, ragged": {"T": 60, "N": 19, "H": 80, "num_layers": 2, "ragged": True},
    "parts, both directions": {"T": 40, "N": 18, "H": 70, "num_layers": 2, "bidirectional": True},
    "parts, both, ragged": {
        "T": 50, "N": 18, "H": 70, "num_layers": 2, "bidirectional": True, "ragged": True
    },
    "parts, dropout": {"T": 40, "N": 17, "H": 80, "num_layers": 2, "dropout": 0.3},
    "parts, resets": {"T": 60, "N": 17, "H": 90, "resets": True},
    "units, resets": {"T": 40, "N": 1, "H": 300, "resets": True},
    "parts, layer norm": {"T": 50, "N": 17, "H": 90, "layer_norm": True},
    "layer norm": {"T": 50, "N": 2, "H": 300, "layer_norm": True},
    "projection": {"T": 50, "N": 12, "H": 120, "proj_size": 50, "cell": "lstm"},
    "peepholes": {"T": 50, "N": 2, "H": 300, "peephole": True, "cell": "lstm"},
    "reset before": {"T": 50, "N": 12, "H": 100, "reset_after": False, "cell": "gru"},
    "recurrent dropout": {"T": 50, "N": 2, "H": 300, "recurrent_dropout": 0.2},
    "noise": {"T": 50, "N": 20, "H": 90, "alpha": 0.5, "noise": 0.1, "cell": "rnn"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("division", "cell"),
    [
        (division, cell)
        for division, options in DIVISIONS.items()
        for cell in LAYERS
        if options.get("cell", cell) == cell and not any(refused(cell, name) for name in options)
    ],
)
def test_every_division_of_the_work(division: str, cell: str) -> None:
    options = dict(DIVISIONS[division])
    options.pop("cell", None)
    T, N, H = (options.pop(name) for name in "TNH")
    ragged, resets = options.pop("ragged", False), options.pop("resets", False)
    rng = np.random.Generator(np.random.Philox(7))
    layer = LAYERS[cell](24, H, seed=1, **options)
    x = cast(rng.standard_normal((T, N, 24)), "float32")
    given = {}
    if ragged:
        given["lengths"] = rng.integers(1, T + 1, N)
        given["lengths"][0] = T
    if resets:
        given["resets"] = rng.random((T, N)) < 0.1
    results = []
    for threads in THREADS:
        bn.set_num_threads(threads)
        y, state, tape = layer.forward(x, draw=0, **given)
        dy = (y * np.float32(0.1)).astype(np.float32)
        for flow in [False, True]:
            g = layer.backward(tape, dy, flow=flow)
            more = [] if g.flow is None else [g.flow]
            results.append([y, *state, g.flat, g.x, *g.state, *more])
        results[-1].append(layer(x, **given)[0])
    for k, result in enumerate(results):
        for a, b in zip(result, results[k % 2], strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("tokens", [False, True])
def test_train_steps_on_any_number_of_threads(tokens: bool, dtype: str) -> None:
    rng = np.random.Generator(np.random.Philox(2))
    x = rng.integers(0, 40, (50, 17)) if tokens else cast(rng.standard_normal((50, 17, 40)), dtype)
    y = rng.integers(0, 11, (50, 17))
    results = []
    for threads in THREADS:
        bn.set_num_threads(threads)
        size = {"vocab_size": 40, "embedding_size": 30} if tokens else {"input_size": 40}
        m = bn.Model(
            cell="lstm", hidden_size=96, output_size=11, clip_norm=0.1, dtype=dtype, seed=3, **size
        )
        r = [m.train_step(x, y) for _ in range(3)]
        flat = np.concatenate([v.ravel() for v in m.state_dict().values()])
        results.append((flat.tobytes(), [(s.loss, s.grad_norm, s.flow.tobytes()) for s in r]))
    assert all(r == results[0] for r in results)


def test_a_hundred_runs(dtype: str) -> None:
    net = busy_net(4, "lstm", 5)
    bn.set_num_threads(2)
    first = run_native(net, dtype)
    for _ in range(99):
        assert_same(run_native(net, dtype), first)


@given(seed=st.integers(0, 10**6))
def test_batch_permutation(seed: int) -> None:
    """Per-row results do not see their neighbours; sums over the batch agree within rounding."""
    rng = np.random.Generator(np.random.Philox(seed))
    net = random_net(rng)
    order = rng.permutation(net.N)
    moved = Net(**{**net.__dict__, "x": net.x[:, order], "dy": net.dy[:, order]})
    for name in ["state", "dstate"]:
        value = getattr(net, name)
        if value is not None:
            value = tuple(v[:, order] for v in value) if net.cell == "lstm" else value[:, order]
        setattr(moved, name, value)
    a, b = run_native(net, "float32"), run_native(moved, "float32")
    for name in a:
        if name in {"y", "hn", "cn", "dx", "dh0", "dc0"}:
            assert a[name][:, order].tobytes() == b[name].tobytes(), name
        elif name.startswith("d"):
            # A tensor of a few elements can be a sum that nearly cancels: as in test_engine.py.
            limit = 4e-6 if a[name].size >= 64 else 1e-5
            scale = max(np.abs(a[name]).max(), 1e-30)
            assert np.abs(a[name] - b[name]).max() <= limit * scale, name


@given(seed=st.integers(0, 10**6))
def test_split_of_time(seed: int) -> None:
    """Two windows with carried state give the bits of one, forward and backward."""
    rng = np.random.Generator(np.random.Philox(seed))
    net = random_net(rng)
    net.T += 1
    net.x = (
        rng.integers(0, net.I, (net.T, net.N))
        if net.tokens
        else rng.standard_normal((net.T, net.N, net.I))
    )
    net.dy = rng.standard_normal((net.T, net.N, net.H))
    x, dy = cast(net.x, "float32"), cast(net.dy, "float32")
    cut = int(rng.integers(1, net.T))
    layer = net.layer("float32")
    state, dstate = cast(net.state, "float32"), cast(net.dstate, "float32")
    y, last, tape = layer.forward(x, state)
    whole = layer.backward(tape, dy, dstate)
    y1, middle, tape1 = layer.forward(x[:cut], state)
    y2, last2, tape2 = layer.forward(x[cut:], middle)
    g2 = layer.backward(tape2, dy[cut:], dstate)
    g1 = layer.backward(tape1, dy[:cut], g2.state, accumulate=g2)
    assert np.concatenate([y1, y2]).tobytes() == y.tobytes()
    np.testing.assert_array_equal(last2, last)
    np.testing.assert_array_equal(g1.state, whole.state)
    scale = max(float(np.abs(whole.flat).max()), 1e-30)
    assert np.abs(g1.flat - whole.flat).max() <= 4e-6 * scale


@given(seed=st.integers(0, 10**6), power=st.integers(-20, 20))
def test_powers_of_two_scale_gradients_exactly(seed: int, power: int) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    net = random_net(rng)
    net.dstate = None
    layer = net.layer("float32")
    _, _, tape = layer.forward(cast(net.x, "float32"), cast(net.state, "float32"))
    dy = cast(net.dy, "float32")
    a, b = layer.backward(tape, dy), layer.backward(tape, dy * np.float32(2.0**power))
    large = np.abs(a.flat) > 1e-25  # away from subnormal numbers
    np.testing.assert_array_equal(a.flat[large] * np.float32(2.0**power), b.flat[large])


def test_with_and_without_a_tape(dtype: str, isa: str) -> None:
    for seed in range(10):
        net = random_net(np.random.Generator(np.random.Philox(900 + seed)))
        layer = net.layer(dtype)
        y, state = layer(cast(net.x, dtype), cast(net.state, dtype))
        y2, state2, _ = layer.forward(cast(net.x, dtype), cast(net.state, dtype))
        assert y.tobytes() == y2.tobytes()
        np.testing.assert_array_equal(state, state2)


def test_several_threads_of_the_host_share_a_layer() -> None:
    net = busy_net(5, "gru")
    want = run_native(net, "float32")
    layer = net.layer("float32")
    failures = []

    def work() -> None:
        for _ in range(5):
            y, _, tape = layer.forward(cast(net.x, "float32"))
            g = layer.backward(tape, cast(net.dy, "float32"))
            if y.tobytes() != want["y"].tobytes() or g.x.tobytes() != want["dx"].tobytes():
                failures.append("different bits")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def in_child(queue, want: bytes) -> None:
    queue.put(run_native(busy_net(6, "lstm"), "float32")["dx"].tobytes() == want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_the_same() -> None:
    bn.set_num_threads(2)
    want = run_native(busy_net(6, "lstm"), "float32")["dx"].tobytes()
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        queue = context.Queue()
        child = context.Process(target=in_child, args=(queue, want))
        child.start()
        assert queue.get(timeout=120)
        child.join(120)
        assert child.exitcode == 0
