"""Figures of gates and states over time."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arguments.values import message, refuse_type
from ..options.cell_shape import described
from .base import (
    NOTE,
    REFERENCE,
    STYLES,
    TWO_COLUMNS,
    axes_of,
    characters,
    colour_bar,
    dress,
    few_ticks,
    label_lines,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

CHARACTERS = 80  # the longest text that is written below an axis


def activity(tape: Any, walk: int = -1, sample: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return the gates of one sample from a tape, or the states of an RNN, which has no gates.

    Parameters
    ----------
    tape : Tape
        The third result of ``forward``.
    walk : int
        Index l D + d of a layer's direction; -1 is the last one.
    sample : int
        Index of the sequence.

    Returns
    -------
    dict of str to ndarray [T, H]

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> _, _, tape = bn.GRU(3, 4).forward(np.ones((5, 2, 3), np.float32))
    >>> {name: values.shape for name, values in plots.activity(tape).items()}
    {'r': (5, 4), 'z': (5, 4), 'n': (5, 4)}
    """
    return _activity(tape, walk, sample, "activity")


def _activity(tape: Any, walk: int, sample: int, where: str) -> dict[str, npt.NDArray[Any]]:
    if not hasattr(tape, "gates") or not hasattr(tape, "states"):
        refuse_type(tape, where, "tape", "a tape, the third result of forward()")
    gates = tape.gates() or {described(tape.cell).letters[0]: tape.states()}
    return {name: np.asarray(values)[walk, :, sample] for name, values in gates.items()}


def plot_gates(tape: Any, walk: int = -1, sample: int = 0, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the mean of each gate over the units, against time.

    Parameters
    ----------
    tape, walk, sample
        As in `activity`.
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
        It is not a tape.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> _, _, tape = bn.GRU(3, 4).forward(np.ones((5, 2, 3), np.float32))
    >>> [text.get_text() for text in plots.plot_gates(tape).texts]
    ['reset gate r', 'update gate z', 'candidate n']
    """
    found = _activity(tape, walk, sample, "plot_gates")
    ax = axes_of(ax, "plot_gates", TWO_COLUMNS, 2.4)
    lines: list[Line2D] = []
    cell = described(tape.cell)
    for k, (name, values) in enumerate(found.items()):
        colour, style = STYLES[k % len(STYLES)]
        lines += ax.plot(values.mean(axis=1), color=colour, linestyle=style, linewidth=1.3,
                         label=cell.gate(name).name)  # fmt: skip
    steps = len(next(iter(found.values())))
    if len(found) > 1:
        ax.axhline(0.5, **REFERENCE)
    ax.set_xlim(-0.5, steps - 0.5)
    label_lines(ax, lines)
    title = "Mean of each gate over the units" if len(found) > 1 else "Mean of the states"
    dress(ax, title, "time step", "mean activity")
    return ax


def plot_gate_units(
    tape: Any, gate: str | None = None, walk: int = -1, sample: int = 0, text: str | None = None, *,
    ax: "Axes | None" = None,
) -> "Axes":  # fmt: skip
    """Draw one gate of all units over time, with the units ordered by their mean.

    The colours diverge from the middle: from one half for gates, which are between 0 and 1, and
    from 0 for states and candidate states.

    Parameters
    ----------
    tape, walk, sample
        As in `activity`.
    gate : str, optional
        i, f, g, o (LSTM), r, z, n (GRU), z, n (MinGRU) or h (RNN). By default, the gate that
        decides how long the state lasts: f, z or h.
    text : str, optional
        The characters of the time steps, written below the axes if there are at most 80.
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
        It is not a tape.
    ValueError
        The cell has no such gate.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> _, _, tape = bn.LSTM(3, 4).forward(np.ones((5, 2, 3), np.float32))
    >>> ax = plots.plot_gate_units(tape, "f")
    >>> ax.get_title(loc="left"), ax.images[0].get_clim()
    ('Forget gate f of each unit', (0.0, 1.0))
    """
    where = "plot_gate_units"
    found = _activity(tape, walk, sample, where)
    if gate is None:
        gate = next((name for name in ("f", "z") if name in found), next(iter(found)))
    if gate not in found:
        expected = f"one of {', '.join(found)}"
        raise ValueError(message(where, "gate", expected, repr(gate)))
    ax = axes_of(ax, where, TWO_COLUMNS, 2.8)
    values, shown = found[gate], described(tape.cell).gate(gate)
    low, high = 0.0, 1.0
    if shown.flat != "unit":
        high = float(np.abs(values[np.isfinite(values)]).max(initial=1.0))
        low = -high
    order = np.argsort(values.mean(axis=0))
    image = ax.imshow(
        values[:, order].T, aspect="auto", origin="lower", interpolation="nearest",
        cmap="PuOr_r", vmin=low, vmax=high, extent=(-0.5, len(values) - 0.5, 0.5, len(order) + 0.5),
    )  # fmt: skip
    colour_bar(ax, image, "activity; white is ½" if low == 0 else "activity; white is 0")
    title = f"{shown.name.capitalize()} of each unit"
    dress(ax, title.replace("Hidden", "State"), "time step", "unit, by its mean")
    ax.grid(visible=False)
    few_ticks(ax.yaxis, 8, integer=True)
    if text is not None and len(text) <= CHARACTERS:
        marks = characters(text)
        ax.set_xticks(range(len(marks)), marks, fontsize=NOTE - 0.5, family="monospace")
    return ax


def gates_figure(
    tape: Any, gate: str | None = None, walk: int = -1, sample: int = 0, text: str | None = None
) -> "Figure":
    """Draw the means of all gates over time, and one gate of all units.

    Parameters
    ----------
    tape, gate, walk, sample, text
        As in `plot_gate_units`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        It is not a tape.
    ValueError
        The cell has no such gate.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt_native as bn
    >>> from bptt_native import plots
    >>> _, _, tape = bn.LSTM(3, 4).forward(np.ones((5, 2, 3), np.float32))
    >>> [ax.get_ylabel() for ax in plots.gates_figure(tape).axes]
    ['mean activity', 'unit, by its mean']
    """
    figure = new_figure(TWO_COLUMNS, 5.0)
    above, below = figure.subplots(2, 1)
    plot_gates(tape, walk, sample, ax=above)
    plot_gate_units(tape, gate, walk, sample, text, ax=below)
    return figure
