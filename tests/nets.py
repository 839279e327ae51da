"""Random networks for comparisons with the reference, and the measure of the comparison."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import bptt_native as bn
from bptt_native import reference

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
NONLINEARITIES = ["tanh", "relu", "sigmoid", "identity"]
# Around the widths of vectors and panels, and primes.
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17, 23, 29, 31, 32, 33, 37, 47, 48, 49, 61, 63, 64]
SIZES += [65, 71, 96, 97, 127]


@dataclass
class Net:
    """One random network with data: everything a forward and a backward pass takes."""

    cell: str
    nonlinearity: str
    I: int  # noqa: E741
    H: int
    L: int
    bias: bool
    T: int
    N: int
    tokens: bool
    clip_step: float | None = None
    clip_step_norm: float | None = None
    params: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    x: Any = field(default=None, repr=False)
    state: Any = field(default=None, repr=False)
    dy: Any = field(default=None, repr=False)
    dstate: Any = field(default=None, repr=False)

    def layer(self, dtype: str) -> Any:
        """The native layer with these parameters."""
        options = {"num_layers": self.L, "bias": self.bias, "dtype": dtype}
        if self.cell == "rnn":
            options["nonlinearity"] = self.nonlinearity
        make = {"rnn": bn.RNN, "lstm": bn.LSTM, "gru": bn.GRU}[self.cell]
        layer = make(self.I, self.H, **options)
        layer.load_state_dict({k: v.astype(dtype) for k, v in self.params.items()})
        return layer

    def relu_pattern(self, dtype: str) -> list[np.ndarray] | None:
        """Which units the engine itself finds active, layer by layer."""
        if self.nonlinearity != "relu":
            return None
        pattern, x = [], cast(self.x, dtype)
        for k in range(self.L):
            suffix = f"_l{k}"
            params = {
                n[: -len(suffix)] + "_l0": v for n, v in self.params.items() if n.endswith(suffix)
            }
            I = params["weight_ih_l0"].shape[1]  # noqa: E741
            state = None if self.state is None else self.state[k : k + 1]
            one = replace(self, I=I, L=1, params=params, state=state)
            x, _ = one.layer(dtype)(x, cast(state, dtype))
            pattern.append(x > 0)
        return pattern


def cast(array: Any, dtype: str) -> Any:
    """Numbers to a dtype, through tuples and None; integers stay."""
    if array is None:
        return None
    if isinstance(array, tuple):
        return tuple(cast(a, dtype) for a in array)
    return array if array.dtype.kind == "i" else array.astype(dtype)


def random_net(rng: np.random.Generator, large: bool = False, clipped: bool = False) -> Net:
    """Weights from U(-g/sqrt(H), g/sqrt(H)), 0.5 <= g <= 2; all numbers are float32 numbers.

    `large`: H > 128, N > 16 and more than two blocks of time.
    """
    cell = str(rng.choice(["rnn", "lstm", "gru"]))
    nonlinearity = str(rng.choice(NONLINEARITIES)) if cell == "rnn" else "tanh"
    if large:
        H, N = int(rng.integers(129, 301)), int(rng.integers(17, 33))
        T, L, I = int(2 * (256 // N) + rng.integers(1, 12)), 1, int(rng.choice(SIZES))  # noqa: E741
    else:
        H, I = int(rng.choice(SIZES)), int(rng.choice(SIZES))  # noqa: E741
        N, L = (
            int(rng.choice([1, 1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 16, 17])),
            int(rng.integers(1, 4)),
        )
        T = int(rng.choice([1, 2, 3, 5, 8, 13, 21, 34]))
        if rng.random() < 0.1:
            T, N = int(rng.integers(100, 201)), int(rng.integers(1, 6))
    net = Net(cell, nonlinearity, I, H, L, bool(rng.integers(2)), T, N, bool(rng.random() < 0.3))
    if clipped:
        net.clip_step = float(10 ** rng.uniform(-3, 0)) if rng.integers(2) else None
        net.clip_step_norm = float(10 ** rng.uniform(-2, 1)) if rng.integers(2) else None

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)

    bound = rng.uniform(0.5, 2.0) / np.sqrt(H)
    for k in range(L):
        shapes = {
            "weight_ih": (GATES[cell] * H, I if k == 0 else H),
            "weight_hh": (GATES[cell] * H, H),
        }
        if net.bias:
            shapes |= {"bias_ih": (GATES[cell] * H,), "bias_hh": (GATES[cell] * H,)}
        for name, shape in shapes.items():
            values = rng.uniform(-bound, bound, shape).astype(np.float32)
            net.params[f"{name}_l{k}"] = values.astype(np.float64)
    net.x = rng.integers(0, I, (T, N)) if net.tokens else normal(T, N, I)
    net.dy = normal(T, N, H)
    pair = (
        (lambda s: (normal(L, N, H, scale=s), normal(L, N, H, scale=s)))
        if cell == "lstm"
        else (lambda s: normal(L, N, H, scale=s))
    )
    net.state = pair(0.5) if rng.integers(2) else None
    net.dstate = pair(1.0) if rng.integers(2) else None
    return net


def run_native(net: Net, dtype: str, **options: Any) -> dict[str, np.ndarray]:
    """All results of a forward and a backward pass, by name."""
    layer = net.layer(dtype)
    y, state, tape = layer.forward(cast(net.x, dtype), cast(net.state, dtype))
    grads = layer.backward(
        tape,
        cast(net.dy, dtype),
        cast(net.dstate, dtype),
        clip_step=net.clip_step,
        clip_step_norm=net.clip_step_norm,
        **options,
    )
    return flatten(net, y, state, grads, {k: grads[k] for k in grads})


def run_reference(net: Net, relu_pattern: list[np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The same in float64 by the reference."""
    y, state, tape = reference.forward(
        net.cell,
        net.params,
        net.x,
        net.state,
        options=reference.Options(nonlinearity=net.nonlinearity),
        sections=relu_pattern,
    )
    grads = reference.backward(
        net.cell, net.params, tape, net.dy, net.dstate,
        clip_step=net.clip_step, clip_step_norm=net.clip_step_norm,
    )  # fmt: skip
    return flatten(net, y, state, grads, grads.params)


def flatten(net: Net, y: Any, state: Any, grads: Any, params: Any) -> dict[str, np.ndarray]:
    states = state if net.cell == "lstm" else (state,)
    dstates = grads.state if net.cell == "lstm" else (grads.state,)
    out = {"y": y, **dict(zip(["hn", "cn"], states, strict=False))}
    out |= {f"d{name}": params[name] for name in net.params}
    out |= dict(zip(["dh0", "dc0"], dstates, strict=False))
    out["flow"] = grads.flow
    if net.cell == "lstm":
        out["flow_c"] = grads.flow_c
    if not net.tokens:
        out["dx"] = grads.x
    return {name: np.asarray(value) for name, value in out.items()}


def kind_of(name: str) -> str:
    """The kind of tensor: its name without the layer."""
    return name.rsplit("_l", 1)[0] if name.startswith("d") else name


def error_of(got: np.ndarray, want: np.ndarray, largest_gradient: float) -> float:
    """Give max|got - want| / max(max|want|, floor); where all of `want` is 0, `got` must be too."""
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    floor = (1e-30 if got.dtype == np.float32 else 1e-280) * largest_gradient
    scale = max(float(np.abs(want).max()), floor)
    difference = float(np.abs(got.astype(np.float64) - want).max())
    if scale == 0:
        return 0.0 if difference == 0 else np.inf
    return difference / scale


def compare(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> dict[str, float]:
    """The error of each tensor."""
    assert got.keys() == want.keys()
    largest = max(float(np.abs(v).max()) for k, v in want.items() if k.startswith("d"))
    return {name: error_of(got[name], want[name], largest) for name in want}
