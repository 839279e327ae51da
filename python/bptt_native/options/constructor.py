"""A decorator of constructors whose arguments are options, listed in the signature alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol

from ..arguments.names import refuse_unknown


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
        The constructor, with the same signature.
    """
    signature = inspect.signature(init)

    @wraps(init)
    def construct(self: Built, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            init(self, *args, **kwargs)
        except TypeError:  # unknown or missing arguments
            refuse_unknown(type(self).__name__, init, kwargs)
            raise
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        del given["self"]
        self._construct(given)

    return construct
