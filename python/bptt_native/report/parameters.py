"""Facts about a run for the page: its data, model and training, and its sessions."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np

from ..models.model import Model
from ..nn.cells import LAYERS
from ..options.init import Init
from ..options.table import ARGUMENTS
from ..runtime.documents import OBJECT, Missing, judge, parse
from ..training.metadata import PLACE
from ..training.provenance import Provenance

Row = list[str]  # label, name of the argument ("" if there is none), value

_ALWAYS = {"cell", "input_size", "hidden_size", "num_layers", "output_size", "loss", "optimizer",
           "lr", "seed"}  # fmt: skip
_OF_TRAINING = {
    "loss", "targets", "reduction", "clip_norm", "clip_tensor_norm", "clip_value", "clip_step",
    "clip_step_norm", "label_smoothing", "ignore_index", "huber_delta", "class_weights",
    "truncation", "omega", "nonfinite", "weight_l1", "weight_l2",
}  # fmt: skip
_OTHER_WORDS = {
    "betas": "decays of the first and the second moment",
    "truncation": "truncated BPTT: steps whose losses go back together, and how far",
}
_TRAINING = {
    "epochs": "passes over the data", "seq_len": "window of truncated BPTT, in steps",
    "batch": "sequences or streams per batch", "accumulate": "batches per update",
    "schedule": "schedule of the learning rate", "warmup": "updates of warm-up",
    "decay": "factor of a decay of the learning rate", "decay_every": "updates between decays",
    "decay_patience": "measurements without progress until a decay",
    "valid_fraction": "share of the data that is held out",
    "patience": "early stopping: measurements without progress",
    "min_delta": "early stopping: smallest progress", "monitor": "early stopping: measurement",
    "metrics": "metrics on the held-out data",
}  # fmt: skip
_ALIASES = {"batch_size": "batch", "window": "seq_len", "every": "decay_every",
            "validation_split": "valid_fraction"}  # fmt: skip
_DATA = {
    "target": "column to forecast", "features": "columns that the model reads",
    "horizon": "rows to look ahead", "test_from": "first row of the test part",
    "sequence": "column of the sequence", "label": "column of the label",
    "test_fraction": "share of the sequences to test on",
}  # fmt: skip
_DECAYS = {"step": {"decay", "decay_every"}, "exponential": {"decay", "decay_every"},
           "plateau": {"decay", "decay_patience"}}  # fmt: skip
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December")  # fmt: skip


def progress_of(model: Model) -> dict[str, Any]:
    """Return the progress that a trainer recorded; empty for metadata of another program."""
    try:
        progress: dict[str, Any] = parse(model.metadata.get("training", "{}"))
        judge(progress, {**PLACE, "options": Missing(OBJECT), "fit": Missing(OBJECT)})
    except ValueError:
        return {}
    return progress


def origin_of(progress: dict[str, Any]) -> Provenance | None:
    """Return the origin that a trainer recorded, or None for a run of an older version."""
    return Provenance.from_json(progress["run"]) if "run" in progress else None


def cell_name(model: Model) -> str:
    """Return the name of the model's cell."""
    return LAYERS[model.config["cell"]].__name__


def facts(
    model: Model, progress: dict[str, Any], options: dict[str, Any], updates: int, seconds: float
) -> list[dict[str, Any]]:
    """Return the facts about a run, each once.

    Parameters
    ----------
    model : Model
    progress : dict
        The result of `progress_of`.
    options : dict
        The options of the task, if the run has one.
    updates : int
        Number of updates made.
    seconds : float
        Time of the training.

    Returns
    -------
    list of dict
        Groups with "title" and "rows" of label, argument and value.
    """
    origin = origin_of(progress)
    groups = [
        ("Data", _data(origin, progress, options)),
        ("Session", _session(origin, updates, seconds)),
        ("Model", [*_of_model(model, training=False),
                   ["parameters", "", f"{model.num_parameters:,}"]]),
        ("Training", [*_updates(progress, updates), *_of_model(model, training=True),
                      *_of_training(progress, options)]),
    ]  # fmt: skip
    return [{"title": title, "rows": rows} for title, rows in groups if rows]


def _shown(value: object) -> str:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Init):
        usual = Init(value.weights)
        others = [f"{k} {v:g}" for k, v in value._asdict().items() if v != getattr(usual, k)]
        return ", ".join([value.weights, *others])
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))[:1000]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (f"{value:.6g}" if isinstance(value, float) else str(value))[:1000]


def _data(
    origin: Provenance | None, progress: dict[str, Any], options: dict[str, Any]
) -> Iterable[Row]:
    rows: list[Row] = []
    for name, sha256 in [] if origin is None else origin.data:
        rows += [["file", "", name], ["SHA-256", "", sha256]]
    if not rows and progress:
        rows.append(["SHA-256", "", str(progress["data_sha256"])])
    if origin is not None and origin.size:
        rows.append(["size", "", origin.size])
    return rows + [[label, name, _shown(options[name])] for name, label in _DATA.items()
                   if options.get(name) not in (None, "")]  # fmt: skip


def _of_model(model: Model, training: bool) -> list[Row]:
    """Return the options of the model, or of its training, without those at their defaults."""
    rows, given = [], model.config
    usual = Model(given["cell"], input_size=1, hidden_size=1, output_size=1,
                  optimizer=given["optimizer"]).config  # fmt: skip
    for name, value in given.items():
        option = ARGUMENTS.get(name)
        if option is None or training != (option.group == "optimizer" or name in _OF_TRAINING):
            continue
        if value is None or (name not in _ALWAYS and np.array_equal(value, usual[name])):
            continue
        shown = cell_name(model) if name == "cell" else _shown(value)
        rows.append([_OTHER_WORDS.get(name, option.doc), name, shown])
    return rows


def _updates(progress: dict[str, Any], updates: int) -> list[Row]:
    given = progress.get("options") or progress.get("fit") or {}
    whole = given.get("steps")
    rest = f" of {whole:,}" if type(whole) is int and whole > updates else ""
    return [["updates", "steps", f"{updates:,}{rest}"]] if updates else []


def _of_training(progress: dict[str, Any], options: dict[str, Any]) -> list[Row]:
    """Return the options of a trainer, of its schedule and of early stopping."""
    fit: dict[str, Any] = progress.get("fit", {})
    found: dict[str, Any] = {**options, **progress.get("options", {})}
    rule = fit.get("schedule")
    by = rule.get("by") if isinstance(rule, dict) else None
    if isinstance(by, dict):
        named = {**by, "schedule": by.get("name"), "decay_patience": by.get("patience")}
        parts = [{k: v for k, v in named.items() if k != "patience"}]
    else:
        values = rule.values() if isinstance(rule, dict) else []
        parts = [{"schedule": _shown(list(values))} if values else {}]
    stopping = fit.get("early_stopping")
    parts += [{"metrics": list(fit["metrics"])} if isinstance(fit.get("metrics"), dict) else {}]
    parts += [fit, stopping if isinstance(stopping, dict) else {}]
    for part in parts:
        for name, value in part.items():
            if not isinstance(value, dict):
                found.setdefault(_ALIASES.get(name, name), value)
    decays = _DECAYS.get(str(found.get("schedule")), set())
    hidden = {"decay", "decay_every", "decay_patience"} - decays
    if found.get("patience") is None:
        hidden |= {"min_delta", "monitor"}
    idle = {"accumulate": 1, "warmup": 0, "valid_fraction": 0.0, "metrics": []}
    return [
        [label, name, _shown(found[name])] for name, label in _TRAINING.items()
        if name not in hidden and found.get(name) not in (None, idle.get(name))
    ]  # fmt: skip


def _session(origin: Provenance | None, updates: int, seconds: float) -> list[Row]:
    """Return the dates, the machine, the versions and the command line of the last session."""
    duration = [["time of training", "", _duration(seconds)]] if updates else []
    if origin is None or not origin.sessions:
        return duration
    first, last = origin.sessions[0], origin.sessions[-1]
    rows = [["date", "", _dates(first["began"], last["saved"])], *duration]
    if len(origin.sessions) > 1:
        rows.append(["sessions", "", f"{len(origin.sessions)}; the last one is described"])
    rows += [
        ["machine", "", f"{last['processor']}, {last['system']}"],
        ["threads and instruction set", "", f"{last['threads']}, {last['isa']}"],
        ["versions", "", f"bptt_native {last['version']}, Python {last['python']}, "
                         f"NumPy {last['numpy']}"],
    ]  # fmt: skip
    if last["command"] is not None:
        rows.append(["command line", "", last["command"][:4000]])
    return rows


def _duration(seconds: float) -> str:
    if not 120 <= seconds < 1e9:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _dates(began: str, saved: str) -> str:
    """Return the beginning and the end of a run in words, in UTC."""
    try:
        a, b = datetime.fromisoformat(began), datetime.fromisoformat(saved)
    except ValueError:  # a day that does not exist
        return began
    day = [f"{t.day} {_MONTHS[t.month - 1]} {t.year}" for t in (a, b)]
    if day[0] != day[1]:
        return f"{day[0]}, {a:%H:%M} to {day[1]}, {b:%H:%M} UTC"
    end = f" to {b:%H:%M}" * (f"{a:%H:%M}" != f"{b:%H:%M}")
    return f"{day[0]}, {a:%H:%M}{end} UTC"
