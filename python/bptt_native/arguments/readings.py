"""Notes in errors about targets: their conversion to classes, and how the input was read."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .values import Array, Contents, is_readable, outline

SOME = 16  # values of each axis that are looked at
LONGEST_LIST = 4096  # values of a list that is converted into an array


class Reading(NamedTuple):
    """A reading of the input, and the targets that belong to it.

    Attributes
    ----------
    shape : tuple of int
        The expected shape of the targets, lengths or other arrays.
    classes : bool
        Whether they are classes.
    steps : int
        The number of steps T that were read.
    sequences : int or None
        The number of sequences N; None for one sequence without the axis N.
    features : int or None
        The number of features I; None for tokens.
    batch_first : bool
        Whether N comes before T.
    """

    shape: tuple[int, ...]
    classes: bool
    steps: int
    sequences: int | None
    features: int | None
    batch_first: bool


def note(value: object, argument: str, reading: Reading) -> str:
    """Return what may help with an argument that does not fit: a conversion, or the reading.

    Parameters
    ----------
    value : object
        The value of the argument.
    argument : str
        Its name.
    reading : Reading
        The reading of the input.

    Returns
    -------
    str
        An end for the message, such as " (one-hot rows: targets.argmax(axis=1) are their
        classes)"; empty if there is nothing to say.
    """
    reading = Reading(*reading)
    array = _as_array(value)
    if array is None:
        return ""
    convert = _conversion if reading.classes else _to_values
    cure = convert(array, value, argument, reading.shape)
    if not cure and array.shape != reading.shape:
        cure = _reading(array.shape, reading)
    return f" ({cure})" if cure else ""


def _as_array(value: object) -> Array | None:
    """Return an array-like value as an array, or None if it cannot be read or is a long list."""
    if not is_readable(value):
        return None
    if isinstance(value, list | tuple):
        shape = outline(value, Contents())
        if shape is None or math.prod(shape) > LONGEST_LIST:
            return None
    try:
        return np.asarray(value)
    except Exception:  # __array__ may raise anything, and lists may be ragged
        return None


def _conversion(array: Array, value: object, argument: str, shape: tuple[int, ...]) -> str:
    """Return the expression that makes classes of other targets, or an empty text.

    The values at the beginning of the axes decide, so no long array is copied.
    """
    name = argument if isinstance(value, np.ndarray) else f"np.asarray({argument})"
    kind, rank = array.dtype.kind, len(shape)
    some = array[(slice(SOME),) * min(rank, array.ndim)]
    if kind in "biuf" and shape and array.shape[:-1] == shape:
        if array.shape[-1] == 1:
            return f"{name}[..., 0] is without the last axis"
        if (np.count_nonzero(some, axis=-1) == 1).all() and (some.max(axis=-1) == 1).all():
            return f"one-hot rows: {name}.argmax(axis={rank}) are their classes"
    if array.shape != shape:
        return ""
    if kind in "USO":
        return f"labels: np.unique({argument}, return_inverse=True)[1] are their classes"
    if kind == "b":
        return f"{name}.astype(int) are classes 0 and 1"
    if kind == "f" and np.isfinite(some).all() and (some == np.rint(some)).all():
        return f"{name}.astype(int) are classes"
    if kind == "f" and np.isfinite(some).all():
        return "for values, make the Model with loss='mse'"
    return ""


def _to_values(array: Array, value: object, argument: str, shape: tuple[int, ...]) -> str:
    """Return the expression that makes values of bools, or the loss of classes, or nothing."""
    name = argument if isinstance(value, np.ndarray) else f"np.asarray({argument})"
    single = shape[-1:] == (1,)
    if array.dtype.kind == "b" and (array.shape == shape or (single and array.shape == shape[:-1])):
        return f'{name}.astype("float32") are values 0 and 1'
    if array.dtype.kind in "iu" and array.shape == shape[:-1] and not single:
        return "for classes, make the Model with loss='cross_entropy'"
    return ""


def _reading(shape: tuple[int, ...], reading: Reading) -> str:
    """Return how the input was read, if another reading may have been meant."""
    tail = "" if reading.features is None else ", I"
    features = f" with I = {reading.features} features" if tail else ""
    layout, other = ("N, T", "T, N") if reading.batch_first else ("T, N", "N, T")
    if reading.sequences is None:
        return (
            f"x is read as one sequence of T = {reading.steps} steps{features}; several sequences "
            f"are [{layout}{tail}]"
        )
    steps, sequences = reading.steps, reading.sequences
    both = len(reading.shape) > 1 and set(reading.shape[:2]) == {steps, sequences}
    one = "one target per sequence: Model(targets='last')"
    if both and shape == (sequences,):
        return one
    if both:
        swapped = shape in ((steps,), reading.shape[1::-1] + shape[2:])
    else:
        swapped = reading.shape[:1] == (sequences,) and shape[:1] == (steps,)
    if steps == sequences or not swapped:
        return ""
    return f"{one}; " * (both and len(shape) == 1) + (
        f"x is read as [{layout}{tail}]: T = {steps} steps of N = {sequences} sequences; "
        f"batch_first={not reading.batch_first} reads [{other}{tail}]"
    )
