"""Time the training step of a layer beside the installed peers: `python benchmarks --help`.

A training step is forward, backward with the gradients of weights, input and initial state, and
clipping by the global norm. All run in this process, in turn, on the same processor; figures are
medians with the interquartile range. A step counts 3 * 2 * T * N * G * H * (I + H) floating-point
operations per layer.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bptt_native as bn

sys.path.insert(0, str(Path(__file__).parent))
import peers

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
SHAPES = {  # T, N, I, H, L
    "tiny": (100, 1, 32, 32, 1),
    "small": (100, 16, 64, 64, 1),
    "neuro": (200, 64, 16, 128, 1),
    "deep": (100, 32, 128, 256, 3),
    "charlm": (100, 50, 128, 512, 1),
    "large": (100, 128, 512, 1024, 1),
    "long": (4096, 4, 32, 128, 1),
}


@dataclass
class Item:
    """One cell in one shape, with the data that every peer is given."""

    cell: str
    shape: str
    dtype: str

    def __post_init__(self) -> None:
        self.T, self.N, self.I, self.H, self.L = SHAPES[self.shape]
        rng = np.random.Generator(np.random.Philox(0))
        self.x = rng.standard_normal((self.T, self.N, self.I)).astype(self.dtype)
        self.dy = (0.1 * rng.standard_normal((self.T, self.N, self.H))).astype(self.dtype)
        self.h0 = (0.1 * rng.standard_normal((self.L, self.N, self.H))).astype(self.dtype)
        bound = self.H**-0.5
        self.params: dict[str, np.ndarray] = {}
        for k in range(self.L):
            rows, width = GATES[self.cell] * self.H, self.H if k else self.I
            for name, shape in {
                "weight_ih": (rows, width), "weight_hh": (rows, self.H),
                "bias_ih": (rows,), "bias_hh": (rows,),
            }.items():  # fmt: skip
                values = rng.uniform(-bound, bound, shape)
                self.params[f"{name}_l{k}"] = values.astype(self.dtype)

    @property
    def operations(self) -> float:
        widths = self.I + (self.L - 1) * self.H + self.L * self.H
        return 6.0 * self.T * self.N * GATES[self.cell] * self.H * widths


def time_in_turn(steps: dict[str, Callable[[], object]], budget: float) -> dict[str, list[float]]:
    """Each step once a round, in turn, until the budget is used up; at least five rounds."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
        step()
    end = time.perf_counter() + budget
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return times


def spread(times: list[float]) -> str:
    low, _, high = statistics.quantiles(times, n=4)
    return f"{1e3 * low:.3f}-{1e3 * high:.3f}"


def main() -> int:
    """Run the items asked for; print a table and write it as CSV if asked."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["small", "neuro", "charlm"], choices=SHAPES)
    parser.add_argument("--cells", nargs="+", default=list(GATES), choices=GATES)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--scaling", action="store_true", help="ours on 2 threads against ours on 1"
    )
    parser.add_argument(
        "--options", action="store_true",
        help="ours with lengths uniform in [T/2, T], with two directions and in the other dtype, "
        "against ours plain",
    )  # fmt: skip
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for each item")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()

    if not options.scaling and options.threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    bn.set_num_threads(options.threads)
    print(
        f"bptt_native {bn.__version__} on {bn.isa()}, {options.threads} thread(s); "
        f"{peers.versions()}"
    )
    rows = []
    for shape in options.shapes:
        for cell in options.cells:
            item = Item(cell, shape, options.dtype)
            if options.scaling:
                steps = {f"{n} thread(s)": peers.ours(item, threads=n) for n in (1, 2)}
            elif options.options:
                steps = peers.options(item)
            else:
                steps = peers.all_of(item, options.threads)
            times = time_in_turn(steps, options.budget)
            first = statistics.median(next(iter(times.values())))
            for name, taken in times.items():
                median = statistics.median(taken)
                rate = item.operations / median
                print(
                    f"{shape:7} {cell:5} {name:15} {1e3 * median:9.3f} ms  "
                    f"({spread(taken)}, {len(taken)} runs) "
                    f"{rate / 1e9:6.1f} GFLOP/s  x{median / first:.2f}"
                )
                rows.append(
                    [shape, cell, options.dtype, name, 1e3 * median, rate / 1e9, median / first]
                )
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["shape", "cell", "dtype", "who", "median_ms", "gflops", "ratio_to_first"]
            )
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
