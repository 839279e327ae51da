"""Gradient flow: norms of the gradient of a loss at one step, back through time."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.arrays import read
from ..arguments.display import Shown, View, fields_view
from ..arguments.values import integer, message
from ..nn.probabilities import softmax
from .nets import gives_every_step, reads_ends, setting, walk_index
from .norms import Norms, safe_norm

Array = npt.NDArray[Any]

VANISHED = 0.01  # a gradient that stays below this fraction of its first norm has vanished
EXPLODED = 100.0  # a gradient above this multiple of its first norm has exploded


@dataclass(frozen=True, repr=False)
class GradientFlow(Shown):
    """Norms of the gradient of a loss at one step t, in one layer.

    Attributes
    ----------
    distance : int64 [T]
        Steps back in time from the loss: 0, 1, ...
    h : float64 [T]
        ||dL/dh_{t-d}|| over all samples and units.
    c : float64 [T] or None
        ||dL/dc_{t-d}|| (LSTM).
    floor : float
        Norms up to this value have lost digits to underflow of the net's dtype.
    a : float64 [T] or None
        ||dL/da_{t-d}|| of the pre-activations of all gates.

    Examples
    --------
    >>> norms = 0.5 ** np.arange(10.0)
    >>> flow = bn.diagnostics.GradientFlow(np.arange(10), norms, None, 0.0)
    >>> round(flow.decay, 6), round(flow.half_life, 6), flow.verdict
    (0.5, 1.0, 'vanishing')
    """

    distance: npt.NDArray[np.int64]
    h: Norms
    c: Norms | None
    floor: float
    a: Norms | None = None

    @property
    def decay(self) -> float:
        """The factor by which ||dL/dh|| changes per step back."""
        return decay_per_step(self.h, self.floor)

    @property
    def decay_c(self) -> float | None:
        """The factor by which ||dL/dc|| changes per step back (LSTM)."""
        return None if self.c is None else decay_per_step(self.c, self.floor)

    @property
    def half_life(self) -> float:
        """The number of steps over which ||dL/dh|| halves; infinite if it does not vanish."""
        return half_life(self.decay)

    @property
    def growth(self) -> float:
        """Alias of `decay`."""
        return self.decay

    def horizon(self, fraction: float = 1 / math.e) -> int | None:
        """Return the distance at which ||dL/dh|| has permanently fallen to a fraction.

        Parameters
        ----------
        fraction : float
            Fraction of the norm at the loss's own step.

        Returns
        -------
        int or None
            The first distance from which on no norm is above the fraction; None if the last norm is
            above it.

        Examples
        --------
        >>> flow = bn.diagnostics.GradientFlow(np.arange(10), 0.5 ** np.arange(10.0), None, 0.0)
        >>> flow.horizon(), flow.horizon(0.01), flow.horizon(1e-6)
        (2, 7, None)
        """
        above = np.flatnonzero(~(self.h <= fraction * self.h[0]))  # NaN counts as above
        if not len(above):
            return 0
        return None if above[-1] == len(self.h) - 1 else int(above[-1]) + 1

    @property
    def verdict(self) -> str:
        """The result of `judge` with its default thresholds."""
        return self.judge()

    def judge(self, vanished: float = VANISHED, exploded: float = EXPLODED) -> str:
        """Classify the change of ||dL/dh||.

        Parameters
        ----------
        vanished, exploded : float
            Thresholds as fractions of the norm at the loss's own step, h[0].

        Returns
        -------
        str
            "exploding" if a norm is above exploded * h[0] or not finite; else "vanishing" if all
            norms from some step on are at most vanished * h[0]; else "healthy". It is also
            "healthy" if no gradient enters the layer (h[0] = 0).

        Examples
        --------
        >>> flow = bn.diagnostics.GradientFlow(np.arange(10), 1.5 ** np.arange(10.0), None, 0.0)
        >>> flow.judge(), flow.judge(exploded=10)
        ('healthy', 'exploding')
        """
        first = float(self.h[0])
        if not np.isfinite(self.h).all() or self.h.max() > exploded * first:
            return "exploding"
        gone = first > 0 and self.horizon(vanished) is not None
        return "vanishing" if gone else "healthy"

    def explain(self) -> str:
        """Return the verdict and its numbers as a sentence."""
        first, last, steps = self.h[0], self.h[-1], len(self.h) - 1
        if not first > 0 and np.isfinite(first):
            return "No gradient enters the layer: its norm is 0 at the loss's own step."
        if not steps:
            return f"There is only one step, with norm {first:.3g}."
        verbs = {"vanishing": "vanishes", "exploding": "explodes", "healthy": "survives"}
        text = f"The gradient {verbs[self.verdict]}: its norm goes from {first:.3g} to {last:.3g} "
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

    def _view(self) -> View:
        return fields_view(self, self.explain())


def decay_per_step(norms: npt.ArrayLike, floor: float = 0.0) -> float:
    """Fit norms[d] ~ a r^d by least squares of the logarithm and return r.

    Parameters
    ----------
    norms : float [T]
        Norms by the distance back in time.
    floor : float
        The fit ends before the first norm that is not above this value or not finite.

    Returns
    -------
    float
        The factor r per step: below 1 the gradient vanishes, above 1 it explodes. NaN with fewer
        than two norms.

    Examples
    --------
    >>> round(bn.diagnostics.decay_per_step([8.0, 4.0, 2.0, 1.0]), 6)
    0.5
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
    """Return the steps over which a norm halves that changes by the factor ``decay`` per step.

    Examples
    --------
    >>> bn.diagnostics.half_life(0.5), bn.diagnostics.half_life(1.1)
    (1.0, inf)
    """
    if math.isnan(decay):
        return math.nan
    return math.log(0.5) / math.log(decay) if 0 < decay < 1 else math.inf


def gradient_flow(
    net: Any, x: npt.ArrayLike, target: npt.ArrayLike | None = None, state: Any = None, *,
    layer: int = -1, direction: int = 0, at: int = -1, lengths: npt.ArrayLike | None = None,
) -> GradientFlow:  # fmt: skip
    """Measure the gradient of a loss at one step back through time.

    With a loss at every step the norms hardly change over time, because each step adds its own
    gradient. Vanishing is visible only with a loss at one step. The measurement takes one forward
    and one backward pass and does not change the parameters.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
    x : floating point [T, N, I] or tokens [T, N]
        The input of the net.
    target : optional
        The target of the output at this step: classes, integers [N], for softmax cross-entropy, or
        values [N, O] for the squared error, both as a mean. Without a target, L is the sum of the
        outputs at this step.
    state : optional
        The initial state of the net.
    layer, direction : int
        The layer (-1 is the top one) and direction whose states are examined. Direction 1 reads
        from the end: its gradient flows to later steps, and distances count those.
    at : int
        The step of the loss. Negative steps count from each sequence's end; -1 is its last step. A
        bidirectional model with ``targets="last"`` reads the reverse direction's state at the first
        step, so the distances of direction 1 count from there.
    lengths : integers [N], optional
        Lengths of the sequences. The number of distances is that of the sequence with the fewest
        steps before its loss.

    Returns
    -------
    GradientFlow

    Raises
    ------
    TypeError, ValueError, IndexError
        The target does not fit the output, a sequence does not have the step, or an argument of the
        net is invalid.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 4, 2), np.float32)
    >>> layer = bn.RNN(2, 16, init=bn.Init("orthogonal", gain=0.5))
    >>> flow = bn.diagnostics.gradient_flow(layer, x)
    >>> flow.h.shape, flow.verdict
    ((50,), 'vanishing')
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
        steps = np.zeros_like(ends)  # the step of the reverse direction's final state
    last = ends - 1 if direction else np.zeros_like(ends)  # the step of the largest distance
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
    """Return dL/d out of a loss at one step of each sequence, and its number of elements."""
    index: tuple[Any, ...] = ()  # for a net that returns only the last output
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
    """Return the norms along the way back from each sequence's step, for one walk (l*D + d)."""
    detail = grads.flow_detail
    if detail is None:
        flow = getattr(grads, {"h": "flow"}.get(name, f"flow_{name}"))
        return None if flow is None else np.asarray(flow, np.float64)[index, steps[0] + way]
    own = getattr(detail, f"samples_{name}")
    if own is None:
        return None
    return safe_norm(own[index][steps + way[:, None], np.arange(len(steps))], axis=1)


def output_gradient(out: Array, target: npt.ArrayLike | None) -> Array:
    """Return dL/d(last output) [N, O]."""
    if target is None:
        return np.ones_like(out)
    held: list[object] = []
    expected = "classes, or values like the output"
    goal = read(target, "gradient_flow", "target", expected, held=held)
    classes = goal.dtype.kind in "iu"
    shape = out.shape[:-1] if classes else out.shape
    if goal.shape != shape:
        expected, got = f"shape {shape}", f"{goal.shape}"
        raise ValueError(message("gradient_flow", "target", expected, got))
    if not classes:
        return np.asarray(2 * (out - goal) / out.size)
    if goal.min() < 0 or goal.max() >= out.shape[-1]:
        expected, got = f"0 ... {out.shape[-1] - 1}", f"{goal.min()} ... {goal.max()}"
        raise IndexError(message("gradient_flow", "target", expected, got))
    p = softmax(out)
    p[(*np.indices(shape), goal)] -= 1
    p /= goal.size
    return p
