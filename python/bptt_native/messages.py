"""The standard error, where it is closed or takes nothing."""

import os
from typing import Any, TextIO, cast


def discard(stream: TextIO) -> None:
    """Let a stream, and what it still holds, write to nowhere from now on."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
    except (OSError, ValueError):  # it has no descriptor, or was closed
        pass


class _Messages:
    """Training goes on when nobody can be told."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeError:  # a name that is no text
                self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            except (OSError, ValueError):
                discard(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write what is held, or lose it."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                discard(self._stream)

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor."""
        return -1 if self._stream is None else self._stream.fileno()

    @property
    def encoding(self) -> Any:  # tqdm asks which characters a bar may have
        """The encoding of what is written."""
        return None if self._stream is None else self._stream.encoding


def messages(stream: TextIO | None) -> TextIO:
    """Return a standard error whose failures stop nothing.

    Parameters
    ----------
    stream : file or None
        Where messages go as long as it takes them.

    Returns
    -------
    file
        Of which `write`, `flush`, `isatty`, `fileno` and `encoding` may be used.
    """
    return cast(TextIO, _Messages(stream))
