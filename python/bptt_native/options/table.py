"""The table of options, as the engine hands it over, and the values of single options both ways."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core
from ..arguments.values import choice, flag, integer, number, positive


class Option(NamedTuple):
    """An option of layers, optimisers or models.

    Attributes
    ----------
    group : str
        "layer", "optimizer" or "model": the struct of the C API that has the field.
    name : str
        The field.
    file_name : str
        Its name in model files and on the command line.
    python_name : str
        The argument of `Model` that it is, or is part of.
    alone : str, optional
        The argument of the optimiser's own class, where it differs.
    kind : str
        "choice", "flag", "size", ..., as ``bptt_options.h`` lists them.
    default : int, float or None
        The engine's default.
    choices : dict of str to int
        The engine's numbers of the names of a choice.
    owner : str, optional
        The field of the choice that decides whether the option may differ from its default.
    owners : frozenset of int
        The values of that choice for which it may.
    inverted : bool
        Whether Python has the opposite flag.
    or_none : bool
        Whether None means the default.
    doc : str
        A line about it.
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
        """Return the engine's value for one of Python's.

        Parameters
        ----------
        value : object
            The value of an argument.
        where, argument : str
            The class and the argument, for messages.

        Raises
        ------
        TypeError, ValueError
            If it is not of its kind. (Most bounds are the engine's business.)
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
        """Return Python's value for one of the engine's."""
        if self.or_none and (value == self.default or value != value):  # NaN
            return None
        if self.kind == "choice":
            return next(name for name, known in self.choices.items() if known == value)
        return bool(value) != self.inverted if self.kind == "flag" else value

    @property
    def python_default(self) -> Any:
        """The default as Python has it."""
        return self.to_python(self.default)

    @property
    def owner_names(self) -> list[str]:
        """The names of the values in `owners`; empty where the option has no owner."""
        choices = OPTIONS[self.owner].choices if self.owner else {}
        return [name for name, value in choices.items() if value in self.owners]


OPTIONS = {row["name"]: Option(**row) for row in _core.option_table()}
"""The options by the name of their field, in the order of model files."""

ARGUMENTS = {option.python_name: option for option in OPTIONS.values()}
"""Those that are one argument of `Model` each, by its name."""

OPTIMIZER_ARGUMENTS = {
    option.alone or option.python_name: option
    for option in OPTIONS.values()
    if option.group == "optimizer"
}
"""The same of the classes of optimisers."""
