"""One step of a layer for many states side by side, in float64, with its Jacobians.

A Jacobian is a sum of products diag(d_k) W_k of factors, which depend on the state, and blocks of
the weights. The gates of one forward pass give the factors of all states at once.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.values import Array
from ..nn.cells import LAYERS
from ..nn.layer import Layer
from ..options.cell_shape import told_by_value
from ..options.table import OPTIONS
from .jacobians import jacobian, recurrent_matrices
from .nets import setting, state_size
from .norms import Norms

# Options that draw random numbers. The expectation of zoneout is a part of `StepMap`.
RANDOM = ("dropout", "recurrent_dropout", "zoneout", "zoneout_c", "noise")


def float64_layer(net: Any) -> Any:
    """Return a layer in float64 with the parameters of a net's layer, without random options."""
    made_of: Any = LAYERS[setting(net, "cell")]
    params = {
        name.removeprefix("rnn."): np.asarray(value, np.float64)
        for name, value in net.state_dict().items()
        if not name.startswith(("readout.", "embedding."))
    }
    names = inspect.signature(made_of).parameters
    options = {name: value for name, value in net._config.items() if name in names}
    options |= {name: 0.0 for name in RANDOM if name in options}
    options |= {"dtype": "float64", "compute": None, "init": "default", "batch_first": False}
    options["input_size"] = params["weight_ih_l0"].shape[1]
    layer = made_of(**options)
    layer.load_state_dict(params)
    return layer


class StepMap:
    """The map F of a state to the next one with a constant input, in one layer and direction.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
        The net, outside training: without dropout and noise, with the expectation of zoneout.
    x : float64 [I]
        The input of the layer.

    Attributes
    ----------
    layer : RNN, LSTM, GRU or MinGRU
        The layer in float64.
    size, width : int
        Number S of elements of a state, and of those that are h; the others are c.
    """

    def __init__(self, net: Any, x: Norms) -> None:
        self.layer: Layer[Any] = float64_layer(net)
        self.x: Array = x
        self.cell: str = str(setting(net, "cell"))
        self.size: int = state_size(net)
        self.width: int = int(setting(net, "proj_size") or setting(net, "hidden_size"))
        matrices = recurrent_matrices(self.layer).values()
        self.weights: list[Array] = [W.astype(np.float64) for W in matrices]
        self.params: dict[str, Norms] = self.layer.state_dict()
        kept = np.full(self.size, float(setting(net, "zoneout") or 0.0))
        kept[self.width :] = float(setting(net, "zoneout_c") or 0.0)
        self.kept: Array | None = kept if kept.any() else None

    def __call__(self, states: Norms) -> Norms:
        """Return F of states [N, S]."""
        x = np.broadcast_to(self.x, (1, len(states), len(self.x)))
        state = self.layer(x, self._parts(states))[1]
        return self._joined(states, state)

    def with_jacobians(self, states: Norms) -> tuple[Norms, Norms]:
        """Return F of states [N, S] and its Jacobians [N, S, S]."""
        x = np.broadcast_to(self.x, (1, len(states), len(self.x)))
        _, state, tape = self.layer.forward(x, self._parts(states))
        J = np.zeros((len(states), self.size, self.size))
        write = getattr(self, f"_{self.cell}", None)
        if write is None or setting(self.layer, "layer_norm"):
            for sample in range(len(states)):
                J[sample] = jacobian(self.layer, tape, 0, sample=sample)
        else:
            write(J, states, state, {name: each[0, 0] for name, each in tape.gates().items()})
        if self.kept is not None:
            J *= (1 - self.kept)[:, None]
            diagonals(J)[:] += self.kept
        return self._joined(states, state), J

    def run(self, states: Norms, kept: Sequence[int]) -> Norms:
        """Return the states [n, S] after some numbers of steps from initial states [N, S]."""
        path = []
        for done in range(1, max(kept) + 1):
            states = self(states)
            if done in kept:
                path.append(states)
        return np.concatenate(path)

    def holds(self, states: Norms) -> npt.NDArray[np.bool_]:
        """Return which states [N, S] may be fixed points by their size: those of a GRU are n."""
        if self.cell != "gru":
            return np.ones(len(states), np.bool_)
        return np.asarray((np.abs(states) <= 1).all(axis=1))

    def _parts(self, states: Norms) -> Any:
        """Return states [N, S] as the layer takes them."""
        h = np.ascontiguousarray(states[None, :, : self.width])
        if self.cell != "lstm":
            return h
        return h, np.ascontiguousarray(states[None, :, self.width :])

    def _joined(self, before: Norms, state: Any) -> Norms:
        """Return a state of the layer as [N, S], with the expectation of zoneout."""
        parts = state if self.cell == "lstm" else (state,)
        after: Norms = np.concatenate([part[0] for part in parts], axis=1)
        return after if self.kept is None else self.kept * before + (1 - self.kept) * after

    def _rnn(self, J: Norms, h: Norms, state: Any, gates: dict[str, Array]) -> None:
        """Write (1 - alpha) I + alpha diag(f'(a)) W_hh."""
        (W,), p = self.weights, self.params
        bias = p["bias_ih_l0"] + p["bias_hh_l0"] if "bias_ih_l0" in p else 0.0
        a = h @ W.T + (p["weight_ih_l0"] @ self.x + bias)
        name = str(setting(self.layer, "nonlinearity"))
        alpha = np.asarray(setting(self.layer, "alpha"), np.float64)
        if told_by_value(OPTIONS["nonlinearity"].choices[name]):
            a = _core.map_function(name, a).reshape(a.shape)
        slope = _core.map_function(f"{name}'", a).reshape(a.shape)
        np.multiply((alpha * slope)[:, :, None], W, out=J)
        diagonals(J)[:] += 1 - alpha

    def _mingru(self, J: Norms, h: Norms, state: Any, gates: dict[str, Array]) -> None:
        """Write diag(1 - z)."""
        diagonals(J)[:] = 1 - gates["z"]

    def _gru(self, J: Norms, h: Norms, state: Any, gates: dict[str, Array]) -> None:
        """Write diag(z) + diag(h - n) dz + diag(1 - z) dn."""
        r, z, n = (gates[name] for name in "rzn")
        W_r, W_z, W_n = self.weights
        dn, dz, dr = (1 - z) * (1 - n * n), (h - n) * z * (1 - z), r * (1 - r)
        if setting(self.layer, "reset_after"):
            bias = np.split(self.params["bias_hh_l0"], 3)[2] if "bias_hh_l0" in self.params else 0.0
            a_hn = h @ W_n.T + bias
            J[:] = _products([dn * r, dn * a_hn * dr, dz], [W_n, W_r, W_z])
        else:
            through = (W_n * (h * dr)[:, None, :]) @ W_r  # of r, by way of W_n (r h)
            through += W_n * r[:, None, :]
            J[:] = _products([dz], [W_z])
            J += dn[:, :, None] * through
        diagonals(J)[:] += z

    def _lstm(self, J: Norms, states: Norms, state: Any, gates: dict[str, Array]) -> None:
        """Write the four blocks of c' = f c + i g and h' = o tanh(c'), in the order h, c."""
        R, c = self.width, states[:, self.width :]
        i, g, o = (gates[name] for name in "igo")
        coupled = bool(setting(self.layer, "coupled"))
        f = 1 - i if coupled else gates["f"]
        W_i, *W_f, W_g, W_o = self.weights
        p_i, p_f, p_o = self._peepholes(coupled)
        tanh_c = np.tanh(state[1][0])
        di = (g - c if coupled else g) * i * (1 - i)
        df = c * f * (1 - f) * (0 if coupled else 1)
        do = tanh_c * o * (1 - o)
        dm = o * (1 - tanh_c * tanh_c) + do * p_o  # of h' before a projection, by c'
        factors, blocks = [di, i * (1 - g * g)], [W_i, W_g]
        if W_f:
            factors, blocks = [*factors, df], [*blocks, *W_f]
        by_c = f + p_i * di + p_f * df
        J[:, R:, :R] = _products(factors, blocks)
        diagonals(J[:, R:, R:])[:] = by_c
        m_by_h = _products([*(dm * each for each in factors), do], [*blocks, W_o])
        if "weight_hr_l0" in self.params:
            W_hr = self.params["weight_hr_l0"]
            J[:, :R, :R] = W_hr @ m_by_h
            J[:, :R, R:] = W_hr * (dm * by_c)[:, None, :]
        else:
            J[:, :R, :R] = m_by_h
            diagonals(J[:, :R, R:])[:] = dm * by_c

    def _peepholes(self, coupled: bool) -> Sequence[Any]:
        """Return the weights of i, f and o that read the cell state."""
        if "weight_peephole_l0" not in self.params:
            return 0.0, 0.0, 0.0
        parts = np.split(self.params["weight_peephole_l0"], 2 if coupled else 3)
        return (parts[0], 0.0, parts[1]) if coupled else parts


def diagonals(J: Norms) -> Norms:
    """Return the diagonals of matrices [N, n, n] as a view [N, n] that can be written."""
    view: Norms = np.einsum("nii->ni", J)
    return view


def _products(factors: Sequence[Norms], blocks: Sequence[Norms]) -> Norms:
    """Return the sum of diag(factor) block for each state: [N, rows, columns].

    Each row is a product of N rows of factors and a matrix, one row of each block.
    """
    d = np.ascontiguousarray(np.stack(factors, axis=-1).swapaxes(0, 1))  # [rows, N, K]
    rows: Norms = np.matmul(d, np.stack(blocks, axis=1)).swapaxes(0, 1)
    return rows
