"""The options of a layer against the reference: alone, in pairs and in random combinations."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from helpers.nets import (
    TOLERANCE,
    Net,
    change_by_an_ulp,
    compare,
    kind_of,
    option_net,
    run_native,
    run_reference,
)
from helpers.option_settings import (
    ALONE,
    CLIPPED,
    COMPATIBLE,
    REFUSED,
    SETTINGS,
    combination,
    merged,
)

pytestmark = pytest.mark.usefixtures("best_isa_afterwards")

CLIPPED_TOLERANCE = 1e-11
COMBINATIONS = 200


def is_amplifying(net: Net) -> bool:
    """LN(c_t) of an LSTM divides by the deviation of a few cell states, which may be small.

    Rounding errors then grow as noise in the input does: such a net is judged by that.
    """
    return net.cell == "lstm" and bool(net.options.get("layer_norm"))


def check(net: Net, errors, comparisons) -> None:
    """One net on all instruction sets, in both dtypes; clipped ones in float64 only."""
    want = run_reference(net)
    clipped = net.clip_step is not None or net.clip_step_norm is not None
    for dtype in ["float64"] if clipped else ["float32", "float64"]:
        limit = CLIPPED_TOLERANCE if clipped else TOLERANCE[dtype]
        for isa in bn.available_isas():
            bn._core.use_isa(isa)
            for name, error in compare(run_native(net, dtype), want).items():
                errors.add(isa, dtype, kind_of(name), error)
                allowed = limit
                if error > limit and dtype == "float32" and is_amplifying(net):
                    allowed = 16 * change_by_an_ulp(net, np.random.default_rng(0))[name]
                assert error <= allowed, f"{name} of {net} on {isa} in {dtype}: {error:.2e}"
            comparisons.add("the reference, nets with options")


@pytest.mark.parametrize(("name", "cell"), ALONE)
def test_alone(name: str, cell: str, errors, comparisons) -> None:
    rng = np.random.Generator(np.random.Philox(1))
    for _ in range(2):
        check(option_net(rng, {"cell": cell} | SETTINGS[name]), errors, comparisons)


@pytest.mark.parametrize("names", COMPATIBLE, ids="+".join)
def test_pairs(names: tuple[str, str], errors, comparisons) -> None:
    rng = np.random.Generator(np.random.Philox(2))
    check(option_net(rng, merged(*names)), errors, comparisons)


@pytest.mark.parametrize("seed", range(COMBINATIONS))
def test_random_combinations(seed: int, errors, comparisons) -> None:
    rng = np.random.Generator(np.random.Philox(1000 + seed))
    check(option_net(rng, merged(*combination(rng))), errors, comparisons)


@pytest.mark.parametrize("seed", range(16))
def test_batches_that_are_divided(seed: int, errors, comparisons) -> None:
    """Shards of ragged batches, several blocks of time, more rows than a tile."""
    rng = np.random.Generator(np.random.Philox(3000 + seed))
    names = combination(rng)
    if seed % 2 and "lengths" not in names:
        names.append("lengths")
    check(option_net(rng, merged(*names), divided=True), errors, comparisons)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_many_random_combinations(seed: int, errors, comparisons) -> None:
    rng = np.random.Generator(np.random.Philox(2000 + seed))
    for _ in range(100):
        check(option_net(rng, merged(*combination(rng))), errors, comparisons)


ARGUMENT = {
    "chunks": "truncation",
    "alphas": "alpha",
}  # the argument of a setting that has another name


@pytest.mark.parametrize("names", [pair for pair in REFUSED if "mingru" not in pair], ids="+".join)
def test_pairs_that_are_refused(names: tuple[str, str]) -> None:
    net = option_net(np.random.Generator(np.random.Philox(3)), merged(*names), small=True)
    with pytest.raises(ValueError, match=": expected ") as raised:
        run_native(net, "float32")
    for name in names:
        assert ARGUMENT.get(name, name) in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [{"layer_norm": True}, {"recurrent_dropout": 0.1}, {"peephole": True}, {"coupled": True},
     {"reset_after": False}, {"proj_size": 2}, {"zoneout_c": 0.1}, {"alpha": 0.5}, {"noise": 0.1},
     {"dale": 0.5}, {"omega": 0.1}, {"forget_bias": 1.0}, {"nonlinearity": "relu"}],
    ids=str,
)  # fmt: skip
def test_mingru_has_no_options_of_other_cells(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"^Model: argument '{name}': expected .*, got "):
        bn.Model("mingru", input_size=3, hidden_size=4, output_size=2, **given)
    with pytest.raises(TypeError, match=f"unexpected argument '{name}'; (only the cell|it is an)"):
        bn.MinGRU(3, 4, **given)


@pytest.mark.parametrize("init", ["orthogonal", "identity", "normal", "sparse"])
def test_mingru_has_no_starts_of_w_hh(init: str) -> None:
    for make in (partial(bn.Model, "mingru", input_size=3, output_size=2), partial(bn.MinGRU, 3)):
        with pytest.raises(ValueError, match=r": argument 'init': expected .* W_hh, got "):
            make(hidden_size=4, init=init)


def test_the_pairs_are_complete() -> None:
    """Each setting is compared together with others, and every refusal is tested."""
    together = {name for pair in COMPATIBLE for name in pair}
    assert together == set(SETTINGS)
    assert len(COMPATIBLE) > 300
    assert len(REFUSED) == 3 + 2 + 11 + 2
    assert together > CLIPPED


def test_projections_are_smaller_than_the_hidden_state() -> None:
    for size in (-1, 4, 5):
        with pytest.raises(ValueError, match="argument 'proj_size': expected"):
            bn.LSTM(3, 4, proj_size=size)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (bn.RNN, {"alpha": 0.0}),
        (bn.RNN, {"alpha": 1.5}),
        (bn.RNN, {"noise": -0.1}),
        (bn.RNN, {"dale": 1.5}),
        (bn.LSTM, {"dropout": 1.0}),
        (bn.GRU, {"recurrent_dropout": -0.1}),
        (bn.GRU, {"zoneout": float("nan")}),
        (bn.LSTM, {"zoneout_c": 2.0}),
    ],
    ids=str,
)
def test_values_out_of_range(make, options) -> None:
    with pytest.raises(ValueError, match=f"argument '{next(iter(options))}': expected"):
        make(3, 4, num_layers=2, **options)
