"""What the gradient does on its way back through time."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.arrays import read
from ..arguments.values import integer, message
from .nets import gives_every_step, reads_ends, setting, walk_index
from .norms import Norms, safe_norm

Array = npt.NDArray[Any]

VANISHED = 0.01  # of the first norm; below it for good a gradient counts as vanished
EXPLODED = 100.0  # times the first norm; above it a gradient counts as exploded


@dataclass(frozen=True)
class GradientFlow:
    """Norms of the gradient on its way back from a loss at one step, in one layer.

    Attributes
    ----------
    distance : int64 [T]
        Steps back in time from the loss: 0, 1, ...
    h : float64 [T]
        ||dL/dh_{t-d}|| over all samples and units, d steps back from t, the loss's step.
    c : float64 [T] or None
        ||dL/dc_{t-d}|| (LSTM).
    floor : float
        Norms up to this one have lost digits to the underflow of the network's dtype.
    a : float64 [T] or None
        ||dL/da_{t-d}||, the pre-activations of all gates.
    """

    distance: npt.NDArray[np.int64]
    h: Norms
    c: Norms | None
    floor: float
    a: Norms | None = None

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

    @property
    def growth(self) -> float:
        """Another name of `decay`."""
        return self.decay

    def horizon(self, fraction: float = 1 / math.e) -> int | None:
        """Give how many steps back ||dL/dh|| has fallen to a fraction of where it began, for good.

        Parameters
        ----------
        fraction : float
            Of the norm at the loss's own step.

        Returns
        -------
        int or None
            The distance from which on no norm is above; None if the last one still is.
        """
        above = np.flatnonzero(~(self.h <= fraction * self.h[0]))  # NaN counts as above
        if not len(above):
            return 0
        return None if above[-1] == len(self.h) - 1 else int(above[-1]) + 1

    @property
    def verdict(self) -> str:
        """`judge` with its own thresholds."""
        return self.judge()

    def judge(self, vanished: float = VANISHED, exploded: float = EXPLODED) -> str:
        """Say in a word what ||dL/dh|| does.

        Parameters
        ----------
        vanished, exploded : float
            Fractions of the norm at the loss's own step, h[0].

        Returns
        -------
        str
            "exploding" if a norm is above exploded * h[0] or not finite; else "vanishing" if from
            some step on all are at most vanished * h[0]; else "healthy" (also where no gradient
            enters the layer: h[0] = 0).
        """
        first = float(self.h[0])
        if not np.isfinite(self.h).all() or self.h.max() > exploded * first:
            return "exploding"
        gone = first > 0 and self.horizon(vanished) is not None
        return "vanishing" if gone else "healthy"

    def explain(self) -> str:
        """Give the verdict and its numbers in a sentence."""
        first, last, steps = self.h[0], self.h[-1], len(self.h) - 1
        if not first > 0 and np.isfinite(first):
            return "No gradient enters the layer: its norm is 0 at the loss's own step."
        if not steps:
            return f"The gradient has no way to go: one step only, with norm {first:.3g}."
        what = {"vanishing": "vanishes", "exploding": "explodes", "healthy": "survives"}
        text = f"The gradient {what[self.verdict]}: its norm goes from {first:.3g} to {last:.3g} "
        text += f"over {steps} step{'s' * (steps > 1)} back"
        if math.isfinite(self.decay):
            text += f", times {self.decay:.3g} per step"
        for fraction, name in ((1 / math.e, "1/e"), (VANISHED, f"{VANISHED:.0%}")):
            reached = self.horizon(fraction) if np.isfinite(first) else None
            if reached is not None:
                text += f", at most {name} of the first from {reached} on"
        if not np.isfinite(self.h).all():
            text += f", not finite from {int(np.argmax(~np.isfinite(self.h)))} on"
        return text + "."


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
    layer: int = -1, direction: int = 0, at: int = -1, lengths: npt.ArrayLike | None = None,
) -> GradientFlow:  # fmt: skip
    """Follow the gradient of a loss at one step back through time.

    With a loss at every step the curve of the norms is flat, because each step adds its own share:
    vanishing shows only where the loss sits at one step. One forward and one backward pass; the
    parameters stay as they are.

    Parameters
    ----------
    net : RNN, LSTM, GRU or Model
    x : floating point [T, N, I] or tokens [T, N]
        As the net takes it.
    target : optional
        What the output looked at is compared with: classes, integers [N], by softmax cross-entropy;
        or values [N, O] by the squared error; both as a mean. Without it L is the sum of the
        outputs looked at.
    state : optional
        The initial state, as the net takes it.
    layer, direction : int
        Which layer's states; -1 is the top one. Direction 1 reads from the end: its gradient goes
        on to later steps, and distances count those.
    at : int
        The step whose output the loss looks at; negative from each sequence's end: -1 is its last.
        A bidirectional model with ``targets="last"`` reads the reverse direction's state at the
        first step: the distances of direction 1 count from there.
    lengths : integers [N], optional
        As the net takes them. Distances go as far as the sequence with the fewest steps before its
        loss.

    Returns
    -------
    GradientFlow

    Raises
    ------
    TypeError, ValueError, IndexError
        The target does not fit the output, the step none of the sequences, or the net's own checks.
    """
    where = "gradient_flow"
    index = walk_index(net, layer, direction, where)
    out, _, tape = net.forward(x, state, lengths=lengths)
    ends = np.array(tape.lengths)
    at = integer(at, where, "at", -int(ends.min()), int(ends.min()) - 1)
    steps = ends + at if at < 0 else np.full(tape.batch, at)
    if at != -1 and not gives_every_step(net):
        raise ValueError(message(where, "at", "-1 (the net gives its last output only)", str(at)))
    dout, count = gradient_at(net, out, target, steps)
    if direction and reads_ends(net):
        steps = np.zeros_like(ends)  # of the reverse direction's final state
    last = ends - 1 if direction else np.zeros_like(ends)  # where the way back ends
    alike = not np.ptp(steps) and not np.ptp(last)
    grads = net.backward(tape, dout, flow=True if alike else "samples")
    way = (1 if direction else -1) * np.arange(np.abs(last - steps).min() + 1)
    h, c, a = (_back(grads, name, index, steps, way) for name in "hca")
    floor = float(np.finfo(out.dtype).tiny) * 2.0**24 * math.sqrt(count)
    assert h is not None
    return GradientFlow(np.arange(len(h)), h, c, floor, a)


def gradient_at(
    net: Any, out: Array, target: npt.ArrayLike | None, steps: npt.NDArray[np.int64]
) -> tuple[Array, int]:
    """Give dL/d out of a loss at one step of each sequence, and how many elements it looks at."""
    index: tuple[Any, ...] = ()  # of a net that gives the last output only
    if gives_every_step(net):
        samples = np.arange(len(steps))
        batched = (samples, steps) if setting(net, "batch_first") else (steps, samples)
        index = batched if out.ndim == 3 else (int(steps[0]),)
    dout, last = np.zeros_like(out), out[index]
    dout[index] = output_gradient(last, target)
    return dout, last.size


def _back(
    grads: Any, name: str, index: int, steps: npt.NDArray[np.int64], way: npt.NDArray[np.int64]
) -> Norms | None:  # fmt: skip
    """Give the norms on the way from the sequences' own steps, of one walk (l*D + d)."""
    detail = grads.flow_detail
    if detail is None:
        flow = getattr(grads, {"h": "flow"}.get(name, f"flow_{name}"))
        return None if flow is None else np.asarray(flow, np.float64)[index, steps[0] + way]
    own = getattr(detail, f"samples_{name}")
    if own is None:
        return None
    return safe_norm(own[index][steps + way[:, None], np.arange(len(steps))], axis=1)


def output_gradient(out: Array, target: npt.ArrayLike | None) -> Array:
    """Give dL/d(last output), shaped like it: [N, O]."""
    if target is None:
        return np.ones_like(out)
    held: list[object] = []
    expected = "classes, or values like the output"
    goal = read(target, "gradient_flow", "target", expected, held=held)
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
