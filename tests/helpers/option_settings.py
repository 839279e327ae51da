"""Settings of the options of a layer and its passes, and which of them can be combined."""

import itertools
from typing import Any

from bptt_native import reference
from helpers.cells import LAYERS

# Name of a setting -> arguments of `nets.option_net`. A setting without "cell" is for every cell.
SETTINGS: dict[str, dict[str, Any]] = {
    **{f: {"cell": "rnn", "nonlinearity": f} for f in reference.NONLINEARITIES if f != "tanh"},
    "alpha": {"cell": "rnn", "alpha": 0.3},
    "alphas": {"cell": "rnn", "alpha": True},  # drawn for each unit
    "noise": {"cell": "rnn", "noise": 0.2},
    "dale": {"cell": "rnn", "dale": 0.7},
    "omega": {"cell": "rnn", "omega": 0.75},
    "activity": {"activity": (0.8, 0.6)},
    "reset_after": {"cell": "gru", "reset_after": False},
    "peephole": {"cell": "lstm", "peephole": True},
    "coupled": {"cell": "lstm", "coupled": True},
    "proj_size": {"cell": "lstm", "proj_size": 3},
    "zoneout_c": {"cell": "lstm", "zoneout_c": 0.3},
    "mingru": {"cell": "mingru"},
    "bidirectional": {"bidirectional": True},
    "layer_norm": {"layer_norm": True},
    "dropout": {"dropout": 0.3},
    "variational": {"dropout": 0.4, "variational": True},
    "recurrent_dropout": {"recurrent_dropout": 0.25},
    "zoneout": {"zoneout": 0.2},
    "learn_initial_state": {"learn_initial_state": True},
    "lengths": {"lengths": True},
    "resets": {"resets": True},
    "masks": {"masks": True},
    "truncation": {"truncation": (2, 5), "T": 11},
    "chunks": {"truncation": (3, 3), "T": 9},
    "clip_step": {"clip_step": 0.02},
    "clip_step_norm": {"clip_step_norm": 0.3},
    "tokens": {"tokens": True},
    "no bias": {"bias": False},
}
CLIPPED = {"clip_step", "clip_step_norm"}  # kinks at values that rounding moves
RANDOM = {"noise", "dropout", "variational", "recurrent_dropout", "zoneout", "zoneout_c"}
_BACK = {"truncation", "chunks"}
_NOT_WITH_OMEGA = {"layer_norm", "alpha", "alphas", "zoneout", "recurrent_dropout", "dale", "noise"}
_NOT_WITH_OMEGA |= CLIPPED | _BACK
_OF_W_HH = {"layer_norm", "recurrent_dropout"}


def refused(a: str, b: str) -> bool:
    """Return whether an error names these two."""
    pair = {a, b}
    return (
        pair == {"layer_norm", "reset_after"}
        or ("proj_size" in pair and bool(pair & {"zoneout", "zoneout_c"}))
        or ("bidirectional" in pair and bool(pair & _BACK))
        or ("omega" in pair and bool(pair & _NOT_WITH_OMEGA))
        or ("mingru" in pair and bool(pair & _OF_W_HH))
    )


def fit(a: str, b: str) -> bool:
    """Return whether the two are of one cell and not two values of one option."""
    first, second = SETTINGS[a], SETTINGS[b]
    cells = {setting["cell"] for setting in (first, second) if "cell" in setting}
    return len(cells) <= 1 and not (first.keys() & second.keys()) - {"cell", "T"}


ALONE = [
    (name, cell)
    for name, setting in SETTINGS.items()
    for cell in LAYERS
    if setting.get("cell", cell) == cell and not refused(cell, name)
]
PAIRS = [pair for pair in itertools.combinations(SETTINGS, 2) if fit(*pair)]
COMPATIBLE = [pair for pair in PAIRS if not refused(*pair)]
REFUSED = [pair for pair in PAIRS if refused(*pair)]


def merged(*names: str) -> dict[str, Any]:
    """Return one setting of several."""
    return {key: value for name in names for key, value in SETTINGS[name].items()}


def combination(rng: Any, without: set[str] = frozenset()) -> list[str]:
    """Return the names of random settings that go together."""
    chosen: list[str] = []
    for name in rng.permutation([n for n in SETTINGS if n not in without])[: rng.integers(3, 16)]:
        if all(fit(name, other) and not refused(name, other) for other in chosen):
            chosen.append(str(name))
    return chosen
