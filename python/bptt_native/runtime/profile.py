"""Profile of the engine: time by phase."""

import time
from types import TracebackType
from typing import Self

from .. import _core
from ..arguments.display import Shown, Table, View

PHASES = (
    "packing", "input", "recurrent", "pointwise", "weight_gradients", "input_gradients",
    "readout", "clip", "optimizer", "other",
)  # fmt: skip


class profile(Shown):  # noqa: N801
    """A context manager that measures the engine's time by phase.

    The counters belong to the process: calls of all threads count, and only one profile can run at
    a time. Outside the ``with`` block the counters are off and cost nothing measurable.

    Attributes
    ----------
    seconds : dict of str to float
        Total seconds of all threads: "packing" (of weights), "input" (products with W_ih),
        "recurrent" (products with W_hh, forward and backward), "pointwise" (activations and their
        gradients), "weight_gradients", "input_gradients", "readout" (with the loss), "clip" (with
        the norm), "optimizer", "other" (copies, and waiting for other threads during passes). Where
        one product multiplies input and state, its time is divided by their sizes. All are zero
        until the block ends.
    elapsed : float
        Wall-clock seconds from the start of the block to its end.

    Raises
    ------
    RuntimeError
        On entry, if a profile is already running.

    Examples
    --------
    >>> layer, x = bn.LSTM(3, 8), np.ones((50, 4, 3), np.float32)
    >>> with bn.profile() as p:
    ...     y, state = layer(x)
    >>> p.seconds["recurrent"] > 0, 0 < sum(p.seconds.values())
    (True, True)
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self.elapsed: float = 0.0
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

    def _view(self) -> View:
        total = sum(self.seconds.values())
        if not total:
            return View("profile: nothing has been measured")
        ordered = sorted(self.seconds.items(), key=lambda phase: -phase[1])
        rows = [
            (name, f"{1e3 * each:.3f}", f"{each / total:.1%}") for name, each in ordered if each
        ]
        head = f"profile: {1e3 * total:.3f} ms of all threads, {1e3 * self.elapsed:.3f} ms elapsed"
        return View(head, (Table(("phase", "ms", "share"), rows),))
