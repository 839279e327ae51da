"""The command `python benchmarks compare A B`, which compares two folders of results."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from results import Row, geometric_mean, read


def rows_of(folder: Path) -> dict[tuple[object, ...], Row]:
    """Return all rows of a folder's CSV files, or of one file."""
    paths = sorted(folder.glob("*.csv")) if folder.is_dir() else [folder]
    if not paths or not all(path.is_file() for path in paths):
        raise SystemExit(f"benchmarks compare: {folder}: expected a folder with results, or a file")
    try:
        return {(*row.key, row.who): row for path in paths for row in read(path)[1]}
    except ValueError as error:
        raise SystemExit(f"benchmarks compare: {error}") from error


def ratio(a: Row, b: Row) -> tuple[float, float, float]:
    """Return a's time over b's with its 95 % interval.

    The interval is computed from those of both medians, which are assumed to be independent.
    """
    middle = math.log(a.ms / b.ms)
    below = math.hypot(math.log(a.ms / a.low_ms), math.log(b.high_ms / b.ms))
    above = math.hypot(math.log(a.high_ms / a.ms), math.log(b.ms / b.low_ms))
    return math.exp(middle), math.exp(middle - below), math.exp(middle + above)


def main(arguments: list[str]) -> int:
    """Print A's time over B's for every row that both have; above 1, B is faster."""
    parser = argparse.ArgumentParser(prog="benchmarks compare", description=main.__doc__)
    parser.add_argument("A", type=Path)
    parser.add_argument("B", type=Path)
    parser.add_argument("--who", nargs="+", help="only rows of these peers, such as bptt")
    options = parser.parse_args(arguments)
    before, after = rows_of(options.A), rows_of(options.B)
    means: dict[tuple[str, str], list[float]] = {}
    for key, a in before.items():
        b = after.get(key)
        if b is None or (options.who and a.who not in options.who):
            continue
        middle, low, high = ratio(a, b)
        mark = "" if low <= 1 <= high else "  faster" if low > 1 else "  SLOWER"
        print(
            f"{a.job:11} {a.shape:7} {a.cell:4} {a.dtype} {a.threads} {a.who:12} "
            f"{a.ms:10.4g} -> {b.ms:10.4g} ms  x{middle:.3f} ({low:.3f} to {high:.3f}){mark}"
        )
        means.setdefault((a.job, a.who), []).append(middle)
    if not means:
        raise SystemExit("benchmarks compare: the two have no row in common")
    for (job, who), ratios in means.items():
        print(f"{job} {who}: geometric mean of {len(ratios)}: x{geometric_mean(ratios):.3f}")
    return 0
