"""Labels at the right ends of lines, which keep apart when the figure is drawn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import IdentityTransform, ScaledTranslation, blended_transform_factory

LINE = 1.25  # height of a line of text, in sizes of the font
NEAR, FAR = 4.0, 15.0  # points between the axes and the labels, without and with leader lines
SAMPLE = 18.0  # points of a sample of a line
MOVED = 2.5  # points by which a label is moved before it gets a leader line
INSIDE = 12.0  # points before the right side at which a line ends that needs a leader line


class End(NamedTuple):
    """The end of a line.

    Attributes
    ----------
    text : str
        The label.
    x : float or None
        Place of the end in data coordinates; None for the right side of the axes.
    y : float
    colour, ink : str
        The colours of the leader line and of the text.
    sample : str or tuple, optional
        A line style: a sample of the line is drawn in place of a leader line to its end.
    """

    text: str
    x: float | None
    y: float
    colour: str
    ink: str
    sample: Any = None


def spread(
    places: npt.ArrayLike, heights: npt.ArrayLike, low: float, high: float
) -> npt.NDArray[np.float64]:
    """Return places near given ones at which labels do not overlap.

    The sum of the squared distances from the given places is the least possible (isotonic
    regression); then all are moved between ``low`` and ``high`` if they fit there.

    Parameters
    ----------
    places, heights : float [n]
        The wanted places of the middles of the labels, and the heights of the labels.
    low, high : float
        The lower and the upper end of the room for all labels.

    Returns
    -------
    float64 [n]
    """
    wanted, tall = np.asarray(places, np.float64), np.asarray(heights, np.float64)
    result = np.empty_like(wanted)
    if not len(wanted):
        return result
    order = np.argsort(wanted, kind="stable")
    half = tall[order] / 2
    below = np.concatenate([[0.0], np.cumsum(half[1:] + half[:-1])])
    blocks: list[tuple[float, int]] = []  # labels that touch: their mean place, their number
    for value in wanted[order] - below:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        blocks.append((mean, count))
    found = np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])
    found = np.minimum(found, high - half[-1] - below[-1])
    result[order] = np.maximum(found, low + half[0]) + below
    return result


class EndLabel(Annotation):
    """A label at the right of axes that keeps its distance from the others of its group."""

    def __init__(self, group: "list[EndLabel]", ax: Axes, end: End, size: float) -> None:
        self.group, self.plane, self.end = group, ax, end
        xy, coordinates = (1.0, end.y), ("axes fraction", "data")
        super().__init__(
            end.text, xy if end.x is None else (end.x, end.y),
            xycoords=coordinates if end.x is None else "data", color=end.ink, fontsize=size,
            ha="left", va="center", annotation_clip=False, clip_on=False,
            arrowprops={"arrowstyle": "-", "color": end.colour, "relpos": (0, 0.5), "shrinkA": 1,
                        "shrinkB": 1, "linewidth": 0.7 if end.sample is None else 1.4,
                        "linestyle": end.sample or "-"},
        )  # fmt: skip
        group.append(self)

    def update_positions(self, renderer: Any) -> None:
        """Move the labels of the group apart, then place the parts of this one."""
        separate(self.group, renderer.points_to_pixels(1.0))
        super().update_positions(renderer)

    def anchor(self) -> tuple[float, float]:
        """Return the end of the line in pixels."""
        x, y = self.plane.transData.transform((self.end.x or 0.0, self.end.y))
        return float(self.plane.bbox.x1 if self.end.x is None else x), float(y)


def separate(group: Sequence[EndLabel], point: float) -> None:
    """Set the places of labels so that none overlap; show all leader lines if one is needed.

    Parameters
    ----------
    group : sequence of EndLabel
        All labels of the same axes.
    point : float
        The size of a point in pixels.
    """
    ax = group[0].plane
    box, ends = ax.bbox, np.array([label.anchor() for label in group])
    tall = [
        point * LINE * float(label.get_fontsize()) * (1 + label.get_text().count("\n"))
        for label in group
    ]  # fmt: skip
    room = max(0.0, sum(tall) - box.height) / 2
    places = spread(ends[:, 1], tall, box.y0 - room, box.y1 + room)
    led = (abs(places - ends[:, 1]) > MOVED * point) | (ends[:, 0] < box.x1 - INSIDE * point)
    led &= [label.end.sample is None for label in group]
    far, scale = FAR if led.any() else NEAR, ax.figure.dpi_scale_trans

    def beside(points: float) -> Any:
        moved = ax.transAxes + ScaledTranslation(points / 72, 0, scale)
        return blended_transform_factory(moved, IdentityTransform())

    for label, height in zip(group, places, strict=True):
        label.xyann = (1.0, float(height))
        label.set_anncoords(beside(far))
        if label.end.sample is not None:
            label.xycoords, label.xy = beside(NEAR), label.xyann
            label.set_anncoords(beside(NEAR + SAMPLE))
        if label.arrow_patch is not None:
            label.arrow_patch.set_visible(bool(led.any()) or label.end.sample is not None)


def place_labels(ax: Axes, ends: Sequence[End], size: float) -> list[EndLabel]:
    """Write labels at the right of axes, each at the height of its line's end.

    Labels that would overlap are moved, and connected with the ends by thin lines. The places are
    determined whenever the figure is drawn, since layout and limits may change until then.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    ends : sequence of End
    size : float
        The size of the font in points.

    Returns
    -------
    list of EndLabel
        The labels, which are among the axes' texts.
    """
    group: list[EndLabel] = []
    for end in ends:
        ax.add_artist(EndLabel(group, ax, end, size))
    return group
