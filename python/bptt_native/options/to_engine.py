"""The conversion of the arguments of constructors to the options of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arguments.arrays import convert
from ..arguments.values import choice, describe, dtype_name, integer, message, number
from .algorithms import with_own_defaults
from .init import Init
from .table import ARGUMENTS, OPTIMIZER_ARGUMENTS, OPTIONS

Arguments = Mapping[str, object]


def _init(given: Arguments, where: str) -> dict[str, Any]:
    value = given["init"]
    if not isinstance(value, Init):
        choice(value, OPTIONS["init"].choices, where, "init")
    start = value if isinstance(value, Init) else Init(value)  # type: ignore[arg-type]
    numbers = ("gain", "spectral_radius", "time_scale")
    options = {
        option.name: option.to_engine(getattr(start, name), where, option.python_name)
        for name in numbers
        for option in [ARGUMENTS[f"init.{name}"]]
    }
    forget_bias = given.get("forget_bias")
    if forget_bias is not None and start.forget_bias is not None:
        raise ValueError(message(where, "forget_bias", "None beside init.forget_bias", "both"))
    wanted = forget_bias if start.forget_bias is None else start.forget_bias
    return {
        **options,
        "init": OPTIONS["init"].to_engine(start.weights, where, "init"),
        "forget_bias": OPTIONS["forget_bias"].to_engine(wanted, where, "forget_bias"),
    }


def _dtype(given: Arguments, where: str) -> dict[str, Any]:
    return {"dtype": OPTIONS["dtype"].choices[dtype_name(given["dtype"], where)]}


def _compute(given: Arguments, where: str) -> dict[str, Any]:
    value, dtype = given["compute"], dtype_name(given["dtype"], where)
    bfloat16 = OPTIONS["compute"].choices["bfloat16"]
    as_stored = OPTIONS["compute"].default
    if value is None:
        return {"compute": as_stored}
    names = {"float32": as_stored, "float64": as_stored, "bfloat16": bfloat16}
    number = choice(value, names, where, "compute")
    if value != dtype and (value, dtype) != ("bfloat16", "float32"):
        expected = "None, or 'bfloat16' with dtype 'float32'"
        raise ValueError(message(where, "compute", expected, f"{value!r} with dtype {dtype!r}"))
    return {"compute": number}


def _betas(given: Arguments, where: str) -> dict[str, Any]:
    betas = given["betas"]
    if betas is None:
        return {}
    beta1, beta2 = _pair(betas, where, "None or two numbers in [0, 1)")
    own = {} if beta2 is None else {"beta2": number(beta2, where, "betas")}
    return {"beta1": number(beta1, where, "betas"), **own}


def _pair(betas: object, where: str, expected: str) -> tuple[object, object]:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise TypeError(message(where, "betas", expected, f"{betas!r:.80}"))
    return betas[0], betas[1]


def _truncation(given: Arguments, where: str) -> dict[str, Any]:
    k1, k2 = truncation_of(given["truncation"], where, given["bidirectional"])
    return {"truncation_k1": k1, "truncation_k2": k2}


def _class_weights(given: Arguments, where: str) -> dict[str, Any]:
    value = given["class_weights"]
    if value is None:
        return {}
    outputs = integer(given["output_size"], where, "output_size", 1)
    expected = f"None or [{outputs}] finite numbers >= 0"
    if isinstance(value, str):
        got = f"{value!r:.80} (fit has weights='balanced')"
        raise TypeError(message(where, "class_weights", expected, got))
    held: list[object] = []
    forms = {"float64": [(outputs,)]}
    weights = convert(value, forms, where, "class_weights", expected, held=held)
    return {"class_weights": weights.copy()}


def _alpha(given: Arguments, where: str) -> dict[str, Any]:
    value = given["alpha"]
    if not isinstance(value, list | tuple) and getattr(value, "ndim", 0) == 0:
        return {"alpha": OPTIONS["alpha"].to_engine(value, where, "alpha")}
    units = integer(given["hidden_size"], where, "hidden_size", 1)
    expected = f"a number or [{units}] numbers in (0, 1]"
    alphas = convert(value, {"float64": [(units,)]}, where, "alpha", expected, held=[])
    return {"alphas": alphas.copy()}


# Arguments that do not correspond to exactly one option.
_OWN: dict[str, Callable[[Arguments, str], dict[str, Any]]] = {
    "init": _init,
    "forget_bias": lambda given, where: {},  # with init
    "dtype": _dtype,
    "compute": _compute,
    "betas": _betas,
    "truncation": _truncation,
    "class_weights": _class_weights,
    "alpha": _alpha,
}


def truncation_of(value: object, where: str, bidirectional: object) -> tuple[int, int]:
    """Return the two numbers of truncated BPTT after checking them.

    Parameters
    ----------
    value : (k1, k2), or None
        The value of the argument.
    where : str
        The function, for messages.
    bidirectional : bool
        Whether the layers read in both directions, which excludes truncation.

    Returns
    -------
    tuple of int
        k1, k2; (0, 0) for None.

    Raises
    ------
    TypeError
        If `value` is no pair of integers.
    ValueError
        If k1 < 1 or k2 < k1, or the layers are bidirectional.
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


def layer_options(where: str, given: Arguments) -> dict[str, Any]:
    """Return the options of the engine for the arguments of a layer's or model's constructor.

    Parameters
    ----------
    where : str
        The class, for messages.
    given : mapping of str to object
        The arguments by name.

    Returns
    -------
    dict
        The values of the engine by the name of their field.

    Raises
    ------
    TypeError, ValueError
        If a value is not of its option's kind. The engine checks which options exclude each other.
    """
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name in _OWN:
            options |= _OWN[name](given, where)
        else:
            option = ARGUMENTS[name]
            options[option.name] = option.to_engine(value, where, name)
    return options


def model_options(where: str, given: Arguments) -> dict[str, Any]:
    """Return the options of the engine for the arguments of a model's constructor.

    Parameters
    ----------
    where : str
        The class, for messages.
    given : mapping of str to object
        The arguments by name.

    Returns
    -------
    dict
        The values of the engine by the name of their field.

    Raises
    ------
    TypeError, ValueError
        As `layer_options`, or if not exactly one of `input_size` and `vocab_size` is given.
    """
    if (given["input_size"] is None) == (given["vocab_size"] is None):
        got = "neither" if given["input_size"] is None else "both"
        expected = "exactly one of input_size and vocab_size"
        raise ValueError(message(where, "input_size", expected, got))
    for name, field in (("optimizer", "algorithm"), ("rmsprop_form", "rmsprop_form")):
        choices, value = OPTIONS[field].choices, given[name]
        own = getattr(value if isinstance(value, type) else type(value), "__name__", "").lower()
        if not isinstance(value, str) and own in choices:
            expected = "one of " + ", ".join(map(repr, choices))
            raise TypeError(
                message(where, name, expected, f"{describe(value)} (its name is {own!r})")
            )
        choice(value, choices, where, name)
    return layer_options(where, with_own_defaults(dict(given)))


def optimizer_options(where: str, given: Arguments) -> dict[str, Any]:
    """Return the options of the engine for the arguments of an optimiser's constructor.

    Parameters
    ----------
    where : str
        The class, for messages.
    given : mapping of str to object
        The arguments by name, with the name of the algorithm as "optimizer".

    Returns
    -------
    dict
        The values of the engine by the name of their field.

    Raises
    ------
    TypeError, ValueError
        If a value is not of its option's kind. The engine checks most bounds.
    """
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name == "betas":
            pair = _pair(value, where, "two numbers in [0, 1)")
            options |= {f"beta{i + 1}": number(beta, where, "betas") for i, beta in enumerate(pair)}
        else:
            option = OPTIMIZER_ARGUMENTS[name]
            options[option.name] = option.to_engine(value, where, name)
    return options
