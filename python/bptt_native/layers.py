"""Recurrent layers: NumPy arrays in, NumPy arrays out, and BPTT by hand."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import _core
from .arrays import Array, dtype_name, flag, integer
from .gradients import Gradients, State
from .options import CELLS, Init, layer_options
from .parameters import Parameterised


class Layer(Parameterised):
    """What RNN, LSTM and GRU have in common. Make one of these instead."""

    __slots__ = ("_config", "_native")

    _cell = ""
    _config: dict[str, Any]
    _native: _core.Layer

    def _build(self, config: dict[str, Any]) -> None:
        where = type(self).__name__
        arguments = {name: value for name, value in config.items() if name != "batch_first"}
        inputs = integer(arguments.pop("input_size"), where, "input_size", 1)
        options = layer_options(where, cell=CELLS[self._cell], **arguments)
        batch_first = flag(config["batch_first"], where, "batch_first")
        self._native = _core.Layer(where, {**options, "input_size": inputs}, batch_first)
        self._adopt(self._native.params(), dtype_name(config["dtype"], where))
        self._config = {**config, "dtype": str(self._dtype)}

    @property
    def input_size(self) -> int:
        """The number of features I of the input, or of tokens."""
        return int(self._config["input_size"])

    @property
    def hidden_size(self) -> int:
        """The number of hidden units H."""
        return int(self._config["hidden_size"])

    @property
    def num_layers(self) -> int:
        """The number of layers L."""
        return int(self._config["num_layers"])

    @property
    def bias(self) -> bool:
        """Whether there are biases b_ih and b_hh."""
        return bool(self._config["bias"])

    @property
    def batch_first(self) -> bool:
        """Whether sequences are [N, T, ...] instead of [T, N, ...]."""
        return bool(self._config["batch_first"])

    def __call__(self, x: npt.ArrayLike, state: Any = None) -> tuple[Array, State]:
        """Run the layer without remembering anything.

        Parameters
        ----------
        x : array_like [T, N, I] or [T, I], or integers [T, N] or [T]
            The input (with `batch_first` [N, T, ...]). Integers are tokens: token k means the
            one-hot vector e_k of length I.
        state : array_like [L*D, N, H] or [L*D, H], or (h, c), optional
            The states before the first step; zeros if not given. LSTM: ``(h_0, c_0)``.

        Returns
        -------
        y : ndarray [T, N, H] or [T, H]
            The states h_t of the top layer.
        state : ndarray [L*D, N, H] or [L*D, H], or (h, c)
            The states after the last step.

        Raises
        ------
        TypeError
            If a dtype does not fit without loss.
        ValueError
            If a shape does not fit.
        IndexError
            If a token is out of range.
        """
        return self._native.call(x, state)

    def forward(self, x: npt.ArrayLike, state: Any = None) -> tuple[Array, State, _core.Tape]:
        """Run the layer and remember what BPTT needs.

        Parameters
        ----------
        x, state : array_like
            As in `__call__`.

        Returns
        -------
        y, state : ndarray
            As in `__call__`; `y` never aliases the tape.
        tape : Tape
            What `backward` needs, until the parameters change. It holds copies.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `__call__`.
        """
        return self._native.forward(x, state)

    def backward(
        self,
        tape: _core.Tape,
        dy: npt.ArrayLike | None,
        dstate: Any = None,
        flow: bool = True,
        accumulate: Gradients | None = None,
        *,
        input_gradient: bool = True,
        clip_step: float | None = None,
        clip_step_norm: float | None = None,
    ) -> Gradients:
        """Walk back through time: gradients of the parameters, the input and the first states.

        Parameters
        ----------
        tape : Tape
            Of a `forward` of this layer, the parameters unchanged since.
        dy : array_like like y, or None
            dL/dy; None means zeros.
        dstate : array_like like state, or (dh, dc), optional
            Gradients with respect to the final states; zeros if not given.
        flow : bool
            Whether to record the norms of dL/dh_t (and dL/dc_t).
        accumulate : Gradients, optional
            Earlier gradients to add to: their vector is changed in place and shared by the result.
            (Its content is not specified if the call is interrupted.)
        input_gradient : bool
            Whether to compute dL/dx.
        clip_step : float, optional
            Clamp each element of the pre-activation gradients to [-clip_step, clip_step].
        clip_step_norm : float, optional
            Rescale each sample's carried (dh, dc) of each layer to at most this norm, every step.

        Returns
        -------
        Gradients
            By parameter name, with ``.x``, ``.state``, ``.flow`` and ``.flow_c``.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.
        RuntimeError
            If the parameters changed since `forward`, or the tape is another layer's.

        References
        ----------
        Werbos 1990, "Backpropagation through time: what it does and how to do it"; `clip_step`:
        Graves 2013, arXiv:1308.0850.
        """
        return self._backward(
            self._native.backward, tape, dy, dstate, flow, accumulate, input_gradient,
            clip_step, clip_step_norm,
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._config, self._params.get(), self._frozen_names())

    def __repr__(self) -> str:
        config = dict(self._config)
        sizes = f"{config.pop('input_size')}, {config.pop('hidden_size')}"
        given = [f"{k}={v!r}" for k, v in config.items() if v != _DEFAULTS[k]]
        return f"{type(self).__name__}({', '.join([sizes, *given])})"


_DEFAULTS: dict[str, Any] = {
    "num_layers": 1,
    "nonlinearity": "tanh",
    "bias": True,
    "batch_first": False,
    "dtype": "float32",
    "seed": 0,
    "init": "default",
    "forget_bias": None,
}


def _restore(cls: type[Layer], config: dict[str, Any], flat: Array, frozen: list[str]) -> Layer:
    layer = cls.__new__(cls)
    layer._build(config)
    layer._params.set(flat)
    layer.freeze(*frozen)
    return layer


class RNN(Layer):
    """Simple recurrent layers: h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Parameters
    ----------
    input_size : int
        Features I of the input, or number of tokens.
    hidden_size : int
        Units H.
    num_layers : int
        Layers L; each reads the states of the one below.
    nonlinearity : str
        f: "tanh", "relu" (with derivative 0 at 0), "sigmoid" or "identity".
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether sequences are [N, T, ...] instead of [T, N, ...]. States never are.
    dtype : str or dtype
        "float32" or "float64".
    seed : int
        Of the initial parameters.
    init : str or Init
        A name that `Init` knows, or an `Init`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    References
    ----------
    Elman 1990, "Finding structure in time"; Werbos 1990 for BPTT.
    """

    __slots__ = ()
    _cell = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dtype: npt.DTypeLike = "float32",
        seed: int = 0,
        init: str | Init = "default",
    ) -> None:
        self._build(
            {
                "input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers,
                "nonlinearity": nonlinearity, "bias": bias, "batch_first": batch_first,
                "dtype": dtype, "seed": seed, "init": init, "forget_bias": None,
            }
        )  # fmt: skip

    @property
    def nonlinearity(self) -> str:
        """The name of f."""
        return str(self._config["nonlinearity"])


class LSTM(Layer):
    """Long short-term memory layers, gates in PyTorch's order i, f, g, o.

    i, f, o = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), g = tanh(the same),
    c_t = f c_{t-1} + i g, h_t = o tanh(c_t). States are pairs (h, c).

    Parameters
    ----------
    input_size : int
        Features I of the input, or number of tokens.
    hidden_size : int
        Units H.
    num_layers : int
        Layers L; each reads the states of the one below.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether sequences are [N, T, ...] instead of [T, N, ...]. States never are.
    dtype : str or dtype
        "float32" or "float64".
    seed : int
        Of the initial parameters.
    init : str or Init
        A name that `Init` knows, or an `Init`.
    forget_bias : float, optional
        The forget gates' b_ih begins as this and their b_hh as 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    References
    ----------
    Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000.
    """

    __slots__ = ()
    _cell = "lstm"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dtype: npt.DTypeLike = "float32",
        seed: int = 0,
        init: str | Init = "default",
        forget_bias: float | None = None,
    ) -> None:
        self._build(
            {
                "input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers,
                "bias": bias, "batch_first": batch_first, "dtype": dtype, "seed": seed,
                "init": init, "forget_bias": forget_bias,
            }
        )  # fmt: skip


class GRU(Layer):
    """Gated recurrent units, gates in PyTorch's order r, z, n, the reset after the product.

    r, z = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh),
    n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn)), h_t = (1 - z) n + z h_{t-1}.

    Parameters
    ----------
    input_size : int
        Features I of the input, or number of tokens.
    hidden_size : int
        Units H.
    num_layers : int
        Layers L; each reads the states of the one below.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether sequences are [N, T, ...] instead of [T, N, ...]. States never are.
    dtype : str or dtype
        "float32" or "float64".
    seed : int
        Of the initial parameters.
    init : str or Init
        A name that `Init` knows, or an `Init`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    References
    ----------
    Cho et al. 2014, arXiv:1406.1078v1.
    """

    __slots__ = ()
    _cell = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dtype: npt.DTypeLike = "float32",
        seed: int = 0,
        init: str | Init = "default",
    ) -> None:
        self._build(
            {
                "input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers,
                "bias": bias, "batch_first": batch_first, "dtype": dtype, "seed": seed,
                "init": init, "forget_bias": None,
            }
        )  # fmt: skip
