"""Result files of an experiment: measurements as CSV, the verdict as JSON and Markdown."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._core import __version__
from ..arguments.values import message
from ..runtime.documents import COUNT, FLAG, NUMBER, TEXT, judge, parse
from ..runtime.files import SMALL, csv_bytes, csv_rows, read, refuse_line, replace
from ..runtime.settings import isa
from .experiment import Claim, Experiment, Row, Scalar


def write_rows(path: str | Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV, with a column for each name in the order of first appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = ([row.get(name, "") for name in names] for row in rows)
    replace(path, csv_bytes([names, *cells]), "lab.run")


def read_rows(path: str | Path) -> list[Row]:
    """Read the rows that `write_rows` wrote; empty cells are left out.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or is not a table.
    """
    found, rows = csv_rows(path, "lab.redraw"), list[Row]()
    names = next(found, (0, []))[1]
    for number, cells in found:
        if cells and len(cells) != len(names):
            got = f"{len(cells)} cells"
            refuse_line(path, number, "lab.redraw", f"{len(names)} cells", got)
        if cells:
            rows.append({n: _scalar(c) for n, c in zip(names, cells, strict=True) if c})
    return rows


def _scalar(cell: str) -> Scalar:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def cpu_name() -> str:
    """Return the processor's name as the operating system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict[str, Scalar]:
    """Return the processor, the instruction set and the versions that an experiment runs on."""
    return {
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "isa": isa(),
        "bptt_native": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def record_of(
    experiment: Experiment, claims: Sequence[Claim], circumstances: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the verdict and the circumstances of a run as an object for JSON."""
    return {
        "name": experiment.name,
        "title": experiment.title,
        "claim": experiment.claim,
        "claims": [{"claim": c.text, "held": c.held, "measured": c.measured} for c in claims],
        **circumstances,
    }


CIRCUMSTANCES = {
    "full": FLAG, "seeds": [COUNT], "jobs": COUNT, "workers": COUNT, "seconds": NUMBER,
    "cpu_seconds": NUMBER, "cpu": TEXT, "cpus": COUNT, "isa": TEXT, "bptt_native": TEXT,
    "numpy": TEXT, "python": TEXT, "platform": TEXT,
}  # fmt: skip


def read_circumstances(path: str | Path, name: str) -> dict[str, Any]:
    """Read the circumstances of the measurements from an experiment's JSON file.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not the record of this experiment.
    """
    try:
        record = parse(read(path, SMALL, "lab.redraw").decode())
        judge(record, {"name": TEXT, **CIRCUMSTANCES})
        if record["name"] != name:
            raise ValueError(f"the record of {record['name']!r}")
        return {key: record[key] for key in CIRCUMSTANCES}
    except ValueError as error:
        got = f"{type(error).__name__}: {error}"
        expected = f"the record of a run in {str(path)!r}"
        raise ValueError(message("lab.redraw", "out", expected, got)) from None


def write_record(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write the result of `record_of` as JSON."""
    replace(path, (json.dumps(record, indent=1) + "\n").encode(), "lab.run")


def as_text(experiment: Experiment, record: Mapping[str, Any], figure: str | None) -> str:
    """Return a record as Markdown.

    Parameters
    ----------
    experiment : Experiment
    record : mapping
        The result of `record_of`.
    figure : str, optional
        The file of the figure, relative to the text.
    """
    lines = [f"# {experiment.title}", "", experiment.claim, ""]
    if figure:
        lines += [f"![{experiment.title}]({figure})", ""]
    lines += ["| claim | | measured |", "|---|---|---|"]
    for claim in record["claims"]:
        verdict = "held" if claim["held"] else "**did not hold**"
        lines.append(f"| {claim['claim']} | {verdict} | {claim['measured']} |")
    if experiment.published:
        lines += ["", experiment.published]
    form = f"bptt-native lab {record['name']}" + (" --full" if record["full"] else "")
    seeds = ", ".join(map(str, record["seeds"]))
    lines += [
        "",
        f"`{form}`: {record['jobs']} jobs, seeds {seeds}; {duration(record['seconds'])} in "
        f"{record['workers']} processes, {duration(record['cpu_seconds'])} of CPU time; "
        f"{record['cpu']}, {record['isa']}; bptt_native {record['bptt_native']}, NumPy "
        f"{record['numpy']}, Python {record['python']}.",
    ]
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """Return a time as text, in seconds, minutes or hours; "not measured" for NaN."""
    if math.isnan(seconds):
        return "not measured"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
