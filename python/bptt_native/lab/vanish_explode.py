"""Experiment: the norm of a loss gradient as it travels back in time, in untrained nets."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..nn.cells import GRU, LSTM, RNN
from ..options.init import Init
from ..options.words import Nonlinearity
from ..plots.base import (
    INK,
    LABEL,
    LINES,
    TWO_COLUMNS,
    dress,
    few_ticks,
    label_lines,
    listed,
    log_axis,
    new_figure,
)
from .drawing import STYLES, curve, level
from .experiment import Case, Claim, Experiment, Row
from .learning import runs_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUTS, UNITS, SEQUENCES, STEPS, EVERY = 8, 64, 32, 101, 4
RADII = (0.5, 0.75, 1.0, 1.25, 1.5)
GATED: dict[str, Any] = {
    "GRU": lambda **seed: GRU(INPUTS, UNITS, dtype="float64", **seed),
    "LSTM": lambda **seed: LSTM(INPUTS, UNITS, dtype="float64", **seed),
    "LSTM, forget bias 1": lambda **seed: LSTM(
        INPUTS, UNITS, dtype="float64", forget_bias=1.0, **seed
    ),
    "LSTM, chrono": lambda **seed: LSTM(
        INPUTS, UNITS, dtype="float64", init=Init("chrono", time_scale=float(STEPS)), **seed
    ),
}
PLAIN = ("sigmoid", "tanh", "relu")


def cases(full: bool) -> list[Case]:
    """List each nonlinearity at each spectral radius, and the gated cells."""
    radii = np.linspace(0.5, 1.5, 21).round(3).tolist() if full else RADII
    plain: list[Case] = [{"net": net, "radius": radius} for net in PLAIN for radius in radii]
    gated: list[Case] = [{"net": net} for net in GATED]
    return [*plain, *gated]


def measure(case: Case, seed: int) -> list[Row]:
    """Propagate a random gradient back from the last step and measure its norms.

    ``through`` is ||dL/da|| / ||dL/dh||, the share of the norm that passes the nonlinearity.
    """
    name = str(case["net"])
    if name in GATED:
        net = GATED[name](seed=seed)
    else:
        init = Init("normal", spectral_radius=float(case["radius"]))
        net = RNN(
            INPUTS,
            UNITS,
            nonlinearity=cast(Nonlinearity, name),
            dtype="float64",
            init=init,
            seed=seed,
        )
    rng = np.random.default_rng(seed)
    y, _, tape = net.forward(rng.standard_normal((STEPS, SEQUENCES, INPUTS)))
    dy = np.zeros_like(y)
    dy[-1] = rng.standard_normal(dy[-1].shape)
    gradients = net.backward(tape, dy)
    h = np.asarray(gradients.flow)[0, ::-1]
    rows: list[Row] = [{"distance": d, "h": float(h[d] / h[0])} for d in range(0, STEPS, EVERY)]
    if gradients.flow_c is not None:
        c = np.asarray(gradients.flow_c)[0, ::-1]
        for row in rows:
            row["c"] = float(c[int(row["distance"])] / c[0])
    if name in PLAIN:
        a = np.asarray(gradients.flow_a)[0, ::-1]
        for row in rows:
            d = int(row["distance"])
            row["through"] = float(a[d] / h[d])
    return rows


def factor(rows: Iterable[Row], of: str = "h") -> float:
    """Return the factor per step by which a run's norms change from its first to its last row."""
    found = sorted((int(row["distance"]), float(row[of])) for row in rows)
    (near, before), (far, after) = found[0], found[-1]
    return math.exp((math.log(after) - math.log(before)) / (far - near)) if after > 0 else 0.0


def _runs(rows: Sequence[Row], net: str, radius: float | None = None) -> list[list[Row]]:
    return runs_of(rows, net=net, **({} if radius is None else {"radius": radius}))


def _radii(rows: Sequence[Row]) -> list[float]:
    return sorted({float(row["radius"]) for row in rows if row["net"] in PLAIN})


def _factors(rows: Sequence[Row], net: str, radius: float | None = None, of: str = "h") -> Any:
    return np.array([factor(run, of) for run in _runs(rows, net, radius)])


def _span(values: Any, form: str = ".2f") -> str:
    low, high = f"{np.min(values):{form}}", f"{np.max(values):{form}}"
    return low if low == high else f"{low} to {high}"


def verdict(rows: Sequence[Row]) -> list[Claim]:
    """Compare the factors per step and the shares that pass the nonlinearities."""
    radii = _radii(rows)
    low, high = radii[0], radii[-1]
    loss = 1 - np.array([row["through"] for row in rows if row["net"] == "sigmoid"], np.float64)
    sigmoid = np.array([_factors(rows, "sigmoid", r) for r in radii])
    tanh = np.array([_factors(rows, "tanh", r) for r in radii])
    relu = np.array([_factors(rows, "relu", r) for r in radii])
    one = int(np.argmin(np.abs(np.array(radii) - 1)))
    c = {net: _factors(rows, net, of="c") for net in GATED if net.startswith("LSTM")}
    default, bias, chrono = c.values()
    return [
        Claim(
            "A sigmoid loses at least 75 % of the gradient's norm at every step through the "
            "nonlinearity alone (not 25 %).",
            bool(loss.min() >= 0.75),
            f"lost per step: {100 * loss.mean():.1f} % on average, {100 * loss.min():.1f} % at "
            f"least, {100 * loss.max():.1f} % at most, over all radii and distances",
        ),
        Claim(
            f"With sigmoids the gradient vanishes at every spectral radius from {low:g} to "
            f"{high:g}.",
            bool(sigmoid.max() < 0.5),
            f"factor per step {_span(sigmoid[0])} at radius {low:g}, {_span(sigmoid[-1])} at "
            f"{high:g}: after 100 steps at most {sigmoid.max() ** 100:.0e} is left",
        ),
        Claim(
            f"With tanh it vanishes at radius {low:g} and grows at {high:g}.",
            bool(tanh[0].max() < 0.7 and tanh[-1].min() > 1),
            f"factor per step {_span(tanh[0])} at {low:g}, {_span(tanh[one])} at "
            f"{radii[one]:g}, {_span(tanh[-1], '.3f')} at {high:g}",
        ),
        Claim(
            "With ReLU the gradient vanishes faster than with tanh at the same radius, because a "
            "unit that is off passes nothing.",
            bool(all(np.all(relu[k] < tanh[k]) for k in range(one + 1))),
            f"factor per step at radius {radii[one]:g}: ReLU {_span(relu[one])}, tanh "
            f"{_span(tanh[one])}; ReLU at {high:g}: {_span(relu[-1])}",
        ),
        Claim(
            "The bias of the forget gates determines how much an LSTM keeps; with PyTorch's "
            "initialisation it forgets.",
            bool(default.max() < bias.min() and bias.max() < chrono.min() and chrono.min() > 0.95),
            f"factor per step of the cell's gradient: {_span(default)} by default, "
            f"{_span(bias)} with forget bias 1, {_span(chrono, '.3f')} with chrono; GRU "
            f"{_span(_factors(rows, 'GRU'))}",
        ),
    ]


NORM, OF_C = r"$\|\partial L/\partial h_t\|$", r"$\|\partial L/\partial c_t\|$"
PASSED = r"$\|\partial L/\partial a_t\|\, /\, \|\partial L/\partial h_t\|$"
NAMES = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU"}
OF_NET = dict(zip(PLAIN, STYLES, strict=False))
OF_CELL = {
    "GRU": {**STYLES[3], "linestyle": "-"},
    "LSTM": {**STYLES[4], "linestyle": "-"},
    "LSTM, forget bias 1": {**STYLES[4], "linestyle": LINES[1], "marker": "s"},
    "LSTM, chrono": {**STYLES[4], "linestyle": LINES[3], "marker": "^"},
}


def figure(rows: Sequence[Row]) -> "Figure":
    """Draw the norms against the distance, and the factors against the spectral radius.

    The colour is the net. A line style is a spectral radius or an initialisation.
    """
    drawn = new_figure(TWO_COLUMNS, 5.0)
    parts: Any = drawn.subfigures(2, 1, hspace=0.02)
    above = parts[0].subplots(1, 3, sharey=True)
    gated, factors, shares = parts[1].subplots(1, 3)
    radii = _radii(rows)
    distance = sorted({int(row["distance"]) for row in rows})
    least = min(float(row["h"]) for row in rows if row["net"] in PLAIN)
    for ax, net in zip(above, PLAIN, strict=True):
        _draw_radii(ax, rows, net, distance, [r for r in radii if r in RADII] or radii)
        ax.set_ylim(max(1e-99, least / 10), 1e8)
        log_axis(ax)
        label_lines(ax, ax.lines)
    above[0].set_ylabel(f"{NORM}, relative to the last step", fontsize=LABEL)
    _draw_gated(gated, rows, distance)
    of_factors, of_shares = [], []
    for net, style in OF_NET.items():
        found = np.array([_factors(rows, net, r) for r in radii])
        of_factors.append(curve(factors, radii, found.T.tolist(), style, NAMES[net]))
        passed = np.array([_passed(rows, net, r) for r in radii])
        of_shares.append(curve(shares, radii, passed.T.tolist(), style, NAMES[net]))
    level(factors, 1)
    level(shares, 0.25)
    growing = [NAMES[net] for net in PLAIN if np.median(_factors(rows, net, radii[-1])) > 1]
    loss = np.mean([row["through"] for row in rows if row["net"] == "sigmoid"])
    below = r"spectral radius $\rho$ of $W_{hh}$"
    title = f"The gradient grows only with {listed(growing)}"
    title = title if growing else "The gradient vanishes with all three"
    dress(factors, title, below, f"factor of {NORM} per step back")
    dress(shares, f"A sigmoid passes {100 * loss:.0f} % of the norm", below, PASSED)
    for ax, lines, levels in (
        (factors, of_factors, {1.0: ("×1: kept", INK)}), (shares, of_shares, {0.25: ("¼", INK)})
    ):  # fmt: skip
        ax.set_xlim(radii[0], radii[-1])
        ax.set_ylim(0, 1.1)
        few_ticks(ax.xaxis, 3)
        label_lines(ax, lines, levels)
    return drawn


def _draw_radii(
    ax: Any, rows: Sequence[Row], net: str, distance: Sequence[int], radii: Sequence[float]
) -> None:
    factors = [float(np.median(_factors(rows, net, radius))) for radius in radii]
    for k, radius in enumerate(radii):
        runs = [[float(row["h"]) for row in run] for run in _runs(rows, net, radius)]
        style = {**OF_NET[net], "linestyle": LINES[k % len(LINES)], "marker": ""}
        curve(ax, distance, runs, style, rf"$\rho$ = {radius:g}")
    ax.set_xlim(distance[0], distance[-1])
    span = f"×{min(factors):.2f} to ×{max(factors):.2f} per step"
    dress(ax, f"{NAMES[net]}:\n{span}", "distance back (time steps)", "")


def _draw_gated(ax: Any, rows: Sequence[Row], distance: Sequence[int]) -> None:
    lines, factors = [], []
    for net, style in OF_CELL.items():
        of = "c" if net.startswith("LSTM") else "h"
        runs = [[float(row[of]) for row in run] for run in _runs(rows, net)]
        factors.append(float(np.median(_factors(rows, net, of=of))))
        name = net.replace(", ", ",\n")
        lines.append(curve(ax, distance, runs, style, f"{name} ×{factors[-1]:.2f}"))
    ax.set_xlim(distance[0], distance[-1])
    ax.set_ylim(0.3 * min(float(np.min(line.get_ydata())) for line in lines), 10)
    log_axis(ax)
    label_lines(ax, lines)
    span = f"×{min(factors):.2f} to ×{max(factors):.2f} per step"
    dress(ax, f"Gated cells:\n{span}", "distance back (time steps)",
          f"{NORM}, of LSTMs {OF_C},\nrelative to the last step")  # fmt: skip


def _passed(rows: Sequence[Row], net: str, radius: float) -> list[float]:
    """Return the mean of ||dL/da|| / ||dL/dh|| over the distances, for each seed."""
    runs = _runs(rows, net, radius)
    return [float(np.mean([float(row["through"]) for row in run])) for run in runs]


EXPERIMENT = Experiment(
    name="vanish-explode",
    title="Vanishing and exploding gradients",
    claim=(
        "On its way back in time, the gradient's norm changes by a nearly constant factor per "
        "step, which depends on the nonlinearity, the spectral radius and the gates."
    ),
    cases=cases,
    measure=measure,
    figure=figure,
    verdict=verdict,
    minutes=(0.0086, 0.022),
    published=(
        "Pascanu et al. 2013 (arXiv:1211.5063): a largest singular value of W_hh below 1/gamma "
        "is sufficient for vanishing, with gamma the largest derivative (1/4 for the sigmoid, 1 "
        "for tanh); above 1/gamma is necessary for exploding."
    ),
)
