"""Ctrl-C as a question that a loop asks, so that it can save and end."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interruption:
    """Turn the first Ctrl-C (SIGINT) into a flag; the second one ends the process at once.

    A context manager; in threads other than the main one it leaves signals alone.
    """

    def __init__(self) -> None:
        self.asked = False
        self._old: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)

    def __call__(self) -> bool:
        """Tell whether Ctrl-C was pressed."""
        return self.asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)
