"""A decorator of constructors whose arguments are options, listed in the signature alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol

from ..arguments.caller import warn
from ..arguments.calls import refuse_positional
from ..arguments.names import refuse_unknown
from .table import ARGUMENTS


class Built(Protocol):
    """A class whose objects are built from arguments by name."""

    def _construct(self, given: dict[str, Any]) -> None: ...


P = ParamSpec("P")


def from_arguments(
    init: Callable[Concatenate[Any, P], None],
) -> Callable[Concatenate[Any, P], None]:
    """Make a constructor call ``self._construct`` with all its arguments by name.

    Parameters
    ----------
    init : function
        A constructor with a signature and without a body.

    Returns
    -------
    function
        The constructor, with the same signature. It issues a UserWarning of `dropout` and
        `variational` if there is only one layer, and of `variational` without `dropout`.
    """
    signature = inspect.signature(init)

    @wraps(init)
    def construct(self: Built, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            init(self, *args, **kwargs)
        except TypeError:  # unknown or missing arguments
            _refuse_others(type(self).__name__, signature, kwargs)
            refuse_unknown(type(self).__name__, init, kwargs)
            refuse_positional(type(self).__name__, init, (self, *args))
            raise
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        del given["self"]
        self._construct(given)
        _warn_of_idle(type(self).__name__, given)

    return construct


def _refuse_others(where: str, signature: inspect.Signature, given: Iterable[str]) -> None:
    """Refuse the first argument that is an option of other classes, and name these."""
    for name in given:
        if name in signature.parameters or name not in ARGUMENTS:
            continue
        option = ARGUMENTS[name]
        owners = option.owner_names if option.owner == "cell" else []
        end = "it is an option of Model"
        if option.group == "layer" and owners:
            end = f"only the cell{'s' * (len(owners) > 1)} {', '.join(owners)} can have it"
        raise TypeError(f"{where}: unexpected argument {name!r}; {end}")


def _warn_of_idle(where: str, given: dict[str, Any]) -> None:
    """Warn of options that have no effect without another layer or option."""
    for name in ("dropout", "variational"):
        if given["num_layers"] == 1 and given.get(name):
            end = "has no effect with num_layers=1: it acts between layers"
            warn(f"{where}: argument {name!r}: {given[name]} {end}")
    if given["num_layers"] != 1 and given.get("variational") and not given["dropout"]:
        warn(f"{where}: argument 'variational': True has no effect without dropout")
