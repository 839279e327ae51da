"""The report as one HTML page: the templates beside this file, filled in."""

import html
import json
import re
from importlib.resources import files
from typing import Any

SCRIPTS = ("charts.js", "maps.js", "memory.js", "page.js")


def page(data: dict[str, Any]) -> str:
    """Make the page.

    Parameters
    ----------
    data : dict
        What ``data.collect`` gives: texts, numbers, None, lists and dicts of them.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    parts = {
        "title": html.escape(data["title"]),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "data": embedded(data),
    }
    return re.sub(r"@(title|style|script|data)@", lambda m: parts[m[1]], _read("page.html"))


def embedded(data: Any) -> str:
    """Give JSON that can stand inside a script element, whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return re.sub("[\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text)


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
