"""The two halves of a model's training step: loss and gradient, and the update."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import _core
from .gradients import Gradients, StepResult, UpdateResult, like
from .parameters import Parameterised


class Steps(Parameterised):
    """What `Model` offers to those who put training steps together themselves."""

    __slots__ = ("_native",)

    _native: _core.Model

    def gradients(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        state: Any = None,
        *,
        weights: npt.ArrayLike | None = None,
        accumulate: Gradients | None = None,
        flow: bool = True,
    ) -> tuple[StepResult, Gradients]:
        """Compute loss and gradient as `Model.train_step` does, without clipping and update.

        ``clip_step`` and ``clip_step_norm``, which act inside BPTT, are used. Gradients of several
        batches, added and scaled, can be given to `apply`.

        Parameters
        ----------
        x, targets, state, weights, flow : array_like
            As in `Model.train_step`.
        accumulate : Gradients, optional
            Gradients of this model to add to, in place; then the result is a view of them.

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
        where, flat = "Model.gradients", None
        if accumulate is not None:
            flat = like(accumulate, self._layout, self._dtype, where, "accumulate")
        fields, flat = self._native.gradients(x, targets, state, weights, flow, flat)
        result = StepResult._make(fields)
        return result, Gradients(flat, self._layout, flow=result.flow, flow_c=result.flow_c)

    def apply(self, gradients: Gradients) -> UpdateResult:
        """Clip gradients as the model is set to, and update with them.

        Parameters
        ----------
        gradients : Gradients
            Of this model; they are left as they are, and those of frozen parameters count as 0.

        Returns
        -------
        UpdateResult
            grad_norm, clipped, skipped.

        Raises
        ------
        TypeError, ValueError
            If they are not gradients of parameters like these.
        """
        flat = like(gradients, self._layout, self._dtype, "Model.apply", "gradients")
        return UpdateResult._make(self._native.apply(flat))
