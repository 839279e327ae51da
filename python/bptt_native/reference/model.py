"""The model: embedding (optional), recurrent layers, readout, loss."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import losses
from .basics import Array, Limit, Params, check, choose, linear_backward, linear_forward
from .cells import Options
from .optimizers import restrict
from .sequence import State, backward, forward


@dataclass(frozen=True)
class ModelConfig(Options):
    """The options of a model, in addition to `Options`. Its parameters define the sizes."""

    cell: str
    loss: str = "cross_entropy"  # or "mse", "binary_cross_entropy", "huber"
    targets: str = "every"  # targets at "every" step, at the "last" one, or of the "last_row" of y
    reduction: str = "mean"  # or "sum"
    clip_step: Limit = None
    clip_step_norm: Limit = None
    truncation: tuple[int, int] | None = None
    omega: float = 0.0
    class_weights: Any = None  # [O]
    label_smoothing: float = 0.0  # cross_entropy
    ignore_index: int = -100  # cross_entropy
    huber_delta: float = 1.0  # huber
    weight_l1: float = 0.0
    weight_l2: float = 0.0
    activity_l1: float = 0.0
    activity_l2: float = 0.0


@dataclass(frozen=True)
class ModelResult:
    """Loss, outputs, last state, gradients by parameter name, gradient flow, regularisers."""

    loss: Any
    out: Array
    state: State
    gradients: Params
    flow: Array | None
    flow_c: Array | None
    omega: Any = 0.0
    weight_penalty: Any = 0.0
    activity_penalty: Any = 0.0


def model_forward(cfg: ModelConfig, params: Params, x: Array, state: State = None,
                  **passage: Any) -> Any:  # fmt: skip
    """Return out = W_o h + b_o, the last state and the tape.

    The outputs are [T, N, O], or [N, O] with one target per sequence. With targets "last", h is
    that of the last step; with two directions [the forward state after the last step | the reverse
    state after the first step]. With "last_row", both are the states at the last step.

    The parameters are "embedding.weight" [V, E] (optional), "rnn." + those of ``forward``,
    "readout.weight" [O, D*R] and "readout.bias" [O]. An embedding is a linear map of one-hot
    tokens. ``passage`` holds lengths, resets, training, seed, draw and sections, as for `forward`.
    """
    E, x = params.get("embedding.weight"), np.asarray(x)
    if passage.get("lengths") is not None:  # padding is never read
        inside = np.arange(len(x))[:, None] < np.asarray(passage["lengths"])
        x = np.where(inside if x.ndim == 2 else inside[..., None], x, 0)
    inputs = x if E is None else linear_forward(E.T, 0.0, x)
    rnn = {name[4:]: p for name, p in params.items() if name.startswith("rnn.")}
    y, last, tape = forward(cfg.cell, rnn, inputs, state, options=cfg, **passage)
    ends, N, R = tape.lengths - 1, np.arange(y.shape[1]), tape.walks[0][0].state[0].shape[-1]
    feature = np.arange(y.shape[2])
    places: Any = {
        "every": slice(None),
        "last": (np.where(feature < R, ends[:, None], 0), N[:, None], feature),
        "last_row": (ends, N),
    }
    part = choose("ModelConfig: 'targets'", places, cfg.targets)
    W, b = params["readout.weight"], params.get("readout.bias", 0.0)
    out = linear_forward(W, b, y[part], cfg.rounded)
    return out, last, (x, rnn, tape, y, part)


def model_backward(cfg: ModelConfig, params: Params, tape: Any, dout: Array) -> Any:
    """Return the gradients of all parameters by name, and the `Gradients` of the recurrent part."""
    (x, rnn, rnn_tape, y, part), dy = tape, np.zeros(tape[3].shape, np.result_type(tape[3], dout))
    W = params["readout.weight"]
    dW, db, dy[part] = linear_backward(W, y[part], dout, cfg.rounded)
    how: Any = {name: getattr(cfg, name) for name in ("clip_step", "clip_step_norm", "truncation")}
    activity = cfg.activity_l1, cfg.activity_l2
    g = backward(cfg.cell, rnn, rnn_tape, dy, omega=cfg.omega, activity=activity, **how)
    grads = {f"rnn.{name}": d for name, d in g.params.items()}
    grads |= {"readout.weight": dW, "readout.bias": db}
    if "embedding.weight" in params and g.x is not None:
        grads["embedding.weight"] = linear_backward(params["embedding.weight"].T, x, g.x)[0].T
    return {name: grads[name] for name in params}, g


def model_loss(cfg: ModelConfig, out: Array, targets: Array, weights: Array | None = None,
               lengths: Array | None = None) -> Any:  # fmt: skip
    """Return the loss and dL/dout; steps beyond a length are not targets."""
    w = np.ones(out.shape[:-1]) if weights is None else weights
    w = check("model_loss: argument 'weights'", w, out.shape[:-1])
    if cfg.targets == "every" and lengths is not None:
        w = w * (np.arange(len(out))[:, None] < np.asarray(lengths))
    compute, options = choose("ModelConfig: 'loss'", losses.LOSSES, cfg.loss)
    how = {argument: getattr(cfg, name) for argument, name in options.items()}
    how |= {"weights": w, "class_weights": cfg.class_weights}
    return compute(out, targets, cfg.reduction, **how)


def weight_penalty(cfg: ModelConfig, params: Params, frozen: Collection[str] = ()) -> Any:
    """Return weight_l1 sum |w| + weight_l2 sum w^2 of the free matrices, and its gradients."""
    free = {name: w for name, w in params.items() if w.ndim > 1 and name not in frozen}
    signs = {name: np.sign(w.real) for name, w in free.items()}
    value = sum(
        np.sum(cfg.weight_l1 * signs[n] * w + cfg.weight_l2 * w * w) for n, w in free.items()
    )
    return value, {n: cfg.weight_l1 * signs[n] + 2 * cfg.weight_l2 * w for n, w in free.items()}


def model_loss_and_gradients(cfg: ModelConfig, params: Params, x: Array, targets: Array,
                             state: State = None, *, weights: Array | None = None,
                             masks: Params | None = None, frozen: Collection[str] = (),
                             **passage: Any) -> ModelResult:  # fmt: skip
    """Return the loss and the gradients of one window.

    Targets are classes [T, N] or [N], or values with a last axis O. Their ``weights`` are [T, N] or
    [N]. ``passage`` is that of `model_forward`. The gradients are those of loss + omega's
    regulariser + `activity_penalty` + `weight_penalty`; they are 0 for ``frozen`` parameters and
    where a mask is.
    """
    out, last, tape = model_forward(cfg, params, x, state, **passage)
    loss, dout = model_loss(cfg, out, targets, weights, passage.get("lengths"))
    grads, g = model_backward(cfg, params, tape, dout)
    penalty, of_penalty = weight_penalty(cfg, params, frozen)
    grads = {name: d * (name not in frozen) + of_penalty.get(name, 0) for name, d in grads.items()}
    grads = restrict(grads, masks or {})
    return ModelResult(
        loss, out, last, grads, g.flow, g.flow_c, g.omega, penalty, g.activity_penalty
    )
