"""Numbers of a run for the page's charts, reduced to fewer points and digits."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..training.gradient_record import GradientRecord
from ..training.history import HistoryRow, Unit, columns

Floats = npt.NDArray[np.float64]
POINTS, LOOKS, ROWS = 600, 80, 120  # limits: points of a curve, columns and rows of a heat map
METRICS = 8  # limit of the metrics that are shown


def rounded(value: Any, digits: int = 5) -> float | None:
    """Return a number rounded to significant digits, or None if it is not finite."""
    return float(f"{float(value):.{digits}g}") if math.isfinite(value) else None


def rounded_all(values: npt.ArrayLike) -> list[float | None]:
    """Return numbers rounded to 5 significant digits, with None for those that are not finite."""
    return [rounded(v) for v in np.asarray(values, np.float64).tolist()]


def curves(rows: Sequence[HistoryRow], unit: Unit) -> dict[str, Any]:
    """Return the curves of a history with at most `POINTS` points.

    Parameters
    ----------
    rows : sequence of HistoryRow
    unit : Unit
        Unit of the losses.
    """
    steps = columns(rows)
    bucket = -(-len(rows) // POINTS)
    parts = [slice(a, a + bucket) for a in range(0, len(rows), bucket)]
    loss, norm = steps["loss"] * unit.factor, np.where(steps["skipped"], np.nan, steps["grad_norm"])
    measured = [(r.step, r.valid_loss, r.valid_accuracy) for r in rows if r.valid_loss is not None]
    after = np.where(steps["skipped"], np.nan, steps["clipped_norm"])
    held = [[s, rounded(v * unit.factor)] for s, v, _ in measured]
    losses = [*loss[np.isfinite(loss)].tolist(), *(v for _, v in held if v is not None)]
    return {
        "bucket": bucket, "unit": unit.name, "step": [int(steps["step"][p][-1]) for p in parts],
        "loss": _each(loss, parts, np.mean), "loss_low": _each(loss, parts, np.min),
        "loss_high": _each(loss, parts, np.max), "valid": held,
        "accuracy": [[s, rounded(a)] for s, _, a in measured if a is not None],
        "metrics": _metrics([row for row in rows if row.valid_loss is not None]),
        "positive": min(losses, default=1.0) > 0,
        "norm": _each(norm, parts, np.median), "norm_low": _each(norm, parts, np.min),
        "norm_high": _each(norm, parts, np.max), "after": _each(after, parts, np.median),
        "angle": _each(np.degrees(steps["clip_angle"]), parts, np.median),
        "lr": _each(steps["lr"], parts, np.mean),
    }  # fmt: skip


def _metrics(rows: Sequence[HistoryRow]) -> list[dict[str, Any]]:
    """Return the measurements of metrics that were named, without the accuracy."""
    names = [name for name in (rows[-1].metrics if rows else ()) if name != "accuracy"]
    return [
        {"name": name, "x": [row.step for row in rows],
         "y": rounded_all([row.metrics.get(name, math.nan) for row in rows])}
        for name in names[:METRICS]
    ]  # fmt: skip


def _each(values: Floats, parts: Sequence[slice], statistic: Any) -> list[float | None]:
    """Return a statistic of the finite values of each part."""
    chosen = (values[p][np.isfinite(values[p])] for p in parts)
    return [rounded(statistic(part)) if part.size else None for part in chosen]


def clipping(rows: Sequence[HistoryRow], threshold: float | None) -> dict[str, Any]:
    """Return sentences and curves about the gradient's norm and its clipping."""
    norm = np.array([r.grad_norm for r in rows])
    good = np.isfinite(norm) & (norm > 0)
    usual = norm[good]
    window = max(10, min(200, len(usual) // 5))
    step = np.array([r.step for r in rows])[good]
    ends = np.unique(np.linspace(0, max(0, len(usual) - 1), min(len(usual), 200)).astype(int))
    recent = [usual[max(0, k + 1 - window) : k + 1] for k in ends]
    taken = np.array([r.clipped for r in rows], np.float64)[good]
    share = [float(taken[max(0, k + 1 - window) : k + 1].mean()) for k in ends]
    quantiles = [
        {"name": name, "values": rounded_all([np.quantile(part, q) for part in recent])}
        for name, q in (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99))
    ]
    sentences = []
    clipped, skipped = sum(r.clipped for r in rows), sum(r.skipped for r in rows)
    if usual.size:
        mean = float(usual.mean())
        sentences.append(
            f"The gradient's norm was {mean:.3g} on average (median {np.median(usual):.3g}, "
            f"largest {usual.max():.3g}). Pascanu et al. (2013) suggest thresholds of 0.5 to 10 "
            f"times the average, here {0.5 * mean:.2g} to {10 * mean:.2g}."
        )
    bound = "No threshold of the global norm was set" if threshold is None else (
        f"The threshold was {threshold:g}")  # fmt: skip
    share_of = f"{clipped:,} of {len(rows):,}" if clipped else "none"
    lost = f"; {skipped:,} were skipped, because the gradient was not finite" * bool(skipped)
    sentences.append(f"{bound}. Of the updates, {share_of} were clipped{lost}.")
    return {"threshold": threshold, "sentences": sentences, "window": window,
            "steps": step[ends].tolist(), "quantiles": quantiles,
            "share": rounded_all(share)}  # fmt: skip


def flow(records: Sequence[GradientRecord], both: bool = False) -> dict[str, Any] | None:
    """Return the gradient's flow over training, with norms as powers of ten, 0 at the last step.

    Parameters
    ----------
    records : sequence of GradientRecord
    both : bool
        Whether the model reads in both directions. The records are of the forward one.
    """
    if not records:
        return None
    ends = np.linspace(0, len(records) - 1, min(len(records), LOOKS))
    chosen = [records[k] for k in np.unique(ends.round().astype(int))]
    T = max(record.steps for record in chosen)
    stride = -(-T // ROWS)
    layers = []
    for number in range(len(chosen[0].layers)):
        looks = [record.layers[number] for record in chosen]
        cells = None if looks[0].c is None else [_powers(x.c or [], T, stride) for x in looks]
        layers.append({
            "layer": number, "h": [_powers(look.h, T, stride) for look in looks], "c": cells,
            "growth": [rounded(look.growth) for look in looks],
            "horizon": [list(look.horizon) for look in looks],
            "radius": [rounded(look.radius) for look in looks],
            "activity": {k: [rounded(x.activity[k]) for x in looks] for k in looks[0].activity},
            "saturation": {k: [rounded(x.saturation[k]) for x in looks]
                           for k in looks[0].saturation},
        })  # fmt: skip
    return {"T": T, "stride": stride, "both": both, "distance": list(range(0, T, stride)),
            "steps": [r.step for r in chosen], "layers": layers}  # fmt: skip


def _powers(norms: Sequence[float], T: int, stride: int) -> list[float | None]:
    """Return norms as powers of ten, 0 at the last step; None before the sequences begin."""
    values = np.full(T, np.nan)
    values[: len(norms)] = norms
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.log10(values / values[0])
    return [rounded(v, 4) for v in relative[::stride].tolist()]
