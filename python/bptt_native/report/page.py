"""HTML page of a report, filled in from the templates in this folder."""

import html
import json
import re
from importlib.resources import files
from typing import Any

SCRIPTS = ("charts.js", "save.js", "lines.js", "maps.js", "memory.js", "page.js")


def page(data: dict[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    data : dict
        The result of ``data.collect``.

    Returns
    -------
    str
        A self-contained HTML page, which loads no other resource.
    """
    parts = {
        "title": html.escape(data["title"]),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "data": embedded(data),
    }
    return re.sub(r"@(title|style|script|data)@", lambda m: parts[m[1]], _read("page.html"))


def embedded(data: Any) -> str:
    """Return data as JSON that is safe inside a script element, whatever its texts contain."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return re.sub("[\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text)


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
