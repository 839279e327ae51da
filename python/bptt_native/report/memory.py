"""Which inputs the outputs of a trained model depend on, for the page's view of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..apps.classify import ClassifyOptions, Labelled
from ..apps.forecast import ForecastOptions, features_of
from ..apps.tables import Scaling, Table
from ..apps.vocabulary import Vocabulary
from ..diagnostics import connectivity, lyapunov
from ..diagnostics.nets import state_size
from ..nn.model import Model
from ..training.evaluation import predict
from .figures import rounded, rounded_all

Floats = npt.NDArray[np.float64]
SHOWN, EXPONENTS = 4, 64  # sequences; Lyapunov exponents


def without_noise(model: Model) -> Model:
    """Give the model as it is used: without the dropout and the noise of training passes.

    (Zoneout stays a draw; its expectation, which is used, has no derivative of its own kind here.)
    """
    config = {**model.config, "dropout": 0.0, "variational": False, "recurrent_dropout": 0.0}
    quiet = Model(**config | {"noise": 0.0})
    quiet.load_state_dict(model.state_dict())
    return quiet


def exponents(model: Model, x: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """Give the largest Lyapunov exponents of each layer along one sequence.

    Parameters
    ----------
    model : Model
    x : int64 [T, 1] or floating point [T, 1, I]

    Returns
    -------
    list of dict
        "name" and "values" [at most `EXPONENTS`], in nats per step; none for short sequences.
    """
    if len(x) < 20:
        return []
    _, _, tape = model.forward(x)
    found = []
    for layer in range(model.config["num_layers"]):
        count = min(EXPONENTS, state_size(model))
        spectrum = lyapunov(model, tape, layer=layer, count=count, discard=len(x) // 10)
        found.append({"name": f"layer {layer + 1}", "values": rounded_all(spectrum.exponents)})
    return found


def text_memory(model: Model, vocabulary: Vocabulary, text: str) -> dict[str, Any]:
    """Give the view's data of a text.

    Parameters
    ----------
    model : Model
    vocabulary : Vocabulary
    text : str
        At least two characters that the model knows.

    Returns
    -------
    dict
        "cells" (the characters), "matrix" (row p - 1: of the output that says character p), "seen"
        (what the model gave them), "exponents".
    """
    tokens = vocabulary.encode(text)
    quiet = without_noise(model)
    matrix = connectivity(quiet, tokens[:-1, None], tokens[1:]).matrix
    logits = np.asarray(model(tokens[:-1, None])[0][:, 0], np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    seen = [
        {
            "p": rounded(p[t, token]),
            "top": [[vocabulary.characters[k], rounded(p[t, k])] for k in np.argsort(-p[t])[:3]],
        }
        for t, token in enumerate(tokens[1:])
    ]
    return {"kind": "text", "label": "The text", "cells": list(text), "matrix": triangle(matrix),
            "seen": seen, "exponents": exponents(quiet, tokens[:-1, None])}  # fmt: skip


def series_memory(model: Model, task: dict[str, Any], table: Table, length: int) -> dict[str, Any]:
    """Give the view's data of the last rows of a table whose column is forecast.

    Parameters
    ----------
    model : Model
    task : dict
        What its file says of the task.
    table : Table
    length : int
        How many rows.

    Returns
    -------
    dict
        "cells" (what the steps are), "matrix" (row t: of the output at step t), "exponents".

    Raises
    ------
    ValueError
        A column is missing or holds no numbers.
    """
    options = ForecastOptions(**task["options"])
    names = features_of(options)
    values = table.numbers(names, "features")
    x = Scaling(**task["scaling"])(values, options.dtype)[-length:]
    first = len(values) - len(x)
    cells = [
        f"row {first + t + 1} ({', '.join(f'{v:.4g}' for v in values[first + t])})"
        for t in range(len(x))
    ]
    quiet = without_noise(model)
    matrix = connectivity(quiet, x[:, None], np.zeros(len(x), np.int64)).matrix
    return {"kind": "steps", "label": "The rows", "cells": cells, "matrix": triangle(matrix),
            "exponents": exponents(quiet, x[:, None])}  # fmt: skip


def label_memory(model: Model, task: dict[str, Any], table: Table) -> dict[str, Any]:
    """Give what the label of a sequence depends on, for the first sequences of a table.

    Parameters
    ----------
    model : Model
    task : dict
        What its file says of the task.
    table : Table

    Returns
    -------
    dict
        "series": by step, the norm of the derivative of the likeliest class's logit.

    Raises
    ------
    ValueError
        A column is missing or holds no numbers.
    """
    options = ClassifyOptions(**task["options"])
    found = Labelled.read(table, options.sequence, options.sequence, task["features"])
    scaling, quiet, series = Scaling(**task["scaling"]), without_noise(model), []
    for name, values in list(zip(found.names, found.sequences, strict=True))[:SHOWN]:
        x = scaling(values, options.dtype)
        k = int(np.asarray(predict(model, [x]))[0].argmax())
        norms = connectivity(quiet, x[:, None], np.array([k])).matrix[0]
        series.append({"name": f"{name}: {task['classes'][k]}",
                       "x": list(range(1, len(norms) + 1)), "y": rounded_all(norms)})  # fmt: skip
    return {"kind": "labels", "series": series, "exponents": []}


def triangle(matrix: Floats) -> list[Sequence[float | None]]:
    """Give the rows up to the diagonal."""
    return [[rounded(v) for v in row[: t + 1]] for t, row in enumerate(matrix)]
