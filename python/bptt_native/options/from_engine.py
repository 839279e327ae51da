"""The conversion of the engine's options to arguments of `Model`, the inverse of `to_engine`."""

from __future__ import annotations

from typing import Any

from .init import Init
from .table import OPTIONS


def arguments_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Model` that some options belong to.

    Parameters
    ----------
    values : dict
        Options as Python's values, by the name of their field. Options that belong to the same
        argument must be given together.

    Returns
    -------
    dict
        Arguments of `Model`.
    """
    parts = {name: value for name, value in values.items() if name in _PARTS}
    arguments = {
        option.python_name: values[option.name]
        for option in OPTIONS.values()
        if option.name in values.keys() - parts.keys()
    }
    if "init_gain" in parts:
        init = Init(
            arguments["init"], parts["init_gain"], None, parts["spectral_radius"],
            parts["time_scale"],
        )  # fmt: skip
        arguments["init"] = init.weights if init == Init(init.weights) else init
    if "beta1" in parts:
        betas = (parts["beta1"], parts["beta2"])
        own = betas == (OPTIONS["beta1"].python_default, None)
        arguments["betas"] = None if own else betas
    if "truncation_k1" in parts:
        windows = (parts["truncation_k1"], parts["truncation_k2"])
        arguments["truncation"] = None if windows == (None, None) else windows
    if "alpha" in parts:
        units = parts.get("alphas")
        arguments["alpha"] = parts["alpha"] if units is None else units
    return arguments


_PARTS = {  # options that are one part of an argument
    option.name
    for option in OPTIONS.values()
    if "." in option.python_name or option.python_name in ("alpha", "betas", "truncation")
}


def model_config(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Model` for the options of the engine.

    Parameters
    ----------
    options : dict
        The engine's values of all options, by the name of their field.

    Returns
    -------
    dict
        Arguments of `Model`.
    """
    return arguments_of({name: o.to_python(options[name]) for name, o in OPTIONS.items()})


DEFAULTS = model_config({name: option.default for name, option in OPTIONS.items()})
"""The defaults of the arguments of `Model`; 0 for sizes without a default."""
