"""Models: layers with a readout, a loss and an optimiser, trained by one native call per step."""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt

from .. import _core
from ..arguments.values import Array, file_name, flag
from ..options.constructor import from_arguments
from ..options.from_engine import DEFAULTS, model_config
from ..options.init import Init
from ..options.to_engine import model_options
from .extras import Metadata, Tensors
from .gradients import Gradients, State
from .optimizer import Optimizer
from .optimizers import OPTIMIZERS, own_defaults
from .parameters import draw_of
from .stream import Stream
from .training_step import TrainingStep


class Model(TrainingStep):
    """Recurrent layers with a linear readout, a loss on it and an optimiser.

    y_t = W_o h_t + b_o at every step, or one output per sequence, of its final state.

    Parameters
    ----------
    cell : str
        "rnn", "lstm", "gru" or "mingru".
    input_size : int, optional
        Features I of a dense input. Exactly one of `input_size` and `vocab_size` is given.
    vocab_size : int, optional
        The input is tokens 0 ... vocab_size - 1.
    embedding_size : int, optional
        Puts a table ``embedding.weight`` [V, E] in front; without it tokens are one-hot vectors.
    hidden_size : int
        Units H of each layer.
    num_layers : int
        Layers L.
    output_size : int
        Outputs O: classes for cross-entropy, values for MSE.
    nonlinearity : str
        Of an RNN, see `RNN`.
    bias : bool
        Whether the recurrent layers have biases.
    loss : str
        "cross_entropy" (softmax of the outputs against integer classes), "mse",
        "binary_cross_entropy" (sigmoid of each output against a value in [0, 1]) or "huber"
        (squared errors up to `huber_delta`, linear beyond it; Huber 1964).
    targets : str
        "every": a target at every step; "last": one per sequence, at its last step. With two
        directions "last" reads the final state of each, the forward one's after the last step and
        the reverse one's after the first, so that both have read the whole sequence. "last_row"
        (`bidirectional` only) reads both at the last step, where the reverse direction has read one
        step; model files written before "last" meant final states load with it.
    reduction : str
        "mean" over all targets (but for cross-entropy over all their elements) or "sum". Norms and
        thresholds refer to that loss.
    optimizer : str
        "sgd", "adagrad", "adam" or "rmsprop".
    lr, momentum, betas, eps, weight_decay, decay_biases, nesterov, amsgrad, centered : optional
        As of `SGD`, `Adagrad`, `Adam`, `RMSprop` and `Lion`; betas and eps None mean the
        algorithm's own.
    rmsprop_alpha, rmsprop_form : float, str
        `alpha` and `form` of `RMSprop`; alpha None means the form's own. (lr and momentum are as
        given here.)
    clip_norm : float, optional
        Threshold of the gradient's global norm (Pascanu et al. 2013).
    clip_tensor_norm : float, optional
        Threshold of each parameter tensor's norm.
    clip_value : float, optional
        Bound of each element. The order is value, tensor norm, global norm.
    clip_step, clip_step_norm : float, optional
        Inside BPTT, see `LSTM.backward`.
    dtype : str or dtype
        "float32" or "float64".
    compute : str, optional
        "bfloat16": products of numbers rounded to bfloat16, see `LSTM`; the readout's, too.
    seed : int
        Of the initial parameters.
    init : str or Init
        Of the recurrent layers; the readout begins as ``torch.nn.Linear`` does, the table as
        ``torch.nn.Embedding``.
    forget_bias : float, optional
        LSTM: the forget gates' bias at the beginning.
    label_smoothing : float
        Cross-entropy: the share e in [0, 1] of a target that is spread over all classes (Szegedy et
        al. 2016).
    class_weights : array_like [O], optional
        Finite numbers >= 0, of the classes (cross-entropy) or of the outputs. The mean of
        cross-entropy is divided by the sum of the targets' class weights, the others' as without.
    ignore_index : int
        Cross-entropy: targets of this class do not count.
    huber_delta : float
        Huber: the error d = |output - target| from which the loss is no longer d^2 / 2 but
        delta (d - delta / 2), as ``torch.nn.HuberLoss``. Above 0 and finite in the dtype.
    nonfinite : str
        What an update does with a gradient that is not finite: "skip" it; take "zero" for what is
        not finite; or "raise" FloatingPointError.
    batch_first : bool
        Whether arrays are [N, T, ...] instead of [T, N, ...]. States never are.
    bidirectional, layer_norm, dropout, variational, recurrent_dropout, zoneout : optional
        As of `RNN`, `LSTM`, `GRU`; dropout, zoneout and noise in training steps, `forward`
        and with ``training=True`` only.
    alpha, noise, dale : optional
        As of `RNN`.
    zoneout_c, peephole, coupled, proj_size : optional
        As of `LSTM`.
    reset_after : bool
        As of `GRU`.
    truncation, omega : optional
        Of training steps, see `LSTM.backward`.

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
    """Texts by name that travel in the model file (a mutable mapping)."""
    tensors: Tensors
    """Arrays by name that travel in the model file (a mutable mapping)."""

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
        """The constructor's arguments: ``Model(**m.config)`` is a new model like this one."""
        return {**self._config, "lr": self.lr}

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser that `train_step` uses, to change its `lr` or for steps of your own."""
        # Made anew each time: one that is kept would keep the model, and the model it.
        rule = OPTIMIZERS[self._config["optimizer"]]
        return rule._of_model(self, self._native, self._config)

    @property
    def lr(self) -> float:
        """The learning rate; assign to it to change it."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self.optimizer.lr = value

    @property
    def step_count(self) -> int:
        """How many updates `train_step` has made, and its next draw; kept in model files."""
        return self._native.steps()[0]

    @property
    def skipped_count(self) -> int:
        """How many updates were skipped, see `StepResult`; kept in files."""
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
        """Compute the outputs; nothing is remembered.

        Parameters
        ----------
        x, state, lengths, resets : array_like
            As in `train_step`.
        training : bool
            Whether dropout, zoneout and noise are drawn as `train_step` draws them, or (False) left
            out, zoneout by its expectation.
        draw : int, optional
            With `training`: which random masks and noise; None: those that the next `train_step`
            draws.

        Returns
        -------
        out : ndarray [T, N, O], or [N, O] with ``targets="last"``
            Logits or values; 0 beyond a length. "last" is each sequence's own last step, and with
            two directions the reverse one's first.
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
        """Compute the outputs and remember what `backward` needs, for a loss of your own.

        Parameters
        ----------
        x, state, lengths, resets : array_like
            As in `train_step`.
        draw : int, optional
            Which random masks and noise; None: those that the next `train_step` draws.

        Returns
        -------
        out, state : ndarray
            As in `__call__`.
        tape : Tape
            For `backward`. It keeps the parameters that it was made with.

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
        """Walk back through time from dL/d out.

        Parameters
        ----------
        tape : Tape
            Of a `forward` of this model, as in `LSTM.backward`.
        dout : array_like like out, or None
            dL/d out; None means zeros.
        dstate, flow, accumulate, input_gradient, clip_step, clip_step_norm : optional
            As in `LSTM.backward`. The model's own settings are not used here.
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

    def stream(self) -> Stream:
        """Make a stream: one sequence, one step at a time, with the weights as they are now.

        Returns
        -------
        Stream
            With states of zero.
        """
        return Stream(self._native)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything needed to go on training into a safetensors file.

        It is written to a sibling, synchronised and renamed: a crash leaves the old file or the
        new one.

        Parameters
        ----------
        path : str or path
            The file; it is replaced if it exists.

        Raises
        ------
        TypeError
            If `path` is no path.
        OSError
            If the operating system refuses.
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
