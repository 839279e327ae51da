"""Experiment: initial weights and learning, on the adding problem over a hundred steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..models.model import Model
from ..options.init import Init
from ..options.words import Cell, Nonlinearity
from ..plots.base import (
    BLUE,
    GREEN,
    GREY,
    LINES,
    ORANGE,
    PURPLE,
    REFERENCE,
    SKY,
    VERMILION,
    dress,
    label_lines,
    log_axis,
    plain_numbers,
)
from ..tasks import ADDING_BASELINE, adding
from .drawing import curve, level, panels, rows_of, seeds_row
from .experiment import Case, Claim, Experiment, Row
from .learning import adding_error, ends, first_below, runs_of, spelled, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIME = 100  # steps of a sequence
BATCH = 32  # sequences per update
UNITS = 64  # per net
WINDOW = 100  # updates per row
SOLVED = 0.01  # mean error of a window below which an LSTM has solved the task
LEARNT = 0.05  # held-out error below which an RNN has learnt the task
NETS: dict[str, dict[str, tuple[Nonlinearity, Init]]] = {
    "rnn": {
        "tanh, default": ("tanh", Init("default")),
        "tanh, Xavier": ("tanh", Init("xavier")),
        "tanh, orthogonal": ("tanh", Init("orthogonal")),
        "ReLU, default": ("relu", Init("default")),
        "ReLU, orthogonal": ("relu", Init("orthogonal")),
        "ReLU, identity": ("relu", Init("identity")),
    },
    "lstm": {
        "default": ("tanh", Init("default")),
        "Xavier": ("tanh", Init("xavier")),
        "orthogonal": ("tanh", Init("orthogonal")),
        "identity": ("tanh", Init("identity")),
        "forget bias 1": ("tanh", Init("default", forget_bias=1.0)),
        "chrono": ("tanh", Init("chrono")),  # its time scale is the number of steps
    },
}
RATES = {"rnn": 5e-4, "lstm": 5e-3}
UPDATES = {"rnn": 4000, "lstm": 2400}
FULL = 4  # factor of the updates in the full form


def cases(full: bool) -> list[Case]:
    """List each initialisation of the RNN and of the LSTM."""
    times = FULL if full else 1
    return [
        {"cell": cell, "init": name, "steps": TIME, "lr": RATES[cell],
         "updates": times * UPDATES[cell]}
        for cell in ("lstm", "rnn") for name in NETS[cell]
    ]  # fmt: skip


def measure(case: Case, seed: int) -> list[Row]:
    """Train a net; the last row also has the error on held-out sequences."""
    nonlinearity, init = NETS[str(case["cell"])][str(case["init"])]
    steps = int(case["steps"])
    if init.weights == "chrono":
        init = init._replace(time_scale=float(steps))
    model = Model(
        cast(Cell, case["cell"]), input_size=2, hidden_size=UNITS, output_size=1, loss="mse",
        init=init, nonlinearity=nonlinearity, targets="last", optimizer="adam",
        lr=float(case["lr"]), clip_norm=1.0, seed=seed,
    )  # fmt: skip
    rng = np.random.default_rng(seed)  # one for all batches, as for the published results
    updates = int(case["updates"])
    rows = train(model, lambda _: adding(steps, BATCH, rng), updates, WINDOW, seed)
    rows[-1]["held_out"] = adding_error(model, steps, seed)
    return rows


def _errors(rows: Sequence[Row], cell: str, init: str) -> list[float]:
    return ends(rows, "held_out", cell=cell, init=init)


def _updates_until_solved(rows: Sequence[Row], init: str) -> list[float]:
    return [first_below(run, SOLVED) for run in runs_of(rows, cell="lstm", init=init)]


def verdict(rows: Sequence[Row]) -> list[Claim]:
    """Compare the final errors, and the updates that learning takes."""
    rnn = {init: _errors(rows, "rnn", init) for init in NETS["rnn"]}
    tanh = [error for init, errors in rnn.items() if init.startswith("tanh") for error in errors]
    relu = {init: errors for init, errors in rnn.items() if init.startswith("ReLU")}
    learnt = {init: sum(error < LEARNT for error in errors) for init, errors in relu.items()}
    runs = sum(map(len, relu.values()))
    solved = {init: _updates_until_solved(rows, init) for init in NETS["lstm"]}
    middle = {init: float(np.median(updates)) for init, updates in solved.items()}
    others = min(updates for init, updates in middle.items() if init != "chrono")
    most = {cell: max(int(r["update"]) for r in rows if r["cell"] == cell) for cell in NETS}
    steps = next(row["steps"] for row in rows if row["cell"] == "rnn")
    return [
        Claim(
            f"A tanh RNN does not learn to add over {steps} steps with any of the initial weights.",
            min(tanh) > 0.1,
            f"held-out error after {most['rnn']} updates: {min(tanh):.3f} to {max(tanh):.3f} "
            f"(baseline {ADDING_BASELINE:.3f}) over default, Xavier and orthogonal",
        ),
        Claim(
            "Most ReLU RNNs learn it, with the identity (IRNN) and with other initial weights.",
            3 * sum(learnt.values()) >= 2 * runs and all(learnt.values()),
            f"held-out error below {LEARNT:g}: "
            + "; ".join(
                f"{init.removeprefix('ReLU, ')} {learnt[init]} of {len(errors)} seeds "
                f"({spelled(errors, '.3f')})"
                for init, errors in relu.items()
            ),
        ),
        Claim(
            "An LSTM learns soonest with chrono, which initialises the gates with memories as long "
            "as the task's.",
            middle["chrono"] < others,
            f"updates until the error is below {SOLVED:g}, by seed (of {most['lstm']}): "
            + "; ".join(f"{init} {spelled(updates, '.0f')}" for init, updates in solved.items()),
        ),
    ]  # fmt: skip


OF_INIT: dict[str, dict[str, Any]] = {
    "default": {"color": BLUE, "marker": "o"},
    "Xavier": {"color": VERMILION, "marker": "s"},
    "orthogonal": {"color": GREEN, "marker": "^"},
    "identity": {"color": PURPLE, "marker": "D"},
    "forget bias 1": {"color": ORANGE, "marker": "v"},
    "chrono": {"color": SKY, "marker": "P"},
}


def _style(init: str) -> dict[str, Any]:
    """Return the style of a net: its colour is the initialisation, tanh RNNs are dashed."""
    nonlinearity, _, name = init.rpartition(", ")
    return {**OF_INIT[name], "linestyle": LINES[1] if nonlinearity == "tanh" else LINES[0]}


def figure(rows: Sequence[Row]) -> "Figure":
    """Draw the losses of all nets, and the final error of each seed."""
    drawn, axes = panels(5.4, 2, 2)
    for (left, right), cell in zip(axes, NETS, strict=True):
        lines = []
        for height, init in enumerate(NETS[cell]):
            runs, style = runs_of(rows, cell=cell, init=init), _style(init)
            updates = [int(row["update"]) for row in runs[0]]
            losses = [[float(row["loss"]) for row in run] for run in runs]
            lines.append(curve(left, updates, losses, style, init))
            seeds_row(right, _errors(rows, cell, init), height, style)
        steps = next(row["steps"] for row in rows if row["cell"] == cell)
        left.set_xlim(0, updates[-1])
        log_axis(left)
        plain_numbers(left)
        level(left, ADDING_BASELINE)
        label_lines(left, lines, {ADDING_BASELINE: ("always 1", GREY)})
        rows_of(right, list(NETS[cell]))
        right.axvline(ADDING_BASELINE, **REFERENCE)
        log_axis(right, "x")
        dress(left, _finding(rows, cell), "update", f"squared error,\nmean of {WINDOW} updates")
        dress(right, f"Where each {cell.upper()} ends, {steps} steps",
              "squared error on held-out sequences", "")  # fmt: skip
    return drawn


def _finding(rows: Sequence[Row], cell: str) -> str:
    if cell == "rnn":
        errors = {init: _errors(rows, cell, init) for init in NETS[cell]}
        parts = []
        for kind in ("ReLU", "tanh"):
            found = [e for init, some in errors.items() if init.startswith(kind) for e in some]
            parts.append(f"{sum(e < LEARNT for e in found)} of {len(found)} {kind} RNNs")
        return f"{parts[0]} and {parts[1]} learn to add"
    when = {init: float(np.median(_updates_until_solved(rows, init))) for init in NETS[cell]}
    first = min(when, key=lambda init: when[init])
    return f"LSTMs learn soonest with {first}, in {when[first]:,.0f} updates"


EXPERIMENT = Experiment(
    name="initialisation",
    title="Initial weights and biases",
    claim=(
        "Whether, and how soon, a net learns a dependency over a hundred steps depends on its "
        "initial weights and biases."
    ),
    cases=cases,
    measure=measure,
    figure=figure,
    verdict=verdict,
    minutes=(4.3, 18),
    published=(
        "Le et al. 2015 (arXiv:1504.00941): ReLU with the identity learns to add over hundreds "
        "of steps, tanh does not. Tallec & Ollivier 2018 (arXiv:1804.11188): chrono learns to add "
        "about 7 times faster than a forget bias of 1 at T = 750 (LSTM of 128 units, RMSprop)."
    ),
)
