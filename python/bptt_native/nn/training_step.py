"""The training step of a model, as one call and in parts: loss, gradient and update."""

from __future__ import annotations

from typing import Any, Literal, Never, overload

import numpy.typing as npt

from .. import _core
from ..arguments.arrays import convert
from ..arguments.names import guided, refuse_unknown
from ..arguments.values import Array, flag
from ..options.words import FlowLevel
from .gradients import Gradients, State, StepResult, UpdateResult, like
from .parameters import Parameterised, draw_of


@guided
class TrainingStep(Parameterised):
    """The training step of a `Model`, as one call and in parts."""

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
        flow: FlowLevel = True,
        **unknown: Never,
    ) -> StepResult:
        """Make one training step: forward pass, loss, BPTT, clipping and update.

        If an exception is raised, nothing has changed.

        Parameters
        ----------
        x : array_like [T, N, I], or integers [T, N]
            The input, or tokens. One sequence may be [T, I] or [T].
        targets : array_like
            Classes, integers [T, N], or values [T, N, O]. With ``targets="last"`` they are [N] or
            [N, O]. With `batch_first` N comes before T here and in `weights`.
        state : array_like [L*D, N, R], or (h, c), optional
            The states before the first step; zeros if not given.
        lengths, resets : array_like, optional
            As in `LSTM.__call__`. There are no targets after the end of a sequence.
        weights : array_like [T, N], or [N] with ``targets="last"``, optional
            Weight of each target, a finite number >= 0 or a bool. A mean is the weighted mean.
            Targets with weight 0 are not read.
        flow : bool or str
            Whether to record the norms of dL/dh_t, dL/dc_t and dL/da_t, and in which detail, as in
            `LSTM.backward`.

        Returns
        -------
        StepResult
            loss, grad_norm, clipped, skipped, state, the flow, omega, clipped_norm, clip_angle.

        Raises
        ------
        TypeError
            If a dtype cannot be converted without loss.
        ValueError
            If a shape does not fit, a weight or a target of binary cross-entropy is out of range,
            or no target counts.
        IndexError
            If a token or class is out of range.
        FloatingPointError
            If the model has ``nonfinite="raise"``, and the gradient is not finite or a finite
            parameter or moment would become one that is not.
        RuntimeError
            If 2**53 steps have been counted.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
        >>> x, classes = np.ones((5, 2, 2), np.float32), np.zeros((5, 2), int)
        >>> losses = [model.train_step(x, classes).loss for _ in range(20)]
        >>> losses[-1] < losses[0]
        True

        The state can be carried to the next window:

        >>> step = model.train_step(x, classes)
        >>> step = model.train_step(x, classes, step.state)
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.train_step", TrainingStep.train_step, unknown)
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
    def eval_step(
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
        noise: bool = False,
        draw: int | None = None,
    ) -> tuple[float, State]: ...

    @overload
    def eval_step(
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
        noise: bool = False,
        draw: int | None = None,
    ) -> tuple[float, State, Array]: ...

    def eval_step(
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
        noise: bool = False,
        draw: int | None = None,
        **unknown: Never,
    ) -> tuple[float, State] | tuple[float, State, Array]:
        """Compute the loss, without a tape and without changing the model.

        Parameters
        ----------
        x, targets, state, lengths, resets, weights : array_like
            As in `train_step`.
        return_outputs : bool
            Whether to return the outputs of this pass too.
        training : bool
            Whether to draw dropout, zoneout and noise, as in `Model.__call__`.
        noise : bool
            Whether to draw the noise alone, as in `Model.__call__`.
        draw : int, optional
            Number of the random masks and noise, as in `Model.__call__`.

        Returns
        -------
        loss : float
            The loss that `train_step` would report.
        state : ndarray or (h, c)
            The states after the last step.
        outputs : ndarray [T, N, O], or [N, O] with ``targets="last"``
            The outputs that calling the model returns; only with `return_outputs`.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `train_step`.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
        >>> x, classes = np.ones((5, 2, 2), np.float32), np.zeros((5, 2), int)
        >>> loss, state = model.eval_step(x, classes)
        >>> loss, state, out = model.eval_step(x, classes, return_outputs=True)
        >>> out.shape, model.step_count
        ((5, 2, 3), 0)
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.eval_step", TrainingStep.eval_step, unknown)
        wanted = flag(return_outputs, "Model.eval_step", "return_outputs")
        masks = flag(training, "Model.eval_step", "training")
        noisy = flag(noise, "Model.eval_step", "noise")
        return self._native.eval_step(
            x=x,
            targets=targets,
            state=state,
            lengths=lengths,
            resets=resets,
            weights=weights,
            outputs=wanted,
            draw=None if draw is None else draw_of(draw, "Model.eval_step", masks or noisy),
            training=masks,
            noise=noisy,
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
            Outputs of the model, or other values in their place. For one sequence, N may be
            missing.
        targets, lengths, weights : array_like
            As in `train_step`.

        Returns
        -------
        ndarray
            dL/d outputs, with the shape of `outputs`. It is 0 where there is no target; these
            outputs are not read.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `train_step`.

        Examples
        --------
        Compute the result of `gradients` in three steps:

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
        flow: FlowLevel = True,
        draw: int | None = None,
        **unknown: Never,
    ) -> tuple[StepResult, Gradients]:
        """Compute loss and gradient as `train_step` does, without clipping and update.

        ``clip_step`` and ``clip_step_norm`` do apply, since they act inside BPTT. Gradients of
        several batches can be added, scaled and passed to `apply`.

        Parameters
        ----------
        x, targets, state, lengths, resets, weights, flow : array_like
            As in `train_step`.
        accumulate : Gradients, optional
            Gradients of this model to add to, in place. The result is then a view of them.
        draw : int, optional
            Number of the random masks and noise, 0 to 2**64 - 1. None: those that the next
            `train_step` draws.

        Returns
        -------
        result : StepResult
            As in `train_step`. Its grad_norm is that of `gradients`; nothing was clipped or
            skipped.
        gradients : Gradients
            Gradients by parameter name, without ``.x`` and ``.state``.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `train_step`.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
        >>> x, classes = np.ones((5, 2, 2), np.float32), np.zeros((5, 2), int)
        >>> step, grads = model.gradients(x, classes)
        >>> grads["readout.bias"].shape, model.step_count
        ((3,), 0)

        The gradient of two batches together:

        >>> step, grads = model.gradients(x, classes, accumulate=grads)
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.gradients", TrainingStep.gradients, unknown)
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

    def apply(self, gradients: Gradients, **unknown: Never) -> UpdateResult:
        """Clip gradients with the thresholds of the model, and update the parameters.

        Parameters
        ----------
        gradients : Gradients
            Gradients of this model. They are not changed; those of frozen parameters count as 0.

        Returns
        -------
        UpdateResult
            grad_norm, clipped, skipped, clipped_norm, clip_angle.

        Raises
        ------
        TypeError, ValueError
            If their names, shapes or dtype are not those of the parameters.
        FloatingPointError
            As in `train_step`.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
        >>> x, classes = np.ones((5, 2, 2), np.float32), np.zeros((5, 2), int)
        >>> step, grads = model.gradients(x, classes)
        >>> grads *= 0.5
        >>> model.apply(grads).skipped, model.step_count
        (False, 1)
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.apply", TrainingStep.apply, unknown)
        flat = like(gradients, self._layout, self._dtype, "Model.apply", "gradients")
        return self._native.apply(flat)
