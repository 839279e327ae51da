"""The clipping of whole gradients, and the optimisers, whose step() changes parameters in place."""

from collections.abc import Collection

import numpy as np

from .basics import Array, Params, choose, clamp


# --- clipping whole gradients --------------------------------------------------------------------
def clip_grad_value(grads: Params, value: float) -> Params:
    """Clamp every element to [-value, value]; a NaN stays a NaN."""
    return {name: clamp(g, value) for name, g in grads.items()}


def clip_grad_tensor_norm(grads: Params, max_norm: float) -> Params:
    """Rescale each tensor to a norm of at most max_norm."""
    return {name: clip_grad_norm({name: g}, max_norm)[0][name] for name, g in grads.items()}


def clip_grad_norm(grads: Params, max_norm: float, eps: float = 0.0) -> tuple[Params, float]:
    """Rescale all tensors together (Pascanu et al. 2013, arXiv 1211.5063); return the norm too.

    The norm before clipping is ``norm * 2**power``, where ``norm`` does not overflow. It is
    returned as inf if it exceeds float64.
    """
    largest = max(float(np.abs(g).max(initial=0.0)) for g in grads.values())
    power = int(np.frexp(largest)[1]) if np.isfinite(largest) else 0
    squares = (np.sum(np.square(np.ldexp(g.astype(np.float64), -power))) for g in grads.values())
    norm = float(np.sqrt(sum(squares)))
    with np.errstate(over="ignore"):
        before = float(np.ldexp(norm, power))
    if before <= max_norm:
        return {name: g.copy() for name, g in grads.items()}, before
    clipped = {name: np.ldexp(g.astype(np.float64), -power) for name, g in grads.items()}
    scale = max_norm / (norm + float(np.ldexp(eps, -power)))
    return {name: (g * scale).astype(grads[name].dtype) for name, g in clipped.items()}, before


# --- constraints ---------------------------------------------------------------------------------
def restrict(grads: Params, masks: Params) -> Params:
    """Return gradients that are 0 where the mask of their parameter is."""
    return {name: np.where(masks.get(name, True), g, 0) for name, g in grads.items()}


def constrain(params: Params, masks: Params, nonnegative: Collection[str] = ()) -> None:
    """Zero masked elements and the negative ones of non-negative tensors, in place.

    Call it after every step.
    """
    for name, p in params.items():
        p[...] = np.where(masks.get(name, True), p, 0)
        if name in nonnegative:
            np.maximum(p, 0, out=p)


# --- optimisers: step() changes the parameters that have a gradient, in place --------------------
class Optimizer:
    """Base class of the optimisers: learning rate and weight decay of each tensor.

    The rate is ``lr`` times ``lr_scale[name]``. The weight decay is ``weight_decay``, or
    ``decays[name]``; for tensors of rank 1 (biases, gains, peepholes) it needs ``decay_biases``.
    """

    def __init__(self, lr: float, weight_decay: float = 0.0, decay_biases: bool = False) -> None:
        self.lr, self.weight_decay, self.decay_biases = lr, weight_decay, decay_biases
        self.lr_scale: dict[str, float] = {}
        self.decays: dict[str, float] = {}

    def rate(self, name: str) -> float:
        """Return the learning rate of a tensor."""
        return self.lr * self.lr_scale.get(name, 1.0)

    def decay(self, name: str, p: Array) -> float:
        """Return the weight decay of a tensor."""
        decays = p.ndim > 1 or self.decay_biases
        return self.decays.get(name, self.weight_decay) if decays else 0.0


class SGD(Optimizer):
    """Gradient descent: v = momentum v + g + weight_decay p, p -= lr v; v is 0 at first.

    With ``nesterov`` p -= lr (g + weight_decay p + momentum v) (Sutskever et al. 2013).
    """

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0, *,
                 nesterov: bool = False, decay_biases: bool = False) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, decay_biases)
        self.momentum, self.nesterov = momentum, nesterov
        self.v: Params = {}

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters."""
        for name, grad in grads.items():
            p = params[name]
            g = grad + self.decay(name, p) * p
            v = self.v[name] = self.momentum * self.v.get(name, 0.0) + g
            p -= self.rate(name) * (g + self.momentum * v if self.nesterov else v)


class Adagrad(Optimizer):
    """Adagrad: g += weight_decay p, s += g^2, p -= lr g / (sqrt(s) + eps) (Duchi et al. 2011)."""

    def __init__(self, lr: float, eps: float = 1e-10, weight_decay: float = 0.0, *,
                 decay_biases: bool = False) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, decay_biases)
        self.eps = eps
        self.s: Params = {}

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters."""
        for name, grad in grads.items():
            p = params[name]
            g = grad + self.decay(name, p) * p
            self.s[name] = self.s.get(name, 0.0) + g * g
            p -= self.rate(name) * g / (np.sqrt(self.s[name]) + self.eps)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

    ``amsgrad`` divides by the largest mean of g^2 so far (Reddi et al. 2018).
    """

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, *, amsgrad: bool = False, decay_biases: bool = False,
                 ) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, decay_biases)
        self.betas, self.eps, self.amsgrad = betas, eps, amsgrad
        self.past: dict[str, tuple[int, Array, Array]] = {}  # steps, and the means of g and g^2
        self.largest: Params = {}  # mean of g^2 so far

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters: p *= 1 - lr weight_decay, then p -= lr m' / (sqrt(v') + eps)."""
        (b1, b2), none = self.betas, np.zeros(())
        for name, g in grads.items():
            p, lr = params[name], self.rate(name)
            t, m, v = self.past.get(name, (0, none, none))
            t, m, v = self.past[name] = t + 1, b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            if self.amsgrad:
                v = self.largest[name] = np.maximum(self.largest.get(name, none), v)
            denominator = np.sqrt(v) / np.sqrt(1 - b2**t) + self.eps
            p *= 1 - lr * self.decay(name, p)
            p -= lr / (1 - b1**t) * m / denominator


class Lion(Optimizer):
    """Lion (Chen et al. 2023, arXiv 2302.06675): sign steps, with decoupled weight decay."""

    def __init__(self, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
                 weight_decay: float = 0.0, *, decay_biases: bool = False) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, decay_biases)
        self.betas = betas
        self.m: Params = {}  # a mean of g

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters: p *= 1 - lr weight_decay, then p -= lr sign(b1 m + (1 - b1) g)."""
        b1, b2 = self.betas
        for name, g in grads.items():
            p, lr = params[name], self.rate(name)
            m = self.m.get(name, np.zeros(()))
            p *= 1 - lr * self.decay(name, p)
            p -= lr * np.sign(b1 * m + (1 - b1) * g)
            self.m[name] = b2 * m + (1 - b2) * g


class RMSprop(Optimizer):
    """RMSprop: g += weight_decay p, n = alpha n + (1 - alpha) g^2, m = alpha m + (1 - alpha) g.

    Form "torch": d = momentum d + g / (sqrt(n - m^2) + eps), p -= lr d; m = 0 unless ``centered``.
    Form "graves" (arXiv 1308.0850, eq. 38-41): d = momentum d - lr g / sqrt(n - m^2 + eps),
    p += d; always centered.
    """

    def __init__(self, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0.0, momentum: float = 0.0, *, centered: bool = False,
                 form: str = "torch", decay_biases: bool = False) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, decay_biases)
        self.alpha, self.eps, self.momentum = alpha, eps, momentum
        self.graves = choose("RMSprop: argument 'form'", {"torch": False, "graves": True}, form)
        self.centered = centered or self.graves
        self.past: dict[str, tuple[Array, Array, Array]] = {}  # n, m and d

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters."""
        none = np.zeros(())
        for name, grad in grads.items():
            p, lr, a = params[name], self.rate(name), self.alpha
            g = grad + self.decay(name, p) * p
            n, m, d = self.past.get(name, (none, none, none))
            n = a * n + (1 - a) * g * g
            m = a * m + (1 - a) * g if self.centered else none
            if self.graves:
                d = self.momentum * d - lr * g / np.sqrt(n - m * m + self.eps)
                p += d
            else:
                d = self.momentum * d + g / (np.sqrt(n - m * m) + self.eps)
                p -= lr * d
            self.past[name] = n, m, d
