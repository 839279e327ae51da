"""Where the engine's own time goes."""

import time
from types import TracebackType
from typing import Self

from .. import _core

PHASES = (
    "packing", "input", "recurrent", "pointwise", "weight_gradients", "input_gradients",
    "readout", "clip", "optimizer", "other",
)  # fmt: skip


class profile:  # noqa: N801
    """Count the engine's time by phase, within a ``with`` statement.

    The counters are the process's: calls of all threads count, and one profile can be open at a
    time. Outside they are off and cost nothing measurable.

    Attributes
    ----------
    seconds : dict of str to float
        Seconds of all threads together: "packing" (of weights), "input" (products with W_ih),
        "recurrent" (products with W_hh, both ways), "pointwise" (activations and their gradients),
        "weight_gradients", "input_gradients", "readout" (with the loss), "clip" (with the norm),
        "optimizer", "other" (in passes: copies, waiting for other threads). Zeros before the block
        ends.
    elapsed : float
        Seconds by the clock from the start of the block to its end.

    Raises
    ------
    RuntimeError
        On entry, if a profile is open already.

    Examples
    --------
    >>> with bn.profile() as p:
    ...     model.train_step(x, targets)
    >>> p.seconds["recurrent"] / p.elapsed
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self.elapsed = 0.0
        self._start = 0.0

    def __enter__(self) -> Self:
        """Start counting."""
        _core.profile_start()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop counting and read the counters."""
        self.elapsed = time.perf_counter() - self._start
        self.seconds = _core.profile_stop()
