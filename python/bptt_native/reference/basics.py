"""Types, checks, rounding, the linear map and layer normalisation of the reference."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Params = dict[str, Array]
Limit = float | None
Rounding = Callable[[Array], Array]


def check(where: str, array: Any, shape: tuple[int, ...], kinds: str = "iufc") -> Array:
    """Check an array and return it in float64 or complex128 ("iu": integers, "b": bool)."""
    array, names = np.asarray(array), {"iu": "integers", "b": "bool"}
    if array.shape != shape or array.dtype.kind not in kinds:
        kind = names.get(kinds, "numbers")
        raise ValueError(f"{where}: expected {kind} {shape}, got {array.dtype} {array.shape}")
    return np.asarray(array, None if kinds in names else np.result_type(array, np.float64))


def choose(where: str, options: dict[str, Any], name: str) -> Any:
    """Return the option of a name."""
    if name not in options:
        raise ValueError(f"{where}: expected one of {list(options)}, got {name!r}")
    return options[name]


def clamp(z: Array, c: Limit) -> Array:
    """Limit each element to [-c, c]; a NaN stays a NaN."""
    return z if c is None else np.asarray(np.where(np.abs(z.real) > c, np.copysign(c, z.real), z))


def norm(z: Array, axis: int | None = None) -> Array:
    """Return sqrt(sum z*z), which allows complex steps."""
    return np.asarray(np.sqrt(np.sum(z * z, axis=axis)))


def as_is(z: Array) -> Array:
    """Return numbers without rounding."""
    return z


def bfloat16(z: Array) -> Array:
    """Round to the nearest number of 8 significant bits, ties to even."""
    mantissa, exponent = np.frexp(z)
    return np.asarray(np.ldexp(np.rint(mantissa * 256), exponent - 8))


# --- the linear map; `rounded` rounds the factors before they are multiplied ----------------------
def linear_forward(W: Array, b: Array | float, x: Array, rounded: Rounding = as_is) -> Array:
    """Return W x + b. A token k means the one-hot e_k, and W e_k is column k of W, unrounded."""
    if x.dtype.kind not in "iu":
        return np.asarray(rounded(x) @ rounded(W).T + b)
    if x.min() < 0 or x.max() >= W.shape[1]:
        expected, got = f"0 ... {W.shape[1] - 1}", f"{x.min()} ... {x.max()}"
        raise IndexError(f"linear_forward: argument 'x': expected {expected}, got {got}")
    return np.asarray(W.T[x] + b)


def linear_backward(
    W: Array, x: Array, da: Array, rounded: Rounding = as_is
) -> tuple[Array, Array, Array | None]:
    """Return dL/dW = sum da x^T, dL/db = sum da and dL/dx = W^T da (None for tokens)."""
    rows = da.reshape(-1, da.shape[-1])
    if x.dtype.kind not in "iu":
        dW = rounded(rows).T @ rounded(x.reshape(-1, x.shape[-1]))
        return dW, rows.sum(axis=0), rounded(da) @ rounded(W)
    dW = np.zeros(W.shape, rows.dtype)
    np.add.at(dW.T, x.reshape(-1), rows)
    return dW, rows.sum(axis=0), None


# --- layer normalisation: gain * LN(v) + bias, LN(v) = (v - mean) / sqrt(variance + 1e-5) ---------
def layer_norm_forward(gain: Array, bias: Array | float, v: Array) -> tuple[Array, Any]:
    """Normalise each row by its mean and biased variance (Ba et al. 2016, arXiv 1607.06450)."""
    centred = v - v.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
    return gain * (centred * scale) + bias, (centred * scale, scale)


def layer_norm_backward(gain: Array, saved: Any, da: Array) -> tuple[Array, Array, Array]:
    """Return dL/dgain, dL/dbias and dL/dv, which has no mean and no part along LN(v)."""
    (n, scale), dn = saved, gain * da
    along = np.mean(dn * n, axis=-1, keepdims=True)
    dv = scale * (dn - dn.mean(axis=-1, keepdims=True) - n * along)
    return (da * n).sum(axis=0), da.sum(axis=0), dv
