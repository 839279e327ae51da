"""Attributes that objects have in other libraries: here they raise an error that names the own one.

A ``__getattr__`` of a class would make all of its attributes and methods slower. A descriptor for
each foreign name costs nothing where it is not used. Python itself suggests an attribute for a
misspelt one when it prints the error.
"""

from __future__ import annotations

from typing import Any

from .names import ADVICE, FOREIGN, missing_attribute


class Foreign:
    """A descriptor of an attribute that does not exist.

    A subclass whose objects have a ``__dict__`` can use the name all the same.

    Parameters
    ----------
    name : str
        The name of the attribute.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        own: dict[str, Any] = getattr(instance, "__dict__", {}) if instance is not None else {}
        if self._name in own:
            return own[self._name]
        raise missing_attribute(owner if instance is None else instance, self._name)

    def __set__(self, instance: object, value: object) -> None:
        if not hasattr(instance, "__dict__"):
            raise missing_attribute(instance, self._name)
        instance.__dict__[self._name] = value

    def __delete__(self, instance: object) -> None:
        if self._name not in getattr(instance, "__dict__", {}):
            raise missing_attribute(instance, self._name)
        del instance.__dict__[self._name]


def _own(cls: type, names: list[str]) -> list[str]:
    """Return the names among some attributes of a class that are not foreign."""
    return [n for n in names if n not in _NAMES or n in _defined(cls)]


def _defined(cls: type) -> set[str]:
    """Return the foreign names that a class or one of its bases defines itself."""
    return {n for base in cls.__mro__ if base is not Guided for n in vars(base) if n in _NAMES}


class _Listed(type):
    """The class of classes that do not list foreign names."""

    def __dir__(cls) -> list[str]:
        return _own(cls, list(super().__dir__()))


class Guided(metaclass=_Listed):
    """A base class whose objects suggest an attribute for one of other libraries.

    Examples
    --------
    >>> bn.GRU(2, 3).units
    Traceback (most recent call last):
    AttributeError: 'GRU' object has no attribute 'units'; did you mean 'hidden_size'?
    """

    __slots__ = ()

    def __dir__(self) -> list[str]:
        own = getattr(self, "__dict__", {})
        return [*_own(type(self), [n for n in super().__dir__() if n not in own]), *own]


_NAMES = {
    name
    for name in [*" ".join(FOREIGN.values()).split(), *ADVICE]
    if name.isidentifier() and not name.startswith("_")
}
for _name in _NAMES:
    setattr(Guided, _name, Foreign(_name))
