"""The texts and arrays of the user that a model file holds."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.arrays import read
from ..arguments.display import Shown, Table, View, arrays_table, counted, number_text
from ..arguments.values import Array, describe, is_readable, message, refuse_type


def _check_key(key: object, where: str) -> str:
    expected = "a text of 1 to 256 bytes without NUL"
    if not isinstance(key, str):
        refuse_type(key, where, "key", expected)
    _check_text(key, where, "key", expected, 1, 256)
    return key


def _check_text(
    text: str, where: str, argument: str, expected: str, least: int = 0, most: int = 2**31
) -> None:
    try:
        fits = "\0" not in text and least <= len(text.encode()) <= most
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise ValueError(message(where, argument, expected, f"{text!r:.80}"))


class Metadata(MutableMapping[str, str], Shown):
    """A mutable mapping of names to texts of a model; changes apply to the model at once."""

    __slots__ = ("_native",)

    def __init__(self, core: _core.Model) -> None:
        self._native = core

    def __getitem__(self, key: str) -> str:
        return self._native.metadata()[key]

    def __setitem__(self, key: str, value: str) -> None:
        where = "Model.metadata"
        if not isinstance(value, str):
            refuse_type(value, where, "value", "a text")
        _check_text(value, where, "value", "a text that UTF-8 can hold, without NUL")
        self._native.set_metadata(_check_key(key, where), value)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._native.set_metadata(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._native.metadata())

    def __len__(self) -> int:
        return len(self._native.metadata())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _view(self) -> View:
        texts = self._native.metadata()
        rows = [(name, number_text(len(text)), text) for name, text in texts.items()]
        return View(
            f"Metadata: {counted(len(rows), 'text')}", (Table(("name", "length", "text"), rows),)
        )


class Tensors(MutableMapping[str, Array], Shown):
    """A mutable mapping of names to arrays of a model, float32, float64 or int64.

    Changes apply to the model at once. Reading returns a copy: to change an array, assign it again.
    """

    __slots__ = ("_native",)

    def __init__(self, core: _core.Model) -> None:
        self._native = core

    def __getitem__(self, key: str) -> Array:
        return self._native.tensors()[key]

    def __setitem__(self, key: str, value: npt.ArrayLike) -> None:
        where = "Model.tensors"
        expected = "a float32, float64 or integer array of rank <= 8"
        if not is_readable(value):
            refuse_type(value, where, "value", expected)
        held: list[object] = []
        array = read(value, where, "value", expected, held=held)
        if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
            refuse_type(value, where, "value", expected)
        if array.dtype.kind in "iu":
            wanted: type = np.int64
            if array.dtype.kind == "u" and array.size and array.max() > 2**63 - 1:
                raise ValueError(message(where, "value", "integers below 2**63", str(array.max())))
        else:
            wanted = np.float64 if array.dtype.itemsize == 8 else np.float32
        if array.ndim > 8:
            raise ValueError(message(where, "value", expected, describe(array)))
        self._native.set_tensor(_check_key(key, where), np.require(array, wanted, ["C", "A"]))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._native.set_tensor(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._native.tensors())

    def __len__(self) -> int:
        return len(self._native.tensors())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _view(self) -> View:
        arrays = self._native.tensors()
        return View(f"Tensors: {counted(len(arrays), 'array')}", (arrays_table(arrays, "name"),))
