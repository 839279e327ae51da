"""compute="bfloat16": against the reference that rounds the same factors, and against float64."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import Net, cast, compare, fill, kind_of, option_net, run_native, run_reference
from option_settings import ALONE, SETTINGS, combination, merged

import bptt_native as bn
from bptt_native import reference

CELLS = {"rnn": bn.RNN, "lstm": bn.LSTM, "gru": bn.GRU}
SAME = 2e-5  # of a net in which no factor lies so near to a tie that float32 rounds it otherwise
NEAR = 1e-2  # of the others: one such factor moves those of all later steps
FLOAT64 = 5e-3


@pytest.fixture(autouse=True)
def best_isa_afterwards():
    before = bn.isa()
    yield
    bn._core.use_isa(before)


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
