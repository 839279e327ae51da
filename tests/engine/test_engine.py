"""Native float32 and float64 kernels against the float64 reference, on every instruction set."""

from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from helpers.cells import GATES, LAYERS, RECURRENT
from helpers.nets import (
    KINKS,
    TOLERANCE,
    Net,
    cast,
    compare,
    kind_of,
    random_net,
    run_native,
    run_reference,
)

pytestmark = pytest.mark.usefixtures("best_isa_afterwards")

# Tolerances between instruction sets. A tensor of a few elements can be a sum that nearly cancels.
# It then has the tolerance of the comparison with the reference.
AGREEMENT = {"float32": 4e-6, "float64": 1e-13}
FEW = 64
DTYPES = ["float32", "float64"]
STATM = Path("/proc/self/statm")


def check(net: Net, errors, comparisons) -> dict[str, list[float]]:
    """One net on all instruction sets and dtypes; returns the float32 errors."""
    plain = run_reference(net)
    seen: dict[str, list[float]] = {}
    for dtype in DTYPES:
        first = None
        for isa in bn.available_isas():
            bn._core.use_isa(isa)
            want = plain
            if net.nonlinearity in KINKS and dtype == "float32":
                want = run_reference(net, net.sections(dtype))
            got = run_native(net, dtype)
            for name, error in compare(got, want).items():
                errors.add(isa, dtype, kind_of(name), error)
                assert error <= TOLERANCE[dtype], (
                    f"{name} of {net} on {isa} in {dtype}: {error:.2e}"
                )
                if dtype == "float32":
                    seen.setdefault(isa, []).append(error)
            if net.nonlinearity not in KINKS:  # values may be on different sides of a kink
                first = first or got
                for name, error in compare(
                    got, {k: v.astype(float) for k, v in first.items()}
                ).items():
                    limit = AGREEMENT[dtype] if got[name].size >= FEW else TOLERANCE[dtype]
                    assert error <= limit, f"{name} of {net}, {isa} against the best: {error:.2e}"
            comparisons.add("the reference, nets per instruction set and dtype")
    return seen


def check_many(seed: int, count: int, errors, comparisons, **options) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    seen: dict[str, list[float]] = {}
    for _ in range(count):
        for isa, found in check(random_net(rng, **options), errors, comparisons).items():
            seen.setdefault(isa, []).extend(found)
    for isa, found in seen.items():
        assert np.quantile(found, 0.99) <= 2e-6, isa


@pytest.mark.parametrize("seed", range(12))
def test_random_nets(seed: int, errors, comparisons) -> None:
    check_many(seed, 20, errors, comparisons)


@pytest.mark.parametrize("large", [False, True])
def test_random_nets_without_a_recurrent_product(large: bool, errors, comparisons) -> None:
    check_many(300 + large, 10, errors, comparisons, large=large, clipped=True, cells=["mingru"])


@pytest.mark.parametrize("seed", range(100, 106))
def test_random_large_nets(seed: int, errors, comparisons) -> None:
    check_many(seed, 11, errors, comparisons, large=True)


@pytest.mark.parametrize("seed", range(200, 203))
def test_random_nets_with_clipping_at_each_step(seed: int, comparisons) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    for _ in range(15):
        net = random_net(rng, clipped=True)
        want = run_reference(net)
        for isa in bn.available_isas():
            bn._core.use_isa(isa)
            worst = max(compare(run_native(net, "float64"), want).items(), key=lambda item: item[1])
            assert worst[1] <= 1e-11, f"{worst} of {net} on {isa}"
            comparisons.add("the reference, nets with clipping at each step")


def net_of(cell: str, rng: np.random.Generator) -> Net:
    """Return a random net, which may be of another cell than `cell`."""
    return random_net(rng) if cell in RECURRENT else random_net(rng, cells=(cell,))


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("H", [1, 15, 16, 17, 31, 33])
def test_single_rows_and_steps(cell: str, H: int, errors, comparisons) -> None:
    """T = 1, N = 1, H = 1 and their neighbours, each on its own."""
    rng = np.random.Generator(np.random.Philox(300 + H))
    for T, N in [(1, 1), (1, 2), (2, 1), (3, 3)]:
        net = net_of(cell, rng)
        while net.cell != cell:
            net = net_of(cell, rng)
        shape = (T, N, H)
        G = GATES[cell]
        small = Net(cell, net.nonlinearity, 3, H, 1, True, T, N, False)
        small.params = {
            "weight_ih_l0": rng.uniform(-0.5, 0.5, (G * H, 3)).astype(np.float32).astype(float),
            "weight_hh_l0": rng.uniform(-0.5, 0.5, (G * H, H)).astype(np.float32).astype(float),
            "bias_ih_l0": rng.uniform(-0.5, 0.5, G * H).astype(np.float32).astype(float),
            "bias_hh_l0": rng.uniform(-0.5, 0.5, G * H).astype(np.float32).astype(float),
        }
        if cell not in RECURRENT:
            del small.params["weight_hh_l0"], small.params["bias_hh_l0"]
        small.x = rng.standard_normal((T, N, 3)).astype(np.float32).astype(float)
        small.dy = rng.standard_normal(shape).astype(np.float32).astype(float)
        check(small, errors, comparisons)


def test_many_rows_in_a_batch(errors, comparisons) -> None:
    """More sequences than a block of time has rows."""
    rng = np.random.Generator(np.random.Philox(401))
    net = random_net(rng)
    net = Net("lstm", "tanh", 5, 20, 1, True, 4, 300, False)
    bound = 0.3
    for name, shape in {
        "weight_ih": (80, 5),
        "weight_hh": (80, 20),
        "bias_ih": (80,),
        "bias_hh": (80,),
    }.items():
        net.params[f"{name}_l0"] = (
            rng.uniform(-bound, bound, shape).astype(np.float32).astype(float)
        )
    net.x = rng.standard_normal((4, 300, 5)).astype(np.float32).astype(float)
    net.dy = rng.standard_normal((4, 300, 20)).astype(np.float32).astype(float)
    check(net, errors, comparisons)


def test_exact_zeros_stay_zero(isa: str, dtype: str) -> None:
    """relu with all units off: every gradient before the readout is exactly zero."""
    layer = bn.RNN(3, 5, nonlinearity="relu", dtype=dtype)
    params = layer.state_dict()
    params["bias_ih_l0"] = np.full(5, -100, dtype)
    layer.load_state_dict(params)
    x = np.ones((4, 2, 3), dtype)
    y, _, tape = layer.forward(x)
    assert not y.any()
    grads = layer.backward(tape, np.ones_like(y))
    assert not grads.flat.any()
    assert not grads.x.any()
    assert not grads.state.any()


@pytest.mark.parametrize("share", [1.02, 3.0])
def test_gradients_vanish_where_output_gates_are_shut(share: float, isa: str, dtype: str) -> None:
    """The gates o are subnormal, or 0: h_t / o has few digits there, or is 0 / 0."""
    H, tiny = 5, np.finfo(dtype).tiny
    layer = bn.LSTM(3, H, dtype=dtype)
    params = layer.state_dict()
    params["bias_ih_l0"][3 * H :] = share * np.log(tiny)
    layer.load_state_dict(params)
    y, _, tape = layer.forward(np.ones((4, 2, 3), dtype))
    assert np.all(np.abs(y) < tiny)
    grads = layer.backward(tape, np.ones_like(y))
    for part in (grads.flat, grads.x, *grads.state):
        assert np.all(np.abs(part) < 100 * tiny)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid", "identity"])
def test_nan_stays_in_its_own_row(nonlinearity: str, isa: str, dtype: str) -> None:
    layer = bn.RNN(3, 5, nonlinearity=nonlinearity, dtype=dtype)
    rng = np.random.Generator(np.random.Philox(11))
    x = rng.standard_normal((6, 3, 3)).astype(dtype)
    clean, _ = layer(x)
    x[2, 1] = np.nan
    y, _ = layer(x)
    assert np.isnan(y[2:, 1]).all()
    np.testing.assert_array_equal(y[:, [0, 2]], clean[:, [0, 2]])
    np.testing.assert_array_equal(y[:2], clean[:2])


@pytest.mark.parametrize("cell", LAYERS)
def test_infinite_input_saturates_honestly(cell: str, isa: str) -> None:
    """An infinite input saturates gates; it must not become NaN through internal padding."""
    rng = np.random.Generator(np.random.Philox(12))
    net = net_of(cell, rng)
    while net.cell != cell or net.tokens or net.nonlinearity != "tanh" or net.I != 1:
        net = net_of(cell, rng)
    net.x[0, 0, 0] = np.inf
    with np.errstate(invalid="ignore"):
        want = run_reference(net)
    got = run_native(net, "float64")
    for name in ["y", "hn", "dh0"]:
        np.testing.assert_allclose(got[name], want[name], atol=1e-12, rtol=1e-9, equal_nan=True)


def test_dy_of_other_strides_and_no_dy(isa: str, dtype: str) -> None:
    rng = np.random.Generator(np.random.Philox(13))
    layer = bn.GRU(3, 7, dtype=dtype, batch_first=True)
    x = cast(rng.standard_normal((2, 5, 3)), dtype)
    _y, _, tape = layer.forward(x)
    dy = cast(rng.standard_normal((2, 5, 14)), dtype)[:, :, ::2]
    a = layer.backward(tape, dy)
    b = layer.backward(tape, np.ascontiguousarray(dy))
    np.testing.assert_array_equal(a.flat, b.flat)
    np.testing.assert_array_equal(a.x, b.x)


def resident_pages() -> int:
    return int(STATM.read_text().split()[1])


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read there")
def test_memory_does_not_grow_from_call_to_call() -> None:
    rng = np.random.Generator(np.random.Philox(5))
    layer = bn.LSTM(8, 48, seed=1)
    inputs = [rng.standard_normal((T, 4, 8), dtype=np.float32) for T in rng.integers(1, 1500, 20)]
    first = {}
    pages = []
    for _ in range(6):
        for k, x in enumerate(inputs):
            y, _, tape = layer.forward(x)
            flat = layer.backward(tape, y).flat
            assert first.setdefault(k, flat.tobytes()) == flat.tobytes()
        pages.append(resident_pages())
    assert pages[-1] - pages[1] < 6000  # the size of three of the longest tapes, after a hundred
