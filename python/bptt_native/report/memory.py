"""Which inputs the outputs of a trained model depend on, for the page's view of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import Model
from ..tasks import Vocabulary
from .figures import rounded

Floats = npt.NDArray[np.float64]


def dependence(model: Model, tokens: npt.NDArray[Any]) -> Floats:
    """Give the norms of d logit_k(t) / d x_s, k being the token that follows.

    x_s is the row of the embedding table or the one-hot vector that the first layer reads.

    Parameters
    ----------
    model : Model
        Of tokens, with as many outputs.
    tokens : int64 [T + 1]

    Returns
    -------
    float64 [T, T]
        [t, s]; 0 where s > t.
    """
    weights = model.state_dict()
    table = weights.pop("embedding.weight", np.eye(model.config["vocab_size"]))
    config = {**model.config, "vocab_size": None, "embedding_size": None}
    config |= {"input_size": table.shape[1], "batch_first": False}
    dense = Model(**config)
    dense.load_state_dict(weights)
    x = np.asarray(table, dense.config["dtype"])[tokens[:-1], None]
    out, _, tape = dense.forward(x)
    matrix = np.zeros((len(x), len(x)))
    for t, token in enumerate(tokens[1:]):
        dout = np.zeros_like(out)
        dout[t, 0, token] = 1
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
    matrix = dependence(model, tokens)
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


def triangle(matrix: Floats) -> list[Sequence[float | None]]:
    """Give the rows up to the diagonal."""
    return [[rounded(v) for v in row[: t + 1]] for t, row in enumerate(matrix)]
