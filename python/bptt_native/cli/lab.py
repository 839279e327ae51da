"""``bptt-native lab``: run the experiments of the laboratory."""

import argparse
import sys
from typing import Any

from ..arguments.values import message
from ..lab import EXPERIMENTS, JobError, redraw, run
from ..lab.results import duration

NOT_HELD, JOB_FAILED = 1, 4


def add_lab(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("lab", help="claims about recurrent learning, measured")
    command.set_defaults(run=run_lab)
    command.add_argument("name", nargs="?", metavar="NAME", help="which; without it: the list")
    command.add_argument("--full", action="store_true", help="the long form")
    command.add_argument("--out", default="runs/lab", help="folder (%(default)s)")
    command.add_argument(
        "--redraw", action="store_true",
        help="judge and draw what was measured before and lies in the folder",
    )  # fmt: skip
    command.add_argument("--seeds", type=int, help="how many (each experiment has its own number)")
    command.add_argument("--jobs", type=int, help="processes side by side (one per processor)")


def run_lab(args: argparse.Namespace) -> int:
    """Run an experiment and print its verdict, or list them all."""
    if args.name is None:
        print(f"{'name':16} {'quick':>12} {'--full':>12}   what it is about")
        for name, experiment in EXPERIMENTS.items():
            quick, full = (duration(60 * minutes) for minutes in experiment.minutes)
            print(f"{name:16} {quick:>12} {full:>12}   {experiment.title}")
        print(
            "CPU time of all jobs on an AMD EPYC with avx512 (docs/lab), start of processes aside"
        )
        return 0
    if args.redraw and (args.full or args.seeds is not None or args.jobs is not None):
        expected = "nothing beside it that is measured anew"
        got = "--full, --seeds or --jobs"
        raise ValueError(message("lab", "--redraw", expected, got))
    try:
        outcome = redraw(args.name, args.out) if args.redraw else run(
            args.name, args.out, full=args.full, seeds=args.seeds, jobs=args.jobs, progress=_show
        )  # fmt: skip
    except JobError as error:
        print(f"bptt-native lab: a job failed: {error}", file=sys.stderr)
        return JOB_FAILED
    except KeyboardInterrupt:
        print("\nbptt-native lab: interrupted, nothing was written", file=sys.stderr)
        raise
    print(EXPERIMENTS[outcome.name].claim)
    for claim in outcome.claims:
        print(f"[{'held' if claim.held else 'DID NOT HOLD'}] {claim.text}\n    {claim.measured}")
    files = [outcome.csv, outcome.figure, outcome.record, outcome.text]
    print("Written: " + ", ".join(str(path) for path in files if path is not None))
    if outcome.figure is None:
        print("No picture: it needs matplotlib (pip install 'bptt_native[plot]').")
    return 0 if outcome.held else NOT_HELD


def _show(done: int, jobs: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {jobs} jobs", end="\n" * (done == jobs), file=sys.stderr, flush=True)
    elif done * 10 // jobs > (done - 1) * 10 // jobs:  # in a file: ten lines
        print(f"{done} of {jobs} jobs", file=sys.stderr, flush=True)
