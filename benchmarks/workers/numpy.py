"""Worker for BPTT in NumPy, with products over all steps where possible."""

from __future__ import annotations

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

Saved = list[tuple[np.ndarray, ...]]


def version() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    return f"{np.__version__} ({blas['name']} {blas['version']})"


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def cell_step(
    cell: str, a: np.ndarray, h: np.ndarray, c: np.ndarray, W_hhT: np.ndarray, b_hh: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Return h, c and the values for the backward pass after a step; `a` is W_ih x plus bias."""
    H = h.shape[1]
    if cell == "rnn":
        h = np.tanh(a + h @ W_hhT)
        return h, c, (h,)
    if cell == "lstm":
        a = a + h @ W_hhT
        i_f, g, o = sigmoid(a[:, : 2 * H]), np.tanh(a[:, 2 * H : 3 * H]), sigmoid(a[:, 3 * H :])
        i, f = i_f[:, :H], i_f[:, H:]
        before, c = c, f * c + i * g
        tanh_c = np.tanh(c)
        return o * tanh_c, c, (i, f, g, o, before, tanh_c)
    q = h @ W_hhT + b_hh
    rz = sigmoid(a[:, : 2 * H] + q[:, : 2 * H])
    r, z, q = rz[:, :H], rz[:, H:], q[:, 2 * H :]
    n = np.tanh(a[:, 2 * H :] + r * q)
    return n + z * (h - n), c, (r, z, n, q, h)


def joint_bias(cell: str, W: Arrays, k: int) -> np.ndarray:
    """Return the bias that is added to W_ih x: both biases, if the cell allows it."""
    return W[f"bias_ih_l{k}"] + (0 if cell == "gru" else W[f"bias_hh_l{k}"])


def forward(
    cell: str, W: Arrays, k: int, x: np.ndarray, h: np.ndarray, c: np.ndarray, keep: bool
) -> tuple[np.ndarray, Saved]:
    """Return y [T, N, H] of layer k and the saved values."""
    T, N, H = len(x), x.shape[1], h.shape[1]
    a = x.reshape(T * N, -1) @ W[f"weight_ih_l{k}"].T
    a += joint_bias(cell, W, k)
    a = a.reshape(T, N, -1)
    W_hhT, b_hh = np.ascontiguousarray(W[f"weight_hh_l{k}"].T), W[f"bias_hh_l{k}"]
    y, saved = np.empty((T, N, H), x.dtype), []
    for t in range(T):
        h, c, needed = cell_step(cell, a[t], h, c, W_hhT, b_hh)
        y[t] = h
        if keep:
            saved.append(needed)
    return y, saved


def backward(
    cell: str, W: Arrays, k: int, x: np.ndarray, h0: np.ndarray, y: np.ndarray, saved: Saved,
    dy: np.ndarray,
) -> tuple[Arrays, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return the gradients of layer k's weights, input and initial states."""
    T, N, H = y.shape
    W_ih, W_hh = W[f"weight_ih_l{k}"], W[f"weight_hh_l{k}"]
    da = np.empty((T, N, len(W_ih)), x.dtype)
    dq = np.empty_like(da) if cell == "gru" else da  # gradient of W_hh h, which differs in a GRU
    dh, dc = np.zeros((N, H), x.dtype), np.zeros((N, H), x.dtype)
    for t in range(T - 1, -1, -1):
        dh = dh + dy[t]
        d = da[t]
        if cell == "rnn":
            (h,) = saved[t]
            np.multiply(dh, 1 - h * h, out=d)
            dh = d @ W_hh
        elif cell == "lstm":
            i, f, g, o, before, tanh_c = saved[t]
            dc = dc + dh * o * (1 - tanh_c * tanh_c)
            d[:, :H] = dc * g * i * (1 - i)
            d[:, H : 2 * H] = dc * before * f * (1 - f)
            d[:, 2 * H : 3 * H] = dc * i * (1 - g * g)
            d[:, 3 * H :] = dh * tanh_c * o * (1 - o)
            dc = dc * f
            dh = d @ W_hh
        else:
            r, z, n, q, before = saved[t]
            dn = dh * (1 - z) * (1 - n * n)
            d[:, :H] = dn * q * r * (1 - r)
            d[:, H : 2 * H] = dh * (before - n) * z * (1 - z)
            d[:, 2 * H :] = dn
            dq[t, :, : 2 * H] = d[:, : 2 * H]
            dq[t, :, 2 * H :] = dn * r
            dh = dq[t] @ W_hh + dh * z
    before_all = np.concatenate([h0[None], y[:-1]]).reshape(T * N, H)
    da, dq = da.reshape(T * N, -1), dq.reshape(T * N, -1)
    grads = {
        f"weight_ih_l{k}": da.T @ x.reshape(T * N, -1), f"weight_hh_l{k}": dq.T @ before_all,
        f"bias_ih_l{k}": da.sum(0), f"bias_hh_l{k}": dq.sum(0),
    }  # fmt: skip
    return grads, (da @ W_ih).reshape(x.shape), dh, dc


def clip(grads: Arrays, limit: float) -> None:
    norm = np.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))
    if norm > limit:
        for g in grads.values():
            g *= g.dtype.type(limit / (norm + CLIP_EPS))


def make(item: Item, variants: list[str]) -> Task:
    if item.job == "step":
        return step(item)
    if item.job in ("lm", "minchar"):
        return text(item)
    data, weights = item.inputs, [item.weights(k) for k in range(2)]

    def infer() -> np.ndarray:
        y = data["x"]
        for k in range(item.L):
            y, _ = forward(item.cell, weights[0], k, y, data["h0"][k], data["c0"][k], False)
        return y

    def train() -> tuple[Arrays, np.ndarray, list[np.ndarray], list[np.ndarray]]:
        y, walks = data["x"], []
        for k in range(item.L):
            x = y
            y, saved = forward(item.cell, weights[0], k, x, data["h0"][k], data["c0"][k], True)
            walks.append((x, y, saved))
        grads, d, dh0, dc0 = {}, data["dy"], [], []
        for k in range(item.L - 1, -1, -1):
            more, d, dh, dc = backward(
                item.cell, weights[0], k, walks[k][0], data["h0"][k], *walks[k][1:], d
            )
            grads |= more
            dh0.insert(0, dh)
            dc0.insert(0, dc)
        clip(grads, CLIP_NORM)
        return grads, d, dh0, dc0

    def gradients() -> list[np.ndarray]:
        weights[:] = [item.weights(k) for k in range(2)]
        grads, dx, dh0, dc0 = train()
        return [*(grads[name] for name in weights[0]), dx, *dh0, *(dc0 * (item.cell == "lstm"))]

    if item.job == "infer":
        return Task(infer, lambda: [infer()])
    return Task(train, gradients, weights.reverse if item.job == "train" else None)


def step(item: Item) -> Task:
    """Return the task of single steps, with transposed weights and summed biases prepared."""
    W, data = item.weights(), item.inputs
    W_ihT, W_hhT = (np.ascontiguousarray(W[f"weight_{k}_l0"].T) for k in ("ih", "hh"))
    bias, b_hh = joint_bias(item.cell, W, 0), W["bias_hh_l0"]

    def run() -> np.ndarray:
        h, c = data["h0"][0], data["c0"][0]
        for row in data["x"]:
            h, c, _ = cell_step(item.cell, row @ W_ihT + bias, h, c, W_hhT, b_hh)
        return h

    return Task(run, lambda: [run()])


def text(item: Item) -> Task:
    """Return the task of a character model on one-hot rows, faster in NumPy than scattering."""
    W, tokens = item.weights(), item.text()
    W |= {f"readout.{name}": value for name, value in item.readout().items()}
    T, N, H, V = item.T, item.N, item.H, item.I
    x, classes = np.eye(V, dtype=item.dtype)[tokens[:-1]], tokens[1:].ravel()
    rows = np.arange(T * N)
    zeros = np.zeros((N, H), item.dtype)
    carried, count = [zeros], [0]
    moments = [{name: np.zeros_like(value) for name, value in W.items()} for _ in range(2)]

    def gradients(mean: bool) -> tuple[float, Arrays]:
        h0 = carried[0]
        y, saved = forward(item.cell, W, 0, x, h0, zeros, True)
        out = y.reshape(T * N, H) @ W["readout.weight"].T + W["readout.bias"]
        out -= out.max(1, keepdims=True)
        p = np.exp(out)
        p /= p.sum(1, keepdims=True)
        loss = float(-np.log(p[rows, classes]).sum())
        p[rows, classes] -= 1
        if mean:
            p /= T * N
            loss /= T * N
        dy = (p @ W["readout.weight"]).reshape(T, N, H)
        grads, _, _, _ = backward(item.cell, W, 0, x, h0, y, saved, dy)
        grads["readout.weight"], grads["readout.bias"] = p.T @ y.reshape(T * N, H), p.sum(0)
        carried[0] = y[-1] if item.job == "minchar" else zeros
        return loss, grads

    def lm() -> float:
        loss, grads = gradients(True)
        clip(grads, LM_CLIP_NORM)
        count[0] += 1
        first, second = (1 - beta ** count[0] for beta in (0.9, 0.999))
        for name, g in grads.items():
            m, v = moments[0][name], moments[1][name]
            m += (g - m) * 0.1
            v += (g * g - v) * 0.001
            W[name] -= (LM_LR / first) * m / (np.sqrt(v / second) + 1e-8)
        return loss

    def minchar() -> float:
        for _ in range(MINCHAR_UPDATES):
            loss, grads = gradients(False)
            for name, g in grads.items():
                np.clip(g, -MINCHAR_CLIP, MINCHAR_CLIP, out=g)
                moments[0][name] += g * g
                W[name] -= MINCHAR_LR * g / (np.sqrt(moments[0][name]) + 1e-10)
        return loss

    run = lm if item.job == "lm" else minchar
    return Task(run, lambda: [np.array([run() for _ in range(3)])])
