"""A trained character language model: what its file says, and what it writes."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import Model, load
from .tasks import Vocabulary


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
        It is no model file, or one of another kind of model.
    """
    model = load(str(path))
    try:
        vocabulary = Vocabulary(json.loads(model.metadata["vocabulary"]))
        training = json.loads(model.metadata["training"])
        needed = {"options", "step", "seconds", "skips", "measured", "data_sha256"}
        missing = needed - set(training)
    except (KeyError, TypeError, ValueError) as error:
        missing = {str(error)}
    if missing:
        expected = "the model file of a character language model"
        got = f"{str(path)!r}, which lacks {', '.join(sorted(missing))}"
        raise ValueError(f"load_text_model: argument 'path': expected {expected}, got {got}")
    return model, vocabulary, training


def sample(
    model: Model, vocabulary: Vocabulary, prime: str = "\n", length: int = 500,
    temperature: float = 0.8, seed: int = 0,
) -> Iterator[str]:  # fmt: skip
    """Let a character language model write.

    Parameters
    ----------
    model : Model
    vocabulary : Vocabulary
    prime : str
        What it reads first, at least one character.
    length : int
        Characters to write.
    temperature : float
        The logits are divided by it; 0 always takes the likeliest character.
    seed : int
        The same one gives the same text.

    Yields
    ------
    str
        One character.

    Raises
    ------
    ValueError
        The prime is empty or has a character that the model does not know; an argument is not
        allowed.
    """
    tokens = vocabulary.encode(prime)
    if not len(tokens):
        raise ValueError("sample: argument 'prime': expected at least one character, got ''")
    if length < 0:
        raise ValueError(f"sample: argument 'length': expected at least 0, got {length}")
    if not (math.isfinite(temperature) and temperature >= 0):
        expected = "a finite number of at least 0"
        raise ValueError(f"sample: argument 'temperature': expected {expected}, got {temperature}")
    stream, random = model.stream(), np.random.Generator(np.random.Philox(key=seed % 2**64))
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
