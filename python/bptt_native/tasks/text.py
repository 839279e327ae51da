"""Texts with a grammar, whose next word depends on a distant one."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..arguments.values import integer, message

Ids = npt.NDArray[np.int64]

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
        The source of the random numbers.

    Returns
    -------
    x : int64 [gap + 9, N]
        Indices into `TEXT_WORDS`: "I grew up in COUNTRY .", irrelevant sentences, one in four of
        which names a random country ("friends live in COUNTRY ."), then "I speak fluent".
    y : int64 [N]
        The next word, an index into `LANGUAGES`; chance is 1/8.

    Raises
    ------
    TypeError, ValueError
        A number is no integer or too small, or `gap` is no multiple of `SENTENCE`.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import tasks
    >>> x, y = tasks.agreement_text(5, 1, np.random.default_rng(0))
    >>> " ".join(tasks.TEXT_WORDS[word] for word in x[:, 0])
    'I grew up in Japan . friends live in Spain . I speak fluent'
    >>> tasks.LANGUAGES[y[0]]
    'Japanese'
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
