"""Schedules of learning rates, and early stopping: `training.schedules` under its public name."""

import sys
from typing import TYPE_CHECKING

from .training import schedules as _module

if TYPE_CHECKING:
    from .training.schedules import *  # noqa: F403

sys.modules[__name__] = _module
