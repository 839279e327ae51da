"""Optimisers over the parameters of a layer or model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from . import _core
from .arrays import Array, convert, describe, integer, message, number, refuse, refuse_type
from .gradients import Gradients, like
from .options import ALGORITHMS, optimizer_options
from .parameters import Parameterised


class Optimizer:
    """What SGD, Adagrad and Adam have in common. Make one of these instead."""

    __slots__ = ("_config", "_native", "_owner")

    _algorithm = ""
    _settings: tuple[str, ...] = ()
    _native: _core.Optimizer
    _owner: Parameterised
    _config: dict[str, Any]

    def _build(self, owner: Parameterised, config: dict[str, Any]) -> None:
        where = type(self).__name__
        if not isinstance(owner, Parameterised):
            refuse_type(owner, where, "owner", "a layer or model")
        options = optimizer_options(where, algorithm=ALGORITHMS[self._algorithm], **config)
        self._native = _core.Optimizer(where, options, owner._params)
        self._owner = owner
        self._config = {name: config[name] for name in self._settings}

    @classmethod
    def _of_model(cls, owner: Parameterised, core: _core.Model, config: dict[str, Any]) -> Self:
        optimizer = cls.__new__(cls)
        optimizer._native = _core.Optimizer(cls.__name__, core)
        optimizer._owner = owner
        optimizer._config = {name: config[name] for name in cls._settings}
        return optimizer

    @property
    def lr(self) -> float:
        """The learning rate; assign to it to change it."""
        return self._native.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._native.lr = number(value, type(self).__name__, "lr", "a finite number >= 0")

    @property
    def steps(self) -> int:
        """The number of updates made."""
        return self._native.steps

    def step(self, grads: Gradients) -> bool:
        """Update the parameters once.

        Parameters
        ----------
        grads : Gradients
            Of the layer or model that this optimiser is for, or of one like it.

        Returns
        -------
        bool
            True if the update was made; False if the gradient has a value that is not finite:
            then no bit of parameters and moments has changed.

        Raises
        ------
        TypeError, ValueError
            If `grads` are not gradients of parameters like these.
        """
        owner = self._owner
        if type(grads) is Gradients and grads._layout is owner._layout:
            return self._native.step(grads._flat)
        where = f"{type(self).__name__}.step"
        return self._native.step(like(grads, owner._layout, owner._dtype, where, "grads"))

    def state_dict(self) -> dict[str, Any]:
        """Give what has to be kept to go on as if nothing had happened.

        Returns
        -------
        dict
            "algorithm", "lr", "steps", and the moments, each a flat vector [P]:
            "momentum_buffer" (SGD with momentum), "sum" (Adagrad), "exp_avg" and "exp_avg_sq"
            (Adam).
        """
        core = self._native
        state = {"algorithm": self._algorithm, "lr": core.lr, "steps": core.steps}
        return {**state, **core.moments()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave; nothing changes if it does not fit.

        Parameters
        ----------
        state_dict : mapping
            Exactly the entries of `state_dict`, of the same algorithm and sizes.

        Raises
        ------
        TypeError
            If it is no mapping, or a dtype does not fit without loss.
        ValueError
            If an entry is unknown, missing or of another size or algorithm.
        """
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            refuse_type(state_dict, where, "state_dict", "a mapping that state_dict() gave")
        moments = list(self._native.moments())
        names = ["algorithm", "lr", "steps", *moments]
        if set(state_dict) != set(names):
            expected, got = ", ".join(names), ", ".join(map(str, state_dict)) or "nothing"
            raise ValueError(message(where, "state_dict", f"exactly the entries {expected}", got))
        if state_dict["algorithm"] != self._algorithm:
            got = repr(state_dict["algorithm"])
            raise ValueError(message(where, "algorithm", repr(self._algorithm), got))
        lr = number(state_dict["lr"], where, "lr")
        if lr < 0:
            raise ValueError(message(where, "lr", "a finite number >= 0", str(lr)))
        steps = integer(state_dict["steps"], where, "steps", 0)
        values = [self._moment(where, name, state_dict[name]) for name in moments]
        for index, value in enumerate(values):
            self._native.set_moment(index, value)
        self._native.lr = lr
        self._native.steps = steps

    def _moment(self, where: str, name: str, value: object) -> Array:
        count, dtype = self._owner.num_parameters, str(self._owner.dtype)
        expected = f"a {dtype} array of shape [{count}]"
        moment = convert(value, dtype, where, name, expected)
        if moment.shape != (count,):
            refuse(value, where, name, expected, describe(moment))
        squares = name in ("exp_avg_sq", "sum")  # under a root
        good = np.isfinite(moment) & ((moment >= 0) | (not squares))
        if not good.all():
            at = int(np.argmin(good))
            wanted = "finite numbers >= 0" if squares else "finite numbers"
            raise ValueError(message(where, name, wanted, f"{moment[at]} at {at}"))
        return moment

    def __copy__(self) -> Self:
        name = type(self).__name__
        raise TypeError(f"{name}.__copy__: expected state_dict() of it for another one, got a copy")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        name = type(self).__name__
        raise TypeError(f"{name}: expected its state_dict() to be pickled, got the optimiser")

    def __repr__(self) -> str:
        config = "".join(f", {name}={value!r}" for name, value in self._config.items())
        return f"{type(self).__name__}({type(self._owner).__name__}, lr={self.lr!r}{config})"


class SGD(Optimizer):
    """Gradient descent with momentum, as ``torch.optim.SGD``.

    g += weight_decay * w; v = momentum * v + g; w -= lr * v.

    Parameters
    ----------
    owner : layer or Model
        Whose parameters to update.
    lr : float
        Learning rate, >= 0.
    momentum : float
        In [0, 1).
    weight_decay : float
        L2 penalty, >= 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    Polyak 1964; Sutskever et al. 2013.
    """

    __slots__ = ()
    _algorithm = "sgd"
    _settings = ("momentum", "weight_decay")

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        self._build(owner, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})


class Adagrad(Optimizer):
    """Adagrad: s += g^2; w -= lr * g / (sqrt(s) + eps).

    Parameters
    ----------
    owner : layer or Model
        Whose parameters to update.
    lr : float
        Learning rate, >= 0.
    eps : float
        Keeps the quotient finite, >= 0.
    weight_decay : float
        L2 penalty, >= 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    Duchi, Hazan, Singer 2011.
    """

    __slots__ = ()
    _algorithm = "adagrad"
    _settings = ("eps", "weight_decay")

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-2,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        self._build(owner, {"lr": lr, "eps": eps, "weight_decay": weight_decay})


class Adam(Optimizer):
    """Adam with bias correction; its weight decay is decoupled (AdamW).

    Parameters
    ----------
    owner : layer or Model
        Whose parameters to update.
    lr : float
        Learning rate, >= 0.
    betas : (float, float)
        Decay of the first and second moment, in [0, 1).
    eps : float
        Keeps the quotient finite, >= 0.
    weight_decay : float
        w -= lr * weight_decay * w beside the step, >= 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101.
    """

    __slots__ = ()
    _algorithm = "adam"
    _settings = ("betas", "eps", "weight_decay")

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        config = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self._build(owner, config)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adagrad": Adagrad, "adam": Adam}
