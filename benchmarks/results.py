"""Result rows of a run: statistics, and their CSV file with its header."""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

KEPT = Path(__file__).parent / "results"
Key = tuple[str, str, str, str, int]  # job, cell, shape, dtype, threads


@dataclass
class Row:
    """The result of one peer for one item. Times are those of one run, step or update."""

    job: str
    cell: str
    shape: str
    dtype: str
    threads: int
    who: str
    ms: float  # median
    q1_ms: float
    q3_ms: float
    low_ms: float  # 95 % interval of the median
    high_ms: float
    runs: int
    left_out: int  # number of runs that other processes disturbed, which do not count
    gflops: float
    percent_of_peak: float
    times_ours: float  # this time over ours
    percent_of_tile: float = math.nan  # of the rate of a register tile; older files lack it

    @property
    def key(self) -> Key:
        return self.job, self.cell, self.shape, self.dtype, self.threads


def order_statistics(times: list[float]) -> tuple[float, ...]:
    """Return median, quartiles, and the distribution-free 95 % interval of the median."""
    ordered, n = sorted(times), len(times)
    if n == 1:
        return (ordered[0],) * 5
    q1, median, q3 = statistics.quantiles(ordered, n=4, method="inclusive")
    reach = 0.98 * math.sqrt(n)
    low = max(0, math.floor(n / 2 - reach))
    high = min(n - 1, math.ceil(n / 2 + reach) - 1)
    return median, q1, q3, ordered[low], ordered[high]


def undisturbed(times: list[tuple[float, float]]) -> list[float]:
    """Return the seconds of runs with the processor for 90 % of the time; all if they are few."""
    good = [wall for wall, cpu in times if cpu >= 0.9 * wall]
    return good if len(good) >= max(2, 0.15 * len(times)) else [wall for wall, _ in times]


def geometric_mean(values: Iterable[float]) -> float:
    return statistics.geometric_mean(values)


def folder_of(cpu: str, isa: str) -> Path:
    """Return the folder of the kept results of a CPU and an instruction set."""
    return KEPT / re.sub(r"[^a-z0-9]+", "-", f"{cpu}-{isa}".lower()).strip("-")


def write(path: Path, header: dict[str, str], rows: list[Row]) -> None:
    """Write the header as lines `# name: value`, then the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        for name, value in header.items():
            file.write(f"# {name}: {value}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(f.name for f in fields(Row))
        for row in rows:
            values = (getattr(row, f.name) for f in fields(Row))
            writer.writerow(f"{v:.5g}" if isinstance(v, float) else v for v in values)


def read(path: Path) -> tuple[dict[str, str], list[Row]]:
    """Return the header and the rows of a file. Raise `ValueError` if it is another file."""
    lines = path.read_text().splitlines()
    header = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    table = csv.DictReader(line for line in lines if not line.startswith("# "))
    names = [f.name for f in fields(Row)]
    if table.fieldnames not in (names, names[:-1]):
        raise ValueError(f"{path}: expected the columns {names}, got {table.fieldnames}")
    kinds = {"int": int, "float": float, "str": str}
    return header, [
        Row(**{f.name: kinds[str(f.type)](cells[f.name]) for f in fields(Row) if f.name in cells})
        for cells in table
    ]
