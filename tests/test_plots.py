"""Pictures: what they show, read back from the figure, and that they can be written anywhere."""

import subprocess
import sys

import numpy as np
import pytest

from bptt_native.diagnostics import GradientFlow
from bptt_native.history import HistoryRow

pytest.importorskip("matplotlib")

from bptt_native import plots


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
    figure = plots.training_figure(rows, 0.4, flows(), flows(scale=7.0), {"order-4 n-gram": 1.9})
    loss, norm, before, after = figure.axes
    for ax in figure.axes:
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_title(loc="left")
    assert "bits per character" in loss.get_ylabel()
    assert "order-4 n-gram: 1.90" in texts(loss)
    assert f"{rows[-1].bpc:.2f}" in texts(loss)

    share = sum(r.clipped for r in rows) / len(rows)
    labels = [t.get_text() for t in norm.get_legend().get_texts()]
    assert f"clipped: {share:.0%} of the steps" in labels
    assert "threshold 0.4" in texts(norm)
    marked = next(line for line in norm.lines if line.get_label().startswith("clipped"))
    assert set(marked.get_xdata()) == {r.step for r in rows if r.clipped}
    assert norm.get_yscale() == before.get_yscale() == after.get_yscale() == "log"

    assert before.get_ylim() == after.get_ylim()
    for ax in (before, after):
        names = texts(ax)
        for name in ("sigmoid RNN", "tanh RNN", "GRU", "LSTM h", "LSTM c"):
            assert name in names
        for decay in ("0.13", "0.50", "0.90", "0.93", "0.95"):
            assert decay in names
        looks = {(line.get_color(), str(line.get_linestyle())) for line in ax.lines}
        assert len(looks) == len(ax.lines) == 5  # told apart by colour and by line
        for line in ax.lines:
            assert line.get_ydata()[0] == pytest.approx(1)  # relative to the last step

    for name in ("a.png", "a.svg", "a.pdf"):
        plots.save_figure(figure, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_texts_stay_apart_and_inside(tmp_path):
    """No label of a curve covers another one, and none is cut off."""
    same = GradientFlow(np.arange(60), 0.9 ** np.arange(60), None, 1e-30)
    for given in (flows(), {f"network {k}": same for k in range(5)}, flows(T=300)):
        figure = plots.training_figure(history(), 0.4, given, given)
        plots.save_figure(figure, tmp_path / "a.png")
        for ax in figure.axes[2:]:
            boxes = [t.get_window_extent() for t in ax.texts if t.get_text()]
            assert len(boxes) >= 5
            for k, box in enumerate(boxes):
                assert figure.bbox.x0 <= box.x0
                assert box.x1 <= figure.bbox.x1
                assert not any(box.overlaps(other) for other in boxes[:k])


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
