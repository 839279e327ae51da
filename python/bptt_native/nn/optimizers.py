"""The classes of optimisers: SGD, Adagrad, Adam, AdamW, RMSprop and Lion."""

from __future__ import annotations

from ..arguments.names import guided
from ..arguments.values import choice
from ..options.algorithms import ADAMW_DECAY, own_defaults
from ..options.table import OPTIONS
from .optimizer import Optimizer
from .parameters import Parameterised


@guided
class SGD(Optimizer):
    """Gradient descent with momentum, as ``torch.optim.SGD``.

    g += weight_decay * w; v = momentum * v + g; w -= lr * v. With `nesterov` the update is
    w -= lr * (g + momentum * v).

    Parameters
    ----------
    owner : layer or Model
        Layer or model whose parameters are updated.
    lr : float
        Learning rate, >= 0.
    momentum : float
        Factor of the previous v, in [0, 1).
    weight_decay : float
        Factor of the L2 penalty of the matrices, >= 0.
    nesterov : bool
        Whether to use Nesterov's momentum, which needs `momentum` > 0.
    decay_biases : bool
        Whether weight decay also applies to parameters of rank 1, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    Polyak 1964; Sutskever et al. 2013.

    Examples
    --------
    >>> layer = bn.RNN(2, 3)
    >>> optimizer = bn.SGD(layer, lr=0.1, momentum=0.9, nesterov=True)
    >>> x = np.ones((5, 2, 2), np.float32)
    >>> for _ in range(3):
    ...     y, h, tape = layer.forward(x)
    ...     made = optimizer.step(layer.backward(tape, y))  # of the loss (y ** 2).sum() / 2
    >>> optimizer.steps
    3
    """

    __slots__ = ()
    _algorithm = "sgd"
    _settings = ("momentum", "weight_decay", "nesterov", "decay_biases")

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        decay_biases: bool = False,
    ) -> None:
        self._build(
            owner,
            {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov,
             "decay_biases": decay_biases},
        )  # fmt: skip


@guided
class Adagrad(Optimizer):
    """Adagrad: s += g^2; w -= lr * g / (sqrt(s) + eps).

    Parameters
    ----------
    owner : layer or Model
        Layer or model whose parameters are updated.
    lr : float
        Learning rate, >= 0.
    eps : float
        Number added to the denominator, >= 0.
    weight_decay : float
        Factor of the L2 penalty of the matrices, >= 0.
    decay_biases : bool
        Whether weight decay also applies to parameters of rank 1, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    Duchi, Hazan, Singer 2011.

    Examples
    --------
    >>> optimizer = bn.Adagrad(bn.RNN(2, 3), lr=0.1)
    >>> sorted(optimizer.state_dict())
    ['algorithm', 'groups', 'lr', 'steps', 'sum', 'tensor_steps']
    """

    __slots__ = ()
    _algorithm = "adagrad"
    _settings = ("eps", "weight_decay", "decay_biases")

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-2,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        decay_biases: bool = False,
    ) -> None:
        self._build(
            owner,
            {"lr": lr, "eps": eps, "weight_decay": weight_decay, "decay_biases": decay_biases},
        )


@guided
class Adam(Optimizer):
    """Adam with bias correction; its weight decay is decoupled, as that of `AdamW`.

    Parameters
    ----------
    owner : layer or Model
        Layer or model whose parameters are updated.
    lr : float
        Learning rate, >= 0.
    betas : (float, float)
        Decay rates of the first and second moment, in [0, 1).
    eps : float
        Number added to the denominator, >= 0.
    weight_decay : float
        Decoupled weight decay of the matrices, >= 0: w -= lr * weight_decay * w in each step.
    amsgrad : bool
        Whether to divide by the root of the largest second moment so far (Reddi et al. 2018).
    decay_biases : bool
        Whether weight decay also applies to parameters of rank 1, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101.

    Examples
    --------
    >>> layer = bn.GRU(2, 3)
    >>> optimizer = bn.Adam(layer, lr=0.01)
    >>> y, h, tape = layer.forward(np.ones((5, 2, 2), np.float32))
    >>> optimizer.step(layer.backward(tape, y))
    True
    >>> optimizer.lr = 0.001  # a schedule may set it before each step
    """

    __slots__ = ()
    _algorithm = "adam"
    _settings = ("betas", "eps", "weight_decay", "amsgrad", "decay_biases")

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        decay_biases: bool = False,
    ) -> None:
        self._build(
            owner,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
             "amsgrad": amsgrad, "decay_biases": decay_biases},
        )  # fmt: skip


@guided
class AdamW(Adam):
    """Adam with the default weight decay of ``torch.optim.AdamW``: `Adam` with another default.

    Parameters
    ----------
    owner, lr, betas, eps, weight_decay, amsgrad, decay_biases : optional
        As in `Adam`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    Examples
    --------
    >>> bn.AdamW(bn.GRU(2, 4)).state_dict()["algorithm"]
    'adam'

    References
    ----------
    Loshchilov & Hutter 2019, arXiv:1711.05101.
    """

    __slots__ = ()

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = ADAMW_DECAY,
        amsgrad: bool = False,
        decay_biases: bool = False,
    ) -> None:
        super().__init__(owner, lr, betas, eps, weight_decay, amsgrad, decay_biases)


@guided
class RMSprop(Optimizer):
    """RMSprop, as ``torch.optim.RMSprop`` or in Graves' form.

    n = alpha * n + (1 - alpha) * g^2; m = alpha * m + (1 - alpha) * g. Form "torch":
    d = momentum * d + g / (sqrt(n) + eps); w -= lr * d, with n - m^2 in place of n if `centered`.
    Form "graves": d = momentum * d - lr * g / sqrt(n - m^2 + eps); w += d.

    Parameters
    ----------
    owner : layer or Model
        Layer or model whose parameters are updated.
    lr : float, optional
        Learning rate, >= 0; 1e-2 by default, in Graves' form 1e-4.
    alpha : float, optional
        Decay rate of the averages, in [0, 1); 0.99 by default, in Graves' form 0.95.
    eps : float, optional
        Number added to the denominator, >= 0; 1e-8 by default, in Graves' form 1e-4.
    momentum : float, optional
        Factor of the previous d, in [0, 1); 0 by default, in Graves' form 0.9.
    centered : bool
        Whether to divide by an estimate of the standard deviation. Graves' form always does, and
        refuses this argument.
    form : str
        "torch" or "graves".
    weight_decay : float
        Factor of the L2 penalty of the matrices, >= 0.
    decay_biases : bool
        Whether weight decay also applies to parameters of rank 1, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    Tieleman & Hinton 2012; Graves 2013, arXiv:1308.0850, equations 38 to 41.

    Examples
    --------
    >>> bn.RMSprop(bn.RNN(2, 3)).lr, bn.RMSprop(bn.RNN(2, 3), form="graves").lr
    (0.01, 0.0001)
    """

    __slots__ = ()
    _algorithm = "rmsprop"
    _settings = (
        "alpha", "eps", "momentum", "centered", "form", "weight_decay", "decay_biases"
    )  # fmt: skip

    def __init__(
        self,
        owner: Parameterised,
        lr: float | None = None,
        alpha: float | None = None,
        eps: float | None = None,
        momentum: float | None = None,
        centered: bool = False,
        form: str = "torch",
        weight_decay: float = 0.0,
        decay_biases: bool = False,
    ) -> None:
        choice(form, OPTIONS["rmsprop_form"].choices, "RMSprop", "form")
        given = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum}
        own = own_defaults("rmsprop", form)
        self._build(
            owner,
            {**{name: own[name] if value is None else value for name, value in given.items()},
             "centered": centered, "form": form, "weight_decay": weight_decay,
             "decay_biases": decay_biases},
        )  # fmt: skip


@guided
class Lion(Optimizer):
    """Lion: every step has the same size, and the sign of a mean of the gradients.

    c = beta1 * m + (1 - beta1) * g; w -= lr * (sign(c) + weight_decay * w);
    m = beta2 * m + (1 - beta2) * g, with sign(0) = 0. Lion keeps one number per parameter; Adam
    keeps two.

    Parameters
    ----------
    owner : layer or Model
        Layer or model whose parameters are updated.
    lr : float
        Learning rate, >= 0: the size of every step. Chen et al. recommend a third to a tenth of
        Adam's.
    betas : (float, float)
        Share of the mean m in c, and decay rate of m, both in [0, 1).
    weight_decay : float
        Decoupled weight decay of the matrices, >= 0. With the smaller `lr`, Chen et al. recommend 3
        to 10 times Adam's.
    decay_biases : bool
        Whether weight decay also applies to parameters of rank 1, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    Examples
    --------
    >>> import numpy as np, bptt_native as bn
    >>> layer = bn.GRU(2, 4)
    >>> lion = bn.Lion(layer, lr=1e-3)
    >>> y, state, tape = layer.forward(np.ones((5, 1, 2), "f4"))
    >>> lion.step(layer.backward(tape, y))
    True

    References
    ----------
    Chen et al. 2023, arXiv:2302.06675, algorithm 2.
    """

    __slots__ = ()
    _algorithm = "lion"
    _settings = ("betas", "weight_decay", "decay_biases")

    def __init__(
        self,
        owner: Parameterised,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        decay_biases: bool = False,
    ) -> None:
        self._build(
            owner,
            {"lr": lr, "betas": betas, "weight_decay": weight_decay, "decay_biases": decay_biases},
        )


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "adam": Adam,
    "rmsprop": RMSprop,
    "lion": Lion,
}
