"""Gradients of many single outputs in one backward pass."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.arrays import convert
from ..arguments.display import fields_view, html_of, text_of
from ..arguments.values import Array, flag, integer, message
from .nets import check_tape, output_width, setting
from .norms import Norms

Indices = npt.NDArray[np.int64]


class SeedNorms(NamedTuple):
    """Norms of the gradients of S single losses by step.

    Attributes
    ----------
    x : float64 [S, T]
        ||dL_s/dx_t||; for tokens, x_t is the one-hot or embedded vector.
    h : float64 [L*D, S, T], or None
        ||dL_s/dh_t||.
    c : float64 [L*D, S, T], or None
        ||dL_s/dc_t|| (LSTM).

    Examples
    --------
    >>> layer = bn.GRU(3, 8, dtype="float64")
    >>> x = np.random.default_rng(0).standard_normal((20, 2, 3))
    >>> y, h, tape = layer.forward(x)
    >>> found = bn.diagnostics.backward_seeds(layer, tape, [3, 19], outputs=[0, 1], flow=True)
    >>> found.x.shape, found.h.shape, found.c
    ((2, 20), (1, 2, 20), None)
    """

    x: Norms
    h: Norms | None
    c: Norms | None

    def __repr__(self) -> str:
        """Return the shapes and ranges of the arrays."""
        return text_of(fields_view(self))

    def _repr_html_(self) -> str:
        return html_of(fields_view(self))


_core.hand_over(SeedNorms=SeedNorms)


def indices(
    value: npt.ArrayLike, where: str, argument: str, held: list[object], count: int | None = None
) -> Indices:
    """Return a contiguous vector of integers; `held` keeps other threads from resizing it."""
    expected = "integers [S]" if count is None else f"integers [{count}]"
    array = convert(value, {"int64": [(count,)]}, where, argument, expected, held=held)
    return array if array.flags.writeable else array.copy()


def backward_seeds(
    net: Any, tape: Any, times: npt.ArrayLike, *, outputs: npt.ArrayLike | None = None,
    dy: npt.ArrayLike | None = None, samples: npt.ArrayLike | None = None,
    horizon: int | None = None, flow: bool = False,
) -> SeedNorms:  # fmt: skip
    """Compute the gradients of S losses, each of the output at one step of one sequence.

    One backward pass replaces S passes: all losses of a sequence read the same steps of the tape.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
    tape : Tape
        The tape of a ``forward`` of this net. The parameters are those that it was made with.
    times : integers [S]
        The step of each loss.
    outputs : integers [S], optional
        The element of the output that is the loss: a logit of a model, a unit of a layer.
    dy : floating point [S, O], optional
        dL_s/d output, instead of ``outputs``.
    samples : integers [S], optional
        The sequence of each loss; by default the first one.
    horizon : int, optional
        Norms ``horizon`` or more steps from their loss are 0 and are not computed. The loss of a
        bidirectional model with ``targets="last"`` is at both ends of the sequence.
    flow : bool
        Whether to also return the norms of dL/dh_t and dL/dc_t.

    Returns
    -------
    SeedNorms

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument does not fit, or an index is out of range.
    RuntimeError
        The tape is another net's.

    Examples
    --------
    >>> layer = bn.GRU(3, 8, dtype="float64")
    >>> x = np.random.default_rng(0).standard_normal((20, 2, 3))
    >>> y, h, tape = layer.forward(x)
    >>> found = bn.diagnostics.backward_seeds(layer, tape, [3, 19], outputs=[0, 1])
    >>> np.flatnonzero(found.x[0])  # the output at step 3 depends on the inputs up to it
    array([0, 1, 2, 3])
    """
    where, held = "backward_seeds", list[object]()
    check_tape(tape, where)
    at = indices(times, where, "times", held)
    count = len(at)
    own = None if samples is None else indices(samples, where, "samples", held, count)
    chosen = None if outputs is None else indices(outputs, where, "outputs", held, count)
    given: Array | None = None
    if (dy is None) == (outputs is None):
        got = "neither" if dy is None else "both"
        raise ValueError(message(where, "outputs", "either outputs or dy", got))
    if dy is not None:
        dtype = str(np.dtype(setting(net, "dtype")))
        shape = (count, output_width(net))
        expected = f"a {dtype} array of shape {list(shape)}"
        array = convert(dy, {dtype: [shape]}, where, "dy", expected, held=held)
        given = np.array(array).ravel()
    far = 0 if horizon is None else integer(horizon, where, "horizon", 1)
    norms: SeedNorms = net._native.backward_seeds(
        tape=tape, times=at, samples=own, outputs=chosen, dy=given, horizon=far,
        flow=flag(flow, where, "flow"), where=where,
    )  # fmt: skip
    return norms
