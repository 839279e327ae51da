"""Callbacks of training runs: the module of `training` under its public name."""

import sys
from typing import TYPE_CHECKING

from .training import callbacks as _module

if TYPE_CHECKING:
    from .training.callbacks import *  # noqa: F403

sys.modules[__name__] = _module
