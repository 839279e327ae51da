"""A program that type checkers accept: the types of results by cell, and the words of choices."""

from typing import Any

import numpy as np
import numpy.typing as npt

import bptt_native as bn
from bptt_native.callbacks import LambdaCallback
from bptt_native.schedules import EarlyStopping

Array = npt.NDArray[Any]

x = np.zeros((5, 2, 3), np.float32)

gru = bn.GRU(3, 4, dtype=np.float32)
y, h = gru(x)
shapes: tuple[tuple[int, ...], tuple[int, ...]] = (y.shape, h.shape)
y, h, tape = gru.forward(x, h)
gradients = gru.backward(tape, np.ones_like(y), flow="units")
size: int = gru.hidden_size * gru.num_layers
kept: float = gru.zoneout

lstm = bn.LSTM(3, 4, init=bn.Init("orthogonal"))
y, (h, c) = lstm(x, (np.zeros((1, 2, 4), np.float32), np.zeros((1, 2, 4), np.float32)))
_ = c.shape
weights = lstm.parameters["weight_hh_l0"]
weights[...] = 2.0 * weights.value
names: list[str] = [name for name, _ in lstm.named_parameters()]

optimizer = bn.Adam(lstm, lr=1e-3, betas=(0.9, 0.99))
optimizer.lr *= 0.5

model = bn.Model("gru", input_size=3, hidden_size=4, output_size=2, targets="last", loss="mse")
result = model.train_step(x, np.zeros((2, 2), np.float32))
loss: float = result.loss
step, state = model.eval_step(x, np.zeros((2, 2), np.float32))
step, state, outputs = model.eval_step(x, np.zeros((2, 2), np.float32), return_outputs=True)
_ = outputs.shape

run = model.fit(
    x,
    np.zeros((2, 2), np.float32),
    epochs=2,
    early_stopping=EarlyStopping(3),
    callbacks=[LambdaCallback()],
)
history = run.epochs["loss"].mean()
run.model.predict(x)
loss, accuracy = model.evaluate(x, np.zeros((2, 2), np.float32))
model.predict(x, kind="outputs")
stream = model.stream(weights="int8")
again = bn.load("model.safetensors")
again.fit(x, np.zeros((2, 2), np.float32), schedule=bn.schedules.Cosine(10))


class Halve(bn.callbacks.Callback):
    def on_epoch_end(self, run: bn.callbacks.Run) -> bool:
        run.model.lr /= 2
        return run.logs["valid_loss"] < 0.1


def largest(targets: Array, outputs: Array) -> float:
    return float(np.abs(targets - outputs).max())


run = model.fit(
    x, np.zeros((2, 2), np.float32), validation_split=0.5, metrics=["mae", largest], verbose=2,
    weights=[1.0, 2.0], schedule="cosine", callbacks=[
        Halve(), bn.EarlyStopping(3, monitor="r2", mode="max"), lambda row: row.step == 3,
        bn.callbacks.LambdaCallback(on_epoch_end=lambda run: run.stop()),
    ],
)  # fmt: skip
found = model.evaluate(x, np.zeros((2, 2), np.float32), metrics={"worst": largest})
total: float = found["worst"] + found.worst + run.history["valid_mae"].max()
rate: float | None = bn.find_lr(model, x, np.zeros((2, 2), np.float32), steps=20).suggestion
mae: float = bn.metrics.mae(outputs, outputs)
bn.AdamW(lstm, weight_decay=0.1)
spectrum = bn.diagnostics.recurrent_matrices(gru)
