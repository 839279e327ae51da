"""Five nets on tasks of memory, beside the loss that there is without one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .drawing import LINES, curve, dress, legend, level, panels
from .experiment import Case, Claim, Experiment, Row
from .learning import (
    GATED,
    NETS,
    build,
    ends,
    filled,
    held_out,
    runs_of,
    spelled,
    train,
)
from .tasks import ADDING_BASELINE, adding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH, UNITS, WINDOW = 32, 64, 100


@dataclass(frozen=True)
class Task:
    """A task: batches, the net's shape, the loss without memory, and when it counts as solved."""

    batch: Callable[[int, int, np.random.Generator], tuple[Any, Any]]
    options: dict[str, Any]
    baseline: Callable[[int], float]
    solved: float  # a fraction of the baseline
    scale: Callable[[int], float]  # of chrono
    rates: dict[str, float]


TASKS: dict[str, Task] = {
    "adding": Task(
        adding, {"input_size": 2, "output_size": 1, "loss": "mse", "targets": "last"},
        lambda _: ADDING_BASELINE, 0.1, float,
        {"tanh RNN": 5e-4, "IRNN": 5e-4, "LSTM": 5e-3, "GRU": 5e-3, "chrono LSTM": 5e-3},
    ),
}  # fmt: skip


def measure(case: Case, seed: int) -> list[Row]:
    """Train; the last row has the loss on held-out sequences."""
    task, net, steps = TASKS[str(case["task"])], str(case["net"]), int(case["steps"])
    model = build(
        net, task.scale(steps), seed, hidden_size=UNITS, lr=float(case["lr"]), **task.options
    )
    goal = 0.02 * task.baseline(steps)
    rows = train(
        model, lambda rng: task.batch(steps, BATCH, rng), int(case["updates"]), WINDOW, seed, goal
    )
    out, y = held_out(model, lambda count, rng: task.batch(steps, count, rng), seed)
    rows[-1]["held_out"] = float(np.mean((out - y) ** 2))
    return rows


def _cases(name: str, quick: tuple[int, int], full: tuple[tuple[int, ...], int]) -> Any:
    """Give the function that lists the cases: lengths and updates of the gated nets, by form."""

    def cases(long: bool) -> list[Case]:
        lengths, updates = full if long else ((quick[0],), quick[1])
        return [
            {"task": name, "net": net, "steps": steps, "lr": TASKS[name].rates[net],
             "updates": updates * (1 if net in GATED else 2)}
            for steps in reversed(lengths) for net in reversed(NETS)
        ]  # fmt: skip

    return cases


def _lengths(rows: Sequence[Row]) -> list[int]:
    return sorted({int(row["steps"]) for row in rows})


def _shares(rows: Sequence[Row], net: str) -> list[float]:
    """Give the held-out losses of all runs as fractions of the baseline of their length."""
    return [
        loss / TASKS[str(rows[0]["task"])].baseline(steps)
        for steps in _lengths(rows)
        for loss in ends(rows, "held_out", net=net, steps=steps)
    ]


def _told(rows: Sequence[Row], nets: Sequence[str], of: str = "held_out", form: str = ".3g") -> str:
    """Write how each run of the nets ended, by length if there are several."""
    lengths = _lengths(rows)
    return "; ".join(
        f"{net}{f' T = {steps}' if len(lengths) > 1 else ''}: "
        + spelled(ends(rows, of, net=net, steps=steps), form)
        for net in nets for steps in lengths
    )  # fmt: skip


def _adding_verdict(rows: Sequence[Row]) -> list[Claim]:
    solved = TASKS["adding"].solved
    gated = [share for net in GATED for share in _shares(rows, net)]
    tanh, irnn = _shares(rows, "tanh RNN"), _shares(rows, "IRNN")
    where = f"T = {', '.join(map(str, _lengths(rows)))}"
    return [
        Claim(
            f"LSTM and GRU leave the baseline 1/6 by ten times at {where}.",
            max(gated) < solved,
            "held-out error by seed: " + _told(rows, GATED),
        ),
        Claim(
            "A tanh RNN does not leave it.",
            min(tanh) > 0.6,
            f"held-out error by seed: {_told(rows, ['tanh RNN'])} (baseline {ADDING_BASELINE:.3g})",
        ),
        Claim(
            "An IRNN does, with most seeds, to less than half of it.",
            2 * sum(share < 0.5 for share in irnn) > len(irnn),
            "held-out error by seed: " + _told(rows, ["IRNN"]),
        ),
    ]


def figure(rows: Sequence[Row]) -> "Figure":
    """Draw the losses of all nets at each length, and where each seed ends."""
    lengths, task = _lengths(rows), TASKS[str(rows[0]["task"])]
    drawn, axes = panels(6.6 * (len(lengths) + 1), 4.6, 1, len(lengths) + 1)
    last = axes[0, -1]
    error = "squared error"
    for ax, steps in zip(axes[0], lengths, strict=False):
        for style, net in zip(LINES, NETS, strict=False):
            runs = runs_of(rows, net=net, steps=steps)
            longest = max(int(run[-1]["update"]) for run in runs)
            updates = list(range(WINDOW, longest + 1, WINDOW))
            curve(ax, updates, [filled(run, updates) for run in runs], style, net)
        level(ax, task.baseline(steps), f"without memory: {task.baseline(steps):.4g}")
        ax.set_yscale("log")
        dress(ax, f"{rows[0]['task']}, T = {steps}", "update", f"{error}, mean of {WINDOW} updates")
        legend(ax, loc="best")
    for style, (place, net) in zip(LINES, enumerate(NETS), strict=False):
        shares = _shares(rows, net)
        last.plot(
            shares, [place] * len(shares), style["marker"], color=style["color"], markersize=7
        )
    last.axvline(1, color="black", linewidth=1.1, linestyle=(0, (4, 2)))
    last.set_yticks(range(len(NETS)), list(NETS))
    last.invert_yaxis()
    last.set_xscale("log")
    dress(last, "Where each seed ends", f"{error} on held-out sequences / that without memory", "")
    return drawn


def _experiment(name: str, title: str, claim: str, quick: tuple[int, int],
                full: tuple[tuple[int, ...], int], verdict: Any, minutes: float,
                published: str) -> Experiment:  # fmt: skip
    return Experiment(
        name=name, title=title, claim=claim, cases=_cases(name, quick, full), measure=measure,
        figure=figure, verdict=verdict, minutes=(minutes, math.nan), published=published,
    )  # fmt: skip


ADDING = _experiment(
    "adding", "The adding problem",
    "Two marked numbers among many are to be added; that takes a memory as long as the sequence.",
    (100, 2500), ((100, 200, 400), 20000), _adding_verdict, 1,
    "TCN paper (Bai et al. 2018, arXiv:1803.01271), T = 600: LSTM 0.164, GRU 5.3e-5, RNN 0.177. "
    "RIN paper (Hu et al. 2018): IRNN solves T = 200, 300 and 400 (Adam, 1e-4 to 1e-6), LSTM fails "
    "at 400. Ours is T = 100 in the quick form, 64 units, batches of 32, Adam, clip 1.",
)  # fmt: skip
