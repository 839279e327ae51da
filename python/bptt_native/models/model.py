"""The class of models: networks that are trained and evaluated on whole data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy.typing as npt

from ..arguments.names import guided
from ..nn.network import Network
from ..options.attribute import OptionOf
from ..options.constructor import from_arguments
from ..options.init import Init
from ..options.words import (
    Algorithm,
    Cell,
    Compute,
    DType,
    InitName,
    LossName,
    Nonfinite,
    Nonlinearity,
    PredictionKind,
    Reduction,
    RMSpropForm,
    ScheduleName,
    Targets,
    Verbosity,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ..training.callbacks import Callback
    from ..training.evaluation import Metrics
    from ..training.fit import FitResult
    from ..training.history import HistoryRow
    from ..training.schedules import EarlyStopping, Schedule
    from ..training.watch import Watch

    OneMetric: TypeAlias = str | Callable[[Any, Any], Any]
    MetricsLike: TypeAlias = OneMetric | Sequence[OneMetric] | Mapping[str, OneMetric] | None

# The methods import the training of models when they are called: it would double the time that the
# import of the package takes.


@guided
class Model(Network):
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
        "sgd", "adagrad", "adam", "adamw" (Adam with the weight decay of `AdamW`; the model keeps
        the options of "adam" that it means), "rmsprop" or "lion".
    lr, momentum, betas, eps, weight_decay, decay_biases, nesterov, amsgrad, centered : optional
        As in the class of the optimiser. None means its default, for example the lr 1e-3 of `Adam`
        and 1e-4 of `Lion`.
    rmsprop_alpha, rmsprop_form : float, str
        `alpha` and `form` of `RMSprop`. For alpha, lr and momentum, None means the default of the
        form.
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
    bidirectional, layer_norm, dropout, variational, recurrent_dropout, zoneout, \
    learn_initial_state : optional
        As in `RNN`, `LSTM`, `GRU` and `MinGRU`, which has neither layer_norm nor
        recurrent_dropout. Dropout, zoneout and noise act in training steps, in
        `forward` and in calls with ``training=True``; noise also in calls with ``noise=True``.
    alpha, noise, dale : optional
        As in `RNN`.
    zoneout_c, peephole, coupled, proj_size : optional
        As in `LSTM`.
    reset_after : bool
        As in `GRU`.
    truncation, omega : optional
        Settings of training steps, as in `LSTM.backward`.
    weight_l1, weight_l2 : float
        Regularisers of the weights: training minimises loss + weight_l1 sum |w| +
        weight_l2 sum w^2 over the matrices that are not frozen. Unlike `weight_decay`, which is
        part of the update, their gradient passes through clipping and the moments of the optimiser.
        `StepResult.weight_penalty` reports their value; the loss is without it.
    activity_l1, activity_l2 : float
        Regularisers of the activity in training steps, as in `LSTM.backward`.
        `StepResult.activity_penalty` reports their value; the loss is without it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    MemoryError
        If the sizes do not fit into memory.

    Examples
    --------
    >>> model = bn.Model("lstm", vocab_size=27, embedding_size=8, hidden_size=16, output_size=27)
    >>> tokens = np.arange(22).reshape(11, 2)  # ten steps of two sequences, and their next tokens
    >>> step = model.train_step(tokens[:-1], tokens[1:])
    >>> step.skipped, model.step_count, model.hidden_size
    (False, 1, 16)
    """

    __slots__ = ()

    cell: OptionOf[Cell] = OptionOf()
    input_size: OptionOf[int | None] = OptionOf()
    vocab_size: OptionOf[int | None] = OptionOf()
    embedding_size: OptionOf[int | None] = OptionOf()
    output_size: OptionOf[int] = OptionOf()
    nonlinearity: OptionOf[Nonlinearity] = OptionOf()
    loss: OptionOf[LossName] = OptionOf()
    targets: OptionOf[Targets] = OptionOf()
    reduction: OptionOf[Reduction] = OptionOf()
    momentum: OptionOf[float] = OptionOf()
    betas: OptionOf[tuple[float, float | None] | None] = OptionOf()
    eps: OptionOf[float | None] = OptionOf()
    weight_decay: OptionOf[float] = OptionOf()
    decay_biases: OptionOf[bool] = OptionOf()
    nesterov: OptionOf[bool] = OptionOf()
    amsgrad: OptionOf[bool] = OptionOf()
    centered: OptionOf[bool] = OptionOf()
    rmsprop_alpha: OptionOf[float | None] = OptionOf()
    rmsprop_form: OptionOf[RMSpropForm] = OptionOf()
    clip_norm: OptionOf[float | None] = OptionOf()
    clip_tensor_norm: OptionOf[float | None] = OptionOf()
    clip_value: OptionOf[float | None] = OptionOf()
    clip_step: OptionOf[float | None] = OptionOf()
    clip_step_norm: OptionOf[float | None] = OptionOf()
    forget_bias: OptionOf[float | None] = OptionOf()
    label_smoothing: OptionOf[float] = OptionOf()
    class_weights: OptionOf[list[float] | None] = OptionOf()
    ignore_index: OptionOf[int] = OptionOf()
    huber_delta: OptionOf[float] = OptionOf()
    nonfinite: OptionOf[Nonfinite] = OptionOf()
    layer_norm: OptionOf[bool] = OptionOf()
    recurrent_dropout: OptionOf[float] = OptionOf()
    zoneout_c: OptionOf[float] = OptionOf()
    alpha: OptionOf[float | tuple[float, ...]] = OptionOf()
    noise: OptionOf[float] = OptionOf()
    dale: OptionOf[float | None] = OptionOf()
    peephole: OptionOf[bool] = OptionOf()
    coupled: OptionOf[bool] = OptionOf()
    proj_size: OptionOf[int] = OptionOf()
    reset_after: OptionOf[bool] = OptionOf()
    truncation: OptionOf[tuple[int, int] | None] = OptionOf()
    omega: OptionOf[float] = OptionOf()
    weight_l1: OptionOf[float] = OptionOf()
    weight_l2: OptionOf[float] = OptionOf()
    activity_l1: OptionOf[float] = OptionOf()
    activity_l2: OptionOf[float] = OptionOf()

    @from_arguments
    def __init__(
        self,
        cell: Cell = "lstm",
        *,
        input_size: int | None = None,
        vocab_size: int | None = None,
        embedding_size: int | None = None,
        hidden_size: int,
        num_layers: int = 1,
        output_size: int,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        loss: LossName = "cross_entropy",
        targets: Targets = "every",
        reduction: Reduction = "mean",
        optimizer: Algorithm = "adam",
        lr: float | None = None,
        momentum: float | None = None,
        betas: tuple[float, float | None] | None = None,
        eps: float | None = None,
        weight_decay: float | None = None,
        decay_biases: bool = False,
        nesterov: bool = False,
        amsgrad: bool = False,
        centered: bool = False,
        rmsprop_alpha: float | None = None,
        rmsprop_form: RMSpropForm = "torch",
        clip_norm: float | None = None,
        clip_tensor_norm: float | None = None,
        clip_value: float | None = None,
        clip_step: float | None = None,
        clip_step_norm: float | None = None,
        dtype: DType = "float32",
        compute: Compute | None = None,
        seed: int = 0,
        init: InitName | Init = "default",
        forget_bias: float | None = None,
        label_smoothing: float = 0.0,
        class_weights: npt.ArrayLike | None = None,
        ignore_index: int = -100,
        huber_delta: float = 1.0,
        nonfinite: Nonfinite = "skip",
        batch_first: bool = False,
        bidirectional: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_c: float = 0.0,
        alpha: npt.ArrayLike = 1.0,
        noise: float = 0.0,
        dale: float | None = None,
        learn_initial_state: bool = False,
        peephole: bool = False,
        coupled: bool = False,
        proj_size: int = 0,
        reset_after: bool = True,
        truncation: tuple[int, int] | None = None,
        omega: float = 0.0,
        weight_l1: float = 0.0,
        weight_l2: float = 0.0,
        activity_l1: float = 0.0,
        activity_l2: float = 0.0,
    ) -> None: ...

    def fit(
        self,
        x: Any,
        targets: Any,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        window: int | None = None,
        accumulate: int = 1,
        weights: Any = None,
        validation: tuple[Any, ...] | None = None,
        validation_split: float | None = None,
        metrics: MetricsLike = None,
        early_stopping: EarlyStopping | None = None,
        schedule: ScheduleName | Schedule = "constant",
        warmup: int = 0,
        seed: int = 0,
        callbacks: Callback
        | EarlyStopping
        | Sequence[Callback | EarlyStopping | Callable[[HistoryRow], object]] = (),
        out: str | Path | None = None,
        checkpoint_every: int | None = None,
        max_skips: int = 20,
        verbose: Verbosity = 0,
        watch: int | Watch | None = None,
    ) -> FitResult[Self]:
        """Train the model on sequences, in place.

        The schedule multiplies the learning rate of the model. The run itself does not change it.

        Parameters
        ----------
        x : array_like, or list of array_like
            Several sequences: a list of arrays [T_i, I] of any lengths (tokens: integers [T_i]), or
            an array [T, N, I] (tokens: [T, N]; [N, T, ...] for a model with ``batch_first``). One
            long sequence: an array [T, I] (tokens: [T]). With one feature (I = 1) arrays [T_i] and
            [T] will do. The dtype is that of the model.
        targets : array_like, or list of array_like
            With ``targets="every"`` classes in the form of x, or values [..., O] (for O = 1 the
            last axis may be missing). With ``targets="last"`` one per sequence, [N] or [N, O]. A
            batch whose targets do not count (``ignore_index``) makes no update.
        epochs, steps : int, optional
            Length of the run in passes over the data or in updates; 10 epochs by default.
        batch_size : int, optional
            Number of sequences per batch, 32 by default. One long sequence is cut into this number
            of streams, which are read at the same time; 1 by default.
        window : int, optional
            Number of steps of a window of truncated BPTT. States are carried from window to window.
            By default sequences are not cut.
        accumulate : int
            Batches per update (gradient accumulation). The gradient is that of one batch with all
            their targets.
        weights : array_like, or list of array_like, or "balanced", optional
            Weights of the targets, finite and >= 0 in the dtype of the model, or bools; a mean is
            the weighted mean. One per target, in the form of classes as targets, or one per
            sequence, [N]. "balanced" weighs the targets of a class by the number of all targets
            over (classes x targets of the class); it counts those that are trained on, and leaves
            those that `validation_split` holds out without weights.
        validation : (x, targets) or (x, targets, weights), optional
            Held-out data, on which loss and metrics are computed after each epoch.
        validation_split : float, optional
            Share of the data to hold out, above 0 and below 1: the last sequences in the given
            order, or the last steps of one long sequence. They are not shuffled before; only the
            others are trained on. Held-out targets keep their weights if `weights` are numbers.
        metrics : str, callable, or sequence of them, or mapping of str to callable, optional
            Further measurements of the held-out data, by name (``bptt_native.metrics``) or as
            functions f(targets, outputs) -> float. They get the targets that count, [M] or [M, O],
            and their outputs [M, O] (logits). The accuracy of classes is always measured.
        early_stopping : EarlyStopping, optional
            The rule by which measurements on the held-out data end the run. It may be one of the
            callbacks instead.
        schedule : str or callable
            Schedule of the learning rate: "constant", "step", "exponential", "cosine" or "plateau"
            over the whole run (``schedules.schedule_of``), or a function like those in
            ``bptt_native.schedules``.
        warmup : int
            Steps at the beginning in which the rate rises, for a schedule given by name.
        seed : int
            Seed of the order of the sequences, which is another in each epoch.
        callbacks : Callback, or sequence of Callback or callable
            Objects of ``bptt_native.callbacks``, and functions that are called with the
            ``HistoryRow`` of each step. If one returns True, the run stops.
        out : str or Path, optional
            Folder for checkpoints (``model.safetensors``) and the history (``history.csv``).
        checkpoint_every : int, optional
            Steps between checkpoints; an epoch by default.
        max_skips : int
            Number of successive gradients that are not finite until `TrainingDiverged` is raised.
        verbose : {0, 1, 2}
            0: print nothing. 1: show a bar of tqdm on a terminal or in a notebook, otherwise a line
            every few seconds. 2: print a line after each epoch. All on the standard error.
        watch : int or Watch, optional
            Number of updates between records of the gradient's flow, or a `Watch`. A warning is
            issued if the gradient vanishes or explodes. With ``out`` the records are written to
            ``gradients.jsonl``. This does not change the training.

        Returns
        -------
        FitResult
            The model, its history, and the reason why the run ended.

        Raises
        ------
        TypeError, ValueError
            If a dtype, shape or option does not fit, or a number of the data is not finite. Nothing
            has changed then.
        IndexError
            If a token or class is out of range.
        TrainingDiverged
            If ``max_skips`` successive gradients were not finite.
        OSError
            If a file cannot be written.

        Warns
        -----
        RuntimeWarning
            If all measurements are NaN of which early stopping, the schedule or a `ModelCheckpoint`
            looks for the best.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x = [rng.standard_normal((t, 2), dtype=np.float32) for t in rng.integers(3, 9, 60)]
        >>> y = [int(s.sum() > 0) for s in x]
        >>> model = bn.Model(
        ...     "gru", input_size=2, hidden_size=8, output_size=2, targets="last", lr=0.03
        ... )
        >>> result = model.fit(x, y, epochs=10, validation_split=0.25, metrics=["f1"])
        >>> result.ended, len(result.history["valid_f1"])
        ('steps', 10)
        """
        from ..training.fit import fit

        return fit(
            self,
            x,
            targets,
            epochs=epochs,
            steps=steps,
            batch_size=batch_size,
            window=window,
            accumulate=accumulate,
            weights=weights,
            validation=validation,
            validation_split=validation_split,
            metrics=metrics,
            early_stopping=early_stopping,
            schedule=schedule,
            warmup=warmup,
            seed=seed,
            callbacks=callbacks,
            out=out,
            checkpoint_every=checkpoint_every,
            max_skips=max_skips,
            verbose=verbose,
            watch=watch,
        )

    def evaluate(
        self,
        x: Any,
        targets: Any,
        *,
        weights: Any = None,
        metrics: MetricsLike = None,
        batch_size: int | None = None,
        window: int | None = None,
        training: bool = False,
        noise: bool = False,
        draw: int | None = None,
    ) -> Metrics:
        """Compute the loss, the accuracy and other metrics on sequences.

        The model does not change.

        Parameters
        ----------
        x, targets, weights : array_like, or lists of them
            The sequences, their targets and their weights, as in `fit`.
        metrics : str, callable, or sequence of them, or mapping of str to callable, optional
            Further metrics, as in `fit`.
        batch_size : int, optional
            Number of sequences per batch, 32 by default. One long sequence is cut into this number
            of streams; by default it is not cut.
        window : int, optional
            Number of steps per pass, with states carried to the next. The result is the same; it
            takes less memory.
        training : bool
            Whether to draw dropout, zoneout and noise as in training (Monte-Carlo dropout: Gal &
            Ghahramani 2016).
        noise : bool
            Whether to draw the noise of the option `noise`, even without `training`.
        draw : int, optional
            Number of the masks and noise of the first batch, 0 to 2**64 - 1, only with `training`
            or `noise`. Each following batch has the next number, and with `window` each following
            window: masks that are the same for all steps change from window to window, as in
            training. None: begin with the step count of the model.

        Returns
        -------
        Metrics
            The loss and the accuracy, a tuple; with `metrics` the loss and those. All are
            attributes too. If numbers of the data are not finite, the loss is NaN or infinite.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in ``fit``.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=1, hidden_size=4, output_size=1, loss="mse")
        >>> series = np.sin(np.arange(50)).astype("f4")
        >>> loss, mae = model.evaluate(series[:-1], series[1:], metrics="mae")
        >>> bool(0 < mae < 2)
        True
        """
        from ..training.evaluation import evaluate

        return evaluate(
            self,
            x,
            targets,
            weights=weights,
            metrics=metrics,
            batch_size=batch_size,
            window=window,
            training=training,
            noise=noise,
            draw=draw,
        )

    def predict(
        self,
        x: Any,
        *,
        kind: PredictionKind | None = None,
        batch_size: int = 32,
        window: int | None = None,
        training: bool = False,
        noise: bool = False,
        draw: int | None = None,
    ) -> Any:
        """Compute predictions for sequences. The model does not change.

        Parameters
        ----------
        x : array_like, or list of array_like
            The sequences, as in `fit`.
        kind : {"probabilities", "labels", "outputs"}, optional
            "outputs": W_o h_t + b_o. "probabilities": those of the classes with the loss
            "cross_entropy" (softmax of the outputs), or of each output with "binary_cross_entropy"
            (sigmoid). "labels": the most probable class, or 1 where the probability is above one
            half. None: "probabilities" with these losses, and "outputs" with others, which have no
            probabilities.
        batch_size, window, training, noise, draw : optional
            As in `evaluate`.

        Returns
        -------
        ndarray or list of ndarray
            With ``targets="last"`` [N, O], or [O] for one sequence. Otherwise an array like x with
            O outputs in place of the features, or a list of [T_i, O] for a list. Labels of
            "cross_entropy" have no last axis. A NaN in x affects only the outputs that depend on
            it.

        Raises
        ------
        TypeError, ValueError, IndexError
            As in `fit`.

        Examples
        --------
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3, targets="last")
        >>> x = [np.ones((5, 2)).astype("f4"), np.ones((7, 2)).astype("f4")]
        >>> model.predict(x).shape, model.predict(x, kind="labels").shape
        ((2, 3), (2,))
        """
        from ..training.evaluation import predict

        return predict(
            self,
            x,
            kind=kind,
            batch_size=batch_size,
            window=window,
            training=training,
            noise=noise,
            draw=draw,
        )
