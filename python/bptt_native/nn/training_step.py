"""A model's training step, whole and in its two halves: loss and gradient, and the update."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy.typing as npt

from .. import _core
from ..arguments.arrays import convert
from ..arguments.values import Array, flag
from .gradients import Gradients, State, StepResult, UpdateResult, like
from .parameters import Parameterised, draw_of


class TrainingStep(Parameterised):
    """The training step of a `Model`, whole and in its parts."""

    __slots__ = ("_native",)

    _native: _core.Model

    def train_step(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        flow: bool | str = True,
    ) -> StepResult:
        """Forward pass, loss, BPTT, clipping and update: all or nothing.

        Parameters
        ----------
        x : array_like [T, N, I], or integers [T, N]
            The input, or tokens; also [T, I] or [T] for one sequence.
        targets : array_like
            Classes (integers [T, N]) or values [T, N, O]; with ``targets="last"`` [N] or [N, O].
            With `batch_first` N comes before T here and in `weights`.
        state : array_like [L*D, N, R], or (h, c), optional
            The states before the first step; zeros if not given.
        lengths, resets : array_like, optional
            As in `LSTM.__call__`; what lies beyond a length is no target.
        weights : array_like [T, N], or [N] with ``targets="last"``, optional
            Finite numbers >= 0: how much each target counts; or bool: whether it does. A mean is
            one over weights. What stands where a weight is 0 is not read.
        flow : bool or str
            Whether to record the norms of dL/dh_t, dL/dc_t and dL/da_t, and what more: see
            `LSTM.backward`.

        Returns
        -------
        StepResult
            loss, grad_norm, clipped, skipped, state, the flow, omega, clipped_norm, clip_angle.

        Raises
        ------
        TypeError
            If a dtype does not fit without loss.
        ValueError
            If a shape does not fit, a weight or (binary cross-entropy) value is out of range, or no
            target is left that counts.
        IndexError
            If a token or class is out of range.
        FloatingPointError
            If the gradient is not finite, or a finite parameter or moment would become one that
            is not, and the model has ``nonfinite="raise"``; nothing changed.
        RuntimeError
            If 2**53 steps have been counted.
        """
        return self._native.train_step(
            x=x,
            targets=targets,
            state=state,
            lengths=lengths,
            resets=resets,
            weights=weights,
            flow=flow,
        )

    @overload
    def evaluate(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        return_outputs: Literal[False] = False,
        training: bool = False,
        draw: int | None = None,
    ) -> tuple[float, State]: ...

    @overload
    def evaluate(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        return_outputs: Literal[True],
        training: bool = False,
        draw: int | None = None,
    ) -> tuple[float, State, Array]: ...

    def evaluate(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        return_outputs: bool = False,
        training: bool = False,
        draw: int | None = None,
    ) -> tuple[float, State] | tuple[float, State, Array]:
        """Compute the loss; nothing is remembered or changed.

        Parameters
        ----------
        x, targets, state, lengths, resets, weights : array_like
            As in `train_step`.
        return_outputs : bool
            Whether to return the outputs too, which the same pass computes.
        training, draw : optional
            As in `Model.__call__`.

        Returns
        -------
        loss : float
            As `train_step` would report it.
        state : ndarray or (h, c)
            The states after the last step.
        outputs : ndarray [T, N, O], or [N, O] with ``targets="last"``
            Only with `return_outputs`: as calling the model returns them.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `train_step`.
        """
        wanted = flag(return_outputs, "Model.evaluate", "return_outputs")
        draws = flag(training, "Model.evaluate", "training")
        return self._native.evaluate(
            x=x,
            targets=targets,
            state=state,
            lengths=lengths,
            resets=resets,
            weights=weights,
            outputs=wanted,
            draw=None if draw is None else draw_of(draw, "Model.evaluate", draws),
            training=draws,
        )

    def output_gradient(
        self,
        outputs: npt.ArrayLike,
        targets: npt.ArrayLike,
        *,
        lengths: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> Array:
        """Compute the gradient of the model's loss with respect to given outputs.

        Parameters
        ----------
        outputs : array_like [T, N, O], or [N, O] with ``targets="last"``
            Outputs of the model, or other values in their place; without N for one sequence.
        targets, lengths, weights : array_like
            As in `train_step`.

        Returns
        -------
        ndarray
            dL/d outputs, shaped like `outputs`, 0 where there is no target. The outputs there are
            not read.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `train_step`.

        Examples
        --------
        The gradients of `gradients`, in three steps:

        >>> import numpy as np, bptt_native as bn
        >>> m = bn.Model("gru", input_size=2, hidden_size=4, output_size=3, loss="huber")
        >>> x, y = np.ones((5, 1, 2), "f4"), np.zeros((5, 1, 3), "f4")
        >>> outputs, state, tape = m.forward(x)
        >>> by_hand = m.backward(tape, m.output_gradient(outputs, y))
        >>> _, gradients = m.gradients(x, y)
        >>> bool(np.allclose(by_hand["readout.bias"], gradients["readout.bias"]))
        True
        """
        where, held = "Model.output_gradient", list[object]()
        last, O = self._config["targets"] != "every", self._config["output_size"]  # noqa: E741
        axes = "N" if last else "N, T" if self._config["batch_first"] else "T, N"
        one = f"[{O}]" if last else f"[T, {O}]"
        expected = f"a {self._dtype} array of shape [{axes}, {O}] or {one}"
        leading = 0 if last else 1
        forms = {str(self._dtype): [(None,) * (leading + 1) + (O,), (None,) * leading + (O,)]}
        given = convert(outputs, forms, where, "outputs", expected, held=held)
        gradient = given.copy(order="C")
        self._native.output_gradient(gradient, targets, lengths, weights)
        return gradient

    def gradients(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        accumulate: Gradients | None = None,
        flow: bool | str = True,
        draw: int | None = None,
    ) -> tuple[StepResult, Gradients]:
        """Compute loss and gradient as `Model.train_step` does, without clipping and update.

        ``clip_step`` and ``clip_step_norm``, which act inside BPTT, are used. Gradients of several
        batches, added and scaled, can be given to `apply`.

        Parameters
        ----------
        x, targets, state, lengths, resets, weights, flow : array_like
            As in `Model.train_step`.
        accumulate : Gradients, optional
            Gradients of this model to add to, in place; then the result is a view of them.
        draw : int, optional
            Which random masks and noise; None: those that the next `train_step` draws.

        Returns
        -------
        result : StepResult
            As of `Model.train_step`; its grad_norm is that of `gradients`, nothing is clipped or
            skipped.
        gradients : Gradients
            By parameter name, without ``.x`` and ``.state``.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `Model.train_step`.
        """
        return self._native.gradients(
            x=x,
            targets=targets,
            state=state,
            lengths=lengths,
            resets=resets,
            weights=weights,
            flow=flow,
            accumulate=self._flat_of(accumulate, "gradients"),
            layout=self._layout,
            draw=None if draw is None else draw_of(draw, "Model.gradients"),
        )

    def apply(self, gradients: Gradients) -> UpdateResult:
        """Clip gradients as the model is set to, and update with them.

        Parameters
        ----------
        gradients : Gradients
            Of this model; they are left as they are, and those of frozen parameters count as 0.

        Returns
        -------
        UpdateResult
            grad_norm, clipped, skipped, clipped_norm, clip_angle.

        Raises
        ------
        TypeError, ValueError
            If they are not gradients of parameters like these.
        FloatingPointError
            As in `Model.train_step`.
        """
        flat = like(gradients, self._layout, self._dtype, "Model.apply", "gradients")
        return self._native.apply(flat)
