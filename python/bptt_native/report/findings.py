"""Result of a run, and its findings in sentences, for the page."""

import math
from collections.abc import Sequence
from typing import Any

from ..models.model import Model
from ..training.advice import against_exploding, against_vanishing
from ..training.gradient_record import GradientRecord
from ..training.history import HistoryRow, Unit
from ..training.provenance import Provenance
from ..training.schedules import EarlyStopping
from .figures import METRICS
from .parameters import cell_name

Table = dict[str, Any]


def measurements(rows: Sequence[HistoryRow]) -> list[HistoryRow]:
    """Return the rows with a measurement on the held-out data."""
    return [row for row in rows if row.valid_loss is not None]


def restored(model: Model, rows: Sequence[HistoryRow], progress: dict[str, Any]) -> int | None:
    """Return the update whose parameters early stopping restored, or None if it did not."""
    if not any(name.startswith("training.last.") for name in model.tensors):
        return None
    try:
        rule = EarlyStopping(**progress["fit"]["early_stopping"])
        measured = measurements(rows)
    except (KeyError, TypeError, ValueError):
        return None
    best = rule.best([_measurement(row, rule.monitor) for row in measured])
    return None if best is None else measured[best].step


def result(
    model: Model, rows: Sequence[HistoryRow], unit: Unit, kind: str, found: dict[str, Any],
    origin: Provenance | None, progress: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Return the result of a run.

    Parameters
    ----------
    model : Model
    rows : sequence of HistoryRow
    unit : Unit
        Unit of the losses.
    kind : str
        "text", "forecast", "classify" or "arrays".
    found : dict
        The results of the test part, see ``data.collect``.
    origin : Provenance, optional
        Its baselines are shown if they belong to the same test part.
    progress : dict
        The result of ``parameters.progress_of``.

    Returns
    -------
    dict
        "headline": the result in a few words. "tables": a list of "caption", "columns", "rows" of
        texts, and "own", the number of leading rows that belong to the model.
    """
    name, again = cell_name(model), restored(model, rows, progress)
    tables: list[Table] = []
    if "forecast" in found:
        tables.append(_errors(name, found["forecast"], origin))
    elif "confusion" in found:
        tables.append(_shares(name, found["confusion"], origin))
    measured = measurements(rows)
    if measured:
        tables.append(_held_out(name, measured, unit, kind, again, origin))
    headline = tables[0]["headline"] if tables else ""
    if not tables and rows:
        last = f"{number(rows[-1].loss * unit.factor)} ({unit.name})"
        headline = f"Loss of the last batch: {last}; no data were held out."
    return {
        "headline": headline or "The folder contains a model, but no history of its training.",
        "tables": [table for table in tables if len(table["rows"]) * len(table["columns"]) > 2],
    }


def number(value: float) -> str:
    """Return a number with four digits, or words if it is not finite."""
    return f"{value:.4g}" if math.isfinite(value) else "not finite"


def _baselines(origin: Provenance | None, tested: int | None) -> dict[str, float]:
    """Return the baselines of a test part of this size; None: of the held-out part of a text."""
    if origin is None or tested not in (None, origin.tested):
        return {}
    return {name[:60]: value for name, value in origin.baselines.items()}


def _errors(name: str, forecast: dict[str, Any], origin: Provenance | None) -> Table:
    n, column = len(forecast["row"]), forecast["column"]
    error = math.nan if forecast["error"] is None else forecast["error"]
    errors = {name: error, **_baselines(origin, n)}
    return {
        "headline": f"Mean squared error {number(error)} on {plural(n, 'test row')}",
        "caption": f"Forecasts of “{column}” on the test rows, which were not trained on. Lower is "
                   "better.",
        "columns": ["", "mean squared error", "root of it"],
        "rows": [[who, number(value), number(math.sqrt(value) if value >= 0 else math.nan)]
                 for who, value in errors.items()],
        "own": 1,
    }  # fmt: skip


def _shares(name: str, confusion: dict[str, Any], origin: Provenance | None) -> Table:
    counts = confusion["counts"]
    n, right = sum(map(sum, counts)), sum(row[k] for k, row in enumerate(counts))
    shares = {name: right / max(1, n), **_baselines(origin, n)}
    rows = [[who, percent(share), f"{round(share * n)} of {n}" if 0 <= share <= 1 else ""]
            for who, share in shares.items()]  # fmt: skip
    share = percent(right / max(1, n))
    return {
        "headline": f"{share} of {plural(n, 'test sequence')} labelled correctly",
        "caption": "Labels of the test sequences, which were not trained on.",
        "columns": ["", "accuracy", "correct"], "rows": rows, "own": 1,
    }  # fmt: skip


def _held_out(
    name: str, measured: Sequence[HistoryRow], unit: Unit, kind: str, again: int | None,
    origin: Provenance | None,
) -> Table:  # fmt: skip
    """Return the table of measurements on the held-out data: of the model, and the best one."""
    last = measured[-1] if again is None else next(r for r in measured if r.step == again)
    finite = [row for row in measured if row.valid_loss is not None
              and math.isfinite(row.valid_loss)]  # fmt: skip
    best = min(finite, key=_loss, default=None)
    accuracy = last.valid_accuracy is not None
    others = [metric for metric in last.metrics if metric != "accuracy"][:METRICS]
    rows = [_measured(f"{name} after {plural(last.step, 'update')}", last, unit, accuracy, others)]
    if again is not None:
        rows[0][0] += " (restored)"
    if best is not None and best.step != last.step:
        who = f"{name} at its best, after {plural(best.step, 'update')}"
        rows.append(_measured(who, best, unit, accuracy, others))
    own = len(rows)
    if kind == "text":
        rows += [[who, number(value)] for who, value in _baselines(origin, None).items()]
    where = "the held-out text" if kind == "text" else "held-out data"
    value = number(_loss(last) * unit.factor)
    headline = f"{value} {unit.name} on {where}"
    if kind != "text":
        headline = f"{unit.name[:1].upper()}{unit.name[1:]} {value} on {where}"
    if accuracy:
        headline = f"{percent(last.valid_accuracy)} of {where} classified correctly"
    headline += f" after {plural(last.step, 'update')}"
    were = "was" if kind == "text" else "were"
    return {
        "headline": headline, "own": own, "rows": rows,
        "caption": f"Loss ({unit.name}; lower is better) on {where}, which {were} not trained on.",
        "columns": ["", "loss", *["accuracy"] * accuracy, *others],
    }  # fmt: skip


def _loss(row: HistoryRow) -> float:
    return math.nan if row.valid_loss is None else row.valid_loss


def _measurement(row: HistoryRow, name: str) -> float:
    """Return a measurement on the held-out data by the name of its metric; NaN if it is missing."""
    known = {"loss": row.valid_loss, "accuracy": row.valid_accuracy, **row.metrics}
    value = known.get(name)
    return math.nan if value is None else value


def _measured(
    who: str, row: HistoryRow, unit: Unit, accuracy: bool, others: Sequence[str]
) -> list[str]:  # fmt: skip
    loss = number(_loss(row) * unit.factor)
    further = [number(_measurement(row, name)) for name in others]
    return [who, loss, *[percent(row.valid_accuracy)] * accuracy, *further]


def percent(share: float | None) -> str:
    """Return a share in per cent, or a dash if it is not known."""
    if share is None or not math.isfinite(share):
        return "–"
    return f"{100 * share:.1f}\u00a0%"


def plural(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def findings(
    model: Model, rows: Sequence[HistoryRow], looks: Sequence[GradientRecord]
) -> list[str]:  # fmt: skip
    """Return what the records of a run show, and advice, in sentences."""
    found = [_turn(rows)]
    if looks:
        found.append(_reach(model, rows, looks[-1]))
    if skipped := sum(row.skipped for row in rows):
        were = "update was" if skipped == 1 else "updates were"
        found.append(f"{skipped:,} {were} skipped, because the gradient was not finite.")
    return [text for text in found if text]


def _turn(rows: Sequence[HistoryRow]) -> str:
    """Return a sentence about a held-out loss that has risen again, or no text."""
    finite = [row for row in measurements(rows) if math.isfinite(_loss(row))]
    best = min(finite, key=_loss, default=None)
    if best is None or len(finite) < 4 or best is finite[-1]:
        return ""
    rise = _loss(finite[-1]) / _loss(best) - 1 if _loss(best) > 0 else 0.0
    if rise < 0.1:
        return ""
    return (
        f"The loss on the held-out data was lowest after {plural(best.step, 'update')} and has "
        f"risen by {100 * rise:.0f}\u00a0% since: the model overfits. Early stopping, dropout or "
        "more data help."
    )


def _reach(model: Model, rows: Sequence[HistoryRow], look: GradientRecord) -> str:
    """Return how far the gradient of a loss at the last step reaches back in the top layer."""
    top, name = look.layers[-1], "‖∂L/∂hₜ‖"
    when = f"After {plural(look.step, 'update')}"
    if look.steps == 1:
        return f"{when}: the sequences have only one step, so no gradient flows back in time."
    bad = next((d for d, norm in enumerate(top.h) if not math.isfinite(norm)), None)
    if bad is not None or top.verdict == "exploding":
        norms = [row.grad_norm for row in rows if math.isfinite(row.grad_norm)]
        mean = sum(norms) / len(norms) if norms else math.nan
        peak = max(top.h) / top.h[0] if bad is None and top.h[0] > 0 else math.inf
        how = f"grows by a factor of {peak:.3g} on its way back" if bad is None else (
            f"is not finite {plural(bad, 'step')} back" if bad else "is not finite")  # fmt: skip
        return (
            f"{when} the gradient of a loss at the last step explodes in the top layer: {name} "
            f"{how}, so single sequences dominate the updates. {against_exploding(model, mean)}."
        )
    if not any(top.h):
        return f"{when} no gradient enters the top layer: {name} is 0 at the loss's own step."
    back = top.horizon[1]
    if back is None:
        return (
            f"{when} more than 1 % of the gradient of a loss at the last step is left over all "
            f"{look.steps} steps back (top layer): training can use dependences of this length."
        )
    return (
        f"{when} the gradient of a loss at the last step vanishes {plural(back, 'step')} back (of "
        f"{look.steps}; top layer): at most 1 % of {name} is left there, so training hardly learns "
        f"dependences longer than that. {against_vanishing(model)}."
    )
