"""Data: text as streams of characters, and what an n-gram makes of it.

A text of n characters becomes N contiguous streams side by side, and these are cut into windows
of T steps. The state at the end of a window is the state at the start of the next one, so the
network reads on although the gradient stops at the window's edge.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..arguments.values import message
from ..runtime.files import read
from ..training.batches import side_by_side

LONGEST = 1 << 32  # bytes of a text or table
Tokens = npt.NDArray[np.int64]


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text.

    Parameters
    ----------
    path : str or Path
        A file, or "-" for the standard input.

    Returns
    -------
    str
        The text as it is: line ends are not translated.

    Raises
    ------
    OSError
        The file cannot be read, or is no regular file. (A pipe goes to the standard input.)
    ValueError
        The text is empty, not UTF-8, or larger than 4 GiB.
    """
    name = "the standard input" if str(path) == "-" else repr(str(path))
    if str(path) == "-":
        data = sys.stdin.buffer.read(LONGEST + 1)
        if len(data) > LONGEST:
            raise ValueError(message("read_text", "path", f"at most {LONGEST} bytes", name))
    else:
        data = read(path, LONGEST, "read_text", cure="pipe it to -")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"byte 0x{data[error.start]:02x} at position {error.start} ({error.reason}) in {name}"
        raise ValueError(f"read_text: argument 'path': expected UTF-8 text, got {got}") from None
    if not text:
        raise ValueError(f"read_text: argument 'path': expected some text, got {name}: empty")
    return text


def pydoc_prose() -> str:
    """Give the English prose that every CPython carries: the language reference behind help().

    Returns
    -------
    str
        The topics of ``pydoc_data.topics``, in the order of their names.
    """
    from pydoc_data.topics import topics

    return "".join(topics[name] for name in sorted(topics))


@dataclass(frozen=True)
class Vocabulary:
    """The characters (code points) that a model knows; a character's token is its index.

    Parameters
    ----------
    characters : str
        Distinct characters, in ascending order.

    Raises
    ------
    ValueError
        The characters are not distinct and ascending, or there are none.
    """

    characters: str

    def __post_init__(self) -> None:
        codes = [ord(c) for c in self.characters]
        if not codes or any(a >= b for a, b in pairwise(codes)):
            got = repr(self.characters if len(codes) < 20 else self.characters[:20] + "...")
            expected = "distinct characters in ascending order"
            raise ValueError(f"Vocabulary: argument 'characters': expected {expected}, got {got}")

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Give the vocabulary of a text."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tokens:
        """Turn characters into tokens.

        Parameters
        ----------
        text : str
            Characters of the vocabulary.

        Returns
        -------
        int64 [len(text)]

        Raises
        ------
        ValueError
            A character is not in the vocabulary.
        """
        codes = _code_points(text)
        known = _code_points(self.characters)
        tokens = np.searchsorted(known, codes)
        wrong = known[np.minimum(tokens, len(known) - 1)] != codes
        if wrong.any():
            at = int(np.argmax(wrong))
            expected = f"characters among the {len(self)} that the model knows"
            got = f"{text[at]!r} (U+{ord(text[at]):04X}) at position {at}"
            raise ValueError(f"Vocabulary.encode: argument 'text': expected {expected}, got {got}")
        return tokens.astype(np.int64)

    def decode(self, tokens: npt.ArrayLike) -> str:
        """Turn tokens into characters.

        Parameters
        ----------
        tokens : integers [...]
            Each at least 0 and below ``len(self)``.

        Raises
        ------
        IndexError
            A token is out of range.
        """
        ids = np.asarray(tokens, np.int64).reshape(-1)
        if ids.size and (ids.min() < 0 or ids.max() >= len(self)):
            expected, got = f"0 ... {len(self) - 1}", f"{ids.min()} ... {ids.max()}"
            raise IndexError(
                f"Vocabulary.decode: argument 'tokens': expected {expected}, got {got}"
            )
        return "".join(self.characters[i] for i in ids)


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def split(tokens: Tokens, valid_fraction: float) -> tuple[Tokens, Tokens]:
    """Hold out the last part of a text.

    Parameters
    ----------
    tokens : int64 [n]
    valid_fraction : float
        The held-out share, at least 0 and below 1.

    Returns
    -------
    train, valid : int64
        Views of the first and of the last characters.
    """
    if not 0 <= valid_fraction < 1:
        expected = "a number at least 0 and below 1"
        raise ValueError(
            f"split: argument 'valid_fraction': expected {expected}, got {valid_fraction!r}"
        )
    at = len(tokens) - int(len(tokens) * valid_fraction)
    return tokens[:at], tokens[at:]


def windows(
    tokens: Tokens, time: int, streams: int, offset: int = 0, whole: bool = True
) -> Iterator[tuple[Tokens, Tokens]]:
    """Cut a text into N streams and these into windows of T steps.

    Stream n holds the characters from ``offset + n * length`` on, where ``length`` is the greatest
    for which all streams have targets. The target of a character is the one that follows it.

    Parameters
    ----------
    tokens : int64 [n]
    time, streams : int
        T and N.
    offset : int
        Where the first stream begins.
    whole : bool
        Leave out a last window of fewer than T steps.

    Yields
    ------
    inputs, targets : int64 [T, N]
        Views; in the window after, the streams read on.
    """
    length = max(0, len(tokens) - 1 - offset) // streams
    inputs, targets = (side_by_side(tokens, streams, length, offset + k) for k in (0, 1))
    end = length - length % time if whole else length
    for t in range(0, end, time):
        yield inputs[t : min(t + time, end)], targets[t : min(t + time, end)]


def ngram_bits(train: Tokens, valid: Tokens, vocab_size: int, order: int = 4) -> float:
    """Bits per character of an interpolated n-gram, counted on one text and tested on another.

    With c counts in the training text, h the characters before, h' all of them but the first, and
    u(h) the number of different characters seen after h (Witten & Bell 1991, method C)::

        p(w | h) = (c(h w) + u(h) p(w | h')) / (c(h) + u(h)),    at the end of all p(w) = 1 / V

    Parameters
    ----------
    train, valid : int64
        Tokens below ``vocab_size``; ``valid`` is the text's continuation.
    vocab_size : int
        V.
    order : int
        From how many characters the next one is predicted.

    Returns
    -------
    float
        The mean of -log2 p over all characters of ``valid`` but the first.

    Raises
    ------
    ValueError
        ``valid`` has fewer than two characters, or ``order`` is negative.
    """
    if order < 0:
        raise ValueError(f"ngram_bits: argument 'order': expected at least 0, got {order}")
    if len(valid) < 2:
        expected = "at least two characters"
        raise ValueError(f"ngram_bits: argument 'valid': expected {expected}, got {len(valid)}")
    text = np.concatenate([train, valid])
    tested = np.arange(len(train) + 1, len(text))
    p = np.full(len(tested), 1 / vocab_size)
    context = np.zeros(len(text), np.int64)  # of character i: the number of the k before it
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
