"""Texts as training data: reading, a held-out part, and windows of parallel streams.

A text is cut into N contiguous streams, and these into windows of T steps. The state at the end of
a window is the initial state of the next one. The network therefore reads a stream continuously,
although the gradient ends at the edge of a window.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from ..arguments.values import message
from ..runtime.files import read
from ..training.batches import side_by_side
from .vocabulary import Tokens

LONGEST = 1 << 32  # size limit of a text or table in bytes


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text.

    Parameters
    ----------
    path : str or Path
        A file, or "-" for the standard input.

    Returns
    -------
    str
        The text. Line ends are not translated.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file. (Read a pipe from the standard input.)
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
        raise ValueError(message("read_text", "path", "UTF-8 text", got)) from None
    if not text:
        raise ValueError(message("read_text", "path", "some text", f"{name}: empty"))
    return text


def pydoc_prose() -> str:
    """Return the English prose in every CPython, the language reference that help() shows.

    Returns
    -------
    str
        The topics of ``pydoc_data.topics``, in the order of their names.
    """
    from pydoc_data.topics import topics

    return "".join(topics[name] for name in sorted(topics))


def split(tokens: Tokens, valid_fraction: float) -> tuple[Tokens, Tokens]:
    """Split a text into a first part for training and a last part for validation.

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
        raise ValueError(message("split", "valid_fraction", expected, repr(valid_fraction)))
    at = len(tokens) - int(len(tokens) * valid_fraction)
    return tokens[:at], tokens[at:]


def windows(
    tokens: Tokens, time: int, streams: int, offset: int = 0, whole: bool = True
) -> Iterator[tuple[Tokens, Tokens]]:
    """Cut a text into N streams and these into windows of T steps.

    Stream n begins at the character ``offset + n * length``, with the largest ``length`` for which
    all streams have targets. The target of a character is the next character.

    Parameters
    ----------
    tokens : int64 [n]
    time, streams : int
        T and N.
    offset : int
        The first character of the first stream.
    whole : bool
        Whether to leave out a last window of fewer than T steps.

    Yields
    ------
    inputs, targets : int64 [T, N]
        Views. The next window continues the streams.
    """
    length = max(0, len(tokens) - 1 - offset) // streams
    inputs, targets = (side_by_side(tokens, streams, length, offset + k) for k in (0, 1))
    end = length - length % time if whole else length
    for t in range(0, end, time):
        yield inputs[t : min(t + time, end)], targets[t : min(t + time, end)]
