"""Ctrl-C as a flag that a loop checks, so that it can save its state and end."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interruption:
    """A context manager that turns the first Ctrl-C (SIGINT) into a flag.

    The second one ends the process at once. In threads other than the main one, signals are not
    changed.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._old: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)

    def __call__(self) -> bool:
        """Return whether Ctrl-C was pressed."""
        return self.interrupted

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)
