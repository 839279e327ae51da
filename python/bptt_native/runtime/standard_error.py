"""A standard error stream that tolerates being closed or full."""

import os
from typing import Any, TextIO, cast


def discard(stream: TextIO) -> None:
    """Redirect a stream, including its buffered text, to the null device."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
    except (OSError, ValueError):  # it has no descriptor, or was closed
        pass


class _Messages:
    """A stream that drops text which it cannot write."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = None if getattr(stream, "closed", False) else stream

    def write(self, text: str) -> int:
        """Write a text or drop it."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeError:  # for example a file name that is not UTF-8
                self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            except (OSError, ValueError):
                discard(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write the buffered text or drop it."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                discard(self._stream)

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def messages(stream: TextIO | None) -> TextIO:
    """Return a stream that writes to another one and ignores its failures.

    Parameters
    ----------
    stream : file or None
        The stream for messages.

    Returns
    -------
    file
        A stream with the other attributes of ``stream``.
    """
    return cast(TextIO, _Messages(stream))
