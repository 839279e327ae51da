"""Dependence of a trained model's outputs on its inputs, for the page."""

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
from ..models.model import Model
from ..nn.probabilities import softmax
from ..training.evaluation import outputs
from .figures import rounded, rounded_all

Floats = npt.NDArray[np.float64]
SHOWN, EXPONENTS = 4, 64  # limits: sequences, and Lyapunov exponents of a layer


def without_noise(model: Model) -> Model:
    """Return the model without dropout and noise, as it is used after training.

    Zoneout stays random as in training, since the engine has no backward pass of its expectation.
    """
    config = {**model.config, "dropout": 0.0, "variational": False, "recurrent_dropout": 0.0}
    quiet = Model(**config | {"noise": 0.0})
    quiet.load_state_dict(model.state_dict())
    return quiet


def exponents(model: Model, x: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """Return the largest Lyapunov exponents of each layer along one sequence.

    Parameters
    ----------
    model : Model
    x : int64 [T, 1] or floating point [T, 1, I]

    Returns
    -------
    list of dict
        For each layer "name" and "values" [at most `EXPONENTS`] in nats per step. The list is
        empty for short sequences.
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
    """Return the dependences of a text.

    Parameters
    ----------
    model : Model
    vocabulary : Vocabulary
    text : str
        At least two characters of the vocabulary.

    Returns
    -------
    dict
        "cells": the characters. "matrix": row p - 1 belongs to the output that predicts character
        p. "seen": the model's probabilities at each output. "exponents": see `exponents`.
    """
    tokens = vocabulary.encode(text)
    quiet = without_noise(model)
    matrix = connectivity(quiet, tokens[:-1, None], tokens[1:]).matrix
    p = softmax(model(tokens[:-1, None])[0][:, 0])
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
    """Return the dependences of forecasts, for the last rows of a table.

    Parameters
    ----------
    model : Model
    task : dict
        The task in the model file's metadata.
    table : Table
    length : int
        Number of rows.

    Returns
    -------
    dict
        "cells": descriptions of the steps. "matrix": row t belongs to the output at step t.
        "exponents": see `exponents`.

    Raises
    ------
    ValueError
        A column is missing or holds values that are not numbers.
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
    """Return the dependences of labels, for the first sequences of a table.

    Parameters
    ----------
    model : Model
    task : dict
        The task in the model file's metadata.
    table : Table

    Returns
    -------
    dict
        "series": for each sequence, the norm by step of the derivative of the most likely class's
        logit.

    Raises
    ------
    ValueError
        A column is missing or holds values that are not numbers.
    """
    options = ClassifyOptions(**task["options"])
    found = Labelled.read(table, options.sequence, options.sequence, task["features"])
    scaling, quiet, series = Scaling(**task["scaling"]), without_noise(model), []
    for name, values in list(zip(found.names, found.sequences, strict=True))[:SHOWN]:
        x = scaling(values, options.dtype)
        k = int(np.asarray(outputs(model, [x]))[0].argmax())
        norms = connectivity(quiet, x[:, None], np.array([k])).matrix[0]
        series.append({"name": f"{name}: {task['classes'][k]}",
                       "x": list(range(1, len(norms) + 1)), "y": rounded_all(norms)})  # fmt: skip
    return {"kind": "labels", "series": series, "exponents": []}


def triangle(matrix: Floats) -> list[Sequence[float | None]]:
    """Return the rows of a matrix up to the diagonal."""
    return [[rounded(v) for v in row[: t + 1]] for t, row in enumerate(matrix)]
