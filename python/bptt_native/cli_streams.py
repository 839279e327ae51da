"""The program's standard streams: what it can use, whatever it was started with."""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .messages import discard, messages


def warn(command: str, text: str) -> None:
    """Write a warning as one line."""
    line = " ".join(text.split())
    print(f"bptt-native {command}: warning: {line}", file=sys.stderr, flush=True)


@contextmanager
def warnings_as_lines(command: str) -> Iterator[None]:
    """Write what Python warns of as lines of this command."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        warn(command, str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def standard_streams() -> Iterator[None]:
    """Give the program streams that it can use: closed ones are those of the null device."""
    # The lowest free descriptor is that of the closed stream, so no other file takes its place.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks becomes \\u....
        sys.stdout.reconfigure(errors="backslashreplace")
    errors = sys.stderr
    sys.stderr = messages(errors)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = errors
        try:
            sys.stdout.flush()
        except OSError:
            discard(sys.stdout)
