"""Worker for eager PyTorch: nn.RNN, nn.LSTM and nn.GRU, and their cells for single steps.

nn.LSTM uses oneDNN. With the variant `bfloat16`, parameters and data are in bfloat16.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from items import (
    CLIP_NORM,
    LM_CLIP_NORM,
    LM_LR,
    MINCHAR_CLIP,
    MINCHAR_LR,
    MINCHAR_UPDATES,
    Item,
    Task,
)
from torch import nn

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def version() -> str:
    return torch.__version__


def tensors(arrays: dict[str, np.ndarray], dtype: torch.dtype) -> dict[str, Any]:
    return {name: torch.from_numpy(array).to(dtype) for name, array in arrays.items()}


def make(item: Item, variants: list[str]) -> Task:
    dtype = torch.bfloat16 if "bfloat16" in variants else getattr(torch, item.dtype)
    if item.job == "step":
        return step(item, dtype)
    if item.job in ("lm", "minchar"):
        return text(item, dtype)
    data = tensors(item.inputs, dtype)
    weights = [tensors(item.weights(k), dtype) for k in range(2)]
    rnn = LAYERS[item.cell](item.I, item.H, num_layers=item.L, dtype=dtype)
    rnn.load_state_dict(weights[0])
    state = (data["h0"], data["c0"]) if item.cell == "lstm" else data["h0"]
    inputs = [data["x"], data["h0"], data["c0"]][: 3 if item.cell == "lstm" else 2]

    def train() -> None:
        rnn.zero_grad(set_to_none=True)
        for tensor in inputs:
            tensor.grad = None
        y, _ = rnn(data["x"], state)
        y.backward(data["dy"])
        nn.utils.clip_grad_norm_(rnn.parameters(), CLIP_NORM)

    def infer() -> torch.Tensor:
        with torch.inference_mode():
            return rnn(data["x"], state)[0]

    def change() -> None:
        weights.reverse()
        rnn.load_state_dict(weights[0])

    def gradients() -> list[np.ndarray]:
        rnn.load_state_dict(weights[0])
        train()
        return [t.grad.float().numpy() if dtype == torch.bfloat16 else t.grad.numpy()
                for t in [*rnn.parameters(), *inputs]]  # fmt: skip

    if item.job == "infer":
        rnn.eval()
        return Task(infer, lambda: [infer().double().numpy()])
    for tensor in inputs:
        tensor.requires_grad_()
    return Task(train, gradients, change if item.job == "train" else None)


def step(item: Item, dtype: torch.dtype) -> Task:
    """Return the task of single steps, with one call of the cell's module per step."""
    cell = CELLS[item.cell](item.I, item.H, dtype=dtype).eval()
    weights = tensors(item.weights(), dtype)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in weights.items()})
    data = tensors(item.inputs, dtype)
    first = (data["h0"][0], data["c0"][0]) if item.cell == "lstm" else data["h0"][0]

    @torch.inference_mode()
    def run() -> Any:
        state = first
        for row in data["x"]:
            state = cell(row, state)
        return state

    def result() -> list[np.ndarray]:
        state = run()
        return [(state[0] if item.cell == "lstm" else state).double().numpy()]

    return Task(run, result)


def text(item: Item, dtype: torch.dtype) -> Task:
    """Return the task of a character model on one-hot rows."""
    rnn = LAYERS[item.cell](item.I, item.H, dtype=dtype)
    rnn.load_state_dict(tensors(item.weights(), dtype))
    readout = nn.Linear(item.H, item.I, dtype=dtype)
    readout.load_state_dict(tensors(item.readout(), dtype))
    params = [*rnn.parameters(), *readout.parameters()]
    tokens = torch.from_numpy(item.text())
    classes = tokens[1:].reshape(-1)
    zeros = torch.zeros(1, item.N, item.H, dtype=dtype)
    carried = [(zeros, zeros) if item.cell == "lstm" else zeros]
    reduction = "mean" if item.job == "lm" else "sum"

    def backward() -> tuple[torch.Tensor, Any]:
        for param in params:
            param.grad = None
        x = nn.functional.one_hot(tokens[:-1], item.I).to(dtype)
        y, state = rnn(x, carried[0])
        logits = readout(y).reshape(-1, item.I)
        loss = nn.functional.cross_entropy(logits, classes, reduction=reduction)
        loss.backward()
        return loss, state

    if item.job == "lm":
        adam = torch.optim.Adam(params, LM_LR, fused=True)

        def run() -> float:
            loss, _ = backward()
            nn.utils.clip_grad_norm_(params, LM_CLIP_NORM)
            adam.step()
            return loss.item()

        return Task(run, lambda: [np.array([run() for _ in range(3)])])

    adagrad = torch.optim.Adagrad(params, MINCHAR_LR, foreach=False)

    def updates() -> float:
        for _ in range(MINCHAR_UPDATES):
            loss, state = backward()
            nn.utils.clip_grad_value_(params, MINCHAR_CLIP)
            adagrad.step()
            carried[0] = state.detach()
        return loss.item()

    return Task(updates, lambda: [np.array([updates() for _ in range(3)])])
