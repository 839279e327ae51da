"""Worker for JAX in its fastest form on a CPU.

The product with the input is hoisted out of the scan. The backward pass is written by hand, as a
custom VJP that keeps the gates and computes dW_hh as one product over all steps. Everything is
jitted. Weights are stored transposed, [inputs, gates * H].
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from items import (
    CLIP_EPS,
    CLIP_NORM,
    LM_CLIP_NORM,
    LM_LR,
    MINCHAR_CLIP,
    MINCHAR_LR,
    MINCHAR_UPDATES,
    Arrays,
    Item,
    Task,
)
from jax import lax

from workers import ynnpack

sigmoid = jax.nn.sigmoid


def version() -> str:
    isa = os.environ.get("BPTT_BENCH_LIMIT")
    library = Path(jaxlib.__file__).parent / "libjax_common.so"
    if isa and not (library.exists() and ynnpack.limit(library, isa)):
        return f"{jax.__version__} (products not limited)"
    return jax.__version__


def cell_step(cell: str, U: Any, b: Any, state: Any, a: Any) -> tuple[Any, Any]:
    """Return the state and the gates after a step; `a` is W_ih x plus bias."""
    h = state[0]
    if cell == "rnn":
        return (jnp.tanh(a + h @ U),), ()
    if cell == "lstm":
        i, f, g, o = jnp.split(a + h @ U, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)
        c = f * state[1] + i * g
        return (o * jnp.tanh(c), c), (i, f, g, o)
    q_r, q_z, q = jnp.split(h @ U + b, 3, axis=1)
    a_r, a_z, a_n = jnp.split(a, 3, axis=1)
    r, z = sigmoid(a_r + q_r), sigmoid(a_z + q_z)
    n = jnp.tanh(a_n + r * q)
    return ((1 - z) * n + z * h,), (r, z, n, q)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def walk(cell: str, a: Any, U: Any, b: Any, state: Any) -> Any:
    """Return y [T, N, H] of a [T, N, gates * H], U [H, gates * H] and b (used only by the GRU)."""

    def one(carried: Any, row: Any) -> Any:
        carried, _ = cell_step(cell, U, b, carried, row)
        return carried, carried[0]

    return lax.scan(one, state, a)[1]


def walk_forward(cell: str, a: Any, U: Any, b: Any, state: Any) -> Any:
    def one(carried: Any, row: Any) -> Any:
        carried, gates = cell_step(cell, U, b, carried, row)
        return carried, (carried, gates)

    _, (states, gates) = lax.scan(one, state, a)
    return states[0], (U, b, state, states, gates)


def walk_backward(cell: str, kept: Any, dy: Any) -> Any:
    U, b, first, states, gates = kept
    T, N, H = dy.shape
    before = [jnp.concatenate([s0[None], s[:-1]]) for s0, s in zip(first, states, strict=True)]
    UT = U.T

    def rnn(dh: Any, row: Any) -> Any:
        d, h = row
        da = (dh[0] + d) * (1 - h * h)
        return (da @ UT,), (da,)

    def lstm(carried: Any, row: Any) -> Any:
        dh, dc = carried
        d, c, c_before, i, f, g, o = row
        dh, tanh_c = dh + d, jnp.tanh(c)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        da = jnp.concatenate(
            [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g),
             dh * tanh_c * o * (1 - o)], 1,
        )  # fmt: skip
        return (da @ UT, dc * f), (da,)

    def gru(carried: Any, row: Any) -> Any:
        d, h_before, r, z, n, q = row
        dh = carried[0] + d
        dn = dh * (1 - z) * (1 - n * n)
        dr, dz = dn * q * r * (1 - r), dh * (h_before - n) * z * (1 - z)
        dq = dn * r
        return (jnp.concatenate([dr, dz, dq], 1) @ UT + dh * z,), (dr, dz, dn, dq)

    zeros = tuple(jnp.zeros_like(s) for s in first)
    if cell == "rnn":
        dfirst, (da,) = lax.scan(rnn, zeros, (dy, states[0]), reverse=True)
    elif cell == "lstm":
        rows = (dy, states[1], before[1], *gates)
        dfirst, (da,) = lax.scan(lstm, zeros, rows, reverse=True)
    else:
        dfirst, (dr, dz, dn, dq) = lax.scan(gru, zeros, (dy, before[0], *gates), reverse=True)
        da = jnp.concatenate([dr, dz, dn], 2)
    dproduct = jnp.concatenate([dr, dz, dq], 2) if cell == "gru" else da
    dU = before[0].reshape(T * N, H).T @ dproduct.reshape(T * N, -1)
    db = dproduct.sum((0, 1)) if cell == "gru" else jnp.zeros_like(b)
    return da, dU, db, dfirst


walk.defvjp(walk_forward, walk_backward)


def layer(cell: str, W: Any, x: Any, state: Any) -> Any:
    T, N, width = x.shape
    a = x.reshape(T * N, width) @ W["weight_ih"] + W["bias_ih"]
    if cell != "gru":
        a = a + W["bias_hh"]
    return walk(cell, a.reshape(T, N, -1), W["weight_hh"], W["bias_hh"], state)


def stack(cell: str, layers: Any, x: Any, states: Any) -> Any:
    for W, state in zip(layers, states, strict=True):
        x = layer(cell, W, x, state)
    return x


def clipped(grads: Any, limit: float) -> Any:
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads)))
    scale = jnp.minimum(1.0, limit / (norm + CLIP_EPS))
    return jax.tree.map(lambda g: g * scale, grads)


def transposed(weights: Arrays, L: int) -> list[Arrays]:
    """Return the weights by layer, in this module's layout."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return jax.tree.map(
        lambda w: jnp.asarray(np.ascontiguousarray(w.T)),
        [{name: weights[f"{name}_l{k}"] for name in names} for k in range(L)],
    )


def make(item: Item, variants: list[str]) -> Task:
    jax.clear_caches()
    jax.config.update("jax_enable_x64", item.dtype == "float64")
    data = {name: jnp.asarray(value) for name, value in item.inputs.items()}
    kinds = ("h0", "c0") if item.cell == "lstm" else ("h0",)
    states = [tuple(data[kind][k] for kind in kinds) for k in range(item.L)]
    if item.job in ("lm", "minchar"):
        return text(item)
    if item.job == "step":
        return step(item, data["x"], states[0])
    sets = [transposed(item.weights(k), item.L) for k in range(2)]
    if item.job == "infer":
        run = jax.jit(partial(stack, item.cell))

        def infer() -> Any:
            return jax.block_until_ready(run(sets[0], data["x"], states))

        return Task(infer, lambda: [np.asarray(infer())])

    @jax.jit
    def whole(layers: Any, x: Any, states: Any, dy: Any) -> Any:
        y, back = jax.vjp(partial(stack, item.cell), layers, x, states)
        dlayers, dx, dstates = back(dy)
        return y, clipped(dlayers, CLIP_NORM), dx, dstates

    def train() -> Any:
        return jax.block_until_ready(whole(sets[0], data["x"], states, data["dy"]))

    def gradients() -> list[np.ndarray]:
        sets[:] = [transposed(item.weights(k), item.L) for k in range(2)]
        _, grads, dx, dstates = train()
        order = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        flat = [np.asarray(W[name]).T for W in grads for name in order]
        return [*flat, dx, *(d[k] for k in range(len(kinds)) for d in dstates)]

    return Task(train, gradients, sets.reverse if item.job == "train" else None)


def step(item: Item, x: Any, first: Any) -> Task:
    """Return the task of single steps, with one jitted call per step."""
    (W,) = transposed(item.weights(), 1)

    @jax.jit
    def one(W: Any, state: Any, row: Any) -> Any:
        a = row @ W["weight_ih"] + W["bias_ih"]
        if item.cell != "gru":
            a = a + W["bias_hh"]
        return cell_step(item.cell, W["weight_hh"], W["bias_hh"], state, a)[0]

    rows = list(x)

    def run() -> Any:
        state = first
        for row in rows:
            state = one(W, state, row)
        return jax.block_until_ready(state)

    return Task(run, lambda: [np.asarray(run()[0])])


def text(item: Item) -> Task:
    """Return the task of a character model, with one jitted call per update and token lookup."""
    (W,) = transposed(item.weights(), 1)
    W |= {f"out_{name}": jnp.asarray(value.T) for name, value in item.readout().items()}
    tokens = jnp.asarray(item.text())
    zeros = jnp.zeros((item.N, item.H), item.dtype)
    reduce = jnp.mean if item.job == "lm" else jnp.sum

    def loss(W: Any, state: Any) -> Any:
        a = W["weight_ih"][tokens[:-1]] + W["bias_ih"]
        if item.cell != "gru":
            a = a + W["bias_hh"]
        y = walk(item.cell, a, W["weight_hh"], W["bias_hh"], state)
        logs = jax.nn.log_softmax(y @ W["out_weight"] + W["out_bias"])
        return reduce(-jnp.take_along_axis(logs, tokens[1:, :, None], -1)), y[-1]

    differentiated = jax.value_and_grad(loss, has_aux=True)

    @partial(jax.jit, donate_argnums=(0, 1, 2, 3))
    def adam(W: Any, m: Any, v: Any, count: Any) -> Any:
        (value, _), grads = differentiated(W, (zeros, zeros))
        grads, count = clipped(grads, LM_CLIP_NORM), count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        first, second = 1 - 0.9**count, 1 - 0.999**count
        W = jax.tree.map(
            lambda w, m, v: w - LM_LR * (m / first) / (jnp.sqrt(v / second) + 1e-8), W, m, v
        )
        return W, m, v, count, value

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def adagrad(W: Any, memory: Any, h: Any) -> Any:
        (value, h), grads = differentiated(W, (h,))
        grads = jax.tree.map(lambda g: jnp.clip(g, -MINCHAR_CLIP, MINCHAR_CLIP), grads)
        memory = jax.tree.map(lambda s, g: s + g * g, memory, grads)
        W = jax.tree.map(
            lambda w, g, s: w - MINCHAR_LR * g / (jnp.sqrt(s) + 1e-10), W, grads, memory
        )
        return W, memory, h, value

    if item.job == "lm":
        update, count = adam, 1
        kept = [W, jax.tree.map(jnp.zeros_like, W), jax.tree.map(jnp.zeros_like, W),
                jnp.zeros((), item.dtype)]  # fmt: skip
    else:
        update, count = adagrad, MINCHAR_UPDATES
        kept = [W, jax.tree.map(jnp.zeros_like, W), zeros]

    def run() -> float:
        for _ in range(count):
            *kept[:], value = update(*kept)
        return float(value)

    return Task(run, lambda: [np.array([run() for _ in range(3)])])
