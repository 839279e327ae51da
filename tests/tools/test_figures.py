"""All public figures: free of faults that an editor would mark, and what they take and return."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import diagnostics
from bptt_native.training.history import read_history
from helpers.figures import faults

pytest.importorskip("matplotlib")

from bptt_native import plots
from bptt_native.plots.base import COLOURS, ink_of, log_axis, wrapped


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run with its folder, nets, a tape, flows, spectra and fixed points."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 64, 3)).astype(np.float32)
    y = x.sum(axis=2).argmax(axis=0) % 3
    model = bn.Model("lstm", input_size=3, hidden_size=16, output_size=3, targets="last",
                     num_layers=2, clip_norm=1.0, seed=0)  # fmt: skip
    result = model.fit(
        x, y, epochs=6, batch_size=16, validation=(x, y), watch=bn.Watch(4, say=lambda _: None),
        out=folder,
    )  # fmt: skip
    nets = {"tanh RNN": bn.RNN(3, 16, seed=0), "GRU": bn.GRU(3, 16, seed=0),
            "LSTM": bn.LSTM(3, 16, seed=0)}  # fmt: skip
    return SimpleNamespace(
        folder=folder, x=x, model=model, result=result, nets=nets,
        tape=model.forward(x)[2],
        flows={name: diagnostics.gradient_flow(net, x) for name, net in nets.items()},
        spectra={
            name: diagnostics.lyapunov(net, net.forward(x)[2]) for name, net in nets.items()
        },
        depends=diagnostics.connectivity(nets["GRU"], x),
        points=diagnostics.fixed_points(nets["GRU"], starts=30),
        range_test=bn.find_lr(model, x, y, steps=30),
        flat=bn.RangeTest(np.geomspace(1e-4, 1, 5), np.ones(5), np.ones(5), None, False),
    )  # fmt: skip


TEXT = "Whatever WWW means, it mmm..."
DRAWN: dict[str, list[Any]] = {
    "clipping_figure": [lambda s: plots.clipping_figure(s.result)],
    "connectivity_figure": [
        lambda s: plots.connectivity_figure(s.depends),
        lambda s: plots.connectivity_figure(s.depends, TEXT),
        lambda s: plots.connectivity_figure(np.tril(np.ones((80, 80))), "W" * 80),
    ],
    "fixed_points_figure": [lambda s: plots.fixed_points_figure(s.points)],
    "flow_figure": [
        lambda s: plots.flow_figure(s.folder), lambda s: plots.flow_figure(s.result, 0)
    ],
    "gates_figure": [
        lambda s: plots.gates_figure(s.tape), lambda s: plots.gates_figure(s.tape, "g", text=TEXT)
    ],
    "plot_clipping_angle": [lambda s: plots.plot_clipping_angle(s.result)],
    "plot_connectivity": [lambda s: plots.plot_connectivity(s.depends)],
    "plot_eigenvalues": [
        lambda s: plots.plot_eigenvalues(s.model, "$W_{hh}$"),
        lambda s: plots.plot_eigenvalues(np.diag([2.0, 0.5])),
    ],
    "plot_fixed_points": [lambda s: plots.plot_fixed_points(s.points)],
    "plot_flow_map": [
        lambda s: plots.plot_flow_map(s.result), lambda s: plots.plot_flow_map(s.result, 0, "c")
    ],
    "plot_gate_units": [
        lambda s: plots.plot_gate_units(s.tape),
        lambda s: plots.plot_gate_units(s.nets["tanh RNN"].forward(s.x)[2]),
    ],
    "plot_gates": [lambda s: plots.plot_gates(s.tape)],
    "plot_gradient_flow": [
        lambda s: plots.plot_gradient_flow(s.flows),
        lambda s: plots.plot_gradient_flow(s.flows["GRU"]),
        lambda s: plots.plot_gradient_flow(s.flows, "before training", 0.1),
    ],
    "plot_gradient_norm": [lambda s: plots.plot_gradient_norm(s.result)],
    "plot_learning": [
        lambda s: plots.plot_learning(s.result),
        lambda s: plots.plot_learning(s.result, {"a baseline": 1.1, "another baseline": 1.09}),
    ],
    "plot_lr_finder": [
        lambda s: plots.plot_lr_finder(s.range_test),
        lambda s: plots.plot_lr_finder(s.flat),
    ],
    "plot_lyapunov": [
        lambda s: plots.plot_lyapunov(s.spectra), lambda s: plots.plot_lyapunov([0.1, -0.4])
    ],
    "plot_norm_quantiles": [lambda s: plots.plot_norm_quantiles(s.result, window=5)],
    "spectrum_figure": [
        lambda s: plots.spectrum_figure(s.nets["GRU"], s.spectra),
        lambda s: plots.spectrum_figure(s.nets["GRU"]),
    ],
    "training_figure": [
        lambda s: plots.training_figure(s.result),
        lambda s: plots.training_figure(s.result, before=s.flows, after=s.flows),
        lambda s: plots.training_figure(s.result, after=s.flows, references={"baseline": 1.0}),
    ],
}  # fmt: skip


def test_every_public_figure_is_drawn_here() -> None:
    public = {
        name for name in plots.__all__ if re.fullmatch(r"plot_\w+|(?!new_|save_)\w+_figure", name)
    }
    assert DRAWN.keys() == public


@pytest.mark.parametrize(
    ("name", "number"), [(name, k) for name, many in DRAWN.items() for k in range(len(many))]
)
def test_an_editor_finds_no_fault(name: str, number: int, seen: SimpleNamespace) -> None:
    drawn = DRAWN[name][number](seen)
    figure = drawn if name.endswith("_figure") else drawn.figure
    assert faults(figure) == []
    assert figure.get_size_inches()[0] <= plots.TWO_COLUMNS + 1e-9
    for text in (t for ax in figure.axes for t in ax.texts if t.get_text()):
        assert contrast(text.get_color()) >= 4.5


def contrast(colour: str) -> float:
    """Return the contrast of a colour with white, after WCAG 2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@pytest.mark.parametrize("fault", ["bar", "legend", "cut", "small", "empty", "crowded"])
def test_faults_are_found(fault: str) -> None:
    ax = plots.new_figure(3, 2).subplots()
    ax.set_title("A title", loc="left")
    ax.set_xlabel("x")
    if fault != "empty":
        ax.plot([1, 2], [1, 2], label="line")
    if fault == "bar":
        ax.bar([1, 2], [1, 20])
        ax.set_yscale("log")
    elif fault == "legend":
        ax.legend()
    elif fault == "cut":
        ax.text(1.9, 1.5, "a label that is too long", in_layout=False)
    elif fault == "small":
        ax.text(1.5, 1.2, "a note", fontsize=5)
    elif fault == "crowded":
        ax.set_xticks([1.0, 1.01, 2.0], ["one", "nearly one", "two"])
    words = {
        "bar": "bars on a log", "legend": "covers axes", "cut": "is cut off",
        "small": "has 5.0 points", "empty": "nothing is drawn", "crowded": "overlap",
    }  # fmt: skip
    found = [line for line in faults(ax.figure) if words[fault] in line]
    assert found, faults(ax.figure)


def test_a_run_is_a_result_a_folder_a_file_or_rows(seen: SimpleNamespace) -> None:
    """All show the same losses, and those that know the model have its unit."""
    rows = read_history(seen.folder / "history.csv")
    expected = [row.loss for row in seen.result.rows]
    for run, unit in (
        (seen.result, "cross-entropy, nats, logarithmic"),
        (seen.folder, "cross-entropy, nats, logarithmic"),
        (str(seen.folder / "model.safetensors"), "cross-entropy, nats, logarithmic"),
        (seen.folder / "history.csv", "loss, logarithmic"),
        (rows, "loss, logarithmic"),
    ):
        ax = plots.plot_learning(run)
        np.testing.assert_allclose(ax.lines[0].get_ydata(), expected)
        assert " ".join(ax.get_ylabel().split()) == unit
    for run in (seen.result, seen.folder, seen.folder / "gradients.jsonl", seen.result.gradients):
        ax = plots.plot_flow_map(run)
        assert ax.images[0].get_array().shape == (30, len(seen.result.gradients))
    assert "threshold 1" in [t.get_text() for t in plots.plot_gradient_norm(seen.folder).texts]


def test_bits_are_for_text_only(tmp_path: Path, seen: SimpleNamespace) -> None:
    model = bn.Model("rnn", vocab_size=5, hidden_size=4, output_size=5)
    tokens = np.random.default_rng(0).integers(0, 5, (20, 8))
    result = model.fit(tokens[:-1], tokens[1:], epochs=2)
    assert "bits" not in plots.plot_learning(result).get_ylabel()
    model.metadata["vocabulary"] = "abcde"
    assert plots.plot_learning(result).get_ylabel() == "bits per character, logarithmic"
    assert "bits" not in plots.plot_learning(seen.result).get_ylabel()


def test_axes_are_taken_and_returned(seen: SimpleNamespace) -> None:
    calls: dict[str, Any] = {
        "plot_learning": seen.result, "plot_gradient_norm": seen.result, "plot_gates": seen.tape,
        "plot_norm_quantiles": seen.result, "plot_clipping_angle": seen.result,
        "plot_flow_map": seen.result, "plot_gradient_flow": seen.flows,
        "plot_gate_units": seen.tape, "plot_connectivity": seen.depends,
        "plot_eigenvalues": seen.model, "plot_lyapunov": seen.spectra,
        "plot_fixed_points": seen.points, "plot_lr_finder": seen.range_test,
    }  # fmt: skip
    assert calls.keys() == {name for name in DRAWN if name.startswith("plot_")}
    for name, given in calls.items():
        draw = getattr(plots, name)
        ax = plots.new_figure(4, 3).subplots()
        assert draw(given, ax=ax) is ax
        with pytest.raises(TypeError, match=f"{name}: argument 'ax': expected matplotlib axes"):
            draw(given, ax=3)


def test_what_is_no_run_is_refused(tmp_path: Path, seen: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match="plot_learning: argument 'run': expected a FitResult, a"):
        plots.plot_learning(seen.model)
    with pytest.raises(TypeError, match="plot_learning: argument 'run': expected a FitResult, a"):
        plots.plot_learning(seen.result.gradients)
    with pytest.raises(FileNotFoundError, match="argument 'run': expected the folder of a run"):
        plots.plot_learning(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"argument 'run': expected .* got no update"):
        plots.plot_learning(tmp_path)
    with pytest.raises(TypeError, match="flow_figure: argument 'run': expected a FitResult, a"):
        plots.flow_figure(seen.result.rows)
    with pytest.raises(ValueError, match=r"flow_figure: argument 'run': expected .*watch="):
        plots.flow_figure([])
    with pytest.raises(ValueError, match="plot_flow_map: argument 'layer': expected"):
        plots.plot_flow_map(seen.result, layer=2)
    with pytest.raises(TypeError, match="plot_gradient_flow: argument 'flows': expected a Grad"):
        plots.plot_gradient_flow({"LSTM": seen.result})
    with pytest.raises(ValueError, match="plot_gradient_flow: argument 'flows': expected one flow"):
        plots.plot_gradient_flow({})
    with pytest.raises(TypeError, match="plot_gates: argument 'tape': expected a tape, the third"):
        plots.plot_gates(seen.model)
    with pytest.raises(TypeError, match="plot_eigenvalues: argument 'matrices': expected a map"):
        plots.plot_eigenvalues("W_hh")
    with pytest.raises(ValueError, match=r"argument 'matrices': expected square .*\[2, 3\]"):
        plots.plot_eigenvalues({"W": np.ones((2, 3))})
    with pytest.raises(
        ValueError, match="plot_lyapunov: argument 'spectra': expected one spectrum"
    ):
        plots.plot_lyapunov({})


def test_new_axes_are_those_of_pyplot_if_that_is_imported() -> None:
    code = (
        "import sys, matplotlib; matplotlib.use('Agg')\n"
        "from bptt_native import plots\n"
        "ax = plots.plot_lyapunov([0.1, -0.2])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "from matplotlib import pyplot\n"
        "ax = plots.plot_lyapunov([0.1, -0.2])\n"
        "assert pyplot.gcf() is ax.figure"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pictures_with_fewer_colours_keep_the_frequent_ones(tmp_path: Path) -> None:
    from PIL import Image

    ax = plots.new_figure(3, 2).subplots()
    for k, colour in enumerate(COLOURS):
        ax.axhspan(k, k + 1, color=colour, linewidth=0)
    plots.save_figure(ax.figure, tmp_path / "all.png")
    plots.save_figure(ax.figure, tmp_path / "few.png", colours=16)
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "all.png") as whole:
        kept = {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in few.convert("RGB").getcolors()}
        assert kept >= {*COLOURS, "#ffffff"}
        assert len(kept) <= 16
        assert few.size == whole.size
    assert (tmp_path / "few.png").stat().st_size < (tmp_path / "all.png").stat().st_size


def test_texts_are_broken_at_words_but_not_in_formulas() -> None:
    formula = r"$\|\partial L / \partial h_t\|$"
    lines = wrapped(f"the norm {formula} relative to that at the last step", 1.2, 8).split("\n")
    assert len(lines) > 2
    assert any(formula in line for line in lines)
    assert wrapped("short", 3, 8) == "short"
    assert wrapped("one\ntwo", 3, 8) == "one\ntwo"
    assert wrapped("a price of 3 $", 9, 8) == "a price of 3 $"


@pytest.mark.parametrize("low", [1e-90, 1e-7, 0.013, 0.5, 40.0])
@pytest.mark.parametrize("ratio", [1.5, 4.0, 12.0, 200.0, 1e5, 1e30, 1e90])
def test_a_logarithmic_axis_has_few_ticks_that_one_can_read(low: float, ratio: float) -> None:
    for name in ("x", "y"):
        ax = plots.new_figure(3.4, 2.4).subplots()
        ax.plot([1, 2], [1, 2])
        (ax.set_xlim if name == "x" else ax.set_ylim)(low, low * ratio)
        log_axis(ax, name)
        ax.set_title("A title", loc="left")
        ax.set_xlabel("x")
        assert not [line for line in faults(ax.figure) if "nothing is drawn" not in line]
        axis = ax.xaxis if name == "x" else ax.yaxis
        ticks = [t for t in axis.get_majorticklocs() if low <= t <= 1.0001 * low * ratio]
        assert 1 <= len(ticks) <= 14


@pytest.mark.parametrize("colour", COLOURS)
def test_text_is_dark_enough(colour: str) -> None:
    assert 4.5 <= contrast(ink_of(colour)) < max(4.9, contrast(colour) + 0.01)
