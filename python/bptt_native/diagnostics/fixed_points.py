"""Fixed and slow points of a layer's dynamics: the search, and what is found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import Tape
from ..arguments.arrays import convert
from ..arguments.display import Shown, Table, View, counted
from ..arguments.foreign import Guided
from ..arguments.values import Array, describe, integer, message, number, refuse_type
from ..nn.layer import Layer
from ..nn.network import Network
from .levenberg import is_fixed, minimise
from .nets import setting, shape_of
from .norms import Norms, safe_norm
from .step_map import StepMap

NEUTRAL = 1e-6  # a mode whose eigenvalue's modulus is this close to 1 neither grows nor decays
WARM_UP = (1, 2, 4, 8, 16, 32, 64)  # steps of runs after which their states are starts
KINDS = ("stable", "neutral", "saddle", "repeller")
WORDS = {"stable": "stable point", "neutral": "neutral point"}


@dataclass(frozen=True, repr=False)
class FixedPoints(Guided, Shown):
    """Fixed and slow points of a layer with a constant input, and the dynamics near them.

    P points are sorted: fixed points before slow ones, then by the number of unstable directions,
    then by the number of starts that led to them. F is the map of a state to the next one.

    Attributes
    ----------
    states : float64 [P, S]
        The points: h, for an LSTM followed by c.
    q : float64 [P]
        The speed |F(s) - s|^2 / 2.
    slow : bool [P]
        True for slow points, which are minima of q above 0; False for fixed points.
    eigenvalues : complex128 [P, S]
        Eigenvalues of the step Jacobian, largest modulus first.
    directions : tuple of complex128 [k, S]
        For each point the eigenvectors, of length 1, of its k unstable directions.
    counts : int64 [P]
        Number of starts that led to the point.
    labels : int64 [N]
        The point that each start led to, or -1.
    outputs : float64 [P, O] or None
        The outputs of a model at the points: W_o h + b_o.
    inputs : float64 [I]
        The constant input, as the layer reads it.
    iterations : int
        The largest number of iterations that a start took.
    unfinished : int
        Number of starts from which no minimum was reached, or whose states are not finite.
    fast : int
        Number of starts that led to a minimum of q above the threshold of slow points.
    far : int
        Number of starts that led to outliers, which were dropped. So are states of a GRU beyond
        [-1, 1]: n is within, so they are not fixed, but may be too slow to tell if z is almost 1.
    width : int
        Number of elements of h.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import RNN, diagnostics
    >>> net = RNN(1, 1, bias=False, dtype="float64")
    >>> net.load_state_dict({"weight_ih_l0": [[1.0]], "weight_hh_l0": [[2.0]]})
    >>> points = diagnostics.fixed_points(net, starts=[[-1.0], [-0.1], [0.1], [1.0]])
    >>> np.abs(points.states).round(4)
    array([[0.9575],
           [0.9575],
           [0.    ]])
    >>> points.kinds
    ['stable', 'stable', 'repeller']
    >>> points.eigenvalues.real.round(4)
    array([[0.1664],
           [0.1664],
           [2.    ]])
    """

    states: Norms
    q: Norms
    slow: npt.NDArray[np.bool_]
    eigenvalues: npt.NDArray[np.complex128]
    directions: tuple[npt.NDArray[np.complex128], ...]
    counts: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    outputs: Norms | None
    inputs: Norms
    iterations: int
    unfinished: int
    fast: int
    far: int
    width: int

    def __len__(self) -> int:
        return len(self.states)

    @property
    def h(self) -> Norms:
        """The states h [P, R]."""
        return self.states[:, : self.width]

    @property
    def c(self) -> Norms | None:
        """The cell states c [P, H] of an LSTM, else None."""
        return self.states[:, self.width :] if self.states.shape[1] > self.width else None

    @property
    def unstable(self) -> npt.NDArray[np.int64]:
        """The number of unstable directions of each point, int64 [P]."""
        return np.asarray((np.abs(self.eigenvalues) > 1 + NEUTRAL).sum(axis=1), np.int64)

    @property
    def stable(self) -> npt.NDArray[np.bool_]:
        """Whether all directions of a point decay, bool [P]."""
        return np.asarray((np.abs(self.eigenvalues) < 1 - NEUTRAL).all(axis=1))

    @property
    def kinds(self) -> list[str]:
        """The kind of each point.

        "stable": all directions decay. "repeller": none decays, and some are unstable. "saddle":
        some are unstable, others decay. "neutral": none is unstable, but some neither grow nor
        decay, as along a line of fixed points.
        """
        decaying = np.asarray((np.abs(self.eigenvalues) < 1 - NEUTRAL).any(axis=1))
        return [
            KINDS[0] if stable else KINDS[1] if not grow else KINDS[2] if some else KINDS[3]
            for stable, grow, some in zip(self.stable, self.unstable, decaying, strict=True)
        ]

    @property
    def time_constants(self) -> Norms:
        """The time constants -1 / ln |eigenvalue| in steps, float64 [P, S].

        A deviation shrinks by the factor e over a positive time constant, and grows by it over a
        negative one.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(-1 / np.log(np.abs(self.eigenvalues)))

    @property
    def verdict(self) -> str:
        """The numbers of points of each kind, in words."""
        found = list(zip(self.slow.tolist(), self.kinds, self.unstable.tolist(), strict=True))
        parts = []
        for kind in KINDS:
            grown = Counter(k for slow, own, k in found if own == kind and not slow)
            if total := grown.total():
                parts.append(counted(total, WORDS.get(kind, kind)) + _by_directions(kind, grown))
        if self.slow.any():
            parts.append(counted(int(self.slow.sum()), "slow point"))
        return ", ".join(parts) or "no fixed or slow points"

    def explain(self) -> str:
        """Return the verdict, the time constants and the fates of the starts as sentences."""
        text = f"There {'is' if len(self) == 1 else 'are'} {self.verdict}."
        slowest = self.time_constants[self.stable & ~self.slow, 0]
        if len(slowest):
            text += f" The slowest time constant of a stable point is {slowest.max():.3g} steps."
        fates = [
            f"{count} {why}"
            for count, why in (
                (self.unfinished, "did not reach a minimum of q"),
                (self.fast, "ended at a minimum that is too fast for a slow point"),
                (self.far, "ended at an outlier"),
            )
            if count
        ]
        led = int(self.counts.sum())
        text += f" {led} of {len(self.labels)} starts led to these points"
        return text + "".join(f", {fate}" for fate in fates) + "."

    def _view(self) -> View:
        columns = (self.slow, self.q, self.counts, self.unstable, self.time_constants[:, 0])
        largest = np.abs(self.eigenvalues[:, 0])
        rows = [
            (
                str(k),
                f"slow {kind}" if slow else kind,
                f"{q:.1e}",
                str(count),
                str(unstable),
                f"{modulus:.6g}",
                f"{tau:.4g}",
            )
            for k, (kind, modulus, slow, q, count, unstable, tau) in enumerate(
                zip(self.kinds, largest, *columns, strict=True)
            )
        ]
        header = ("point", "kind", "q", "starts", "unstable", "largest |eigenvalue|",
                  "time constant")  # fmt: skip
        return View(f"FixedPoints: {counted(len(self), 'point')}",
                    (self.explain(), Table(header, rows)))  # fmt: skip


def _by_directions(kind: str, grown: Counter[int]) -> str:
    """Return the numbers of unstable directions of saddles, in brackets."""
    if kind != "saddle":
        return ""
    parts = [f"{f'{count} ' * (len(grown) > 1)}with {k}" for k, count in sorted(grown.items())]
    first = next(iter(sorted(grown)))
    parts[0] += f" unstable direction{'s' * (first != 1)}"
    return f" ({', '.join(parts)})"


def fixed_points(
    net: Any, inputs: npt.ArrayLike | None = None, starts: Any = None, *, count: int = 1024,
    between: float = 0.5, noise: float = 0.0, seed: int = 0, tolerance: float = 1e-24,
    slow: float = 1e-4, merge: float = 1e-3, outliers: float | None = None, iterations: int = 100,
) -> FixedPoints:  # fmt: skip
    """Find fixed and slow points of a layer with a constant input.

    From many starts, q(s) = |F(s) - s|^2 / 2 is minimised by the method of Levenberg and Marquardt
    with the exact Jacobian of F, the map of a state s to the next one. A minimum with q = 0 is a
    fixed point, stable or not; a minimum with a small q > 0 is a slow point, near which the state
    lingers. All is computed in float64.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
        A net with one layer and one direction. It acts as outside training: without dropout and
        noise, with the expectation of zoneout, and without rounding to bfloat16.
    inputs : float [I], or int, optional
        The constant input, or a token. None: zeros. For a model with an embedding, numbers are an
        embedded vector.
    starts : optional
        States from which the search starts. Array [N, S], for an LSTM h and c in one row or a pair
        ``(h, c)``: all of these. Array [T, N, S] or such a pair, or the `Tape` of a ``forward`` of
        the net: `count` starts from these states. None, or an integer in place of `count`: `count`
        starts from the states after 1, 2, 4 ... 64 steps with the constant input, from initial
        states that are uniform in [-1, 1].
    count : int
        Number of starts that are drawn from a tape, a run or an array [T, N, S].
    between : float
        Share, in [0, 1], of the drawn starts that are at a random place on the straight line
        between two states, where saddles are often found. The others are states.
    noise : float
        Standard deviation of Gaussian noise that is added to all starts.
    seed : int
        Seed of the random numbers.
    tolerance : float
        A point is fixed if q is at most this times max(1, |s|^2).
    slow : float
        The largest q of a slow point. 0: return fixed points only.
    merge : float
        Points within this distance are one point, that with the smallest q. Fixed and slow points
        are not merged with each other.
    outliers : float, optional
        Points whose distance from the mean of the starts is larger than this times that of the
        farthest start are dropped. None: keep all.
    iterations : int
        The largest number of iterations.

    Returns
    -------
    FixedPoints

    Raises
    ------
    TypeError, ValueError
        The net is of another kind, or an argument does not fit.

    References
    ----------
    Sussillo & Barak 2013, "Opening the black box: low-dimensional dynamics in high-dimensional
    recurrent neural networks", Neural Computation 25(3); Golub & Sussillo 2018, "FixedPointFinder",
    JOSS 3(31); Nielsen 1999, "Damping parameter in Marquardt's method".

    Examples
    --------
    >>> import numpy as np
    >>> from bptt_native import GRU, diagnostics
    >>> net = GRU(2, 8, seed=1)
    >>> x = np.random.default_rng(0).standard_normal((20, 4, 2)).astype("float32")
    >>> tape = net.forward(x)[2]
    >>> points = diagnostics.fixed_points(net, starts=tape, count=32)
    >>> points.verdict
    '1 stable point'
    >>> h = points.h.astype("float32")
    >>> bool(np.allclose(net(np.zeros((1, 1, 2), "float32"), h[None])[1], h, atol=1e-6))
    True
    """
    where = "fixed_points"
    _check_net(net, where)
    held: list[object] = []
    step = StepMap(net, _input_of(net, inputs, where, held))
    count = integer(count, where, "count", 1)
    generator = np.random.default_rng(integer(seed, where, "seed", 0))
    share = _between(between, where, "between", 0, 1)
    spread = _between(noise, where, "noise", 0)
    close, most = _between(merge, where, "merge", 0), _between(slow, where, "slow", 0)
    zero = _between(tolerance, where, "tolerance", 0)
    reach = None if outliers is None else _between(outliers, where, "outliers", 0)
    iterations = integer(iterations, where, "iterations", 1)
    begin = _starts_of(step, net, starts, count, share, generator, where, held)
    begin = begin + spread * generator.standard_normal(begin.shape) if spread else begin

    found = minimise(step, begin, zero, iterations)
    states, q = found.states, found.q
    fixed = is_fixed(states, q, zero)
    good = fixed | (found.reached & (q <= most))
    fast, distant = found.reached & ~good, good & ~step.holds(states)
    if reach is not None:
        middle = begin.mean(axis=0)
        distant |= good & (
            safe_norm(states - middle, 1) > reach * safe_norm(begin - middle, 1).max()
        )
    labels = np.full(len(q), -1)
    chosen: list[int] = []
    for kind in (fixed, ~fixed):
        _merge(states, q, np.flatnonzero(good & ~distant & kind), close, labels, chosen)
    return _described(
        step, net, states[chosen], q[chosen], ~fixed[chosen], labels,
        iterations=int(found.iterations.max(initial=0)), unfinished=int((~found.reached).sum()),
        fast=int(fast.sum()), far=int(distant.sum()),
    )  # fmt: skip


def _merge(
    states: Norms, q: Norms, members: npt.NDArray[np.int64], close: float,
    labels: npt.NDArray[np.int64], chosen: list[int],
) -> None:  # fmt: skip
    """Append the index of one state of each group to `chosen`, and write the groups' numbers."""
    left = members[np.argsort(q[members], kind="stable")]
    while len(left):
        near = safe_norm(states[left] - states[left[0]], 1) <= close
        near[0] = True  # if the state itself is huge, its distance may be NaN
        labels[left[near]] = len(chosen)
        chosen.append(int(left[0]))
        left = left[~near]


def _described(
    step: StepMap, net: Any, states: Norms, q: Norms, slow: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int64], **fates: int,
) -> FixedPoints:  # fmt: skip
    """Return points with their eigenvalues, in order."""
    P, S = states.shape
    eigenvalues, directions = np.zeros((P, S), np.complex128), []
    for k in range(P):
        values, vectors = np.linalg.eig(step.with_jacobians(states[k : k + 1])[1][0])
        order = np.argsort(-np.abs(values), kind="stable")
        eigenvalues[k] = values[order]
        grows = order[np.abs(values[order]) > 1 + NEUTRAL]
        directions.append(vectors.T[grows].astype(np.complex128))
    counts = np.bincount(labels[labels >= 0], minlength=P)
    order = np.lexsort(np.stack([-counts, [len(own) for own in directions], slow]))
    place = np.append(np.argsort(order), -1)  # the last one for label -1
    params = net.state_dict()
    outputs = None
    if "readout.weight" in params:
        weight, bias = (params[f"readout.{n}"].astype(np.float64) for n in ("weight", "bias"))
        outputs = states[order, : step.width] @ weight.T + bias
    return FixedPoints(
        states[order], q[order], slow[order], eigenvalues[order],
        tuple(directions[k] for k in order), counts[order], place[labels], outputs,
        step.x, **fates, width=step.width,
    )  # fmt: skip


def _check_net(net: Any, where: str) -> None:
    if not isinstance(net, Layer | Network):
        refuse_type(net, where, "net", "an RNN, LSTM, GRU, MinGRU or Model")
    expected = "one layer with one direction"
    if setting(net, "bidirectional"):
        raise ValueError(message(where, "net", expected, "bidirectional True"))
    if setting(net, "num_layers") != 1:
        raise ValueError(
            message(where, "net", expected, f"num_layers {setting(net, 'num_layers')}")
        )


def _between(
    value: object, where: str, argument: str, low: float, high: float = np.inf
) -> float:  # fmt: skip
    """Return a number within bounds."""
    expected = f"a number >= {low}" if np.isinf(high) else f"a number from {low} to {high}"
    real = number(value, where, argument, expected)
    if not low <= real <= high:
        raise ValueError(message(where, argument, expected, str(real)))
    return real


def _input_of(net: Any, inputs: npt.ArrayLike | None, where: str, held: list[object]) -> Norms:
    """Return the constant input as the layer reads it."""
    params = net.state_dict()
    prefix = "rnn." if isinstance(net, Network) else ""
    width = params[f"{prefix}weight_ih_l0"].shape[1]
    if inputs is None:
        return np.zeros(width)
    vocabulary = setting(net, "vocab_size") if prefix else width
    whole = isinstance(inputs, int | np.integer) and not isinstance(inputs, bool)
    if whole and vocabulary is not None:
        token = integer(inputs, where, "inputs", 0, int(vocabulary) - 1)
        table = params.get("embedding.weight", np.eye(int(vocabulary)))
        return np.asarray(table[token], np.float64)
    expected = f"numbers of shape [{width}], or None"
    array: Norms = convert(inputs, {"float64": [(width,)]}, where, "inputs", expected, held=held)
    if not np.isfinite(array).all():
        raise ValueError(message(where, "inputs", "finite numbers", "numbers that are not finite"))
    return array.copy()


def _starts_of(
    step: StepMap, net: Any, starts: Any, count: int, share: float,
    generator: np.random.Generator, where: str, held: list[object],
) -> Norms:  # fmt: skip
    """Return the starts [N, S]: those given, or some that are drawn from given states."""
    if starts is None or isinstance(starts, int | np.integer):
        count = count if starts is None else integer(starts, where, "starts", 1)
        pool = step.run(generator.uniform(-1, 1, (count, step.size)), WARM_UP)
        return _drawn(pool[np.isfinite(pool).all(1)], count, share, generator, where)
    if isinstance(starts, Tape):
        pool = _states_of(step, net, starts, where)
        return _drawn(pool[np.isfinite(pool).all(1)], count, share, generator, where)
    widths = (step.width, step.size - step.width)
    paired = widths[1] > 0 and isinstance(starts, tuple)
    if paired and len(starts) == 2:
        parts = [
            _array(part, width, where, held, f"{name} of states")
            for part, width, name in zip(starts, widths, "hc", strict=True)
        ]
        if parts[0].shape[:-1] != parts[1].shape[:-1]:
            got = f"{describe(parts[0])} and {describe(parts[1])}"
            raise ValueError(message(where, "starts", "h and c of the same states", got))
        array = np.concatenate(parts, axis=-1)
    else:
        pair = ", or a pair (h, c)" if widths[1] else ""
        array = _array(starts, step.size, where, held, "states", f"{pair}, a tape or a number")
    if not np.isfinite(array).all():
        raise ValueError(message(where, "starts", "finite numbers", "numbers that are not finite"))
    if array.ndim == 2:
        return array
    return _drawn(array.reshape(-1, step.size), count, share, generator, where)


def _array(
    value: Any, width: int, where: str, held: list[object], what: str, others: str = ""
) -> Array:
    expected = f"{what} of shape [N, {width}] or [T, N, {width}]{others}"
    forms: dict[str, Sequence[tuple[int | None, ...]]] = {
        "float64": [(None, width), (None, None, width)]
    }
    return convert(value, forms, where, "starts", expected, held=held)


def _states_of(step: StepMap, net: Any, tape: Tape, where: str) -> Norms:
    """Return the states of all steps on a tape [n, S], without those after a sequence's end."""
    cell, parts = shape_of(net).name, tape.states()
    h, c = parts if isinstance(parts, tuple) else (parts, None)
    widths = [part.shape[-1] for part in (h, c) if part is not None]
    expected = [width for width in (step.width, step.size - step.width) if width]
    if tape.cell["name"] != cell or widths != expected or len(h) != 1:
        raise ValueError(message(where, "starts", "a tape of this net", "that of another one"))
    inside = np.arange(tape.steps)[:, None] < np.array(tape.lengths)
    columns = [
        np.asarray(part, np.float64).reshape(tape.steps, tape.batch, -1)[inside]
        for part in (h, c) if part is not None
    ]  # fmt: skip
    return np.concatenate(columns, axis=1)


def _drawn(
    pool: Norms, count: int, share: float, generator: np.random.Generator, where: str
) -> Norms:
    """Return states drawn from a pool, some of them between two of it."""
    if not len(pool):
        raise ValueError(message(where, "starts", "states, some of them finite", "none"))
    lines = round(share * count)
    ends = pool[generator.integers(0, len(pool), (2, lines))]
    part = generator.random((lines, 1))
    replace = count - lines > len(pool)
    own = generator.choice(len(pool), count - lines, replace=replace)
    return np.concatenate([pool[own], part * ends[0] + (1 - part) * ends[1]])
