"""The results of backward passes and training steps, and the clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from .. import _core
from ..arguments.display import (
    Names,
    Shown,
    Table,
    View,
    array_text,
    constructor_text,
    number_text,
    range_text,
    shape_text,
    text_of,
)
from ..arguments.names import guided, missing_key
from ..arguments.values import Array, message, number, refuse_type
from .flow import Flow, FlowDetail

State = Array | tuple[Array, Array]
Layout = dict[str, tuple[int, int, tuple[int, ...]]]


class StepResult(NamedTuple):
    """The result of a training step.

    Attributes
    ----------
    loss : float
        Loss of this batch before the update.
    grad_norm : float
        Global norm of the gradient before clipping; infinite where it exceeds float64.
    clipped : bool
        Whether clipping by value, tensor norm or global norm changed the gradient.
    skipped : bool
        Whether the update was left out, because the gradient was not finite or a finite parameter
        or moment would have become one that is not. Only the count of skipped steps has changed.
    state : ndarray [L*D, N, H], or (h, c)
        The states after the last step, to carry into the next window.
    flow : ndarray of float64 [L*D, T], or None
        The norm over (N, H) of the total derivative dL/dh_t, before clipping.
    flow_c : ndarray of float64 [L*D, T], or None
        The same of dL/dc_t (LSTM).
    flow_a : ndarray of float64 [L*D, T], or None
        The same of dL/da_t, the pre-activations of all gates.
    flow_detail : FlowDetail, or None
        More of the flow, if it was requested.
    omega : float
        The regulariser against vanishing gradients, without its weight; 0 if it is off.
    clipped_norm : float
        Global norm of the gradient after clipping.
    clip_angle : float
        Angle between the gradient before and after clipping, in radians: 0 if it was only rescaled,
        NaN if elements that were not finite were replaced by zeros.
    weight_penalty : float
        The value of the regularisers `weight_l1` and `weight_l2` before the update, which is not
        part of `loss`.
    activity_penalty : float
        The value of the regularisers `activity_l1` and `activity_l2`, which is not part of `loss`.

    Examples
    --------
    >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
    >>> x, classes = np.ones((5, 2, 2), np.float32), np.zeros((5, 2), int)
    >>> step = model.train_step(x, classes)
    >>> step.clipped, step.state.shape, step.flow.shape
    (False, (1, 2, 4), (1, 5))
    """

    loss: float
    grad_norm: float
    clipped: bool
    skipped: bool
    state: State
    flow: Flow
    flow_c: Flow
    flow_a: Flow = None
    flow_detail: FlowDetail | None = None
    omega: float = 0.0
    clipped_norm: float = 0.0
    clip_angle: float = 0.0
    weight_penalty: float = 0.0
    activity_penalty: float = 0.0

    def __repr__(self) -> str:
        """Return the numbers of the result, and a summary of its arrays."""
        head = (
            f"StepResult(loss={self.loss:.6g}, grad_norm={self.grad_norm:.6g}, "
            f"clipped={self.clipped}, skipped={self.skipped})"
        )
        names = ("state", "flow", "flow_c", "flow_a")
        return text_of(View(head, _array_lines(self, names)))


class UpdateResult(NamedTuple):
    """The result of `Model.apply`.

    Attributes
    ----------
    grad_norm : float
        Global norm of the gradient before clipping.
    clipped : bool
        Whether clipping by value, tensor norm or global norm changed the gradient.
    skipped : bool
        Whether the update was left out, because the gradient was not finite or a finite parameter
        or moment would have become one that is not. Only the count of skipped steps has changed.
    clipped_norm, clip_angle : float
        As in `StepResult`.

    Examples
    --------
    >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
    >>> x, classes = np.ones((5, 2, 2), np.float32), np.zeros((5, 2), int)
    >>> update = model.apply(model.gradients(x, classes)[1])
    >>> update.clipped, update.grad_norm == update.clipped_norm
    (False, True)
    """

    grad_norm: float
    clipped: bool
    skipped: bool
    clipped_norm: float
    clip_angle: float

    def __repr__(self) -> str:
        """Return the numbers of the result."""
        given = [f"{name}={number_text(value, 6)}" for name, value in self._asdict().items()]
        return constructor_text(type(self).__name__, given)


class Gradients(Mapping[str, Array], Shown):
    """Gradients of a loss with respect to the parameters, the input and the initial states.

    A mapping from parameter names to views of one flat vector: ``grads["weight_hh_l0"]``.
    ``+=`` adds the parameter gradients of another `Gradients`, and ``*=`` scales them. Neither
    changes `x`, `state` and the flow.

    Attributes
    ----------
    x : ndarray like the input, or None
        dL/dx. None for tokens, or if it was not requested.
    state : ndarray [L*D, N, H], or (dh_0, dc_0)
        Gradients with respect to the initial states.
    flow : ndarray of float64 [L*D, T], or None
        The norm over (N, H) of the total derivative dL/dh_t of each layer, before clipping.
    flow_c : ndarray of float64 [L*D, T], or None
        The same of dL/dc_t (LSTM).
    flow_a : ndarray of float64 [L*D, T], or None
        The same of dL/da_t, the pre-activations of all gates.
    flow_detail : FlowDetail, or None
        More of the flow, if it was requested.
    omega : float
        The regulariser against vanishing gradients, without its weight; 0 if it is off.
    activity_penalty : float
        The value of the regularisers `activity_l1` and `activity_l2`.

    Examples
    --------
    >>> layer = bn.GRU(3, 8)
    >>> y, h, tape = layer.forward(np.ones((5, 2, 3), np.float32))
    >>> grads = layer.backward(tape, y)
    >>> list(grads)
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    >>> grads["weight_hh_l0"].shape, grads.flat.shape
    ((24, 8), (312,))
    >>> bool(abs(grads.norm() - np.linalg.norm(grads.flat)) < 1e-4)
    True
    """

    __slots__ = (
        "_flat",
        "_layout",
        "activity_penalty",
        "flow",
        "flow_a",
        "flow_c",
        "flow_detail",
        "omega",
        "state",
        "x",
    )

    x: Array | None
    state: State | None
    flow: Flow
    flow_c: Flow
    flow_a: Flow
    flow_detail: FlowDetail | None
    omega: float
    activity_penalty: float

    def __init__(
        self,
        flat: Array,
        layout: Layout,
        x: Array | None = None,
        state: State | None = None,
        flow: Flow = None,
        flow_c: Flow = None,
        flow_a: Flow = None,
        flow_detail: FlowDetail | None = None,
        omega: float = 0.0,
        activity_penalty: float = 0.0,
    ) -> None:
        self._flat = flat
        self._layout = layout
        self.x = x
        self.state = state
        self.flow = flow
        self.flow_c = flow_c
        self.flow_a = flow_a
        self.flow_detail = flow_detail
        self.omega = omega
        self.activity_penalty = activity_penalty

    @property
    def flat(self) -> Array:
        """The gradients of all parameters in one vector [P], in the order of the names."""
        return self._flat

    def norm(self) -> float:
        """Return the global norm of the parameter gradients.

        Returns
        -------
        float
            sqrt(sum g^2), summed in double precision without overflow or underflow. It is NaN or
            infinite if an element is, and infinite if the norm itself exceeds float64.
        """
        return _core.grad_norm(self._flat)

    def copy(self) -> Gradients:
        """Return an independent copy of the parameter gradients.

        Returns
        -------
        Gradients
            The copy. It shares the arrays `x`, `state` and of the flow.
        """
        rest = {name: getattr(self, name) for name in self.__slots__ if not name.startswith("_")}
        return Gradients(self._flat.copy(), self._layout, **rest)

    def __getitem__(self, name: str) -> Array:
        try:
            start, stop, shape = self._layout[name]
        except KeyError:
            raise missing_key(name, self._layout) from None
        return self._flat[start:stop].reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layout)

    def __len__(self) -> int:
        return len(self._layout)

    def __iadd__(self, other: Gradients) -> Self:
        self._flat += like(other, self._layout, self._flat.dtype, "Gradients.__iadd__", "other")
        return self

    def __imul__(self, factor: float) -> Self:
        self._flat *= number(factor, "Gradients.__imul__", "factor")
        return self

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __copy__(self) -> Gradients:
        return self.copy()

    def keys(self) -> Names:
        """Return a view of the names."""
        return Names(self)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _view(self) -> View:
        rows = []
        for name, (start, stop, shape) in self._layout.items():
            part = self._flat[start:stop]
            norm = number_text(_core.grad_norm(part))
            rows.append((name, shape_text(shape), norm, range_text(part)))
        head = (
            f"Gradients of {len(self)} parameters, {self._flat.size} {self._flat.dtype} elements, "
            f"norm {self.norm():.4g}"
        )
        table = Table(("parameter", "shape", "norm", "range"), rows)
        return View(head, (table, *_array_lines(self, ("x", "state", "flow", "flow_c", "flow_a"))))


def _array_lines(result: object, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return a line for each of these attributes that has arrays."""
    found = {name: getattr(result, name) for name in names}
    return tuple(f"{n}: {array_text(v)}" for n, v in found.items() if v is not None)


_core.hand_over(Gradients=Gradients, StepResult=StepResult, UpdateResult=UpdateResult)


def like(value: object, layout: Layout, dtype: np.dtype[Any], where: str, argument: str) -> Array:
    """Return the flat vector of gradients after checking their names, shapes and dtype.

    Parameters
    ----------
    value : Gradients
        The value of an argument.
    layout : dict
        The names and shapes that it must have.
    dtype : dtype
        The dtype that it must have.
    where, argument : str
        The function and its argument, for messages.

    Returns
    -------
    ndarray [P]
        ``value.flat``.

    Raises
    ------
    TypeError
        If it is no `Gradients`, or has another dtype.
    ValueError
        If its names or shapes differ.
    """
    if not isinstance(value, Gradients):
        refuse_type(value, where, argument, "Gradients of a backward pass")
    if value._layout is not layout and value._layout != layout:
        names = _shapes(layout)
        raise ValueError(
            message(where, argument, f"Gradients of {names}", f"those of {_shapes(value._layout)}")
        )
    if value._flat.dtype != dtype:
        refuse_type(value._flat, where, argument, f"{dtype} gradients")
    return value._flat


def _shapes(layout: Layout) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, (_, _, shape) in layout.items())


def _flat_of(grads: object, where: str) -> Array:
    if not isinstance(grads, Gradients):
        refuse_type(grads, where, "grads", "Gradients of a backward pass")
    return grads._flat


def _threshold(value: object, where: str, argument: str) -> float:
    expected = "a number >= 0"
    if isinstance(value, float) and value == math.inf:
        return value
    real = number(value, where, argument, expected)
    if real < 0:
        raise ValueError(message(where, argument, expected, str(real)))
    return real


@guided
def clip_grad_norm_(grads: Gradients, max_norm: float, eps: float = 0.0) -> float:
    """Rescale gradients in place if their global norm exceeds a threshold.

    g *= max_norm / (||g|| + eps) if ||g|| > max_norm; otherwise no bit changes. Norm and factor are
    computed and applied in double precision, even where the norm exceeds float64. Gradients with an
    element that is not finite are not changed.

    Parameters
    ----------
    grads : Gradients
        The gradients of a layer or model.
    max_norm : float
        The threshold, >= 0. With infinity the norm is computed and nothing changes.
    eps : float
        Added to the norm in the denominator; 1e-6 gives the same result as PyTorch.

    Returns
    -------
    float
        The norm before clipping; infinite where it exceeds float64.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, negative or NaN.

    References
    ----------
    Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks",
    algorithm 1.

    Examples
    --------
    >>> layer = bn.GRU(3, 8)
    >>> y, h, tape = layer.forward(np.ones((5, 2, 3), np.float32))
    >>> grads = layer.backward(tape, y)
    >>> before = bn.clip_grad_norm_(grads, 0.1)
    >>> before > 0.1, round(grads.norm(), 6)
    (True, 0.1)
    """
    where = "clip_grad_norm_"
    flat = _flat_of(grads, where)
    return _core.clip_grad_norm(
        flat, _threshold(max_norm, where, "max_norm"), number(eps, where, "eps")
    )


@guided
def clip_grad_value_(grads: Gradients, value: float) -> None:
    """Clamp every element of the gradients to [-value, value], in place. NaN stays NaN.

    Parameters
    ----------
    grads : Gradients
        The gradients of a layer or model.
    value : float
        The bound, >= 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, negative or NaN.

    References
    ----------
    Mikolov 2012, "Statistical language models based on neural networks".

    Examples
    --------
    >>> layer = bn.GRU(3, 8)
    >>> y, h, tape = layer.forward(np.ones((5, 2, 3), np.float32))
    >>> grads = layer.backward(tape, y)
    >>> bn.clip_grad_value_(grads, 0.001)
    >>> bool(np.isclose(np.abs(grads.flat).max(), 0.001))
    True
    """
    flat = _flat_of(grads, "clip_grad_value_")
    _core.clip_grad_value(flat, _threshold(value, "clip_grad_value_", "value"))


@guided
def clip_grad_tensor_norm_(grads: Gradients, max_norm: float) -> dict[str, float]:
    """Rescale the gradient of each parameter tensor in place if its norm exceeds a threshold.

    Parameters
    ----------
    grads : Gradients
        The gradients of a layer or model.
    max_norm : float
        The threshold for each tensor, >= 0.

    Returns
    -------
    dict of str to float
        The norms before clipping, by parameter name.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, negative or NaN.

    Examples
    --------
    >>> layer = bn.GRU(3, 8)
    >>> y, h, tape = layer.forward(np.ones((5, 2, 3), np.float32))
    >>> grads = layer.backward(tape, y)
    >>> before = bn.clip_grad_tensor_norm_(grads, 0.01)
    >>> list(before) == list(grads)
    True
    >>> bool(np.isclose(np.linalg.norm(grads["weight_hh_l0"]), 0.01))
    True
    """
    where = "clip_grad_tensor_norm_"
    flat, most = _flat_of(grads, where), _threshold(max_norm, where, "max_norm")
    return {
        name: _core.clip_grad_norm(flat[start:stop], most, 0.0)
        for name, (start, stop, _) in grads._layout.items()
    }
