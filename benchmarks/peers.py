"""The training step of each peer, with its best settings, as a function without arguments."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import bptt_native as bn

Step = Callable[[], object]


def ours(item: Any, threads: int | None = None) -> Step:
    """bptt_native through its Python layer: forward, backward, clip."""
    make = {"rnn": bn.RNN, "lstm": bn.LSTM, "gru": bn.GRU}[item.cell]
    layer = make(item.I, item.H, num_layers=item.L, dtype=item.dtype)
    layer.load_state_dict(item.params)
    state = (item.h0, np.zeros_like(item.h0)) if item.cell == "lstm" else item.h0

    def step() -> float:
        if threads is not None:
            bn.set_num_threads(threads)
        _, _, tape = layer.forward(item.x, state)
        grads = layer.backward(tape, item.dy, flow=False)
        return bn.clip_grad_norm_(grads, 1.0)

    return step


def options(item: Any) -> dict[str, Step]:
    """Ours plain, and with what changes how a batch is walked: times are to be compared."""
    rng = np.random.Generator(np.random.Philox(1))
    lengths = rng.integers((item.T + 1) // 2, item.T + 1, item.N)
    ordered = np.sort(lengths)[::-1].copy()
    wide = np.concatenate([item.dy, item.dy], axis=2)
    other = np.dtype("float64" if item.dtype == "float32" else "float32")
    x, dy = item.x.astype(other), item.dy.astype(other)
    return {
        "plain": layer_step(item, item.x, item.dy),
        "lengths": layer_step(item, item.x, item.dy, lengths=lengths),
        "lengths, sorted": layer_step(item, item.x, item.dy, lengths=ordered),
        "bidirectional": layer_step(item, item.x, wide, bidirectional=True),
        str(other): layer_step(item, x, dy, dtype=str(other)),
    }


def layer_step(
    item: Any, x: Any, dy: Any, *, lengths: Any = None, dtype: str | None = None, **options: Any
) -> Step:
    """Forward, backward and clip of a layer of this item with further options."""
    make = {"rnn": bn.RNN, "lstm": bn.LSTM, "gru": bn.GRU}[item.cell]
    layer = make(item.I, item.H, num_layers=item.L, dtype=dtype or item.dtype, **options)

    def step() -> float:
        _, _, tape = layer.forward(x, lengths=lengths)
        return bn.clip_grad_norm_(layer.backward(tape, dy, flow=False), 1.0)

    return step


def torch_eager(item: Any, threads: int) -> Step:
    """torch.nn.RNN, LSTM or GRU; its LSTM runs on oneDNN."""
    import torch

    torch.set_num_threads(threads)
    make = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[item.cell]
    layer = make(item.I, item.H, num_layers=item.L, dtype=getattr(torch, item.dtype))
    layer.load_state_dict({k: torch.from_numpy(v) for k, v in item.params.items()})
    dy, h0 = torch.from_numpy(item.dy), torch.from_numpy(item.h0)

    def step() -> float:
        layer.zero_grad(set_to_none=True)
        x = torch.from_numpy(item.x).requires_grad_()
        h = h0.clone().requires_grad_()
        state = (h, torch.zeros_like(h0).requires_grad_()) if item.cell == "lstm" else h
        y, _ = layer(x, state)
        y.backward(dy)
        return float(torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0))

    return step


def all_of(item: Any, threads: int) -> dict[str, Step]:
    """Ours first, then every peer that is installed."""
    steps = {"bptt_native": ours(item)}
    if importlib.util.find_spec("torch"):
        steps["torch"] = torch_eager(item, threads)
    return steps


def versions() -> str:
    """The peers' versions."""
    if not importlib.util.find_spec("torch"):
        return "INCOMPLETE: torch is not installed"
    import torch

    return f"torch {torch.__version__}"
