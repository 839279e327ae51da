"""Metadata of a run in its model file: JSON that is checked before it is used."""

from pathlib import Path
from typing import Any

from ..arguments.values import message
from ..nn.network import Network
from ..runtime.documents import (
    COUNT,
    HASH,
    NUMBER,
    SIZE,
    TIME,
    Kind,
    Missing,
    judge,
    optional,
    parse,
)
from .provenance import FORM

_COLUMNS = Kind("an object of arrays of numbers", lambda v: isinstance(v, dict) and all(
    isinstance(a, list) and all(map(NUMBER.fits, a)) for a in v.values()))  # fmt: skip
PLACE = {
    "step": COUNT, "seconds": TIME, "skips": COUNT, "measured": [(NUMBER, optional(NUMBER))],
    "data_sha256": HASH, "eval_every": Missing(optional(SIZE)), "metrics": Missing(_COLUMNS),
    "run": Missing(FORM), "parts_sha256": Missing([HASH]),
}  # fmt: skip
"""The form of the progress that every trainer saves."""


def read_metadata(
    model: Network, path: str | Path, name: str, form: Any, where: str, expected: str
) -> Any:
    """Return the JSON that a model file holds under a name.

    Parameters
    ----------
    model : Model
    path : str or Path
        The file that the model was loaded from, for messages.
    name : str
        "training", "task" or "vocabulary".
    form : object
        The form that the JSON must have, see ``runtime.documents``.
    where, expected : str
        The function and the kind of file that it expects, for messages.

    Raises
    ------
    ValueError
        The metadata are missing or do not have the form. The message names the file and the part.
    """
    try:
        if name not in model.metadata:
            raise ValueError(f"it has no metadata {name!r}")
        value = parse(model.metadata[name])
        judge(value, form, name)
    except ValueError as error:
        raise ValueError(message(where, "path", expected, f"{str(path)!r}: {error}")) from None
    return value


def read_place(model: Network, path: str | Path, options: Any, where: str, expected: str) -> Any:
    """Read a trainer's progress and options from the model's metadata.

    Raises
    ------
    ValueError
        As `read_metadata`; or a tensor of the run does not have the shape of the model's.
    """
    training = read_metadata(model, path, "training", {**PLACE, **options}, where, expected)
    for name, values in training.get("metrics", {}).items():
        if len(values) != len(training["measured"]):
            got = f"{str(path)!r}, whose metric {name!r} has {len(values)} values"
            raise ValueError(message(where, "path", expected, got))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    for kind in ("best", "last"):
        prefix = f"training.{kind}."
        found = {
            name.removeprefix(prefix): value.shape
            for name, value in model.tensors.items()
            if name.startswith(prefix)
        }
        if found and found != shapes:
            got = f"{str(path)!r}, whose tensors {prefix}* are not like its parameters"
            raise ValueError(message(where, "path", expected, got))
    for name in ("training.state.h", "training.state.c"):
        if name in model.tensors and model.tensors[name].ndim != 3:
            got = f"{str(path)!r}, whose tensor {name} has {model.tensors[name].ndim} axes"
            raise ValueError(message(where, "path", expected, got))
    return training
