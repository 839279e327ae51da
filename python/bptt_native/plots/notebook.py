"""The figures that notebooks show below the tables of results."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..diagnostics import Connectivity, FixedPoints, GradientFlow, Spectrum
from ..training.fit import FitResult
from ..training.gradient_record import GradientRecord, Records
from ..training.history import History
from ..training.lr_finder import RangeTest
from .base import new_figure
from .connectivity import plot_connectivity
from .fixed_points import fixed_points_figure
from .flow import flow_figure, plot_gradient_flow
from .lr_finder import plot_lr_finder
from .spectrum import plot_lyapunov
from .training import plot_learning, training_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES = 6  # layers in a figure of the gradient's flow
WIDTH, HEIGHT = 4.6, 2.8  # inches


def _one(draw: Callable[..., Any], thing: Any) -> "Figure":
    """Return a new figure with one panel; it is not pyplot's, which notebooks show themselves."""
    figure = new_figure(WIDTH, HEIGHT)
    draw(thing, ax=figure.subplots())
    return figure


def _flows(flows: dict[str, GradientFlow]) -> "Figure | None":
    chosen = dict(list(flows.items())[:MOST_CURVES])
    if not any(len(flow.h) > 1 and flow.h[0] > 0 for flow in chosen.values()):
        return None
    return _one(plot_gradient_flow, chosen)


def _record(record: GradientRecord) -> "Figure | None":
    flows = {}
    for look in record.layers:
        c = None if look.c is None else np.array(look.c)
        h = np.array(look.h)
        flows[f"layer {look.layer}"] = GradientFlow(np.arange(len(h)), h, c, 0.0)
    return _flows(flows)


def _connectivity(found: Connectivity) -> "Figure | None":
    seen = np.isfinite(found.matrix) & (found.matrix > 0)
    return _one(plot_connectivity, found) if seen.any() else None


# The figure of an object of each class, or None if there is nothing to draw.
FIGURES: dict[type, Callable[[Any], "Figure | None"]] = {
    Connectivity: _connectivity,
    FitResult: training_figure,
    FixedPoints: fixed_points_figure,
    GradientFlow: lambda flow: _flows({"": flow}),
    GradientRecord: _record,
    History: training_figure,
    Records: lambda records: flow_figure(records) if records else None,
    RangeTest: lambda found: _one(plot_lr_finder, found),
    Spectrum: lambda found: _one(plot_lyapunov, found),
}


# The functions behind the methods `plot`.
PLOTS: dict[type, Callable[..., Any]] = {FitResult: plot_learning, RangeTest: plot_lr_finder}


def plot(thing: object, ax: object) -> object:
    """Draw an object whose class has a method `plot` into axes, or those of a new figure."""
    return PLOTS[type(thing)](thing, ax=ax)


def picture_of(thing: object) -> bytes | None:
    """Return the figure of an object as PNG.

    None: there is none for its class, the plot refuses its values, or matplotlib is missing.
    """
    draw = FIGURES.get(type(thing))
    try:
        figure = None if draw is None else draw(thing)
    except (ImportError, ValueError):
        return None
    if figure is None:
        return None
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
