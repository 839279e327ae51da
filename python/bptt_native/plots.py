"""Pictures of training and of the gradient on its way back (needs matplotlib: extra "plot").

Colours are those of Okabe & Ito, which differ without colour vision too; every curve also has its
own line style and its name beside it. Nothing here opens a window.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .diagnostics import GradientFlow, Norms
from .history import HistoryRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, PALE = "#222222", "#6b6b6b", "#c9c9c9"
VERMILION, ORANGE, GREEN, BLUE, SKY, PURPLE = (
    "#d55e00", "#e69f00", "#009e73", "#0072b2", "#56b4e9", "#cc79a7"
)  # fmt: skip
STYLES: tuple[tuple[str, Any], ...] = (
    (VERMILION, "-"), (ORANGE, (0, (6, 1.5))), (GREEN, (0, (6, 1.5, 1, 1.5))), (BLUE, "-"),
    (PURPLE, (0, (2, 1))), (SKY, (0, (1, 1))),
)  # fmt: skip
BOX = {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}


def training_figure(
    history: Sequence[HistoryRow], clip_norm: float | None, before: Mapping[str, GradientFlow],
    after: Mapping[str, GradientFlow], references: Mapping[str, float] | None = None,
) -> "Figure":  # fmt: skip
    """Draw a training run and the gradient flow of some networks before and after training.

    Parameters
    ----------
    history : sequence of HistoryRow
    clip_norm : float or None
        The threshold of the global norm.
    before, after : mapping of str to GradientFlow
        By the name of the network.
    references : mapping of str to float, optional
        Bits per character of other models.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``savefig``.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    figure = new_figure(13, 9.6)
    rows = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.3), hspace=0.04)
    above, below = rows[:, 0]
    left, right = above.subplots(1, 2)
    plot_learning(left, history, references)
    plot_gradient_norm(right, history, clip_norm)
    left, right = below.subplots(1, 2)
    plot_gradient_flow(left, before, "before training")
    plot_gradient_flow(right, after, "after training")
    return figure


def new_figure(width: float, height: float) -> "Figure":
    """Give an empty figure in inches, without a window behind it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        text = "bptt_native.plots needs matplotlib: pip install 'bptt_native[plot]'"
        raise ImportError(text) from error
    return Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure; the ending of the name says in which format."""
    figure.savefig(Path(path))


def _dress(ax: "Axes", title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=INK, pad=10)
    ax.set_xlabel(x, fontsize=10.5, color=INK)
    ax.set_ylabel(y, fontsize=10.5, color=INK)
    ax.grid(visible=True, color="#ececec", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    ax.tick_params(colors=GREY, labelsize=9.5)


def _tick(ax: "Axes", at: tuple[float, ...]) -> None:
    """Put plain numbers to a logarithmic axis: these times the powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.yaxis.set_major_locator(LogLocator(subs=at))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def _smooth(values: Norms) -> Norms:
    """Average over a window of a fiftieth of the run, narrower at its ends."""
    reach, n = max(1, len(values) // 100), len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    near = np.minimum(reach, np.minimum(np.arange(n), n - 1 - np.arange(n)))
    smooth: Norms = (sums[np.arange(n) + near + 1] - sums[np.arange(n) - near]) / (2 * near + 1)
    return smooth


def plot_learning(
    ax: "Axes", history: Sequence[HistoryRow], references: Mapping[str, float] | None = None
) -> None:
    """Draw bits per character over the steps: training windows, held-out text, other models."""
    step = np.array([row.step for row in history])
    bits = np.array([row.loss for row in history]) / np.log(2)
    ax.plot(step, bits, color=PALE, linewidth=0.7)
    ax.plot(step, _smooth(bits), color=GREY, linewidth=1.6, label="training window")
    held = [(row.step, row.bpc) for row in history if row.bpc is not None]
    levels = dict(references or {})
    if held:
        x, y = zip(*held, strict=True)
        ax.plot(x, y, "o-", color=BLUE, linewidth=1.8, markersize=4.5, label="held-out text")
        ax.annotate(
            f"{y[-1]:.2f}", (x[-1], y[-1]), (7, 0), textcoords="offset points", va="center",
            color=BLUE, fontsize=11, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    for name, level in levels.items():
        ax.axhline(level, color=VERMILION, linewidth=1.3, linestyle=(0, (5, 2)))
        ax.annotate(
            f"{name}: {level:.2f}", (0.99, level), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", color=VERMILION, fontsize=9.5, bbox=BOX,
        )  # fmt: skip
    values = [*_smooth(bits), *(y for _, y in held), *levels.values()]
    good = [v for v in values if np.isfinite(v) and v > 0] or [1.0]
    ax.set_yscale("log")
    ax.set_ylim(0.93 * min(good), 1.05 * max(good))
    _tick(ax, (1, 1.5, 2, 3, 4, 5, 6, 8))
    ax.legend(frameon=False, fontsize=9.5, labelcolor=INK)
    _dress(ax, "Loss", "step of training", "bits per character, logarithmic")


def plot_gradient_norm(ax: "Axes", history: Sequence[HistoryRow], clip_norm: float | None) -> None:
    """Draw the gradient's global norm before clipping, the threshold, and where it was exceeded."""
    step = np.array([row.step for row in history])
    norm = np.array([row.grad_norm for row in history])
    clipped = np.array([row.clipped for row in history])
    good = np.isfinite(norm) & (norm > 0)
    ax.set_yscale("log")
    for mark, chosen, colour, what in (
        ("o", good & ~clipped, BLUE, "not clipped"), ("^", good & clipped, VERMILION, "clipped")
    ):  # fmt: skip
        ax.plot(
            step[chosen], norm[chosen], mark, color=colour, markersize=3, markeredgewidth=0,
            alpha=0.75, label=f"{what}: {chosen.sum() / max(1, len(step)):.0%} of the steps",
        )  # fmt: skip
    if (~np.isfinite(norm)).any():
        for k, x in enumerate(step[~np.isfinite(norm)]):
            ax.axvline(x, color=INK, linewidth=0.8, label="not finite: skipped" if k == 0 else None)
    if clip_norm is not None:
        ax.axhline(clip_norm, color=INK, linewidth=1.3, linestyle=(0, (5, 2)))
        ax.annotate(
            f"threshold {clip_norm:g}", (0.99, clip_norm), (0, 3),
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", color=INK,
            fontsize=9.5, bbox=BOX,
        )  # fmt: skip
    _tick(ax, (1, 2, 3, 5))
    ax.legend(frameon=False, fontsize=9.5, labelcolor=INK, markerscale=2)
    _dress(ax, "Gradient norm, before clipping", "step of training", "global norm, logarithmic")


def plot_gradient_flow(
    ax: "Axes", flows: Mapping[str, GradientFlow], when: str = "", lowest: float = 1e-10
) -> None:
    """Draw how much of the gradient of a loss at the last step is left, by the distance back.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    flows : mapping of str to GradientFlow
    when : str
        Ends the title.
    lowest : float
        Where the axis ends below, relative to the last step.
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
    _dress(ax, title, x, "||dL/dh||, ||dL/dc||; 1 at the last step")


class _Curve(NamedTuple):
    text: tuple[str, str]
    x: Any
    y: Norms
    colour: str
    reaches_end: bool

    def x_at(self, height: float) -> float:
        """Give where the curve falls to 10^height."""
        return float(np.interp(-height, -np.log10(self.y), self.x))


def _label_curves(ax: "Axes", curves: Sequence[_Curve]) -> None:
    """Write each curve's name where it leaves the picture: to its right, or beside it below."""
    low, high = np.log10(ax.get_ylim())
    end = ax.get_xlim()[1]
    gap = (high - low) / 21  # a line of text
    style: dict[str, Any] = {
        "textcoords": "offset points", "va": "center", "fontsize": 9.5, "fontweight": "bold",
        "annotation_clip": False, "bbox": BOX,
    }  # fmt: skip
    beside = sorted((c for c in curves if c.reaches_end), key=lambda c: float(c.y[-1]))
    places = np.array([np.log10(c.y[-1]) for c in beside])
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    if len(places):
        places -= max(0.0, places[-1] - high + gap / 2)
    for place, curve in zip(places, beside, strict=True):
        xy, coordinates = (1.0, 10**place), ("axes fraction", "data")
        ax.annotate("  ".join(curve.text), xy, (6, 0), coordinates, color=curve.colour, **style)
    below = sorted((c for c in curves if not c.reaches_end), key=lambda c: float(c.x[-1]))
    for k, curve in enumerate(below):
        height = low + gap * (1.2 + 2.1 * k)
        here = curve.x_at(height)
        others = [c.x_at(height) for c in curves if c is not curve]
        right = min((x for x in others if x > here), default=end) - here
        left = here - max((x for x in others if x <= here), default=0.0)
        side, align = (-7, "right") if right < end / 4 <= left else (7, "left")
        xy = (here, 10**height)
        ax.annotate("\n".join(curve.text), xy, (side, 0), ha=align, color=curve.colour, **style)
