"""Origin of a run, as its model file records it: data, baselines, and sessions of training."""

import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from .._core import __version__
from ..runtime.documents import COUNT, HASH, NUMBER, SIZE, TEXT, Kind, optional, table_of
from ..runtime.settings import get_num_threads, isa

SESSIONS = 50  # limit; further sessions replace the second one, the third one, ...
_DATE = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+00:00"
_TIME = Kind("a date and time in UTC",
             lambda v: isinstance(v, str) and bool(re.fullmatch(_DATE, v)))  # fmt: skip
_SESSION = {
    "began": _TIME, "saved": _TIME, "step": COUNT, "command": optional(TEXT), "version": TEXT,
    "python": TEXT, "numpy": TEXT, "system": TEXT, "processor": TEXT, "isa": TEXT, "threads": SIZE,
}  # fmt: skip
FORM = {
    "data": [{"name": TEXT, "sha256": HASH}], "size": TEXT, "tested": COUNT,
    "baselines": table_of(NUMBER), "sessions": [_SESSION],
}  # fmt: skip
"""The form of the JSON that `Provenance.to_json` returns."""


@dataclass
class Provenance:
    """Origin of a run.

    Attributes
    ----------
    data : list of (str, str)
        Name and SHA-256 of each file of data; empty for arrays.
    size : str
        Size of the data, in words.
    baselines : dict of str to float
        Results of simple methods on the run's test part (text: on the held-out part), in the unit
        of the run's own result.
    tested : int
        Number of rows, sequences or characters behind these results.
    command : str or None
        Command line of the present session.
    sessions : list of dict
        Each session, that is each time that the run was begun or resumed: date, step, command
        line, versions and machine.
    """

    data: list[tuple[str, str]] = field(default_factory=list)
    size: str = ""
    baselines: dict[str, float] = field(default_factory=dict)
    tested: int = 0
    command: str | None = None
    sessions: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, step: int) -> None:
        """Begin a session after ``step`` updates."""
        self.sessions.append({
            "began": _now(), "saved": _now(), "step": step,
            "command": None if self.command is None else _text(self.command),
            "version": __version__, "python": platform.python_version(), "numpy": np.__version__,
            "system": f"{platform.system()} {platform.release()}", "processor": processor(),
            "isa": isa(), "threads": get_num_threads(),
        })  # fmt: skip
        del self.sessions[1 : max(1, len(self.sessions) - SESSIONS + 1)]

    def to_json(self) -> dict[str, Any]:
        """Return the origin as an object for the model file, which is being saved now."""
        if self.sessions:
            self.sessions[-1]["saved"] = _now()
        return {
            "data": [{"name": _text(name), "sha256": sha256} for name, sha256 in self.data],
            "size": self.size, "tested": self.tested, "baselines": self.baselines,
            "sessions": self.sessions,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the origin of an object that has the form `FORM`."""
        return cls(
            [(file["name"], file["sha256"]) for file in value["data"]], value["size"],
            value["baselines"], value["tested"], None, value["sessions"],
        )  # fmt: skip


def processor() -> str:
    """Return the name of the processor, or of its architecture where the system has no name."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine() or "unknown"


def _text(name: str) -> str:
    """Return a name with escapes for what UTF-8 has no characters for, as names of files may."""
    return name.encode(errors="backslashreplace").decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
