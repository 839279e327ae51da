"""The table of losses, as the engine returns it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core
from .table import OPTIONS


class Loss(NamedTuple):
    """A row of the table of losses.

    Attributes
    ----------
    title : str
        The name of its mean in words.
    classes : bool
        Whether a target is one class; otherwise it is a value for each output.
    unit_interval : bool
        Whether these values are in [0, 1].
    """

    title: str
    classes: bool
    unit_interval: bool

    def divisor(self, mass: float, outputs: int) -> float:
        """Return the divisor of the mean, for targets whose weights add up to `mass`."""
        return mass if self.classes else mass * outputs


_ROWS = _core.losses()
LOSSES = {name: Loss(**_ROWS[value]) for name, value in OPTIONS["loss"].choices.items()}
"""The losses by name."""


def loss_of(config: dict[str, Any]) -> Loss:
    """Return the loss of a model from its `config`."""
    return LOSSES[config["loss"]]
