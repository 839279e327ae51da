"""The base class of models: recurrent layers with a readout, a loss and an optimiser."""

from __future__ import annotations

import os
from typing import Any, Never, Self

import numpy.typing as npt

from .. import _core
from ..arguments.display import counted
from ..arguments.names import guided, refuse_unknown
from ..arguments.values import Array, choice, file_name, flag
from ..options.algorithms import own_defaults
from ..options.config import Config
from ..options.from_engine import DEFAULTS, model_config
from ..options.table import OPTIONS
from ..options.to_engine import model_options
from ..options.words import FlowLevel, StreamWeights
from .extras import Metadata, Tensors
from .gradients import Gradients, State
from .optimizer import Optimizer
from .optimizers import OPTIMIZERS
from .parameters import draw_of
from .stream import WEIGHTS, Stream
from .training_step import TrainingStep


@guided
class Network(TrainingStep):
    """Base class of `Model`: its passes, its optimiser and its file.

    The training of whole data, which `Model` adds, is built on these.
    """

    __slots__ = ("_config", "metadata", "tensors")

    _config: dict[str, Any]

    metadata: Metadata
    """Texts by name that the model file holds too, a mutable mapping."""
    tensors: Tensors
    """Arrays by name that the model file holds too, a mutable mapping."""

    def _construct(self, given: dict[str, Any]) -> None:
        self._build(_core.Model(model_options(type(self).__name__, given)))

    def _build(self, core: _core.Model) -> None:
        self._native = core
        self._config = model_config(core.options())
        self._adopt(core.params(), self._config["dtype"])
        self.metadata, self.tensors = Metadata(core), Tensors(core)

    @property
    def config(self) -> Config:
        """The arguments of the constructor; ``Model(**m.config)`` makes a new model like it."""
        return Config(self._config, lr=self.lr)

    def with_options(self, **changes: Any) -> Self:
        """Return a new model with the options of this one, but for some changes.

        Parameters
        ----------
        **changes
            Arguments of `Model` by name. With another optimiser, options that are the old one's own
            defaults, such as `lr`, become the defaults of the new one.

        Returns
        -------
        Model
            A model with new parameters, from the seed in its options.

        Raises
        ------
        TypeError, ValueError
            If an argument is not allowed.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=3, hidden_size=8, output_size=2)
        >>> model.with_options(cell="lstm").cell
        'lstm'
        >>> model.lr, model.with_options(optimizer="lion").lr
        (0.001, 0.0001)
        """
        config, own = self.config, self._own_defaults()
        given = {name: None if own.get(name) == value else value for name, value in config.items()}
        return type(self)(**{**given, **changes})

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser that `train_step` uses. It can be used to set `lr`, or to make updates."""
        # A new object each time: a stored one and the model would keep each other alive.
        rule = OPTIMIZERS[self._config["optimizer"]]
        return rule._of_model(self, self._native, self._config)

    @optimizer.setter
    def optimizer(self, value: Never) -> None:
        raise AttributeError(
            f"{type(self).__name__}.optimizer cannot be changed; model.with_options(optimizer=...) "
            "makes another model, and model.lr can be assigned"
        )

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
        noise: bool = False,
        draw: int | None = None,
        **unknown: Never,
    ) -> tuple[Array, State]:
        """Compute the outputs, without a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, resets : array_like
            As in `train_step`.
        training : bool
            Whether to draw dropout, zoneout and noise as `train_step` does. False: leave dropout
            and noise out, and use the expectation of zoneout.
        noise : bool
            Whether to draw the noise of the option `noise`, even without `training`.
        draw : int, optional
            Number of the random masks and noise, 0 to 2**64 - 1; only with `training` or `noise`.
            None: those that the next `train_step` draws.

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
        if unknown:
            refuse_unknown(f"{type(self).__name__}.__call__", Network.__call__, unknown)
        where = "Model.__call__"
        masks, noisy = flag(training, where, "training"), flag(noise, where, "noise")
        return self._native.call(
            x=x, state=state, lengths=lengths, resets=resets,
            draw=None if draw is None else draw_of(draw, where, masks or noisy),
            training=masks, noise=noisy,
        )  # fmt: skip

    def forward(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        draw: int | None = None,
        **unknown: Never,
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

        Examples
        --------
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
        >>> out, state, tape = model.forward(np.ones((5, 2, 2), np.float32))
        >>> out.shape, state.shape, tape.steps
        ((5, 2, 3), (1, 2, 4), 5)
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.forward", Network.forward, unknown)
        chosen = None if draw is None else draw_of(draw, "Model.forward")
        return self._native.forward(x=x, state=state, lengths=lengths, resets=resets, draw=chosen)

    def backward(
        self,
        tape: _core.Tape,
        dout: npt.ArrayLike | None,
        dstate: Any = None,
        flow: FlowLevel = True,
        accumulate: Gradients | None = None,
        *,
        input_gradient: bool = True,
        clip_step: float | None = None,
        clip_step_norm: float | None = None,
        truncation: tuple[int, int] | None = None,
        omega: float = 0.0,
        activity_l1: float = 0.0,
        activity_l2: float = 0.0,
        **unknown: Never,
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
        truncation, omega, activity_l1, activity_l2 : optional
            As in `LSTM.backward`.

        Returns
        -------
        Gradients
            By parameter name, with ``.x``, ``.state``, ``.flow`` and ``.flow_c``.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `LSTM.backward`.

        Examples
        --------
        One step of training with a loss of the user, here the mean of the absolute outputs:

        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
        >>> out, state, tape = model.forward(np.ones((5, 2, 2), np.float32))
        >>> grads = model.backward(tape, np.sign(out) / out.size)
        >>> model.apply(grads).skipped
        False
        """
        if unknown:
            refuse_unknown(f"{type(self).__name__}.backward", Network.backward, unknown)
        return self._native.backward(
            tape=tape,
            dy=dout,
            dstate=dstate,
            flow=flow,
            accumulate=self._flat_of(accumulate, "backward"),
            layout=self._layout,
            input_gradient=input_gradient,
            settings=self._backward_settings(
                clip_step, clip_step_norm, truncation, omega, (activity_l1, activity_l2)
            ),
        )

    def stream(
        self, weights: StreamWeights = "model", *, noise: bool = False, draw: int | None = None
    ) -> Stream:
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
        noise : bool
            Whether each step draws the noise of the option `noise`.
        draw : int, optional
            Number of the noise until the first `Stream.reset`, 0 to 2**64 - 1; only with `noise`.
            Each reset goes to the next number. None: begin with the step count of the model.

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
        where = "Model.stream"
        noisy = flag(noise, where, "noise")
        first = self.step_count if draw is None else draw_of(draw, where, noisy)
        return Stream(self._native, choice(weights, WEIGHTS, where, "weights"), noisy, first)

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

        Examples
        --------
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
        >>> model.metadata["note"] = "the first one"
        >>> model.save("model.safetensors")
        >>> bn.load("model.safetensors").metadata["note"]
        'the first one'
        """
        self._native.save(file_name(path, "Model.save"))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._native.serialize())

    def _own_defaults(self) -> dict[str, Any]:
        """Return the arguments' values that None means for this optimiser, by name."""
        own = own_defaults(self._config["optimizer"], self._config["rmsprop_form"])
        own["betas"] = OPTIONS["beta1"].default, own.pop("beta2")
        own["rmsprop_alpha"] = own.pop("alpha")
        return own

    def _constructor(self) -> str:
        defaults = {**DEFAULTS, **self._own_defaults(), "cell": None}  # the cell is always shown
        return self._call_with({k: v for k, v in self.config.items() if v != defaults.get(k)})

    def _facts(self) -> tuple[str, ...]:
        config = self._config
        rows = {"every": "at every step"}.get(config["targets"], "once per sequence")
        updates = counted(self.step_count, "update")
        skipped = f", {self.skipped_count:,} skipped" if self.skipped_count else ""
        return (
            f"readout: {counted(config['output_size'], 'output')} {rows}; loss: {config['loss']}",
            f"optimiser: {config['optimizer']}, lr {self.lr:g}, {updates}{skipped}",
        )


def _restore(cls: type[Network], data: bytes) -> Network:
    model = cls.__new__(cls)
    model._build(_core.Model.deserialize(data))
    return model
