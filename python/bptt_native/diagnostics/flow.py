"""What the gradient does on its way back through time."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Norms = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GradientFlow:
    """Norms of the gradient on its way back from a loss at the last step, in one layer.

    Attributes
    ----------
    distance : int64 [T]
        Steps back in time from the last step: 0, 1, ...
    h : float64 [T]
        ||dL/dh_{T-d}|| over all samples and units, d steps back.
    c : float64 [T] or None
        ||dL/dc_{T-d}|| (LSTM).
    floor : float
        Norms up to this one have lost digits to the underflow of the network's dtype.
    """

    distance: npt.NDArray[np.int64]
    h: Norms
    c: Norms | None
    floor: float

    @property
    def decay(self) -> float:
        """By which factor ||dL/dh|| changes per step back."""
        return decay_per_step(self.h, self.floor)

    @property
    def decay_c(self) -> float | None:
        """By which factor ||dL/dc|| changes per step back (LSTM)."""
        return None if self.c is None else decay_per_step(self.c, self.floor)

    @property
    def half_life(self) -> float:
        """Over how many steps ||dL/dh|| halves; infinite if it does not vanish."""
        return half_life(self.decay)


def decay_per_step(norms: npt.ArrayLike, floor: float = 0.0) -> float:
    """Fit norms[d] ~ a r^d by least squares of the logarithm, and give r.

    Parameters
    ----------
    norms : float [T]
        Norms by the distance back in time.
    floor : float
        The fit ends before the first norm that is not above this (or not finite).

    Returns
    -------
    float
        r: below 1 the gradient vanishes, above 1 it explodes. NaN with fewer than two norms.
    """
    values = np.asarray(norms, np.float64)
    bad = ~(np.isfinite(values) & (values > floor))
    end = int(np.argmax(bad)) if bad.any() else len(values)
    if end < 2:
        return math.nan
    distance = np.arange(end) - (end - 1) / 2
    slope = (distance @ np.log(values[:end])) / (distance @ distance)
    return float(np.exp(slope))


def half_life(decay: float) -> float:
    """Give the number of steps over which a norm halves that changes by ``decay`` per step."""
    if math.isnan(decay):
        return math.nan
    return math.log(0.5) / math.log(decay) if 0 < decay < 1 else math.inf


def gradient_flow(
    net: Any, x: npt.ArrayLike, target: npt.ArrayLike | None = None, state: Any = None, *,
    layer: int = -1,
) -> GradientFlow:  # fmt: skip
    """Follow the gradient of a loss at the last step back through time.

    With a loss at every step the curve of the norms is flat, because each step adds its own share:
    vanishing shows only where the loss sits at one step. One forward and one backward pass; the
    parameters stay as they are.

    Parameters
    ----------
    net : RNN, LSTM, GRU or Model
    x : floating point [T, N, I] or tokens [T, N]
        As the net takes it.
    target : optional
        What the last output is compared with: classes, integers [N], by softmax cross-entropy;
        or values [N, O] by the squared error; both as a mean. Without it L is the sum of the last
        outputs.
    state : optional
        The initial state, as the net takes it.
    layer : int
        Which layer's states; -1 is the top one.

    Returns
    -------
    GradientFlow

    Raises
    ------
    ValueError, IndexError
        The target does not fit the last output.
    """
    inputs = np.asarray(x)
    out, _, tape = net.forward(inputs, state)
    dout, last = np.zeros_like(out), out  # of a net that gives the last output only
    at: tuple[Any, ...] = (...,)
    if out.ndim == inputs.ndim + (inputs.dtype.kind in "iu"):
        at = (slice(None), -1) if getattr(net, "batch_first", False) and out.ndim == 3 else (-1,)
        last = out[at]
    dout[at] = output_gradient(last, target)
    grads = net.backward(tape, dout, flow=True)
    h = np.asarray(grads.flow, np.float64)[layer, ::-1]
    c = None if grads.flow_c is None else np.asarray(grads.flow_c, np.float64)[layer, ::-1]
    floor = float(np.finfo(out.dtype).tiny) * 2.0**24 * math.sqrt(last.size)
    return GradientFlow(np.arange(len(h)), h, c, floor)


def output_gradient(out: Array, target: npt.ArrayLike | None) -> Array:
    """Give dL/d(last output), shaped like it: [N, O]."""
    if target is None:
        return np.ones_like(out)
    goal = np.asarray(target)
    classes = goal.dtype.kind in "iu"
    shape = out.shape[:-1] if classes else out.shape
    if goal.shape != shape:
        text = f"shape {shape}, got {goal.shape}"
        raise ValueError(f"gradient_flow: argument 'target': expected {text}")
    if not classes:
        return np.asarray(2 * (out - goal) / out.size)
    if goal.min() < 0 or goal.max() >= out.shape[-1]:
        expected, got = f"0 ... {out.shape[-1] - 1}", f"{goal.min()} ... {goal.max()}"
        raise IndexError(f"gradient_flow: argument 'target': expected {expected}, got {got}")
    logits = out.astype(np.float64)
    p: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    p[(*np.indices(shape), goal)] -= 1
    p /= goal.size
    return p
