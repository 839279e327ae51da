"""Metrics of evaluations: the module of `training` under its public name."""

import sys
from typing import TYPE_CHECKING

from .training import metrics as _module

if TYPE_CHECKING:
    from .training.metrics import *  # noqa: F403

sys.modules[__name__] = _module
