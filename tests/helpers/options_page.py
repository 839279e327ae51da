"""The page docs/options.md, written from the table of options. Run this file to write it."""

import math
from pathlib import Path

from bptt_native import _core
from bptt_native.options.algorithms import OWN
from bptt_native.options.table import OPTIONS, Option

PAGE = Path(__file__).parents[2] / "docs" / "options.md"
TITLES = {
    "layer": "Layers, and models of them",
    "optimizer": "Optimisers",
    "model": "Models",
}
KINDS = {
    "flag": "bool", "size": "integer >= 1", "count": "integer >= 0", "integer": "integer",
    "seed": "integer, 64 bits", "number": "finite", "positive": "> 0", "not_negative": ">= 0",
    "fraction": "[0, 1)", "share": "[0, 1]", "leak": "(0, 1]", "weights": "numbers >= 0",
    "leaks": "numbers in (0, 1]",
}  # fmt: skip
BEGIN = """# Options

Every option of `RNN`, `LSTM`, `GRU`, `MinGRU`, `Model` and the optimisers, as the engine's table of
options has it (`src/cpp/model/option_table.cpp`): the same row checks the option in a constructor
and in a model file, writes and reads it, and makes the flag of `bptt-native train`. The equations
are in [cells.md](cells.md). This page is made by `python tests/helpers/options_page.py`; a test
compares.

"Only with" names what an option needs and "not with" what it excludes; where both are empty every
cell, algorithm or loss has it. A field of the C API is named where it differs from the argument of
Python. "The optimiser's" default is that of its class, and in C that of
`bptt_optimizer_options_of`. `adamw` is `adam` with a weight decay of 0.01.
"""


def names(option: Option, values: frozenset[int]) -> str:
    found = [name for name, value in option.choices.items() if value in values]
    return ", ".join(f"`{name}`" for name in found)


def with_values(option: Option, values: frozenset[int]) -> str:
    name = f"{option.python_name}=False" if option.inverted else option.python_name
    return f"`{name}`" + (f" {names(option, values)}" if values else "")


def conflicts(option: Option, excludes: bool) -> list[str]:
    """Return what excludes the option, or is needed by it, and by which of its values."""
    return [
        (f"{names(option, rule['values'])}: " if rule["values"] else "")
        + with_values(OPTIONS[rule["other"]], rule["other_values"])
        for rule in _core.option_conflicts()
        if rule["option"] == option.name and rule["excludes"] == excludes
    ]


def default(option: Option) -> str:
    if option.name in ("hidden_size", "output_size"):
        return ""
    if option.name in OWN:
        return "`None`: the optimiser's"
    value = option.python_default
    return "`nan`" if isinstance(value, float) and math.isnan(value) else f"`{value!r}`"


def row(option: Option) -> str:
    argument = f"`{option.python_name}`"
    field = "" if option.name == option.python_name else f"`{option.name}`"
    kind = "size" if option.kind == "count" and option.or_none else option.kind
    values = ", ".join(f"`{name}`" for name in option.choices) or KINDS[kind]
    needs = conflicts(option, excludes=False)
    if option.owner:
        needs.insert(0, names(OPTIONS[option.owner], option.owners))
    cells = [argument, field, values, default(option), "; ".join(needs),
             "; ".join(conflicts(option, excludes=True)), option.doc]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the text of the page."""
    lines = [BEGIN]
    for group, title in TITLES.items():
        heads = "| argument | field in C | values | default | only with | not with | |"
        lines += [f"## {title}", "", heads, "|---|---|---|---|---|---|---|"]
        lines += [row(option) for option in OPTIONS.values() if option.group == group]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
