"""The cells: one step of one layer, with a forward and a backward function for each cell.

``p`` holds the parameters of a layer, without suffixes of names (``weight_hh`` ...), ``prev``
the state before the step, and ``r`` the random numbers of the step. A forward function returns the
new state, the gates by name and the values that the backward function needs. Layer norm,
peepholes, coupled gates (three instead of four) and projection are recognised by the parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .basics import (
    Array,
    Limit,
    Params,
    Rounding,
    as_is,
    bfloat16,
    choose,
    clamp,
    layer_norm_backward,
    layer_norm_forward,
    linear_backward,
    linear_forward,
)

State = tuple[Array, ...]  # the state of one layer at one time: (h,) or (h, c), each [N, units]
Fresh = tuple[State, dict[str, Array], Any]  # the new state, the gates, and the saved values


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a recurrent network that its parameters do not show."""

    nonlinearity: str = "tanh"  # rnn: f
    alpha: float | Array = 1.0  # rnn: leak, dt / tau; [H]: of each unit
    noise: float = 0.0  # rnn, training: standard deviation sigma
    dale: float | None = None  # rnn: fraction of excitatory units
    reset_after: bool = True  # gru: r acts after the product with W_hn
    dropout: float = 0.0  # training: of the input of each layer but the first
    variational: bool = False  # dropout with one mask for all steps
    recurrent_dropout: float = 0.0  # training: of h_{t-1} in its product, one mask for all steps
    zoneout: float = 0.0  # probability that a unit of h keeps its old value
    zoneout_c: float = 0.0  # lstm: the same of c
    compute: str = "float64"  # or "bfloat16": type of the factors of W v, forward and backward

    @property
    def rounded(self) -> Rounding:
        """The rounding of the factors of products."""
        roundings = {"float64": as_is, "bfloat16": bfloat16}
        rounding: Rounding = choose("Options: argument 'compute'", roundings, self.compute)
        return rounding


@dataclass(frozen=True)
class Step:
    """The random numbers of one step of one layer, and the sides of kinks to take."""

    keep: Array | float = 1.0  # factor of h_{t-1} in its product [N, R]: recurrent dropout
    zone: Array | float = 0.0  # weight of the old h [N, H]: zoneout
    zone_c: Array | float = 0.0  # weight of the old c [N, H]
    noise: Array | float = 0.0  # joins a_t [N, H]
    section: Array | None = None  # number of kinks of f below a_t [N, H]; None: computed from a_t


@dataclass(frozen=True)
class Back:
    """The gradients that a backward function returns."""

    x: Array | None  # dL/dx_t; None for tokens
    prev: State  # dL/d(state before)
    params: Params  # dL/d(parameter), summed over the samples
    flow: State  # the total dL/dh_t; lstm: also the total dL/dc~_t, which includes that by h_t
    da: Array  # dL/da_t of the recurrent product


# --- parts of a cell -----------------------------------------------------------------------------
def mix(weight: Array | float, old: Array, new: Array) -> Array:
    """Return weight * old + (1 - weight) * new; for weight 0 new, even if old is infinite."""
    plain = np.ndim(weight) == 0 and weight == 0
    return new if plain else weight * old + (1 - np.asarray(weight)) * new


def unmix(weight: Array | float, d: Array) -> tuple[Array, Array]:
    """Return dL/d(old) and dL/d(new) of `mix`."""
    plain = np.ndim(weight) == 0 and weight == 0
    return (np.zeros_like(d), d) if plain else (weight * d, (1 - np.asarray(weight)) * d)


def affine_forward(p: Params, kind: str, v: Array, o: Options) -> tuple[Array, Any]:
    """Return W v + b, or gain * LN(W v) + b; kind is "ih" or "hh"."""
    W, b, gain = (p.get(f"{name}_{kind}") for name in ("weight", "bias", "weight_ln"))
    bias = 0.0 if b is None else b
    if gain is None:
        return linear_forward(np.asarray(W), bias, v, o.rounded), (v, None)
    product = linear_forward(np.asarray(W), 0.0, v, o.rounded)
    a, normed = layer_norm_forward(gain, bias, product)
    return a, (v, normed)


def affine_backward(p: Params, kind: str, saved: Any, da: Array, o: Options) -> tuple[Any, Params]:
    """Return dL/dv (None for tokens) and the gradients of the parameters."""
    (v, normed), d = saved, Params()
    if normed is not None:
        gain = p[f"weight_ln_{kind}"]
        d[f"weight_ln_{kind}"], d[f"bias_{kind}"], da = layer_norm_backward(gain, normed, da)
    dW, db, dv = linear_backward(p[f"weight_{kind}"], v, da, o.rounded)
    return dv, {f"weight_{kind}": dW, f"bias_{kind}": db} | d


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), computed without overflow."""
    e = np.exp(np.where(a.real > 0, -a, a))
    return np.asarray(np.where(a.real > 0, 1, e) / (1 + e))


def softplus(a: Array) -> Array:
    """Return log(1 + exp(a)), computed without overflow."""
    positive = a.real > 0
    return np.asarray(np.where(positive, a, 0) + np.log1p(np.exp(np.where(positive, -a, a))))


def _absolute(a: Array) -> Array:  # |a|, for a complex step too
    return np.asarray(np.where(a.real < 0, -a, a))


def _positive(a: Array) -> Array:  # True for NaN
    return np.asarray(~(a.real <= 0))


def _negative(a: Array) -> Array:  # min(a, 0)
    return np.asarray(np.where(_positive(a), 0, a))


# Name -> section(a), f(a, k), f'(a, h, k), with k = section(a) the number of kinks of f below a.
NONLINEARITIES: dict[str, tuple[Callable[..., Array], ...]] = {
    "tanh": (_positive, lambda a, k: np.tanh(a), lambda a, h, k: 1 - h * h),
    "relu": (_positive, lambda a, k: np.where(k, a, 0), lambda a, h, k: np.where(k, 1.0, 0.0)),
    "sigmoid": (_positive, lambda a, k: sigmoid(a), lambda a, h, k: h * (1 - h)),
    "identity": (_positive, lambda a, k: a, lambda a, h, k: np.ones(a.shape)),
    "softplus": (_positive, lambda a, k: softplus(a), lambda a, h, k: sigmoid(a)),
    "elu": (
        _positive,
        lambda a, k: np.where(k, a, np.expm1(_negative(a))),
        lambda a, h, k: np.where(k, 1.0, np.exp(_negative(a))),
    ),
    "hard_sigmoid": (
        lambda a: (a.real / 6 + 0.5 > 0) + 1 * (a.real / 6 + 0.5 >= 1),
        lambda a, k: np.where((k == 1) | np.isnan(a), a / 6 + 0.5, np.where(k > 1, 1.0, 0.0)),
        lambda a, h, k: np.where((k == 1) | np.isnan(a), 1 / 6, 0.0),
    ),
    "softsign": (
        _positive,
        lambda a, k: a / (1 + _absolute(a)),
        lambda a, h, k: 1 / (1 + _absolute(a)) ** 2,
    ),
    "leaky_relu": (
        _positive,
        lambda a, k: np.where(k, a, 0.01 * a),
        lambda a, h, k: np.where(k, 1.0, 0.01),
    ),
    "silu": (
        _positive,
        lambda a, k: a * sigmoid(a),
        lambda a, h, k: sigmoid(a) * (1 + a * sigmoid(-a)),
    ),
}


# --- rnn -----------------------------------------------------------------------------------------
class RnnSaved(NamedTuple):
    """The values that ``rnn_forward`` saves: of both products, a_t, f(a_t), kinks below a_t."""

    x: Any
    h: Any
    a: Array
    f: Array
    section: Array


def rnn_forward(p: Params, x: Array, prev: State, o: Options, r: Step) -> Fresh:
    """Compute h_t = (1 - alpha) h_{t-1} + alpha f(a_t) (Elman 1990; Jaeger et al. 2007)."""
    (h_prev,) = prev
    a_x, saved_x = affine_forward(p, "ih", x, o)
    a_h, saved_h = affine_forward(p, "hh", r.keep * h_prev, o)
    section, f, _ = choose("forward: argument 'nonlinearity'", NONLINEARITIES, o.nonlinearity)
    a = a_x + a_h + r.noise
    k = section(a) if r.section is None else r.section
    f_a = f(a, k)
    h = mix(r.zone, h_prev, mix(1 - o.alpha, h_prev, f_a))
    return (h,), {}, RnnSaved(saved_x, saved_h, a, f_a, k)


def rnn_slope(o: Options, saved: RnnSaved) -> Array:
    """Return f'(a_t), from f(a_t) for tanh' = 1 - f^2 and sigmoid' = f (1 - f)."""
    return np.asarray(NONLINEARITIES[o.nonlinearity][2](saved.a, saved.f, saved.section))


def rnn_backward(p: Params, dnow: State, prev: State, saved: RnnSaved, o: Options, r: Step,
                 clip: Limit) -> Back:  # fmt: skip
    """Compute da_t = f'(a_t) dh_t; at a kink f' is that of the lower side, 0 for relu."""
    (dh,) = dnow
    kept, dh_new = unmix(r.zone, dh)
    leaked, df = unmix(1 - o.alpha, dh_new)
    da = clamp(df * rnn_slope(o, saved), clip)
    dx, grads_x = affine_backward(p, "ih", saved.x, da, o)
    dh_prev, grads_h = affine_backward(p, "hh", saved.h, da, o)
    return Back(dx, (kept + leaked + r.keep * dh_prev,), grads_x | grads_h, (dh,), da)


# --- lstm ----------------------------------------------------------------------------------------
def lstm_forward(p: Params, x: Array, prev: State, o: Options, r: Step) -> Fresh:
    """Compute c_t = f c_{t-1} + i g, h_t = o tanh(c_t) (Hochreiter & Schmidhuber 1997, Gers 2000).

    With peepholes i and f read c_{t-1}, and o reads c_t (Gers & Schmidhuber 2000). With coupled
    gates f = 1 - i (Greff et al. 2017). weight_hr projects h_t (Sak et al. 2014).
    """
    h_prev, c_prev = prev
    a_x, saved_x = affine_forward(p, "ih", x, o)
    a_h, saved_h = affine_forward(p, "hh", r.keep * h_prev, o)
    a_i, *a_f, a_g, a_o = np.split(a_x + a_h, (a_x + a_h).shape[-1] // c_prev.shape[-1], axis=-1)
    p_i, p_f, p_o = _peepholes(p, len(a_f))
    i, g = sigmoid(a_i + p_i * c_prev), np.tanh(a_g)
    f = sigmoid(a_f[0] + p_f * c_prev) if a_f else 1 - i
    c = f * c_prev + i * g
    out, v, normed = sigmoid(a_o + p_o * c), c, None
    if "weight_ln_c" in p:
        v, normed = layer_norm_forward(p["weight_ln_c"], p["bias_ln_c"], c)
    tanh_v = np.tanh(v)
    h = out * tanh_v
    if "weight_hr" in p:
        h = linear_forward(p["weight_hr"], 0.0, h, o.rounded)
    now = mix(r.zone, h_prev, h), mix(r.zone_c, c_prev, c)
    gates = {"i": i, **({"f": f} if a_f else {}), "g": g, "o": out}
    return now, gates, (saved_x, saved_h, i, f, g, out, c, tanh_v, normed)


def _peepholes(p: Params, forget: int) -> list[Any]:  # of i, f and o
    if "weight_peephole" not in p:
        return [0.0, 0.0, 0.0]
    i, *f, o = np.split(p["weight_peephole"], 2 + forget)
    return [i, f[0] if f else 0.0, o]


def lstm_backward(p: Params, dnow: State, prev: State, saved: Any, o: Options, r: Step,
                  clip: Limit) -> Back:  # fmt: skip
    """Compute dc_t, which includes the gradient through h_t; c_{t-1} receives f dc_t."""
    (saved_x, saved_h, i, f, g, out, c, tanh_v, normed), (_, c_prev), (dh, dc) = saved, prev, dnow
    coupled, grads = p["weight_hh"].shape[0] == 3 * c.shape[-1], Params()
    p_i, p_f, p_o = _peepholes(p, not coupled)
    kept_h, dm = unmix(r.zone, dh)
    kept_c, dc = unmix(r.zone_c, dc)
    if "weight_hr" in p:
        grads["weight_hr"], _, back = linear_backward(p["weight_hr"], out * tanh_v, dm, o.rounded)
        dm = np.asarray(back)
    da_o = clamp(dm * tanh_v * out * (1 - out), clip)
    dv = dm * out * (1 - tanh_v * tanh_v)
    if normed is not None:
        grads["weight_ln_c"], grads["bias_ln_c"], dv = layer_norm_backward(
            p["weight_ln_c"], normed, dv
        )
    dc = dc + dv + p_o * da_o
    di = dc * (g - c_prev) if coupled else dc * g
    da_i = clamp(di * i * (1 - i), clip)
    da_f = [] if coupled else [clamp(dc * c_prev * f * (1 - f), clip)]
    da_g = clamp(dc * i * (1 - g * g), clip)
    da = np.concatenate([da_i, *da_f, da_g, da_o], axis=-1)
    dx, grads_x = affine_backward(p, "ih", saved_x, da, o)
    dh_prev, grads_h = affine_backward(p, "hh", saved_h, da, o)
    dc_prev = kept_c + dc * f + p_i * da_i
    for d_f in da_f:
        dc_prev = dc_prev + p_f * d_f
    if "weight_peephole" in p:
        seen = [da_i * c_prev, *(d_f * c_prev for d_f in da_f), da_o * c]
        grads["weight_peephole"] = np.concatenate(seen, axis=-1).sum(axis=0)
    prev_d = kept_h + r.keep * dh_prev, dc_prev
    return Back(dx, prev_d, grads | grads_x | grads_h, (dh, dc), da)


# --- gru -----------------------------------------------------------------------------------------
def gru_forward(p: Params, x: Array, prev: State, o: Options, r: Step) -> Fresh:
    """Compute h_t = (1-z) n + z h_{t-1}, n = tanh(a_xn + r a_hn) (arXiv 1406.1078v1).

    Without ``reset_after`` r acts before the product, as in the third version of that article:
    n = tanh(a_xn + W_hn (r h_{t-1}) + b_hn).
    """
    (h_prev,), H = prev, prev[0].shape[-1]
    a_x, saved_x = affine_forward(p, "ih", x, o)
    read = r.keep * h_prev
    both, last = _split(p, H)
    a_h, saved_h = affine_forward(p if o.reset_after else both, "hh", read, o)
    reset, z = (sigmoid(a_x[..., k : k + H] + a_h[..., k : k + H]) for k in (0, H))
    if o.reset_after:
        a_hn, saved_n = a_h[..., 2 * H :], None
        n = np.tanh(a_x[..., 2 * H :] + reset * a_hn)
    else:
        a_hn, saved_n = affine_forward(last, "hh", reset * read, o)
        n = np.tanh(a_x[..., 2 * H :] + a_hn)
    h = mix(r.zone, h_prev, (1 - z) * n + z * h_prev)
    saved = saved_x, saved_h, saved_n, reset, z, n, a_hn, read
    return (h,), {"r": reset, "z": z, "n": n}, saved


def _split(p: Params, H: int) -> tuple[Params, Params]:  # W_hh and b_hh: rows of r and z, of n
    rows = {name: p[name] for name in ("weight_hh", "bias_hh") if name in p}
    return {n: a[: 2 * H] for n, a in rows.items()}, {n: a[2 * H :] for n, a in rows.items()}


def gru_backward(p: Params, dnow: State, prev: State, saved: Any, o: Options, r: Step,
                 clip: Limit) -> Back:  # fmt: skip
    """Compute da_n, whose factor is r towards a_hn and a_hn towards r; h_{t-1} gets z dh_t."""
    (saved_x, saved_h, saved_n, reset, z, n, a_hn, read), (h_prev,), (dh,) = saved, prev, dnow
    kept, dh_new = unmix(r.zone, dh)
    da_n = clamp(dh_new * (1 - z) * (1 - n * n), clip)
    da_z = clamp(dh_new * (h_prev - n) * z * (1 - z), clip)
    both, last = _split(p, h_prev.shape[-1])
    if o.reset_after:
        da_r = clamp(da_n * a_hn * reset * (1 - reset), clip)
        da_h = np.concatenate([da_r, da_z, da_n * reset], axis=-1)
        dread, grads_h = affine_backward(p, "hh", saved_h, da_h, o)
    else:
        dreset_read, grads_n = affine_backward(last, "hh", saved_n, da_n, o)
        da_r = clamp(dreset_read * read * reset * (1 - reset), clip)
        dread, grads_rz = affine_backward(both, "hh", saved_h, np.concatenate([da_r, da_z], -1), o)
        dread = dread + dreset_read * reset
        grads_h = {name: np.concatenate([grads_rz[name], grads_n[name]]) for name in grads_n}
        da_h = np.concatenate([da_r, da_z, da_n], axis=-1)
    dx, grads_x = affine_backward(p, "ih", saved_x, np.concatenate([da_r, da_z, da_n], axis=-1), o)
    dh_prev = kept + dh_new * z + r.keep * dread
    return Back(dx, (dh_prev,), grads_x | grads_h, (dh,), da_h)


# --- mingru --------------------------------------------------------------------------------------
def mingru_forward(p: Params, x: Array, prev: State, o: Options, r: Step) -> Fresh:
    """Compute h_t = (1-z) h_{t-1} + z n, where z and n read x_t alone (arXiv 2410.01201).

    n = W_in x_t + b_in. There is no W_hh, so ``r.keep`` has no effect.
    """
    (h_prev,) = prev
    a, saved = affine_forward(p, "ih", x, o)
    a_z, n = np.split(a, 2, axis=-1)
    z = sigmoid(a_z)
    h = mix(r.zone, h_prev, (1 - z) * h_prev + z * n)
    return (h,), {"z": z, "n": n}, (saved, z, n)


def mingru_backward(p: Params, dnow: State, prev: State, saved: Any, o: Options, r: Step,
                    clip: Limit) -> Back:  # fmt: skip
    """Compute da_z and da_n; h_{t-1} receives (1-z) dh_t, unit by unit."""
    (saved_x, z, n), (h_prev,), (dh,) = saved, prev, dnow
    kept, dh_new = unmix(r.zone, dh)
    da_z = clamp(dh_new * (n - h_prev) * z * (1 - z), clip)
    da = np.concatenate([da_z, clamp(dh_new * z, clip)], axis=-1)
    dx, grads = affine_backward(p, "ih", saved_x, da, o)
    return Back(dx, (kept + dh_new * (1 - z),), grads, (dh,), da)


FORWARD: dict[str, Any] = {
    "rnn": rnn_forward, "lstm": lstm_forward, "gru": gru_forward, "mingru": mingru_forward,
}  # fmt: skip
BACKWARD: dict[str, Any] = {
    "rnn": rnn_backward, "lstm": lstm_backward, "gru": gru_backward, "mingru": mingru_backward,
}  # fmt: skip
