"""Conversion of arguments into the arrays that the engine needs, where it is lossless.

The engine's bindings accept suitable arrays directly and pass all other values to this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _core
from .readings import Reading, note
from .values import (
    LARGEST,
    Array,
    Contents,
    describe,
    dtypes_of,
    is_masked,
    is_readable,
    message,
    outline,
    refuse,
    refuse_memory,
    refuse_type,
)

# The forms of an argument: for each dtype, the allowed shapes. None is any size except 0.
# "bool" is a mask; if a floating dtype is allowed too, True becomes 1.
Forms = Mapping[str, Sequence[tuple[int | None, ...]]]


def _fits(shape: tuple[int, ...], forms: Forms, name: str) -> bool:
    return any(
        len(shape) == len(form)
        and all(
            size == wanted or (wanted is None and size > 0)
            for size, wanted in zip(shape, form, strict=True)
        )
        for form in forms[name]
    )


def _floating(forms: Forms) -> str | None:
    return next((name for name in forms if name.startswith("float")), None)


def _chosen(array: Array, forms: Forms) -> str | None:
    """Return the dtype to which an array is converted, or None if none is suitable."""
    kind = array.dtype.kind
    floating = _floating(forms)
    if kind == "b":
        return "bool" if "bool" in forms else None
    if kind == "f":
        return floating
    if kind not in "iu":
        return None
    if "int64" in forms and (floating is None or array.ndim <= 2):
        return "int64"
    return floating or ("bool" if "bool" in forms else None)


def _beyond_64_bits(array: Array, contents: Contents) -> bool:
    """Return whether a list of integers did not fit an integer array."""
    return array.dtype.kind in "fO" and contents.plain == {int} and not contents.others


def _inexact(value: object, array: Array, contents: Contents, floats: Any) -> int | None:
    """Return an integer that a floating-point dtype cannot hold exactly, or None."""
    bits = 24 if floats == np.float32 else 53
    large: Iterable[Any] = ()
    if array.dtype.kind in "iu" and array.dtype.itemsize * 8 > bits:
        large = array[(array > 2**bits) | (array < -(2**bits))].flat
    elif isinstance(value, list | tuple) and (np.abs(array) >= 2**bits).any():
        large = _integers(value, contents)
    return next((int(n) for n in large if int(n) != int(floats.type(n))), None)


def _integers(items: Sequence[Any], contents: Contents) -> Iterator[Any]:
    """Yield the integers in a nested list: Python's own, then those that have a dtype."""
    for item in items:
        if isinstance(item, list | tuple):
            yield from _integers(item, Contents())
        elif type(item) is int:
            yield item
    for other in contents.others:
        if any(dtype.kind in "iu" for dtype in dtypes_of(other)):
            yield from np.asarray(other).flat


def read(
    value: object,
    where: str,
    argument: str,
    expected: str,
    part: str = "",
    held: list[object] | None = None,
    contents: Contents | None = None,
) -> Array:
    """Return a value as an array with its own dtype; arrays are not copied.

    Parameters
    ----------
    value : array_like
        The value.
    where, argument, expected, part : str
        As in `convert`.
    held : list, optional
        As in `convert`.
    contents : Contents, optional
        The contents of a list, if they are known already.

    Returns
    -------
    ndarray
        The value itself, or a view of its memory, if it is an array.

    Raises
    ------
    TypeError
        It is not array-like, has a mask, or its ``__array__`` raises.
    ValueError
        A list is not rectangular.
    """
    if is_masked(value):
        got = f"{describe(value)}{part} (its mask would be lost: use value.filled(...))"
        raise TypeError(message(where, argument, expected, got))
    if not is_readable(value):
        raise TypeError(message(where, argument, expected, describe(value) + part))
    held = [] if held is None else held
    held.append(_core.pin_of(value))
    if contents is None:
        contents = Contents()
        if isinstance(value, list | tuple):
            outline(value, contents)
    pins = [_core.pin_of(item) for item in contents.others]  # NumPy copies without the GIL
    try:
        array = np.asarray(value)
    except Exception as error:  # __array__ may raise anything
        why = f"{type(error).__name__}: {error!s:.200}".replace("\n", " ")
        got = f"{describe(value)}{part} that NumPy cannot read ({why})"
        if argument == "x" and isinstance(value, list | tuple) and isinstance(error, ValueError):
            got = (
                f"{describe(value)}{part} of sequences of different lengths (fit, evaluate and "
                "predict take such a list; here pass a padded array and lengths=...)"
            )
        text = message(where, argument, expected, got)
        if isinstance(error, MemoryError):
            raise MemoryError(text) from error
        raise (ValueError if isinstance(value, list | tuple) else TypeError)(text) from error
    held.append(_core.pin_of(array))
    pins.clear()  # the items of a list have been copied
    return array


def convert(
    value: object,
    forms: Forms,
    where: str,
    argument: str,
    expected: str,
    part: str = "",
    too_large: type[Exception] = IndexError,
    reading: Reading | None = None,
    held: list[object] | None = None,
) -> Array:
    """Convert a value into an array for the engine, if that is lossless.

    Python's numbers, also in lists, have no dtype. They are converted to the required one: floats
    are rounded to it, integers are refused if it cannot hold them exactly. Arrays and NumPy's
    scalars, also in lists, have a dtype. They are converted only to a dtype that can hold all its
    values. Bools are not numbers. Arrays are copied if their memory order, byte order or alignment
    requires it, after dtype and shape have been checked. Until then other threads cannot resize
    them.

    Parameters
    ----------
    value : array_like
        The value.
    forms : mapping of str to list of shapes
        The allowed shapes for each dtype "float32", "float64", "int64" or "bool". If int64 and a
        floating dtype are allowed, integers of rank 2 or less (tokens) stay integers.
    where, argument, expected : str
        As in `message`.
    part : str
        The part of the argument, for the message, such as " as c".
    too_large : type
        The exception for integers beyond int64.
    reading : Reading, optional
        The reading of the input, for a note in the message.
    held : list, optional
        Receives objects that keep other threads from resizing the result, which may be the given
        array or a view of it. Keep the list while the result is in use.

    Returns
    -------
    ndarray
        A C-contiguous, aligned array in native byte order, of one of the dtypes. Bools become
        uint8, or the floating dtype if that is allowed too.

    Raises
    ------
    TypeError
        The value is not array-like, or its dtype cannot be converted without loss (float64 to
        float32).
    ValueError
        The shape does not fit, a list is not rectangular, or a number is too large for float32.
    IndexError
        An unsigned token does not fit int64.
    """

    def refusal(kind: type[Exception], got: str) -> Exception:
        end = "" if reading is None else note(value, argument, reading)
        return kind(message(where, argument, expected, got + end))

    held, contents = [] if held is None else held, Contents()
    if isinstance(value, list | tuple):
        shape = outline(value, contents)
        misfit = shape is not None and not any(_fits(shape, forms, form) for form in forms)
        if misfit and contents.dtypes():
            raise refusal(ValueError, describe(value) + part)
    array = read(value, where, argument, expected, part, held, contents)
    native = isinstance(value, list | tuple | int | float) and not isinstance(value, np.generic)
    if native and array.size == 0 and array.dtype.kind == "f":
        raise refusal(ValueError, "an empty sequence" + part)
    name = _chosen(array, forms)
    if name is None and "int64" in forms and array.ndim and _beyond_64_bits(array, contents):
        raise refusal(too_large, f"an integer beyond 64 bits in {describe(value)}{part}")
    dtypes = contents.dtypes() if native else {array.dtype}
    if np.dtype(bool) in dtypes and "bool" not in forms:
        name = None
        dtypes |= {array.dtype} if contents.plain - {bool} else set()
    got = describe(value) + part
    if not isinstance(value, int | float) and getattr(value, "dtype", None) is None:
        got += " of " + " and ".join(sorted(map(str, dtypes or {array.dtype}))) + " elements"
    if name is None:
        raise refusal(TypeError, got)
    if not _fits(array.shape, forms, name):
        raise refusal(ValueError, describe(value) + part)
    floating = _floating(forms)
    if name == floating and not all(np.can_cast(dtype, name, "safe") for dtype in dtypes):
        own = isinstance(value, np.ndarray)
        cures = f'{argument}.astype("{name}")' if own else f'np.asarray({argument}, "{name}")'
        if np.dtype(np.float64) in dtypes:
            cures = f'dtype="float64" when the layer or model is made, or {cures}'
        raise refusal(TypeError, f"{got} (no silent loss of digits: {cures})")
    if name == "int64":
        if array.dtype.kind == "u" and int(array.max()) > LARGEST:
            raise refusal(too_large, f"{int(array.max())} in {describe(value)}{part}")
        result = np.require(array, np.int64, ["C", "A"])
        if result.dtype.num != np.dtype(np.int64).num:  # C's long long
            result = result.view(np.int64)
    elif name == "bool":
        if array.dtype.kind != "b" and not ((array == 0) | (array == 1)).all():
            wrong = array[(array != 0) & (array != 1)].flat[0]
            raise ValueError(message(where, argument, f"{expected} (or of 0 and 1)", str(wrong)))
        result = np.require(array, floating or np.uint8, ["C", "A"])
    else:
        with np.errstate(over="ignore"):
            result = np.require(array, name, ["C", "A"])
        if native and not np.array_equal(np.isfinite(array), np.isfinite(result)):
            raise refusal(ValueError, f"a number too large for {name}{part}")
        lost = _inexact(value, array, contents, result.dtype)
        if lost is not None:
            raise refusal(ValueError, f"{lost}{part}, which {name} does not hold exactly")
    if isinstance(value, np.memmap) and np.may_share_memory(result, array):
        return result.copy()  # the file may shrink while the engine reads it
    return result


_core.hand_over(
    convert=convert,
    describe=describe,
    note=note,
    refuse=refuse,
    refuse_memory=refuse_memory,
    refuse_type=refuse_type,
)
