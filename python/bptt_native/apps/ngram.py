"""An n-gram model, the baseline for character language models."""

import numpy as np

from ..arguments.values import message
from .vocabulary import Tokens


def ngram_bits(train: Tokens, valid: Tokens, vocab_size: int, order: int = 4) -> float:
    """Return the bits per character of an interpolated n-gram model on a text.

    Let c be the counts in the training text, h the preceding characters, h' the same without the
    first one, and u(h) the number of different characters that follow h. Then (Witten & Bell 1991,
    method C)::

        p(w | h) = (c(h w) + u(h) p(w | h')) / (c(h) + u(h)),

    and the recursion ends with p(w) = 1 / V.

    Parameters
    ----------
    train, valid : int64
        Tokens below ``vocab_size``. ``valid`` is the continuation of ``train``.
    vocab_size : int
        V.
    order : int
        Number of characters from which the next one is predicted.

    Returns
    -------
    float
        The mean of -log2 p over all characters of ``valid`` except the first.

    Raises
    ------
    ValueError
        ``valid`` has fewer than two characters, or ``order`` is negative.
    """
    if order < 0:
        raise ValueError(message("ngram_bits", "order", "at least 0", str(order)))
    if len(valid) < 2:
        raise ValueError(message("ngram_bits", "valid", "at least two characters", str(len(valid))))
    text = np.concatenate([train, valid])
    tested = np.arange(len(train) + 1, len(text))
    p = np.full(len(tested), 1 / vocab_size)
    context = np.zeros(len(text), np.int64)  # [i]: number of the k characters before i
    for _ in range(order + 1):
        pairs, number = np.unique(context * vocab_size + text, return_inverse=True)
        learnt = np.arange(len(text)) < len(train)
        count = np.bincount(number[learnt], minlength=len(pairs))
        total = np.bincount(context[learnt], minlength=int(context.max()) + 1)
        seen = pairs[count > 0] // vocab_size
        distinct = np.bincount(seen, minlength=len(total))
        of = context[tested]
        mass = total[of] + distinct[of]
        p = np.where(mass > 0, (count[number[tested]] + distinct[of] * p) / np.maximum(mass, 1), p)
        context = np.concatenate([[len(pairs)], number[:-1]])
    return float(-np.log2(p).mean())
