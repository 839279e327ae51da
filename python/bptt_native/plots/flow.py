"""Figures of the gradient's flow back through time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arguments.values import choice, integer, message, refuse_type
from ..diagnostics import GradientFlow, Norms
from ..training.gradient_record import GradientRecord, LayerRecord
from .base import (
    COLOURS,
    DASH,
    TWO_COLUMNS,
    axes_of,
    dress,
    heat_map,
    label_lines,
    legend,
    log_axis,
    new_figure,
    plain_numbers,
)
from .runs import looks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

VERBS = {"vanishing": "vanishes", "exploding": "explodes", "healthy": "survives"}
H, C = r"$\|\partial L/\partial h_t\|$", r"$\|\partial L/\partial c_t\|$"
BACK = "distance back (time steps)"
FACTOR = "× is the factor per time step"


def plot_gradient_flow(
    flows: "Mapping[str, GradientFlow] | GradientFlow", when: str = "", lowest: float = 1e-10, *,
    ax: "Axes | None" = None,
) -> "Axes":  # fmt: skip
    """Draw the norm of the gradient of a loss at the last time step against the distance back.

    A colour is that of a flow. The norm of dL/dc (LSTM) is dashed. The number behind × is the
    factor per time step back. Labels with a sample of the line belong to curves that leave the axes
    at the bottom.

    Parameters
    ----------
    flows : mapping of str to GradientFlow, or GradientFlow
        The flows by name, or one; see `diagnostics.gradient_flow`.
    when : str
        Text at the beginning of the title, such as "before training".
    lowest : float
        The axis ends here or above, relative to the last time step.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        There are no flows.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> from bptt_native.diagnostics import gradient_flow
    >>> flow = gradient_flow(bn.LSTM(3, 4, seed=0), np.ones((9, 2, 3), np.float32))
    >>> ax = plots.plot_gradient_flow(flow)
    >>> [text.get_text()[0] for text in ax.texts]
    ['h', 'c']
    """
    where = "plot_gradient_flow"
    named: Any = {"": flows} if isinstance(flows, GradientFlow) else flows
    if not isinstance(named, Mapping) or not all(
        isinstance(flow, GradientFlow) for flow in named.values()
    ):
        refuse_type(flows, where, "flows", "a GradientFlow, or a mapping from names to them")
    if not named:
        raise ValueError(message(where, "flows", "one flow at least", "none"))
    ax = axes_of(ax, where)
    curves = [curve for k, item in enumerate(named.items()) for curve in _curves(k, *item)]
    shown = np.concatenate([curve.y for curve in curves])
    shown = shown[np.isfinite(shown)]
    positive = shown[shown > 0]
    low = max(lowest, 0.5 * float(positive.min(initial=1.0)))
    ax.set_ylim(low, 2 * float(shown.max(initial=1.0)))
    ax.set_xlim(0, max(1, *(curve.x[-1] for curve in curves)))
    log_axis(ax)
    plain_numbers(ax)
    at_right: list[Line2D] = []
    at_bottom: list[Line2D] = []
    for curve in curves:
        line, reaches = _draw(ax, curve, low)
        (at_right if reaches else at_bottom).append(line)
    at_bottom.sort(key=lambda line: float(np.asarray(line.get_xdata())[-1]))
    label_lines(ax, at_right, leaving=at_bottom)
    has_c = any(flow.c is not None for flow in named.values())
    y = f"{H}, relative to the last step"
    if has_c:
        y = f"{H}, {C},\nrelative to the last step"
    dress(ax, _title(list(named.values()), when), f"{BACK}\n{FACTOR}", y)
    return ax


class _Curve(NamedTuple):
    text: str
    x: Any
    y: Norms
    colour: str
    style: Any


def _curves(number: int, name: str, flow: GradientFlow) -> list[_Curve]:
    """Return the curves of a flow, relative to their first norm."""
    parts: list[tuple[str, Norms, float, Any]] = [
        ("h" if flow.c is not None or not name else "", flow.h, flow.decay, "-")
    ]
    if flow.c is not None:
        parts.append(("c", flow.c, flow.decay_c or np.nan, DASH))
    return [
        _Curve(f"{name} {state}".strip() + f"  ×{decay:.2f}", flow.distance,
               norms / norms[0] if norms[0] > 0 else norms, COLOURS[number % len(COLOURS)], style)
        for state, norms, decay, style in parts
    ]  # fmt: skip


def _draw(ax: "Axes", curve: _Curve, low: float) -> tuple["Line2D", bool]:
    """Draw a curve down to the lower end of the axes; return whether it reaches the right side."""
    seen = curve.y >= low
    end = len(seen) if seen.all() else int(np.argmin(seen)) + 1
    y = np.maximum(curve.y[:end], low / 10)
    (line,) = ax.plot(curve.x[:end], y, color=curve.colour, linestyle=curve.style, linewidth=1.4,
                      label=curve.text)  # fmt: skip
    return line, end == len(seen) and y[-1] >= low


def _title(flows: Sequence[GradientFlow], when: str) -> str:
    verdicts = Counter(flow.verdict for flow in flows)
    verdict, count = verdicts.most_common(1)[0]
    text = f"{when}: {verdict}" if when else f"the gradient {VERBS[verdict]}"
    if count < len(flows):
        text += f" in {count} of {len(flows)}"
    return text[0].upper() + text[1:]


def plot_flow_map(
    run: Any, layer: int = -1, state: str = "h", lowest: float = 1e-8, *, ax: "Axes | None" = None
) -> "Axes":
    """Draw the gradient's flow over training as a heat map, with its horizons as lines.

    Parameters
    ----------
    run : FitResult, str, Path or sequence of GradientRecord
        The result of ``fit`` with ``watch``; the folder of a run, or its ``gradients.jsonl``; or
        the records. Steps before the beginning of shorter sequences stay white.
    layer : int
        Index of the layer; -1 is the top one.
    state : str
        "h", or "c" for an LSTM.
    lowest : float
        The colours end here or above, relative to the last time step.
    ax : matplotlib.axes.Axes, optional
        By default, those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        The run is of another type.
    ValueError
        There are no records, or none of this layer or state.
    OSError
        A file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> from bptt_native.training.watch import Watch
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=2, targets="last")
    >>> x, y = np.ones((5, 8, 1), np.float32), np.zeros(8, np.int64)
    >>> result = model.fit(x, y, epochs=2, watch=Watch(1, say=print))
    >>> plots.plot_flow_map(result).get_xlabel()
    'update'
    """
    where = "plot_flow_map"
    records = looks_of(run, where)
    state = choice(state, {"h": "h", "c": "c"}, where, "state")
    looks = _of_layer(records, layer, where)
    norms = [getattr(look, state) for look in looks]
    if None in norms:
        raise ValueError(message(where, "state", "'h', since the cell has no c", repr(state)))
    ax = axes_of(ax, where)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.full((max(map(len, norms)), len(norms)), np.nan)
        for k, n in enumerate(norms):
            values[: len(n), k] = np.array(n) / n[0]
    updates = [record.step for record in records]
    half = 0.5 * (updates[1] - updates[0] if len(updates) > 1 else 1)
    even = np.arange(updates[0], updates[-1] + 1e-9, 2 * half)
    nearest = np.abs(even[:, None] - np.array(updates)).argmin(axis=1)
    top = float(np.nanmax(np.where(np.isfinite(values), values, 1), initial=1))
    extent = (updates[0] - half, even[-1] + half, -0.5, len(values) - 0.5)
    label = f"{H if state == 'h' else C}, relative to the last step"
    least = float(np.nanmin(np.where(values > 0, values, np.nan), initial=0.1))
    low = max(lowest, 10 ** np.floor(np.log10(least)))
    heat_map(ax, values[:, nearest], extent, label, low=low, high=max(top, 10 * low))
    number = layer % len(records[0].layers) + 1
    verdict, count = Counter(look.verdict for look in looks).most_common(1)[0]
    dress(ax, f"Layer {number}: {verdict} in {count} of {len(looks)} looks", "update", BACK)
    if state == "h":
        _draw_horizons(ax, updates, looks)
    plain_numbers(ax)
    ax.grid(visible=False)
    return ax


def _of_layer(records: Sequence[GradientRecord], layer: int, where: str) -> list[LayerRecord]:
    layers = len(records[0].layers)
    index = integer(layer, where, "layer", -layers, layers - 1)
    return [record.layers[index] for record in records]


def _draw_horizons(ax: "Axes", updates: Sequence[int], looks: Sequence[LayerRecord]) -> None:
    from matplotlib.patheffects import withStroke

    for k, (share, style) in enumerate((("1/e", "-"), ("1 %", DASH))):
        y = [np.nan if (back := look.horizon[k]) is None else back for look in looks]
        if np.isfinite(y).any():
            ax.plot(updates, y, color="white", linewidth=1.1, linestyle=style,
                    label=f"{share} is left",
                    path_effects=[withStroke(linewidth=2.2, foreground="black")])  # fmt: skip
    if ax.lines:
        legend(ax, ncols=2)


def flow_figure(run: Any, layer: int = -1) -> "Figure":
    """Draw the recorded gradient flow of one layer: curves by distance, and a map over training.

    Parameters
    ----------
    run, layer
        As in `plot_flow_map`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError, OSError
        The run cannot be drawn; see `plot_flow_map`.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> from bptt_native.training.watch import Watch
    >>> model = bn.Model("rnn", input_size=1, hidden_size=4, output_size=2, targets="last")
    >>> x, y = np.ones((5, 8, 1), np.float32), np.zeros(8, np.int64)
    >>> result = model.fit(x, y, epochs=2, watch=Watch(1, say=print))
    >>> [ax.get_xlabel().split()[0] for ax in plots.flow_figure(result).axes]
    ['distance', 'update']
    """
    records = looks_of(run, "flow_figure")
    looks = _of_layer(records, layer, "flow_figure")
    chosen = dict.fromkeys((0, len(records) // 2, len(records) - 1))
    flows = {
        f"update {records[k].step:,}": GradientFlow(
            np.arange(len(looks[k].h)), np.array(looks[k].h),
            None if looks[k].c is None else np.array(looks[k].c), 0.0,
        )
        for k in chosen
    }  # fmt: skip
    figure = new_figure(TWO_COLUMNS, 2.9)
    parts: Any = figure.subfigures(1, 2, wspace=0.02)
    left, right = (part.subplots() for part in parts)
    plot_gradient_flow(flows, f"layer {layer % len(records[0].layers) + 1}", 1e-8, ax=left)
    plot_flow_map(records, layer, ax=right)
    return figure
