"""Faults of figures that an editor would mark, found in the drawn figure."""

from itertools import combinations
from typing import Any

SMALLEST = 7.0  # points


def faults(figure: Any) -> list[str]:
    """Return the faults of a figure, each as a sentence.

    Bars on a logarithmic axis, legends over axes, texts that are cut off, too small or overlap,
    and axes without data, title or labels.
    """
    figure.draw_without_rendering()
    axes = [part for ax in figure.axes for part in (ax, *ax.child_axes)]
    found = []
    for ax in axes:
        name = ax.get_title(loc="left") or ax.get_ylabel() or "axes"
        logarithmic = "log" in (ax.get_xscale(), ax.get_yscale())
        if logarithmic and any(len(bars) for bars in ax.containers if hasattr(bars, "patches")):
            found.append(f"{name}: bars on a logarithmic axis")
        if not ax.has_data():
            found.append(f"{name}: nothing is drawn")
        if ax in figure.axes and not (ax.get_xlabel() and ax.get_title(loc="left")):
            found.append(f"{name}: no title or no label of the x axis")
    legends = [*_legends(figure), *(ax.get_legend() for ax in axes if ax.get_legend())]
    found += [
        f"the legend {[text.get_text() for text in legend.get_texts()]} covers axes"
        for legend in legends for ax in axes
        if _overlap(legend.get_window_extent(), ax.get_window_extent(), 1)
    ]  # fmt: skip
    texts = {**_texts(figure, axes), **_legend_texts(legends)}
    edge = figure.bbox
    for text, box in texts.items():
        if box.x0 < edge.x0 - 1 or box.y0 < edge.y0 - 1 or box.x1 > edge.x1 + 1 or (
            box.y1 > edge.y1 + 1
        ):  # fmt: skip
            found.append(f"{text.get_text()!r} is cut off")
        if text.get_fontsize() < SMALLEST:
            found.append(f"{text.get_text()!r} has {text.get_fontsize()} points")
    found += [
        f"{one.get_text()!r} and {other.get_text()!r} overlap"
        for (one, a), (other, b) in combinations(texts.items(), 2)
        if _overlap(a, b, 1.5)
    ]
    return found


def _legends(figure: Any) -> list[Any]:
    return [*figure.legends, *(legend for part in figure.subfigs for legend in _legends(part))]


def _legend_texts(legends: list[Any]) -> dict[Any, Any]:
    texts = [text for legend in legends for text in (*legend.get_texts(), legend.get_title())]
    return {text: text.get_window_extent() for text in texts if text.get_text()}


def _texts(figure: Any, axes: list[Any]) -> dict[Any, Any]:
    """Return all visible texts outside legends, with their boxes (without leader lines)."""
    from matplotlib.text import Text

    texts = [figure._suptitle] if figure._suptitle else []
    for ax in axes:
        texts += [*ax.texts, ax.title, ax._left_title, ax._right_title]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (low if axis.get_scale() == "log" else high - low)
            texts += [
                tick.label1 for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
                if low - slack <= tick.get_loc() <= high + slack
            ]  # fmt: skip
            texts += [axis.label, axis.offsetText]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return {text: Text.get_window_extent(text) for text in shown}


def _overlap(one: Any, other: Any, slack: float) -> bool:
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    up = min(one.y1, other.y1) - max(one.y0, other.y0)
    return bool(across > slack and up > slack)
