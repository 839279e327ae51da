"""Diagnostics of activations: saturated units and gates, and Pascanu's gradient ratios."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.arrays import convert
from ..arguments.display import Shown, Table, View, fields_view
from ..arguments.values import Array, message, number
from ..nn.cells import RNN
from ..options.cell_shape import flatness, told_by_value
from ..options.table import OPTIONS
from ..options.words import DType
from .flow import gradient_at
from .nets import gives_every_step, setting, shape_of
from .norms import Norms

# f'(a) from y = f(a), for functions whose derivative says where they are flat.
SLOPES: dict[str, Callable[[Array], Array]] = {
    "softplus": lambda y: -np.expm1(-y),
    "elu": lambda y: np.where(y > 0, 1.0, y + 1),
}
LEAST = 1e-20  # the regulariser omits ratios with |dL/da|^2 below this


@dataclass(frozen=True, repr=False)
class Saturation(Shown):
    """Shares of activations in the range where their derivative is small.

    The keys are "h" for an RNN; "i", "f", "g", "o" (coupled: "i", "g", "o") and "c" (tanh c_t) for
    an LSTM; "r", "z", "n" for a GRU; "z", "n" for a MinGRU. The first axis is the walk l*D + d.

    Attributes
    ----------
    share : dict of str to float64 [L*D]
        Share of saturated values over steps, samples and units.
    mean : dict of str to float64 [L*D]
        Mean of the values.
    stuck : dict of str to float64 [L*D]
        Share of the units that are saturated at every step of every sample (ReLU: dead units).

    Examples
    --------
    >>> layer = bn.RNN(2, 8, init=bn.Init("orthogonal", gain=2.0))
    >>> x = np.random.default_rng(0).standard_normal((20, 4, 2), np.float32)
    >>> found = bn.diagnostics.saturation(layer, x)
    >>> list(found.share), found.share["h"].shape
    (['h'], (1,))
    >>> found.explain()[:20]
    'Saturated in layer 0'
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

    def _view(self) -> View:
        rows = [
            (
                str(k),
                name,
                *(f"{each[name][k]:.3g}" for each in (self.share, self.mean, self.stuck)),
            )
            for k in range(len(next(iter(self.share.values()))))
            for name in self.share
        ]
        head = "Saturation: shares of values where the derivative is small"
        return View(head, (Table(("layer", "gate", "share", "mean", "stuck"), rows),))


def saturation(
    net: Any, x: npt.ArrayLike, state: Any = None, *, lengths: npt.ArrayLike | None = None,
    tanh: float = 0.95, low: float = 0.05, high: float = 0.95,
) -> Saturation:  # fmt: skip
    """Measure the share of activations and gates that are saturated.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
        The net. It runs as in training, with dropout and noise.
    x, state, lengths
        The inputs of the net. Padding does not count.
    tanh : float
        tanh and softsign are saturated if |y| is above this.
    low, high : float
        sigmoid and hard_sigmoid are saturated if y is below `low` or above `high`; softplus and elu
        if the derivative is below `low`. ReLU, leaky ReLU and SiLU are saturated if y <= 0.
        identity and MinGRU's n never are.

    Returns
    -------
    Saturation
        For an RNN with a leak, noise or zoneout, the saturation of its states.

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument does not fit.

    Examples
    --------
    A unit of a ReLU net that is never above 0 is dead:

    >>> layer = bn.RNN(2, 4, nonlinearity="relu", init="identity")
    >>> layer.parameters["bias_ih_l0"] = [1.0, 1.0, 1.0, -1.0]
    >>> x = np.random.default_rng(0).standard_normal((20, 4, 2), np.float32)
    >>> float(bn.diagnostics.saturation(layer, x).stuck["h"][0])
    0.25
    """
    where = "saturation"
    tanh, low = number(tanh, where, "tanh"), number(low, where, "low")
    high = number(high, where, "high")
    _, _, tape = net.forward(x, state, lengths=lengths)
    values = gate_values(net, tape)
    flat = gate_flatness(net)
    if shape_of(net).has_c:
        values["c"], flat["c"] = np.tanh(tape.states()[1]), "symmetric"
    ends = np.array(tape.lengths)
    inside = np.arange(tape.steps)[:, None] < ends
    share, mean, stuck = {}, {}, {}
    for name, each in values.items():
        own = _batched(each, tape)[:, inside].astype(np.float64)  # [L*D, values, H]
        at_end = saturated(flat[name], str(setting(net, "nonlinearity")), own, tanh, low, high)
        mean[name] = own.mean(axis=(1, 2))
        known = np.where(np.isnan(own).any(axis=(1, 2)), np.nan, 1.0)
        share[name] = known * at_end.mean(axis=(1, 2))
        stuck[name] = known * at_end.all(axis=1).mean(axis=1)
    return Saturation(share, mean, stuck)


def _batched(values: Array, tape: Any) -> Array:
    """Return values of a tape as [L*D, T, N, H], also for a single sequence."""
    return values.reshape(len(values), tape.steps, tape.batch, -1)


def gate_values(net: Any, tape: Any) -> dict[str, Array]:
    """Return the gates that a tape has, by letter; of an RNN its states."""
    shape = shape_of(net)
    return tape.gates() if shape.tape_gates else {shape.letters[0]: np.asarray(tape.states())}


def gate_flatness(net: Any) -> dict[str, str]:
    """Return where each gate's function is flat, by letter; of an RNN its nonlinearity."""
    shape = shape_of(net)
    if not shape.tape_gates:
        return {
            shape.letters[0]: flatness(
                OPTIONS["nonlinearity"].choices[str(setting(net, "nonlinearity"))]
            )
        }
    return {gate.letter: gate.flat for gate in shape.gates}


def saturated(
    flat: str, nonlinearity: str, y: Array, tanh: float = 0.95, low: float = 0.05,
    high: float = 0.95,
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Return which values of a function are where it is flat.

    Parameters
    ----------
    flat : str
        Where that is; see `gate_flatness`.
    nonlinearity : str
        Of an RNN: the name of f.
    y : ndarray
        The function's values.
    tanh, low, high : float
        See `saturation`.

    Returns
    -------
    ndarray of bool, like y
    """
    if flat == "symmetric":
        return np.asarray(np.abs(y) > tanh)
    if flat == "unit":
        return np.asarray((y < low) | (y > high))
    if flat == "negative":
        return np.asarray(y <= 0)
    if flat == "never":
        return np.zeros(y.shape, np.bool_)
    return np.asarray(SLOPES[nonlinearity](y) < low)


@dataclass(frozen=True, repr=False)
class OmegaRatios(Shown):
    """Factors by which the gradient's norm changes at each step back, in an RNN.

    Attributes
    ----------
    ratios : float64 [L, T - 1, N]
        At k: ||dL/da_{k+1} W_hh diag f'(a_k)|| / ||dL/da_{k+1}||. NaN beyond a sequence's end, if
        ||dL/da_{k+1}||^2 < 1e-20, and if the ratio is not finite.
    omega : float
        The regulariser of Pascanu et al. (2013, eq. 9) as in the engine: the mean of
        (ratio - 1)^2, summed over layers; 0 if there is no ratio.

    Examples
    --------
    >>> layer = bn.RNN(2, 8)
    >>> x = np.random.default_rng(0).standard_normal((20, 4, 2), np.float32)
    >>> found = bn.diagnostics.omega_ratios(layer, x)
    >>> found.ratios.shape, found.omega > 0
    ((1, 19, 4), True)
    """

    ratios: Norms
    omega: float

    def _view(self) -> View:
        return fields_view(self)


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
        Computed in float64 from the states of a forward pass. f'(a_t) is computed from y_t, for
        ELU, softsign and SiLU from a_t, which is computed from the input, the states and the
        parameters.

    Raises
    ------
    TypeError, ValueError, IndexError
        The net is of another kind, or an argument does not fit.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks",
    section 3.3.

    Examples
    --------
    An orthogonal matrix with linear units leaves the norm of the gradient as it is:

    >>> layer = bn.RNN(2, 8, nonlinearity="identity", init="orthogonal", dtype="float64")
    >>> x = np.random.default_rng(0).standard_normal((20, 4, 2))
    >>> found = bn.diagnostics.omega_ratios(layer, x)
    >>> np.allclose(found.ratios, 1), found.omega < 1e-20
    (True, True)
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
        if told_by_value(OPTIONS["nonlinearity"].choices[kind]):
            slopes = [_slope(kind, y) for y in h]
        else:
            initial = np.zeros_like(h[:, :1])
            if state is not None:
                initial[:] = np.asarray(state).reshape(initial.shape)
            below = _layer_input(net, params, x, inside, states.ndim == 3)
            before = np.concatenate([initial, h[:, :-1]], axis=1)
            slopes = [_slope(kind, a) for a in _preactivations(net, params, below, before, h)]
        for layer in reversed(range(len(h))):
            f = np.where(inside[:, :, None], slopes[layer], 0.0)
            own, delta = _walk_back(params[f"weight_hh_l{layer}"], f, dy)
            ratios[layer] = own
            kept = own[np.isfinite(own)]
            omega += float(np.mean((kept - 1) ** 2)) if len(kept) else 0.0
            if layer:
                dy = delta @ params[f"weight_ih_l{layer}"]
    return OmegaRatios(ratios, omega)


def _slope(nonlinearity: str, values: Norms) -> Norms:
    """Return f'(a) as the engine computes it, from f(a) or (see `told_by_value`) from a."""
    return _core.map_function(f"{nonlinearity}'", values).reshape(values.shape)


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
    dtype: DType = "float32" if compute == "bfloat16" else "float64"
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
    if shape_of(net).tape_gates:
        raise ValueError(message(where, "net", "an RNN", f"cell {shape_of(net).name!r}"))
    plain = {"bidirectional": False, "layer_norm": False, "alpha": 1.0, "noise": 0.0,
             "dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0, "dale": None}  # fmt: skip
    for name, value in plain.items():
        if setting(net, name) != value:
            raise ValueError(message(where, "net", f"{name} {value}", str(setting(net, name))))
