"""The program ``bptt-native``: its parser, the commands ``info`` and ``demo``, and its exit codes.

Results go to the standard output and progress to the standard error. Exit codes: 0 done, 1 a claim
of an experiment did not hold, 2 bad input (one line explains it), 3 training diverged, 4 a job of
an experiment failed, 130 interrupted, 141 the reader of the output has gone.

Neither a closed stream nor a full standard error ends a run: the text is lost. If the standard
output is full, the run is saved, and the program ends with 2 when it writes its results.
"""

import argparse
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NoReturn

import numpy as np

from .._core import __version__
from ..apps import demo
from ..apps.run_options import RunOptions
from ..apps.sampling import text_of
from ..apps.saved_tasks import OPTIONS as OPTIONS_OF
from ..apps.saved_tasks import task_of
from ..apps.text import TextOptions
from ..arguments.display import number_text, plain
from ..models.model_file import load
from ..runtime.settings import available_isas, get_num_threads, isa, set_num_threads
from ..runtime.standard_error import discard
from ..training.run_files import model_file_of
from ..training.trainer import TrainingDiverged
from . import words
from .bench import add_bench
from .lab import add_lab
from .report import add_report
from .sample import add_sample
from .streams import standard_streams, warnings_as_lines
from .train import INTERRUPTED, add_predict, add_train
from .words import flag_of

BAD_INPUT, DIVERGED, BROKEN_PIPE = 2, 3, 141
REFUSED = (ImportError, LookupError, MemoryError, OSError, OverflowError, TypeError, ValueError)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args, **{"allow_abbrev": False} | kwargs
        )  # they would hide misspelt flags

    def error(self, message: str) -> NoReturn:
        """Print an error as one line and end the program."""
        line = words.of_argparse(" ".join(message.split()))
        self.exit(BAD_INPUT, f"{self.prog}: error: {line}\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the program after its output (a help text or the version) has been written."""
        sys.stdout.flush()
        super().exit(status, message)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print a text. The method of argparse ignores a text that cannot be written."""
        print(message, end="", file=file or sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="bptt-native",
        description="Train recurrent neural networks on texts and tables, and look at how they "
        "learn.",
    )
    parser.add_argument("--version", action="version", version=f"bptt_native {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_train(commands)
    add_sample(commands)
    add_predict(commands)
    add_report(commands)
    add_bench(commands)
    add_lab(commands)
    info = commands.add_parser(
        "info", help="describe the library, or a model file",
        description="Print the version, instruction set and threads of the library; or with MODEL "
        "the options, parameters and task of a model file.",
    )  # fmt: skip
    info.add_argument("model", metavar="MODEL", nargs="?", help="model file, or folder of a run")
    info.set_defaults(run=run_info, parser=info)
    show = commands.add_parser(
        "demo", help="train a model on English prose for a minute and show the gradient's flow",
        description="Train a character model on English prose for a minute. Print text that it "
        "generates, and how the gradient fades over time. Defaults are in parentheses.",
    )  # fmt: skip
    show.add_argument(
        "--out", metavar="DIR", default="runs/demo", help="folder of the run (%(default)s)"
    )
    show.add_argument(
        "--seconds", type=float, metavar="X", default=55.0, help="seconds of training (%(default)s)"
    )
    show.add_argument(
        "--seed", type=int, metavar="N", default=0, help="seed of the run (%(default)s)"
    )
    show.add_argument("--threads", type=int, metavar="N", help="number of worker threads")
    show.set_defaults(run=run_demo, parser=show)
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
    about: list[str] = []  # complete before anything is printed
    if "task" in model.metadata:
        task = task_of(model, path)
        for name, value in task.items():
            if name == "options":
                about += _options(value, OPTIONS_OF[task["task"]])
            elif isinstance(value, dict):
                about.append(f"{name}: " + ", ".join(f"{k} {_short(v)}" for k, v in value.items()))
            else:
                about.append(f"{name}: {_short(value)}")
    elif "vocabulary" in model.metadata:
        vocabulary, training = text_of(model, path)
        steps, seconds = training["options"]["steps"], training["seconds"]
        about.append(f"vocabulary: {len(vocabulary)} characters")
        about.append(f"training: step {training['step']} of {steps}, {seconds:.1f} s")
        about += _options(training["options"], TextOptions)
    print(model)
    if about:
        print("\n".join(about))
    return 0


def _short(value: object) -> str:
    """Return a value of a task as a short text."""
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return plain(number_text(value, 6), 20)


def _options(given: dict[str, Any], kind: type[RunOptions]) -> list[str]:
    """Return the lines of a table of the options of a run that are not their defaults."""
    defaults = {field.name: field.default for field in fields(kind)}
    found = {flag_of(n): v for n, v in given.items() if n not in defaults or v != defaults[n]}
    width = max(map(len, found), default=0)
    return ["options:", *(f"  {name:{width}}  {value}" for name, value in found.items())]


def run_demo(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    return 0 if demo.run(args.out, args.seconds, args.seed, args.typed) else INTERRUPTED


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a command line; unknown ones end the program."""
    if argv and argv[0].startswith("-") and argv[0] not in ("-h", *words.flags_of(parser)):
        parser.error(words.of_unknown(argv, parser))
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        args.parser.error(words.of_unknown(unknown, args.parser))
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments of the command line; by default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    with standard_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    program, parser = "bptt-native", build_parser()
    args = argparse.Namespace(parser=parser)
    try:
        typed = sys.argv[1:] if argv is None else argv
        args = parsed(parser, typed)
        args.typed = shlex.join([program, *typed])
        program += f" {args.command}"
        with warnings_as_lines(args.command, lambda text: words.in_words(text, args)):
            if getattr(args, "threads", None) is not None:
                set_num_threads(args.threads)
            code: int = args.run(args)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone: drop the text that Python still holds
        discard(sys.stdout)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (TrainingDiverged, FloatingPointError) as error:  # the second with --nonfinite raise
        print(f"bptt-native: {error}; the last good checkpoint is kept", file=sys.stderr)
        return DIVERGED
    except REFUSED as error:
        text = words.of_system(error, args) if isinstance(error, OSError) else str(error)
        reason = " ".join(words.in_words(text, args).split()) or type(error).__name__
        print(f"{program}: error: {reason}", file=sys.stderr)
        return BAD_INPUT
    return code
