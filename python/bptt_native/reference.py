"""Backpropagation through time in plain NumPy: the specification of bptt_native.

Each forward function stands beside its backward twin, in which ``da`` means dL/da. The articles'
equations, and where they are (with a row per sample, so that W x is ``x @ W.T``)::

    a_t = W_x x_t + W_h h_{t-1} + b           a_x + a_h: weight_ih, bias_ih; weight_hh, bias_hh
    h_t = f(a_t)                              rnn_forward (also lstm_forward, gru_forward)
    y_t = softmax(W_o h_t + b_o)              model_forward, then softmax_cross_entropy
    dL/da_t = f'(a_t) dL/dh_t                 rnn_backward
    dL/dh_{t-1} = W_h^T dL/da_t + dy_{t-1}    backward: the carry, met by the gradient of y_{t-1}
    dL/dW_h = sum_t dL/da_t h_{t-1}^T         linear_backward, summed over t in backward

T steps, N samples, I inputs, H hidden units, L layers, O outputs, G gates (lstm: i f g o; gru:
r z n; else one). Parameters have PyTorch's names and shapes: ``weight_ih_l{k}`` [G*H, in],
``weight_hh_l{k}`` [G*H, H], ``bias_ih_l{k}`` and ``bias_hh_l{k}`` [G*H], or no biases.

All runs in float64, or in complex128 if an input is complex, since f(x + 1e-100j).imag / 1e-100 is
f'(x) to the last digit: hence comparisons look at real parts, and norms are sqrt(sum z*z).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Params = dict[str, Array]
State = Array | tuple[Array, Array] | None  # h [L, N, H]; lstm (h, c); None means zeros
Limit = float | None
Step = tuple[Array, ...]  # the state of one layer at one time: (h,) or (h, c), each [N, H]
Back = tuple[Array, Array, Step, Step]  # da_x, da_h, direct part of dL/d(prev), dL/d(this step)
NAMES = "weight_ih", "weight_hh", "bias_ih", "bias_hh"  # of W_x, W_h, b_x, b_h
Tape = list[list[tuple[Array, Step, Any]]]  # [k][t]: x_t, state before t, what the cell saved


def _check(where: str, array: Any, shape: tuple[int, ...], kinds: str = "iufc") -> Array:
    array, kind = np.asarray(array), "integers" if kinds == "iu" else "numbers"
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(f"{where}: expected {kind} {shape}, got {array.dtype} {array.shape}")
    return np.asarray(array, None if kinds == "iu" else np.result_type(array, np.float64))


def _choose(where: str, options: dict[str, Any], name: str) -> Any:
    if name not in options:
        raise ValueError(f"{where}: expected one of {list(options)}, got {name!r}")
    return options[name]


def _clamp(z: Array, c: Limit) -> Array:  # each element to +-c; a NaN stays a NaN
    return z if c is None else np.asarray(np.where(np.abs(z.real) > c, np.copysign(c, z.real), z))


# --- a linear map --------------------------------------------------------------------------------
def linear_forward(W: Array, b: Array | float, x: Array) -> Array:
    """Give W x + b. A token k stands for the one-hot e_k, and W e_k is column k of W."""
    if x.dtype.kind not in "iu":
        return np.asarray(x @ W.T + b)
    if x.min() < 0 or x.max() >= W.shape[1]:
        expected, got = f"0 ... {W.shape[1] - 1}", f"{x.min()} ... {x.max()}"
        raise IndexError(f"linear_forward: argument 'x': expected {expected}, got {got}")
    return np.asarray(W.T[x] + b)


def linear_backward(W: Array, x: Array, da: Array) -> tuple[Array, Array, Array | None]:
    """Give dL/dW = sum da x^T, dL/db = sum da and dL/dx = W^T da (None for tokens)."""
    rows = da.reshape(-1, da.shape[-1])
    if x.dtype.kind not in "iu":
        return rows.T @ x.reshape(-1, x.shape[-1]), rows.sum(axis=0), da @ W
    dW = np.zeros(W.shape, rows.dtype)
    np.add.at(dW.T, x.reshape(-1), rows)
    return dW, rows.sum(axis=0), None


# --- the cells: one step of one layer ------------------------------------------------------------
def sigmoid(a: Array) -> Array:
    """Give 1 / (1 + exp(-a)), with an exponent that never overflows."""
    e = np.exp(np.where(a.real > 0, -a, a))
    return np.asarray(np.where(a.real > 0, 1, e) / (1 + e))


NONLINEARITIES: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {  # f(a), f'(a) dh
    "tanh": (lambda a, on: np.tanh(a), lambda dh, h, on: dh * (1 - h * h)),
    "relu": (lambda a, on: np.where(on, a, 0), lambda dh, h, on: np.where(on, dh, 0)),
    "sigmoid": (lambda a, on: sigmoid(a), lambda dh, h, on: dh * h * (1 - h)),
    "identity": (lambda a, on: a, lambda dh, h, on: dh),
}


def rnn_forward(a_x: Array, a_h: Array, prev: Step, f: str, on: Array | None) -> tuple[Step, Any]:
    """h_t = f(a_t) (Elman 1990). ``on`` says where ReLU lets through: by default where a_t > 0."""
    a = a_x + a_h
    on = ~(a.real <= 0) if on is None else on  # so that a NaN passes
    h = _choose("forward: argument 'nonlinearity'", NONLINEARITIES, f)[0](a, on)
    return (h,), (f, on, h)


def rnn_backward(dnow: Step, prev: Step, saved: Any, clip: Limit) -> Back:
    """da_t = f'(a_t) dh_t, f' told by h: tanh' = 1 - h^2, sigmoid' = h (1 - h), relu'(0) = 0."""
    (f, on, h), (dh,) = saved, dnow
    da = _clamp(NONLINEARITIES[f][1](dh, h, on), clip)
    return da, da, (np.zeros_like(dh),), (dh,)


def lstm_forward(a_x: Array, a_h: Array, prev: Step) -> tuple[Step, Any]:
    """c_t = f c_{t-1} + i g, h_t = o tanh(c_t) (Hochreiter & Schmidhuber 1997, Gers 2000)."""
    _, c_prev = prev
    a_i, a_f, a_g, a_o = np.split(a_x + a_h, 4, axis=-1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    return (h, c), (i, f, g, o, tanh_c)


def lstm_backward(dnow: Step, prev: Step, saved: Any, clip: Limit) -> Back:
    """dc_t adds what comes through h_t; c_{t-1} receives f dc_t: a factor near 1, no matrix."""
    (i, f, g, o, tanh_c), (_, c_prev), (dh, dc) = saved, prev, dnow
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    da_i = dc * g * i * (1 - i)
    da_f = dc * c_prev * f * (1 - f)
    da_g = dc * i * (1 - g * g)
    da_o = dh * tanh_c * o * (1 - o)
    da = _clamp(np.concatenate([da_i, da_f, da_g, da_o], axis=-1), clip)
    return da, da, (np.zeros_like(dh), dc * f), (dh, dc)


def gru_forward(a_x: Array, a_h: Array, prev: Step) -> tuple[Step, Any]:
    """h_t = (1-z) n + z h_{t-1}, n = tanh(a_xn + r a_hn): r after the product (Cho et al. 2014)."""
    (h_prev,) = prev
    (a_xr, a_xz, a_xn), (a_hr, a_hz, a_hn) = np.split(a_x, 3, axis=-1), np.split(a_h, 3, axis=-1)
    r, z = sigmoid(a_xr + a_hr), sigmoid(a_xz + a_hz)
    n = np.tanh(a_xn + r * a_hn)
    h = (1 - z) * n + z * h_prev
    return (h,), (r, z, n, a_hn)


def gru_backward(dnow: Step, prev: Step, saved: Any, clip: Limit) -> Back:
    """da_n reaches a_hn by the factor r, and r by the factor a_hn; h_{t-1} receives z dh_t."""
    (r, z, n, a_hn), (h_prev,), (dh,) = saved, prev, dnow
    da_n = _clamp(dh * (1 - z) * (1 - n * n), clip)
    da_z = _clamp(dh * (h_prev - n) * z * (1 - z), clip)
    da_r = _clamp(da_n * a_hn * r * (1 - r), clip)
    da_x = np.concatenate([da_r, da_z, da_n], axis=-1)
    da_h = np.concatenate([da_r, da_z, da_n * r], axis=-1)
    return da_x, da_h, (dh * z,), (dh,)


FORWARD: dict[str, Any] = {"rnn": rnn_forward, "lstm": lstm_forward, "gru": gru_forward}
BACKWARD: dict[str, Any] = {"rnn": rnn_backward, "lstm": lstm_backward, "gru": gru_backward}


# --- the sequence: step by step through time, layer upon layer -----------------------------------
@dataclass(frozen=True)
class Gradients:
    """What ``backward`` finds: dL/d(each input of ``forward``), and how it flowed."""

    params: Params
    x: Array | None  # [T, N, I]; None for tokens
    state: State  # of the initial state
    flow: Array  # [L, T]: norm over (N, H) of the total dL/dh_t, from y_t and from step t+1
    flow_c: Array | None  # [L, T]: the same of dL/dc_t, also through h_t (lstm only)


def _layers(params: Params) -> list[list[Array]]:  # of each W_x, W_h, b_x, b_h in float64
    wide = {name: np.asarray(p, np.result_type(p, np.float64)) for name, p in params.items()}
    count = sum(name.startswith("weight_hh_l") for name in params)
    return [[wide.get(f"{name}_l{k}", np.zeros(())) for name in NAMES] for k in range(count)]


def _states(where: str, state: State, cell: str, shape: tuple[int, ...]) -> list[Array]:
    count = 2 if cell == "lstm" else 1
    given: Any = [np.zeros(shape)] * count if state is None else [state] if count == 1 else state
    return [_check(where, s, shape) for s, _ in zip(given, range(count), strict=True)]


def forward(cell: str, params: Params, x: Array, state: State = None, *, nonlinearity: str = "tanh",
            relu_pattern: Sequence[Array] | None = None) -> tuple[Array, State, Tape]:  # fmt: skip
    """Run stacked layers over x: numbers [T, N, I], or tokens [T, N], each a one-hot of I.

    ``relu_pattern``, per layer bool [T, N, H], says where ReLU lets through instead of where a > 0.
    Returns y [T, N, H] of the top layer, the last state and the tape for ``backward``.
    """
    cell_forward = _choose("forward: argument 'cell'", FORWARD, cell)
    layers, y = _layers(params), np.asarray(x)
    features, kinds = ((), "iu") if y.dtype.kind in "iu" else (layers[0][0].shape[1:], "fc")
    y = _check("forward: argument 'x'", y, y.shape[:2] + features, kinds)
    shape = (len(layers), y.shape[1], layers[0][1].shape[1])
    states, tape, last = _states("forward: argument 'state'", state, cell, shape), [], []
    for k, (W_x, W_h, b_x, b_h) in enumerate(layers):
        now, steps, outputs = tuple(s[k] for s in states), [], []
        for t, x_t in enumerate(y):
            a_x, a_h = linear_forward(W_x, b_x, x_t), linear_forward(W_h, b_h, now[0])
            on = None if relu_pattern is None else relu_pattern[k][t]
            prev, options = now, (nonlinearity, on) if cell == "rnn" else ()
            now, saved = cell_forward(a_x, a_h, prev, *options)
            steps.append((x_t, prev, saved))
            outputs.append(now[0])
        y = np.stack(outputs)
        tape.append(steps)
        last.append(now)
    h, *c = (np.stack(s) for s in zip(*last, strict=True))
    return y, (h, c[0]) if c else h, tape


def backward(cell: str, params: Params, tape: Tape, dy: Array, dstate: State = None, *,
             clip_step: Limit = None, clip_step_norm: Limit = None) -> Gradients:  # fmt: skip
    """Run ``forward`` backwards (Werbos 1990), from dL/dy [T, N, H] and dL/d(last state).

    ``clip_step`` clamps each element of each dL/da_t (Graves, arXiv 1308.0850); ``clip_step_norm``
    rescales what a sample carries to step t-1, its dL/dh and dL/dc together, to at most this norm.
    """
    layers, T, (N, H) = _layers(params), len(tape[0]), tape[0][0][1][0].shape
    dx: Any = _check("backward: argument 'dy'", dy, (T, N, H))
    states = _states("backward: argument 'dstate'", dstate, cell, (len(layers), N, H))
    grads, flows, first = Params(), np.zeros((len(states), len(layers), T)), list[Step]()
    for k, (W_x, W_h, _, _) in reversed([*enumerate(layers)]):
        carry, sums, dy, dx = tuple(s[k] for s in states), [np.zeros(())] * 4, dx, []
        for t, (x_t, prev, saved) in reversed([*enumerate(tape[k])]):
            dnow = (dy[t] + carry[0], *carry[1:])  # dL/dh_t comes from y_t and from step t+1
            da_x, da_h, direct, total = BACKWARD[cell](dnow, prev, saved, clip_step)
            dW_x, db_x, dx_t = linear_backward(W_x, x_t, da_x)
            dW_h, db_h, dh_prev = linear_backward(W_h, prev[0], da_h)
            sums = [s + d for s, d in zip(sums, (dW_x, dW_h, db_x, db_h), strict=True)]
            carry = (direct[0] + dh_prev, *direct[1:])
            if clip_step_norm is not None:
                norm = np.sqrt(sum(np.sum(d * d, axis=-1, keepdims=True) for d in carry))
                scale = clip_step_norm / np.where(norm.real > clip_step_norm, norm, clip_step_norm)
                carry = tuple(d * scale for d in carry)
            flows[:, k, t] = [np.sqrt(np.sum(d * d)).real for d in total]
            dx.insert(0, dx_t)
        dx = None if dx[0] is None else np.stack(dx)
        grads |= {f"{name}_l{k}": d for name, d in zip(NAMES, sums, strict=True)}
        first.insert(0, carry)
    dh0, *dc0 = (np.stack(s) for s in zip(*first, strict=True))
    grads = {name: grads[name] for name in params}
    return Gradients(grads, dx, (dh0, dc0[0]) if dc0 else dh0, flows[0], flows[1] if dc0 else None)


# --- losses, each with its gradient --------------------------------------------------------------
def softmax_cross_entropy(logits: Array, targets: Array, reduction: str = "mean") -> Any:
    """Give the loss -log softmax(logits [..., O])[targets [...]] and softmax(logits) - onehot."""
    targets = _check("softmax_cross_entropy: argument 'targets'", targets, logits.shape[:-1], "iu")
    count = _choose("argument 'reduction'", {"mean": targets.size, "sum": 1}, reduction)
    onehot = linear_forward(np.eye(logits.shape[-1]), 0.0, targets)
    shifted = logits - logits.real.max(axis=-1, keepdims=True).astype(np.float64)
    sums = np.exp(shifted).sum(axis=-1, keepdims=True)
    loss = (np.log(sums).sum() - shifted[onehot > 0].sum()) / count
    return loss, (np.exp(shifted) / sums - onehot) / count


def mean_squared_error(out: Array, targets: Array, reduction: str = "mean") -> Any:
    """Give the mean over all elements of (out - target)^2, no factor 1/2, and its gradient."""
    error = out - _check("mean_squared_error: argument 'targets'", targets, out.shape)
    count = _choose("argument 'reduction'", {"mean": out.size, "sum": 1}, reduction)
    return (error * error).sum() / count, 2 * error / count


# --- the model: embedding (optional), recurrent layers, readout, loss ----------------------------
@dataclass(frozen=True)
class ModelConfig:
    """What a model is, apart from its parameters (which carry the sizes)."""

    cell: str
    nonlinearity: str = "tanh"
    loss: str = "cross_entropy"  # or "mse"
    targets: str = "every"  # step, or only the "last"
    reduction: str = "mean"  # or "sum"
    clip_step: Limit = None
    clip_step_norm: Limit = None


@dataclass(frozen=True)
class ModelResult:
    """Loss, outputs, last state, gradients by parameter name, and the gradient flow."""

    loss: Any
    out: Array
    state: State
    gradients: Params
    flow: Array
    flow_c: Array | None


def model_forward(cfg: ModelConfig, params: Params, x: Array, state: State = None) -> Any:
    """Give out = W_o h + b_o [T, N, O] (targets "last": [N, O]), the last state and a tape.

    Names: "embedding.weight" [V, E] (optional), "rnn." + those of ``forward``, "readout.weight"
    [O, H], "readout.bias" [O]. An embedding is a linear map of one-hot tokens.
    """
    E, x = params.get("embedding.weight"), np.asarray(x)
    inputs = x if E is None else linear_forward(E.T, 0.0, x)
    rnn = {name[4:]: p for name, p in params.items() if name.startswith("rnn.")}
    y, last, tape = forward(cfg.cell, rnn, inputs, state, nonlinearity=cfg.nonlinearity)
    part = _choose("ModelConfig: 'targets'", {"every": slice(None), "last": -1}, cfg.targets)
    out = linear_forward(params["readout.weight"], params.get("readout.bias", 0.0), y[part])
    return out, last, (x, rnn, tape, y, part)


def model_backward(cfg: ModelConfig, params: Params, tape: Any, dout: Array) -> Any:
    """Give the gradients of all parameters by name, and the ``Gradients`` of the recurrent part."""
    (x, rnn, rnn_tape, y, part), dy = tape, np.zeros(tape[3].shape, np.result_type(tape[3], dout))
    dW, db, dy[part] = linear_backward(params["readout.weight"], y[part], dout)
    clips: Any = {"clip_step": cfg.clip_step, "clip_step_norm": cfg.clip_step_norm}
    g = backward(cfg.cell, rnn, rnn_tape, dy, **clips)
    grads = {f"rnn.{name}": d for name, d in g.params.items()}
    grads |= {"readout.weight": dW, "readout.bias": db}
    if "embedding.weight" in params and g.x is not None:
        grads["embedding.weight"] = linear_backward(params["embedding.weight"].T, x, g.x)[0].T
    return {name: grads[name] for name in params}, g


def model_loss_and_gradients(cfg: ModelConfig, params: Params, x: Array, targets: Array,
                             state: State = None) -> ModelResult:  # fmt: skip
    """Loss and gradients of one window; targets [T, N] or [N], for mse with a last axis O."""
    losses = {"cross_entropy": softmax_cross_entropy, "mse": mean_squared_error}
    out, last, tape = model_forward(cfg, params, x, state)
    loss, dout = _choose("ModelConfig: 'loss'", losses, cfg.loss)(out, targets, cfg.reduction)
    grads, g = model_backward(cfg, params, tape, dout)
    return ModelResult(loss, out, last, grads, g.flow, g.flow_c)


# --- clipping whole gradients --------------------------------------------------------------------
def clip_grad_value(grads: Params, value: float) -> Params:
    """Clamp every element to +-value; a NaN stays a NaN."""
    return {name: _clamp(g, value) for name, g in grads.items()}


def clip_grad_tensor_norm(grads: Params, max_norm: float) -> Params:
    """Rescale each tensor to norm <= max_norm."""
    return {name: clip_grad_norm({name: g}, max_norm)[0][name] for name, g in grads.items()}


def clip_grad_norm(grads: Params, max_norm: float, eps: float = 0.0) -> tuple[Params, float]:
    """Rescale all together (Pascanu et al. 2013, arXiv 1211.5063); also give the norm before."""
    norm = float(np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in grads.values())))
    scale = 1.0 if norm <= max_norm else max_norm / (norm + eps)
    return {name: g * scale for name, g in grads.items()}, norm


# --- optimisers: step() changes in place the parameters that have a gradient ---------------------
class SGD:
    """v = momentum v + g + weight_decay p (the first v without its past), p -= lr v."""

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.v: Params = {}

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters."""
        for name, g in grads.items():
            p, past = params[name], self.momentum * self.v.get(name, 0.0)
            v = self.v[name] = past + g + self.weight_decay * p
            p -= self.lr * v


class Adagrad:
    """s += g^2, p -= lr g / (sqrt(s) + eps); g += weight_decay p before (Duchi et al. 2011)."""

    def __init__(self, lr: float, eps: float = 1e-10, weight_decay: float = 0.0) -> None:
        self.lr, self.eps, self.weight_decay = lr, eps, weight_decay
        self.s: Params = {}

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters."""
        for name, grad in grads.items():
            g = grad + self.weight_decay * params[name]
            self.s[name] = self.s.get(name, 0.0) + g * g
            params[name] -= self.lr * g / (np.sqrt(self.s[name]) + self.eps)


class Adam:
    """Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0) -> None:  # fmt: skip
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.past: dict[str, tuple[int, Array, Array]] = {}  # steps, and the means of g and g^2

    def step(self, params: Params, grads: Params) -> None:
        """Update the parameters: p *= 1 - lr weight_decay, then p -= lr m' / (sqrt(v') + eps)."""
        (b1, b2), none = self.betas, np.zeros(())
        for name, g in grads.items():
            t, m, v = self.past.get(name, (0, none, none))
            t, m, v = self.past[name] = t + 1, b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            denominator = np.sqrt(v) / np.sqrt(1 - b2**t) + self.eps
            params[name] *= 1 - self.lr * self.weight_decay
            params[name] -= self.lr / (1 - b1**t) * m / denominator


# --- random bits ---------------------------------------------------------------------------------
def philox4x32_10(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """Turn a counter of 4 and a key of 2 words into 4 random uint32 (Salmon et al. 2011)."""
    (c0, c1, c2, c3), (k0, k1), mask = counter, key, 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & mask, (p0 >> 32) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c0, c1, c2, c3
