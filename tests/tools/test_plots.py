"""Plots: their contents, read back from the figure, and their files."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.diagnostics import GradientFlow
from bptt_native.training.gradient_record import GradientRecord, LayerRecord
from bptt_native.training.history import BITS, HistoryRow, unit_of

pytest.importorskip("matplotlib")

from bptt_native import plots
from bptt_native.plots.labels import spread
from helpers.figures import faults


def history(n=200):
    rng = np.random.default_rng(0)
    return [
        HistoryRow(
            step=k + 1, epoch=1, loss=float(1 + 3 * np.exp(-k / 40)),
            valid_loss=np.log(2) * (2.5 - k / n) if k % 20 == 19 else None, valid_accuracy=None,
            grad_norm=float(norm := np.exp(rng.normal(-1.2, 0.3))), clipped=bool(norm > 0.4),
            skipped=False, lr=1e-3, targets_per_s=1e5, seconds=k / 10,
        )
        for k in range(n)
    ]  # fmt: skip


def flows(T=60, scale=1.0):
    d = np.arange(T)
    floor = 1e-30
    return {
        "sigmoid RNN": GradientFlow(d, scale * 0.13**d, None, floor),
        "tanh RNN": GradientFlow(d, scale * 0.5**d, None, floor),
        "GRU": GradientFlow(d, scale * 0.9**d, None, floor),
        "LSTM": GradientFlow(d, scale * 0.93**d, scale * 0.95**d, floor),
    }


def texts(ax):
    return " | ".join(t.get_text() for t in ax.texts)


def test_the_figure_shows_the_run(tmp_path):
    rows = history()
    given = (rows, 0.4, flows(), flows(scale=7.0), {"order-4 n-gram": 1.9})
    figure = plots.training_figure(*given, BITS)
    loss, norm, before, after = figure.axes
    for ax in figure.axes:
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_title(loc="left")
    assert "bits per character" in loss.get_ylabel()
    assert "order-4 n-gram: 1.90" in texts(loss)
    assert f"{rows[-1].bpc:.2f}" in texts(loss)

    share = sum(r.clipped for r in rows) / len(rows)
    assert f"Clipped in {100 * share:.0f} % of the updates" == norm.get_title(loc="left")
    assert "threshold 0.4" in texts(norm)
    marked = next(line for line in norm.lines if line.get_label() == "clipped")
    assert set(marked.get_xdata()) == {r.step for r in rows if r.clipped}
    assert norm.get_yscale() == before.get_yscale() == after.get_yscale() == "log"

    for ax in (before, after):
        names = texts(ax)
        for label in ("sigmoid RNN  ×0.13", "tanh RNN  ×0.50", "GRU  ×0.90", "LSTM h  ×0.93"):
            assert label in names
        assert "LSTM c  ×0.95" in names
        looks = {(line.get_color(), str(line.get_linestyle())) for line in ax.lines}
        assert len(looks) == len(ax.lines) == 5
        h, c = ax.lines[-2:]
        assert h.get_color() == c.get_color()  # the colour is the net, the line style h or c
        for line in ax.lines:
            assert line.get_ydata()[0] == pytest.approx(1)  # relative to the last step

    for name in ("a.png", "a.svg", "a.pdf"):
        plots.save_figure(figure, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def alike(n=5, T=60):
    """Return flows whose curves end close to each other."""
    d = np.arange(T)
    return {f"network {k}": GradientFlow(d, (0.9 + 0.004 * k) ** d, None, 1e-30) for k in range(n)}


def test_labels_stay_apart_and_inside():
    """No label of a curve covers another one, and none is cut off."""
    for given in (flows(), alike(), flows(T=300)):
        figure = plots.training_figure(history(), 0.4, given, given)
        assert faults(figure) == []
        for ax in figure.axes[2:]:
            assert len([t for t in ax.texts if t.get_text()]) >= 5


def test_curves_that_coincide_share_a_label_that_says_so():
    same = GradientFlow(np.arange(60), 0.9 ** np.arange(60), None, 1e-30)
    ax = plots.plot_gradient_flow({"first": same, "second": same, "other": flows()["LSTM"]})
    assert faults(ax.figure) == []
    assert " ".join(ax.texts[0].get_text().split()) == "first ×0.90 and second ×0.90 coincide"
    assert len(ax.texts) == 3


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_spread_as_little_as_possible(seed):
    rng = np.random.default_rng(seed)
    wanted, tall = 10 * rng.random(6), 0.5 + rng.random(6)
    places = spread(wanted, tall, -100, 100)
    order = np.argsort(wanted)
    gaps, needed = np.diff(places[order]), (tall[order][1:] + tall[order][:-1]) / 2
    assert (gaps >= needed - 1e-9).all()
    for k in range(1, 6):  # moving the labels above or below a gap that is not wider costs more
        for move in (1e-3, -1e-3):
            moved = places[order].copy()
            (moved[k:] if move > 0 else moved[:k])[:] += move
            assert ((moved - wanted[order]) ** 2).sum() > ((places - wanted) ** 2).sum() - 1e-12
    np.testing.assert_allclose(spread(places, tall, -100, 100), places)
    inside = spread(wanted, tall, 0.0, tall.sum())
    np.testing.assert_allclose([(inside - tall / 2).min(), (inside + tall / 2).max()],
                               [0, tall.sum()], atol=1e-9)  # fmt: skip


def test_runs_that_went_wrong_can_be_drawn(tmp_path):
    rows = [
        HistoryRow(1, 1, 2.0, None, None, float("inf"), False, True, 1e-3, 1.0, 0.1),
        HistoryRow(2, 1, float("nan"), None, None, float("nan"), False, True, 1e-3, 1.0, 0.2),
    ]
    nothing = GradientFlow(np.arange(5), np.zeros(5), None, 1e-30)
    blown = GradientFlow(np.arange(5), 3.0 ** np.arange(5), None, 1e-30)
    figure = plots.training_figure(rows, None, {"zero": nothing}, {"explodes": blown})
    plots.save_figure(figure, tmp_path / "a.png")
    assert figure.axes[3].get_ylim()[1] > 81


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'bptt_native\[plot\]'"):
        plots.training_figure(history(), None, flows(), flows())


def test_no_window_and_no_global_state(tmp_path):
    code = (
        "import sys; from bptt_native import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figure = plots.new_figure(3, 2); figure.subplots()\n"
        "plots.save_figure(figure, sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)


# ----------------------------------------------------------------- records of watch and diagnostics


def look(h, c=None, horizon=(3, 9)):
    return LayerRecord(
        0, list(h), c and list(c), 0.9, horizon, "healthy", {"i": 0.1}, {"i": 0.5}, 1
    )


def records(lengths=(12, 12, 12)):
    return [
        GradientRecord(10 * k, T, 4, [look(0.1 * (0.5 + 0.2 * k) ** np.arange(T))])
        for k, T in enumerate(lengths)
    ]


def test_the_flow_over_training():
    figure = plots.flow_figure(records())
    assert faults(figure) == []
    lines, heat = figure.axes
    (image,) = heat.images
    values = image.get_array()
    for k in range(3):
        np.testing.assert_allclose(values[:, k], np.maximum(1e-8, (0.5 + 0.2 * k) ** np.arange(12)))
    assert image.get_extent() == [-5, 25, -0.5, 11.5]
    horizons = [line for line in heat.lines if line.get_label().endswith("is left")]
    assert [set(line.get_ydata()) for line in horizons] == [{3}, {9}]
    assert "update 0" in texts(lines)
    assert "×0.90" in texts(lines)
    shorter = plots.flow_figure(records((12, 9, 12))).axes[1].images[0].get_array()
    assert shorter.mask[9:, 1].all()
    assert shorter.mask.sum() == 3
    with pytest.raises(ValueError, match="argument 'state': expected 'h', since the cell has no c"):
        plots.plot_flow_map(records(), state="c")
    with pytest.raises(ValueError, match="got none"):
        plots.plot_flow_map([])


def test_the_history_of_clipping():
    rows = [
        replace(row, clipped_norm=min(row.grad_norm, 0.3), clip_angle=0.1 * row.clipped)
        for row in history()
    ]
    figure = plots.clipping_figure(rows, 0.4)
    assert faults(figure) == []
    norm, quantiles, angle = figure.axes
    after = next(line for line in norm.lines if line.get_label() == "after clipping")
    assert max(after.get_ydata()) == 0.3
    median = next(line for line in quantiles.lines if line.get_label() == "median")
    assert median.get_ydata()[-1] == pytest.approx(np.median([r.grad_norm for r in rows]))
    assert max(angle.lines[0].get_ydata()) == pytest.approx(np.degrees(0.1))
    assert faults(plots.clipping_figure(history())) == []  # an old history


def test_eigenvalues_and_lyapunov_exponents():
    turn = np.array([[0.0, -0.5], [0.5, 0.0]])
    figure = plots.spectrum_figure({"turn": turn, "given": np.array([2 + 1j])}, {"net": [-2, 0.5]})
    assert faults(figure) == []
    plane, spectrum = figure.axes
    circle, first, second = plane.lines
    assert circle.get_zorder() > max(first.get_zorder(), second.get_zorder())
    np.testing.assert_allclose(np.hypot(*circle.get_data()), 1)
    np.testing.assert_allclose(sorted(first.get_ydata()), [-0.5, 0.5], rtol=1e-12)
    assert second.get_xdata() == [2]
    assert "turn: largest modulus 0.5" in [t.get_text() for t in plane.get_legend().get_texts()]
    assert list(spectrum.lines[1].get_ydata()) == [0.5, -2]


@pytest.mark.parametrize(("cell", "gate"), [("lstm", "f"), ("gru", "z"), ("rnn", "h")])
def test_gates(cell, gate):
    net = {"lstm": bn.LSTM, "gru": bn.GRU, "rnn": bn.RNN}[cell](3, 5)
    _, _, tape = net.forward(np.random.default_rng(0).standard_normal((9, 2, 3)).astype(np.float32))
    figure = plots.gates_figure(tape, gate, sample=1, text="ab\n d efg")
    assert faults(figure) == []
    above, below = figure.axes
    values = tape.states() if cell == "rnn" else tape.gates()[gate]
    np.testing.assert_allclose(
        next(
            line for line in above.lines if line.get_label().endswith(gate)
        ).get_ydata(), values[0, :, 1].mean(axis=1), rtol=1e-6,
    )  # fmt: skip
    low, high = below.images[0].get_clim()
    assert (low + high) / 2 == (0 if cell == "rnn" else 0.5)  # white is the middle
    shown = below.images[0].get_array()
    np.testing.assert_array_equal(np.sort(shown, axis=0), np.sort(values[0, :, 1].T, axis=0))
    assert [t.get_text() for t in below.get_xticklabels()] == list("ab·␣d␣efg")
    with pytest.raises(ValueError, match="argument 'gate': expected one of"):
        plots.gates_figure(tape, "q")


def test_connectivity():
    matrix = np.tril(np.exp(-np.arange(5)[:, None] + np.arange(5)))
    figure = plots.connectivity_figure(matrix, "abc de")
    assert faults(figure) == []
    image = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(image.filled(0), matrix)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == list("abc␣d")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list("bc␣de")


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_net_that_passes_nothing_can_be_drawn(tmp_path, value):
    matrix = np.full((3, 4), value)
    plots.save_figure(plots.connectivity_figure(matrix), tmp_path / "nothing.png")
    matrix[1, 1] = 0.5
    figure = plots.connectivity_figure(matrix)
    assert figure.axes[0].images[0].norm.vmax == 0.5


def test_a_run_without_updates_is_refused():
    for draw in (plots.plot_learning, plots.plot_gradient_norm, plots.clipping_figure):
        with pytest.raises(ValueError, match=r"argument 'run': expected .* got no update"):
            draw([])


@pytest.mark.parametrize("shape", [(0, 0), (3,), (2, 3, 4)])
def test_what_is_no_matrix_is_refused(shape):
    expected = r"plot_connectivity: argument 'matrix': expected shape \[T_out, T_in\]"
    with pytest.raises(ValueError, match=expected):
        plots.connectivity_figure(np.ones(shape))


@pytest.mark.parametrize(
    ("options", "of", "name", "factor"),
    [
        ({"loss": "mse"}, "", "mean squared error", 1.0),
        ({"loss": "mse", "reduction": "sum"}, "", "summed squared error", 1.0),
        ({"loss": "mse"}, "standardised", "mean squared error of standardised values", 1.0),
        ({"loss": "binary_cross_entropy"}, "", "binary cross-entropy, nats", 1.0),
        ({}, "", "cross-entropy, nats", 1.0),
        ({}, "text", "bits per character", 1 / np.log(2)),
    ],
)
def test_a_loss_is_drawn_in_its_own_unit(options, of, name, factor):
    model = bn.Model("rnn", input_size=1, hidden_size=2, output_size=2, **options)
    rows = history()
    ax = plots.plot_learning(rows, unit=unit_of(model, of))
    assert " ".join(ax.get_ylabel().split()) == f"{name}, logarithmic"
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [r.loss * factor for r in rows])
    held = next(line for line in ax.lines if line.get_label().startswith("held-out"))
    measured = [r.valid_loss * factor for r in rows if r.valid_loss is not None]
    np.testing.assert_allclose(held.get_ydata(), measured)
    ax = plots.plot_learning(rows)  # without a name: as they were recorded
    assert ax.get_ylabel() == "loss, logarithmic"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [r.loss for r in rows])
