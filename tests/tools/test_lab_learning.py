"""The experiments on learning tasks, shortened: their shared parts and claims."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bptt_native import lab, tasks
from bptt_native.lab import learning, long_range, pascanu


def shortened(name: str, seeds: int, nets: dict[str, dict[str, Any]], key: str) -> lab.Experiment:
    """Return an experiment with other numbers for some nets or ways."""
    usual = lab.EXPERIMENTS[name]
    short = [{**case, **nets[str(case[key])]} for case in usual.cases(False)]
    return replace(usual, cases=lambda full: short, seeds=seeds)


def test_batches_are_new_and_depend_on_the_update() -> None:
    model = learning.build(
        "GRU",
        10,
        0,
        input_size=2,
        hidden_size=4,
        output_size=1,
        loss="mse",
        targets="last",
        lr=0.01,
    )
    seen = []

    def batch(generator: np.random.Generator) -> tuple[Any, Any]:
        x, y = tasks.adding(10, 2, generator)
        seen.append(x)
        return x, y

    rows = learning.train(model, batch, 4, 2, 7)
    assert [row["update"] for row in rows] == [2, 4]
    assert len({x.tobytes() for x in seen}) == 4
    assert np.array_equal(seen[3], tasks.adding(10, 2, learning.batch_rng(7, 3))[0])


def test_what_runs_are_read_for() -> None:
    rows: list[lab.Row] = [
        {"seed": s, "net": "GRU", "update": u, "loss": loss}
        for s in (0, 1) for u, loss in ((100, 1.0), (200, 0.5 - 0.4 * s))
    ]  # fmt: skip
    runs = learning.runs_of(rows, net="GRU")
    assert [learning.first_below(run, 0.3) for run in runs] == [math.inf, 200]
    assert learning.filled(runs[1], [100, 200, 300]) == pytest.approx([1.0, 0.1, 0.1])
    assert learning.ends(rows, "loss", net="GRU") == pytest.approx([0.5, 0.1])
    assert learning.runs_of(rows, net="LSTM") == []
    assert learning.spelled([math.inf, 0.25]) == "0.25, never"


def held(claims: Any) -> list[bool]:
    return [claim.held for claim in claims]


def swapped(rows: Any, one: str, other: str) -> list[lab.Row]:
    """Return the rows with the names of two nets exchanged."""
    names = {one: other, other: one}
    return [{**row, "net": names.get(str(row["net"]), row["net"])} for row in rows]


def test_adding_holds() -> None:
    """It does, and with one net's numbers under another's name it does not."""
    gated = {"steps": 20, "updates": 900, "lr": 1e-2}
    nets: dict[str, dict[str, Any]] = {
        **dict.fromkeys(learning.GATED, gated), "tanh RNN": {"updates": 200},
        "IRNN": {"steps": 20, "updates": 2000, "lr": 2e-3},
    }  # fmt: skip
    short = shortened("adding", 1, nets, "net")
    rows = []
    for case in short.cases(False):
        rows += [{**case, "seed": 1, **row} for row in short.measure(case, 1)]
    assert held(short.verdict(rows)) == [True, True, True]
    assert held(short.verdict(swapped(rows, "tanh RNN", "GRU"))) == [False, False, True]


def test_the_text_holds(tmp_path: Path) -> None:
    nets = {
        **{net: {"longest": 20, "updates": 700} for net in learning.GATED},
        **{net: {"longest": 20, "updates": 300} for net in ("tanh RNN", "IRNN")},
    }
    done = lab.run(shortened("long-range-text", 1, nets, "net"), tmp_path, jobs=2)
    assert held(done.claims)[0]
    assert not held(long_range.verdict(swapped(done.rows, "tanh RNN", "LSTM")))[0]
    assert long_range.accuracies(done.rows, "GRU", 20)[0] >= 0.99


def test_the_copy_memory_holds(tmp_path: Path) -> None:
    """It does over ten steps; with another net's numbers under its name it does not."""
    nets = {
        **{net: {"steps": 10, "updates": 1500} for net in learning.GATED},
        **{net: {"steps": 10, "updates": 300} for net in ("tanh RNN", "IRNN")},
    }
    done = lab.run(shortened("copy-memory", 1, nets, "net"), tmp_path, jobs=2)
    assert held(done.claims) == [True, True, True]
    verdict = lab.EXPERIMENTS["copy-memory"].verdict
    assert held(verdict(swapped(done.rows, "GRU", "tanh RNN"))) == [False, False, True]
    assert held(verdict(swapped(done.rows, "LSTM", "chrono LSTM"))) == [True, True, False]


def test_each_length_of_the_copy_memory_is_compared_by_itself() -> None:
    rows: list[lab.Row] = [
        {"task": "copy-memory", "net": net, "steps": steps, "seed": 0, "update": 100, "loss": 1.0,
         "held_out": share * tasks.copy_memory_baseline(steps), "wrong": 0.5}
        for steps, low in ((50, 0.5), (200, 0.9)) for net, share in
        (("chrono LSTM", low), ("LSTM", low + 0.05), ("GRU", 0.5), ("IRNN", 1), ("tanh RNN", 1))
    ]  # fmt: skip
    verdict = lab.EXPERIMENTS["copy-memory"].verdict
    assert held(verdict(rows)) == [True, True, True]
    assert held(verdict(swapped(rows, "LSTM", "chrono LSTM"))) == [True, True, False]
    titles = [ax.get_title("left") for ax in lab.EXPERIMENTS["copy-memory"].figure(rows).axes]
    assert titles == [
        "T = 50: no net halves the baseline", "T = 200: no net halves the baseline",
        "Where each seed ends",
    ]  # fmt: skip


def test_the_temporal_order_holds(tmp_path: Path) -> None:
    """It does with one seed; with one net's numbers under another's name it does not."""
    done = lab.run("temporal-order", tmp_path, seeds=1, jobs=2)
    assert held(done.claims) == [True, True, True]
    verdict = lab.EXPERIMENTS["temporal-order"].verdict
    assert held(verdict(swapped(done.rows, "tanh RNN", "GRU"))) == [True, True, False]


def test_pascanu_holds(tmp_path: Path) -> None:
    """It does with one seed; with the ways' names turned round it does not."""
    usual = lab.EXPERIMENTS["pascanu"]
    short = [case for case in usual.cases(False) if case["length"] != 40]
    done = lab.run(replace(usual, cases=lambda full: short), tmp_path, seeds=[1], jobs=2)
    assert held(done.claims) == [True, True, True]
    ways = dict(zip(pascanu.WAYS, reversed(pascanu.WAYS), strict=True))
    rows = [{**row, "way": ways[str(row["way"])]} for row in done.rows]
    assert held(usual.verdict(rows)) == [False, False, False]
