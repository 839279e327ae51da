"""The class of models: recurrent layers with a readout, a loss and an optimiser."""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt

from .. import _core
from ..arguments.values import Array, choice, file_name, flag
from ..options.constructor import from_arguments
from ..options.from_engine import DEFAULTS, model_config
from ..options.init import Init
from ..options.to_engine import model_options
from .extras import Metadata, Tensors
from .gradients import Gradients, State
from .optimizer import Optimizer
from .optimizers import OPTIMIZERS, own_defaults
from .parameters import draw_of
from .stream import WEIGHTS, Stream
from .training_step import TrainingStep


class Model(TrainingStep):
    """Recurrent layers with a linear readout, a loss on it and an optimiser.

    The outputs are W_o h_t + b_o at every step, or one per sequence, computed from its final state.

    Parameters
    ----------
    cell : str
        "rnn", "lstm", "gru" or "mingru".
    input_size : int, optional
        Features I of a dense input. Exactly one of `input_size` and `vocab_size` must be given.
    vocab_size : int, optional
        Number V of tokens 0 ... V - 1, if the input is tokens.
    embedding_size : int, optional
        Size E of the rows of a table ``embedding.weight`` [V, E] that tokens are looked up in.
        None: tokens are one-hot vectors.
    hidden_size : int
        Units H of each layer.
    num_layers : int
        Layers L.
    output_size : int
        Outputs O: the number of classes for cross-entropy, of values for the other losses.
    nonlinearity : str
        The function f of an RNN, see `RNN`.
    bias : bool
        Whether the recurrent layers have biases.
    loss : str
        "cross_entropy" (softmax of the outputs against integer classes), "mse",
        "binary_cross_entropy" (sigmoid of each output against a value in [0, 1]) or "huber"
        (quadratic for errors up to `huber_delta` and linear beyond it; Huber 1964).
    targets : str
        "every": a target at every step. "last": one target per sequence, for the final state. With
        two directions this is the forward direction's state after the last step and the reverse
        one's after the first step, so both have read the whole sequence. "last_row" (only with
        `bidirectional`) reads both directions at the last step, where the reverse one has read a
        single step; older model files are loaded with it.
    reduction : str
        "mean" or "sum". The mean of cross-entropy is over all targets, that of the other losses
        over all elements of the targets. Norms and thresholds of gradients refer to this loss.
    optimizer : str
        "sgd", "adagrad", "adam", "rmsprop" or "lion".
    lr, momentum, betas, eps, weight_decay, decay_biases, nesterov, amsgrad, centered : optional
        As in the class of the optimiser. For betas and eps, None means its default.
    rmsprop_alpha, rmsprop_form : float, str
        `alpha` and `form` of `RMSprop`. For alpha, None means the default of the form. The
        form does not change lr and momentum.
    clip_norm : float, optional
        Threshold of the gradient's global norm (Pascanu et al. 2013).
    clip_tensor_norm : float, optional
        Threshold of each parameter tensor's norm.
    clip_value : float, optional
        Bound of each element. Clipping is by value first, then by tensor norm, then by global norm.
    clip_step, clip_step_norm : float, optional
        Thresholds inside BPTT, see `LSTM.backward`.
    dtype : str or dtype
        "float32" or "float64".
    compute : str, optional
        "bfloat16": round the factors of products to bfloat16, see `LSTM`; also in the readout.
    seed : int
        Seed of the initialisation and of the random masks.
    init : str or Init
        Initial values of the recurrent layers. Those of the readout are as in ``torch.nn.Linear``,
        those of the table as in ``torch.nn.Embedding``.
    forget_bias : float, optional
        Initial bias of the forget gates, for LSTM only.
    label_smoothing : float
        Share e, in [0, 1], of a target that is spread over all classes, for cross-entropy only
        (Szegedy et al. 2016).
    class_weights : array_like [O], optional
        Weights of the classes (cross-entropy) or of the outputs, finite and >= 0. They also count
        in the divisor of the mean of cross-entropy, but not in that of the other losses.
    ignore_index : int
        Class of targets that do not count, for cross-entropy only.
    huber_delta : float
        The size delta of an error up to which Huber's loss is quadratic: d^2 / 2 for
        d = |output - target| <= delta, else delta (d - delta / 2), as in ``torch.nn.HuberLoss``.
        Above 0 and finite in the dtype.
    nonfinite : str
        How an update treats a gradient that is not finite: "skip" the update, replace elements that
        are not finite by "zero", or "raise" FloatingPointError.
    batch_first : bool
        Whether arrays are [N, T, ...] instead of [T, N, ...]. The shape of states does not change.
    bidirectional, layer_norm, dropout, variational, recurrent_dropout, zoneout : optional
        As in `RNN`, `LSTM`, `GRU` and `MinGRU`, which has neither layer_norm nor
        recurrent_dropout. Dropout, zoneout and noise act in training steps, in
        `forward` and in calls with ``training=True``.
    alpha, noise, dale : optional
        As in `RNN`.
    zoneout_c, peephole, coupled, proj_size : optional
        As in `LSTM`.
    reset_after : bool
        As in `GRU`.
    truncation, omega : optional
        Settings of training steps, as in `LSTM.backward`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.
    """

    __slots__ = ("_config", "metadata", "tensors")

    _config: dict[str, Any]

    metadata: Metadata
    """Texts by name that the model file holds too, a mutable mapping."""
    tensors: Tensors
    """Arrays by name that the model file holds too, a mutable mapping."""

    @from_arguments
    def __init__(
        self,
        cell: str = "lstm",
        *,
        input_size: int | None = None,
        vocab_size: int | None = None,
        embedding_size: int | None = None,
        hidden_size: int,
        num_layers: int = 1,
        output_size: int,
        nonlinearity: str = "tanh",
        bias: bool = True,
        loss: str = "cross_entropy",
        targets: str = "every",
        reduction: str = "mean",
        optimizer: str = "adam",
        lr: float = 1e-3,
        momentum: float = 0.0,
        betas: tuple[float, float | None] | None = None,
        eps: float | None = None,
        weight_decay: float = 0.0,
        decay_biases: bool = False,
        nesterov: bool = False,
        amsgrad: bool = False,
        centered: bool = False,
        rmsprop_alpha: float | None = None,
        rmsprop_form: str = "torch",
        clip_norm: float | None = None,
        clip_tensor_norm: float | None = None,
        clip_value: float | None = None,
        clip_step: float | None = None,
        clip_step_norm: float | None = None,
        dtype: npt.DTypeLike = "float32",
        compute: str | None = None,
        seed: int = 0,
        init: str | Init = "default",
        forget_bias: float | None = None,
        label_smoothing: float = 0.0,
        class_weights: npt.ArrayLike | None = None,
        ignore_index: int = -100,
        huber_delta: float = 1.0,
        nonfinite: str = "skip",
        batch_first: bool = False,
        bidirectional: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_c: float = 0.0,
        alpha: float = 1.0,
        noise: float = 0.0,
        dale: float | None = None,
        peephole: bool = False,
        coupled: bool = False,
        proj_size: int = 0,
        reset_after: bool = True,
        truncation: tuple[int, int] | None = None,
        omega: float = 0.0,
    ) -> None: ...

    def _construct(self, given: dict[str, Any]) -> None:
        self._build(_core.Model(model_options(type(self).__name__, given)))

    def _build(self, core: _core.Model) -> None:
        self._native = core
        self._config = model_config(core.options())
        self._adopt(core.params(), self._config["dtype"])
        self.metadata, self.tensors = Metadata(core), Tensors(core)

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of the constructor; ``Model(**m.config)`` makes a new model like it."""
        return {**self._config, "lr": self.lr}

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser that `train_step` uses. It can be used to set `lr`, or to make updates."""
        # A new object each time: a stored one and the model would keep each other alive.
        rule = OPTIMIZERS[self._config["optimizer"]]
        return rule._of_model(self, self._native, self._config)

    @property
    def lr(self) -> float:
        """The learning rate, which can be assigned."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self.optimizer.lr = value

    @property
    def step_count(self) -> int:
        """The number of updates made, which is also the next draw; saved in model files."""
        return self._native.steps()[0]

    @property
    def skipped_count(self) -> int:
        """The number of updates that were skipped, see `StepResult`; saved in model files."""
        return self._native.steps()[1]

    def __call__(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        training: bool = False,
        draw: int | None = None,
    ) -> tuple[Array, State]:
        """Compute the outputs, without a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, resets : array_like
            As in `train_step`.
        training : bool
            Whether to draw dropout, zoneout and noise as `train_step` does. False: leave dropout
            and noise out, and use the expectation of zoneout.
        draw : int, optional
            Number of the random masks and noise, 0 to 2**64 - 1; only with `training`. None: those
            that the next `train_step` draws.

        Returns
        -------
        out : ndarray [T, N, O], or [N, O] with ``targets="last"``
            Logits or values, 0 after the end of a sequence. With "last", those of each sequence's
            final state.
        state : ndarray or (h, c)
            The states after the last step.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `train_step`.
        """
        draws = flag(training, "Model.__call__", "training")
        chosen = None if draw is None else draw_of(draw, "Model.__call__", draws)
        return self._native.call(
            x=x, state=state, lengths=lengths, resets=resets, draw=chosen, training=draws
        )

    def forward(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        draw: int | None = None,
    ) -> tuple[Array, State, _core.Tape]:
        """Compute the outputs as in training, and record a tape for `backward`.

        Use it with `backward` to train on a loss that `Model` does not have.

        Parameters
        ----------
        x, state, lengths, resets : array_like
            As in `train_step`.
        draw : int, optional
            Number of the random masks and noise, 0 to 2**64 - 1. None: those that the next
            `train_step` draws.

        Returns
        -------
        out, state : ndarray
            As in `__call__`.
        tape : Tape
            The record that `backward` needs. It holds copies, and the parameters of this pass.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `train_step`.
        """
        chosen = None if draw is None else draw_of(draw, "Model.forward")
        return self._native.forward(x=x, state=state, lengths=lengths, resets=resets, draw=chosen)

    def backward(
        self,
        tape: _core.Tape,
        dout: npt.ArrayLike | None,
        dstate: Any = None,
        flow: bool | str = True,
        accumulate: Gradients | None = None,
        *,
        input_gradient: bool = True,
        clip_step: float | None = None,
        clip_step_norm: float | None = None,
        truncation: tuple[int, int] | None = None,
        omega: float = 0.0,
    ) -> Gradients:
        """Compute gradients of the parameters, input and initial states from dL/d out by BPTT.

        Parameters
        ----------
        tape : Tape
            Tape of a `forward` of this model, as in `LSTM.backward`.
        dout : array_like like out, or None
            dL/d out; None means zeros.
        dstate, flow, accumulate, input_gradient, clip_step, clip_step_norm : optional
            As in `LSTM.backward`. The settings of the model are not used here.
        truncation, omega : optional
            As in `LSTM.backward`.

        Returns
        -------
        Gradients
            By parameter name, with ``.x``, ``.state``, ``.flow`` and ``.flow_c``.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `LSTM.backward`.
        """
        return self._native.backward(
            tape=tape,
            dy=dout,
            dstate=dstate,
            flow=flow,
            accumulate=self._flat_of(accumulate, "backward"),
            layout=self._layout,
            input_gradient=input_gradient,
            settings=self._backward_settings(clip_step, clip_step_norm, truncation, omega),
        )

    def stream(self, weights: str = "model") -> Stream:
        """Return a stream, which reads one sequence step by step with the current weights.

        Parameters
        ----------
        weights : {"model", "bfloat16", "int8"}
            The weights that the products of a step read. "model": those of the model. "bfloat16"
            and "int8" round them once, now, for a model in float32. Their products take a half and
            a quarter of the memory, and less time from H = 128 or so on. "int8" has one scale for
            the weights of each unit and gate, and rounds the vectors that they multiply to 16 bits.
            Biases, gains, peepholes, embeddings and the input weights of one-hot tokens are not
            rounded.

        Returns
        -------
        Stream
            The stream, with zero states.

        Raises
        ------
        ValueError
            The model is bidirectional, or in float64 and `weights` is not "model".

        Examples
        --------
        >>> model = bn.Model("gru", input_size=3, hidden_size=256, output_size=1, loss="mse")
        >>> exact, small = model.stream(), model.stream(weights="int8")
        >>> x = np.ones(3, np.float32)
        >>> bool(np.abs(small.step(x) - exact.step(x)).max() < 0.01)
        True
        """
        return Stream(self._native, choice(weights, WEIGHTS, "Model.stream", "weights"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that is needed to continue training into a safetensors file.

        The file is written under another name in the same folder, synchronised and renamed, so a
        crash leaves either the old file or the new one.

        Parameters
        ----------
        path : str or path
            The file; it is replaced if it exists.

        Raises
        ------
        TypeError
            If `path` is no path.
        OSError
            If the file cannot be written.
        """
        self._native.save(file_name(path, "Model.save"))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._native.serialize())

    def __repr__(self) -> str:
        own = own_defaults(self._config["optimizer"], self._config["rmsprop_form"])
        defaults = {**DEFAULTS, **own, "cell": None}  # the cell is always shown
        given = (f"{k}={v!r}" for k, v in self.config.items() if v != defaults.get(k))
        return f"{type(self).__name__}({', '.join(given)})"


def _restore(cls: type[Model], data: bytes) -> Model:
    model = cls.__new__(cls)
    model._build(_core.Model.deserialize(data))
    return model
