"""The loading of forecasters and classifiers from model files, with their tasks."""

from pathlib import Path
from typing import Any

from ..arguments.values import message
from ..models.model import Model
from ..models.model_file import load
from ..runtime.documents import COUNT, HASH, NUMBER, OBJECT, TEXT, Missing, one_of
from ..training.metadata import read_metadata
from ..training.run_files import model_file_of
from .classify import ClassifyOptions
from .forecast import ForecastOptions, features_of
from .run_options import RunOptions

_SCALING = {"mean": [NUMBER], "std": [NUMBER]}
_TASK = {"options": OBJECT, "scaling": _SCALING,
         "data": Missing({"train": HASH, "test": HASH, "tested": COUNT})}  # fmt: skip
_FORMS: dict[str, dict[str, Any]] = {
    "forecast": {**_TASK, "target_scaling": _SCALING},
    "classify": {**_TASK, "features": [TEXT], "classes": [TEXT]},
}
OPTIONS: dict[str, type[RunOptions]] = {"forecast": ForecastOptions, "classify": ClassifyOptions}


def load_task(path: str | Path) -> tuple[Model, dict[str, Any]]:
    """Load the model of a forecaster or classifier, and its task.

    Parameters
    ----------
    path : str or Path
        The model file, or the folder of its run.

    Returns
    -------
    model : Model
        The model.
    task : dict
        The name of the task as "task", its "options", "scaling" and further entries that depend on
        the task.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or is another file.
    """
    path = model_file_of(path)
    model = load(path)
    return model, task_of(model, path)


def task_of(model: Model, path: str | Path) -> dict[str, Any]:
    """Return the task of a model that was loaded from `path`; see `load_task`.

    Raises
    ------
    ValueError
        If it is no forecaster or classifier, or its task does not fit the model.
    """
    where, expected = "load_task", "the model file of a forecaster or classifier"
    kind = read_metadata(model, path, "task", {"task": one_of(_FORMS)}, where, expected)["task"]
    task: dict[str, Any] = read_metadata(model, path, "task", _FORMS[kind], where, expected)
    try:
        options = OPTIONS[kind].read(task["options"])
    except ValueError as error:
        raise ValueError(message(where, "path", expected, f"{str(path)!r}: {error}")) from None
    if isinstance(options, ForecastOptions):
        inputs, outputs, shape = len(features_of(options)), 1, ("every", options.loss)
        scalings = [(task["scaling"], inputs), (task["target_scaling"], 1)]
    else:
        inputs, outputs = len(task["features"]), len(task["classes"])
        scalings, shape = [(task["scaling"], inputs)], ("last", "cross_entropy")
    config = model.config
    fits = (config["input_size"], config["output_size"]) == (inputs, outputs)
    targets = config["targets"].removesuffix("_row")  # "last_row" in older classifiers
    fits &= (targets, config["loss"], config["dtype"]) == (*shape, options.dtype)
    fits &= all(len(scaling[k]) == n for scaling, n in scalings for k in ("mean", "std"))
    if not fits:
        got = f"{str(path)!r}, whose task does not fit the model"
        raise ValueError(message(where, "path", expected, got))
    return task
