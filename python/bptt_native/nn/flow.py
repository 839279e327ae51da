"""What can be recorded of the gradient on its way back, and how it is asked for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.values import choice, flag

Flow = npt.NDArray[np.float64] | None


class FlowDetail(NamedTuple):
    """More of the gradient's flow: of single samples, units and shares of the weights' gradients.

    float64 arrays, in the caller's time; None where not asked for. (a: the pre-activations of all
    gates, G*H, in the order of the weights.)

    Attributes
    ----------
    samples_h, samples_c, samples_a : [L*D, T, N]
        ||dL/dh_t||, ||dL/dc_t|| (LSTM), ||dL/da_t|| of each sample.
    units_h, units_c, units_a : [L*D, T, R], [L*D, T, H], [L*D, T, G*H]
        The same of each unit, over all samples.
    share_ih, share_hh : [L*D, T, N]
        The norm of each sample's share at step t in dL/dW_ih, ||da_t|| ||x_t||, and in dL/dW_hh,
        ||da_t|| ||h_{t-1}||. (No share_hh for a GRU without
        ``reset_after`` and for a MinGRU.)
    weight_ih, weight_hh : [L*D, T]
        The norm of step t's share of all samples together.
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
        """Give the names; the arrays are long."""
        there = [name for name, value in self._asdict().items() if value is not None]
        return f"FlowDetail({', '.join(there)})"


FLOW_LEVELS = {"samples": 1 | 2, "units": 1 | 4, "weights": 1 | 8, "all": 1 | 2 | 4 | 8}


def flow_level(flow: object, where: str) -> int:
    """Give the engine's number for what is to be recorded of the flow.

    Parameters
    ----------
    flow : bool or str
        False; True; "samples", "units", "weights" or "all", beside what True gives.
    where : str
        For the message.

    Raises
    ------
    TypeError, ValueError
        It is none of these.
    """
    if flow is True or flow is False:
        return int(flow)
    if isinstance(flow, str):
        return choice(flow, FLOW_LEVELS, where, "flow")
    return int(flag(flow, where, "flow"))


_core.hand_over(flow_level=flow_level, FlowDetail=FlowDetail)
