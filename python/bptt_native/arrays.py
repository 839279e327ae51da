"""What arguments have to be: conversions without loss, and refusals that name the argument.

The engine's bindings take arrays that are right as they are; all others come here, and so do the
numbers and names that constructors are given. Messages read ``LSTM.forward: argument 'x': expected
..., got ...``.
"""

from __future__ import annotations

import contextlib
import math
import operator
import sys
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Choice = TypeVar("Choice")

LARGEST = 2**63 - 1


def describe(value: object) -> str:
    """Say what a value is: its type, and the dtype and shape or the value itself.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        As "a float64 array of shape [7, 2, 5]", "None", "the number 3", "a dict".
    """
    if isinstance(value, np.ndarray):
        kind = "array" if type(value) in (np.ndarray, np.memmap) else type(value).__name__
        fields = "structured" if value.dtype.names else value.dtype.str[1:]
        name = fields if value.dtype.kind in "VSUO" else str(value.dtype.newbyteorder("="))
        order = ", byte-swapped" if not value.dtype.isnative else ""
        article = "an" if name[0] in "aeiou" else "a"
        return f"{article} {name} {kind} of shape {list(value.shape)}{order}"
    if value is None or isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, int | float | complex | np.number):
        return f"the number {value!s:.80}"
    if isinstance(value, str | bytes):
        return f"the text {value!r:.80}"
    article = "an" if type(value).__name__[0].lower() in "aeiou" else "a"
    shape = ""
    if isinstance(value, list | tuple):
        with contextlib.suppress(ValueError):
            shape = f" of shape {list(np.shape(value))}"
    return f"{article} {type(value).__name__}{shape}"


def message(where: str, argument: str, expected: str, got: str) -> str:
    """Give the text of an error.

    Parameters
    ----------
    where, argument, expected, got : str
        The function, its argument, what that has to be and what it was.

    Returns
    -------
    str
        All of it in one line.
    """
    return f"{where}: argument '{argument}': expected {expected}, got {got}"


def refuse(
    value: object, where: str, argument: str, expected: str, got: str | None = None
) -> NoReturn:
    """Refuse a value whose sizes do not fit.

    Parameters
    ----------
    value : object
        What was given.
    where, argument, expected : str
        As in `message`.
    got : str, optional
        Instead of a description of the value.

    Raises
    ------
    ValueError
        Always, or TypeError where the value is no array at all.
    """
    text = message(where, argument, expected, got or describe(value))
    arrays = isinstance(value, np.ndarray | np.generic | list | tuple | int | float)
    raise ValueError(text) if arrays or hasattr(value, "__array__") else TypeError(text)


def refuse_type(value: object, where: str, argument: str, expected: str) -> NoReturn:
    """Refuse a value of the wrong kind.

    Parameters
    ----------
    value : object
        What was given.
    where, argument, expected : str
        As in `message`.

    Raises
    ------
    TypeError
        Always.
    """
    raise TypeError(message(where, argument, expected, describe(value)))


def is_masked(value: object) -> bool:
    """Tell whether a value is a ``numpy.ma.MaskedArray``, whose mask an ndarray would lose."""
    ma = sys.modules.get("numpy.ma")
    return ma is not None and isinstance(value, ma.MaskedArray)


def _read(value: object, where: str, argument: str, expected: str) -> Array:
    """Give the value as an array of any dtype; only numbers, sequences and arrays are read."""
    if is_masked(value):
        got = f"{describe(value)} (its mask would be lost: use value.filled(...))"
        raise TypeError(message(where, argument, expected, got))
    if isinstance(value, np.memmap):
        return np.array(value, subok=False)  # the file may shrink while the engine reads
    readable = isinstance(value, np.ndarray | np.generic | list | tuple | int | float)
    if not readable and not hasattr(value, "__array__"):
        refuse_type(value, where, argument, expected)
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        got = f"{describe(value)} that NumPy cannot read ({error})"
        kind = ValueError if isinstance(value, list | tuple) else TypeError
        raise kind(message(where, argument, expected, got)) from None


def _as_int64(array: Array, where: str, argument: str, expected: str) -> Array:
    if array.dtype.kind == "u" and array.size and int(array.max()) > LARGEST:
        got = f"{int(array.max())} in {describe(array)}"
        raise IndexError(message(where, argument, expected, got))
    whole = np.require(array, np.int64, ["C", "A"])
    return whole if whole.dtype.num == np.dtype(np.int64).num else whole.view(np.int64)


def convert(value: object, kinds: str, where: str, argument: str, expected: str) -> Array:
    """Make the array that the engine wants of a value, where that loses nothing.

    Numbers and lists of Python's become the wanted dtype. Arrays are copied where their memory
    order, byte order or alignment asks for it, and widened where every value of their dtype fits.

    Parameters
    ----------
    value : array_like
        What was given.
    kinds : str
        "float32", "float64", "int64", or a float "or int64": then integers of rank 2 or less
        (tokens) stay integers.
    where, argument, expected : str
        For the message.

    Returns
    -------
    ndarray
        C-contiguous, aligned, in native byte order, of exactly one of the dtypes.

    Raises
    ------
    TypeError
        The value is no array, or its dtype does not fit without loss (float64 into float32).
    ValueError
        A list has no rectangular shape, or a number of it is too large for float32.
    IndexError
        An unsigned token does not fit int64.
    """
    array = _read(value, where, argument, expected)
    kind = array.dtype.kind
    native = isinstance(value, list | tuple | int | float) and not isinstance(value, np.generic)
    if native and array.size == 0 and kind == "f":
        refuse(value, where, argument, expected, "an empty sequence")
    floats = kinds.split(" or ", maxsplit=1)[0]
    if kind in "iu" and (kinds == "int64" or (kinds != floats and array.ndim <= 2)):
        return _as_int64(array, where, argument, expected)
    what = describe(value)
    if not isinstance(value, np.ndarray):
        what += f" of {array.dtype} elements"
    if kinds == "int64" or kind not in "iuf":
        raise TypeError(message(where, argument, expected, what))
    wanted = np.dtype(floats)
    if not native and not np.can_cast(array.dtype, wanted, "safe"):
        cures = f'{argument}.astype("{floats}")'
        if array.dtype == np.float64:
            cures = f'dtype="float64" when the layer or model is made, or {cures}'
        got = f"{what} (no silent loss of digits: {cures})"
        raise TypeError(message(where, argument, expected, got))
    with np.errstate(over="ignore"):
        result = np.require(array, wanted, ["C", "A"])
    if native and not np.array_equal(np.isfinite(array), np.isfinite(result)):
        refuse(value, where, argument, expected, "a number too large for float32")
    return result


def integer(value: object, where: str, argument: str, low: int, high: int = LARGEST) -> int:
    """Check an integer argument.

    Parameters
    ----------
    value : int or NumPy integer
        What was given; bool and float are refused.
    where, argument : str
        For the message.
    low, high : int
        The smallest and the largest that are allowed.

    Returns
    -------
    int
        The value.

    Raises
    ------
    TypeError
        It is no integer.
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
        huge = abs(whole) > LARGEST
        got = "a larger one than memory holds" if huge else str(whole)
        raise ValueError(message(where, argument, expected, got))
    return whole


def number(value: object, where: str, argument: str, expected: str = "a finite number") -> float:
    """Check a finite real argument.

    Parameters
    ----------
    value : int, float or NumPy scalar
        What was given.
    where, argument, expected : str
        For the message.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TypeError
        It is no number.
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
    """Check a threshold that None switches off.

    Parameters
    ----------
    value : float or None
        What was given.
    where, argument : str
        For the message.

    Returns
    -------
    float
        The value; 0 for None.

    Raises
    ------
    TypeError
        It is no number.
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
        What was given.
    where, argument : str
        For the message.

    Returns
    -------
    bool
        The value.

    Raises
    ------
    TypeError
        It is no bool.
    """
    if not isinstance(value, bool | np.bool_):
        refuse_type(value, where, argument, "True or False")
    return bool(value)


def choice(value: object, choices: Mapping[str, Choice], where: str, argument: str) -> Choice:
    """Give what a name stands for.

    Parameters
    ----------
    value : str
        What was given.
    choices : mapping of str
        The names that are allowed.
    where, argument : str
        For the message.

    Returns
    -------
    object
        ``choices[value]``.

    Raises
    ------
    TypeError
        It is no string.
    ValueError
        It is none of the names; the message suggests the nearest one.
    """
    expected = "one of " + ", ".join(repr(name) for name in choices)
    if not isinstance(value, str):
        refuse_type(value, where, argument, expected)
    if value not in choices:
        from difflib import get_close_matches

        near = get_close_matches(value.lower(), choices, 1)
        got = f"{value!r:.80}" + (f" (did you mean {near[0]!r}?)" if near else "")
        raise ValueError(message(where, argument, expected, got))
    return choices[value]


def dtype_name(value: object, where: str) -> str:
    """Give the name of a dtype that the engine computes in.

    Parameters
    ----------
    value : str, type or dtype
        As NumPy takes it.
    where : str
        For the message.

    Returns
    -------
    str
        "float32" or "float64".

    Raises
    ------
    TypeError
        It is another dtype, or none.
    """
    try:
        dtype = np.dtype(value) if value is not None else None  # type: ignore[call-overload]
    except TypeError:
        dtype = None
    if dtype is None or not dtype.isnative or dtype not in (np.float32, np.float64):
        got = repr(value) if isinstance(value, str) else describe(value) if dtype is None else dtype
        raise TypeError(message(where, "dtype", "'float32' or 'float64'", str(got)))
    return str(dtype)
