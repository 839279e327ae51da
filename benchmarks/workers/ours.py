"""Worker for bptt_native's Python package.

The variants are `model` (the training step is `Model.train_step` with a readout to one value, its
squared error and SGD, but without dL/dx), `bfloat16` (compute="bfloat16"), `narrow-bfloat16` and
`narrow-int8` (streams with these weights), and those of `--options`: `lengths`, `sorted`,
`bidirectional`, `float64`.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from items import (
    CLIP_EPS,
    CLIP_NORM,
    LM_CLIP_NORM,
    LM_LR,
    MINCHAR_CLIP,
    MINCHAR_LR,
    MINCHAR_UPDATES,
    Item,
    Skip,
    Task,
)

import bptt_native as bn

LAYERS = {"rnn": bn.RNN, "lstm": bn.LSTM, "gru": bn.GRU}


def version() -> str:
    return f"{bn.__version__} ({bn.isa()})"


def make(item: Item, variants: list[str]) -> Task:
    options: dict[str, Any] = {"dtype": item.dtype}
    if "bfloat16" in variants:
        if "compute" not in inspect.signature(bn.Model).parameters:
            raise Skip("this version computes only in the dtype of the parameters")
        options["compute"] = "bfloat16"
    if "float64" in variants:
        options["dtype"] = "float64"
    if item.job == "step":
        return step(item, variants, options)
    if item.job in ("lm", "minchar"):
        return text(item, options)
    if "model" in variants:
        return model(item, options)
    return layer(item, variants, options)


def layer(item: Item, variants: list[str], options: dict[str, Any]) -> Task:
    """Return the task of a layer: a forward pass, or forward, backward and clipping."""
    data = {k: v.astype(options["dtype"]) for k, v in item.inputs.items()}
    if "bidirectional" in variants:
        options["bidirectional"] = True
        data["dy"] = np.concatenate([data["dy"], data["dy"]], axis=2)
        data["h0"], data["c0"] = (np.concatenate([data[k], data[k]]) for k in ("h0", "c0"))
    lengths = None
    if "lengths" in variants or "sorted" in variants:
        rng = np.random.Generator(np.random.Philox(5))
        lengths = rng.integers((item.T + 1) // 2, item.T + 1, item.N)
        if "sorted" in variants:
            lengths = np.sort(lengths)[::-1].copy()
    rnn = LAYERS[item.cell](item.I, item.H, num_layers=item.L, **options)
    weights = [
        {n: v.astype(options["dtype"]) for n, v in item.weights(k).items()} for k in range(2)
    ]
    if "bidirectional" in variants:
        weights = [
            {n: w[n.removesuffix("_reverse")] if n in w else v for n, v in rnn.state_dict().items()}
            for w in weights
        ]
    rnn.load_state_dict(weights[0])
    state = (data["h0"], data["c0"]) if item.cell == "lstm" else data["h0"]

    def train() -> bn.Gradients:
        _, _, tape = rnn.forward(data["x"], state, lengths=lengths)
        grads = rnn.backward(tape, data["dy"], flow=False)
        bn.clip_grad_norm_(grads, CLIP_NORM, CLIP_EPS)
        return grads

    def gradients() -> list[np.ndarray]:
        rnn.load_state_dict(weights[0])
        grads = train()
        states = grads.state if item.cell == "lstm" else (grads.state,)
        return [*(grads[name] for name in weights[0]), grads.x, *states]

    def infer() -> Any:
        return rnn(data["x"], state, lengths=lengths)

    def change() -> None:
        weights.reverse()
        rnn.load_state_dict(weights[0])

    if item.job == "infer":
        return Task(infer, lambda: [infer()[0]])
    return Task(train, gradients, change if item.job == "train" else None)


def model(item: Item, options: dict[str, Any]) -> Task:
    """Return the task of a model's whole training step, which changes the weights itself."""
    if not item.trains:
        raise Skip("a model differs from a layer only in training")
    net = bn.Model(
        item.cell, input_size=item.I, hidden_size=item.H, num_layers=item.L, output_size=1,
        loss="mse", optimizer="sgd", lr=1e-6, clip_norm=CLIP_NORM, **options,
    )  # fmt: skip
    inputs = item.inputs
    state = (inputs["h0"], inputs["c0"]) if item.cell == "lstm" else inputs["h0"]
    targets = np.ascontiguousarray(inputs["dy"][:, :, :1])

    def train() -> float:
        return net.train_step(inputs["x"], targets, state, flow=False).loss

    return Task(train, lambda: [np.array(train())])


def step(item: Item, variants: list[str], options: dict[str, Any]) -> Task:
    """Return the task of a stream's single steps. The stream has a readout to one value."""
    net = bn.Model(
        item.cell, input_size=item.I, hidden_size=item.H, output_size=1, loss="mse", **options
    )
    names = {f"rnn.{name}": value for name, value in item.weights().items()}
    net.load_state_dict({**net.state_dict(), **names})
    narrow = [name.removeprefix("narrow-") for name in variants if name.startswith("narrow-")]
    stream = net.stream(*narrow)
    state = item.inputs["h0"], item.inputs["c0"]
    rows = [np.ascontiguousarray(row[0]) for row in item.inputs["x"]]
    out = np.empty(1, item.dtype)

    def run() -> None:
        for row in rows:
            stream.step(row, out)

    def result() -> list[np.ndarray]:
        stream.state = state if item.cell == "lstm" else state[0]
        run()
        return [stream.state[0] if item.cell == "lstm" else stream.state]

    return Task(run, result)


def text(item: Item, options: dict[str, Any]) -> Task:
    """Return the task of a character model's updates."""
    if item.job == "lm":
        options |= {"optimizer": "adam", "lr": LM_LR, "clip_norm": LM_CLIP_NORM}
    else:
        options |= {"optimizer": "adagrad", "lr": MINCHAR_LR, "clip_value": MINCHAR_CLIP,
                    "reduction": "sum"}  # fmt: skip
    net = bn.Model(item.cell, vocab_size=item.I, hidden_size=item.H, output_size=item.I, **options)
    names = {f"rnn.{name}": value for name, value in item.weights().items()}
    net.load_state_dict({**names, **{f"readout.{k}": v for k, v in item.readout().items()}})
    tokens = item.text()
    x, targets = tokens[:-1].copy(), tokens[1:].copy()
    carried: list[Any] = [None]

    def lm() -> float:
        return net.train_step(x, targets, flow=False).loss

    def minchar() -> float:
        for _ in range(MINCHAR_UPDATES):
            result = net.train_step(x, targets, carried[0], flow=False)
            carried[0] = result.state
        return result.loss

    run = lm if item.job == "lm" else minchar
    return Task(run, lambda: [np.array([run() for _ in range(3)])])
