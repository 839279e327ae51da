"""JSON that files hold: parsed within bounds, and judged by a form before anything uses it.

A form is one of

- a `Kind`: what is expected, in words, and a test;
- a dict of forms by name: an object that has these names, and perhaps others (a name whose form is
  `Missing` may be missing: older files lack it);
- a list of one form: an array of any length whose elements have that form;
- a tuple of forms: an array of this length.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

DEPTH = 32  # most arrays and objects inside each other
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


class Kind(NamedTuple):
    """What is expected of a value that has no parts."""

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
    """Return the kind of some texts."""
    known = tuple(values)
    return Kind(f"one of {', '.join(known)}", lambda v: isinstance(v, str) and v in known)


def table_of(kind: Kind) -> Kind:
    """Return the kind of an object with any names, whose values are of one kind."""
    return Kind(f"an object whose values are each {kind.expected}",
                lambda v: isinstance(v, dict) and all(map(kind.fits, v.values())))  # fmt: skip


def parse(text: str) -> Any:
    """Parse JSON whose arrays and objects are not too deep.

    Raises
    ------
    ValueError
        It is no JSON, too deep, or has half a surrogate pair, which no file's text can hold.
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
        Of `parse`.
    form : Kind, dict, list or tuple
        See above.
    place : str
        How the value is named in messages.

    Raises
    ------
    ValueError
        It has not; the message names the part.
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
