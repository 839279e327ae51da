"""Contents of a run's folder, prepared for the report's page."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..apps.sampling import sample, text_of
from ..apps.saved_tasks import task_of
from ..apps.tables import Table
from ..apps.vocabulary import Vocabulary
from ..arguments.values import message
from ..diagnostics.nets import shape_of
from ..models.model import Model
from ..models.model_file import load
from ..runtime.files import csv_rows, refuse_line
from ..training.gradient_record import read_records
from ..training.history import read_history, unit_of
from ..training.run_files import (
    FORECAST_FILE,
    GRADIENTS_FILE,
    HISTORY_FILE,
    LABELS_FILE,
    MODEL_FILE,
    model_file_of,
)
from ..training.watch import recurrent_blocks
from .figures import clipping, curves, flow, rounded
from .findings import findings, result
from .memory import label_memory, series_memory, text_memory
from .parameters import cell_name, facts, origin_of, progress_of

MISSING = {
    "arrays": "The run's folder does not contain the data. In Python, diagnostics.connectivity "
              "computes the matrix and plots.connectivity_figure draws it.",
    "text": "The weights are not finite, so there is nothing to show.",
    "forecast": "The run's folder does not contain the table. Name it with --csv.",
}  # fmt: skip
PRIME, TEMPERATURES, LINES = "\n", (0.4, 0.7, 1.0), 8


def collect(
    run: str | Path, text: str | None = None, table: Table | None = None, length: int = 120
) -> dict[str, Any]:
    """Collect the data of a run for the page.

    Parameters
    ----------
    run : str or Path
        The run's folder, or its model file.
    text : str, optional
        A text whose dependences are shown, for character models. The default is a text that the
        model generates.
    table : Table, optional
        A table whose dependences are shown, for models of tables. It has the columns of the run's
        table.
    length : int
        Number of characters, or of last rows of a series.

    Returns
    -------
    dict
        The data for `page`: texts, numbers, None, lists and dicts.

    Raises
    ------
    OSError
        A file cannot be read.
    ValueError
        A file of the run, the text or its length is not as expected.
    """
    path = model_file_of(run)
    if not 2 <= length <= 1000:
        raise ValueError(message("report", "length", "2 to 1000", str(length)))
    model = load(path)
    kind, task = "arrays", dict[str, Any]()
    if "vocabulary" in model.metadata:
        kind = "text"
    elif "task" in model.metadata:
        task = task_of(model, path)
        kind = str(task["task"])
    if text is not None and kind != "text":
        got = f"one with {str(path)!r}"
        raise ValueError(message("report", "text", "a text for a character model only", got))
    if table is not None and kind not in ("forecast", "classify"):
        got = f"one with {str(path)!r}"
        raise ValueError(message("report", "csv", "a table for a model of tables only", got))
    history, records = path.with_name(HISTORY_FILE), path.with_name(GRADIENTS_FILE)
    rows = read_history(history) if history.exists() else []
    looks = read_records(records) if records.exists() else []
    unit = unit_of(model, {"text": "text", "forecast": "standardised"}.get(kind, ""))
    progress = progress_of(model)
    updates, seconds = (rows[-1].step, rows[-1].seconds) if rows else (0, 0.0)
    page: dict[str, Any] = {
        "title": path.parent.resolve().name if path.name == MODEL_FILE else path.name,
        "lead": _lead(model, kind), "short": findings(model, rows, looks),
        "facts": facts(model, progress, task.get("options", {}), updates, seconds),
        "history": None, "clip": None, "flow": flow(looks, model.config["bidirectional"]),
        "spectrum": _spectrum(model, kind != "arrays"), "memory": None,
        "memory_missing": MISSING.get(kind, MISSING["forecast"]),
        "results": {"samples": [], "missing": "The run's folder contains no outputs."},
    }  # fmt: skip
    if rows:
        page["history"] = curves(rows, unit)
        page["clip"] = clipping(rows, model.config["clip_norm"])
    if not all(np.isfinite(v).all() for v in model.state_dict().values()):
        page["memory_missing"] = MISSING["text"]
    elif kind == "text":
        vocabulary, _ = text_of(model, path)
        page["results"]["samples"] = _samples(model, vocabulary)
        text = _line(model, vocabulary, text, length)
        page["memory"] = text_memory(model, vocabulary, text)
    elif table is not None:
        page["memory"] = (series_memory(model, task, table, length) if kind == "forecast"
                          else label_memory(model, task, table))  # fmt: skip
    if kind == "forecast":
        page["results"] |= _forecast(path.with_name(FORECAST_FILE))
    elif kind == "classify":
        page["results"] |= _confusion(path.with_name(LABELS_FILE), task["classes"])
    origin = origin_of(progress)
    page["result"] = result(model, rows, unit, kind, page["results"], origin, progress)
    return page


def _lead(model: Model, kind: str) -> str:
    c = model.config
    layers = f"{c['num_layers']} layers" if c["num_layers"] > 1 else "one layer"
    both = ", in both directions" if c["bidirectional"] else ""
    of = {"text": "Character model", "forecast": "Forecaster", "classify": "Classifier"}
    return (
        f"{of.get(kind, 'Model')}: {cell_name(model)} of {layers} of {c['hidden_size']} units{both}"
    )


def _spectrum(model: Model, from_recipe: bool) -> list[dict[str, Any]]:
    """Return the eigenvalues of the recurrent blocks, and those before training if known.

    The initial weights of a model that the command line created follow from its configuration.
    Other models may have been given other initial weights.
    """
    before = Model(**model.config) if from_recipe else None
    found: list[dict[str, Any]] = []
    shape = shape_of(model)
    several, candidate = len(shape.gates) > 1, shape.candidate.letter
    for layer in range(model.config["num_layers"]):
        old = {} if before is None else recurrent_blocks(before, layer)
        for gate, block in recurrent_blocks(model, layer).items():
            if not np.isfinite(block).all():
                continue
            values = np.linalg.eigvals(block)
            part = {
                "layer": layer + 1, "gate": gate if several else "",
                "usual": gate == candidate and layer == model.config["num_layers"] - 1,
                "now": _points(values), "radius": rounded(np.abs(values).max()), "before": None,
            }  # fmt: skip
            if gate in old:
                first = np.linalg.eigvals(old[gate])
                part |= {"before": _points(first), "radius_before": rounded(np.abs(first).max())}
            found.append(part)
    return found


def _points(values: Any) -> list[list[float | None]]:
    return [[rounded(v.real, 4), rounded(v.imag, 4)] for v in np.asarray(values, complex)]


def _prime(vocabulary: Vocabulary) -> str:
    return PRIME if PRIME in vocabulary.characters else vocabulary.characters[0]


def _samples(model: Model, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    prime = _prime(vocabulary)
    return [
        {"temperature": t, "text": "".join(sample(model, vocabulary, prime, 400, t))}
        for t in TEMPERATURES
    ]


def _line(model: Model, vocabulary: Vocabulary, text: str | None, length: int) -> str:
    if text is None:
        return _fewest_blanks(model, vocabulary, length)
    if len(text) < 2:
        raise ValueError(message("report", "text", "at least two characters", repr(text)))
    return text[:length]


def _fewest_blanks(model: Model, vocabulary: Vocabulary, length: int) -> str:
    """Return the one of several generated texts that has the fewest blanks."""
    prime, texts = _prime(vocabulary), []
    for seed in range(LINES):
        whole = prime + "".join(sample(model, vocabulary, prime, 2 * length, 0.5, seed))
        begin = min(len(whole) - len(whole.lstrip()), len(whole) - length)
        texts.append(whole[begin : begin + length])
    return min(texts, key=lambda text: sum(c.isspace() for c in text))


def _forecast(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"missing": "The run's folder has no forecast.csv, since the run is not complete."}
    rows = csv_rows(path, "report")
    number, names = next(rows, (1, []))
    if len(names) != 3:
        got = f"{len(names)} columns"
        refuse_line(path, number, "report", "the three columns of forecasts", got)
    numbers: list[list[float]] = []
    for number, cells in rows:
        try:
            numbers.append([float(cell) for cell in cells])
            if len(cells) != 3:
                raise ValueError(f"{len(cells)} cells")
        except ValueError as error:
            refuse_line(path, number, "report", "three numbers", str(error)[:200])
    row, actual, forecast = (
        [rounded(line[k], d) for line in numbers] for k, d in enumerate((17, 5, 5))
    )
    if not numbers:
        return {"missing": "The file forecast.csv has no rows."}
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean([np.square(line[2] - line[1]) for line in numbers]))
    found = {"column": names[1], "row": row, "actual": actual, "forecast": forecast}
    return {"forecast": found | {"error": rounded(mean, 17)}}


def _confusion(path: Path, classes: Sequence[str]) -> dict[str, Any]:
    if not path.exists():
        return {"missing": "The run's folder has no labels.csv, since nothing was tested."}
    counts = Counter[tuple[str, str]]()
    for number, cells in islice(csv_rows(path, "report"), 1, None):
        if len(cells) != 3 or not set(cells[1:]) <= set(classes):
            got = ", ".join(cells)[:200]
            refuse_line(path, number, "report", "a sequence and two labels of the run", got)
        counts[cells[1], cells[2]] += 1
    if not counts:
        return {"missing": "The file labels.csv has no rows."}
    shown = [name for name in classes if any(name in pair for pair in counts)]
    table = [[counts[a, b] for b in shown] for a in shown]
    return {"confusion": {"classes": shown, "counts": table}}
