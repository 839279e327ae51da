"""The classes of recurrent layers: RNN, LSTM, GRU and MinGRU."""

from __future__ import annotations

import numpy.typing as npt

from ..arguments.values import Array
from ..options.attribute import OptionOf
from ..options.constructor import from_arguments
from ..options.init import Init
from ..options.words import Cell, Compute, DType, InitName, Nonlinearity
from .layer import Layer


class RNN(Layer[Array]):
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
        f: "tanh", "relu" (with derivative 0 at 0), "sigmoid", "identity", "softplus", "elu",
        "hard_sigmoid" (a / 6 + 1/2, cut to [0, 1]), "softsign", "leaky_relu" (slope 0.01) or "silu"
        (a sigmoid(a)).
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether sequences are [N, T, ...] instead of [T, N, ...]. The shape of states does not
        change.
    dtype : str or dtype
        "float32" or "float64".
    compute : str, optional
        "bfloat16": round weights and activations to bfloat16 before they are multiplied with each
        other, forward and backward; everything else stays float32. It needs dtype "float32". None:
        compute in the dtype.
    seed : int
        Seed of the initialisation and of the random masks.
    init : str or Init
        A name that `Init` knows, or an `Init`.
    bidirectional : bool
        Whether a second set of layers ("_reverse") reads each sequence from its last step to its
        first. Its outputs follow those of the first set (D = 2, else D = 1).
    layer_norm : bool
        Whether W_ih x_t and W_hh h_{t-1} are normalised over all units (Ba et al. 2016).
    dropout : float
        Probability, in [0, 1), with which an element of the input of every layer but the first is
        dropped in training.
    variational : bool
        Whether the mask of `dropout` is the same for all steps (Gal & Ghahramani 2016).
    recurrent_dropout : float
        Probability, in [0, 1), with which an element of h_{t-1} is dropped in its product with W_hh
        in training. One mask serves all steps.
    zoneout : float
        Probability, in [0, 1), with which a unit of h keeps its previous value (Krueger et al.
        2017). Outside training its expectation is used.
    alpha : float or array_like [H]
        The leak dt / tau, in (0, 1]: h_t = (1 - alpha) h_{t-1} + alpha f(a_t). Units of different
        time constants tau have an array, which all layers and directions share.
    noise : float
        Standard deviation sigma >= 0 of the noise in training: a_t += sqrt(2 / alpha) sigma xi with
        xi ~ N(0, 1) (Yang et al. 2019).
    dale : float, optional
        Fraction of excitatory units, which are the first ones. W_hh then acts as |W_hh| with one
        sign for each column (Dale's law: Song et al. 2016).
    learn_initial_state : bool
        Whether the states before the first step, and after a reset, are parameters, which begin
        with 0: ``h0_l0`` [H] for layer 0. A state that the caller gives takes the place
        of those before the first step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    References
    ----------
    Elman 1990, "Finding structure in time"; Werbos 1990 for BPTT.

    Examples
    --------
    >>> layer = bn.RNN(3, 8, nonlinearity="relu", init="identity")
    >>> y, h = layer(np.ones((5, 2, 3), np.float32))  # five steps of two sequences
    >>> y.shape, h.shape
    ((5, 2, 8), (1, 2, 8))

    Rates of fast and slow units, whose noise is part of the model:

    >>> rates = bn.RNN(3, 4, nonlinearity="softplus", alpha=[0.1, 0.1, 0.5, 0.5], noise=0.05)
    >>> y, h = rates(np.zeros((5, 2, 3), np.float32), noise=True)
    >>> y.shape
    (5, 2, 4)
    """

    __slots__ = ()
    _cell = "rnn"

    nonlinearity: OptionOf[Nonlinearity] = OptionOf()
    layer_norm: OptionOf[bool] = OptionOf()
    recurrent_dropout: OptionOf[float] = OptionOf()
    alpha: OptionOf[float | tuple[float, ...]] = OptionOf()
    noise: OptionOf[float] = OptionOf()
    dale: OptionOf[float | None] = OptionOf()

    @from_arguments
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dtype: DType = "float32",
        compute: Compute | None = None,
        seed: int = 0,
        init: InitName | Init = "default",
        bidirectional: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        alpha: npt.ArrayLike = 1.0,
        noise: float = 0.0,
        dale: float | None = None,
        learn_initial_state: bool = False,
    ) -> None: ...


class LSTM(Layer[tuple[Array, Array]]):
    """Long short-term memory layers, with the gates in PyTorch's order i, f, g, o.

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
        Whether sequences are [N, T, ...] instead of [T, N, ...]. The shape of states does not
        change.
    dtype : str or dtype
        "float32" or "float64".
    compute : str, optional
        "bfloat16": round weights and activations to bfloat16 before they are multiplied with each
        other, forward and backward; everything else stays float32. It needs dtype "float32". None:
        compute in the dtype.
    seed : int
        Seed of the initialisation and of the random masks.
    init : str or Init
        A name that `Init` knows, or an `Init`.
    forget_bias : float, optional
        Initial value of the forget gates' b_ih; their b_hh then begins as 0.
    bidirectional : bool
        Whether a second set of layers ("_reverse") reads each sequence from its last step to its
        first. Its outputs follow those of the first set (D = 2, else D = 1).
    layer_norm : bool
        Whether W_ih x_t, W_hh h_{t-1} and c_t are normalised over all units (Ba et al. 2016).
    dropout : float
        Probability, in [0, 1), with which an element of the input of every layer but the first is
        dropped in training.
    variational : bool
        Whether the mask of `dropout` is the same for all steps (Gal & Ghahramani 2016).
    recurrent_dropout : float
        Probability, in [0, 1), with which an element of h_{t-1} is dropped in its product with W_hh
        in training. One mask serves all steps.
    zoneout : float
        Probability, in [0, 1), with which a unit of h keeps its previous value (Krueger et al.
        2017). Outside training its expectation is used.
    zoneout_c : float
        The same for a unit of c.
    peephole : bool
        Whether the gates read the cell state: i and f read c_{t-1}, o reads c_t (Gers &
        Schmidhuber 2000). ``weight_peephole`` holds the weights of i, f and o, in this order.
    coupled : bool
        Whether f = 1 - i, with gates i g o (Greff et al. 2017).
    proj_size : int
        Number R of elements of the projected state h_t = W_hr (o tanh(c_t)) (Sak et al. 2014).
        0: no projection, R = H.
    learn_initial_state : bool
        Whether the states before the first step, and after a reset, are parameters, which begin
        with 0: ``h0_l0`` [R] and ``c0_l0`` [H] for layer 0. A state that the caller gives takes the
        place of those before the first step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    References
    ----------
    Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000.

    Examples
    --------
    >>> layer = bn.LSTM(3, 8, num_layers=2, dropout=0.1)
    >>> y, (h, c) = layer(np.ones((5, 2, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 8), (2, 2, 8), (2, 2, 8))

    With projected states, and in both directions:

    >>> layer = bn.LSTM(3, 8, proj_size=4, bidirectional=True, batch_first=True)
    >>> y, (h, c) = layer(np.ones((2, 5, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((2, 5, 8), (2, 2, 4), (2, 2, 8))
    """

    __slots__ = ()
    _cell = "lstm"

    forget_bias: OptionOf[float | None] = OptionOf()
    layer_norm: OptionOf[bool] = OptionOf()
    recurrent_dropout: OptionOf[float] = OptionOf()
    zoneout_c: OptionOf[float] = OptionOf()
    peephole: OptionOf[bool] = OptionOf()
    coupled: OptionOf[bool] = OptionOf()
    proj_size: OptionOf[int] = OptionOf()

    @from_arguments
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dtype: DType = "float32",
        compute: Compute | None = None,
        seed: int = 0,
        init: InitName | Init = "default",
        forget_bias: float | None = None,
        bidirectional: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_c: float = 0.0,
        peephole: bool = False,
        coupled: bool = False,
        proj_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None: ...


class GRU(Layer[Array]):
    """Gated recurrent units, with the gates in PyTorch's order r, z, n.

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
        Whether sequences are [N, T, ...] instead of [T, N, ...]. The shape of states does not
        change.
    dtype : str or dtype
        "float32" or "float64".
    compute : str, optional
        "bfloat16": round weights and activations to bfloat16 before they are multiplied with each
        other, forward and backward; everything else stays float32. It needs dtype "float32". None:
        compute in the dtype.
    seed : int
        Seed of the initialisation and of the random masks.
    init : str or Init
        A name that `Init` knows, or an `Init`.
    bidirectional : bool
        Whether a second set of layers ("_reverse") reads each sequence from its last step to its
        first. Its outputs follow those of the first set (D = 2, else D = 1).
    layer_norm : bool
        Whether W_ih x_t and W_hh h_{t-1} are normalised over all units (Ba et al. 2016).
    dropout : float
        Probability, in [0, 1), with which an element of the input of every layer but the first is
        dropped in training.
    variational : bool
        Whether the mask of `dropout` is the same for all steps (Gal & Ghahramani 2016).
    recurrent_dropout : float
        Probability, in [0, 1), with which an element of h_{t-1} is dropped in its product with W_hh
        in training. One mask serves all steps.
    zoneout : float
        Probability, in [0, 1), with which a unit of h keeps its previous value (Krueger et al.
        2017). Outside training its expectation is used.
    reset_after : bool
        Whether r multiplies W_hn h_{t-1} + b_hn, as in cuDNN and PyTorch. False: it multiplies
        h_{t-1} before the product (arXiv:1406.1078v3, the default of ONNX and KANN).
    learn_initial_state : bool
        Whether the states before the first step, and after a reset, are parameters, which begin
        with 0: ``h0_l0`` [H] for layer 0. A state that the caller gives takes the place
        of those before the first step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    References
    ----------
    Cho et al. 2014, arXiv:1406.1078v1.

    Examples
    --------
    >>> layer = bn.GRU(3, 8)
    >>> y, h = layer(np.ones((5, 2, 3), np.float32))
    >>> y.shape, bool((y[-1] == h[0]).all())
    ((5, 2, 8), True)

    Tokens are integers, and stand for one-hot vectors:

    >>> layer = bn.GRU(10, 8, dtype="float64")
    >>> layer([[1, 2], [9, 0], [4, 4]])[0].shape
    (3, 2, 8)
    """

    __slots__ = ()
    _cell = "gru"

    layer_norm: OptionOf[bool] = OptionOf()
    recurrent_dropout: OptionOf[float] = OptionOf()
    reset_after: OptionOf[bool] = OptionOf()

    @from_arguments
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dtype: DType = "float32",
        compute: Compute | None = None,
        seed: int = 0,
        init: InitName | Init = "default",
        bidirectional: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        reset_after: bool = True,
        learn_initial_state: bool = False,
    ) -> None: ...


class MinGRU(Layer[Array]):
    """Minimal gated recurrent units, whose gates z, n read the input alone.

    z = sigmoid(W_iz x_t + b_iz), n = W_in x_t + b_in, h_t = (1 - z) h_{t-1} + z n. There is no W_hh
    and no b_hh: the share of its state that a unit keeps depends on the input, not on other units.
    Options of W_hh (`recurrent_dropout`, `layer_norm`) do not exist.

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
        Whether sequences are [N, T, ...] instead of [T, N, ...]. The shape of states does not
        change.
    dtype : str or dtype
        "float32" or "float64".
    compute : str, optional
        "bfloat16": round weights and activations to bfloat16 before they are multiplied with each
        other, forward and backward; everything else stays float32. It needs dtype "float32". None:
        compute in the dtype.
    seed : int
        Seed of the initialisation and of the random masks.
    init : str or Init
        A name that `Init` knows, or an `Init`: "default", "xavier", "keras" or "chrono".
    bidirectional : bool
        Whether a second set of layers ("_reverse") reads each sequence from its last step to its
        first. Its outputs follow those of the first set (D = 2, else D = 1).
    dropout : float
        Probability, in [0, 1), with which an element of the input of every layer but the first is
        dropped in training.
    variational : bool
        Whether the mask of `dropout` is the same for all steps (Gal & Ghahramani 2016).
    zoneout : float
        Probability, in [0, 1), with which a unit of h keeps its previous value (Krueger et al.
        2017). Outside training its expectation is used.
    learn_initial_state : bool
        Whether the states before the first step, and after a reset, are parameters, which begin
        with 0: ``h0_l0`` [H] for layer 0. A state that the caller gives takes the place
        of those before the first step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    References
    ----------
    Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201.

    Examples
    --------
    >>> layer = bn.MinGRU(3, 8)
    >>> list(layer.parameters)
    ['weight_ih_l0', 'bias_ih_l0']
    >>> layer(np.ones((5, 2, 3), np.float32))[0].shape
    (5, 2, 8)
    """

    __slots__ = ()
    _cell = "mingru"

    @from_arguments
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dtype: DType = "float32",
        compute: Compute | None = None,
        seed: int = 0,
        init: InitName | Init = "default",
        bidirectional: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        zoneout: float = 0.0,
        learn_initial_state: bool = False,
    ) -> None: ...


LAYERS: dict[Cell, type[RNN | LSTM | GRU | MinGRU]] = {
    layer._cell: layer for layer in (RNN, LSTM, GRU, MinGRU)
}
