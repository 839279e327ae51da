"""The options of layers, models and optimisers: checks, and names for the engine's numbers."""

from __future__ import annotations

from typing import Any

from ..arguments.arrays import convert
from ..arguments.values import (
    choice,
    describe,
    dtype_name,
    flag,
    integer,
    message,
    number,
    positive,
)
from .cells import cell_options
from .init import INITS, Init, scales

CELLS = {"rnn": 1, "lstm": 2, "gru": 3}
NONLINEARITIES = {"tanh": 1, "relu": 2, "sigmoid": 3, "identity": 4, "softplus": 5, "elu": 6,
                  "hard_sigmoid": 7, "softsign": 8, "leaky_relu": 9}  # fmt: skip
DTYPES = {"float32": 1, "float64": 2}
COMPUTES = {"float32": 0, "float64": 0, "bfloat16": 1}  # 0: as the dtype
ALGORITHMS = {"sgd": 1, "adagrad": 2, "adam": 3, "rmsprop": 4}
RMSPROP_FORMS = {"torch": 0, "graves": 1}
RMSPROP_DEFAULTS = {
    "torch": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0},
    "graves": {"lr": 1e-4, "alpha": 0.95, "eps": 1e-4, "momentum": 0.9},
}
DEFAULT_EPS = {"sgd": None, "adagrad": 1e-10, "adam": 1e-8}
OPTIMIZER_ARGUMENTS = ("lr", "momentum", "betas", "eps", "weight_decay", "decay_biases", "nesterov",
                       "amsgrad", "centered")  # fmt: skip
LOSSES = {"cross_entropy": 1, "mse": 2, "binary_cross_entropy": 3}
TARGETS = {"every": 1, "last": 2, "last_row": 3}
REDUCTIONS = {"mean": 1, "sum": 2}
NONFINITE = {"skip": 0, "zero": 1, "raise": 2}
THRESHOLDS = ("clip_norm", "clip_tensor_norm", "clip_value", "clip_step", "clip_step_norm")
LOSS_OPTIONS = ("label_smoothing", "class_weights", "ignore_index")


def name_of(choices: dict[str, int], value: int) -> str:
    """Give the name that stands for one of the engine's numbers."""
    return next(name for name, known in choices.items() if known == value)


def _compute(value: object, dtype: str, where: str) -> int:
    given = dtype if value is None else value
    number = choice(given, COMPUTES, where, "compute")
    if given != dtype and (given, dtype) != ("bfloat16", "float32"):
        expected = "None, or 'bfloat16' with dtype 'float32'"
        raise ValueError(message(where, "compute", expected, f"{given!r} with dtype {dtype!r}"))
    return number


def layer_options(
    where: str,
    *,
    cell: int,
    nonlinearity: object = "tanh",
    hidden_size: object,
    num_layers: object,
    bias: object,
    dtype: object,
    compute: object = None,
    seed: object,
    init: object,
    forget_bias: object = None,
    **more: object,
) -> dict[str, Any]:
    """Turn a constructor's arguments into the options of the engine.

    Parameters
    ----------
    where : str
        The class, for messages.
    cell : int
        The engine's number of the cell.
    nonlinearity, hidden_size, num_layers, bias, dtype, compute, seed, init, forget_bias : object
        As the user gave them.
    **more : object
        The options of cells and their regularisation, as the user gave them.

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
        "compute": _compute(compute, name, where),
        "seed": integer(seed, where, "seed", 0, 2**64 - 1),
        "init": choice(start.weights, INITS, where, "init"),
        "init_gain": number(start.gain, where, "init.gain"),
        **scales(start, where),
        **cell_options(more, name_of(CELLS, cell), where),
    }
    if options["nonlinearity"] != NONLINEARITIES["tanh"] and cell != CELLS["rnn"]:
        expected = "'tanh' unless the cell is 'rnn'"
        raise ValueError(message(where, "nonlinearity", expected, repr(nonlinearity)))
    if options.get("proj_size") and start.weights in ("normal", "sparse"):
        expected = "other weights than 'normal' and 'sparse' with proj_size"
        raise ValueError(message(where, "init", expected, repr(start.weights)))
    if more.get("dale") is not None and start.weights in ("identity", "sparse"):
        expected = "other weights than 'identity' and 'sparse' with dale, whose zeros never learn"
        raise ValueError(message(where, "init", expected, repr(start.weights)))
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
    decay_biases: object = False,
    nesterov: object = False,
    amsgrad: object = False,
    centered: object = False,
    alpha: object = None,
    form: object = "torch",
    prefix: str = "",
) -> dict[str, Any]:
    """Turn an optimiser's arguments into the options of the engine.

    Parameters
    ----------
    where : str
        The class, for messages.
    algorithm : int
        The engine's number of it.
    lr, momentum, betas, eps, weight_decay, decay_biases, nesterov, amsgrad, centered : object
        As the user gave them.
    alpha, form : object
        Of RMSprop, as the user gave them.
    prefix : str
        What stands before "alpha" and "form" in the arguments' names.

    Returns
    -------
    dict
        Field names of ``bptt_optimizer_options`` and their values.

    Raises
    ------
    TypeError, ValueError
        If a value is not of its kind. (Most bounds are the engine's business.)
    """
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        got = repr(betas)
        raise TypeError(message(where, "betas", "two numbers in [0, 1)", f"{got:.80}"))
    given = {"decay_biases": decay_biases, "nesterov": nesterov, "amsgrad": amsgrad,
             "centered": centered}  # fmt: skip
    flags = {name: flag(value, where, name) for name, value in given.items()}
    options: dict[str, Any] = {
        "algorithm": algorithm,
        "lr": number(lr, where, "lr"),
        "momentum": number(momentum, where, "momentum"),
        "beta1": number(betas[0], where, "betas"),
        "beta2": number(betas[1], where, "betas"),
        "weight_decay": number(weight_decay, where, "weight_decay"),
        "rmsprop_form": choice(form, RMSPROP_FORMS, where, f"{prefix}form"),
        **{name: int(value) for name, value in flags.items()},
    }
    torch = options["rmsprop_form"] == RMSPROP_FORMS["torch"]
    owners = {
        "nesterov": ("'sgd' with a momentum", "sgd", options["momentum"] != 0),
        "amsgrad": ("'adam'", "adam", True),
        "centered": ("'rmsprop' in the form 'torch'", "rmsprop", torch),
    }
    for name, (owner, rule, fits) in owners.items():
        if flags[name] and not (fits and algorithm == ALGORITHMS[rule]):
            expected = f"False unless the optimizer is {owner}"
            raise ValueError(message(where, name, expected, "True"))
    if eps is not None:
        options["eps"] = number(eps, where, "eps")
    if alpha is not None:
        name, expected = f"{prefix}alpha", "a number in [0, 1)"
        options["rmsprop_alpha"] = number(alpha, where, name, expected)
        if not 0 <= options["rmsprop_alpha"] < 1:
            raise ValueError(message(where, name, expected, str(alpha)))
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
        forms = {"float64": [(output_size,)]}
        held: list[object] = []
        weights = convert(class_weights, forms, where, "class_weights", expected, held=held)
        options["class_weights"] = weights.copy()
    return options


def truncation_of(value: object, where: str, bidirectional: object) -> tuple[int, int]:
    """Check the two numbers of truncated BPTT.

    Parameters
    ----------
    value : (k1, k2), or None
        What was given.
    where : str
        For the message.
    bidirectional : bool
        Whether the layers read in both directions, which excludes it.

    Returns
    -------
    tuple of int
        k1, k2; (0, 0) for None.

    Raises
    ------
    TypeError
        It is no pair of integers.
    ValueError
        k1 < 1, k2 < k1, or the layers are bidirectional.
    """
    if value is None:
        return 0, 0
    expected = "None or (k1, k2), integers with 1 <= k1 <= k2"
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(message(where, "truncation", expected, describe(value)))
    pair: list[Any] = [integer(k, where, "truncation", 1) for k in value]
    if pair[1] < pair[0]:
        raise ValueError(message(where, "truncation", expected, f"({pair[0]}, {pair[1]})"))
    if bidirectional:
        expected = "None with bidirectional=True"
        raise ValueError(message(where, "truncation", expected, f"({pair[0]}, {pair[1]})"))
    return pair[0], pair[1]


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
    rule = {name: rest.pop(name) for name in OPTIMIZER_ARGUMENTS}
    rule |= {name: rest.pop(f"rmsprop_{name}") for name in ("alpha", "form")}
    thresholds = {name: positive(rest.pop(name), where, name) for name in THRESHOLDS}
    of_loss = {name: rest.pop(name) for name in LOSS_OPTIONS}
    k1, k2 = truncation_of(rest.pop("truncation"), where, rest["bidirectional"])
    of_bptt = {"truncation_k1": k1, "truncation_k2": k2,
               "omega": number(rest.pop("omega"), where, "omega"),
               "batch_first": int(flag(rest.pop("batch_first"), where, "batch_first")),
               "nonfinite": choice(rest.pop("nonfinite"), NONFINITE, where, "nonfinite"),
               }  # fmt: skip
    outputs = integer(output_size, where, "output_size", 1)
    if targets == "last_row" and not rest["bidirectional"]:
        expected = "'every' or 'last' unless bidirectional"
        raise ValueError(message(where, "targets", expected, repr(targets)))
    return {
        **layer_options(where, cell=choice(cell, CELLS, where, "cell"), **rest),
        **{name: integer(n, where, name, 1) for name, n in sizes.items() if n is not None},
        "loss": choice(loss, LOSSES, where, "loss"),
        "targets": choice(targets, TARGETS, where, "targets"),
        "reduction": choice(reduction, REDUCTIONS, where, "reduction"),
        **optimizer_options(
            where,
            algorithm=choice(optimizer, ALGORITHMS, where, "optimizer"),
            prefix="rmsprop_",
            **rule,
        ),
        **thresholds,
        **of_bptt,
        **loss_options(where, output_size=outputs, **of_loss),
    }
