"""Diagnostics of activations: saturated units and gates, and Pascanu's gradient ratios."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.arrays import convert
from ..arguments.values import Array, message, number
from ..nn.cells import RNN
from .flow import gradient_at
from .nets import gives_every_step, setting
from .norms import Norms

# f'(a) from y = f(a), computed as in the engine. For relu and hard_sigmoid it is NaN if y is.
SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda y: 1 - y * y,
    "sigmoid": lambda y: y * (1 - y),
    "relu": lambda y: np.where(y > 0, 1.0, 0 * y),
    "identity": np.ones_like,
    "softplus": lambda y: -np.expm1(-y),
    "hard_sigmoid": lambda y: np.where((y > 0) & (y < 1), 1 / 6, 0 * y),
    "leaky_relu": lambda y: np.where(y > 0, 1.0, 0.01),
}
# f'(a) from a, for functions whose y has too few digits left near its limit, as in the engine.
SLOPES_OF_A: dict[str, Callable[[Array], Array]] = {
    "elu": lambda a: np.exp(np.minimum(a, 0)),
    "softsign": lambda a: (1 + np.abs(a)) ** -2.0,
}
LEAST = 1e-20  # the regulariser omits ratios with |dL/da|^2 below this


@dataclass(frozen=True)
class Saturation:
    """Shares of activations in the range where their derivative is small.

    The keys are "h" for an RNN; "i", "f", "g", "o" (coupled: "i", "g", "o") and "c" (tanh c_t) for
    an LSTM; "r", "z", "n" for a GRU. The first axis is the walk l*D + d.

    Attributes
    ----------
    share : dict of str to float64 [L*D]
        Share of saturated values over steps, samples and units.
    mean : dict of str to float64 [L*D]
        Mean of the values.
    stuck : dict of str to float64 [L*D]
        Share of the units that are saturated at every step of every sample (ReLU: dead units).
    """

    share: dict[str, Norms]
    mean: dict[str, Norms]
    stuck: dict[str, Norms]

    def explain(self) -> str:
        """Return a line of text for each walk."""
        lines = []
        for k in range(len(next(iter(self.share.values())))):
            parts = [
                f"{name} {self.share[name][k]:.0%} (mean {self.mean[name][k]:.2g}"
                + (
                    f", {self.stuck[name][k]:.0%} of the units always)"
                    if self.stuck[name][k]
                    else ")"
                )
                for name in self.share
            ]
            lines.append(f"Saturated in layer {k}: {', '.join(parts)}.")
        return "\n".join(lines)


def saturation(
    net: Any, x: npt.ArrayLike, state: Any = None, *, lengths: npt.ArrayLike | None = None,
    tanh: float = 0.95, low: float = 0.05, high: float = 0.95,
) -> Saturation:  # fmt: skip
    """Measure the share of activations and gates that are saturated.

    Parameters
    ----------
    net : RNN, LSTM, GRU or Model
        The net. It runs as in training, with dropout and noise.
    x, state, lengths
        The inputs of the net. Padding does not count.
    tanh : float
        tanh and softsign are saturated if |y| is above this.
    low, high : float
        sigmoid and hard_sigmoid are saturated if y is below `low` or above `high`; softplus and elu
        if the derivative is below `low`. ReLU and leaky ReLU are saturated if y <= 0, identity
        never is.

    Returns
    -------
    Saturation
        For an RNN with a leak, noise or zoneout, the saturation of its states.

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument does not fit.
    """
    where = "saturation"
    tanh, low = number(tanh, where, "tanh"), number(low, where, "low")
    high = number(high, where, "high")
    _, _, tape = net.forward(x, state, lengths=lengths)
    cell = str(setting(net, "cell")).lower()
    kinds: dict[str, tuple[str, Array]]
    if cell == "rnn":
        kinds = {"h": (str(setting(net, "nonlinearity")), np.asarray(tape.states()))}
    else:
        kinds = {
            name: ("tanh" if name in "gn" else "sigmoid", values)
            for name, values in tape.gates().items()
        }
    if cell == "lstm":
        kinds["c"] = ("tanh", np.tanh(tape.states()[1]))
    ends = np.array(tape.lengths)
    inside = np.arange(tape.steps)[:, None] < ends
    share, mean, stuck = {}, {}, {}
    for name, (kind, values) in kinds.items():
        own = _batched(values, tape)[:, inside].astype(np.float64)  # [L*D, values, H]
        flat = _saturated(kind, own, tanh, low, high)
        mean[name] = own.mean(axis=(1, 2))
        known = np.where(np.isnan(own).any(axis=(1, 2)), np.nan, 1.0)
        share[name] = known * flat.mean(axis=(1, 2))
        stuck[name] = known * flat.all(axis=1).mean(axis=1)
    return Saturation(share, mean, stuck)


def _batched(values: Array, tape: Any) -> Array:
    """Return values of a tape as [L*D, T, N, H], also for a single sequence."""
    return values.reshape(len(values), tape.steps, tape.batch, -1)


def _saturated(
    kind: str, y: Array, tanh: float, low: float, high: float
) -> npt.NDArray[np.bool_]:  # fmt: skip
    if kind in ("tanh", "softsign"):
        return np.asarray(np.abs(y) > tanh)
    if kind in ("sigmoid", "hard_sigmoid"):
        return np.asarray((y < low) | (y > high))
    if kind in ("relu", "leaky_relu"):
        return np.asarray(y <= 0)
    return np.asarray((np.where(y > 0, 1.0, y + 1) if kind == "elu" else SLOPES[kind](y)) < low)


@dataclass(frozen=True)
class OmegaRatios:
    """Factors by which the gradient's norm changes at each step back, in an RNN.

    Attributes
    ----------
    ratios : float64 [L, T - 1, N]
        At k: ||dL/da_{k+1} W_hh diag f'(a_k)|| / ||dL/da_{k+1}||. NaN beyond a sequence's end, if
        ||dL/da_{k+1}||^2 < 1e-20, and if the ratio is not finite.
    omega : float
        The regulariser of Pascanu et al. (2013, eq. 9) as in the engine: the mean of
        (ratio - 1)^2, summed over layers; 0 if there is no ratio.
    """

    ratios: Norms
    omega: float


def omega_ratios(
    net: Any, x: npt.ArrayLike, target: npt.ArrayLike | None = None, state: Any = None, *,
    dout: npt.ArrayLike | None = None, lengths: npt.ArrayLike | None = None,
) -> OmegaRatios:  # fmt: skip
    """Measure the change of the gradient's norm at each step back, in an RNN.

    Parameters
    ----------
    net : RNN, or Model with this cell
        A net with one direction, without leak, noise, dropout, zoneout, layer norm and Dale's law.
    x, state, lengths
        The inputs of the net.
    target : optional
        As in `gradient_flow`; the loss is that of each sequence's last output.
    dout : float like the output, optional
        dL/d output, as in `backward`, instead of a target.

    Returns
    -------
    OmegaRatios
        Computed in float64 from the states of a forward pass. f'(a_t) is computed from y_t, for ELU
        and softsign from a_t, which is computed from the input, the states and the parameters.

    Raises
    ------
    TypeError, ValueError, IndexError
        The net is of another kind, or an argument does not fit.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks",
    section 3.3.
    """
    where, held = "omega_ratios", list[object]()
    _check_plain(net, where)
    out, _, tape = net.forward(x, state, lengths=lengths)
    ends = np.array(tape.lengths)
    if dout is None:
        grad = gradient_at(net, out, target, ends - 1)[0]
    else:
        if target is not None:
            raise ValueError(message(where, "dout", "None where a target is given", "both"))
        expected = f"a {out.dtype} array of shape {list(out.shape)}"
        grad = convert(dout, {str(out.dtype): [out.shape]}, where, "dout", expected, held=held)
    params = {
        name.split(".", 1)[-1] if name.startswith("rnn.") else name: value.astype(np.float64)
        for name, value in net.state_dict().items()
    }
    states = np.asarray(tape.states())
    h = _batched(states, tape).astype(np.float64)
    dy = _over_time(net, np.asarray(grad, np.float64), ends, h.shape[1])
    if "readout.weight" in params:
        dy = dy @ params["readout.weight"]
    inside = np.arange(h.shape[1])[:, None] < ends
    ratios, omega = np.full((len(h), h.shape[1] - 1, h.shape[2]), np.nan), 0.0
    kind = str(setting(net, "nonlinearity"))
    # Ratios that are not finite are omitted.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if kind in SLOPES:
            slopes = [SLOPES[kind](y) for y in h]
        else:
            initial = np.zeros_like(h[:, :1])
            if state is not None:
                initial[:] = np.asarray(state).reshape(initial.shape)
            below = _layer_input(net, params, x, inside, states.ndim == 3)
            before = np.concatenate([initial, h[:, :-1]], axis=1)
            slopes = [SLOPES_OF_A[kind](a) for a in _preactivations(net, params, below, before, h)]
        for layer in reversed(range(len(h))):
            f = np.where(inside[:, :, None], slopes[layer], 0.0)
            own, delta = _walk_back(params[f"weight_hh_l{layer}"], f, dy)
            ratios[layer] = own
            kept = own[np.isfinite(own)]
            omega += float(np.mean((kept - 1) ** 2)) if len(kept) else 0.0
            if layer:
                dy = delta @ params[f"weight_ih_l{layer}"]
    return OmegaRatios(ratios, omega)


def _layer_input(
    net: Any, params: dict[str, Norms], x: npt.ArrayLike, inside: npt.NDArray[np.bool_],
    unbatched: bool,
) -> Array:  # fmt: skip
    """Return layer 0's input [T, N, I] in float64, or its tokens [T, N] with 0 in the padding."""
    own = np.asarray(x)
    if unbatched:
        own = own[:, None]
    elif setting(net, "batch_first"):
        own = own.swapaxes(0, 1)
    if own.ndim == 3:
        return own.astype(np.float64)
    tokens, table = np.where(inside, own, 0), params.get("embedding.weight")
    return tokens if table is None else table[tokens]


def _preactivations(
    net: Any, params: dict[str, Norms], below: Array, before: Norms, h: Norms
) -> Iterator[Norms]:  # fmt: skip
    """Yield a_t [T, N, H] of each layer, from layer 0's input, each h_{t-1} and each h_t.

    A layer whose f is the identity gives them, with all steps side by side as sequences of one.
    """
    compute = setting(net, "compute")
    dtype = "float32" if compute == "bfloat16" else "float64"
    for layer, previous in enumerate(before):
        end = f"_l{layer}"
        own = {
            f"{name.removesuffix(end)}_l0": p.astype(dtype)
            for name, p in params.items() if name.endswith(end)
        }  # fmt: skip
        H, inputs = own["weight_hh_l0"].shape[0], own["weight_ih_l0"].shape[1]
        twin = RNN(
            inputs, H, nonlinearity="identity", bias="bias_ih_l0" in own, dtype=dtype,
            compute=compute,
        )  # fmt: skip
        twin.load_state_dict(own)
        x = below.reshape(1, -1, *below.shape[2:])
        x = x if x.dtype.kind == "i" else x.astype(dtype)
        a = twin(x, previous.reshape(1, -1, H).astype(dtype))[0]
        yield a.reshape(previous.shape).astype(np.float64)
        below = h[layer]


def _walk_back(W: Norms, f: Norms, dy: Norms) -> tuple[Norms, Norms]:
    """Return a layer's ratios [T - 1, N] and its dL/da [T, N, H], from f' and its dL/dy."""
    ratios, delta = np.full((len(f) - 1, f.shape[1]), np.nan), np.zeros_like(f)
    carry = np.zeros_like(f[0])
    for k in reversed(range(len(f))):
        delta[k] = f[k] * np.where(f[k] != 0, dy[k] + carry, 0.0)  # ignores padding, even NaN
        carry = delta[k] @ W
        if k:
            size = np.linalg.norm(delta[k], axis=1)
            through = np.linalg.norm(carry * f[k - 1], axis=1)
            np.divide(through, size, out=ratios[k - 1], where=np.square(size) >= LEAST)
    ratios[~np.isfinite(ratios)] = np.nan
    return ratios, delta


def _over_time(
    net: Any, grad: Array, ends: npt.NDArray[np.int64], steps: int
) -> Norms:  # fmt: skip
    """Return dL/d output as [T, N, O]."""
    if not gives_every_step(net):
        last = grad.reshape(len(ends), -1)
        full = np.zeros((steps, *last.shape))
        full[ends - 1, np.arange(len(ends))] = last
        return full
    if grad.ndim == 2:
        return grad[:, None]
    return grad.swapaxes(0, 1) if setting(net, "batch_first") else grad


def _check_plain(net: Any, where: str) -> None:
    cell = str(setting(net, "cell")).lower()
    if cell != "rnn":
        raise ValueError(message(where, "net", "an RNN", f"cell {cell!r}"))
    plain = {"bidirectional": False, "layer_norm": False, "alpha": 1.0, "noise": 0.0,
             "dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0, "dale": None}  # fmt: skip
    for name, value in plain.items():
        if setting(net, name) != value:
            raise ValueError(message(where, "net", f"{name} {value}", str(setting(net, name))))
