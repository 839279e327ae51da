"""Descriptions of objects: a text for the terminal, and the same as HTML for notebooks.

A class describes its objects once, as a `View`: a line, and below it notes and tables. `Shown`
turns a view into a text of at most a screen, and into HTML with a figure where there is one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, KeysView, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

WIDTH = 96  # columns of a text
ROWS = 14  # rows of a table; of more, those in the middle are left out
CELL = 64  # characters of a cell
NUMBER = r"[-+]?(\d[\d,]*(\.\d+)?(e[-+]?\d+)?|nan|inf)( ?%)?"


class Table(NamedTuple):
    """A table of texts.

    Attributes
    ----------
    header : sequence of str
        The names of the columns.
    rows : sequence of sequences of str
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class View(NamedTuple):
    """The description of an object.

    Attributes
    ----------
    head : str
        The first line. It may have several lines.
    parts : tuple of str or Table
        Notes and tables below it; empty texts are left out.
    """

    head: str
    parts: tuple[str | Table, ...] = ()


def plain(text: str, most: int = CELL) -> str:
    """Return a text on one line and within a length, with escapes for signs that do not print."""
    kept = text[: most + 1]
    kept = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in kept)
    return kept if len(kept) <= most and len(text) <= most else f"{kept[: most - 3]}..."


def number_text(value: Any, digits: int = 4) -> str:
    """Return a number with a few digits, or any other value as a short text."""
    if isinstance(value, bool | np.bool_) or value is None:
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}" if abs(int(value)) < 10**15 else f"{float(value):.{digits}g}"
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}g}"
    if isinstance(value, tuple):
        return plain(f"({', '.join(number_text(each, digits) for each in value)})")
    return plain(str(value))


def counted(count: int, what: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def bytes_text(count: int) -> str:
    """Return a number of bytes with its unit."""
    if count < 1024:
        return f"{count} B"
    power = min(4, int(math.log2(count) // 10))
    return f"{count / 1024**power:.3g} {'KMGT'[power - 1]}iB" if power else f"{count} B"


def shape_text(shape: Sequence[object]) -> str:
    """Return a shape in brackets."""
    return f"[{', '.join(map(str, shape))}]"


def range_text(array: Any) -> str:
    """Return the range of an array's finite elements, and the numbers of NaN and infinite ones."""
    values = np.asarray(array)
    if not values.size:
        return "empty"
    if values.dtype.kind == "b":
        return f"{int(values.sum()):,} true"
    if values.dtype.kind not in "iufc":
        return ""
    if values.dtype.kind == "c":
        values = np.abs(values)
    good = np.isfinite(values)
    parts = []
    if good.all():
        low, high = values.min(), values.max()
    else:
        finite = values[good]
        low, high = (finite.min(), finite.max()) if finite.size else (None, None)
        nan = int(np.isnan(values).sum())
        infinite = int(values.size - good.sum()) - nan
        parts += [f"{nan:,} NaN"] * bool(nan) + [f"{infinite:,} infinite"] * bool(infinite)
    if low is not None:
        low, high = number_text(low), number_text(high)
        parts.insert(0, low if low == high else f"{low} to {high}")
    return ", ".join(parts)


def array_text(value: Any) -> str:
    """Return the dtype, shape and range of an array, or of each array of a pair."""
    if isinstance(value, tuple) and any(isinstance(each, np.ndarray) for each in value):
        return "; ".join(map(array_text, value))
    if not isinstance(value, np.ndarray):
        return number_text(value)
    found = range_text(value)
    return f"{value.dtype} {shape_text(value.shape)}{', ' * bool(found)}{found}"


def arrays_table(arrays: Mapping[str, Any], what: str = "array") -> Table:
    """Return a table of arrays and numbers by name; None is left out."""
    rows = []
    for name, value in arrays.items():
        if isinstance(value, np.ndarray):
            form = f"{value.dtype} {shape_text(value.shape)}"
            rows.append((plain(name), form, range_text(value)))
        elif isinstance(value, tuple) and any(isinstance(each, np.ndarray) for each in value):
            for k, each in enumerate(value):
                rows.append((f"{plain(name)}[{k}]", *array_text(each).partition(", ")[::2]))
        elif isinstance(value, Mapping):
            for key, each in value.items():
                rows.append((f"{plain(name)}[{key!r}]", *_form(each)))
        elif value is not None:
            rows.append((plain(name), "", number_text(value)))
    return Table((what, "form", "range or value"), rows)


def _form(value: Any) -> tuple[str, str]:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {shape_text(value.shape)}", range_text(value)
    return "", number_text(value)


def fields_view(thing: Any, *notes: str) -> View:
    """Return the view of a dataclass or NamedTuple: its name, notes, and a table of its fields."""
    names = getattr(thing, "_fields", None) or tuple(thing.__dataclass_fields__)
    table = arrays_table({name: getattr(thing, name) for name in names}, "field")
    return View(type(thing).__name__, (*notes, table))


def constructor_text(name: str, given: Sequence[str]) -> str:
    """Return the call of a constructor, on several lines if it does not fit on one."""
    line = f"{name}({', '.join(given)})"
    if len(line) <= WIDTH:
        return line
    lines, here = [], f"{name}("
    for k, argument in enumerate(given):
        piece = argument + (", " if k + 1 < len(given) else ")")
        if len(here) + len(piece.rstrip()) > WIDTH and here.strip():
            lines.append(here.rstrip())
            here = "    "
        here += piece
    return "\n".join([*lines, here])


def elided(rows: Sequence[Any], most: int = ROWS) -> tuple[list[Any], int, list[Any]]:
    """Return the first rows, the number of rows left out, and the last rows."""
    if len(rows) <= most:
        return list(rows), 0, []
    first = most // 2
    last = most - 1 - first
    return list(rows[:first]), len(rows) - first - last, list(rows[len(rows) - last :])


def _numeric(rows: Sequence[Sequence[str]], column: int) -> bool:
    cells = [row[column] for row in rows if row[column] not in ("", "...")]
    return bool(cells) and all(re.fullmatch(NUMBER, cell) for cell in cells)


def _table_lines(table: Table) -> list[str]:
    first, left_out, last = elided(table.rows)
    rows = [[plain(cell) for cell in row] for row in (table.header, *first, *last)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [_numeric(rows[1:], k) for k in range(len(widths))]
    kept = len(widths)
    while kept > 1 and sum(widths[:kept]) + 2 * kept > WIDTH - 5 * (kept < len(widths)):
        kept -= 1
    lines = []
    for row in rows:
        cells = zip(row[:kept], widths, right, strict=False)
        line = "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells)
        lines.append(f"{line}  ..." if kept < len(widths) else line.rstrip())
    if left_out:
        lines.insert(1 + len(first), f"... {left_out:,} more")
    return lines


def text_of(view: View) -> str:
    """Return a view as text."""
    from textwrap import wrap  # when it is needed: the import of the package stays quick

    lines = [view.head]
    for part in view.parts:
        if isinstance(part, Table):
            lines += [f"  {line}" for line in _table_lines(part)] if part.rows else []
        elif part:
            for line in part.splitlines():
                lines += wrap(
                    line, WIDTH, initial_indent="  ", subsequent_indent="    ",
                    break_long_words=True, break_on_hyphens=False,
                )  # fmt: skip
    return "\n".join(lines)


# The colours are those of the page, so that it can be read on a dark and on a light one.
_STYLE = (
    "<style>.bptt-native{font-size:13px;line-height:1.4;color:inherit;overflow-x:auto}"
    ".bptt-native pre{margin:0 0 4px;white-space:pre-wrap;color:inherit;background:none}"
    ".bptt-native p{margin:4px 0;white-space:pre-wrap}"
    ".bptt-native table{border-collapse:collapse;margin:4px 0;font-size:inherit;color:inherit;"
    "background:none}"
    ".bptt-native th,.bptt-native td{padding:2px 10px;text-align:left;border:0;color:inherit;"
    "background:none}.bptt-native thead th{border-bottom:1px solid currentColor}"
    ".bptt-native .n{text-align:right;font-variant-numeric:tabular-nums}"
    ".bptt-native img{max-width:100%;background:#fff}</style>"
)


def escaped(text: str) -> str:
    """Return a text for HTML, also for attributes."""
    for sign, name in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot"), ("'", "#39")):
        text = text.replace(sign, f"&{name};")
    return text


def _table_html(table: Table) -> str:
    first, left_out, last = elided(table.rows, 2 * ROWS)
    rows = [*first, *last]
    kinds = [' class="n"' if _numeric(rows, k) else "" for k in range(len(table.header))]

    def line(row: Sequence[str], tag: str) -> str:
        cells = zip(row, kinds, strict=True)
        return "".join(f"<{tag}{kind}>{escaped(plain(cell))}</{tag}>" for cell, kind in cells)

    body = [f"<tr>{line(row, 'td')}</tr>" for row in rows]
    if left_out:
        span = len(table.header)
        body.insert(len(first), f'<tr><td colspan="{span}">... {left_out:,} more</td></tr>')
    head = line(table.header, "th")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def html_of(view: View, picture: bytes | None = None) -> str:
    """Return a view as HTML, with a PNG picture below it if there is one."""
    parts = [f"<pre>{escaped(view.head)}</pre>"]
    for part in view.parts:
        if isinstance(part, Table):
            parts += [_table_html(part)] if part.rows else []
        elif part:
            parts.append(f"<p>{escaped(part)}</p>")
    if picture is not None:
        from base64 import b64encode

        data = b64encode(picture).decode()
        parts.append(f'<img alt="figure" src="data:image/png;base64,{data}">')
    return f'{_STYLE}<div class="bptt-native">{"".join(parts)}</div>'


def _no_picture(thing: object) -> bytes | None:
    return None


def _no_plot(thing: object, ax: object) -> object:
    raise NotImplementedError


_draw: Callable[[object], bytes | None] = _no_picture
_plot: Callable[[object, object], object] = _no_plot


def draw_with(
    draw: Callable[[object], bytes | None], plot: Callable[[object, object], object]
) -> None:
    """Set the functions that draw objects: the figures are in a room above those of the objects.

    Parameters
    ----------
    draw : callable
        Returns the figure of an object as PNG, or None if it has none.
    plot : callable
        Draws an object into axes, or into those of a new figure for None, and returns them.
    """
    global _draw, _plot
    _draw, _plot = draw, plot


def plot(thing: object, ax: object) -> Any:
    """Draw an object into axes, or into those of a new figure for None, and return them."""
    return _plot(thing, ax)


class Names(KeysView[str]):
    """The keys of a mapping, which are shown without its values."""

    def __repr__(self) -> str:
        return f"Names({list(self)})"


class Shown:
    """Base class of objects that a `View` describes."""

    __slots__ = ()

    def _view(self) -> View:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text_of(self._view())

    def _repr_html_(self) -> str:
        return html_of(self._view(), _draw(self))
