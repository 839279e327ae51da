"""The experiments of the laboratory, shortened: their measurements and claims."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import lab
from bptt_native.lab import clipping, vanish_explode
from bptt_native.lab.results import duration
from bptt_native.tasks import ADDING_BASELINE, adding
from helpers.figures import faults
from helpers.paths import ROOT


def shortened(name: str, shorten: Callable[[lab.Case], lab.Case]) -> lab.Experiment:
    usual = lab.EXPERIMENTS[name]
    return replace(usual, cases=lambda full: [shorten(case) for case in usual.cases(full)])


def broken(claims: Sequence[lab.Claim]) -> list[lab.Claim]:
    return [claim for claim in claims if not claim.held]


def test_adding() -> None:
    x, y = adding(11, 400, np.random.default_rng(0))
    marks = x[..., 1]
    assert np.array_equal(marks[:5].sum(0), np.ones(400))
    assert np.array_equal(marks[5:].sum(0), np.ones(400))
    assert (x[..., 0] * marks).sum(0) == pytest.approx(y[:, 0], abs=1e-6)
    assert set(np.argmax(marks, axis=0)) == set(range(5))
    assert np.mean((y - 1) ** 2) == pytest.approx(ADDING_BASELINE, rel=0.2)
    again = adding(11, 400, np.random.default_rng(0))
    assert np.array_equal(x, again[0])
    with pytest.raises(ValueError, match="adding: argument 'T': expected an integer >= 2"):
        adding(1, 4, np.random.default_rng(0))


def test_vanish_explode_holds(tmp_path: Path) -> None:
    """It does, and with one net's numbers under another's name it does not."""
    done = lab.run("vanish-explode", tmp_path, seeds=1, jobs=2)
    assert broken(done.claims) == []
    swap = {"sigmoid": "tanh", "tanh": "sigmoid"}
    rows = [{**row, "net": swap.get(str(row["net"]), row["net"])} for row in done.rows]
    held = [claim.held for claim in vanish_explode.verdict(rows)]
    assert held == [False, False, False, False, True]


@pytest.mark.parametrize("net", vanish_explode.PLAIN)
def test_what_passes_agrees_with_the_engine(net: str) -> None:
    """The engine's ||dL/dh|| one step back is the norm of W_hh' times what passed."""
    case = {"net": net, "radius": 0.9}
    rows = vanish_explode.measure(case, 3)
    layer = bn.RNN(
        vanish_explode.INPUTS, vanish_explode.UNITS, nonlinearity=net, dtype="float64", seed=3,
        init=bn.Init("normal", spectral_radius=0.9),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    y = layer(rng.standard_normal((vanish_explode.STEPS, vanish_explode.SEQUENCES, 8)))[0]
    dh = rng.standard_normal(y[-1].shape)
    slope = {"sigmoid": y * (1 - y), "tanh": 1 - y * y, "relu": (y > 0) * 1.0}[net]
    first = np.linalg.norm(dh)
    for row in rows[:4]:
        assert row["h"] == pytest.approx(np.linalg.norm(dh) / first, rel=1e-9)
        da = dh * slope[-1 - int(row["distance"])]
        assert row["through"] == pytest.approx(np.linalg.norm(da) / np.linalg.norm(dh), rel=1e-9)
        for back in range(vanish_explode.EVERY):
            da = dh * slope[-1 - int(row["distance"]) - back]
            dh = da @ layer.state_dict()["weight_hh_l0"]


def test_the_factor_of_a_run() -> None:
    rows = [{"distance": d, "h": 3 * 0.5**d} for d in (8, 0, 4)]
    assert vanish_explode.factor(rows) == pytest.approx(0.5)


def test_clipping_holds(tmp_path: Path) -> None:
    def shorten(case: lab.Case) -> lab.Case:
        return {**case, "updates": 7000 if case["clip"] == "norm" else 1000}

    done = lab.run(
        shortened("clipping", lambda c: shorten(c) if c["part"] == "task" else c), tmp_path,
        seeds=[1], jobs=2,
    )  # fmt: skip
    assert broken(done.claims) == []


def test_the_gradient_at_the_cliff() -> None:
    net = bn.RNN(1, 1, nonlinearity="sigmoid", dtype="float64")
    for w, b in ((5.0, -2.3), (4.4, -2.2), (6.0, -3.0)):
        loss, gradient = clipping.cliff_gradient(net, w, b)
        assert loss == pytest.approx(float(clipping.cliff_losses(w, b)), rel=1e-12)
        small = 1e-30
        steps = [clipping.cliff_losses(w + 1j * small, b), clipping.cliff_losses(w, b + 1j * small)]
        assert gradient == pytest.approx(np.array(steps).imag / small, rel=1e-9)


def test_ways_to_clip() -> None:
    gradient = np.array([3.0, -4.0])
    assert clipping.clipped(gradient, "norm", 1.0) == pytest.approx([0.6, -0.8])
    assert clipping.clipped(gradient, "norm", 6.0) is not None
    assert clipping.clipped(gradient, "norm", 6.0) == pytest.approx(gradient)
    assert clipping.clipped(gradient, "value", 3.5) == pytest.approx([3.0, -3.5])
    assert clipping.clipped(gradient, "none", 1.0) is gradient
    assert clipping.angle(gradient, 0.1 * gradient) == pytest.approx(0, abs=1e-15)
    assert clipping.angle(gradient, np.array([4.0, 3.0])) == pytest.approx(math.pi / 2)
    assert clipping.angle(np.zeros(2), np.zeros(2)) == 0


def test_initialisation_holds(tmp_path: Path) -> None:
    def shorten(case: lab.Case) -> lab.Case:
        if case["cell"] == "lstm":
            return {**case, "steps": 50, "updates": 500, "lr": 1e-2}
        updates = 2000 if str(case["init"]).startswith("ReLU") else 200
        return {**case, "steps": 20, "updates": updates, "lr": 2e-3}

    done = lab.run(shortened("initialisation", shorten), tmp_path, seeds=[1], jobs=2)
    assert broken(done.claims) == []


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", lab.EXPERIMENTS)
def test_what_is_recorded(name: str, full: bool) -> None:
    """The recorded runs are of today's claims and cases; figure and numbers are small files."""
    place = "lab/full" if full else "lab"
    folder, experiment = ROOT / "docs" / place, lab.EXPERIMENTS[name]
    text = (folder / f"{name}.md").read_text()
    rows = lab.read_rows(folder / f"{name}.csv")
    claims = experiment.verdict(rows)
    for claim in claims:
        assert f"| {claim.text} | {'held' if claim.held else '**did not hold**'} |" in text
        assert claim.measured in text
    record = json.loads((folder / f"{name}.json").read_text())
    seeds = len(record["seeds"])
    assert seeds >= 3
    assert record["full"] == full
    assert record["jobs"] == seeds * len(experiment.cases(full))
    measured = {tuple(row.get(key) for key in case) for case in experiment.cases(full)
                for row in rows if case.items() <= row.items()}  # fmt: skip
    assert measured == {tuple(case.values()) for case in experiment.cases(full)}
    assert 60 * experiment.minutes[full] == pytest.approx(record["cpu_seconds"], rel=0.05)
    assert full or record["seconds"] <= 600
    assert (folder / f"{name}.png").stat().st_size < 100_000
    assert faults(experiment.figure(rows)) == []
    page = (ROOT / "docs" / "lab.md").read_text()
    assert record["cpu"] in " ".join(page.split())
    section = page.partition(f"## [{name}](lab/{name}.md)")[2].partition("\n## ")[0]
    held = len(claims) - len(broken(claims))
    said = f"{held} of {len(claims)} claims held, {seeds} seeds"
    if full:
        said = f"Full form ([numbers](lab/full/{name}.md)): {said}, {duration(record['seconds'])}"
    assert f"{said}." in section
    assert f"({place}/{name}.png)" in section
