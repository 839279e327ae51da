"""Items of the benchmarks: shapes, jobs, their data and numbers of operations.

This module needs only NumPy, since the peers' environments import it too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

Arrays = dict[str, np.ndarray]

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
LAYER_SHAPES = {  # T, N, I, H, L
    "tiny": (100, 1, 32, 32, 1),
    "small": (100, 16, 64, 64, 1),
    "neuro": (200, 64, 16, 128, 1),
    "deep": (100, 32, 128, 256, 3),
    "charlm": (100, 50, 128, 512, 1),
    "large": (100, 128, 512, 1024, 1),
    "long": (4096, 4, 32, 128, 1),
}
STEP_SHAPES = {f"H={H}": (200, 1, H, H, 1) for H in (32, 128, 512)}  # 200 steps per run
TEXT_SHAPES = {"lm128": (50, 32, 96, 128, 1), "lm512": (50, 32, 96, 512, 1)}
MINCHAR_SHAPES = {"minchar": (25, 1, 65, 100, 1)}
SHAPES = {**LAYER_SHAPES, **STEP_SHAPES, **TEXT_SHAPES, **MINCHAR_SHAPES}

# train: forward pass, backward pass from dL/dy at every step to weights, input and state, clipping
# by the global norm; the weights change before each run. train-fixed: the weights do not change.
# lm: tokens, readout, cross-entropy, BPTT, clipping, Adam. minchar: Karpathy's min-char-rnn, with
# Adagrad, element-wise clipping and a carried state; 20 updates per run.
JOBS: dict[str, tuple[dict[str, tuple[int, ...]], tuple[str, ...]]] = {  # shapes, cells
    "train": (LAYER_SHAPES, ("rnn", "lstm", "gru")),
    "train-fixed": (LAYER_SHAPES, ("rnn", "lstm", "gru")),
    "infer": (LAYER_SHAPES, ("rnn", "lstm", "gru")),
    "step": (STEP_SHAPES, ("rnn", "lstm", "gru")),
    "lm": (TEXT_SHAPES, ("lstm",)),
    "minchar": (MINCHAR_SHAPES, ("rnn",)),
}
MINCHAR_UPDATES = 20
CLIP_NORM, LM_CLIP_NORM, MINCHAR_CLIP = 1.0, 5.0, 5.0
CLIP_EPS = 1e-6  # added to the norm in the denominator, as in PyTorch
LM_LR, MINCHAR_LR = 1e-3, 1e-3  # small enough for the peers' losses to stay together


class Skip(Exception):  # noqa: N818
    """A peer cannot run an item; the text is the reason."""


@dataclass
class Task:
    """The implementation of an item by a peer.

    `run` is timed. `change` gives the weights other values before each run and is not timed.
    `result` runs with the first weights and returns the results for comparison with other peers.
    """

    run: Callable[[], object]
    result: Callable[[], list[np.ndarray]]
    change: Callable[[], object] | None = None


@dataclass(frozen=True)
class Item:
    """One job of one cell in one shape, with the data for every peer."""

    job: str
    cell: str
    shape: str
    T: int
    N: int
    I: int  # noqa: E741
    H: int
    L: int
    dtype: str

    @classmethod
    def named(cls, job: str, cell: str, shape: str, dtype: str = "float32") -> Item:
        return cls(job, cell, shape, *SHAPES[shape], dtype)

    @classmethod
    def from_words(cls, words: list[str]) -> Item:
        """Return the item of a line of the protocol (see `serve.py`)."""
        return cls(
            *(int(w) if f.type == "int" else w for f, w in zip(fields(cls), words, strict=True))
        )

    def words(self) -> str:
        return " ".join(str(getattr(self, f.name)) for f in fields(self))

    @property
    def gates(self) -> int:
        return GATES[self.cell]

    @property
    def trains(self) -> bool:
        return self.job.startswith("train")

    @property
    def operations(self) -> float:
        """Floating-point operations of the matrix products of one run; none for one-hot inputs."""
        if self.job in ("lm", "minchar"):
            return 6.0 * self.T * self.N * self.H * (self.gates * self.H + self.I)
        widths = self.I + (self.L - 1) * self.H + self.L * self.H
        forward = 2.0 * self.T * self.N * self.gates * self.H * widths
        return forward / self.T if self.job == "step" else forward * (3 if self.trains else 1)

    @property
    def repeats(self) -> int:
        """Number of steps or updates per run; results are times of one of them."""
        return {"step": self.T, "minchar": MINCHAR_UPDATES}.get(self.job, 1)

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(stream))

    @cached_property
    def inputs(self) -> Arrays:
        """Arrays x [T, N, I], dy [T, N, H], h0 and c0 [L, N, H]."""
        rng = self._random(0)
        shapes = {
            "x": (1.0, (self.T, self.N, self.I)), "dy": (0.1, (self.T, self.N, self.H)),
            "h0": (0.1, (self.L, self.N, self.H)), "c0": (0.1, (self.L, self.N, self.H)),
        }  # fmt: skip
        return {
            name: (scale * rng.standard_normal(shape)).astype(self.dtype)
            for name, (scale, shape) in shapes.items()
        }

    def weights(self, which: int = 0) -> Arrays:
        """Return the set 0 or 1 of weights, by PyTorch's names, in the order of our flat vector."""
        rng, bound, params = self._random(1 + which), self.H**-0.5, {}
        for k in range(self.L):
            rows, width = self.gates * self.H, self.H if k else self.I
            for name, shape in {
                "weight_ih": (rows, width), "weight_hh": (rows, self.H),
                "bias_ih": (rows,), "bias_hh": (rows,),
            }.items():  # fmt: skip
                params[f"{name}_l{k}"] = rng.uniform(-bound, bound, shape).astype(self.dtype)
        return params

    def readout(self) -> Arrays:
        """Return weight [V, H] and bias [V] of the character models' readout."""
        rng, bound = self._random(3), self.H**-0.5
        return {
            "weight": rng.uniform(-bound, bound, (self.I, self.H)).astype(self.dtype),
            "bias": rng.uniform(-bound, bound, self.I).astype(self.dtype),
        }

    def text(self) -> np.ndarray:
        """Return tokens [T + 1, N]; inputs are all but the last, targets all but the first."""
        return self._random(4).integers(0, self.I, (self.T + 1, self.N))

    def flat(self) -> np.ndarray:
        """Return all data of a layer as one vector, for the workers in C and C++."""
        parts = [*self.inputs.values(), *self.weights(0).values(), *self.weights(1).values()]
        return np.concatenate([p.ravel() for p in parts])
