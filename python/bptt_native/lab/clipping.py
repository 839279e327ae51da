"""Experiment: gradient clipping at a cliff in the loss of a small net, and in a task."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.model import Model
from ..nn.cells import RNN
from ..plots.base import (
    DASH,
    DOT,
    GREY,
    INK,
    NOTE,
    REFERENCE,
    colour_bar,
    dress,
    few_ticks,
    figure_legend,
    label_lines,
    log_axis,
    plain_numbers,
)
from ..tasks import ADDING_BASELINE, adding
from .drawing import STYLES, curve, level, panels, rows_of, seeds_row
from .experiment import Case, Claim, Experiment, Row
from .learning import adding_error, first_below, runs_of, spelled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The cliff: h_t = sigmoid(w h_{t-1} + b), L = (h_50 - 0.7)^2, h_0 = sigmoid(0.5).
CLIFF_STEPS, GOAL, H0 = 50, 0.7, 1 / (1 + math.exp(-0.5))
CLIFF_START, CLIFF_SPREAD, CLIFF_RATE, CLIFF_UPDATES, CLIFF_STARTS = (5.2, -2.4), 0.1, 0.1, 300, 10
CLIFF_CLIPS = {"none": math.inf, "norm": 0.5, "value": 0.5}
CLIFF_DRAWN = 150  # updates shown of each first path
FAR = 1.0  # a longer update leaves the picture

# The task: the adding problem with an IRNN and plain SGD with momentum.
TASK_TIME, TASK_BATCH, TASK_UNITS, WINDOW, SOLVED = 30, 32, 64, 500, 0.03
TASK: tuple[tuple[str, float, float], ...] = (
    ("none", math.inf, 0.001), ("none", math.inf, 0.003), ("none", math.inf, 0.01),
    ("none", math.inf, 0.02), ("norm", 0.3, 0.02), ("value", 0.001, 0.02),
    ("value", 0.003, 0.02), ("value", 0.01, 0.02),
)  # fmt: skip


def cases(full: bool) -> list[Case]:
    """List the ways to clip, in the task and at the cliff."""
    updates = 20000 if full else 7000
    task: list[Case] = [
        {"part": "task", "clip": clip, "threshold": threshold, "lr": lr, "updates": updates}
        for clip, threshold, lr in TASK
    ]
    cliff: list[Case] = [
        {"part": "cliff", "clip": clip, "threshold": threshold, "lr": CLIFF_RATE}
        for clip, threshold in CLIFF_CLIPS.items()
    ]
    return [*task, *cliff]


def measure(case: Case, seed: int) -> list[Row]:
    """Train a net on the task, or descend from points near the cliff."""
    return _task(case, seed) if case["part"] == "task" else _cliff(case, seed)


def _cliff(case: Case, seed: int) -> list[Row]:
    """Descend from several starts; return the first path, and where each one ends."""
    net = RNN(1, 1, nonlinearity="sigmoid", dtype="float64")
    rng = np.random.default_rng(seed)
    starts = np.array(CLIFF_START) + CLIFF_SPREAD * rng.uniform(-1, 1, (CLIFF_STARTS, 2))
    rows: list[Row] = []
    for start, point in enumerate(starts):
        path, longest, angles = [point], 0.0, [0.0]
        for _ in range(CLIFF_UPDATES):
            gradient = cliff_gradient(net, *path[-1])[1]
            update = clipped(gradient, str(case["clip"]), float(case["threshold"]))
            angles.append(angle(gradient, update))
            path.append(path[-1] - float(case["lr"]) * update)
            longest = max(longest, float(np.linalg.norm(path[-1] - path[-2])))
        if start == 0:
            shown = enumerate(path[: CLIFF_DRAWN + 1])
            rows += [{"update": k, "w": float(w), "b": float(b)} for k, (w, b) in shown]
        w, b = path[-1]
        rows.append(
            {"start": start, "w": float(w), "b": float(b), "longest": longest,
             "loss": cliff_gradient(net, w, b)[0], "degrees": math.degrees(max(angles))}
        )  # fmt: skip
    return rows


def cliff_gradient(net: RNN, w: float, b: float) -> tuple[float, Any]:
    """Return the loss of the one-unit net at (w, b), and its gradient [2]."""
    zero = np.zeros(1)
    net.load_state_dict(
        {"weight_ih_l0": zero[:, None], "weight_hh_l0": np.array([[w]]), "bias_ih_l0": zero + b,
         "bias_hh_l0": zero}
    )  # fmt: skip
    y, _, tape = net.forward(np.zeros((CLIFF_STEPS, 1, 1)), np.full((1, 1, 1), H0))
    error = float(y[-1, 0, 0]) - GOAL
    dy = np.zeros_like(y)
    dy[-1] = 2 * error
    gradients = net.backward(tape, dy, flow=False)
    return error**2, np.array(
        [gradients["weight_hh_l0"][0, 0], gradients["bias_ih_l0"][0]], np.float64
    )


def clipped(gradient: Any, how: str, threshold: float) -> Any:
    """Clip a gradient by its norm ("norm"), element by element ("value") or not at all ("none")."""
    if how == "norm":
        return gradient * min(1.0, threshold / max(float(np.linalg.norm(gradient)), 1e-300))
    return np.clip(gradient, -threshold, threshold) if how == "value" else gradient


def angle(a: Any, b: Any) -> float:
    """Return the angle between two vectors in radians, also accurate where it is small.

    The angle between equal vectors is 0, even if they are zero.
    """
    if np.array_equal(a, b):
        return 0.0
    u, v = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return 2 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v)))


def _task(case: Case, seed: int) -> list[Row]:
    """Train on the adding problem; return losses and gradient norms during training."""
    clip: dict[str, Any] = {"none": {}, "norm": {"clip_norm": case["threshold"]},
            "value": {"clip_value": case["threshold"]}}[str(case["clip"])]  # fmt: skip
    model = Model(
        "rnn", input_size=2, hidden_size=TASK_UNITS, output_size=1, nonlinearity="relu",
        init="identity", loss="mse", targets="last", optimizer="sgd", momentum=0.9, seed=seed,
        lr=float(case["lr"]), **clip,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    updates = int(case["updates"])
    for update in range(0, updates, WINDOW):
        steps = [model.train_step(*adding(TASK_TIME, TASK_BATCH, rng)) for _ in range(WINDOW)]
        losses = [step.loss for step in steps]
        norms = [step.grad_norm for step in steps]
        rows.append(
            {"update": update + WINDOW, "loss": float(np.mean(losses)), "peak": max(losses),
             "norm": float(np.median(norms)), "largest": max(norms)}
        )  # fmt: skip
    rows[-1]["held_out"] = adding_error(model, TASK_TIME, seed)
    return rows


def _task_runs(rows: Sequence[Row], way: tuple[str, float, float]) -> list[list[Row]]:
    """Return the rows of one way to train, a list for each seed."""
    clip, threshold, lr = way
    return runs_of(rows, part="task", clip=clip, threshold=threshold, lr=lr)


def _held_out(runs: Sequence[Sequence[Row]]) -> list[float]:
    return [float(run[-1]["held_out"]) for run in runs]


def _ends(rows: Sequence[Row], clip: str, of: str) -> Any:
    return np.array(
        [row[of] for row in rows if row["part"] == "cliff" and row["clip"] == clip and of in row
         and "start" in row], np.float64,
    )  # fmt: skip


def verdict(rows: Sequence[Row]) -> list[Claim]:
    """Compare the lengths of the updates at the cliff, and the runs that solve the task."""
    far = {clip: _ends(rows, clip, "longest") for clip in CLIFF_CLIPS}
    loss = {clip: _ends(rows, clip, "loss") for clip in CLIFF_CLIPS}
    thrown = {clip: int((lengths > FAR).sum()) for clip, lengths in far.items()}
    starts = len(far["none"])
    degrees = {clip: _ends(rows, clip, "degrees").max() for clip in CLIFF_CLIPS}
    runs = {way: _task_runs(rows, way) for way in TASK}
    solved = {way: sum(v < SOLVED for v in _held_out(found)) for way, found in runs.items()}
    norm = next(way for way in TASK if way[0] == "norm")
    free = [way for way in TASK if way[0] == "none"]
    bare = next(way for way in free if way[2] == norm[2])
    seeds = len(runs[norm])
    peaks = {
        way: [max(float(row["peak"]) for row in run) / ADDING_BASELINE for run in runs[way]]
        for way in (bare, norm)
    }
    value = [way for way in TASK if way[0] == "value"]
    when = {
        way: float(np.median([first_below(run, SOLVED) for run in found]))
        for way, found in runs.items()
    }
    return [
        Claim(
            "At the cliff of the one-unit net, gradient descent without clipping is thrown far "
            "away from most starts; with clipping from none.",
            thrown["none"] > starts / 2 and thrown["norm"] == thrown["value"] == 0,
            f"thrown further than {FAR:g} in one update: {thrown['none']} of {starts} runs "
            f"without, {thrown['norm']} by norm, {thrown['value']} by value; the longest update "
            f"{far['none'].max():.1f} against {far['norm'].max():.3f}; median loss at the end "
            f"{np.median(loss['none']):.3f} against {np.median(loss['norm']):.4f}",
        ),
        Claim(
            "Clipping by norm keeps the gradient's direction, clipping by value does not.",
            bool(degrees["norm"] < 1e-4 and degrees["value"] > 5),
            f"largest angle between the gradient and the clipped one: {degrees['norm']:.0e} "
            f"degrees by norm, {degrees['value']:.0f} by value",
        ),
        Claim(
            "An IRNN on the adding problem diverges without clipping and learns with it, at the "
            "same learning rate.",
            solved[norm] >= seeds - seeds // 4 and solved[bare] == 0
            and min(peaks[bare]) > max(1.0, float(np.median(peaks[norm]))),
            f"held-out error below {SOLVED:g} (baseline {ADDING_BASELINE:.3f}): {solved[norm]} of "
            f"{seeds} seeds with clip_norm {norm[1]:g}, {solved[bare]} without; the loss without "
            f"rose to {min(peaks[bare]):.0f} to {max(peaks[bare]):.0f} times the baseline",
        ),
        Claim(
            "Without clipping there is no learning rate at which it learns as fast.",
            when[norm] < min(when[way] for way in free),
            f"updates until the error is below {SOLVED:g}, and the error at the end, medians: "
            + "; ".join(
                f"{_name(way)}: {spelled([when[way]], '.0f')}, "
                f"{np.median(_held_out(runs[way])):.3g}"
                for way in [*free, norm]
            ),
        ),
        Claim(
            "With clipping by value, which turns the gradient, it learns less often than by norm.",
            max(solved[way] for way in value) < solved[norm],
            "; ".join(f"clip_value {way[1]:g}: {solved[way]} of {seeds}" for way in value),
        ),
    ]  # fmt: skip


OF_CLIP = {"none": STYLES[1], "norm": STYLES[0], "value": STYLES[2]}
CLIPPED = {"none": "without clipping", "norm": "clipped by norm", "value": "clipped by value"}


def figure(rows: Sequence[Row]) -> "Figure":
    """Draw the cliff with the paths of gradient descent, and the losses of the task.

    The colour is the way to clip.
    """
    drawn, axes = panels(5.9, 2, 2, aligned=False)
    _draw_cliff(axes[0, 0], rows)
    _draw_section(axes[0, 1])
    _draw_task(axes[1, 0], rows)
    _draw_held_out(axes[1, 1], rows)
    figure_legend(drawn, axes[0, 0].lines[: len(CLIPPED)], len(CLIPPED))
    return drawn


def cliff_losses(w: Any, b: Any) -> Any:
    """Return the losses of the one-unit net at many (w, b)."""
    h = np.full(np.broadcast(w, b).shape, H0)
    for _ in range(CLIFF_STEPS):
        h = 1 / (1 + np.exp(-(w * h + b)))
    return (h - GOAL) ** 2


def _draw_cliff(ax: Any, rows: Sequence[Row]) -> None:
    w, b = np.meshgrid(np.linspace(4, 6, 481), np.linspace(-3, -1.6, 481))
    image = ax.imshow(
        cliff_losses(w, b), cmap="Greys", vmin=0, vmax=0.5, alpha=0.7, origin="lower",
        aspect="auto", extent=(4, 6, -3, -1.6),
    )  # fmt: skip
    colour_bar(ax, image, r"loss $(h_{50} - 0.7)^2$")
    seed = min(int(row["seed"]) for row in rows)
    for clip, name in CLIPPED.items():
        path = np.array(
            [(row["w"], row["b"]) for row in rows
             if row["part"] == "cliff" and row["clip"] == clip and row["seed"] == seed
             and "update" in row], np.float64,
        )  # fmt: skip
        ax.plot(*path.T, **{**OF_CLIP[clip], "marker": ""}, linewidth=1.1, label=name)
    ax.plot(*path[0], "o", color="white", markeredgecolor="black", markersize=5, zorder=5)
    ax.annotate("start", path[0], (5, 0), textcoords="offset points", va="center", fontsize=NOTE)
    ax.set_xlim(4, 6)
    ax.set_ylim(-3, -1.6)
    far = _ends(rows, "none", "longest")
    title = f"Without clipping {(far > FAR).sum()} of {len(far)} runs are thrown far off a cliff"
    dress(ax, title, r"$w$ in $h_t = \sigma(w h_{t-1} + b)$", r"$b$")
    few_ticks(ax.xaxis, 4)
    ax.grid(visible=False)


def _draw_section(ax: Any) -> None:
    net, highest = RNN(1, 1, nonlinearity="sigmoid", dtype="float64"), 0.0
    lines = []
    for w, line in zip((4.2, 4.6, 5.0), ("-", DASH, DOT), strict=True):
        b = _across(w)
        norms = [float(np.linalg.norm(cliff_gradient(net, w, v)[1])) for v in b]
        highest = max(highest, *norms)
        label = f"$w$ = {w:g}, peak {max(norms):,.0f}"
        lines += ax.plot(b, norms, color=INK, linestyle=line, linewidth=1.1, label=label)
    ax.set_xlim(-3, -1.6)
    ax.set_ylim(1e-2, 2 * highest)
    log_axis(ax)
    few_ticks(ax.xaxis, 4)
    threshold = CLIFF_CLIPS["norm"]
    level(ax, threshold)
    label_lines(ax, lines, {threshold: (f"threshold {threshold:g}", GREY)})
    title = f"The gradient's norm peaks at the cliff, up to {highest:,.0f}"
    dress(ax, title, r"$b$", r"$\|\partial L/\partial(w, b)\|$")


def _across(w: float) -> Any:
    """Return values of b, increasingly dense towards the cliff at this w."""
    low, high = -3.0, -1.6
    points = [np.linspace(low, high, 301)]
    for _ in range(9):
        steps = np.linspace(low, high, 41)
        at = int(np.argmax(np.abs(np.diff(cliff_losses(w, steps)))))
        low, high = steps[max(0, at - 2)], steps[min(40, at + 3)]
        points.append(np.linspace(low, high, 41))
    return np.unique(np.concatenate(points))


def _draw_task(ax: Any, rows: Sequence[Row]) -> None:
    shown = [way for way in TASK if way[2] in (0.003, 0.02) and way[1] not in (0.001, 0.01)]
    lines, highest, lowest, when = [], 0.0, math.inf, {}
    for way in shown:
        runs = _task_runs(rows, way)
        updates = [int(row["update"]) for row in runs[0]]
        losses = [[float(row["loss"]) for row in run] for run in runs]
        style = {**OF_CLIP[way[0]]}
        if way == shown[0]:
            style |= {"linestyle": DOT, "marker": ""}
        lines.append(curve(ax, updates, losses, style, _name(way).replace(", ", ",\n")))
        when[way[0]] = float(np.median([first_below(run, SOLVED) for run in runs]))
        highest, lowest = max(highest, np.max(losses)), min(lowest, np.min(losses))
    ax.set_xlim(updates[0], updates[-1])
    ax.set_ylim(0.8 * lowest, 1.3 * highest)
    log_axis(ax)
    plain_numbers(ax)
    level(ax, ADDING_BASELINE)
    label_lines(ax, lines, {ADDING_BASELINE: ("baseline 1/6", GREY)})
    soonest = min(when, key=lambda clip: when[clip])
    title = f"Adding over {TASK_TIME} steps: an IRNN learns soonest {CLIPPED[soonest]}"
    dress(ax, title, "update", f"squared error,\nmean of {WINDOW} updates")


def _draw_held_out(ax: Any, rows: Sequence[Row]) -> None:
    for k, way in enumerate(TASK):
        seeds_row(ax, _held_out(_task_runs(rows, way)), k, OF_CLIP[way[0]])
    rows_of(ax, [_name(way) for way in TASK])
    ax.set_xscale("log")
    ax.set_xlim(right=max(2.5, ax.get_xlim()[1]))
    log_axis(ax, "x")
    ax.set_ylim(len(TASK) - 0.5, -1.1)
    for x, text, side in ((SOLVED, "solved", -1), (ADDING_BASELINE, "baseline 1/6", 1)):
        ax.axvline(x, **REFERENCE)
        ax.annotate(text, (x, -1.1), (3 * side, -2), textcoords="offset points", va="top",
                    ha="left" if side > 0 else "right", fontsize=NOTE, color=INK)  # fmt: skip
    by_norm = [_held_out(_task_runs(rows, way)) for way in TASK if way[0] == "norm"]
    won, seeds = max(sum(v < SOLVED for v in found) for found in by_norm), len(by_norm[0])
    title = f"Clipped by norm,\n{won} of {seeds} seeds solve it"
    dress(ax, title, "squared error on held-out sequences", "")


def _name(way: tuple[str, float, float]) -> str:
    clip, threshold, lr = way
    return f"lr {lr:g}, " + ("no clipping" if clip == "none" else f"clip_{clip} {threshold:g}")


EXPERIMENT = Experiment(
    name="clipping",
    title="Exploding gradients and clipping",
    claim=(
        "The loss of a recurrent net has cliffs from which the gradient throws gradient descent "
        "far away; clipping the gradient's norm keeps it near, in the gradient's direction."
    ),
    cases=cases,
    measure=measure,
    figure=figure,
    verdict=verdict,
    minutes=(1.9, 5.1),
    seeds=5,
    published=(
        "Pascanu et al. 2013 (arXiv:1211.5063), figure 6: the wall in the loss of a net with one "
        "hidden unit over 50 steps, and clipping by norm as the way to stay in the valley; "
        "thresholds of 0.5 to 10 times the average norm work."
    ),
)
