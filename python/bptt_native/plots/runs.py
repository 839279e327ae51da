"""Runs of training as arguments of the figures: results, folders, files and rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..arguments.values import message, refuse_type
from ..models.model_file import load
from ..nn.network import Network
from ..runtime.documents import parse
from ..training.fit import FitResult
from ..training.gradient_record import GradientRecord, read_records
from ..training.history import COLUMNS, LOSS, HistoryRow, Unit, read_history, unit_of
from ..training.run_files import GRADIENTS_FILE, HISTORY_FILE, model_file_of

ROWS = "a FitResult, a run's folder, a list of history rows or a history by columns"
LOOKS = "a FitResult, a run's folder or a list of gradient records"


class Run(NamedTuple):
    """The parts of a run that figures show.

    Attributes
    ----------
    rows : list of HistoryRow
    looks : list of GradientRecord
    unit : Unit
        The unit of the losses; `LOSS` if the model is unknown.
    clip_norm : float or None
        The threshold of the global norm; None if there is none, or the model is unknown.
    """

    rows: list[HistoryRow]
    looks: list[GradientRecord]
    unit: Unit
    clip_norm: float | None


def history_of(run: Any, where: str) -> Run:
    """Return a run whose history is to be drawn.

    Parameters
    ----------
    run : FitResult, str, Path or sequence of HistoryRow
        The result of ``fit``; the folder of a run, its model file or its history; or the rows.
    where : str
        The function, for messages.

    Raises
    ------
    TypeError
        It is none of these.
    ValueError
        There are no rows, or a file is not as expected.
    OSError
        A file cannot be read.
    """
    found = _run(run, where, HistoryRow, ROWS)
    if not found.rows:
        raise ValueError(message(where, "run", f"{ROWS}, with one update at least", "no update"))
    return found


def looks_of(run: Any, where: str) -> list[GradientRecord]:
    """Return the records of the gradient's flow of a run; see `history_of`."""
    found = _run(run, where, GradientRecord, LOOKS)
    if not found.looks:
        expected = f"{LOOKS}, with one record at least (fit(..., watch=Watch(...)))"
        raise ValueError(message(where, "run", expected, "none"))
    return found.looks


def _run(run: Any, where: str, kind: type, expected: str) -> Run:
    if isinstance(run, FitResult):
        return Run(run.rows, run.gradients, *_of_model(run.model))
    if isinstance(run, str | Path):
        return _run_at(Path(run), where)
    if isinstance(run, Mapping) and kind is HistoryRow and {"step", "loss"} <= run.keys():
        run = _rows_of(run)
    if not isinstance(run, Sequence) or not all(isinstance(row, kind) for row in run):
        refuse_type(run, where, "run", expected)
    rows = list(run)
    return Run(rows, [], LOSS, None) if kind is HistoryRow else Run([], rows, LOSS, None)


def _rows_of(columns: Mapping[str, Any]) -> list[HistoryRow]:
    """Return the rows of a history that is given as columns, `FitResult.history`."""
    others = [name for name in columns if name not in COLUMNS]
    rows = []
    for values in zip(*columns.values(), strict=True):
        cells: dict[str, Any] = dict(
            zip(columns, (None if v != v else v.item() for v in values), strict=True)
        )
        metrics = {name.removeprefix("valid_"): cells.pop(name) for name in others}
        measured = {name: value for name, value in metrics.items() if value is not None}
        cells["loss"] = values[list(columns).index("loss")]
        rows.append(HistoryRow(**cells, metrics=measured))
    return rows


def _run_at(path: Path, where: str) -> Run:
    if not path.exists():
        expected = "the folder of a run, its model file or its history"
        raise FileNotFoundError(message(where, "run", expected, f"{str(path)!r}, which is missing"))
    if path.suffix == ".csv":
        return Run(read_history(path), [], LOSS, None)
    if path.suffix == ".jsonl":
        return Run([], read_records(path), LOSS, None)
    place = model_file_of(path)
    history, records = place.with_name(HISTORY_FILE), place.with_name(GRADIENTS_FILE)
    return Run(
        read_history(history) if history.exists() else [],
        read_records(records) if records.exists() else [],
        *(_of_model(load(place)) if place.exists() else (LOSS, None)),
    )


def _of_model(model: Network) -> tuple[Unit, float | None]:
    """Return the unit of a model's losses and its threshold of the global norm."""
    task: Any = parse(model.metadata.get("task", "{}"))
    of = "text" if "vocabulary" in model.metadata else ""
    if isinstance(task, dict) and task.get("task") == "forecast":
        of = "standardised"
    return unit_of(model, of), model.config["clip_norm"]
