"""compute="bfloat16": against the reference with the same rounding, and against float64."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from helpers.cells import LAYERS
from helpers.displays import constructor_of
from helpers.nets import Net, compare, fill, kind_of, option_net, run_native, run_reference
from helpers.option_settings import ALONE, SETTINGS, combination, merged
from helpers.paths import DATA

pytestmark = pytest.mark.usefixtures("best_isa_afterwards")

SAME = 2e-5  # tolerance for nets without a factor so near to a tie that float32 rounds it otherwise
NEAR = 1e-2  # tolerance for other nets: such a factor changes those of all later steps
FLOAT64 = 5e-3


def rounding_net(rng: np.random.Generator, options: dict[str, Any], **how: Any) -> Net:
    net = option_net(rng, options, **how)
    return replace(net, options=net.options | {"compute": "bfloat16"}, inside=False)


def check(nets: list[Net], errors, comparisons, share: float) -> None:
    """The largest error of each net: many of them small, all of them as small as ties allow."""
    wants = [run_reference(net) for net in nets]
    for isa in bn.available_isas():
        bn._core.use_isa(isa)
        largest = []
        for net, want in zip(nets, wants, strict=True):
            found = compare(run_native(net, "float32"), want)
            for name, error in found.items():
                errors.add(isa, "float32", f"bfloat16 {kind_of(name)}", error)
            largest.append(max(found.values()))
            comparisons.add("the reference in bfloat16")
        same = sum(error <= SAME for error in largest)
        assert same >= share * len(nets), f"{isa}: {sorted(largest)}"
        assert max(largest) <= NEAR, f"{isa}: {nets[int(np.argmax(largest))]}"


@pytest.mark.parametrize(
    ("name", "cell"), [pair for pair in ALONE if not pair[0].startswith("clip")]
)
def test_options_alone(name: str, cell: str, errors, comparisons) -> None:
    rng = np.random.Generator(np.random.Philox(11))
    nets = [rounding_net(rng, {"cell": cell} | SETTINGS[name]) for _ in range(8)]
    check(nets, errors, comparisons, 0.25)


def test_random_combinations(errors, comparisons) -> None:
    rng = np.random.Generator(np.random.Philox(12))
    clips = {"clip_step", "clip_step_norm"}
    nets = [rounding_net(rng, merged(*combination(rng, clips))) for _ in range(60)]
    check(nets, errors, comparisons, 0.25)


@pytest.mark.parametrize("seed", range(6))
def test_batches_that_are_divided(seed: int, errors, comparisons) -> None:
    """Shards with odd numbers of rows, ragged or not, several blocks of time."""
    rng = np.random.Generator(np.random.Philox(1300 + seed))
    names = ["lengths"] * (seed % 2) + ["bidirectional"] * (seed == 5)
    net = rounding_net(rng, merged(*names), divided=True)
    check([net], errors, comparisons, 0)


@pytest.mark.parametrize("cell", LAYERS)
def test_gradients_are_near_those_of_float64(cell: str, errors, isa: str) -> None:
    net = fill(
        Net(cell, "tanh", I=40, H=96, L=1, bias=True, T=60, N=12, tokens=False),
        np.random.Generator(np.random.Philox(14)),
    )
    want = run_reference(net)
    rounded = replace(net, options={"compute": "bfloat16"})
    for name, error in compare(run_native(rounded, "float32"), want).items():
        errors.add(isa, "float32", f"bfloat16 for float64 {kind_of(name)}", error)
        if name.startswith("dw") or name == "dx":
            assert 1e-5 < error <= FLOAT64, name


def test_numbers_are_rounded_to_the_nearest_even(isa: str) -> None:
    """Products with the identity give back what was multiplied."""
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 1 + 2**-9, -1 - 2**-8, 3e38])
    rng = np.random.default_rng(0)
    exponents = 2.0 ** rng.integers(-60, 60, 500)
    x = np.concatenate([ties, rng.standard_normal(500) * exponents]).astype(np.float32)
    want = reference.basics.bfloat16(x.astype(np.float64))
    np.testing.assert_array_equal(want[:5], [1, 1 + 2**-6, 1 + 2**-7, 1, -1])
    for wide in (1, 3):  # inputs in pairs, and an odd one
        layer = bn.RNN(wide, wide, nonlinearity="identity", bias=False, compute="bfloat16")
        one = np.eye(wide, dtype=np.float32)
        layer.load_state_dict({"weight_ih_l0": one, "weight_hh_l0": 0 * one})
        rows = np.zeros((1, len(x), wide), np.float32)
        rows[0, :, -1] = x
        y, _, tape = layer.forward(rows)
        np.testing.assert_array_equal(y[0, :, -1], want)
        dy = np.zeros_like(rows)
        dy[0, :, -1] = x
        np.testing.assert_array_equal(layer.backward(tape, dy).x[0, :, -1], want)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(bad: float, isa: str) -> None:
    layer = bn.RNN(3, 40, nonlinearity="identity", compute="bfloat16")
    x = np.ones((4, 5, 3), np.float32)
    x[1, 2, 1] = bad
    y, _, tape = layer.forward(x)
    assert not np.isfinite(y[1:, 2]).any()
    assert np.isfinite(y[:, [0, 1, 3, 4]]).all()
    assert np.isfinite(y[0]).all()
    grads = layer.backward(tape, np.ones_like(y))
    assert not np.isfinite(grads["weight_ih_l0"][:, 1]).any()


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("batch", [5, 33])
def test_the_same_bits_for_any_number_of_threads_and_without_a_tape(
    cell: str, batch: int, isa: str
) -> None:
    rng = np.random.default_rng(1)
    layer = LAYERS[cell](65, 129, num_layers=2, compute="bfloat16")
    x = rng.standard_normal((70, batch, 65)).astype(np.float32)
    dy = rng.standard_normal((70, batch, 129)).astype(np.float32)
    lengths = rng.integers(1, 71, batch)
    found = []
    for count in (1, 2, 3):
        bn.set_num_threads(count)
        for given in (None, lengths):
            y, _, tape = layer.forward(x, lengths=given)
            np.testing.assert_array_equal(y, layer(x, lengths=given)[0])
            grads = layer.backward(tape, dy)
            found.append([y, grads.x, *(grads[name] for name in grads)])
    for one, other in zip(found[:2] * 2, found[2:], strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("input_of", ["vocab_size", "embedding", "input_size"])
def test_a_model_is_that_of_the_reference(cell: str, input_of: str, isa: str) -> None:
    """Readout and embedding too; a token's column is looked up, not multiplied."""
    rng = np.random.default_rng(2)
    sizes: dict[str, Any] = {"input_size": 6} if input_of == "input_size" else {"vocab_size": 6}
    sizes |= {"embedding_size": 5} if input_of == "embedding" else {}
    model = bn.Model(cell, hidden_size=19, output_size=4, compute="bfloat16", **sizes)
    x: Any = rng.integers(0, 6, (9, 4))
    if input_of == "input_size":
        x = rng.standard_normal((9, 4, 6)).astype(np.float32)
    targets = rng.integers(0, 4, (9, 4))
    config = reference.ModelConfig(cell=cell, compute="bfloat16")
    params = {name: np.float64(value) for name, value in model.state_dict().items()}
    want = reference.model_loss_and_gradients(config, params, x, targets)
    step, gradients = model.gradients(x, targets)
    exact = reference.model_loss_and_gradients(
        replace(config, compute="float64"), params, x, targets
    )
    assert abs(step.loss - want.loss) < 1e-4
    assert abs(step.loss - exact.loss) > 1e-8
    for name, gradient in want.gradients.items():
        scale = np.abs(gradient).max()
        assert np.abs(gradients[name] - gradient).max() <= 2e-3 * scale, name
    stream = model.stream()
    out, _ = model(x)
    for t in range(9):
        np.testing.assert_allclose(stream.step(x[t, 0]), out[t, 0], atol=2e-3)


@pytest.mark.parametrize(("inputs", "hidden", "layers"), [(64, 64, 2), (7, 300, 2), (300, 33, 1)])
@pytest.mark.parametrize("cell", LAYERS)
def test_streams_of_many_units(cell: str, inputs: int, hidden: int, layers: int) -> None:
    x = np.random.default_rng(11).standard_normal((6, 1, inputs)).astype(np.float32)
    for seed in range(5):  # neighbours in memory, where a step that wrote too far would be noticed
        model = bn.Model(cell, input_size=inputs, hidden_size=hidden, num_layers=layers,
                         output_size=3, loss="mse", compute="bfloat16", seed=seed)  # fmt: skip
        stream = model.stream()
        steps = np.array([stream.step(row[0]) for row in x])
        np.testing.assert_array_equal(steps, model(x)[0][:, 0])


@pytest.mark.parametrize("cell", LAYERS)
def test_it_is_kept(cell: str, tmp_path: Path) -> None:
    layer = LAYERS[cell](3, 4, compute="bfloat16")
    assert constructor_of(layer) == f"{type(layer).__name__}(3, 4, compute='bfloat16')"
    x = np.random.default_rng(3).standard_normal((5, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer))(x)[0], layer(x)[0])
    assert (layer(x)[0] != LAYERS[cell](3, 4)(x)[0]).any()
    model = bn.Model(cell, input_size=3, hidden_size=4, output_size=2, compute="bfloat16")
    assert "compute='bfloat16'" in repr(model)
    model.save(tmp_path / "model.safetensors")
    for other in (bn.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        assert other.config == model.config
        np.testing.assert_array_equal(other(x)[0], model(x)[0])
    before = bn.load(DATA / "model_v1.safetensors")
    assert before.config["compute"] is None


def test_it_is_an_explicit_choice() -> None:
    for dtype in ("float32", "float64"):
        assert repr(bn.RNN(3, 4, dtype=dtype, compute=dtype)) == repr(bn.RNN(3, 4, dtype=dtype))
    for dtype, compute in [("float64", "bfloat16"), ("float32", "float64"), ("float64", "float32")]:
        text = f"LSTM: argument 'compute': expected None, or .*'{compute}' with dtype '{dtype}'"
        with pytest.raises(ValueError, match=text):
            bn.LSTM(3, 4, dtype=dtype, compute=compute)
    with pytest.raises(ValueError, match="Model: argument 'compute': expected one of"):
        bn.Model(input_size=3, hidden_size=4, output_size=2, compute="float16")
    with pytest.raises(TypeError, match="GRU: argument 'compute'"):
        bn.GRU(3, 4, compute=16)
