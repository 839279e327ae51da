"""The options of cells and their regularisation: their kinds, and flags that exclude each other."""

from __future__ import annotations

from typing import Any

from ..arguments.values import flag, integer, message, number

LAYER_FLAGS = {"bidirectional": False, "layer_norm": False, "variational": False, "peephole": False,
               "coupled": False, "reset_after": True}  # fmt: skip
LAYER_NUMBERS = {"dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0, "zoneout_c": 0.0,
                 "alpha": 1.0, "noise": 0.0}  # fmt: skip
LAYER_DEFAULTS: dict[str, Any] = {**LAYER_FLAGS, **LAYER_NUMBERS, "dale": None, "proj_size": 0}
OWNERS = {"peephole": "lstm", "coupled": "lstm", "reset_after": "gru"}


def cell_options(given: dict[str, object], cell: str, where: str) -> dict[str, Any]:
    """Turn what a constructor was given into the options of the engine.

    Parameters
    ----------
    given : dict
        Some of `LAYER_DEFAULTS`, as the user gave them.
    cell : str
        "rnn", "lstm" or "gru".
    where : str
        The class, for messages.

    Returns
    -------
    dict
        Field names of ``bptt_layer_options`` and their values.

    Raises
    ------
    TypeError, ValueError
        If a value is not of its kind, or a flag does not fit the cell or another flag. (The bounds
        of numbers, and what excludes them, are the engine's business.)
    """
    flags = {n: flag(value, where, n) for n, value in given.items() if n in LAYER_FLAGS}
    for name, owner in OWNERS.items():
        default = LAYER_FLAGS[name]
        if flags.get(name, default) != default and cell != owner:
            expected = f"{default} unless the cell is {owner!r}"
            raise ValueError(message(where, name, expected, str(not default)))
    reset_after = flags.pop("reset_after", True)
    if flags.get("layer_norm") and not reset_after:
        raise ValueError(message(where, "layer_norm", "False with reset_after=False", "True"))
    options: dict[str, Any] = {name: int(value) for name, value in flags.items()}
    options["reset_before"] = int(not reset_after)
    for name in LAYER_NUMBERS.keys() & given.keys():
        options[name] = number(given[name], where, name)
    if given.get("dale") is not None:
        options["dale"] = number(given["dale"], where, "dale")
    if "proj_size" in given:
        options["proj_size"] = integer(given["proj_size"], where, "proj_size", 0)
    return options
