"""The words of choices, as types for type checkers; the tables of the engine decide at run time."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

Cell: TypeAlias = Literal["rnn", "lstm", "gru", "mingru"]
Nonlinearity: TypeAlias = Literal[
    "tanh",
    "relu",
    "sigmoid",
    "identity",
    "softplus",
    "elu",
    "hard_sigmoid",
    "softsign",
    "leaky_relu",
    "silu",
]
DType: TypeAlias = (
    Literal["float32", "float64"]
    | type[np.float32]
    | type[np.float64]
    | type[float]
    | np.dtype[np.floating[Any]]
)
Compute: TypeAlias = Literal["float32", "float64", "bfloat16"]
InitName: TypeAlias = Literal[
    "default", "orthogonal", "identity", "xavier", "normal", "sparse", "chrono", "keras"
]
LossName: TypeAlias = Literal["cross_entropy", "mse", "binary_cross_entropy", "huber"]
Targets: TypeAlias = Literal["every", "last", "last_row"]
Reduction: TypeAlias = Literal["mean", "sum"]
Algorithm: TypeAlias = Literal["sgd", "adagrad", "adam", "adamw", "rmsprop", "lion"]
RMSpropForm: TypeAlias = Literal["torch", "graves"]
Nonfinite: TypeAlias = Literal["skip", "zero", "raise"]
StreamWeights: TypeAlias = Literal["model", "bfloat16", "int8"]
FlowLevel: TypeAlias = bool | Literal["samples", "units", "weights", "all"]
Direction: TypeAlias = Literal["min", "max"]
ScheduleName: TypeAlias = Literal["constant", "step", "exponential", "cosine", "plateau"]
Verbosity: TypeAlias = bool | Literal[0, 1, 2]
PredictionKind: TypeAlias = Literal["probabilities", "labels", "outputs"]
