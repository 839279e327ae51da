"""The table of options, as the engine returns it, and the conversion of single values."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core
from ..arguments.values import choice, flag, integer, number, positive


class Option(NamedTuple):
    """A row of the table of options: an option of layers, optimisers or models.

    Attributes
    ----------
    group : str
        "layer", "optimizer" or "model", for the struct of the C API that has the field.
    name : str
        The name of the field.
    file_name : str
        The name in model files and on the command line.
    python_name : str
        The argument of `Model` that the option is, or is a part of.
    alone : str, optional
        The name of the argument of the optimiser's class, where it differs.
    kind : str
        One of the kinds that ``bptt_options.h`` lists: "choice", "flag", "size", ...
    default : int, float or None
        The engine's default.
    choices : dict of str to int
        The names of a choice and their numbers in the engine.
    owner : str, optional
        The choice (its field) on which it depends whether the option may differ from its default.
    owners : frozenset of int
        The values of that choice for which the option may differ.
    inverted : bool
        Whether the flag has the opposite meaning in Python.
    or_none : bool
        Whether None means the default.
    doc : str
        A description in one line.
    """

    group: str
    name: str
    file_name: str
    python_name: str
    alone: str | None
    kind: str
    default: Any
    choices: dict[str, int]
    owner: str | None
    owners: frozenset[int]
    inverted: bool
    or_none: bool
    doc: str

    def to_engine(self, value: object, where: str, argument: str) -> Any:
        """Return the engine's value for a value in Python.

        Parameters
        ----------
        value : object
            The value of an argument.
        where, argument : str
            The class and the argument, for messages.

        Returns
        -------
        int or float
            The value of the field.

        Raises
        ------
        TypeError, ValueError
            If the value is not of the option's kind. The engine checks most bounds.
        """
        if value is None and self.or_none:
            return self.default
        match self.kind:
            case "choice":
                return choice(value, self.choices, where, argument)
            case "flag":
                return int(flag(value, where, argument) != self.inverted)
            case "size":
                return integer(value, where, argument, 1)
            case "count":
                return integer(value, where, argument, int(self.or_none))
            case "integer":
                return integer(value, where, argument, -(2**63))
            case "seed":
                return integer(value, where, argument, 0, 2**64 - 1)
        if self.or_none and self.default == 0:
            return positive(value, where, argument)
        return number(value, where, argument)

    def to_python(self, value: Any) -> Any:
        """Return the value in Python for a value of the engine."""
        if self.or_none and (value == self.default or value != value):  # NaN
            return None
        if self.kind == "choice":
            return next(name for name, known in self.choices.items() if known == value)
        return bool(value) != self.inverted if self.kind == "flag" else value

    @property
    def python_default(self) -> Any:
        """The default as a value in Python."""
        return self.to_python(self.default)

    @property
    def owner_names(self) -> list[str]:
        """The names of the values in `owners`; empty where the option has no owner."""
        choices = OPTIONS[self.owner].choices if self.owner else {}
        return [name for name, value in choices.items() if value in self.owners]


OPTIONS = {row["name"]: Option(**row) for row in _core.option_table()}
"""The options by the name of their field, in the order of model files."""

# AdamW is Adam, which has a decoupled weight decay, with another default (options/algorithms.py).
OPTIONS["algorithm"].choices["adamw"] = OPTIONS["algorithm"].choices["adam"]

ARGUMENTS = {option.python_name: option for option in OPTIONS.values()}
"""The options by the name of the argument of `Model`, if they are not a part of one."""

OPTIMIZER_ARGUMENTS = {
    option.alone or option.python_name: option
    for option in OPTIONS.values()
    if option.group == "optimizer"
}
"""The options of optimisers by the name of the argument of the optimiser's class."""
