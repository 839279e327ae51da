"""What goes with an input and needs a closer look: masks, weights, draws, truncation."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, describe, integer, is_masked, message, refuse_type


def mask(value: object, where: str, argument: str, expected: str) -> Array:
    """Make the bytes that the engine takes of a mask.

    Parameters
    ----------
    value : array_like of bool, or of the integers 0 and 1
        What was given.
    where, argument, expected : str
        For the message.

    Returns
    -------
    ndarray of uint8
        C-contiguous.

    Raises
    ------
    TypeError
        Its elements are no bools or integers.
    ValueError
        An integer is not 0 or 1.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        refuse_type(value, where, argument, expected)
    if is_masked(value) or array.dtype.kind not in "biu":
        refuse_type(value, where, argument, expected)
    if array.dtype.kind != "b" and array.size and not ((array == 0) | (array == 1)).all():
        wrong = array[(array != 0) & (array != 1)].flat[0]
        raise ValueError(message(where, argument, f"{expected} (or of 0 and 1)", str(wrong)))
    return np.ascontiguousarray(array, np.uint8).reshape(array.shape)


def weights(value: object, dtype: str) -> object:
    """Turn a mask of targets into weights 0 and 1; leave anything else as it is.

    Parameters
    ----------
    value : array_like
        Weights, or bools: which targets count.
    dtype : str
        Of the model.

    Returns
    -------
    object
        `value`, or an array of `dtype`.
    """
    if isinstance(value, list | tuple):
        try:
            array = np.asarray(value)
        except ValueError:  # ragged: refused where the shape is known
            return value
    elif isinstance(value, np.ndarray) and not is_masked(value):
        array = value
    else:
        return value
    return array.astype(dtype) if array.dtype.kind == "b" else value


def truncation_of(value: object, where: str, bidirectional: object) -> tuple[int, int]:
    """Check the two numbers of truncated BPTT.

    Parameters
    ----------
    value : (k1, k2), or None
        What was given.
    where : str
        For the message.
    bidirectional : bool
        Whether the layers read in both directions, which excludes it.

    Returns
    -------
    tuple of int
        k1, k2; (0, 0) for None.

    Raises
    ------
    TypeError
        It is no pair of integers.
    ValueError
        k1 < 1, k2 < k1, or the layers are bidirectional.
    """
    if value is None:
        return 0, 0
    expected = "None or (k1, k2), integers with 1 <= k1 <= k2"
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(message(where, "truncation", expected, describe(value)))
    pair: list[Any] = [integer(k, where, "truncation", 1) for k in value]
    if pair[1] < pair[0]:
        raise ValueError(message(where, "truncation", expected, f"({pair[0]}, {pair[1]})"))
    if bidirectional:
        expected = "None with bidirectional=True"
        raise ValueError(message(where, "truncation", expected, f"({pair[0]}, {pair[1]})"))
    return pair[0], pair[1]
