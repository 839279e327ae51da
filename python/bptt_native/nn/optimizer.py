"""The base class of optimisers: updates, state and groups of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Never, Self

import numpy as np

from .. import _core
from ..arguments.arrays import convert
from ..arguments.display import Shown, Table, View, constructor_text, counted
from ..arguments.foreign import Guided
from ..arguments.names import guided, refuse_unknown
from ..arguments.values import Array, integer, message, number, refuse_type
from ..options.table import OPTIMIZER_ARGUMENTS
from ..options.to_engine import optimizer_options
from .gradients import Gradients, like
from .parameters import Parameterised

MOST_STEPS = 2**53  # the largest count of steps


@guided
class Optimizer(Guided, Shown):
    """Base class of the optimisers `SGD`, `Adagrad`, `Adam`, `AdamW`, `RMSprop` and `Lion`."""

    __slots__ = ("_config", "_native", "_owner")

    _algorithm = ""
    _settings: tuple[str, ...] = ()
    _native: _core.Optimizer
    _owner: Parameterised
    _config: dict[str, Any]

    def _build(self, owner: Parameterised, config: dict[str, Any]) -> None:
        where = type(self).__name__
        if not isinstance(owner, Parameterised):
            refuse_type(owner, where, "owner", "the layer or model, not its parameters")
        options = optimizer_options(where, {"optimizer": self._algorithm, **config})
        self._native = _core.Optimizer(where, options, owner._params)
        self._owner = owner
        self._config = {name: config[name] for name in self._settings}

    @classmethod
    def _of_model(cls, owner: Parameterised, core: _core.Model, config: dict[str, Any]) -> Self:
        optimizer = cls.__new__(cls)
        optimizer._native = _core.Optimizer(cls.__name__, core)
        optimizer._owner = owner
        names = {name: option.python_name for name, option in OPTIMIZER_ARGUMENTS.items()}
        optimizer._config = {name: config[names[name]] for name in cls._settings}
        return optimizer

    @property
    def lr(self) -> float:
        """The learning rate, which can be assigned."""
        return self._native.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._native.lr = number(value, type(self).__name__, "lr", "a finite number >= 0")

    @property
    def steps(self) -> int:
        """The number of updates made."""
        return self._native.steps

    @property
    def tensor_steps(self) -> dict[str, int]:
        """The number of updates of each parameter tensor, without those while it was frozen."""
        return {name: self._native.get_tensor_steps(name) for name in self._owner._layout}

    @property
    def groups(self) -> dict[str, dict[str, float | None]]:
        """A copy of the settings of `set_group`: "lr_scale" and "weight_decay" by parameter."""
        found = {name: self._native.get_group(name) for name in self._owner._layout}
        return {
            name: {"lr_scale": scale, "weight_decay": None if decay != decay else decay}
            for name, (scale, decay) in found.items()
            if scale != 1 or decay == decay  # not NaN
        }

    def set_group(
        self,
        names: str | Iterable[str],
        *,
        lr_scale: float = 1.0,
        weight_decay: float | None = None,
    ) -> None:
        """Set a separate learning rate and weight decay for some parameter tensors.

        The settings are saved in model files and by `state_dict`.

        Parameters
        ----------
        names : str or iterable of str
            Names of parameters or patterns as in `fnmatch`, for example ``"rnn.bias_*"``.
        lr_scale : float
            Factor >= 0 of `lr` that gives their learning rate.
        weight_decay : float, optional
            Their weight decay, >= 0, also for parameters of rank 1. None: that of the optimiser,
            with its rule for parameters of rank 1.

        Raises
        ------
        TypeError, ValueError
            If a value is not allowed or a name matches no parameter; then nothing changes.

        Examples
        --------
        >>> layer = bn.GRU(2, 3)
        >>> optimizer = bn.Adam(layer, weight_decay=0.01)
        >>> optimizer.set_group("bias_*", lr_scale=2.0, weight_decay=0.0)
        >>> optimizer.groups["bias_hh_l0"]
        {'lr_scale': 2.0, 'weight_decay': 0.0}
        """
        from fnmatch import fnmatchcase

        where, layout = f"{type(self).__name__}.set_group", self._owner._layout
        expected = f"names or patterns of {', '.join(layout)}"
        if not isinstance(names, str | list | tuple | set | frozenset):
            refuse_type(names, where, "names", expected)
        chosen: dict[str, None] = {}
        for pattern in [names] if isinstance(names, str) else names:
            if not isinstance(pattern, str):
                refuse_type(pattern, where, "names", expected)
            found = dict.fromkeys(name for name in layout if fnmatchcase(name, pattern))
            if not found:
                raise ValueError(message(where, "names", expected, f"{pattern!r:.80}"))
            chosen |= found
        scale, decay = _group(where, lr_scale, weight_decay)
        for name in chosen:
            self._native.set_group(name, scale, decay)

    def step(self, grads: Gradients, **unknown: Never) -> bool:
        """Update the parameters once.

        Parameters
        ----------
        grads : Gradients
            Gradients of the layer or model of this optimiser, or of one with the same parameters.

        Returns
        -------
        bool
            True if the update was made. False if the gradient is not finite, or if a finite
            parameter or moment would become one that is not; then nothing has changed.

        Raises
        ------
        TypeError, ValueError
            If the names, shapes or dtype of `grads` are not those of the parameters.
        RuntimeError
            If 2**53 steps have been counted.

        Examples
        --------
        >>> layer = bn.GRU(2, 3)
        >>> optimizer = bn.SGD(layer, lr=0.5)
        >>> before = layer.parameters["bias_ih_l0"].value
        >>> y, h, tape = layer.forward(np.ones((5, 2, 2), np.float32))
        >>> grads = layer.backward(tape, y)
        >>> optimizer.step(grads)
        True
        >>> after = layer.parameters["bias_ih_l0"].value
        >>> np.allclose(after, before - 0.5 * grads["bias_ih_l0"], atol=1e-6)
        True
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.step", Optimizer.step, unknown)
        owner = self._owner
        if type(grads) is Gradients and grads._layout is owner._layout:
            return self._native.step(grads._flat)
        where = f"{type(self).__name__}.step"
        return self._native.step(like(grads, owner._layout, owner._dtype, where, "grads"))

    def state_dict(self) -> dict[str, Any]:
        """Return the state, from which `load_state_dict` continues exactly.

        Returns
        -------
        dict
            "algorithm", "lr", "steps", "tensor_steps" (the number of updates of each parameter, by
            name), "groups", and the moments, each a flat vector [P]:
            "momentum_buffer" (SGD and RMSprop with momentum), "sum" (Adagrad), "exp_avg"
            (Adam, Lion), "exp_avg_sq" (Adam), "max_exp_avg_sq" (with amsgrad), "square_avg"
            (RMSprop), "grad_avg" (if centred).
        """
        core = self._native
        state = {"algorithm": self._algorithm, "lr": core.lr, "steps": core.steps}
        own = {"tensor_steps": self.tensor_steps, "groups": self.groups}
        return {**state, **own, **core.moments()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the state that `state_dict` returned. If it does not fit, nothing changes.

        Parameters
        ----------
        state_dict : mapping
            The entries of `state_dict`, of the same algorithm and sizes. If "tensor_steps" is
            missing, every parameter has had all "steps"; if "groups" is missing, there are none.

        Raises
        ------
        TypeError
            If it is no mapping, or a dtype cannot be converted without loss.
        ValueError
            If an entry is unknown or missing, or has another size or algorithm.

        Examples
        --------
        >>> layer = bn.GRU(2, 3)
        >>> one, other = bn.Adam(layer, lr=0.1), bn.Adam(layer)
        >>> other.load_state_dict(one.state_dict())
        >>> other.lr
        0.1
        """
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            refuse_type(state_dict, where, "state_dict", "a mapping that state_dict() gave")
        moments = list(self._native.moments())
        names = ["algorithm", "lr", "steps", "tensor_steps", "groups", *moments]
        if {"tensor_steps", "groups", *state_dict} != set(names):
            expected, got = ", ".join(names), ", ".join(map(str, state_dict)) or "nothing"
            raise ValueError(message(where, "state_dict", f"exactly the entries {expected}", got))
        if state_dict["algorithm"] != self._algorithm:
            got = repr(state_dict["algorithm"])
            raise ValueError(message(where, "algorithm", repr(self._algorithm), got))
        lr = number(state_dict["lr"], where, "lr")
        if lr < 0:
            raise ValueError(message(where, "lr", "a finite number >= 0", str(lr)))
        self._fits(where, "lr", lr)
        steps = integer(state_dict["steps"], where, "steps", 0, MOST_STEPS)
        own_steps = self._own_steps(where, state_dict.get("tensor_steps", {}))
        groups = self._groups(where, lr, state_dict.get("groups", {}))
        held: list[object] = []
        values = [self._moment(where, name, state_dict[name], held) for name in moments]
        core = self._native
        for index, value in enumerate(values):
            core.set_moment(index, value)
        for name in self._owner._layout:
            core.set_group(name, 1.0, math.nan)
        core.lr = lr
        for name, group in groups.items():
            core.set_group(name, *group)
        core.steps = steps
        for name, own in own_steps.items():
            core.set_tensor_steps(name, own)

    def _fits(self, where: str, argument: str, value: float) -> None:
        if value > float(np.finfo(self._owner.dtype).max):
            expected = f"a number that {self._owner.dtype} holds"
            raise ValueError(message(where, argument, expected, str(value)))

    def _by_name(self, where: str, argument: str, given: object) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            refuse_type(given, where, argument, "a mapping of names of parameters")
        for name in given:
            if name not in self._owner._layout:
                expected = f"names among {', '.join(self._owner._layout)}"
                raise ValueError(message(where, argument, expected, f"{name!r:.80}"))
        return given

    def _own_steps(self, where: str, given: object) -> dict[str, int]:
        return {
            name: integer(steps, where, "tensor_steps", 0, MOST_STEPS)
            for name, steps in self._by_name(where, "tensor_steps", given).items()
        }

    def _groups(self, where: str, lr: float, groups: object) -> dict[str, tuple[float, float]]:
        checked = {}
        for name, group in self._by_name(where, "groups", groups).items():
            if not isinstance(group, Mapping) or set(group) != {"lr_scale", "weight_decay"}:
                refuse_type(group, where, "groups", "mappings of lr_scale and weight_decay")
            checked[name] = _group(where, group["lr_scale"], group["weight_decay"])
            self._fits(where, "lr_scale", checked[name][0] * lr)
            self._fits(where, "weight_decay", checked[name][1])
        return checked

    def _moment(self, where: str, name: str, value: object, held: list[object]) -> Array:
        count, dtype = self._owner.num_parameters, str(self._owner.dtype)
        expected = f"a {dtype} array of shape [{count}]"
        moment = convert(value, {dtype: [(count,)]}, where, name, expected, held=held)
        squares = name in ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum")  # below a root
        good = np.isfinite(moment) & ((moment >= 0) | (not squares))
        if not good.all():
            at = int(np.argmin(good))
            wanted = "finite numbers >= 0" if squares else "finite numbers"
            raise ValueError(message(where, name, wanted, f"{moment[at]} at {at}"))
        return moment

    def __copy__(self) -> Self:
        raise TypeError("optimisers cannot be copied: load the state_dict() into another one")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("optimisers cannot be pickled: pickle the state_dict()")

    def _view(self) -> View:
        config = {"lr": self.lr, **self._config}
        given = [type(self._owner).__name__, *(f"{k}={v!r}" for k, v in config.items())]
        groups = [
            (name, *(str(group[key]) for key in ("lr_scale", "weight_decay")))
            for name, group in self.groups.items()
        ]
        updates = f"{counted(self.steps, 'update')} of {self._owner.num_parameters:,} parameters"
        table = Table(("group", "lr_scale", "weight_decay"), groups)
        return View(constructor_text(type(self).__name__, given), (updates, table))


def _group(where: str, lr_scale: object, weight_decay: object) -> tuple[float, float]:
    """Return the settings of a group after checking them; None becomes NaN for the engine."""
    expected = "a finite number >= 0"
    scale = number(lr_scale, where, "lr_scale", expected)
    if scale < 0:
        raise ValueError(message(where, "lr_scale", expected, str(lr_scale)))
    if weight_decay is None:
        return scale, math.nan
    expected += ", or None"
    decay = number(weight_decay, where, "weight_decay", expected)
    if decay < 0:
        raise ValueError(message(where, "weight_decay", expected, str(weight_decay)))
    return scale, decay
