"""A run of the benchmarks: starts the peers, interleaves their turns and prints the results."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import itertools
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import programs
from items import JOBS, Item, Skip
from peers import Peer, Setting, Worker
from report import quoted_ms
from results import Row, order_statistics, undisturbed

Times = dict[str, list[tuple[float, float]]]  # by worker: seconds, processor seconds

MIN_ROUNDS, MIN_ROUNDS_SLOW = 5, 3  # if a run takes less than a second, or more
LIMIT_OF_ERROR = {"float32": 2e-5, "float64": 1e-10, "bfloat16": 5e-2}


def pin(threads: int) -> list[int]:
    """Pin this process and its workers to the last of its CPUs, one per thread."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    if threads > len(allowed):
        raise SystemExit(f"benchmarks: {threads} threads on {len(allowed)} CPU(s)")
    os.sched_setaffinity(0, set(allowed[-threads:]))
    return allowed[-threads:]


def attempt(worker: Worker, count: int, times: Times) -> list[tuple[float, float]]:
    """Return the times of a worker's runs. A worker that fails is dropped."""
    if worker.name not in times:
        return []
    try:
        return worker.run(count)
    except Skip as why:
        print(f"{'':24}{worker.peer.label}: {why}")
        del times[worker.name]
        return []


def turns(workers: list[Worker], budget: float, rounds: int) -> Times:
    """Return the times of each worker. In each round all take turns, another one first."""
    pause = 0.01 if workers[0].threads > 1 else 0.0  # until a peer's threads stop spinning
    counts, slowest = {}, 0.0
    times: Times = {worker.name: [] for worker in workers}
    for worker in workers:
        warm = attempt(worker, 1, times)
        if warm and warm[0][0] < 1:
            warm += attempt(worker, 2, times)
        seconds = min((wall for wall, _ in warm), default=1.0) * worker.repeats
        fit = int(budget / rounds / seconds)
        counts[worker.name] = max(2 if seconds < 0.15 else 1, min(fit, 1000))
        slowest = max(slowest, seconds)
    least = min(rounds, MIN_ROUNDS if slowest < 1 else MIN_ROUNDS_SLOW)
    end = time.perf_counter() + budget * len(workers)
    for k in range(rounds):
        if k >= least and time.perf_counter() > end:
            break
        for worker in workers[k % len(workers) :] + workers[: k % len(workers)]:
            time.sleep(pause)
            taken = attempt(worker, counts[worker.name], times)
            if worker.name in times:
                times[worker.name] += taken
    return times


def limits(isa: str | None, peers: Iterable[Peer]) -> str:
    """Return the header's words about peers that are limited to an instruction set."""
    free = [f", but not {peer.label}" for peer in peers if isa in peer.unlimited]
    return ", peers limited to it" + "".join(free) if isa else ""


class Run:
    """The workers of a run and their results so far."""

    def __init__(self, options: argparse.Namespace, peers: dict[str, Peer]) -> None:
        self.options, self.peers = options, peers
        self.setting = Setting(
            options.threads, options.isa, options.limit_peers, options.memory == "kept",
            options.env,
        )  # fmt: skip
        self.workers: dict[str, Worker] = {}
        self.missing: dict[str, str] = {}
        self.rates: list[programs.Rate] = []
        self.rows: list[Row] = []
        self.worst: dict[str, float] = {}
        for name, peer in peers.items():
            if set(options.jobs) & set(peer.jobs):
                self._start(name, peer)
        if "bptt" not in self.workers:
            raise SystemExit(f"benchmarks: bptt_native: {self.missing['bptt']}")
        self.isa = self.workers["bptt"].version.split("(")[1].rstrip(")")

    def _start(self, name: str, peer: Peer) -> None:
        try:
            self.workers[name] = Worker(name, peer, self.setting)
        except Skip as why:
            self.missing[name] = str(why)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

    def header(self) -> dict[str, str]:
        """Return the circumstances of the run for the CSV file."""
        options = self.options
        versions = {name: worker.version for name, worker in self.workers.items()}
        return {
            "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "cpu": programs.cpu_name(),
            "system": f"{platform.system()} {platform.release()}, Python "
            f"{platform.python_version()}, NumPy {np.__version__}",
            "isa": self.isa + limits(options.isa if options.limit_peers else None,
                                     [worker.peer for worker in self.workers.values()]),
            "threads": str(options.threads), "dtype": options.dtype,
            "memory": f"{options.memory} by malloc",
            "peak": self._rates("peak"),
            "tile": self._rates("tile"),
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
            "missing": ", ".join(f"{k} ({v})" for k, v in self.missing.items()) or "none",
        }  # fmt: skip

    def _rates(self, kind: str) -> str:
        """Return the best rates of one core that were measured so far, for the header."""
        found = programs.fastest(self.rates)
        return ", ".join(str(rate) for key, rate in found.items() if key[0] == kind)

    def items(self) -> Iterator[Item]:
        for job in self.options.jobs:
            shapes, cells = JOBS[job]
            for shape, cell in itertools.product(shapes, cells):
                wanted = self.options.shapes is None or shape in self.options.shapes
                if wanted and cell in self.options.cells:
                    yield Item.named(job, cell, shape, self.options.dtype)

    def measure(self) -> None:
        """Measure all items."""
        for item in self.items():
            with tempfile.NamedTemporaryFile() as data:
                item.flat().tofile(data.name)
                ready = self._ready(item, Path(data.name))
            if ready:
                self._measure(item, ready)
        for row in self.rows:
            self._set_percentages(row)

    def _set_percentages(self, row: Row) -> None:
        """Compute the percentages of the best rates of the run so far.

        They are the rates of all cores that a worker uses, in the type that it computes in.
        """
        worker = self.workers[row.who]
        kinds = {"bfloat16", "float64"} & set(worker.peer.variants) or {row.dtype}
        dtype, found = kinds.pop(), programs.fastest(self.rates)

        def percent(kind: str) -> float:
            rate = found.get((kind, dtype))
            return 100 * row.gflops / (rate.gflops * worker.threads) if rate else math.nan

        row.percent_of_peak, row.percent_of_tile = percent("peak"), percent("tile")

    def _ready(self, item: Item, data: Path) -> list[Worker]:
        ready = []
        for name, worker in list(self.workers.items()):
            if item.job not in worker.peer.jobs:
                continue
            try:
                worker.setup(item, data)
            except Skip as why:
                print(f"{'':24}{worker.peer.label}: {why}")
                if worker.ended:
                    self._restart(name)
                continue
            ready.append(worker)
        if self.options.check:
            self._check(item, ready)
        return ready

    def _restart(self, name: str) -> None:
        self.workers.pop(name).close()
        self._start(name, self.peers[name])

    def _check(self, item: Item, ready: list[Worker]) -> None:
        """Compare the results of all workers that do the same work with ours."""
        expected = None
        for worker in ready:
            if worker.peer.other_work:
                continue
            found = worker.result()
            if expected is None:
                expected = found
                continue
            error = float(np.abs(found - expected).max() / np.abs(expected).max())
            rounding = "bfloat16" if worker.peer.rounds else item.dtype
            label = f"{item.job} {item.cell} {item.shape} {worker.name}"
            self.worst[worker.name] = max(self.worst.get(worker.name, 0.0), error)
            if not error < LIMIT_OF_ERROR[rounding]:
                raise SystemExit(f"benchmarks: {label}: the result differs by {error:.1e}")

    def _seconds(self, worker: Worker, times: Times) -> list[float]:
        """Return the undisturbed runs; with several threads, all runs.

        Threads that wait for each other cannot be told from threads that other processes disturb.
        """
        taken = times[worker.name]
        return undisturbed(taken) if self.options.threads == 1 else [wall for wall, _ in taken]

    def _measure(self, item: Item, ready: list[Worker]) -> None:
        with contextlib.suppress(Skip):
            self.rates += programs.rates(self.isa)
        times = turns(ready, self.options.budget, self.options.rounds)
        if ready[0].name not in times:
            return
        ours = statistics.median(self._seconds(ready[0], times))
        for worker in (worker for worker in ready if worker.name in times):
            taken = self._seconds(worker, times)
            median, q1, q3, low, high = (1e3 * t for t in order_statistics(taken))
            rate = item.operations / median / 1e6
            self.rows.append(Row(
                item.job, item.cell, item.shape, item.dtype, self.options.threads, worker.name,
                median, q1, q3, low, high, len(taken),
                len(times[worker.name]) - len(taken), rate, math.nan, median / 1e3 / ours,
            ))  # fmt: skip
            self._set_percentages(self.rows[-1])
            print(line(self.rows[-1], worker.peer.label), flush=True)
        found = {row.who: row for row in self.rows[-len(times) :]}
        for name, ms in quoted_ms(self.rows[-1].key, found).items():
            label = f"{item.job:11} {item.shape:7} {item.cell:4} {name + ', quoted':33}"
            print(f"{label} {ms:10.4g} ms  x{ms / 1e3 / ours:.2f}")


def line(row: Row, label: str) -> str:
    return (
        f"{row.job:11} {row.shape:7} {row.cell:4} {label:33} {row.ms:10.4g} ms "
        f"({row.q1_ms:.4g} to {row.q3_ms:.4g}, {row.runs} runs) {row.gflops:6.1f} Gflop/s "
        f"{row.percent_of_peak:3.0f} % of peak {row.percent_of_tile:3.0f} % of tile  "
        f"x{row.times_ours:.2f}"
    )
