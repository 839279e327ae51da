"""Figures of gates and states over time."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arguments.values import message
from ..options.cell_shape import described
from .base import INK, PALE, STYLES, dress, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def activity(tape: Any, walk: int = -1, sample: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return the gates of one sample from a tape, or the states of an RNN, which has no gates.

    Parameters
    ----------
    tape : Tape
    walk : int
        Index l D + d of a layer's direction; -1 is the last one.
    sample : int
        Index of the sequence.

    Returns
    -------
    dict of str to ndarray [T, H]
    """
    gates = tape.gates() or {described(tape.cell).letters[0]: tape.states()}
    return {name: np.asarray(values)[walk, :, sample] for name, values in gates.items()}


def plot_gates(ax: "Axes", tape: Any, walk: int = -1, sample: int = 0) -> None:
    """Draw the mean of each gate over the units, against time.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    tape, walk, sample
        As in `activity`.
    """
    for k, (name, values) in enumerate(activity(tape, walk, sample).items()):
        colour, style = STYLES[k % len(STYLES)]
        ax.plot(values.mean(axis=1), color=colour, linestyle=style, linewidth=2,
                label=described(tape.cell).gate(name).name)  # fmt: skip
    ax.set_xlim(-0.5, len(values) - 0.5)
    legend(ax, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    dress(ax, "Gates over time, mean over the units", "time (steps)", "activity")


def plot_gate_units(
    ax: "Axes", tape: Any, gate: str, walk: int = -1, sample: int = 0, text: str | None = None
) -> None:
    """Draw one gate of all units over time, with the units ordered by their mean.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    tape, walk, sample
        As in `activity`.
    gate : str
        i, f, g, o (LSTM), r, z, n (GRU), z, n (MinGRU) or h (RNN).
    text : str, optional
        The characters of the steps, written below the axes if there are at most 80.

    Raises
    ------
    ValueError
        The cell has no such gate.
    """
    gates = activity(tape, walk, sample)
    if gate not in gates:
        expected = f"one of {', '.join(gates)}"
        raise ValueError(message("plot_gate_units", "gate", expected, repr(gate)))
    values, shown = gates[gate], described(tape.cell).gate(gate)
    low = 0.0 if shown.flat == "unit" else min(-1.0, float(values.min()))
    order = np.argsort(values.mean(axis=0))
    image = ax.imshow(
        values[:, order].T, aspect="auto", origin="lower", interpolation="nearest",
        cmap="cividis", vmin=low, vmax=max(1.0, float(values.max())),
    )  # fmt: skip
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label("activity", fontsize=10.5, color=INK)
    bar.outline.set_edgecolor(PALE)
    dress(ax, f"{shown.name.capitalize()} of each unit", "time (steps)", "unit, by its mean")
    ax.grid(visible=False)
    if text is not None and len(text) <= 80:
        signs = [c if c.isprintable() and c != " " else "␣" if c == " " else "·" for c in text]
        ax.set_xticks(range(len(signs)), signs, fontsize=8)


def gates_figure(
    tape: Any, gate: str, walk: int = -1, sample: int = 0, text: str | None = None
) -> "Figure":
    """Draw the means of all gates over time, and one gate of all units; see `plot_gate_units`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        The cell has no such gate.
    """
    figure = new_figure(13, 7.5)
    above, below = figure.subplots(2, 1)
    plot_gates(above, tape, walk, sample)
    plot_gate_units(below, tape, gate, walk, sample, text)
    return figure
