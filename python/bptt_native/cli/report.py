"""The command ``bptt-native report``, which shows a training run as one HTML page."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ..apps.tables import Table
from ..apps.text_data import read_text
from ..arguments.values import message
from ..report import collect, page
from ..runtime.files import replace
from ..training.run_files import REPORT_FILE


def add_report(commands: Any) -> None:
    """Add the command ``report`` to a parser."""
    command = commands.add_parser(
        "report", help="write a report of a run as one HTML page",
        description="Write a self-contained HTML page about a run of `train` or of fit(..., "
        "out=RUN). It shows the result and its baselines, learning curves, the gradient's flow (if "
        "it was recorded), clipping, the spectrum of W_hh, samples, how outputs depend on inputs, "
        "and where the run comes from.",
    )  # fmt: skip
    command.set_defaults(run=run_report, parser=command)
    command.add_argument("folder", metavar="RUN", help="folder of a run, or its model file")
    command.add_argument("--out", "-o", metavar="FILE",
                         help="page to write (report.html in the folder)")  # fmt: skip
    command.add_argument("--text", metavar="FILE", help="text to show dependences for, - for the "
                         "standard input (by default a text that the model generates)")  # fmt: skip
    command.add_argument("--csv", metavar="FILE", help="table to show dependences for")
    command.add_argument("--length", type=int, default=120, metavar="N", help="number of characters"
                         " of the text, or of last rows of a series (%(default)s)")  # fmt: skip
    command.add_argument("--threads", type=int, metavar="N", help="number of worker threads")


def run_report(args: argparse.Namespace) -> int:
    """Write the page of a run."""
    folder = Path(args.folder)
    place = folder if folder.is_dir() else folder.parent
    out = Path(args.out) if args.out is not None else place / REPORT_FILE
    if out.is_dir() or not out.parent.is_dir():
        raise ValueError(message("report", "out", "a file in a folder that exists", repr(str(out))))
    text = None if args.text is None else read_text(args.text)
    table = None if args.csv is None else Table.read(args.csv)
    data = collect(folder, text, table, args.length)
    # The name of the folder may be invalid UTF-8.
    replace(out, page(data).encode(errors="backslashreplace"), "report")
    if data["flow"] is None:
        print("the gradient's flow was not recorded: train with --watch-gradients",
              file=sys.stderr)  # fmt: skip
    print(out)
    return 0
