"""Step Jacobians of a layer's state, products of them, Lyapunov spectra.

The state of a layer has S elements: h_t, of an LSTM followed by c_t. J_t, its Jacobian with
respect to the state before, is taken along the trajectory on a tape, the layer's inputs held fixed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.arrays import convert
from ..arguments.values import Array, integer, message
from ..reference.sequence import dale_signs
from .nets import check_tape, directions, setting, state_size, walk_index
from .norms import Norms, direction_of


def jacobian(
    net: Any, tape: Any, step: int, *, layer: int = 0, direction: int = 0, sample: int = 0
) -> Array:
    """Give the step Jacobian J_t of a layer's state.

    Parameters
    ----------
    net : RNN, LSTM, GRU or Model
    tape : Tape
        Of a ``forward`` of this net, the parameters unchanged since.
    step : int
        t; 0 is the step from the initial state. (Direction 1 counts from the sequence's end.)
    layer, direction, sample : int
        Of which layer, direction, sequence; -1 is the top layer.

    Returns
    -------
    ndarray [S, S]
        Of the net's dtype. Row i: gradient of element i of the state after the step.

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument does not fit.
    RuntimeError
        The parameters changed since ``forward``, or the tape is another net's.
    """
    index = walk_index(net, layer, direction, "jacobian")
    sample = integer(sample, "jacobian", "sample", 0)
    step = integer(step, "jacobian", "step", 0)
    check_tape(tape, "jacobian")
    matrix: Array = net._native.jacobian(tape, index, sample, step, "jacobian")
    return matrix


@dataclass(frozen=True)
class Spectrum:
    """How small changes of a layer's state grow along a trajectory.

    Attributes
    ----------
    exponents : float64 [count]
        Lyapunov exponents per step, natural logarithms, descending. Below 0 changes (and gradients)
        vanish along that direction, above 0 they explode. A direction that is lost altogether has
        -inf, or what rounding leaves of it: about the logarithm of the dtype's epsilon.
    log_singular_values : float64 [S], or None
        Of the product of all Jacobians of the span, natural logarithms, descending; NaN where the
        net or the products between two factorisations are not finite.
    steps : int
        How many steps the exponents are the mean of.
    size : int
        S, the elements of the state: so many exponents there are.
    """

    exponents: Norms
    log_singular_values: Norms | None
    steps: int
    size: int

    @property
    def sum(self) -> float:
        """The growth of volumes per step: with all S exponents the mean of log |det J_t|."""
        return float(self.exponents.sum())

    @property
    def kaplan_yorke(self) -> float:
        """The Kaplan-Yorke (1979) dimension: 0 if the largest exponent is negative.

        NaN if an exponent is, or if so few were measured that they do not tell.
        """
        sums = np.cumsum(self.exponents)
        if np.isnan(sums).any():
            return float("nan")
        if not len(sums) or sums[0] < 0:
            return 0.0
        last = int(np.nonzero(sums >= 0)[0][-1])
        if last + 1 == len(sums):
            return float(len(sums)) if len(sums) == self.size else float("nan")
        return last + 1 + float(sums[last] / abs(self.exponents[last + 1]))


def lyapunov(
    net: Any, tape: Any, *, layer: int = 0, direction: int = 0, sample: int = 0, first: int = 0,
    last: int | None = None, count: int | None = None, interval: int = 1, discard: int = 0,
    start: npt.ArrayLike | None = None,
) -> Spectrum:  # fmt: skip
    """Measure the Lyapunov spectrum of a layer along the trajectory on a tape.

    Rows of Q^T run backward through the steps, with a QR factorisation every ``interval`` steps;
    the adjoint has the same spectrum, and no Jacobian is ever formed.

    Parameters
    ----------
    net : RNN, LSTM, GRU or Model
    tape : Tape
        Of a ``forward`` of this net, the parameters unchanged since.
    layer, direction, sample : int
        Of which layer, direction, sequence; -1 is the top layer. (Layers above and below do not
        matter: a stack's spectrum is that of its layers together.)
    first, last : int
        The steps, [first, last); to the end by default.
    count : int, optional
        So many exponents, of about the largest; all S by default.
    interval : int
        Most steps between factorisations. Over an interval rows turn towards the strongest
        directions; an interval that would lose a row to under- or overflow, or that leaves the
        weakest row fewer than about three digits of the dtype beside the strongest, is walked again
        with fewer steps, and so are those that follow.
    discard : int
        So many of the latest steps, which are walked first, do not count.
    start : float [count, S], optional
        Rows to begin with, made orthonormal first; by default drawn at random, always the same.

    Returns
    -------
    Spectrum

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As `jacobian`.

    References
    ----------
    Benettin et al. 1980, Meccanica 15; Engelken, Wolf & Abbott 2023, "Lyapunov spectra of chaotic
    recurrent neural networks", Phys. Rev. Research 5, 043044.
    """
    return _spectrum(
        net, tape, layer, direction, sample, first, last, count, interval, discard, start, False,
        "lyapunov",
    )  # fmt: skip


def jacobian_product(
    net: Any, tape: Any, *, layer: int = 0, direction: int = 0, sample: int = 0, first: int = 0,
    last: int | None = None, interval: int = 1,
) -> Spectrum:  # fmt: skip
    """Measure the singular values of J_{last-1} ... J_first, which may lie far beyond the dtype.

    The smallest keep their digits with ``interval`` 1, as long as no single J_t spans nearly
    1 / epsilon of the dtype.

    Parameters
    ----------
    net, tape, layer, direction, sample, first, last, interval
        As in `lyapunov`.

    Returns
    -------
    Spectrum
        With ``log_singular_values``: how much a gradient that enters behind the span can grow
        (the first) and must shrink (the last) until before it.

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As `jacobian`.
    """
    return _spectrum(
        net, tape, layer, direction, sample, first, last, None, interval, 0, None, True,
        "jacobian_product",
    )  # fmt: skip


def _spectrum(
    net: Any, tape: Any, layer: int, direction: int, sample: int, first: int, last: int | None,
    count: int | None, interval: int, discard: int, start: npt.ArrayLike | None, singular: bool,
    where: str,
) -> Spectrum:  # fmt: skip
    index = walk_index(net, layer, direction, where)
    check_tape(tape, where)
    sample, first = integer(sample, where, "sample", 0), integer(first, where, "first", 0)
    end = 0 if last is None else integer(last, where, "last", 1)
    rows = 0 if count is None else integer(count, where, "count", 1, state_size(net))
    interval = integer(interval, where, "interval", 1)
    discard = integer(discard, where, "discard", 0)
    given: Array | None = None
    held: list[object] = []
    if start is not None:
        dtype = str(np.dtype(setting(net, "dtype")))
        shape = (rows or state_size(net), state_size(net))
        expected = f"a {dtype} array of shape {list(shape)}"
        array = convert(start, {dtype: [shape]}, where, "start", expected, held=held)
        given = np.array(array).ravel()
    exponents, values, _ = net._native.spectrum(
        tape, index, sample, first, end, rows, interval, discard, given, singular, False, where
    )
    steps = (end or tape.lengths[sample]) - first - discard
    return Spectrum(exponents, values, steps, state_size(net))


@dataclass(frozen=True)
class GainBounds:
    """The gain of a gradient over distances back, and what bounds it.

    Attributes
    ----------
    distance : int64 [K + 1]
        Steps back from the last one: 0, 1, ...
    gain : float64 [K + 1]
        ||dL/d state_{t-d}|| / ||dL/d state_t|| of a loss that looks at the last state only.
    largest, smallest : float64 [K + 1]
        Largest and smallest singular value of the product of the Jacobians between: gains of the
        best and of the worst direction. The gain lies between.
    product_of_norms : float64 [K + 1]
        The product of the steps' spectral norms: the bound of Pascanu et al. (2013, eq. 6).
    """

    distance: npt.NDArray[np.int64]
    gain: Norms
    largest: Norms
    smallest: Norms
    product_of_norms: Norms


def gain_bounds(
    net: Any, tape: Any, gradient: npt.ArrayLike, *, layer: int = -1, sample: int = 0,
    steps: int | None = None,
) -> GainBounds:  # fmt: skip
    """Compare how a gradient grows on its way back with the bounds that the Jacobians give.

    Parameters
    ----------
    net, tape
        As in `jacobian`.
    gradient : float [S]
        dL/d state behind the last step.
    layer, sample : int
        Of which layer (-1: the top one) and sequence.
    steps : int, optional
        K, how far to go; to the beginning by default.

    Returns
    -------
    GainBounds

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As `jacobian`.
    """
    where, size, held = "gain_bounds", state_size(net), list[object]()
    index = walk_index(net, layer, 0, where)
    check_tape(tape, where)
    expected = f"a float64 array of shape [{size}]"
    own = convert(gradient, {"float64": [(size,)]}, where, "gradient", expected, held=held)
    sample = integer(sample, where, "sample", 0, tape.batch - 1)
    end = tape.lengths[sample]
    far = end if steps is None else integer(steps, where, "steps", 1, end)
    if not (np.isfinite(own).all() and own.any()):
        got = "zeros" if np.isfinite(own).all() else "numbers that are not finite"
        raise ValueError(message(where, "gradient", "finite numbers, not all 0", got))
    own = direction_of(own).unit
    gain, bound = [0.0], [0.0]  # logarithms
    for back in range(1, far + 1):
        J = jacobian(net, tape, end - back, layer=layer, sample=sample).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            own, norm, scale = direction_of(own @ J)
            gain.append(gain[-1] + float(np.log(norm) + np.log(scale)))
            largest = np.linalg.norm(J, 2) if np.isfinite(J).all() else np.nan
            bound.append(bound[-1] + float(np.log(largest)))
    _, _, extremes = net._native.spectrum(
        tape, index, sample, end - far, end, 0, 1, 0, None, False, True, where
    )
    high, low = ([0.0, *column] for column in extremes[:far].T)
    with np.errstate(over="ignore"):
        return GainBounds(
            np.arange(far + 1), *(np.exp(np.array(logs)) for logs in (gain, high, low, bound))
        )


def spectral_radius(matrix: npt.ArrayLike) -> float:
    """Give the largest modulus of the eigenvalues of a square matrix."""
    return float(np.abs(np.linalg.eigvals(np.asarray(matrix, np.float64))).max())


def recurrent_matrices(net: Any, *, layer: int = 0, direction: int = 0) -> dict[str, Array]:
    """Give the recurrent matrix of each gate, by its name, with the signs of Dale's law.

    Parameters
    ----------
    net : RNN, LSTM, GRU or Model
    layer, direction : int
        Of which layer (-1: the top one) and direction.

    Returns
    -------
    dict of str to ndarray [H, R]
        RNN: "h"; LSTM: "i", "f", "g", "o" (coupled: "i", "g", "o"); GRU: "r", "z", "n".

    Raises
    ------
    TypeError, ValueError
        There is no such layer or direction.
    """
    index, D = walk_index(net, layer, direction, "recurrent_matrices"), directions(net)
    end = f"weight_hh_l{index // D}{'_reverse' * (index % D)}"
    names = [name for name in net.state_dict() if name.endswith(end)]
    W = net.state_dict()[names[0]]
    W = np.asarray(W * dale_signs(W, setting(net, "dale")), W.dtype)
    cell = str(setting(net, "cell")).lower()
    gates = {"rnn": "h", "gru": "rzn", "lstm": "igo" if setting(net, "coupled") else "ifgo"}[cell]
    return dict(zip(gates, np.split(W, len(gates)), strict=True))
