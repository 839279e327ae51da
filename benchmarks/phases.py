"""The phases of training steps (`--phases`): their time, and the least that it could be.

The time of each phase is that of the engine's profile, in the fastest of several rounds. The least
time of a phase of products is its number of operations over a rate of this core: of multiply-adds
in registers (the FMA peak), or of a register tile. The table is in Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass

import programs
from items import Item
from peers import restart_with_kept_memory
from workers import ours

import bptt_native as bn

HEAD = """\
| ISA | item | phase | at the FMA peak, ms | at the tile rate, ms | measured, ms \
| of the peak | of the tile rate | difference, ms |
|---|---|---|---|---|---|---|---|---|"""
PRODUCTS = ("input", "recurrent", "weight_gradients", "input_gradients")
ROUNDS = 10
DEFAULT_SHAPES = ("tiny", "small", "neuro", "deep", "charlm")


@dataclass(frozen=True)
class Row:
    """A line of the table: a phase, or the whole step."""

    phase: str
    operations: float  # of products
    measured: float  # milliseconds
    other: float = 0.0  # milliseconds of work outside products, part of the least time

    def text(self, isa: str, item: Item, peak: float, tile: float) -> str:
        """Return the line, with the rates in Gflop/s.

        The difference is that of the measured time and the time at the tile rate.
        """
        ideal = [self.operations / rate / 1e6 for rate in (peak, tile)]
        least = ideal[1] + self.other
        shares = [f"{100 * t / self.measured:.0f} %" if self.operations else "-" for t in ideal]
        cells = [isa, f"{item.shape} {item.cell}", self.phase, f"{ideal[0]:.4g}", f"{least:.4g}",
                 f"{self.measured:.4g}", *shares, f"{self.measured - least:.4g}"]  # fmt: skip
        return f"| {' | '.join(cells)} |"


def operations(item: Item) -> dict[str, float]:
    """Return the floating-point operations of a training step by phase of products."""
    rows = 2.0 * item.T * item.N * item.gates * item.H
    from_input, from_state = rows * (item.I + (item.L - 1) * item.H), rows * item.L * item.H
    counts = (from_input, 2 * from_state, from_input + from_state, from_input)
    return dict(zip(PRODUCTS, counts, strict=True))


def profile(item: Item, budget: float) -> tuple[float, dict[str, float]]:
    """Return the milliseconds of a training step, and those of each phase of it."""
    task = ours.make(item, [])
    assert task.change

    def measured(runs: int) -> tuple[float, dict[str, float]]:
        elapsed = 0.0
        with bn.profile() as phases:
            for _ in range(runs):
                task.change()
                start = time.perf_counter()
                task.run()
                elapsed += time.perf_counter() - start
        scale = 1e3 / runs
        return scale * elapsed, {name: scale * t for name, t in phases.seconds.items()}

    first = min(measured(1)[0] for _ in range(2))
    runs = max(1, int(1e3 * budget / ROUNDS / first))
    return min((measured(runs) for _ in range(ROUNDS)), key=lambda found: found[0])


def rows_of(item: Item, whole: float, phases: dict[str, float]) -> list[Row]:
    """Return the lines of an item; the whole step's least time includes that of pointwise work."""
    products = operations(item)
    lines = [Row(name, count, phases[name]) for name, count in products.items()]
    lines.append(Row("pointwise", 0, phases["pointwise"], phases["pointwise"]))
    lines.append(Row("packing", 0, phases["packing"]))
    lines.append(Row("rest", 0, whole - sum(line.measured for line in lines)))
    lines.append(Row("whole step", item.operations, whole, phases["pointwise"]))
    return lines


def table(isa: str, found: Iterable[tuple[Item, list[Row]]], rates: list[programs.Rate]) -> str:
    """Return the table, with the best rates of the run."""
    best = programs.fastest(rates)
    lines = [HEAD]
    for item, rows in found:
        peak, tile = (best[kind, item.dtype].gflops for kind in ("peak", "tile"))
        lines += [row.text(isa, item, peak, tile) for row in rows]
    return "\n".join(lines)


def run(options: argparse.Namespace) -> int:
    """Measure the items of `options` and print the table."""
    restart_with_kept_memory(options)
    bn.set_num_threads(1)
    if options.isa:
        bn._core.use_isa(options.isa)
    rates: list[programs.Rate] = []
    found = []
    for shape in options.shapes or DEFAULT_SHAPES:
        for cell in options.cells:
            item = Item.named("train", cell, shape, options.dtype)
            rates += programs.rates(bn.isa())
            found.append((item, rows_of(item, *profile(item, options.budget))))
    print(f"bptt_native {bn.__version__}, {programs.cpu_name()}, one thread, {options.dtype}")
    best = programs.fastest(rates)
    print(f"FMA peak: {best['peak', options.dtype]}; tile: {best['tile', options.dtype]}")
    print(f"\n{table(bn.isa(), found, rates)}")
    return 0
