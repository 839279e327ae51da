"""Warnings at the line of the caller, outside of this package."""

from __future__ import annotations

import sys
import warnings

PACKAGE = __name__.partition(".")[0]


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the first line of the stack that is not in this package.

    Parameters
    ----------
    text : str
        The text.
    category : type
        The class of the warning.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != PACKAGE:
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
