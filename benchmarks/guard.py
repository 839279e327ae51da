"""The command `python benchmarks guard`, which names items that have become slower than the results
that are kept for this CPU and instruction set.

It measures training steps of this library alone, in about a minute. An item counts as slower if
both its time and its percentage of the FMA peak say so: times depend on the clock of the moment,
and the peak, measured in short bursts, may rise without them. It never fails because of a loss:
the machine may be shared.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable

import compare
import peers
import programs
import results
from results import Row
from run import Run, pin

import bptt_native as bn

LOSS = 1.03
OPTIONS = ["--jobs", "train", "--shapes", "tiny", "small", "neuro", "deep", "charlm", "long",
           "--budget", "3"]  # fmt: skip


def losses(pairs: Iterable[tuple[Row, Row]]) -> list[str]:
    """Return a line for each pair, the kept row and the new one, with a loss of more than 3 %.

    The whole interval of the loss must be above that, in times and in percentages of the peak.
    """
    lines = []
    for a, b in pairs:
        middle, low, high = compare.ratio(a, b)  # of times: below 1 for a loss
        peaks = b.percent_of_peak / a.percent_of_peak / middle  # the rest is that of the peaks
        least, most = 1 / (high * peaks), 1 / (low * peaks)
        if min(least, 1 / high) > LOSS:
            lines.append(
                f"{b.job} {b.shape} {b.cell}: {a.percent_of_peak:.1f} -> {b.percent_of_peak:.1f} % "
                f"of the FMA peak, {100 * (1 / (middle * peaks) - 1):.0f} % slower "
                f"({100 * (least - 1):.0f} to {100 * (most - 1):.0f} %)"
            )
    return lines


def main(options: argparse.Namespace) -> int:
    """Measure, and print a line for each loss."""
    isa = options.isa or bn.isa()
    folder = results.folder_of(programs.cpu_name(), isa)
    path = folder / f"{options.dtype}-{options.threads}.csv"
    if not path.exists():
        print(f"benchmarks guard: there are no kept results of this CPU, {folder.name}")
        return 0
    kept = compare.rows_of(path)
    pin(options.threads)
    run = Run(options, {"bptt": peers.PEERS["bptt"]})
    try:
        run.measure()
    finally:
        run.close()
    if any(math.isnan(row.percent_of_peak) for row in run.rows):
        print("benchmarks guard: the FMA peak was not measured, which needs a C++ compiler")
        return 0
    pairs = [(kept[key], row) for row in run.rows if (key := (*row.key, row.who)) in kept]
    lines = losses(pairs)
    for line in lines:
        print(f"benchmarks guard: SLOWER than {results.read(path)[0]['date']}: {line}")
    print(f"benchmarks guard: {len(lines)} of {len(pairs)} items are slower by more than 3 %")
    return 0
