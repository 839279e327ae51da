"""The table of the optimisers' own defaults, as the engine returns it, and AdamW."""

from __future__ import annotations

from typing import Any

from .. import _core
from .table import OPTIONS

ADAMW_DECAY = 1e-2  # of torch.optim.AdamW

_ROWS = {(row["algorithm"], row["form"]): row for row in _core.algorithms()}


def own_defaults(optimizer: str, form: str = "torch") -> dict[str, Any]:
    """Return the values that None means in the options of an optimiser.

    Parameters
    ----------
    optimizer : str
        The name of an optimiser, one of the values of the argument `optimizer` of `Model`.
    form : str
        The form of "rmsprop"; others have only "torch".

    Returns
    -------
    dict
        "lr", "momentum", "beta2", "eps", "alpha" (None but for "rmsprop") and "weight_decay".
    """
    key = OPTIONS["algorithm"].choices[optimizer], OPTIONS["rmsprop_form"].choices[form]
    row = _ROWS.get(key, _ROWS[key[0], OPTIONS["rmsprop_form"].default])
    own = {name: row[name] for name in ("lr", "momentum", "beta2", "eps")}
    alpha = row["alpha"] if optimizer == "rmsprop" else None
    return {**own, "alpha": alpha, "weight_decay": ADAMW_DECAY if optimizer == "adamw" else 0.0}


def with_own_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of `Model` in which None of an optimiser's option is its own default.

    Parameters
    ----------
    given : dict
        "optimizer" and "rmsprop_form", which must be among their choices, and others.
    """
    own = own_defaults(given["optimizer"], given["rmsprop_form"])
    names = [name for name in OWN if name in given and given[name] is None]
    return {**given, **{name: own[name] for name in names}}


OWN = ("lr", "momentum", "weight_decay")
"""Arguments of `Model` for which None means the optimiser's own default, in numbers."""
