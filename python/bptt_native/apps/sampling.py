"""Trained character language models: loading, and sampling of text."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments.values import message
from ..models.model import Model
from ..models.model_file import load
from ..nn.network import Network
from ..options.words import StreamWeights
from ..runtime.documents import SIZE, TEXT
from ..training.metadata import read_metadata, read_place
from .vocabulary import Vocabulary


def load_text_model(path: str | Path) -> tuple[Model, Vocabulary, dict[str, Any]]:
    """Load the model file of a character language model.

    Parameters
    ----------
    path : str or Path
        A file that ``TextTrainer`` wrote.

    Returns
    -------
    model : Model
    vocabulary : Vocabulary
    training : dict
        "options" (those of ``TextOptions``), "step", "seconds", "skips", "data_sha256".

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not a model file, or holds another kind of model.
    """
    model = load(str(path))
    return model, *text_of(model, path)


def text_of(model: Model, path: str | Path) -> tuple[Vocabulary, dict[str, Any]]:
    """Return the vocabulary and training metadata of a loaded model; see `load_text_model`.

    Raises
    ------
    ValueError
        It is another kind of model.
    """
    where, expected = "load_text_model", "the model file of a character language model"
    options = {"options": {"steps": SIZE}}
    characters = read_metadata(model, path, "vocabulary", TEXT, where, expected)
    training = read_place(model, path, options, where, expected)
    config = model.config
    sizes = (config["vocab_size"], config["output_size"])
    kind = (config["loss"], config["targets"])
    if sizes != (len(characters),) * 2 or kind != ("cross_entropy", "every"):
        got = f"{str(path)!r}, whose vocabulary does not fit the model"
        raise ValueError(message(where, "path", expected, got))
    try:
        return Vocabulary(characters), training
    except ValueError as error:
        raise ValueError(message(where, "path", expected, f"{str(path)!r}: {error}")) from None


def sample(
    model: Network, vocabulary: Vocabulary, prime: str = "\n", length: int = 500,
    temperature: float = 0.8, seed: int = 0, weights: StreamWeights = "model",
) -> Iterator[str]:  # fmt: skip
    """Sample text from a character language model.

    Parameters
    ----------
    model : Model
    vocabulary : Vocabulary
    prime : str
        Text that the model reads first, at least one character.
    length : int
        Number of characters to generate.
    temperature : float
        Divisor of the logits; 0 always selects the most likely character.
    seed : int
        The same seed produces the same text.
    weights : {"model", "bfloat16", "int8"}
        The weights that the model's stream reads (`Model.stream`).

    Yields
    ------
    str
        One character.

    Raises
    ------
    ValueError
        The prime is empty or contains a character that is not in the vocabulary, or an argument is
        invalid.
    """
    tokens = vocabulary.encode(prime)
    if not len(tokens):
        raise ValueError(message("sample", "prime", "at least one character", "''"))
    if length < 0:
        raise ValueError(message("sample", "length", "at least 0", str(length)))
    if not (math.isfinite(temperature) and temperature >= 0):
        expected = "a finite number of at least 0"
        raise ValueError(message("sample", "temperature", expected, str(temperature)))
    stream, random = model.stream(weights), np.random.Generator(np.random.Philox(key=seed % 2**64))
    logits = np.zeros(len(vocabulary))
    for token in tokens:
        logits = stream.step(int(token))
    for _ in range(length):
        scores = np.asarray(logits, np.float64)
        token = int(scores.argmax())
        if temperature:
            mass = np.cumsum(np.exp((scores - scores[token]) / temperature))
            token = int(np.searchsorted(mass[:-1], random.random() * mass[-1], "right"))
        yield vocabulary.characters[token]
        logits = stream.step(token)
