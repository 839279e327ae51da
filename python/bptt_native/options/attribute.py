"""Options of layers and models as read-only attributes of their objects."""

from __future__ import annotations

from typing import Any, Generic, Never, Protocol, Self, TypeVar, overload

from .table import ARGUMENTS

T_co = TypeVar("T_co", covariant=True)


class Configured(Protocol):
    """An object that keeps the arguments of its constructor by name."""

    _config: dict[str, Any]


class OptionOf(Generic[T_co]):
    """A read-only attribute: the argument of the constructor that has the attribute's name.

    Its docstring is the description of the option in the table of options.

    Examples
    --------
    >>> bn.GRU(2, 3).hidden_size
    3
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self.__doc__ = f"{ARGUMENTS[name].doc if name in ARGUMENTS else f'The {name}'}."

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Configured, owner: type) -> T_co: ...
    def __get__(self, instance: Configured | None, owner: type) -> Self | T_co:
        if instance is None:
            return self
        value: T_co = instance._config[self._name]
        return value

    def __set__(self, instance: Configured, value: Never) -> None:
        name, of = type(instance).__name__, f"{self._name}=..."
        end = f"{name}(**{{**{name.lower()}.config, ...}}) makes another one"
        if hasattr(instance, "with_options"):
            end = f"model.with_options({of}) makes another model"
        raise AttributeError(f"{name}.{self._name} cannot be changed; {end}")
