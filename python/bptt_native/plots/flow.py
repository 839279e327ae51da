"""Figures of the gradient's flow back through time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arguments.values import message
from ..diagnostics import GradientFlow, Norms
from ..training.gradient_record import GradientRecord
from .base import BOX, STYLES, dress, heat_map, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_gradient_flow(
    ax: "Axes", flows: Mapping[str, GradientFlow], when: str = "", lowest: float = 1e-10
) -> None:
    """Draw the norm of the gradient of a loss at the last step against the distance back.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    flows : mapping of str to GradientFlow
    when : str
        Text at the end of the title.
    lowest : float
        Lower end of the axis, relative to the last step.
    """
    curves: list[tuple[str, Any, Norms, float | None]] = []
    for name, flow in flows.items():
        h, c = ("", "") if flow.c is None else (" h", " c")
        curves.append((name + h, flow.distance, flow.h, flow.decay))
        if flow.c is not None:
            curves.append((name + c, flow.distance, flow.c, flow.decay_c))
    relative = [norms / norms[0] if norms[0] > 0 else norms for _, _, norms, _ in curves]
    tops = [r[np.isfinite(r)].max(initial=1.0) for r in relative]
    ax.set_yscale("log")
    ax.set_ylim(lowest, 3 * max(tops, default=1.0))
    ends = []
    for k, (name, distance, _, decay) in enumerate(curves):
        left, (colour, style) = relative[k], STYLES[k % len(STYLES)]
        seen = left >= lowest
        end = len(seen) if seen.all() else int(np.argmin(seen)) + 1
        drawn = np.maximum(left[:end], lowest / 10)
        ax.plot(distance[:end], drawn, color=colour, linestyle=style, linewidth=2)
        text = (name, f"×{decay:.2f}")
        ends.append(_Curve(text, distance[:end], drawn, colour, end == len(seen)))
    ax.set_xlim(0, None)
    _label_curves(ax, ends)
    title = "Gradient of the last step's loss" + (f", {when}" if when else "")
    x = "distance back in time (steps); × is the factor per step"
    dress(ax, title, x, "||dL/dh||, ||dL/dc||; 1 at the last step")


class _Curve(NamedTuple):
    text: tuple[str, str]
    x: Any
    y: Norms
    colour: str
    reaches_end: bool

    def x_at(self, height: float) -> float:
        """Return the x at which the curve falls to 10^height."""
        return float(np.interp(-height, -np.log10(self.y), self.x))


def _label_curves(ax: "Axes", curves: Sequence[_Curve]) -> None:
    """Label each curve where it leaves the axes: at the right, or next to it at the bottom."""
    low, high = np.log10(ax.get_ylim())
    end = ax.get_xlim()[1]
    gap = (high - low) / 21  # height of a line of text
    style: dict[str, Any] = {
        "textcoords": "offset points", "va": "center", "fontsize": 9.5, "fontweight": "bold",
        "annotation_clip": False, "bbox": BOX,
    }  # fmt: skip
    at_right = sorted((c for c in curves if c.reaches_end), key=lambda c: float(c.y[-1]))
    places = np.array([np.log10(c.y[-1]) for c in at_right])
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    if len(places):
        places -= max(0.0, places[-1] - high + gap / 2)
    for place, curve in zip(places, at_right, strict=True):
        xy, coordinates = (1.0, 10**place), ("axes fraction", "data")
        ax.annotate("  ".join(curve.text), xy, (6, 0), coordinates, color=curve.colour, **style)
    at_bottom = sorted((c for c in curves if not c.reaches_end), key=lambda c: float(c.x[-1]))
    for k, curve in enumerate(at_bottom):
        height = low + gap * (1.2 + 2.1 * k)
        here = curve.x_at(height)
        others = [c.x_at(height) for c in curves if c is not curve]
        right = min((x for x in others if x > here), default=end) - here
        left = here - max((x for x in others if x <= here), default=0.0)
        side, align = (-7, "right") if right < end / 4 <= left else (7, "left")
        xy = (here, 10**height)
        ax.annotate("\n".join(curve.text), xy, (side, 0), ha=align, color=curve.colour, **style)


def plot_flow_map(
    ax: "Axes", records: Sequence[GradientRecord], layer: int = -1, state: str = "h",
    lowest: float = 1e-8,
) -> None:  # fmt: skip
    """Draw the gradient's flow over training as a heat map, with its horizons as lines.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    records : sequence of GradientRecord
        Records of a run. Steps before the beginning of shorter sequences stay white.
    layer : int
        Index of the layer; -1 is the top one.
    state : str
        "h", or "c" for an LSTM.
    lowest : float
        The colours end here or above, relative to the last step.

    Raises
    ------
    ValueError
        There are no records of this state.
    """
    norms = [getattr(record.layers[layer], state) for record in records]
    if not norms or None in norms:
        expected, got = f"records with the state {state!r}", "others" if norms else "none"
        raise ValueError(message("plot_flow_map", "records", expected, got))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.full((max(map(len, norms)), len(norms)), np.nan)
        for k, n in enumerate(norms):
            values[: len(n), k] = np.array(n) / n[0]
    steps = [record.step for record in records]
    half = 0.5 * (steps[1] - steps[0] if len(steps) > 1 else 1)
    even = np.arange(steps[0], steps[-1] + 1e-9, 2 * half)
    nearest = np.abs(even[:, None] - np.array(steps)).argmin(axis=1)
    top = float(np.nanmax(np.where(np.isfinite(values), values, 1), initial=1))
    extent = (steps[0] - half, even[-1] + half, -0.5, len(values) - 0.5)
    label = f"||dL/d{state}||, 1 at the last step"
    least = float(np.nanmin(np.where(values > 0, values, np.nan), initial=0.1))
    low = max(lowest, 10 ** np.floor(np.log10(least)))
    heat_map(ax, values[:, nearest], extent, label, low=low, high=max(top, 10 * low))
    if state == "h":
        for k, (share, style) in enumerate((("1/e", "-"), ("1 %", (0, (4, 2))))):
            back = [record.layers[layer].horizon[k] for record in records]
            y = [np.nan if b is None else b for b in back]
            ax.plot(steps, y, color="black", linewidth=3.2, alpha=0.6)
            ax.plot(steps, y, color="white", linewidth=1.7, linestyle=style, label=f"{share} left")
        legend(ax, facecolor="#555555", labelcolor="white", loc="upper right")
    number = layer % len(records[0].layers) + 1
    dress(ax, f"Gradient of the last step's loss, layer {number}", "update",
          "distance back in time (steps)")  # fmt: skip
    ax.grid(visible=False)


def flow_figure(records: Sequence[GradientRecord], layer: int = -1) -> "Figure":
    """Draw the recorded gradient flow of one layer: curves by distance, and a map over training.

    Parameters
    ----------
    records : sequence of GradientRecord
        Records of a run: ``FitResult.gradients``, or the result of
        ``gradient_record.read_records``.
    layer : int
        Index of the layer; -1 is the top one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        There are no records.
    """
    figure = new_figure(13, 5.2)
    left, right = figure.subplots(1, 2)
    plot_flow_map(right, records, layer)
    chosen = {
        f"update {records[k].step}": records[k].layers[layer] for k in (0, len(records) // 2, -1)
    }
    flows = {
        name: GradientFlow(
            np.arange(len(look.h)), np.array(look.h),
            None if look.c is None else np.array(look.c), 0.0,
        )
        for name, look in chosen.items()
    }  # fmt: skip
    plot_gradient_flow(left, flows, "over training", lowest=1e-8)
    return figure
