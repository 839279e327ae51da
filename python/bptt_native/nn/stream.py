"""One sequence, one step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .gradients import State


class Stream(_core.Stream):
    """A model's forward pass as a stream of single steps. ``Model.stream`` makes it.

    It uses the weights as they were when it was made; the model may train on meanwhile. A step
    allocates nothing if it is given `out`, takes no lock and makes no system call. It equals the
    output of a window within rounding. A stream belongs to one thread at a time.
    """

    def reset(self) -> None:
        """Set the states to zero."""
        super().reset()

    @property
    def state(self) -> State:
        """The states now, h or (h, c), each [L*D, 1, H]; assign to set them (None: zeros)."""
        state: State = self.get_state()
        return state

    @state.setter
    def state(self, value: Any) -> None:
        self.set_state(value)

    def __copy__(self) -> Stream:
        raise TypeError("Stream.__copy__: expected Model.stream() for another stream, got a copy")

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("Stream: expected the model to be pickled, got its stream")

    def __repr__(self) -> str:
        shape = np.shape(self.state[0] if isinstance(self.state, tuple) else self.state)
        return f"Stream with states of shape {list(shape)}"
