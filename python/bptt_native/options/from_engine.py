"""The engine's options as the arguments of a model's constructor, the way back of `to_engine`."""

from __future__ import annotations

from typing import Any

from .cells import LAYER_FLAGS, LAYER_NUMBERS
from .init import INITS, Init
from .to_engine import (
    ALGORITHMS,
    CELLS,
    DEFAULT_EPS,
    DTYPES,
    LOSS_OPTIONS,
    LOSSES,
    NONFINITE,
    NONLINEARITIES,
    REDUCTIONS,
    RMSPROP_DEFAULTS,
    RMSPROP_FORMS,
    TARGETS,
    THRESHOLDS,
    name_of,
)


def own_defaults(optimizer: str, form: str) -> dict[str, Any]:
    """Give the values that None means for the options that each optimiser has its own of.

    Parameters
    ----------
    optimizer, form : str
        As of `Model`: `optimizer`, `rmsprop_form`.

    Returns
    -------
    dict
        "eps" and "rmsprop_alpha".
    """
    if optimizer != "rmsprop":
        return {"eps": DEFAULT_EPS[optimizer], "rmsprop_alpha": None}
    own = RMSPROP_DEFAULTS[form]
    return {"eps": own["eps"], "rmsprop_alpha": own["alpha"]}


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
    nan_means_none = {
        name: None if options[name] != options[name] else options[name]
        for name in ("forget_bias", "eps", "rmsprop_alpha", "time_scale", "dale")
    }
    time_scale = nan_means_none.pop("time_scale")
    weights = name_of(INITS, options["init"])
    init = Init(weights, options["init_gain"], None, options["spectral_radius"], time_scale)
    flags = ("bias", "decay_biases", "nesterov", "amsgrad", "centered", "batch_first",
             *(name for name in LAYER_FLAGS if name != "reset_after"))  # fmt: skip
    kept = ("hidden_size", "num_layers", "output_size", "lr", "momentum", "weight_decay", "seed",
            "proj_size", "omega", *LAYER_NUMBERS)  # fmt: skip
    windows = (options["truncation_k1"], options["truncation_k2"])
    or_none = ("input_size", "vocab_size", "embedding_size", *THRESHOLDS)  # 0 means None
    return {
        "cell": name_of(CELLS, options["cell"]),
        **{name: options[name] or None for name in or_none},
        **{name: options[name] for name in kept},
        "nonlinearity": name_of(NONLINEARITIES, options["nonlinearity"]),
        **{name: bool(options[name]) for name in flags},
        "loss": name_of(LOSSES, options["loss"]),
        "targets": name_of(TARGETS, options["targets"]),
        "reduction": name_of(REDUCTIONS, options["reduction"]),
        "nonfinite": name_of(NONFINITE, options["nonfinite"]),
        "optimizer": name_of(ALGORITHMS, options["algorithm"]),
        "betas": (options["beta1"], options["beta2"]),
        "rmsprop_form": name_of(RMSPROP_FORMS, options["rmsprop_form"]),
        "dtype": name_of(DTYPES, options["dtype"]),
        "compute": "bfloat16" if options["compute"] else None,
        "init": weights if init == Init(weights) else init,
        **nan_means_none,
        "reset_after": not options["reset_before"],
        "truncation": windows if windows[0] else None,
        **{name: options[name] for name in LOSS_OPTIONS},
    }
