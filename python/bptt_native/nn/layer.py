"""The base class of recurrent layers: their calls on NumPy arrays, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, Never, TypeVar

import numpy.typing as npt

from .. import _core
from ..arguments.names import guided, refuse_unknown
from ..arguments.values import Array, dtype_name, flag, integer
from ..options.attribute import OptionOf
from ..options.from_engine import DEFAULTS
from ..options.table import OPTIONS
from ..options.to_engine import layer_options
from ..options.words import Cell, FlowLevel
from .gradients import Gradients
from .parameters import Parameterised, draw_of

S = TypeVar("S")  # the states: an array, or (h, c)


@guided
class Layer(Parameterised, Generic[S]):
    """Base class of `RNN`, `LSTM`, `GRU` and `MinGRU`, which are the classes to use."""

    __slots__ = ("_config", "_draws", "_native")

    input_size: OptionOf[int] = OptionOf()

    _cell: Cell
    _config: dict[str, Any]
    _native: _core.Layer
    _draws: int  # the number of random passes so far: each draws new masks

    def _construct(self, given: dict[str, Any]) -> None:
        where = type(self).__name__
        integer(given["input_size"], where, "input_size", 1)
        options = layer_options(where, {"cell": self._cell, **given})
        self._native = _core.Layer(where, options, bool(options["batch_first"]))
        self._adopt(self._native.params(), dtype_name(given["dtype"], where))
        compute = OPTIONS["compute"].to_python(options["compute"])
        self._config = {**given, "dtype": str(self._dtype), "compute": compute}
        if "alphas" in options:
            self._config["alpha"] = tuple(options["alphas"].tolist())
        self._draws = 0

    def __call__(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        training: bool = False,
        noise: bool = False,
        draw: int | None = None,
        **unknown: Never,
    ) -> tuple[Array, S]:
        """Compute the states of all steps, without a tape for `backward`.

        Parameters
        ----------
        x : array_like [T, N, I] or [T, I], or integers [T, N] or [T]
            The input; with `batch_first` [N, T, ...]. Integers are tokens: token k means the
            one-hot vector e_k of length I. Without N it is one sequence.
        state : array_like [L*D, N, R] or [L*D, R], or (h, c), optional
            The states before the first step. None: zeros, or the parameters that
            `learn_initial_state` makes. LSTM: ``(h_0, c_0)``, c_0 with H
            units. R is `proj_size`, or else H.
        lengths : array_like of int [N], optional
            Number of steps of each sequence, 1 to T, in any order; T if not given. Later elements
            of x are not read, and y is 0 there. The final state of a sequence is that after its
            last step, where the reverse direction begins.
        resets : array_like of bool [T, N], optional
            True where a new episode or document begins: the states are set to zero, or to the
            learnt initial ones, before that step, so nothing passes this boundary, forward or
            backward. The reverse direction is cut at the same boundary, between the step and the
            one before it.
        training : bool
            Whether to draw dropout, zoneout and noise as `forward` does. False: leave dropout and
            noise out, and use the expectation of zoneout.
        noise : bool
            Whether to draw the noise of the option `noise`, even without `training`: noise that is
            part of the net and not a means of training it.
        draw : int, optional
            Number of the random masks and noise, 0 to 2**64 - 1, as in `forward`; only with
            `training` or `noise`.

        Returns
        -------
        y : ndarray [T, N, D*R] or [T, D*R]
            The states h_t of the top layer: those of the forward direction, then those of the
            reverse one.
        state : ndarray [L*D, N, R] or [L*D, R], or (h, c)
            The states after the last step.

        Raises
        ------
        TypeError
            If a dtype cannot be converted without loss.
        ValueError
            If a shape does not fit, or `draw` is given without `training` and `noise`.
        IndexError
            If a token is out of range.

        Notes
        -----
        NumPy arrays and scalars, also in lists, keep their dtype: a float32 layer refuses float64.
        Python's numbers, also in lists, have no dtype: floats are rounded to the layer's dtype, and
        integers that it cannot represent exactly are refused.
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.__call__", Layer.__call__, unknown)
        if training is False and noise is False and draw is None:  # the usual way, and quick
            return self._native.call(x=x, state=state, lengths=lengths, resets=resets)
        where = f"{type(self).__name__}.__call__"
        masks, noisy = flag(training, where, "training"), flag(noise, where, "noise")
        chosen = self._draws if draw is None else draw_of(draw, where, masks or noisy)
        result = self._native.call(
            x=x, state=state, lengths=lengths, resets=resets,
            draw=chosen, training=masks, noise=noisy,
        )  # fmt: skip
        self._draws += draw is None  # a call that is refused uses none up
        return result

    def forward(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        draw: int | None = None,
        **unknown: Never,
    ) -> tuple[Array, S, _core.Tape]:
        """Compute the states of all steps as in training, and record a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, resets : array_like
            As in `__call__`.
        draw : int, optional
            Number of the random masks and noise, 0 to 2**64 - 1: the same number and seed give the
            same bits. None: a new number each time, counted from 0.

        Returns
        -------
        y, state : ndarray
            As in `__call__`; `y` never aliases the tape.
        tape : Tape
            The record that `backward` needs. It holds copies, and the parameters of this pass.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `__call__`.

        Examples
        --------
        >>> layer = bn.LSTM(3, 8)
        >>> y, (h, c), tape = layer.forward(np.ones((5, 2, 3), np.float32))
        >>> tape.steps, sorted(tape.gates())
        (5, ['f', 'g', 'i', 'o'])
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.forward", Layer.forward, unknown)
        chosen = self._draws
        if draw is not None:
            chosen = draw_of(draw, f"{type(self).__name__}.forward")
        result = self._native.forward(x=x, state=state, lengths=lengths, resets=resets, draw=chosen)
        self._draws += draw is None  # a call that is refused uses none up
        return result

    def backward(
        self,
        tape: _core.Tape,
        dy: npt.ArrayLike | None,
        dstate: Any = None,
        flow: FlowLevel = True,
        accumulate: Gradients | None = None,
        *,
        input_gradient: bool = True,
        clip_step: float | None = None,
        clip_step_norm: float | None = None,
        truncation: tuple[int, int] | None = None,
        omega: float = 0.0,
        activity_l1: float = 0.0,
        activity_l2: float = 0.0,
        **unknown: Never,
    ) -> Gradients:
        """Compute gradients of the parameters, input and initial states by BPTT.

        Parameters
        ----------
        tape : Tape
            Tape of a `forward` of this layer. The gradients are those at the parameters of that
            pass, even if they have changed since. They are zero for parameters frozen now.
        dy : array_like like y, or None
            dL/dy; None means zeros.
        dstate : array_like like state, or (dh, dc), optional
            Gradients with respect to the final states; zeros if not given.
        flow : bool or str
            Whether to record the norms of dL/dh_t, dL/dc_t and dL/da_t. "samples" and "units" also
            record those of each sample or unit, "weights" the norm of each step's share in the
            gradients of the weights, "all" all of them, in ``.flow_detail``. This takes more time,
            and as much memory as a tape.
        accumulate : Gradients, optional
            Earlier gradients to add to. Their vector is changed in place and shared by the result;
            after an interrupted call its content is unspecified.
        input_gradient : bool
            Whether to compute dL/dx.
        clip_step : float, optional
            Clamp each element of the pre-activation gradients to [-clip_step, clip_step].
        clip_step_norm : float, optional
            At every step, rescale the (dh, dc) that each sample carries to the step before, in each
            layer, to at most this norm.
        truncation : (k1, k2), optional
            Truncated BPTT with 1 <= k1 <= k2: dy of steps (j-1) k1 ... j k1 - 1 is carried back to
            step j k1 - k2. k1 = k2 cuts the gradient every k1 steps. With k2 > k1 the windows
            overlap, and there is no flow. Not for bidirectional layers.
        omega : float
            Weight of the regulariser against vanishing gradients (Pascanu et al. 2013, eq. 9), for
            `RNN` only. Its immediate gradient is added to that of W_hh.
        activity_l1, activity_l2 : float
            Weights of regularisers of the activity, activity_l1 mean |h| + activity_l2 mean h^2
            (Song et al. 2016; Yang et al. 2019). The means are over the elements of h of all layers
            and directions at all steps within the sequences. Their gradient is part of dL/dh_t.

        Returns
        -------
        Gradients
            By parameter name, with ``.x``, ``.state``, ``.flow...``, ``.omega`` and
            ``.activity_penalty``.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.
        RuntimeError
            If the tape is that of another layer.

        References
        ----------
        Werbos 1990, "Backpropagation through time: what it does and how to do it"; `clip_step`:
        Graves 2013, arXiv:1308.0850; `truncation`: Williams & Peng 1990, Sutskever 2013; `omega`:
        arXiv:1211.5063.

        Examples
        --------
        The gradient of a loss on the last output only, and its norm at each step:

        >>> layer = bn.GRU(3, 8)
        >>> y, h, tape = layer.forward(np.ones((5, 2, 3), np.float32))
        >>> dy = np.zeros_like(y)
        >>> dy[-1] = 1
        >>> grads = layer.backward(tape, dy)
        >>> grads["weight_hh_l0"].shape, grads.x.shape, grads.flow.shape
        ((24, 8), (5, 2, 3), (1, 5))
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.backward", Layer.backward, unknown)
        return self._native.backward(
            tape=tape,
            dy=dy,
            dstate=dstate,
            flow=flow,
            accumulate=self._flat_of(accumulate, "backward"),
            layout=self._layout,
            input_gradient=input_gradient,
            settings=self._backward_settings(
                clip_step, clip_step_norm, truncation, omega, (activity_l1, activity_l2)
            ),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (
            type(self),
            self._config,
            self._params.get(),
            self._frozen_names(),
            self._draws,
            dict(self.masks),
            self._nonnegative_names(),
        )

    def _constructor(self) -> str:
        config = dict(self._config)
        sizes = str(config.pop("input_size")), str(config.pop("hidden_size"))
        return self._call_with({k: v for k, v in config.items() if v != DEFAULTS[k]}, *sizes)


def _restore(
    cls: type[Layer[S]],
    config: dict[str, Any],
    flat: Array,
    frozen: list[str],
    draws: int,
    masks: Mapping[str, Array] = MappingProxyType({}),  # earlier pickles end here
    nonnegative: Sequence[str] = (),
) -> Layer[S]:
    layer = cls.__new__(cls)
    learns = config.get("learn_initial_state", False)  # earlier pickles do not have this option
    layer._construct({**config, "learn_initial_state": learns})
    layer._draws = draws
    layer._params.set(flat)
    if frozen:
        layer.freeze(*frozen)
    for name, mask in masks.items():
        layer.set_mask(name, mask)
    if nonnegative:
        layer.set_nonnegative(*nonnegative)
    return layer
