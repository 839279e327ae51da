"""The levels of recording of the gradient's flow, and the record in detail."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.display import View, arrays_table, constructor_text, text_of
from ..arguments.values import choice, flag

Flow = npt.NDArray[np.float64] | None


class FlowDetail(NamedTuple):
    """The gradient's flow in detail: of each sample and unit, and shares of the weights' gradients.

    The arrays are float64, and indexed by time steps of the input. Those that were not requested
    are None. a_t are the pre-activations of all gates, G*H, in the order of the weights.

    Attributes
    ----------
    samples_h, samples_c, samples_a : [L*D, T, N]
        ||dL/dh_t||, ||dL/dc_t|| (LSTM) and ||dL/da_t|| for each sample.
    units_h, units_c, units_a : [L*D, T, R], [L*D, T, H], [L*D, T, G*H]
        The same norms for each unit, over all samples.
    share_ih, share_hh : [L*D, T, N]
        The norms of each sample's share, at step t, in dL/dW_ih, ||da_t|| ||x_t||, and in dL/dW_hh,
        ||da_t|| ||h_{t-1}||. There is no share_hh for a MinGRU, and for a
        GRU without ``reset_after``.
    weight_ih, weight_hh : [L*D, T]
        The norms of step t's share in dL/dW_ih and dL/dW_hh, of all samples together.
    """

    samples_h: Flow = None
    samples_c: Flow = None
    samples_a: Flow = None
    units_h: Flow = None
    units_c: Flow = None
    units_a: Flow = None
    share_ih: Flow = None
    share_hh: Flow = None
    weight_ih: Flow = None
    weight_hh: Flow = None

    def __repr__(self) -> str:
        """Return the names of the arrays that were recorded, with their shapes and ranges."""
        there = {name: value for name, value in self._asdict().items() if value is not None}
        head = constructor_text("FlowDetail", list(there))
        return text_of(View(head, (arrays_table(there, "norms"),)))


FLOW_LEVELS = {"samples": 1 | 2, "units": 1 | 4, "weights": 1 | 8, "all": 1 | 2 | 4 | 8}


def flow_level(flow: object, where: str) -> int:
    """Return the engine's number for a level of recording of the flow.

    Parameters
    ----------
    flow : bool or str
        False, True, "samples", "units", "weights" or "all". Each string includes what True records.
    where : str
        The function, for messages.

    Returns
    -------
    int
        The flags of ``bptt.h``.

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    """
    if flow is True or flow is False:
        return int(flow)
    if isinstance(flow, str):
        return choice(flow, FLOW_LEVELS, where, "flow")
    return int(flag(flow, where, "flow"))


_core.hand_over(flow_level=flow_level, FlowDetail=FlowDetail)
