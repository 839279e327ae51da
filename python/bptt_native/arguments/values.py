"""Checks of arguments: numbers, names and files, and errors that name the argument.

Messages have the form ``LSTM.forward: argument 'x': expected ..., got ...``.
"""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from .names import NOTHING, with_guess

Array = npt.NDArray[Any]
Choice = TypeVar("Choice")

LARGEST = 2**63 - 1

_PLAIN = {bool, int, float}  # Python's own numbers, which have no dtype
_KINDS = {"O": "object", "U": "str", "S": "bytes"}


def _attribute(value: object, name: str) -> Any:
    """Return an attribute, or None if it does not exist or cannot be read."""
    try:
        return getattr(value, name, None)
    except Exception:  # a foreign class may raise anything
        return None


def _shape_of(value: object) -> tuple[int, ...] | None:
    """Return the shape that an array-like object reports, or None."""
    shape = _attribute(value, "shape")
    try:
        return tuple(operator.index(size) for size in shape)
    except Exception:  # no shape, or not a tuple of integers
        return None


class Contents:
    """Contents of a nested list: the types of Python's own numbers, and all other items."""

    def __init__(self) -> None:
        self.plain: set[type] = set()
        self.others: list[Any] = []

    def dtypes(self) -> set[np.dtype[Any]]:
        """Return the dtypes of arrays and NumPy's scalars, and bool for Python's bools."""
        found = {dtype for item in self.others for dtype in dtypes_of(item)}
        return found | {np.dtype(bool)} if bool in self.plain else found


def outline(items: Sequence[Any], contents: Contents, depth: int = 0) -> tuple[int, ...] | None:
    """Return the shape of a nested list, without copying arrays in it.

    Parameters
    ----------
    items : list or tuple
        Numbers, arrays, and lists of these.
    contents : Contents
        Collects the contents.
    depth : int
        Number of lists around this one.

    Returns
    -------
    tuple of int, or None
        None if it is ragged or nested too deeply.
    """
    if depth > 64:  # NumPy's limit
        return None
    types = set(map(type, items))
    contents.plain |= types & _PLAIN
    if types <= _PLAIN:
        return (len(items),)
    inner: tuple[int, ...] | None = None
    for item in items:
        if isinstance(item, list | tuple):
            own = outline(item, contents, depth + 1)
        elif type(item) in _PLAIN:
            own = ()
        else:
            own = _shape_of(item) or ()
            contents.others.append(item)
        if own is None or (inner is not None and own != inner):
            return None
        inner = own
    return (len(items), *(inner or ()))


def dtypes_of(value: object) -> list[np.dtype[Any]]:
    """Return a list with the dtype of an array-like object, empty if NumPy has no such dtype."""
    dtype = _attribute(value, "dtype")
    try:
        return [] if dtype is None else [np.dtype(str(dtype).removeprefix("torch."))]
    except TypeError:
        return []


def describe(value: object) -> str:
    """Describe a value by its type, and by its dtype and shape or the value itself.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        For example "a float64 array of shape [7, 2, 5]", "None", "the number 3", "a dict".
    """
    if isinstance(value, np.ndarray):
        kind = "array" if type(value) in (np.ndarray, np.memmap) else type(value).__name__
        name = _KINDS.get(value.dtype.kind, str(value.dtype.newbyteorder("=")))
        name = "structured" if value.dtype.names else name
        order = ", byte-swapped" if not value.dtype.isnative else ""
        return f"{_article(name)} {name} {kind} of shape {list(value.shape)}{order}"
    if value is NOTHING:
        return "nothing"
    if value is None or isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, int | float | complex | np.number):
        kind = f" ({value.dtype})" if isinstance(value, np.number) else ""
        try:
            return f"the number {value!s:.80}{kind}"
        except ValueError:  # Python refuses to print integers of several thousand digits
            return "an integer of more digits than Python writes"
    if isinstance(value, str | bytes):
        return f"the text {value!r:.80}"
    if isinstance(value, type):
        return f"the class {value.__name__:.80}"
    name = type(value).__name__
    if isinstance(value, list | tuple):
        shape = outline(value, Contents())
    else:
        shape = _shape_of(value)
        dtype = _attribute(value, "dtype")
        if shape is not None and dtype is not None:
            name = f"{dtype!s:.40}".removeprefix("torch.") + f" {name}"
    of_shape = "" if shape is None else f" of shape {list(shape)}"
    return f"{_article(name)} {name}{of_shape}"


def _article(name: str) -> str:
    return "an" if name[0].lower() in "aeio" else "a"  # a uint8


def message(where: str, argument: str, expected: str, got: str) -> str:
    """Return the message of an error about an argument.

    Parameters
    ----------
    where, argument, expected, got : str
        The function, its argument, and descriptions of the expected and of the given value.

    Returns
    -------
    str
        The message, one line.
    """
    return f"{where}: argument '{argument}': expected {expected}, got {got}"


def refuse(
    value: object, where: str, argument: str, expected: str, got: str | None = None
) -> NoReturn:
    """Refuse a value whose shape does not fit.

    Parameters
    ----------
    value : object
        The value.
    where, argument, expected : str
        As in `message`.
    got : str, optional
        Description of the value; by default that of `describe`.

    Raises
    ------
    TypeError
        The value is not array-like.
    ValueError
        Otherwise.
    """
    text = message(where, argument, expected, got or describe(value))
    raise ValueError(text) if is_readable(value) else TypeError(text)


def refuse_type(value: object, where: str, argument: str, expected: str) -> NoReturn:
    """Refuse a value of the wrong type.

    Parameters
    ----------
    value : object
        The value.
    where, argument, expected : str
        As in `message`.

    Raises
    ------
    TypeError
        Always.
    """
    raise TypeError(message(where, argument, expected, describe(value)))


def refuse_memory(value: object, dtype: str, where: str, argument: str, expected: str) -> NoReturn:
    """Refuse an array that the engine cannot write into.

    Parameters
    ----------
    value : object
        The value.
    dtype : str
        The required dtype.
    where, argument, expected : str
        As in `message`.

    Raises
    ------
    ValueError
        Its shape or memory layout does not fit.
    TypeError
        It is not an array of this dtype.
    """
    got = describe(value)
    if type(value) is not np.ndarray or value.dtype != dtype or not value.dtype.isnative:
        raise TypeError(message(where, argument, expected, got))
    flags = value.flags
    got += "" if flags.c_contiguous else ", not contiguous"
    got += "" if flags.writeable else ", read-only"
    got += "" if flags.aligned else ", not aligned"
    raise ValueError(message(where, argument, expected, got))


def is_masked(value: object) -> bool:
    """Return whether a value is a ``numpy.ma.MaskedArray``, whose mask an ndarray would lose."""
    ma = sys.modules.get("numpy.ma")
    return ma is not None and isinstance(value, ma.MaskedArray)


def is_readable(value: object) -> bool:
    """Return whether NumPy can make an array of a value: a number, a sequence or an array."""
    known = isinstance(value, np.ndarray | np.generic | list | tuple | int | float)
    return known or _attribute(value, "__array__") is not None


def integer(value: object, where: str, argument: str, low: int, high: int = LARGEST) -> int:
    """Check an integer argument.

    Parameters
    ----------
    value : int or NumPy integer
        The value; bool and float are refused.
    where, argument : str
        The function and its argument, for the message.
    low, high : int
        The smallest and the largest allowed value.

    Returns
    -------
    int
        The value.

    Raises
    ------
    TypeError
        It is not an integer.
    ValueError
        It is out of bounds.
    """
    expected = f"an integer >= {low}" if high == LARGEST else f"an integer from {low} to {high}"
    if isinstance(value, bool | np.bool_ | np.ndarray):
        refuse_type(value, where, argument, expected)
    try:
        whole = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        refuse_type(value, where, argument, expected)
    if not low <= whole <= high:
        if abs(whole) <= 2**64:
            got = str(whole)
        else:
            got = "an integer above 2**64" if whole > 0 else "an integer below -2**64"
        raise ValueError(message(where, argument, expected, got))
    return whole


def number(value: object, where: str, argument: str, expected: str = "a finite number") -> float:
    """Check a finite real argument.

    Parameters
    ----------
    value : int, float or NumPy scalar
        The value.
    where, argument, expected : str
        As in `message`.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TypeError
        It is not a real number.
    ValueError
        It is NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        refuse_type(value, where, argument, expected)
    try:
        real = float(value)
    except OverflowError:
        real = math.inf
    if not math.isfinite(real):
        raise ValueError(message(where, argument, expected, str(real)))
    return real


def positive(value: object, where: str, argument: str) -> float:
    """Check an optional threshold.

    Parameters
    ----------
    value : float or None
        The value.
    where, argument : str
        The function and its argument, for the message.

    Returns
    -------
    float
        The value; 0 for None.

    Raises
    ------
    TypeError
        It is not a real number.
    ValueError
        It is not finite or not above 0.
    """
    if value is None:
        return 0.0
    expected = "a finite number > 0, or None"
    real = number(value, where, argument, expected)
    if real <= 0:
        raise ValueError(message(where, argument, expected, str(real)))
    return real


def flag(value: object, where: str, argument: str) -> bool:
    """Check a bool argument.

    Parameters
    ----------
    value : bool
        The value.
    where, argument : str
        The function and its argument, for the message.

    Returns
    -------
    bool
        The value.

    Raises
    ------
    TypeError
        It is not a bool.
    """
    if not isinstance(value, bool | np.bool_):
        refuse_type(value, where, argument, "True or False")
    return bool(value)


def choice(value: object, choices: Mapping[str, Choice], where: str, argument: str) -> Choice:
    """Return the meaning of a name.

    Parameters
    ----------
    value : str
        The name.
    choices : mapping of str
        The allowed names with their meanings.
    where, argument : str
        The function and its argument, for the message.

    Returns
    -------
    object
        ``choices[value]``.

    Raises
    ------
    TypeError
        It is not a string.
    ValueError
        It is not an allowed name. The message suggests the most similar one.
    """
    expected = "one of " + ", ".join(repr(name) for name in choices)
    if not isinstance(value, str):
        refuse_type(value, where, argument, expected)
    if value not in choices:
        raise ValueError(message(where, argument, expected, with_guess(value, choices)))
    return choices[value]


def dtype_name(value: object, where: str) -> str:
    """Return the name of a dtype that the engine computes in.

    Parameters
    ----------
    value : str, type or dtype
        A dtype in any form that NumPy accepts.
    where : str
        The function, for the message.

    Returns
    -------
    str
        "float32" or "float64".

    Raises
    ------
    TypeError
        It is another dtype, or not a dtype.
    """
    try:
        dtype = np.dtype(value) if value is not None else None  # type: ignore[call-overload]
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or not dtype.isnative or dtype not in (np.float32, np.float64):
        got = repr(value) if isinstance(value, str) else describe(value) if dtype is None else dtype
        raise TypeError(message(where, "dtype", "'float32' or 'float64'", str(got)))
    return str(dtype)


def file_name(path: object, where: str) -> bytes:
    """Return the name of a file in the encoding of the file system.

    Parameters
    ----------
    path : object
        The value of an argument `path`.
    where : str
        The function, for messages.

    Raises
    ------
    TypeError, ValueError
        If it is not a path, is empty or contains a NUL.
    """
    try:
        name = os.fsencode(path)  # type: ignore[arg-type]
    except TypeError:
        refuse_type(path, where, "path", "a path")
    if not name or b"\0" in name:
        raise ValueError(message(where, "path", "the name of a file", repr(os.fsdecode(name))))
    return name
