"""Synthetic tasks that measure recurrent learning. Each function generates a new batch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.values import integer, message

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

ADDING_BASELINE = 1 / 6
"""Mean squared error of a net that always answers 1 in the adding problem."""


def adding(T: int, N: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Generate sequences of the adding problem: add the two marked numbers.

    Parameters
    ----------
    T, N : int
        Number of steps, at least 2, and of sequences.
    rng : numpy.random.Generator

    Returns
    -------
    x : float32 [T, N, 2]
        Numbers from U[0, 1), and marks: 1 at one step of each half, 0 elsewhere.
    y : float32 [N, 1]
        The sum of the two marked numbers.

    References
    ----------
    Hochreiter & Schmidhuber 1997; in this form Arjovsky et al. 2016 (arXiv:1511.06464).
    """
    integer(T, "adding", "T", 2)
    integer(N, "adding", "N", 1)
    x = np.zeros((T, N, 2), np.float32)
    x[..., 0] = rng.random((T, N), np.float32)
    each = np.arange(N)
    y: Any = np.zeros(N, np.float32)
    for low, high in ((0, T // 2), (T // 2, T)):
        at = rng.integers(low, high, N)
        x[at, each, 1] = 1
        y += x[at, each, 0]
    return x, y[:, None]


BLANK, DELIMITER = 8, 9
COPIED = 10
COPY_WORDS = DELIMITER + 1
"""Tokens of the copy memory: the symbols 0 to 7, the blank and the delimiter."""


def copy_memory(T: int, N: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Generate sequences of the copy memory: repeat ten symbols after a long blank.

    Parameters
    ----------
    T, N : int
        Number of steps between the symbols and the answer, at least 1, and of sequences.
    rng : numpy.random.Generator

    Returns
    -------
    x : int64 [T+20, N]
        Ten symbols below 8, T - 1 blanks, the delimiter, ten blanks.
    y : int64 [T+20, N]
        T + 10 blanks, the ten symbols.

    References
    ----------
    Hochreiter & Schmidhuber 1997; in this form Arjovsky et al. 2016 (arXiv:1511.06464).
    """
    integer(T, "copy_memory", "T", 1)
    integer(N, "copy_memory", "N", 1)
    symbols = rng.integers(0, BLANK, (COPIED, N))
    x = np.full((T + 2 * COPIED, N), BLANK, np.int64)
    y = x.copy()
    x[:COPIED] = y[-COPIED:] = symbols
    x[T + COPIED - 1] = DELIMITER
    return x, y


def copy_memory_baseline(T: int) -> float:
    """Return the loss (nats per step) of a net that knows the blanks and guesses the symbols."""
    return COPIED * math.log(BLANK) / (integer(T, "copy_memory_baseline", "T", 1) + 2 * COPIED)


ORDER_WORDS, ORDER_CLASSES = 6, 4
"""Tokens of the temporal order (0 and 1 matter, 2 to 5 are distractors), and classes."""


def temporal_order(T: int, N: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Generate sequences of the temporal order: tell two symbols and their order.

    Parameters
    ----------
    T, N : int
        Number of steps, at least 10, and of sequences.
    rng : numpy.random.Generator

    Returns
    -------
    x : int64 [T, N]
        Distractors 2 to 5, except for a 0 or 1 at one step of [T/10, 2T/10) and at one of
        [5T/10, 6T/10).
    y : int64 [N]
        2 * the first symbol + the second one: four classes, equally likely.

    References
    ----------
    Hochreiter & Schmidhuber 1997; in this form Pascanu et al. 2013 (arXiv:1211.5063).
    """
    integer(T, "temporal_order", "T", 10)
    integer(N, "temporal_order", "N", 1)
    x = rng.integers(2, ORDER_WORDS, (T, N))
    each = np.arange(N)
    pairs = rng.integers(0, 2, (2, N))
    for symbols, (low, high) in zip(pairs, ((1, 2), (5, 6)), strict=True):
        x[rng.integers(low * T // 10, high * T // 10, N), each] = symbols
    return x, 2 * pairs[0] + pairs[1]


COUNTRIES = ("Spain", "France", "Italy", "Germany", "Poland", "Finland", "Japan", "Greece")
LANGUAGES = ("Spanish", "French", "Italian", "German", "Polish", "Finnish", "Japanese", "Greek")
_SLOTS = (
    ("the", "a", "my", "our", "one"), ("house", "garden", "dog", "teacher", "river"),
    ("was", "seemed", "became", "stayed", "is"), ("quiet", "old", "green", "large", "happy"),
)  # fmt: skip
SENTENCE = len(_SLOTS) + 1
"""Number of words of a sentence in the gap, including the full stop."""
TEXT_WORDS = tuple(
    dict.fromkeys(
        (
            *["I", "grew", "up", "in", ".", "speak", "fluent", "friends", "live"],
            *COUNTRIES,
            *sum(_SLOTS, ()),
        )
    )
)
"""Vocabulary of `agreement_text`. The classes of the answer are `LANGUAGES`."""


def _ids(words: Sequence[str]) -> Ids:
    return np.array([TEXT_WORDS.index(word) for word in words], np.int64)


def agreement_text(gap: int, N: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Generate texts whose next word depends on a distant one: "I grew up in Spain ... fluent".

    Parameters
    ----------
    gap, N : int
        Number of words between the two sentences, a multiple of `SENTENCE`, and of texts.
    rng : numpy.random.Generator

    Returns
    -------
    x : int64 [gap + 9, N]
        Indices into `TEXT_WORDS`: "I grew up in COUNTRY .", irrelevant sentences, one in four of
        which names a random country ("friends live in COUNTRY ."), then "I speak fluent".
    y : int64 [N]
        The next word, an index into `LANGUAGES`; chance is 1/8.
    """
    integer(gap, "agreement_text", "gap", 0)
    if gap % SENTENCE:
        raise ValueError(message("agreement_text", "gap", f"a multiple of {SENTENCE}", str(gap)))
    integer(N, "agreement_text", "N", 1)
    countries, sentences = _ids(COUNTRIES), gap // SENTENCE
    country = rng.integers(0, len(COUNTRIES), N)
    between = np.empty((sentences, SENTENCE, N), np.int64)
    for place, words in enumerate(_SLOTS):
        between[:, place] = rng.choice(_ids(words), (sentences, N))
    between[:, -1] = _ids(["."])
    friends = np.repeat(_ids(["friends", "live", "in", "Spain", "."])[None, :, None], sentences, 0)
    friends = np.repeat(friends, N, 2)
    friends[:, 3] = rng.choice(countries, (sentences, N))
    between = np.where(rng.random((sentences, 1, N)) < 0.25, friends, between)
    x = np.empty((gap + 9, N), np.int64)
    x[:6] = _ids(["I", "grew", "up", "in", "Spain", "."])[:, None]
    x[4] = countries[country]
    x[6:-3] = between.reshape(gap, N)
    x[-3:] = _ids(["I", "speak", "fluent"])[:, None]
    return x, country
