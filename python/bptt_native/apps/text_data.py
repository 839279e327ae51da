"""Texts as data: reading, a held-out part, and streams of characters in windows.

A text of n characters becomes N contiguous streams side by side, and these are cut into windows
of T steps. The state at the end of a window is the state at the start of the next one, so the
network reads on although the gradient stops at the window's edge.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from ..arguments.values import message
from ..runtime.files import read
from ..training.batches import side_by_side
from .vocabulary import Tokens

LONGEST = 1 << 32  # bytes of a text or table


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
