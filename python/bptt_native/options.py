"""The options of layers, models and optimisers: checks, and names for the engine's numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

from .arrays import choice, convert, dtype_name, flag, integer, message, number, positive, refuse

CELLS = {"rnn": 1, "lstm": 2, "gru": 3}
NONLINEARITIES = {"tanh": 1, "relu": 2, "sigmoid": 3, "identity": 4}
DTYPES = {"float32": 1, "float64": 2}
INITS = {"default": 1, "orthogonal": 2, "identity": 3}
ALGORITHMS = {"sgd": 1, "adagrad": 2, "adam": 3}
DEFAULT_EPS = {"sgd": None, "adagrad": 1e-10, "adam": 1e-8}
LOSSES = {"cross_entropy": 1, "mse": 2, "binary_cross_entropy": 3}
TARGETS = {"every": 1, "last": 2}
REDUCTIONS = {"mean": 1, "sum": 2}
THRESHOLDS = ("clip_norm", "clip_tensor_norm", "clip_value", "clip_step", "clip_step_norm")
LOSS_OPTIONS = ("label_smoothing", "class_weights", "ignore_index")


class Init(NamedTuple):
    """How parameters begin, the same bits on every platform for the same seed.

    Attributes
    ----------
    weights : str
        "default": every tensor U(-1/sqrt(H), 1/sqrt(H)), as PyTorch; "orthogonal": each gate's
        W_hh orthogonal times `gain` (Saxe et al. 2014), the rest as "default"; "identity": W_hh =
        gain * I per gate, biases 0, W_ih ~ N(0, 0.001) (IRNN, Le et al. 2015).
    gain : float
        Of "orthogonal" and "identity".
    forget_bias : float, optional
        LSTM: the forget gates' b_ih is set to this and their b_hh to 0 (Gers et al. 2000).
    """

    weights: str = "default"
    gain: float = 1.0
    forget_bias: float | None = None


def layer_options(
    where: str,
    *,
    cell: int,
    nonlinearity: object = "tanh",
    hidden_size: object,
    num_layers: object,
    bias: object,
    dtype: object,
    seed: object,
    init: object,
    forget_bias: object,
) -> dict[str, Any]:
    """Turn a constructor's arguments into the options of the engine.

    Parameters
    ----------
    where : str
        The class, for messages.
    cell : int
        The engine's number of the cell.
    nonlinearity, hidden_size, num_layers, bias, dtype, seed, init, forget_bias : object
        As the user gave them.

    Returns
    -------
    dict
        Field names of ``bptt_layer_options`` and their values.

    Raises
    ------
    TypeError, ValueError
        If a value is not allowed.
    """
    start = init if isinstance(init, Init) else Init(init)  # type: ignore[arg-type]
    if forget_bias is not None and start.forget_bias is not None:
        raise ValueError(message(where, "forget_bias", "None beside init.forget_bias", "both"))
    wanted = forget_bias if start.forget_bias is None else start.forget_bias
    name = dtype_name(dtype, where)
    options = {
        "cell": cell,
        "nonlinearity": choice(nonlinearity, NONLINEARITIES, where, "nonlinearity"),
        "hidden_size": integer(hidden_size, where, "hidden_size", 1),
        "num_layers": integer(num_layers, where, "num_layers", 1),
        "bias": int(flag(bias, where, "bias")),
        "dtype": DTYPES[name],
        "seed": integer(seed, where, "seed", 0, 2**64 - 1),
        "init": choice(start.weights, INITS, where, "init"),
        "gain": number(start.gain, where, "init"),
    }
    if wanted is not None:
        if cell != CELLS["lstm"] or not bias:
            expected = "None, because only an LSTM with biases has one"
            raise ValueError(message(where, "forget_bias", expected, str(wanted)))
        options["forget_bias"] = number(wanted, where, "forget_bias")
    return options


def optimizer_options(
    where: str,
    *,
    algorithm: int,
    lr: object,
    momentum: object = 0.0,
    betas: object = (0.9, 0.999),
    eps: object = None,
    weight_decay: object = 0.0,
) -> dict[str, Any]:
    """Turn an optimiser's arguments into the options of the engine.

    Parameters
    ----------
    where : str
        The class, for messages.
    algorithm : int
        The engine's number of it.
    lr, momentum, betas, eps, weight_decay : object
        As the user gave them.

    Returns
    -------
    dict
        Field names of ``bptt_optimizer_options`` and their values.

    Raises
    ------
    TypeError, ValueError
        If a value is no finite number. (Their bounds are the engine's business.)
    """
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        got = repr(betas)
        raise TypeError(message(where, "betas", "two numbers in [0, 1)", f"{got:.80}"))
    options = {
        "algorithm": algorithm,
        "lr": number(lr, where, "lr"),
        "momentum": number(momentum, where, "momentum"),
        "beta1": number(betas[0], where, "betas"),
        "beta2": number(betas[1], where, "betas"),
        "weight_decay": number(weight_decay, where, "weight_decay"),
    }
    if eps is not None:
        options["eps"] = number(eps, where, "eps")
    return options


def loss_options(
    where: str,
    *,
    label_smoothing: object,
    class_weights: object,
    ignore_index: object,
    output_size: int,
) -> dict[str, Any]:
    """Turn the arguments that belong to the loss alone into the options of the engine.

    Parameters
    ----------
    where : str
        The class, for messages.
    label_smoothing, class_weights, ignore_index : object
        As the user gave them.
    output_size : int
        Outputs O.

    Returns
    -------
    dict
        Field names of ``bptt_model_options`` and their values.

    Raises
    ------
    TypeError, ValueError
        If a value is no number, or `class_weights` no vector [O]. (Their bounds are the engine's
        business.)
    """
    options: dict[str, Any] = {
        "label_smoothing": number(label_smoothing, where, "label_smoothing"),
        "ignore_index": integer(ignore_index, where, "ignore_index", -(2**63)),
    }
    if class_weights is not None:
        expected = f"None or [{output_size}] finite numbers >= 0"
        weights = convert(class_weights, "float64", where, "class_weights", expected)
        if weights.shape != (output_size,):
            refuse(class_weights, where, "class_weights", expected)
        options["class_weights"] = weights.copy()
    return options


def model_options(
    where: str,
    *,
    cell: object,
    input_size: object,
    vocab_size: object,
    embedding_size: object,
    output_size: object,
    loss: object,
    targets: object,
    reduction: object,
    optimizer: object,
    **rest: Any,
) -> dict[str, Any]:
    """Turn the arguments of a model's constructor into the options of the engine.

    Parameters
    ----------
    where : str
        The class, for messages.
    cell, input_size, vocab_size, embedding_size, output_size, loss, targets, reduction : object
        As the user gave them.
    optimizer, **rest : object
        As the user gave them: the optimiser's, the layers' and the thresholds.

    Returns
    -------
    dict
        Field names of ``bptt_model_options`` and their values.

    Raises
    ------
    TypeError, ValueError
        If a value is not allowed.
    """
    if (input_size is None) == (vocab_size is None):
        got = "neither" if input_size is None else "both"
        expected = "exactly one of input_size and vocab_size"
        raise ValueError(message(where, "input_size", expected, got))
    if vocab_size is None and embedding_size is not None:
        expected = "None without vocab_size"
        raise ValueError(message(where, "embedding_size", expected, str(embedding_size)))
    sizes = {"input_size": input_size, "vocab_size": vocab_size, "output_size": output_size,
             "embedding_size": embedding_size}  # fmt: skip
    rule = {name: rest.pop(name) for name in ("lr", "momentum", "betas", "eps", "weight_decay")}
    thresholds = {name: positive(rest.pop(name), where, name) for name in THRESHOLDS}
    of_loss = {name: rest.pop(name) for name in LOSS_OPTIONS}
    outputs = integer(output_size, where, "output_size", 1)
    return {
        **layer_options(where, cell=choice(cell, CELLS, where, "cell"), **rest),
        **{name: integer(n, where, name, 1) for name, n in sizes.items() if n is not None},
        "loss": choice(loss, LOSSES, where, "loss"),
        "targets": choice(targets, TARGETS, where, "targets"),
        "reduction": choice(reduction, REDUCTIONS, where, "reduction"),
        **optimizer_options(
            where, algorithm=choice(optimizer, ALGORITHMS, where, "optimizer"), **rule
        ),
        **thresholds,
        **loss_options(where, output_size=outputs, **of_loss),
    }


def _name_of(choices: dict[str, int], value: int) -> str:
    return next(name for name, known in choices.items() if known == value)


def model_config(options: dict[str, Any]) -> dict[str, Any]:
    """Turn the engine's options back into the arguments of a model's constructor.

    Parameters
    ----------
    options : dict
        Field names of ``bptt_model_options`` and their values.

    Returns
    -------
    dict
        Arguments of `Model`.
    """
    forget_bias, eps = options["forget_bias"], options["eps"]
    init = _name_of(INITS, options["init"])
    kept = ("hidden_size", "num_layers", "output_size", "lr", "momentum", "weight_decay", "seed")
    or_none = ("input_size", "vocab_size", "embedding_size", *THRESHOLDS)  # 0 means None
    return {
        "cell": _name_of(CELLS, options["cell"]),
        **{name: options[name] or None for name in or_none},
        **{name: options[name] for name in kept},
        "nonlinearity": _name_of(NONLINEARITIES, options["nonlinearity"]),
        "bias": bool(options["bias"]),
        "loss": _name_of(LOSSES, options["loss"]),
        "targets": _name_of(TARGETS, options["targets"]),
        "reduction": _name_of(REDUCTIONS, options["reduction"]),
        "optimizer": _name_of(ALGORITHMS, options["algorithm"]),
        "betas": (options["beta1"], options["beta2"]),
        "eps": None if eps != eps else eps,
        "dtype": _name_of(DTYPES, options["dtype"]),
        "init": init if options["gain"] == 1 else Init(init, options["gain"]),
        "forget_bias": None if forget_bias != forget_bias else forget_bias,
        **{name: options[name] for name in LOSS_OPTIONS},
    }
