"""The demonstration: its time limit, its output and its files.

The tests set the speed of the clock, so that no test depends on the machine.
"""

import itertools
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from bptt_native.apps import demo
from bptt_native.apps.sampling import load_text_model
from bptt_native.runtime.interruption import Interruption
from bptt_native.training.history import read_history


@pytest.fixture
def clock(monkeypatch):
    """Return a function that sets the seconds between two readings of the clock."""

    def goes(seconds):
        ticks = itertools.count()
        monkeypatch.setattr("time.perf_counter", lambda: next(ticks) * seconds)

    return goes


def run(tmp_path, capsys, **settings):
    assert demo.run(tmp_path / "demo", **settings)
    return capsys.readouterr().out


def bits(text, what):
    return float(re.search(rf"{what}: (\d\.\d+) bits per character", text)[1])


def test_a_short_demonstration(tmp_path, capsys, clock):
    pytest.importorskip("matplotlib")
    clock(0.05)
    out = run(tmp_path, capsys, seconds=1.5)
    folder = tmp_path / "demo"
    rows = read_history(folder / "history.csv")
    model, _, training = load_text_model(folder / "model.safetensors")
    assert len(rows) == training["step"] == training["options"]["steps"]
    assert 20 < len(rows) <= 30
    assert rows[-1].seconds <= 1.5 + 0.1  # at most one step and one measurement late
    schedule = demo.RECIPE.schedule_over(len(rows))
    assert rows[-1].lr == demo.RECIPE.lr * schedule(len(rows) - 1)  # the schedule was completed
    assert bits(out, "Held-out text") == pytest.approx(rows[-1].bpc, abs=1e-3)
    assert 1.6 < bits(out, "order-4 n-gram") < 2.2
    assert (folder / "gradient.png").read_bytes().startswith(b"\x89PNG")
    assert load_file(folder / "model.safetensors").keys() >= model.state_dict().keys()

    decay = {
        name: [float(x) for x in numbers.split()]
        for name, numbers in re.findall(r"^(\w+ ?\w* [hc]) +(0\.\d+ +\d\.\d+)", out, re.MULTILINE)
    }
    assert len(decay) == 5
    for k in (0, 1):
        assert decay["sigmoid RNN h"][k] < decay["tanh RNN h"][k] < decay["LSTM h"][k]


def test_a_longer_budget_does_not_shorten_the_run(tmp_path, clock):
    clock(0.05)
    options = demo.replace(demo.SMALL, steps=40)
    trainer = demo.TextTrainer(demo.pydoc_prose()[:40_000], options)
    assert demo.train_within(trainer, tmp_path, 1000.0, Interruption())
    assert trainer.step == trainer.options.steps == 40
    trainer = demo.TextTrainer(demo.pydoc_prose()[:40_000], options)
    assert demo.train_within(trainer, tmp_path, 1e-3, Interruption())
    assert trainer.step == trainer.options.steps == 21  # the warm-up, which measures the speed


def test_an_interrupted_demonstration_saves(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(Interruption, "__call__", lambda self: True)
    assert not demo.run(tmp_path)
    assert load_text_model(tmp_path / "model.safetensors")[2]["step"] == 1
    assert "Interrupted" in capsys.readouterr().out


def test_without_matplotlib(monkeypatch, tmp_path, capsys, clock):
    clock(0.05)
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    out = run(tmp_path, capsys, seconds=0.5)
    assert "No figure" in out
    assert not (tmp_path / "demo/gradient.png").exists()


@pytest.mark.long
def test_the_demonstration_learns(tmp_path, capsys, clock):
    """At most 1.85 bits per character, below the n-gram, where a minute is enough for all steps."""
    clock(0.001)
    out = run(tmp_path, capsys)
    rows = read_history(tmp_path / "demo/history.csv")
    assert len(rows) == demo.RECIPE.steps
    assert bits(out, "Held-out text") <= 1.85
    assert bits(out, "Held-out text") < bits(out, "order-4 n-gram")
    clipped = np.mean([row.clipped for row in rows])
    assert 0.02 < clipped < 0.6
