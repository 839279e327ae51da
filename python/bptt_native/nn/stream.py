"""The stream of a model: its forward pass over one sequence, one step per call."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..arguments.display import Shown, View, array_text, shape_text
from .gradients import State

# The weights that a stream reads, with the values of the engine's enumeration.
WEIGHTS = {"model": 0, "bfloat16": 1, "int8": 2}


class Stream(_core.Stream, Shown):
    """A model's forward pass over one sequence, one step per call; made by `Model.stream`.

    A stream keeps the weights that the model had when the stream was made, so the model may go on
    training. A step takes no lock and makes no system call, and allocates nothing if it is given
    `out`. Its output equals that of a call of the model within rounding; the argument `weights` of
    `Model.stream` makes the rounding coarser and the step faster. Streams of the same model can
    exchange their states, whatever their weights. Only one thread may use a stream at a time.

    Examples
    --------
    >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
    >>> stream, x = model.stream(), np.ones((5, 2), np.float32)
    >>> outputs = [stream.step(x_t) for x_t in x]
    >>> np.allclose(outputs, model(x)[0], atol=1e-6)
    True
    >>> stream.reset()
    """

    def __init__(self, *made: Any) -> None:
        if not made or not isinstance(made[0], _core.Model):
            raise TypeError("Stream: streams are made by Model.stream()")
        super().__init__(*made)

    def reset(self) -> None:
        """Set the initial states and begin a new sequence, with the next noise.

        The initial states are zeros, or those that the model had learnt when the stream was made.
        """
        super().reset()

    @property
    def state(self) -> State:
        """The current states, h or (h, c), each [L*D, 1, H]. Assigning None resets."""
        state: State = self.get_state()
        return state

    @state.setter
    def state(self, value: Any) -> None:
        self.set_state(value)

    def __copy__(self) -> Stream:
        raise TypeError("streams cannot be copied: Model.stream() returns another one")

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("streams cannot be pickled: pickle the model")

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in ("get_state", "set_state")]

    def _view(self) -> View:
        state = self.state
        first = state[0] if isinstance(state, tuple) else state
        head = f"Stream with states of shape {shape_text(first.shape)}"
        return View(head, (f"state: {array_text(state)}",))
