"""The standard streams of the program, usable even if it was started with closed ones."""

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from ..runtime.standard_error import discard, messages


def warn(command: str, text: str) -> None:
    """Print a warning as one line."""
    line = " ".join(text.split())
    print(f"bptt-native {command}: warning: {line}", file=sys.stderr, flush=True)


@contextmanager
def warnings_as_lines(command: str, reworded: Callable[[str], str]) -> Iterator[None]:
    """Print Python's warnings, in other words, as lines of a command."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        warn(command, reworded(str(message)))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


class _Results:
    """The standard output, with errors that name it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        with _named():
            return self._stream.write(text)

    def flush(self) -> None:
        """Write the text that is still buffered."""
        with _named():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"the standard output: {error.strerror}") from None


@contextmanager
def standard_streams() -> Iterator[None]:
    """Provide the program with standard streams; the null device replaces closed ones."""
    # open() returns the lowest free descriptor, which is that of the closed stream.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # \\u.... for what the encoding cannot express
        sys.stdout.reconfigure(errors="backslashreplace")
    results, errors = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _Results(results)), messages(errors)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stdout, sys.stderr = results, errors
        try:
            sys.stdout.flush()
        except OSError:
            discard(sys.stdout)
