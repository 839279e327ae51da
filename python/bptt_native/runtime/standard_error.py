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
    """A standard error that drops what it cannot write."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = None if getattr(stream, "closed", False) else stream

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
        """Return whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def messages(stream: TextIO | None) -> TextIO:
    """Return a standard error whose failures stop nothing.

    Parameters
    ----------
    stream : file or None
        Where messages go as long as it takes them.

    Returns
    -------
    file
        Like the stream otherwise.
    """
    return cast(TextIO, _Messages(stream))
