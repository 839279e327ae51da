"""Random networks for comparisons with the reference, and the measure of the comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bptt_native import reference
from helpers.cells import GATES, LAYERS, RECURRENT

# Tolerances of the engine against the reference; see `error_of`.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
NONLINEARITIES = ["tanh", "relu", "sigmoid", "identity"]
# Nonlinearities with kinks: float32 may be on the other side of a kink.
KINKS = {"relu": [0.0], "leaky_relu": [0.0], "hard_sigmoid": [-3.0, 3.0]}
# Sizes around the widths of vectors and panels, and primes.
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17, 23, 29, 31, 32, 33, 37, 47, 48, 49, 61, 63, 64]
SIZES += [65, 71, 96, 97, 127]


@dataclass
class Net:
    """A random network with data: everything that a forward and a backward pass take."""

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
    options: dict[str, Any] = field(default_factory=dict)  # other options of the layer
    lengths: Any = None
    resets: Any = field(default=None, repr=False)
    truncation: tuple[int, int] | None = None
    omega: float = 0.0
    activity: tuple[float, float] = (0.0, 0.0)
    seed: int = 0
    draw: int | None = None
    inside: bool = False  # also compare all states and gates of the tape
    masked: bool = False  # draw masks of the matrices
    masks: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def D(self) -> int:  # noqa: N802
        """Return the number of directions."""
        return 2 if self.options.get("bidirectional") else 1

    @property
    def P(self) -> int:  # noqa: N802
        """Return the number of elements of h."""
        return self.options.get("proj_size") or self.H

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters in the order of the flat vector."""
        shapes: dict[str, tuple[int, ...]] = {}
        coupled = bool(self.options.get("coupled"))
        rows = (GATES[self.cell] - coupled) * self.H
        for k in range(self.L):
            for suffix in [f"_l{k}", f"_l{k}_reverse"][: self.D]:
                own = {"weight_ih": (rows, self.D * self.P if k else self.I)}
                if self.cell in RECURRENT:
                    own["weight_hh"] = (rows, self.P)
                if self.bias:
                    own["bias_ih"] = (rows,)
                if self.bias and self.cell in RECURRENT:
                    own["bias_hh"] = (rows,)
                if self.options.get("proj_size"):
                    own["weight_hr"] = (self.P, self.H)
                if self.options.get("peephole"):
                    own["weight_peephole"] = ((3 - coupled) * self.H,)
                if self.options.get("layer_norm"):
                    own |= {"weight_ln_ih": (rows,), "weight_ln_hh": (rows,)}
                    if self.cell == "lstm":
                        own |= {"weight_ln_c": (self.H,), "bias_ln_c": (self.H,)}
                if self.options.get("learn_initial_state"):
                    own |= {"h0": (self.P,)} | ({"c0": (self.H,)} if self.cell == "lstm" else {})
                shapes |= {name + suffix: shape for name, shape in own.items()}
        return shapes

    def layer(self, dtype: str) -> Any:
        """Return the native layer with these parameters."""
        options = {"num_layers": self.L, "bias": self.bias, "dtype": dtype, "seed": self.seed}
        if self.cell == "rnn":
            options["nonlinearity"] = self.nonlinearity
        make = LAYERS[self.cell]
        layer = make(self.I, self.H, **options, **self.options)
        layer.load_state_dict({k: v.astype(dtype) for k, v in self.params.items()})
        for name, mask in self.masks.items():
            layer.set_mask(name, mask)
        return layer

    def passage(self) -> dict[str, Any]:
        """Return the arguments of a forward pass other than x and state."""
        given = {"lengths": self.lengths, "resets": self.resets, "draw": self.draw}
        return {name: value for name, value in given.items() if value is not None}

    def way_back(self) -> dict[str, Any]:
        """Return the arguments of a backward pass other than gradients."""
        given: dict[str, Any] = {"clip_step": self.clip_step, "clip_step_norm": self.clip_step_norm}
        if self.truncation is not None:
            given["truncation"] = self.truncation
        return given | ({"omega": self.omega} if self.omega else {})

    def pulls(self) -> dict[str, float]:
        """Return the weights of the regularisers of the activity, as arguments of the engine."""
        pairs = zip(("activity_l1", "activity_l2"), self.activity, strict=True)
        return {name: weight for name, weight in pairs if weight}

    def sections(self, dtype: str) -> list[np.ndarray] | None:
        """Return on which side of its kinks the engine finds each unit, layer by layer."""
        if self.nonlinearity not in KINKS:
            return None
        assert not self.options, "h tells the side only where it is f(a)"
        sections, x = [], cast(self.x, dtype)
        for k in range(self.L):
            suffix = f"_l{k}"
            params = {
                n[: -len(suffix)] + "_l0": v for n, v in self.params.items() if n.endswith(suffix)
            }
            I = params["weight_ih_l0"].shape[1]  # noqa: E741
            state = None if self.state is None else self.state[k : k + 1]
            one = replace(self, I=I, L=1, params=params, state=state)
            x, _ = one.layer(dtype)(x, cast(state, dtype))
            sections.append(
                (x > 0) + 1 * (x >= 1) if self.nonlinearity == "hard_sigmoid" else x > 0
            )
        return sections


def cast(array: Any, dtype: str) -> Any:
    """Convert numbers to a dtype, through tuples and None; leave integers as they are."""
    if array is None:
        return None
    if isinstance(array, tuple):
        return tuple(cast(a, dtype) for a in array)
    return array if array.dtype.kind == "i" else array.astype(dtype)


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Return normally distributed float32 numbers in float64."""
    return (scale * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)


def random_net(
    rng: np.random.Generator, large: bool = False, clipped: bool = False,
    cells: Sequence[str] = ("rnn", "lstm", "gru"),
) -> Net:  # fmt: skip
    """Return a net with weights from U(-g/sqrt(H), g/sqrt(H)), 0.5 <= g <= 2, in float32.

    `large`: H > 128, N > 16 and more than two blocks of time.
    """
    cell = str(rng.choice(cells))
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
    return fill(net, rng)


def fill(net: Net, rng: np.random.Generator) -> Net:
    """Draw parameters and data."""
    bound = rng.uniform(0.5, 2.0) / np.sqrt(net.H)
    for name, shape in net.shapes().items():
        values = rng.uniform(-bound, bound, shape).astype(np.float32).astype(np.float64)
        net.params[name] = values + (1.0 if name.startswith("weight_ln") else 0.0)
    T, N = net.T, net.N
    net.x = rng.integers(0, net.I, (T, N)) if net.tokens else normal(rng, T, N, net.I)
    net.dy = normal(rng, T, N, net.D * net.P)
    walks, sizes = net.L * net.D, [net.P, net.H]

    def state(scale: float) -> Any:
        if net.cell == "lstm":
            return tuple(normal(rng, walks, N, size, scale=scale) for size in sizes)
        return normal(rng, walks, N, net.H, scale=scale)

    net.state = state(0.5) if rng.integers(2) else None
    net.dstate = state(1.0) if rng.integers(2) else None
    if net.masked:
        net.masks = {n: rng.random(p.shape) < 0.6 for n, p in net.params.items() if p.ndim == 2}
        reference.constrain(net.params, net.masks)
    return net


def option_net(
    rng: np.random.Generator, options: dict[str, Any], small: bool = False, divided: bool = False
) -> Net:
    """Return a net with these options: those of a layer, and of a Net.

    `lengths`, `resets` and `masks` that are True are drawn, and `alpha` for each unit. `small` is
    for derivatives element by element. `divided` batches make two or four shards and more than two
    blocks of time each.
    Others are drawn anew until float32 can be held to its tolerance: until no unit is near a kink,
    and rounding the parameters alone moves no result by more than a fifth of it.
    """
    options = dict(options)
    each_alpha = options.get("alpha") is True
    cell = options.pop("cell", None) or str(rng.choice(["rnn", "lstm", "gru"]))
    nonlinearity = options.pop("nonlinearity", "tanh")
    if divided and nonlinearity in KINKS:
        nonlinearity = "softplus"  # one of so many pre-activations is always near a kink
    names = ("lengths", "resets", "masks", "tokens", "bias", "T")
    own = {name: options.pop(name, None) for name in names}
    back = {n: options.pop(n) for n in ("clip_step", "clip_step_norm") if n in options}
    back |= {n: options.pop(n) for n in ("truncation", "omega", "activity") if n in options}
    while True:
        H = 5 if small else int(rng.choice([7, 8, 9, 13, 16, 17, 24]))
        I, N = int(rng.integers(2, 4 if small else 10)), int(rng.integers(2, 4 if small else 6))  # noqa: E741
        T = own["T"] or int(rng.integers(4, 6 if small else 12))
        if divided:
            N = int(rng.choice([16, 19, 33, 64, 70]))
            T = (1200 if N < 64 else 2200) // N + int(rng.integers(6))
        L = 2 if small or "dropout" in options else int(rng.integers(1, 3))
        bias = bool(rng.integers(4)) if own["bias"] is None else own["bias"]
        tokens = not rng.integers(4) if own["tokens"] is None else own["tokens"]
        if each_alpha:
            options["alpha"] = rng.uniform(0.1, 1.0, H).astype(np.float32).astype(np.float64)
        net = Net(cell, nonlinearity, I, H, L, bias, T, N, bool(tokens), options=options, **back)
        net.seed, net.draw, net.inside = int(rng.integers(2**40)), int(rng.integers(2**40)), True
        net.masked = bool(own["masks"])
        fill(net, rng)
        if own["lengths"]:
            net.lengths = rng.integers(1, T + 1, N)
            net.lengths[rng.integers(N)] = T
        if own["resets"]:
            net.resets = rng.random((T, N)) < 0.25
        if small or (distance_from_kinks(net) > 1e-4 and sensitivity(net, rng) <= 2e-6):
            return net


def distance_from_kinks(net: Net) -> float:
    """Return the distance of the nearest pre-activation from a kink, relative to the largest."""
    if net.nonlinearity not in KINKS:
        return np.inf
    _, _, tape = reference_forward(net)
    a = np.concatenate([r.saved.a[r.now] for walk in tape.walks for r in walk])
    nearest = min(float(np.abs(a - kink).min()) for kink in KINKS[net.nonlinearity])
    return nearest / max(1.0, float(np.abs(a).max()))


def change_by_an_ulp(net: Net, rng: np.random.Generator) -> dict[str, float]:
    """Return how much each result moves if every input has noise of one float32 ulp."""

    def noisy(array: Any) -> Any:
        if array is None or isinstance(array, tuple):
            return array and tuple(noisy(a) for a in array)
        return array * (1 + 2.0**-23 * rng.uniform(-1, 1, array.shape))

    given = {"state": noisy(net.state), "dy": noisy(net.dy), "dstate": noisy(net.dstate)}
    given |= {"x": net.x if net.tokens else noisy(net.x)}
    params = {name: noisy(p) for name, p in net.params.items()}
    return compare(run_reference(replace(net, params=params, **given)), run_reference(net))


def sensitivity(net: Net, rng: np.random.Generator) -> float:
    """Return the largest error that three float32 roundings of the parameters alone make.

    One rounding can leave an ill-conditioned net nearly unmoved. The first is drawn from `rng`, the
    others from a generator that the net seeds, so that `rng` moves on as for one.
    """
    own = np.random.Generator(np.random.Philox(net.seed))
    exact, largest = run_reference(net), 0.0
    for draw in (rng, own, own):
        rounded = {
            n: p * (1 + 2.0**-25 * draw.standard_normal(p.shape)) for n, p in net.params.items()
        }
        found = compare(run_reference(replace(net, params=rounded)), exact)
        largest = max(largest, *found.values())
    return largest


def reference_options(net: Net) -> reference.Options:
    """Return the options of the reference that the parameters do not show."""
    named = reference.Options.__dataclass_fields__
    own = {name: value for name, value in net.options.items() if name in named}
    return reference.Options(nonlinearity=net.nonlinearity, **own)


def reference_forward(net: Net, sections: list[np.ndarray] | None = None, **changed: Any) -> Any:
    """Run the forward pass of a training step by the reference; `changed`: other arguments."""
    given = {"params": net.params, "x": net.x, "state": net.state, "training": True} | changed
    return reference.forward(
        net.cell, **given, options=reference_options(net), sections=sections,
        lengths=net.lengths, resets=net.resets, seed=net.seed, draw=net.draw or 0,
    )  # fmt: skip


def run_native(net: Net, dtype: str, **options: Any) -> dict[str, np.ndarray]:
    """Return all results of a forward and a backward pass, by name."""
    layer = net.layer(dtype)
    y, state, tape = layer.forward(cast(net.x, dtype), cast(net.state, dtype), **net.passage())
    if net.truncation is not None and net.truncation[1] > net.truncation[0]:
        options = {"flow": False} | options
    dy, dstate = cast(net.dy, dtype), cast(net.dstate, dtype)
    grads = layer.backward(tape, dy, dstate, **net.way_back(), **net.pulls(), **options)
    return flatten(net, y, state, grads, {k: grads[k] for k in grads}, tape)


def run_reference(net: Net, sections: list[np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Return the same in float64 by the reference."""
    y, state, tape = reference_forward(net, sections)
    grads = reference.backward(
        net.cell, net.params, tape, net.dy, net.dstate, activity=net.activity, **net.way_back()
    )
    return flatten(net, y, state, grads, reference.restrict(grads.params, net.masks), tape)


def flatten(
    net: Net, y: Any, state: Any, grads: Any, params: Any, tape: Any = None
) -> dict[str, np.ndarray]:
    states = state if net.cell == "lstm" else (state,)
    dstates = grads.state if net.cell == "lstm" else (grads.state,)
    out = {"y": y, **dict(zip(["hn", "cn"], states, strict=False))}
    out |= {f"d{name}": params[name] for name in net.params}
    out |= dict(zip(["dh0", "dc0"], dstates, strict=False))
    flows = {"flow": grads.flow} | ({"flow_c": grads.flow_c} if net.cell == "lstm" else {})
    out |= {name: flow for name, flow in flows.items() if flow is not None}
    if not net.tokens:
        out["dx"] = grads.x
    if net.omega:
        out["omega"] = grads.omega
    if any(net.activity):
        out["activity_penalty"] = grads.activity_penalty
    if net.inside:
        seen = tape.states()
        seen = seen if isinstance(seen, tuple) else (seen,)
        out |= dict(zip(["states_h", "states_c"], seen, strict=False))
        out |= {f"gate_{name}": gate for name, gate in tape.gates().items()}
    return {name: np.asarray(value) for name, value in out.items()}


def kind_of(name: str) -> str:
    """Return the kind of a tensor: its name without the layer."""
    return name.rsplit("_l", 1)[0] if name.startswith("d") else name


def error_of(got: np.ndarray, want: np.ndarray, largest_gradient: float) -> float:
    """Return max|got - want| / max(max|want|, floor); infinity if only `want` is all zeros."""
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    floor = (1e-30 if got.dtype == np.float32 else 1e-280) * largest_gradient
    scale = max(float(np.abs(want).max()), floor)
    difference = float(np.abs(got.astype(np.float64) - want).max())
    if scale == 0:
        return 0.0 if difference == 0 else np.inf
    return difference / scale


def compare(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the error of each tensor."""
    assert got.keys() == want.keys()
    largest = max(float(np.abs(v).max()) for k, v in want.items() if k.startswith("d"))
    return {name: error_of(got[name], want[name], largest) for name in want}
