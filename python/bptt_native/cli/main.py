"""``bptt-native``: train recurrent networks on texts and tables, see what the library runs on.

Results go to the standard output and progress to the standard error. Exit codes: 0 done, 1 an
experiment's claim did not hold, 2 bad input (one line says which), 3 training diverged, 4 a job of
an experiment failed, 130 interrupted, 141 nobody reads the output.

What cannot be written to the standard error is lost, and closed streams are the null device's:
neither ends a run. An output that is full ends the program with 2 when its results are written,
after a run is saved.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from .._core import __version__
from ..apps import demo
from ..apps.sampling import text_of
from ..apps.saved_tasks import task_of
from ..nn.model_file import load
from ..runtime.settings import available_isas, get_num_threads, isa, set_num_threads
from ..runtime.standard_error import discard
from ..training.run_files import model_file_of
from ..training.trainer import TrainingDiverged
from .bench import add_bench
from .lab import add_lab
from .report import add_report
from .sample import add_sample
from .streams import standard_streams, warnings_as_lines
from .train import INTERRUPTED, add_predict, add_train

BAD_INPUT, DIVERGED, BROKEN_PIPE = 2, 3, 141
REFUSED = (ImportError, LookupError, MemoryError, OSError, OverflowError, TypeError, ValueError)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end the program."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {' '.join(message.split())}\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the program, unless what it has written, a help or version, cannot be written."""
        sys.stdout.flush()
        super().exit(status, message)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write a text; argparse's own method passes over what cannot be written."""
        print(message, end="", file=file or sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of the command line."""
    parser = Parser(
        prog="bptt-native",
        description="Train recurrent networks on texts and tables, see what the library runs on.",
    )
    parser.add_argument("--version", action="version", version=f"bptt_native {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_train(commands)
    add_sample(commands)
    add_predict(commands)
    add_report(commands)
    add_bench(commands)
    add_lab(commands)
    info = commands.add_parser("info", help="the library, or a model file")
    info.add_argument("model", nargs="?", help="a model file")
    info.set_defaults(run=run_info)
    show = commands.add_parser("demo", help="learn English prose for a minute, see the gradient")
    show.add_argument("--out", default="runs/demo", help="folder (%(default)s)")
    show.add_argument("--seconds", type=float, default=55.0, help="of training (%(default)s)")
    show.add_argument("--seed", type=int, default=0)
    show.add_argument("--threads", type=int, help="worker threads")
    show.set_defaults(run=run_demo)
    return parser


def run_info(args: argparse.Namespace) -> int:
    """Describe the library or a model file."""
    if args.model is None:
        print(f"bptt_native {__version__}")
        print(f"instruction set: {isa()} (this CPU has {', '.join(available_isas())})")
        print(f"threads: {get_num_threads()}")
        print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.platform()}")
        return 0
    path = model_file_of(args.model)
    model = load(str(path))
    about: list[str] = []  # read before anything is printed
    if "task" in model.metadata:
        for name, value in task_of(model, path).items():
            text = ", ".join(f"{k}={v}" for k, v in value.items()) if name == "options" else value
            about.append(f"{name}: {text}")
    elif "vocabulary" in model.metadata:
        vocabulary, training = text_of(model, path)
        steps, seconds = training["options"]["steps"], training["seconds"]
        about.append(f"vocabulary: {len(vocabulary)} characters")
        about.append(f"training: step {training['step']} of {steps}, {seconds:.1f} s")
        about.append("options: " + ", ".join(f"{k}={v}" for k, v in training["options"].items()))
    print(model)
    for name, value in model.state_dict().items():
        print(f"  {name:24} {list(value.shape)}")
    if about:
        print("\n".join(about))
    return 0


def run_demo(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    return 0 if demo.run(args.out, args.seconds, args.seed) else INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process when not given.

    Returns
    -------
    int
        The exit code.
    """
    with standard_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    program = "bptt-native"
    try:
        args = build_parser().parse_args(argv)
        program += f" {args.command}"
        with warnings_as_lines(args.command):
            if getattr(args, "threads", None) is not None:
                set_num_threads(args.threads)
            code: int = args.run(args)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone; what Python still holds has nowhere to go
        discard(sys.stdout)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (TrainingDiverged, FloatingPointError) as error:  # the second with --nonfinite raise
        print(f"bptt-native: {error}; the last good checkpoint is kept", file=sys.stderr)
        return DIVERGED
    except REFUSED as error:
        reason = " ".join(_reason(error).split()) or type(error).__name__
        print(f"{program}: error: {reason}", file=sys.stderr)
        return BAD_INPUT
    return code


def _reason(error: Exception) -> str:
    """Return what went wrong; of the system's errors, the file's name once and no number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    text, name = error.strerror, error.filename
    if isinstance(name, str | bytes | os.PathLike):
        name = os.fsdecode(name)
        return text if name in text or repr(name) in text else f"{name!r}: {text}"
    return text
