"""Refusals of calls whose arguments without a name are not those of the function."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any


def refuse_positional(where: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Refuse arguments without a name that a function takes by name only.

    Parameters
    ----------
    where : str
        The function, for the message.
    function : callable
        The function itself.
    args : tuple
        The arguments that were passed without a name.

    Raises
    ------
    TypeError
        If there are too many of them.
    """
    parameters = list(signature(function).parameters.values())
    places = [p.name for p in parameters if p.kind == Parameter.POSITIONAL_OR_KEYWORD]
    named = [p.name for p in parameters if p.kind == Parameter.KEYWORD_ONLY]
    if len(args) <= len(places) or not named or any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return
    own = len(places) > 0 and places[0] in ("self", "cls")
    shown = ", ".join(f"{name}=..." for name in named[:6]) + (", ..." if len(named) > 6 else "")
    allowed = " and ".join(places[own:]) or "none"
    raise TypeError(
        f"{where}: expected only {allowed} without a name, got {len(args) - own} arguments without "
        f"one; name the others: {shown}"
    ) from None


def refuse_other_object(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Refuse a first argument that is not of the class of a method, called as a function.

    Parameters
    ----------
    function : callable
        The method.
    args : tuple
        The arguments that were passed without a name.

    Raises
    ------
    TypeError
        If the object is of another class: `bptt_native.fit` is the method `Model.fit`.
    """
    owner, _, name = function.__qualname__.rpartition(".")
    if next(iter(signature(function).parameters), "") != "self" or not args:
        return
    if owner != "Model" or any(base.__name__ == owner for base in type(args[0]).__mro__):
        return
    got = f"an object of the class {type(args[0]).__name__}"
    raise TypeError(f"{name}: argument 'model': expected a Model, got {got}") from None
