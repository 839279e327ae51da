"""Experiment: "I grew up in Spain ... I speak fluent Spanish", accuracy against the gap."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..plots.base import GREY, NOTE, REFERENCE, dress, label_lines
from ..tasks import LANGUAGES, SENTENCE, TEXT_WORDS, agreement_text
from .drawing import STYLES, curve, level, panels
from .experiment import Case, Claim, Experiment, Row
from .learning import GATED, NETS, build, ends, spelled, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH, UNITS, WINDOW, GOAL, CHANCE = 32, 64, 100, 0.005, 1 / len(LANGUAGES)
LONGEST = 100
RATES = {"tanh RNN": 1e-3, "IRNN": 5e-4, "LSTM": 5e-3, "GRU": 5e-3, "chrono LSTM": 5e-3}
TESTED = (0, 10, 20, 40, 60, 80, 100, 150, 200)
"""The gaps at which nets are tested; the last ones are longer than any in training."""
TEXTS = 1000


def cases(full: bool) -> list[Case]:
    """List the nets, the slowest first."""
    updates = 20000 if full else 2000
    return [
        {"net": net, "lr": RATES[net], "longest": LONGEST,
         "updates": updates * (1 if net in GATED else 2)}
        for net in reversed(NETS)
    ]  # fmt: skip


def measure(case: Case, seed: int) -> list[Row]:
    """Train on gaps up to the longest, then test each gap."""
    longest = int(case["longest"])
    model = build(
        str(case["net"]), longest + 9, seed, vocab_size=len(TEXT_WORDS), hidden_size=UNITS,
        output_size=len(LANGUAGES), targets="last", lr=float(case["lr"]),
    )  # fmt: skip
    gaps = longest // SENTENCE + 1
    trained = train(
        model, lambda rng: agreement_text(SENTENCE * int(rng.integers(gaps)), BATCH, rng),
        int(case["updates"]), WINDOW, seed, GOAL,
    )  # fmt: skip
    rows: list[Row] = []
    for gap in TESTED:
        x, y = agreement_text(gap, TEXTS, np.random.default_rng((2**32, seed, gap)))
        right = float((model(x)[0].argmax(-1) == y).mean())
        rows.append({"trained": trained[-1]["update"], "gap": gap, "accuracy": right})
    return rows


def accuracies(rows: Sequence[Row], net: str, gap: int) -> list[float]:
    """Return the accuracy of each seed."""
    return ends(rows, "accuracy", net=net, gap=gap)


def _gaps(rows: Sequence[Row]) -> list[int]:
    return sorted({int(row["gap"]) for row in rows})


def verdict(rows: Sequence[Row]) -> list[Claim]:
    """Compare the nets at the gaps of training, and at longer ones."""
    longest = int(rows[0]["longest"])
    inside = [gap for gap in _gaps(rows) if gap <= longest]
    farthest = _gaps(rows)[-1]
    within = {net: [a for g in inside for a in accuracies(rows, net, g)] for net in NETS}
    beyond = {net: accuracies(rows, net, farthest) for net in NETS}
    tanh = {gap: float(np.median(accuracies(rows, "tanh RNN", gap))) for gap in inside}
    return [
        Claim(
            f"LSTM and GRU predict the word correctly over every gap up to {longest} words.",
            min(min(within[net]) for net in GATED) >= 0.99,
            "least accuracy over gaps and seeds: "
            + "; ".join(f"{net} {min(within[net]):.3f}" for net in GATED)
            + f" (chance {CHANCE:.3f})",
        ),
        Claim(
            f"A tanh RNN is right less often over {longest} words than over none, by a tenth at "
            "least.",
            tanh[inside[0]] - tanh[inside[-1]] >= 0.1,
            "accuracy, median over seeds: "
            + "; ".join(f"{value:.3f} over {gap}" for gap, value in tanh.items()),
        ),
        Claim(
            f"Gated nets predict it over {farthest} words too, longer than any gap in training.",
            min(min(beyond[net]) for net in GATED) >= 0.95,
            f"accuracy over {farthest} words by seed: "
            + "; ".join(f"{net} {spelled(beyond[net], '.3f')}" for net in NETS),
        ),
    ]


def figure(rows: Sequence[Row]) -> "Figure":
    """Draw the accuracy of each net against the gap."""
    drawn, axes = panels(3.2, 1, 1)
    ax, gaps, longest = axes[0, 0], _gaps(rows), int(rows[0]["longest"])
    lines = []
    for style, net in zip(STYLES, NETS, strict=False):
        runs = np.array([accuracies(rows, net, gap) for gap in gaps]).T
        lines.append(curve(ax, gaps, runs.tolist(), style, net, markers=len(gaps)))
    ax.axvline(longest, **REFERENCE)
    ax.annotate("longest gap in training", (longest, 0.03), (4, 0), textcoords="offset points",
                fontsize=NOTE, color=GREY)  # fmt: skip
    ax.set_xlim(gaps[0], gaps[-1])
    ax.set_ylim(0, 1.03)
    level(ax, CHANCE)
    label_lines(ax, lines, {CHANCE: (f"chance: 1/{len(LANGUAGES)}", GREY)})
    gated = min(min(accuracies(rows, net, gap)) for net in GATED for gap in gaps)
    title = '"I grew up in Spain. ... I speak fluent ...": '
    title += "gated nets always know the word" if gated >= 0.99 else "is the word right?"
    dress(ax, title, "gap (words between the two sentences)", "accuracy of the last word")
    return drawn


EXPERIMENT = Experiment(
    name="long-range-text",
    title="A word that depends on one far before",
    claim=(
        "Whether a net can tell the language at the end of a text depends on its cell and on the "
        "distance to the country."
    ),
    cases=cases,
    measure=measure,
    figure=figure,
    verdict=verdict,
    minutes=(0.75, 0.93),
    published=(
        "The texts follow a grammar of this project (`tasks.agreement_text`) with eight "
        "countries. One in four of the sentences in the gap names a random country, and only the "
        "last word is the target. The gap of each training batch is random."
    ),
)
