"""The style of all figures: sizes, colours, axes, legends, labels of lines and heat maps.

The colours are those of Okabe & Ito, which can be distinguished without colour vision. Lines also
differ in line style or have a label at their end, so that they can be told apart in grey. The
colour maps are viridis for positive numbers and a diverging one for numbers with a middle.
"""

import io
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.values import refuse_type
from ..diagnostics import Norms
from ..runtime.files import replace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.2  # widths of figures in inches, as journals print them
DPI = 140  # with it the pages show a figure of two columns pixel by pixel
TITLE, LABEL, NOTE = 8.5, 8.0, 7.5  # sizes of titles, of axis labels, and of ticks and notes

INK, GREY, PALE = "#222222", "#5f5f5f", "#c9c9c9"
VERMILION, ORANGE, GREEN, BLUE, SKY, PURPLE = (
    "#d55e00", "#e69f00", "#009e73", "#0072b2", "#56b4e9", "#cc79a7"
)  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
"""The colours of the curves of a figure, in their order."""
DASH, DOT, DASH_DOT = (0, (4, 1.4)), (0, (1, 1.2)), (0, (5, 1.4, 1, 1.4))
LINES: tuple[Any, ...] = ("-", DASH, DASH_DOT, DOT, (0, (8, 2)), (0, (2, 1.2)))
"""The line styles of the curves of a figure, in their order."""
STYLES: tuple[tuple[str, Any], ...] = tuple(zip(COLOURS, (*LINES, "-"), strict=True))
"""A colour and a line style for each curve. Either of them distinguishes most curves."""
REFERENCE: Mapping[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (4, 2))}
"""Style of lines that are not measurements."""


def new_figure(width: float = TWO_COLUMNS, height: float = 2.6) -> "Figure":
    """Return an empty figure, without a window.

    Parameters
    ----------
    width, height : float
        The size in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> from bptt_native import plots
    >>> figure = plots.new_figure(plots.ONE_COLUMN, 2.4)
    >>> axes = figure.subplots()
    >>> figure.get_size_inches().tolist()
    [3.5, 2.4]
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        text = "bptt_native.plots needs matplotlib: pip install 'bptt_native[plot]'"
        raise ImportError(text) from error
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def axes_of(ax: "Axes | None", where: str, width: float = ONE_COLUMN, height: float = 2.8) -> Any:
    """Return given axes, or those of a new figure.

    If the caller has imported matplotlib.pyplot, the new figure is one of pyplot's, so that
    ``pyplot.show()`` shows it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
    where : str
        The function, for messages.
    width, height : float
        The size of a new figure in inches.
    """
    if ax is None:
        figure, pyplot = new_figure(width, height), sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            figure = pyplot.figure(
                figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white"
            )
        return figure.subplots()
    if not hasattr(ax, "plot") or not hasattr(ax, "set_xlabel"):
        refuse_type(ax, where, "ax", "matplotlib axes, or None for a new figure")
    return ax


def save_figure(figure: "Figure", path: str | Path, *, colours: int | None = None) -> None:
    """Write a figure in the format of the file name's suffix.

    An existing file is replaced once the new one is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        A name that ends in .png, .svg or .pdf; without a suffix it is written as PNG.
    colours : int, optional
        For PNG, the largest number of colours, at most 256, which makes the file much smaller. The
        most frequent ones are kept, others are replaced by close ones. The default are all.

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bptt_native import plots
    >>> figure = plots.new_figure(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plots.save_figure(figure, f"{folder}/empty.svg")
    ...     Path(f"{folder}/empty.svg").read_text()[:5]
    '<?xml'
    """
    picture, kind = io.BytesIO(), Path(path).suffix[1:].lower() or "png"
    figure.savefig(picture, format=kind)
    if colours is not None and kind == "png":
        picture = _with_fewer_colours(picture, colours)
    replace(path, picture.getvalue(), "save_figure")


def _with_fewer_colours(picture: io.BytesIO, colours: int) -> io.BytesIO:
    """Return a PNG with at most ``colours`` colours, all of them colours of the given one."""
    from PIL import Image  # a dependency of matplotlib

    pixels = np.asarray(Image.open(picture).convert("RGB"))
    found, place, counts = np.unique(
        pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    palette = _palette(found[np.argsort(-counts, kind="stable")].astype(np.int32), colours)
    distances = ((found[:, None].astype(np.int32) - palette) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1).astype(np.uint8)
    image = Image.fromarray(nearest[place.reshape(pixels.shape[:2])], "P")
    image.putpalette(palette.astype(np.uint8).tobytes())
    small = io.BytesIO()
    image.save(small, format="PNG", optimize=True)
    return small


def _palette(found: Any, most: int) -> Any:
    """Return colours such that each of ``found`` is as close as possible to one of them.

    They are the first ones, but those that are close to an earlier one are left out.
    """
    for reach in range(0, 512, 4):
        chosen = np.empty((most, 3), np.int32)
        number = 0
        for colour in found:
            if number and (((chosen[:number] - colour) ** 2).sum(axis=1) <= reach**2).any():
                continue
            if number == most:
                break
            chosen[number] = colour
            number += 1
        else:
            return chosen[:number]
    return found[:most]


def dress(ax: "Axes", title: str, x: str, y: str) -> None:
    """Set the title and the labels of axes, add a grid, and remove needless lines.

    Title and labels are wrapped at words to the sides of the axes.
    """
    across, up = inches_of(ax)
    look: Any = {"fontsize": TITLE, "fontweight": "bold", "color": INK, "pad": 6}
    ax.set_title(wrapped(title, 0.98 * across, TITLE, "bold"), loc="left", **look)
    ax.set_xlabel(wrapped(x, 0.98 * across, LABEL), fontsize=LABEL, color=INK)
    ax.set_ylabel(wrapped(y, 0.9 * up, LABEL), fontsize=LABEL, color=INK)
    ax.grid(visible=True, color="#ececec", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    ax.tick_params(which="both", colors=GREY, labelsize=NOTE)
    ax.tick_params(which="minor", length=1.5)
    ax.tick_params(which="major", length=3)


def inches_of(ax: "Axes") -> tuple[float, float]:
    """Return the width and the height of axes in inches, before the layout makes them larger."""
    place, whole, dpi = ax.get_position(), ax.figure.bbox, ax.figure.dpi
    return place.width * whole.width / dpi, place.height * whole.height / dpi


def wrapped(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """Break the lines of a text at words, but not within formulas, to a width.

    Parameters
    ----------
    text : str
    inches : float
        The width.
    size, weight : float, str
        The size of the font in points, and its weight.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font, measure = FontProperties(size=size, weight=weight), TextToPath()

    def width(line: str) -> float:
        math = "$" in line and line.count("$") % 2 == 0
        return float(measure.get_text_width_height_descent(line, font, math)[0])

    def broken(line: str, points: float) -> list[str]:
        lines = [""]
        for word in re.findall(r"(?:\$[^$]*\$|\S)+", line):
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and width(longer) > points:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    result: list[str] = []
    for line in text.split("\n"):
        lines = broken(line, 72 * inches)
        for share in np.arange(1, 0.5, -0.05) if len(lines) > 1 else ():  # lines of like lengths
            shorter = broken(line, 72 * inches * share)
            if len(shorter) == len(lines):
                lines = shorter
        result += lines
    return "\n".join(result)


def log_axis(ax: "Axes", name: str = "y") -> None:
    """Make an axis logarithmic, with plain numbers where they are short, else powers of ten.

    Limits that differ from those of the data have to be set before.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    name : str
        "x" or "y".
    """
    from matplotlib.ticker import (
        FixedLocator,
        FuncFormatter,
        LogLocator,
        NullFormatter,
        NullLocator,
    )

    axis: Any = ax.xaxis if name == "x" else ax.yaxis
    (ax.set_xscale if name == "x" else ax.set_yscale)("log")
    low, high = sorted(ax.get_xlim() if name == "x" else ax.get_ylim())
    decades, plain = np.log10(high / low), low >= 5e-4 and high <= 2e6
    if decades <= 2.5:
        places: dict[float, tuple[float, ...]] = {
            0.35: (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
            0.75: (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), 1.3: (1, 2, 3, 5), 2.5: (1, 3),
        }  # fmt: skip
        if not plain:
            places = {0.35: (1, 1.5, 2, 3, 4, 5, 7), 0.8: (1, 2, 5), 1.3: (1, 3), 2.5: (1,)}
        subs = next(some for most, some in places.items() if decades <= most)
        axis.set_major_locator(LogLocator(subs=subs, numticks=15))
    else:
        step = next(step for step in (1, 2, 3, 5, 10, 20, 50, 100) if decades <= 6.5 * step)
        first = int(np.ceil(np.log10(low) / step - 1e-9))
        last = int(np.floor(np.log10(high) / step + 1e-9))
        axis.set_major_locator(FixedLocator([10.0 ** (step * k) for k in range(first, last + 1)]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _written(value, plain)))
    axis.set_minor_locator(LogLocator(subs=range(2, 10)) if 1.3 < decades < 8 else NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _written(value: float, plain: bool) -> str:
    """Return a tick of a logarithmic axis as a number or as a multiple of a power of ten."""
    if plain or value <= 0:
        return f"{value:,.10g}"
    factor, power = f"{value:.6e}".split("e")
    times = "" if float(factor) == 1 else rf"{float(factor):g}\times"
    return rf"${times}10^{{{int(power)}}}$"


def few_ticks(axis: Any, bins: int = 5, *, integer: bool = False) -> None:
    """Set at most ``bins`` intervals on a linear axis; with ``integer`` only whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10], integer=integer))


def plain_numbers(ax: "Axes") -> None:
    """Write large numbers on a linear x axis with commas, as in 40,000, and not too many."""
    from matplotlib.ticker import FuncFormatter

    few_ticks(ax.xaxis, max(2, round(inches_of(ax)[0] / 0.65)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def smooth(values: Norms) -> Norms:
    """Average over a window of a fiftieth of the run, narrower at its ends."""
    reach, n = max(1, len(values) // 100), len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    near = np.minimum(reach, np.minimum(np.arange(n), n - 1 - np.arange(n)))
    mean: Norms = (sums[np.arange(n) + near + 1] - sums[np.arange(n) - near]) / (2 * near + 1)
    return mean


def legend(ax: "Axes", **options: Any) -> None:
    """Add a legend below axes and their label, where it covers no data; after `dress`.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    **options
        Further options of ``Axes.legend``, such as ``ncols``.
    """
    from matplotlib.transforms import ScaledTranslation

    points = 29 + 1.2 * LABEL * ax.get_xlabel().count("\n")
    below = ax.transAxes + ScaledTranslation(0, -points / 72, ax.figure.dpi_scale_trans)
    look = {
        "loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": below, "frameon": False,
        "fontsize": NOTE, "borderaxespad": 0, "borderpad": 0, "handlelength": 2.4,
        "columnspacing": 1.4, "labelcolor": INK,
    }  # fmt: skip
    ax.legend(**{**look, **options})


def figure_legend(figure: "Figure", lines: Sequence[Any], ncols: int, note: str = "") -> None:
    """Add a legend below all axes of a figure, for lines that have labels, with a note above it."""
    inches = figure.bbox.width / figure.dpi
    made = figure.legend(
        handles=list(lines), loc="outside lower center", ncols=ncols, frameon=False,
        fontsize=NOTE, handlelength=3, labelcolor=INK, columnspacing=1.6, title_fontsize=NOTE,
        title=wrapped(note, 0.95 * inches, NOTE) or None,
    )  # fmt: skip
    made.get_title().set_color(GREY)


def ink_of(colour: str) -> str:
    """Return a colour darkened until text in it has a contrast of 4.5 with white (WCAG 2)."""
    parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    while True:
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        if 1.05 / (float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05) >= 4.5:
            return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
        parts *= 0.96


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def label_lines(
    ax: "Axes", lines: Sequence["Line2D"], levels: Mapping[float, tuple[str, str]] | None = None,
    leaving: Sequence["Line2D"] = (),
) -> None:  # fmt: skip
    """Label lines at their right ends, outside the axes.

    Labels that would overlap are moved apart and get leader lines. Lines that coincide share a
    label that says so. The limits of the axes have to be set before.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    lines : sequence of matplotlib.lines.Line2D
        Their labels are written; lines without a point within the limits are left out.
    levels : mapping of float to (str, str), optional
        Text and colour of further labels, by their height.
    leaving : sequence of matplotlib.lines.Line2D
        Lines that leave the axes at the bottom, from the left to the right. Their labels are below
        the others, with a sample of the line.
    """
    from .labels import End, place_labels

    groups: list[list[Line2D]] = []
    for line in lines:
        same = next((group for group in groups if _coincide(ax, group[0], line)), None)
        if same is None:
            groups.append([line])
        else:
            same.append(line)
    ends = []
    for group in groups:
        end = _end(ax, group[0])
        if end is not None:
            text = listed([str(line.get_label()) for line in group])
            if len(group) > 1:
                text = textwrap.fill(f"{text} coincide", 22, break_on_hyphens=False)
            colour = str(group[0].get_color()) if len(group) == 1 else INK
            ends.append(End(text, *end, colour, ink_of(colour)))
    for height, (text, colour) in (levels or {}).items():
        ends.append(End(text, None, height, colour, ink_of(colour)))
    for line in leaving:
        colour = str(line.get_color())
        ends.append(End(str(line.get_label()), None, ax.get_ylim()[0], colour, ink_of(colour),
                        line.get_linestyle()))  # fmt: skip
    place_labels(ax, ends, NOTE)


def _seen(ax: "Axes", line: "Line2D") -> Any:
    """Return the points of a line in fractions of the axes' sides."""
    points = np.column_stack([line.get_xdata(), line.get_ydata()]).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ax.transAxes.inverted().transform(ax.transData.transform(points))


def _coincide(ax: "Axes", one: "Line2D", other: "Line2D") -> bool:
    a, b = _seen(ax, one), _seen(ax, other)
    if a.shape != b.shape:
        return False
    return bool(np.all((np.abs(a - b) < 0.008) | (np.isnan(a) & np.isnan(b))))


def _end(ax: "Axes", line: "Line2D") -> tuple[float, float] | None:
    """Return the last point of a line within the axes, in data coordinates."""
    seen = _seen(ax, line)
    inside = np.flatnonzero(((seen > -0.01) & (seen < 1.01)).all(axis=1))
    if not len(inside):
        return None
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    return float(x[inside[-1]]), float(y[inside[-1]])


def heat_map(
    ax: "Axes", values: Any, extent: tuple[float, float, float, float], label: str, *,
    low: float, high: float, origin: str = "lower",
) -> None:  # fmt: skip
    """Draw positive numbers as colours on a logarithmic scale, with a colour bar.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : float [rows, columns]
        Numbers below ``low`` have its colour; those that are not finite stay white.
    extent : tuple of float
        Left, right, bottom and top of the map.
    label : str
        Label of the colour bar.
    low, high : float
        Ends of the scale.
    origin : str
        Place of row 0, "lower" or "upper".
    """
    from matplotlib.colors import LogNorm

    numbers = np.asarray(values, np.float64)
    shown = np.ma.masked_invalid(np.where(numbers < low, low, numbers))
    scale: Any = LogNorm(low, high)
    image = ax.imshow(
        shown, aspect="auto", origin="lower" if origin == "lower" else "upper", extent=extent,
        norm=scale, cmap="viridis", interpolation="nearest",
    )  # fmt: skip
    colour_bar(ax, image, label)


def colour_bar(ax: "Axes", image: Any, label: str) -> None:
    """Add a colour bar that touches the right of axes."""
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.015, 0, 0.03, 1)))
    bar.set_label(label, fontsize=LABEL, color=INK)
    bar.ax.tick_params(which="both", colors=GREY, labelsize=NOTE)
    bar.ax.tick_params(which="minor", length=1.5)
    bar.outline.set_edgecolor(PALE)


def characters(text: str) -> list[str]:
    """Return the characters of a text as marks for an axis: one for a space, one for a line end."""
    return [c if c.isprintable() and c != " " else "␣" if c == " " else "·" for c in text]
