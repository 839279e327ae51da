"""JSON documents of files: parsing within bounds, and checks against a form.

A form is one of

- a `Kind`: a test, and a description of the values that pass it;
- a dict of forms by name: an object with at least these names. A name whose form is `Missing` may
  be missing, since older files lack it;
- a list of one form: an array of any length whose elements have that form;
- a tuple of forms: an array of that length.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

DEPTH = 32  # limit of nested arrays and objects
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


class Kind(NamedTuple):
    """The form of a single value."""

    expected: str
    fits: Callable[[Any], bool]


class Missing(NamedTuple):
    """The form of a name that may be missing."""

    form: Any


def _is_number(value: Any) -> bool:
    whole = type(value) is int and abs(value) < 2**1000
    return whole or type(value) is float


COUNT = Kind("an integer of at least 0", lambda v: type(v) is int and 0 <= v < 2**53)
SIZE = Kind("an integer of at least 1", lambda v: type(v) is int and 1 <= v < 2**53)
NUMBER = Kind("a number", _is_number)
TIME = Kind("a finite number of at least 0",
            lambda v: _is_number(v) and math.isfinite(v) and v >= 0)  # fmt: skip
TEXT = Kind("a text", lambda v: isinstance(v, str))
HASH = Kind("a SHA-256 of 64 digits",
            lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9a-f]{64}", v)))  # fmt: skip
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
OBJECT = Kind("an object", lambda v: isinstance(v, dict))


def optional(kind: Kind) -> Kind:
    """Return the kind that also allows null."""
    return Kind(f"{kind.expected}, or null", lambda v: v is None or kind.fits(v))


def one_of(values: Iterable[str]) -> Kind:
    """Return the kind that allows these texts."""
    known = tuple(values)
    return Kind(f"one of {', '.join(known)}", lambda v: isinstance(v, str) and v in known)


def table_of(kind: Kind) -> Kind:
    """Return the kind of an object with arbitrary names whose values are all of one kind."""
    return Kind(f"an object whose values are each {kind.expected}",
                lambda v: isinstance(v, dict) and all(map(kind.fits, v.values())))  # fmt: skip


def parse(text: str) -> Any:
    """Parse JSON of limited depth.

    Raises
    ------
    ValueError
        The text is not JSON, is nested too deeply, or contains half a surrogate pair, which UTF-8
        cannot represent.
    """
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEPTH:
            raise ValueError(f"expected at most {DEPTH} arrays and objects inside each other")
    value = json.loads(text)
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"expected characters, got {error.object[error.start]!a}") from None
    return value


def judge(value: Any, form: Any, place: str = "") -> None:
    """Check that a value has a form.

    Parameters
    ----------
    value : object
        The result of `parse`.
    form : Kind, dict, list or tuple
        A form as described above.
    place : str
        Name of the value in messages.

    Raises
    ------
    ValueError
        The value does not have the form. The message names the part that differs.
    """
    if isinstance(form, Kind):
        if not form.fits(value):
            _refuse(place, form.expected, value)
    elif isinstance(form, dict):
        if not isinstance(value, dict):
            _refuse(place, "an object", value)
        for name, part in form.items():
            inner = f"{place}.{name}" if place else name
            if name not in value and not isinstance(part, Missing):
                raise ValueError(f"{inner}: missing")
            if name in value:
                judge(value[name], part.form if isinstance(part, Missing) else part, inner)
    else:
        if not isinstance(value, list):
            _refuse(place, "an array", value)
        if isinstance(form, tuple) and len(value) != len(form):
            _refuse(place, f"an array of {len(form)}", value)
        for i, part in enumerate(value):
            judge(part, form[i] if isinstance(form, tuple) else form[0], f"{place}[{i}]")


def _refuse(place: str, expected: str, value: Any) -> None:
    got = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    got = {"list": "an array", "dict": "an object"}.get(got, got)
    got = got if len(got) <= 60 else got[:57] + "..."
    raise ValueError(f"{place + ': ' if place else ''}expected {expected}, got {got}")
