"""Which inputs the outputs of a trained model depend on, for the page's view of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import Model
from ..classify import ClassifyOptions, Labelled
from ..evaluation import predict
from ..forecast import ForecastOptions, features_of
from ..tables import Scaling, Table
from ..tasks import Vocabulary
from .figures import rounded, rounded_all

Floats = npt.NDArray[np.float64]
SHOWN = 4  # sequences


def dependence(model: Model, x: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> Floats:
    """Give the norms of d out_k(t) / d x_s for one sequence.

    Parameters
    ----------
    model : Model
    x : int64 [T], or floating point [T, I]
        Tokens (x_s is then the row of the table or the one-hot vector that the first layer reads),
        or features.
    outputs : int64 [T], or [1] with ``targets="last"``
        k of each output.

    Returns
    -------
    float64 [T, T] or [1, T]
        [t, s].
    """
    config = {**model.config, "batch_first": False, "compute": None}
    weights = model.state_dict()
    if model.config["vocab_size"] is not None:
        table = weights.pop("embedding.weight", np.eye(model.config["vocab_size"]))
        config |= {"vocab_size": None, "embedding_size": None, "input_size": table.shape[1]}
        x = table[x]
    dense = Model(**config)
    dense.load_state_dict(weights)
    out, _, tape = dense.forward(np.asarray(x, config["dtype"])[:, None])
    matrix = np.zeros((len(outputs), len(x)))
    for t, k in enumerate(outputs):
        dout = np.zeros_like(out)
        dout[(t, 0, k) if out.ndim == 3 else (0, k)] = 1
        grads = dense.backward(tape, dout, flow=False)
        assert grads.x is not None
        matrix[t] = np.linalg.norm(np.asarray(grads.x[:, 0], np.float64), axis=-1)
    return matrix


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
        (what the model gave them).
    """
    tokens = vocabulary.encode(text)
    matrix = dependence(model, tokens[:-1], tokens[1:])
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
            "seen": seen}  # fmt: skip


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
        "cells" (what the steps are), "matrix" (row t: of the output at step t).

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
    matrix = dependence(model, x, np.zeros(len(x), np.int64))
    return {"kind": "steps", "label": "The rows", "cells": cells, "matrix": triangle(matrix)}


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
    scaling, series = Scaling(**task["scaling"]), []
    for name, values in list(zip(found.names, found.sequences, strict=True))[:SHOWN]:
        x = scaling(values, options.dtype)
        k = int(np.asarray(predict(model, [x]))[0].argmax())
        norms = dependence(model, x, np.array([k]))[0]
        series.append({"name": f"{name}: {task['classes'][k]}",
                       "x": list(range(1, len(norms) + 1)), "y": rounded_all(norms)})  # fmt: skip
    return {"kind": "labels", "series": series}


def triangle(matrix: Floats) -> list[Sequence[float | None]]:
    """Give the rows up to the diagonal."""
    return [[rounded(v) for v in row[: t + 1]] for t, row in enumerate(matrix)]
