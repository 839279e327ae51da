"""Experiments: five nets on the adding problem, the copy memory and the temporal order."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn.probabilities import log_softmax
from ..options.losses import LOSSES, loss_of
from ..plots.base import REFERENCE, dress, figure_legend, log_axis
from ..tasks import (
    ADDING_BASELINE,
    COPIED,
    COPY_WORDS,
    ORDER_CLASSES,
    ORDER_WORDS,
    adding,
    copy_memory,
    copy_memory_baseline,
    temporal_order,
)  # fmt: skip
from .drawing import STYLES, curve, level, panels, rows_of, seeds_row
from .experiment import Case, Claim, Experiment, Row
from .learning import (
    GATED,
    NETS,
    build,
    ends,
    filled,
    first_below,
    held_out,
    runs_of,
    spelled,
    train,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH, UNITS, WINDOW = 32, 64, 100


@dataclass(frozen=True)
class Task:
    """A task and the options of the nets that are trained on it."""

    batch: Callable[[int, int, np.random.Generator], tuple[Any, Any]]
    options: dict[str, Any]  # of Model
    baseline: Callable[[int], float]  # the loss of a net without memory, by the length
    solved: float  # the task is solved below this fraction of the baseline
    scale: Callable[[int], float]  # time scale of the chrono initialisation, by the length
    rates: dict[str, float]  # learning rates, by net


TASKS: dict[str, Task] = {
    "adding": Task(
        adding, {"input_size": 2, "output_size": 1, "loss": "mse", "targets": "last"},
        lambda _: ADDING_BASELINE, 0.1, float,
        {"tanh RNN": 5e-4, "IRNN": 5e-4, "LSTM": 5e-3, "GRU": 5e-3, "chrono LSTM": 5e-3},
    ),
    "copy-memory": Task(
        copy_memory, {"vocab_size": COPY_WORDS, "output_size": COPY_WORDS},
        copy_memory_baseline, 0.5, lambda steps: 1.5 * steps,
        {"tanh RNN": 1e-3, "IRNN": 5e-4, "LSTM": 5e-3, "GRU": 5e-3, "chrono LSTM": 5e-3},
    ),
    "temporal-order": Task(
        temporal_order,
        {"vocab_size": ORDER_WORDS, "output_size": ORDER_CLASSES, "targets": "last"},
        lambda _: math.log(ORDER_CLASSES), 0.1, float,
        {"tanh RNN": 1e-3, "IRNN": 5e-4, "LSTM": 5e-3, "GRU": 5e-3, "chrono LSTM": 5e-3},
    ),
}  # fmt: skip


def measure(case: Case, seed: int) -> list[Row]:
    """Train a net; the last row also has the loss and the errors on held-out sequences."""
    task, net, steps = TASKS[str(case["task"])], str(case["net"]), int(case["steps"])
    model = build(
        net, task.scale(steps), seed, hidden_size=UNITS, lr=float(case["lr"]), **task.options
    )
    goal = 0.02 * task.baseline(steps)
    rows = train(
        model, lambda rng: task.batch(steps, BATCH, rng), int(case["updates"]), WINDOW, seed, goal
    )
    out, y = held_out(model, lambda count, rng: task.batch(steps, count, rng), seed)
    if not loss_of(model.config).classes:
        rows[-1]["held_out"] = float(np.mean((out - y) ** 2))
        return rows
    log_p = log_softmax(out)
    rows[-1]["held_out"] = float(-np.take_along_axis(log_p, y[..., None], -1).mean())
    judged = slice(-COPIED, None) if y.ndim == 2 else slice(None)  # the steps that have an answer
    rows[-1]["wrong"] = float((out.argmax(-1) != y)[judged].mean())
    return rows


def _cases(name: str, quick: tuple[int, int], full: tuple[tuple[int, ...], int]) -> Any:
    """Return the function that lists the cases.

    ``quick`` and ``full`` hold the lengths, and the updates of the gated nets; the others take
    twice as many.
    """

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
    """Return the held-out losses of all runs as fractions of the baseline at their length."""
    return [
        loss / TASKS[str(rows[0]["task"])].baseline(steps)
        for steps in _lengths(rows)
        for loss in ends(rows, "held_out", net=net, steps=steps)
    ]


def _told(rows: Sequence[Row], nets: Sequence[str], of: str = "held_out", form: str = ".3g") -> str:
    """Return the final values of the nets' runs as text, by length if there are several."""
    lengths = _lengths(rows)
    return "; ".join(
        f"{net}{f' T = {steps}' if len(lengths) > 1 else ''}: "
        + spelled(ends(rows, of, net=net, steps=steps), form)
        for net in nets for steps in lengths
    )  # fmt: skip


def _when(rows: Sequence[Row], net: str, level: float) -> list[float]:
    return [
        first_below(run, level) for s in _lengths(rows) for run in runs_of(rows, net=net, steps=s)
    ]


def _adding_verdict(rows: Sequence[Row]) -> list[Claim]:
    solved = TASKS["adding"].solved
    gated = [share for net in GATED for share in _shares(rows, net)]
    tanh, irnn = _shares(rows, "tanh RNN"), _shares(rows, "IRNN")
    where = f"T = {', '.join(map(str, _lengths(rows)))}"
    return [
        Claim(
            f"LSTM and GRU reduce the error to less than a tenth of the baseline 1/6 at {where}.",
            max(gated) < solved,
            "held-out error by seed: " + _told(rows, GATED),
        ),
        Claim(
            "A tanh RNN does not leave the baseline.",
            min(tanh) > 0.6,
            f"held-out error by seed: {_told(rows, ['tanh RNN'])} (baseline {ADDING_BASELINE:.3g})",
        ),
        Claim(
            "An IRNN reduces the error to less than half of the baseline with most seeds.",
            2 * sum(share < 0.5 for share in irnn) > len(irnn),
            "held-out error by seed: " + _told(rows, ["IRNN"]),
        ),
    ]


def _copy_verdict(rows: Sequence[Row]) -> list[Claim]:
    plain = [*_shares(rows, "tanh RNN"), *_shares(rows, "IRNN")]
    ahead = all(
        max(ends(rows, "held_out", net="chrono LSTM", steps=steps))
        < min(ends(rows, "held_out", net="LSTM", steps=steps))
        for steps in _lengths(rows)
    )
    base = ", ".join(f"{copy_memory_baseline(steps):.4f}" for steps in _lengths(rows))
    updates = max(int(row["update"]) for row in rows if row["net"] in GATED)
    return [
        Claim(
            "A tanh RNN and an IRNN stay at the baseline of a net without memory.",
            min(plain) > 0.95,
            f"held-out loss by seed: {_told(rows, ['tanh RNN', 'IRNN'], form='.4f')} (baseline "
            f"{base}); symbols wrong: {_told(rows, ['tanh RNN', 'IRNN'], 'wrong')} (chance 0.875)",
        ),
        Claim(
            f"A GRU is below nine tenths of the baseline after {updates} updates.",
            max(_shares(rows, "GRU")) < 0.9,
            f"held-out loss by seed: {_told(rows, ['GRU'], form='.4f')}; symbols wrong: "
            + _told(rows, ["GRU"], "wrong"),
        ),
        Claim(
            "Every LSTM with chrono is further below the baseline than any with forget bias 1.",
            ahead,
            f"held-out loss by seed: {_told(rows, ['LSTM', 'chrono LSTM'], form='.4f')}; symbols "
            "wrong: " + _told(rows, ["LSTM", "chrono LSTM"], "wrong"),
        ),
    ]


def _order_verdict(rows: Sequence[Row]) -> list[Claim]:
    wrong = {
        net: [w for s in _lengths(rows) for w in ends(rows, "wrong", net=net, steps=s)]
        for net in NETS
    }
    others = [w for net in NETS if net != "tanh RNN" for w in wrong[net]]
    level = TASKS["temporal-order"].solved * math.log(ORDER_CLASSES)
    middle = {net: float(np.median(_when(rows, net, level))) for net in NETS}
    return [
        Claim(
            "LSTM, GRU and IRNN solve the task: less than 1 % wrong with every seed.",
            max(others) < 0.01,
            "wrong by seed: " + _told(rows, [net for net in NETS if net != "tanh RNN"], "wrong"),
        ),
        Claim(
            "With Adam and clipping, a tanh RNN is better than chance too.",
            max(wrong["tanh RNN"]) < 0.375,
            f"wrong by seed: {_told(rows, ['tanh RNN'], 'wrong')} (chance 0.75)",
        ),
        Claim(
            "A tanh RNN takes more updates than each gated net.",
            middle["tanh RNN"] > max(middle[net] for net in GATED),
            f"updates to a loss below {level:.2g}, median over seeds: "
            + "; ".join(f"{net} {spelled([middle[net]], '.0f')}" for net in NETS),
        ),
    ]


def figure(rows: Sequence[Row]) -> "Figure":
    """Draw the losses of all nets at each length, and the final loss of each seed.

    The axes of updates are logarithmic, since some nets take a hundred times as many as others.
    """
    lengths, task = _lengths(rows), TASKS[str(rows[0]["task"])]
    high = -(-(len(lengths) + 1) // 2)  # two panels in a row
    drawn, axes = panels(0.5 + 2.5 * high, high, 2, aligned=False)
    *each, last = axes.ravel()
    loss = LOSSES[task.options.get("loss", "cross_entropy")]
    error = "cross-entropy (nats)" if loss.classes else "squared error"
    for unused in each[len(lengths) :]:
        unused.remove()
    lines: list[Any] = []
    for ax, steps in zip(each, lengths, strict=False):
        lines = []
        for style, net in zip(STYLES, NETS, strict=False):
            runs = runs_of(rows, net=net, steps=steps)
            longest = max(int(run[-1]["update"]) for run in runs)
            updates = list(range(WINDOW, longest + 1, WINDOW))
            lines.append(curve(ax, updates, [filled(run, updates) for run in runs], style, net))
        base = task.baseline(steps)
        level(ax, base)
        losses = [float(row["loss"]) for row in rows if row["steps"] == steps]
        ax.set_ylim(0.7 * min(losses), min(1.4 * max(losses), 20 * base))  # some runs diverge
        last_update = max(int(row["update"]) for row in rows if row["steps"] == steps)
        ax.set_xlim(WINDOW, max(last_update, WINDOW + 1))
        log_axis(ax)
        log_axis(ax, "x")
        dress(ax, _finding(rows, steps), "update, logarithmic",
              f"{error},\nmean of {WINDOW} updates")  # fmt: skip
    _draw_ends(last, rows, lengths)
    above = f"T = {', '.join(map(str, lengths))} from above" if len(lengths) > 1 else ""
    held_out_error = f"held-out {error.partition(' (')[0]}"
    dress(last, "Where each seed ends", f"{held_out_error} / that without memory", above)
    without = last.lines[-1]
    without.set_label("without memory")
    figure_legend(drawn, [*lines, without], len(lines) + 1)
    return drawn


def _finding(rows: Sequence[Row], steps: int) -> str:
    """Return which net is the first to solve the task at a length, as the title of a panel."""
    task = TASKS[str(rows[0]["task"])]
    goal = task.solved * task.baseline(steps)
    when = {
        net: float(np.median([first_below(r, goal) for r in runs_of(rows, net=net, steps=steps)]))
        for net in NETS
    }
    first = min(when, key=lambda net: when[net])
    does = "halves the baseline" if task.solved == 0.5 else "solves it"
    if math.isinf(when[first]):
        return f"T = {steps}: no net {does}"
    article = "an" if first in ("IRNN", "LSTM") else "a"
    return f"T = {steps}: {article} {first} {does} first, in {when[first]:,.0f} updates"


def _draw_ends(ax: Any, rows: Sequence[Row], lengths: Sequence[int]) -> None:
    base = TASKS[str(rows[0]["task"])].baseline
    for style, (place, net) in zip(STYLES, enumerate(NETS), strict=False):
        for k, steps in enumerate(lengths):
            shares = [loss / base(steps) for loss in ends(rows, "held_out", net=net, steps=steps)]
            seeds_row(ax, shares, place + 0.24 * (k - (len(lengths) - 1) / 2), style)
    rows_of(ax, list(NETS))
    ax.axvline(1, **REFERENCE)
    log_axis(ax, "x")


def _experiment(name: str, title: str, claim: str, quick: tuple[int, int],
                full: tuple[tuple[int, ...], int], verdict: Any, minutes: tuple[float, float],
                published: str) -> Experiment:  # fmt: skip
    return Experiment(
        name=name, title=title, claim=claim, cases=_cases(name, quick, full), measure=measure,
        figure=figure, verdict=verdict, minutes=minutes, published=published,
    )  # fmt: skip


ADDING = _experiment(
    "adding", "The adding problem",
    "The net must add two marked numbers among many, which takes a memory as long as the sequence.",
    (100, 2500), ((100, 200, 400), 20000), _adding_verdict, (1.4, 39),
    "TCN paper (Bai et al. 2018, arXiv:1803.01271), T = 600: LSTM 0.164, GRU 5.3e-5, RNN 0.177. "
    "RIN paper (Hu et al. 2018): IRNN solves T = 200, 300 and 400 (Adam, 1e-4 to 1e-6), LSTM fails "
    "at 400. Ours are T = 100 in the quick form and up to 400 in the full one; 64 units, batches "
    "of 32, Adam, clip 1.",
)  # fmt: skip
COPY_MEMORY = _experiment(
    "copy-memory", "The copy memory",
    "The net must repeat ten symbols after a long blank; without memory the loss is 10 ln 8 / "
    "(T + 20).",
    (50, 3000), ((50, 100, 200), 10000), _copy_verdict, (2.2, 38),
    "TCN paper (Bai et al. 2018, arXiv:1803.01271), T = 1000: LSTM 0.0204, GRU 0.0197, RNN 0.0202, "
    "all at the baseline. Tallec & Ollivier 2018 (arXiv:1804.11188), T = 500 and 2000: an LSTM of "
    "128 units leaves the baseline with chrono, not with forget bias 1 (RMSprop, far more updates "
    "than here).",
)  # fmt: skip
TEMPORAL_ORDER = _experiment(
    "temporal-order", "The temporal order",
    "The net must tell two symbols and their order at the end of a noisy sequence.",
    (50, 2500), ((50, 100, 200), 20000), _order_verdict, (0.52, 30),
    "Pascanu et al. 2013 (arXiv:1211.5063): with SGD a tanh RNN of 50 units solves lengths of 50 "
    "to 200 given clipping and Omega (5 of 5 seeds, up to 5 million updates); with plain SGD "
    "success falls with length. Here the nets have 64 units and are trained by Adam with clipping.",
)  # fmt: skip
