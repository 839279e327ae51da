"""The command ``bptt-native lab``, which runs the experiments of the laboratory."""

import argparse
import sys
from typing import Any

from ..lab import EXPERIMENTS, JobError, redraw, run
from ..lab.results import duration

NOT_HELD, JOB_FAILED = 1, 4


def add_lab(commands: Any) -> None:
    """Add the command ``lab`` to a parser."""
    command = commands.add_parser(
        "lab", help="run experiments on claims about recurrent learning",
        description="Run an experiment and print whether its claims held. The measurements, the "
        "verdict and a figure are written to a folder. Defaults are in parentheses.",
    )  # fmt: skip
    command.set_defaults(run=run_lab, parser=command)
    command.add_argument(
        "name", nargs="?", metavar="NAME", help="experiment; without it, list all experiments"
    )
    command.add_argument("--full", action="store_true", help="run the long form")
    command.add_argument(
        "--out", metavar="DIR", default="runs/lab", help="folder of the results (%(default)s)"
    )
    command.add_argument(
        "--redraw", action="store_true",
        help="write verdict and figure again from the measurements in the folder",
    )  # fmt: skip
    command.add_argument(
        "--seeds", type=int, metavar="N", help="number of seeds (depends on the experiment)"
    )
    command.add_argument(
        "--jobs", type=int, metavar="N", help="number of parallel processes (one per processor)"
    )


def run_lab(args: argparse.Namespace) -> int:
    """Run an experiment and print its verdict, or list them all."""
    if args.name is None:
        print(f"{'name':16} {'quick':>12} {'--full':>12}   subject")
        for name, experiment in EXPERIMENTS.items():
            quick, full = (duration(60 * minutes) for minutes in experiment.minutes)
            print(f"{name:16} {quick:>12} {full:>12}   {experiment.title}")
        print(
            "The times are the CPU time of all jobs on an AMD EPYC with avx512 (docs/lab.md), "
            "without the start of processes."
        )
        return 0
    if args.redraw and (args.full or args.seeds is not None or args.jobs is not None):
        expected = "no option for new measurements"
        raise ValueError(f"argument '--redraw': expected {expected}, got --full, --seeds or --jobs")
    try:
        outcome = redraw(args.name, args.out) if args.redraw else run(
            args.name, args.out, full=args.full, seeds=args.seeds, jobs=args.jobs, progress=_show
        )  # fmt: skip
    except JobError as error:
        print(f"bptt-native lab: a job failed: {error}", file=sys.stderr)
        return JOB_FAILED
    except KeyboardInterrupt:
        print("\nbptt-native lab: interrupted; nothing was written", file=sys.stderr)
        raise
    print(EXPERIMENTS[outcome.name].claim)
    for claim in outcome.claims:
        print(f"[{'held' if claim.held else 'DID NOT HOLD'}] {claim.text}\n    {claim.measured}")
    files = [outcome.csv, outcome.figure, outcome.record, outcome.text]
    print("Written: " + ", ".join(str(path) for path in files if path is not None))
    if outcome.figure is None:
        print("No figure: matplotlib is missing (pip install 'bptt_native[plot]').")
    return 0 if outcome.held else NOT_HELD


def _show(done: int, jobs: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {jobs} jobs", end="\n" * (done == jobs), file=sys.stderr, flush=True)
    elif done * 10 // jobs > (done - 1) * 10 // jobs:  # at most ten lines
        print(f"{done} of {jobs} jobs", file=sys.stderr, flush=True)
