"""Results as HTML in notebooks: the figures below their tables."""

import base64
import re
import sys

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.training.history import History

matplotlib = pytest.importorskip("matplotlib")
notebook = pytest.importorskip("bptt_native.plots.notebook")


def picture(thing: object) -> bytes | None:
    found = re.search(r'<img alt="figure" src="data:image/png;base64,([^"]+)"', thing._repr_html_())
    return None if found is None else base64.b64decode(found[1])


@pytest.fixture(scope="module")
def results() -> dict[type, object]:
    """A result of each class that has a figure."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 16, 2)).astype("f4"), rng.integers(0, 3, 16)
    model = bn.Model("lstm", input_size=2, hidden_size=4, output_size=3, targets="last")
    run = model.fit(x, y, epochs=4, validation=(x, y), watch=bn.Watch(2, say=print))
    layer = bn.GRU(2, 4)
    tape = layer.forward(x)[2]
    d = bn.diagnostics
    found = [run, run.rows, run.gradients, run.gradients[-1], d.gradient_flow(model, x, y),
             d.connectivity(layer, x), d.lyapunov(layer, tape),
             d.fixed_points(layer, starts=tape, count=9)]  # fmt: skip
    return {type(thing): thing for thing in found}


def test_each_class_with_a_figure_is_shown_with_it(results: dict[type, object]) -> None:
    assert results.keys() <= notebook.FIGURES.keys()
    for kind, thing in results.items():
        png = picture(thing)
        assert png is not None, kind
        assert png.startswith(b"\x89PNG\r\n"), kind
        assert len(png) < 150_000, kind
        assert "<table>" in thing._repr_html_(), kind


def test_without_matplotlib_there_is_the_table(
    results: dict[type, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ["matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))]:
        monkeypatch.setitem(sys.modules, name, None)
    for kind, thing in results.items():
        assert picture(thing) is None, kind
        assert "<table>" in thing._repr_html_(), kind


def test_pyplot_does_not_show_the_figures_too(results: dict[type, object]) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    for thing in results.values():
        thing._repr_html_()
    assert pyplot.get_fignums() == before


def test_values_that_cannot_be_drawn() -> None:
    nan, at = np.full(5, np.nan), np.arange(5)
    d = bn.diagnostics
    for thing in (
        d.GradientFlow(at, nan, None, 0.0), d.GradientFlow(at[:1], np.ones(1), None, 0.0),
        d.Spectrum(np.zeros(0), None, 3, 2), History([]),
        d.Connectivity(np.full((3, 3), np.nan), at[:3], at[:3]),
        d.Connectivity(np.zeros((3, 3)), at[:3], at[:3]),
    ):  # fmt: skip
        assert picture(thing) is None
        assert thing._repr_html_().endswith("</div>")
    for thing in (
        d.GradientFlow(at, np.array([1, 0.1, np.nan, np.inf, 0]), nan, 0.0),
        d.Connectivity(np.diag([1, np.nan, np.inf]), at[:3], at[:3]),
        d.Spectrum(np.array([0.5, np.nan, -np.inf]), None, 3, 3),
    ):  # fmt: skip
        assert "<table>" in thing._repr_html_()
