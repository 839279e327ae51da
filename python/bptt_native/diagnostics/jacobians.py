"""Step Jacobians of a layer's state, their products, and Lyapunov spectra.

The state of a layer has S elements: h_t, in an LSTM followed by c_t. J_t is its Jacobian with
respect to the previous state, along the trajectory on a tape, with the layer's inputs held fixed.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.arrays import convert
from ..arguments.display import Shown, View, fields_view
from ..arguments.values import Array, integer, message
from .nets import check_tape, directions, setting, shape_of, state_size, walk_index
from .norms import Norms, direction_of


def jacobian(
    net: Any, tape: Any, step: int, *, layer: int = 0, direction: int = 0, sample: int = 0
) -> Array:
    """Return the step Jacobian J_t of a layer's state.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
    tape : Tape
        The tape of a ``forward`` of this net. The parameters are those that it was made with.
    step : int
        The step t. Step 0 starts from the initial state. (Direction 1 counts from the sequence's
        end.)
    layer, direction, sample : int
        Indices of the layer (-1 is the top one), direction and sequence.

    Returns
    -------
    ndarray [S, S]
        The Jacobian in the net's dtype. Row i is the gradient of element i of the state after the
        step.

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument does not fit.
    RuntimeError
        The tape is another net's.

    Examples
    --------
    >>> layer = bn.RNN(2, 3, nonlinearity="identity", dtype="float64")
    >>> y, h, tape = layer.forward(np.ones((5, 1, 2)))
    >>> J = bn.diagnostics.jacobian(layer, tape, step=4)
    >>> np.allclose(J, layer.parameters["weight_hh_l0"])
    True
    """
    index = walk_index(net, layer, direction, "jacobian")
    sample = integer(sample, "jacobian", "sample", 0)
    step = integer(step, "jacobian", "step", 0)
    check_tape(tape, "jacobian")
    matrix: Array = net._native.jacobian(
        tape=tape, index=index, sample=sample, step=step, where="jacobian"
    )
    return matrix


class SpectrumArrays(NamedTuple):
    """The engine's results, see bptt_diagnostics.h: bptt_spectrum; None where not wanted."""

    exponents: Norms
    log_singular_values: Norms | None
    log_extremes: Any  # float64 [T, 2]


_core.hand_over(SpectrumArrays=SpectrumArrays)


@dataclass(frozen=True, repr=False)
class Spectrum(Shown):
    """Growth rates of small changes of a layer's state along a trajectory.

    Attributes
    ----------
    exponents : float64 [count]
        Lyapunov exponents per step, as natural logarithms in descending order. Below 0, changes
        (and gradients) vanish along that direction; above 0 they explode. The exponent of a
        direction that is lost completely is -inf or, due to rounding, about the logarithm of the
        dtype's epsilon.
    log_singular_values : float64 [S], or None
        Natural logarithms of the singular values of the product of all Jacobians, descending. None
        if only the exponents were measured (`lyapunov`); NaN if the net or the products between two
        factorisations are not finite.
    steps : int
        Number of steps over which the exponents are averaged.
    size : int
        S, the number of elements of the state, and of exponents in all.

    Examples
    --------
    >>> layer = bn.GRU(3, 8, dtype="float64")
    >>> x = np.random.default_rng(0).standard_normal((20, 2, 3))
    >>> y, h, tape = layer.forward(x)
    >>> found = bn.diagnostics.jacobian_product(layer, tape, first=5)
    >>> found.exponents.shape, found.log_singular_values.shape, found.steps, found.size
    ((8,), (8,), 15, 8)
    """

    exponents: Norms
    log_singular_values: Norms | None
    steps: int
    size: int

    @property
    def sum(self) -> float:
        """The growth rate of volumes; with all S exponents, the mean of log |det J_t|."""
        return float(self.exponents.sum())

    @property
    def kaplan_yorke(self) -> float:
        """The Kaplan-Yorke (1979) dimension; 0 if the largest exponent is negative.

        It is NaN if an exponent is NaN, or if too few exponents were measured to determine it.
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

    def _view(self) -> View:
        shown = ", ".join(f"{value:.4g}" for value in self.exponents[:6])
        more = ", ..." * (len(self.exponents) > 6)
        return fields_view(
            self,
            f"Lyapunov exponents (nats per step): {shown}{more}",
            f"sum {self.sum:.4g}, Kaplan-Yorke dimension {self.kaplan_yorke:.4g}",
        )


def lyapunov(
    net: Any, tape: Any, *, layer: int = 0, direction: int = 0, sample: int = 0, first: int = 0,
    last: int | None = None, count: int | None = None, interval: int = 1, discard: int = 0,
    start: npt.ArrayLike | None = None,
) -> Spectrum:  # fmt: skip
    """Measure the Lyapunov spectrum of a layer along the trajectory on a tape.

    Orthonormal rows are propagated backward through the steps, with a QR factorisation every
    ``interval`` steps. The adjoint has the same spectrum, and no Jacobian is formed.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
    tape : Tape
        The tape of a ``forward`` of this net. The parameters are those that it was made with.
    layer, direction, sample : int
        Indices of the layer (-1 is the top one), direction and sequence. (The spectrum of a stack
        is the union of the spectra of its layers, so each layer is measured alone.)
    first, last : int
        The range of steps [first, last); by default to the end.
    count : int, optional
        Number of exponents, approximately the largest ones; by default all S.
    interval : int
        Largest number of steps between factorisations. Between them, the rows turn towards the
        strongest directions. If a row would overflow or underflow, or if the weakest row would keep
        fewer than about three digits of the dtype next to the strongest one, the interval is
        repeated with fewer steps, and later intervals have fewer steps too.
    discard : int
        Number of steps at the end of the range, where the pass begins, that are left out of the
        averages.
    start : float [count, S], optional
        Initial rows, which are orthonormalised; by default fixed random rows.

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

    Examples
    --------
    A linear net stretches along its eigenvectors:

    >>> layer = bn.RNN(1, 2, nonlinearity="identity", bias=False, dtype="float64")
    >>> layer.parameters["weight_hh_l0"] = np.diag([2.0, 0.5])
    >>> y, h, tape = layer.forward(np.zeros((100, 1, 1)))
    >>> found = bn.diagnostics.lyapunov(layer, tape, discard=50)
    >>> found.exponents.round(4)
    array([ 0.6931, -0.6931])
    """
    return _spectrum(
        net, tape, layer, direction, sample, first, last, count, interval, discard, start, False,
        "lyapunov",
    )  # fmt: skip


def jacobian_product(
    net: Any, tape: Any, *, layer: int = 0, direction: int = 0, sample: int = 0, first: int = 0,
    last: int | None = None, interval: int = 1,
) -> Spectrum:  # fmt: skip
    """Measure the singular values of the product J_{last-1} ... J_first.

    They may be far out of the range of the dtype. With ``interval`` 1 the smallest ones are
    accurate, unless the singular values of a single J_t span nearly 1 / epsilon of the dtype.

    Parameters
    ----------
    net, tape, layer, direction, sample, first, last, interval
        As in `lyapunov`.

    Returns
    -------
    Spectrum
        The spectrum with ``log_singular_values``. The first one bounds the growth of a gradient
        over the range of steps from above, the last one from below.

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As `jacobian`.

    Examples
    --------
    >>> layer = bn.RNN(1, 2, nonlinearity="identity", bias=False, dtype="float64")
    >>> layer.parameters["weight_hh_l0"] = np.diag([2.0, 0.5])
    >>> y, h, tape = layer.forward(np.zeros((10, 1, 1)))
    >>> found = bn.diagnostics.jacobian_product(layer, tape)
    >>> float(np.exp(found.log_singular_values[0]).round(6))  # 2 ** 10
    1024.0
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
    held: list[object] = []  # keeps the caller's array from being resized until the end of the call
    if start is not None:
        dtype = str(np.dtype(setting(net, "dtype")))
        shape = (rows or state_size(net), state_size(net))
        expected = f"a {dtype} array of shape {list(shape)}"
        array = convert(start, {dtype: [shape]}, where, "start", expected, held=held)
        given = np.array(array).ravel()
    found: SpectrumArrays = net._native.spectrum(
        tape=tape, index=index, sample=sample, first=first, last=end, count=rows,
        interval=interval, discard=discard, start=given, singular=singular, extremes=False,
        where=where,
    )  # fmt: skip
    steps = (end or tape.lengths[sample]) - first - discard
    return Spectrum(found.exponents, found.log_singular_values, steps, state_size(net))


@dataclass(frozen=True, repr=False)
class GainBounds(Shown):
    """The gain of a gradient by the distance back in time, and its bounds.

    Attributes
    ----------
    distance : int64 [K + 1]
        Steps back from the last one: 0, 1, ...
    gain : float64 [K + 1]
        ||dL/d state_{t-d}|| / ||dL/d state_t|| of a loss that depends only on the last state.
    largest, smallest : float64 [K + 1]
        Largest and smallest singular value of the product of the Jacobians, which bound the gain.
    product_of_norms : float64 [K + 1]
        Product of the steps' spectral norms, the bound of Pascanu et al. (2013, eq. 6).

    Examples
    --------
    >>> layer = bn.GRU(3, 8, dtype="float64")
    >>> x = np.random.default_rng(0).standard_normal((20, 2, 3))
    >>> y, h, tape = layer.forward(x)
    >>> found = bn.diagnostics.gain_bounds(layer, tape, np.ones(8))
    >>> bool((found.gain <= found.largest * 1.000001).all())
    True
    >>> bool((found.largest <= found.product_of_norms * 1.000001).all())
    True
    """

    distance: npt.NDArray[np.int64]
    gain: Norms
    largest: Norms
    smallest: Norms
    product_of_norms: Norms

    def _view(self) -> View:
        return fields_view(self)


def gain_bounds(
    net: Any, tape: Any, gradient: npt.ArrayLike, *, layer: int = -1, sample: int = 0,
    steps: int | None = None,
) -> GainBounds:  # fmt: skip
    """Compare the growth of a gradient back in time with the bounds from the Jacobians.

    Parameters
    ----------
    net, tape
        As in `jacobian`.
    gradient : float [S]
        dL/d state after the last step.
    layer, sample : int
        Indices of the layer (-1 is the top one) and sequence.
    steps : int, optional
        The largest distance K; by default that to the beginning.

    Returns
    -------
    GainBounds

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As `jacobian`.

    Examples
    --------
    >>> layer = bn.GRU(3, 8, dtype="float64")
    >>> x = np.random.default_rng(0).standard_normal((20, 2, 3))
    >>> y, h, tape = layer.forward(x)
    >>> found = bn.diagnostics.gain_bounds(layer, tape, np.ones(8), steps=5)
    >>> found.distance
    array([0, 1, 2, 3, 4, 5])
    """
    where, size = "gain_bounds", state_size(net)
    held: list[object] = []  # keeps the caller's array from being resized until the end of the call
    index = walk_index(net, layer, 0, where)
    check_tape(tape, where)
    expected = f"a float64 array of shape [{size}]"
    gradient_t = convert(gradient, {"float64": [(size,)]}, where, "gradient", expected, held=held)
    sample = integer(sample, where, "sample", 0, tape.batch - 1)
    end = tape.lengths[sample]
    far = end if steps is None else integer(steps, where, "steps", 1, end)
    if not (np.isfinite(gradient_t).all() and gradient_t.any()):
        got = "zeros" if np.isfinite(gradient_t).all() else "numbers that are not finite"
        raise ValueError(message(where, "gradient", "finite numbers, not all 0", got))
    gradient_t = direction_of(gradient_t).unit
    gain, norms = [0.0], [0.0]  # logarithms
    for back in range(1, far + 1):
        J = jacobian(net, tape, end - back, layer=layer, sample=sample).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            gradient_t, norm, scale = direction_of(gradient_t @ J)
            gain.append(gain[-1] + float(np.log(norm) + np.log(scale)))
            spectral = np.linalg.norm(J, 2) if np.isfinite(J).all() else np.nan
            norms.append(norms[-1] + float(np.log(spectral)))
    found: SpectrumArrays = net._native.spectrum(
        tape=tape, index=index, sample=sample, first=end - far, last=end, count=0, interval=1,
        discard=0, start=None, singular=False, extremes=True, where=where,
    )  # fmt: skip
    high, low = ([0.0, *column] for column in found.log_extremes[:far].T)
    with np.errstate(over="ignore"):
        return GainBounds(
            np.arange(far + 1), *(np.exp(np.array(logs)) for logs in (gain, high, low, norms))
        )


def spectral_radius(matrix: npt.ArrayLike) -> float:
    """Return the largest modulus of the eigenvalues of a square matrix.

    Examples
    --------
    >>> round(bn.diagnostics.spectral_radius([[0.0, 4.0], [1.0, 0.0]]), 6)
    2.0
    """
    return float(np.abs(np.linalg.eigvals(np.asarray(matrix, np.float64))).max())


def recurrent_matrices(net: Any, *, layer: int = 0, direction: int = 0) -> dict[str, Array]:
    """Return the recurrent matrix of each gate by name, with the signs of Dale's law.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
    layer, direction : int
        Indices of the layer (-1 is the top one) and direction.

    Returns
    -------
    dict of str to ndarray [H, R]
        RNN: "h"; LSTM: "i", "f", "g", "o" (coupled: "i", "g", "o"); GRU: "r", "z", "n"; MinGRU,
        which has no W_hh: none.

    Raises
    ------
    TypeError, ValueError
        There is no such layer or direction.

    Examples
    --------
    >>> found = bn.diagnostics.recurrent_matrices(bn.LSTM(3, 8))
    >>> {name: matrix.shape for name, matrix in found.items()}
    {'i': (8, 8), 'f': (8, 8), 'g': (8, 8), 'o': (8, 8)}
    """
    index, D = walk_index(net, layer, direction, "recurrent_matrices"), directions(net)
    end = f"weight_hh_l{index // D}{'_reverse' * (index % D)}"
    names = [name for name in net.state_dict() if name.endswith(end)]
    if not names:
        return {}
    W, dale = net.state_dict()[names[0]], setting(net, "dale")
    if dale is not None:  # the first units excite, the others inhibit
        units = np.arange(W.shape[1])
        W = np.where(units < np.floor(dale * len(units) + 0.5), np.abs(W), -np.abs(W))
    gates = shape_of(net).letters
    return dict(zip(gates, np.split(W, len(gates)), strict=True))
