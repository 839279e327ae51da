"""``bptt-native``: train and sample character language models, see what the library runs on.

Results go to the standard output and progress to the standard error. Exit codes: 0 done, 2 bad
input (one line says which), 3 training diverged, 130 interrupted, 141 nobody reads the output.
"""

import argparse
import io
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import (
    __version__,
    available_isas,
    demo,
    get_num_threads,
    isa,
    load,
    set_num_threads,
)
from .history import Progress
from .loop import HISTORY_FILE, MODEL_FILE, Interruption, TrainingDiverged
from .sampling import load_text_model, sample
from .tasks import read_text
from .training import TextOptions, TextTrainer

BAD_INPUT, DIVERGED, INTERRUPTED, BROKEN_PIPE = 2, 3, 130, 141
REFUSED = (ImportError, LookupError, MemoryError, OSError, OverflowError, TypeError, ValueError)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end the program."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {' '.join(message.split())}\n")


def _limit(text: str) -> float | None:
    """Read a threshold; 0 means none."""
    return float(text) or None


def _size(text: str) -> int | None:
    return int(text) or None


_limit.__name__, _size.__name__ = "number", "integer"  # argparse names them in its errors

OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {  # of TextOptions
    "cell": (str, "rnn, lstm or gru"),
    "nonlinearity": (str, "tanh, relu, sigmoid or identity; rnn only"),
    "hidden": (int, "units per layer"),
    "layers": (int, "layers"),
    "embedding": (_size, "size of an embedding table, 0: one-hot"),
    "seq_len": (int, "steps of BPTT"),
    "batch": (int, "streams side by side"),
    "steps": (int, "steps of training"),
    "optimizer": (str, "adam, sgd or adagrad"),
    "lr": (float, "the highest learning rate"),
    "momentum": (float, "of sgd"),
    "weight_decay": (float, "decay of the weights"),
    "schedule": (str, "of the learning rate: constant, step, exponential, cosine or plateau"),
    "warmup": (int, "steps in which the learning rate rises"),
    "decay": (float, "factor of the schedules step, exponential and plateau"),
    "decay_every": (_size, "steps between the factors of step and exponential (a third of all)"),
    "clip_norm": (_limit, "clip the gradient's global norm"),
    "clip_value": (_limit, "clip each element of the gradient"),
    "clip_step": (_limit, "clip each element of dL/da_t in the backward loop"),
    "clip_step_norm": (_limit, "clip each sample's carried dL/dh_t in the backward loop"),
    "init": (str, "default (PyTorch's), orthogonal or identity"),
    "forget_bias": (float, "bias of the LSTM's forget gates"),
    "dtype": (str, "float32 or float64"),
    "seed": (int, "of the initial parameters and the data order"),
    "valid_fraction": (float, "share of the text held out at its end"),
}


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of the command line."""
    parser = Parser(prog="bptt-native", description=__doc__.splitlines()[0].split(": ", 1)[1])
    parser.add_argument("--version", action="version", version=f"bptt_native {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_sample(commands)
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


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train", help="train a character language model on a text",
        description="Train a character language model on a UTF-8 text. Ctrl-C saves; --resume goes "
        "on to the same bits.",
    )  # fmt: skip
    train.set_defaults(run=run_train)
    train.add_argument("file", metavar="FILE", help="the text, - for the standard input")
    options = train.add_argument_group("the model and its training (0 switches a clip off)")
    for field in fields(TextOptions):
        kind, meaning = OPTIONS[field.name]
        options.add_argument(
            "--" + field.name.replace("_", "-"),
            type=kind,
            default=argparse.SUPPRESS,
            metavar={str: "NAME", int: "N", _size: "N"}.get(kind, "X"),
            help=f"{meaning} ({'none' if field.default is None else field.default})",
        )
    options.add_argument("--epochs", type=float, metavar="X", help="instead of --steps")
    run = train.add_argument_group("the run")
    run.add_argument("--out", metavar="DIR", help="folder of the run (runs/ and FILE's name)")
    run.add_argument("--resume", action="store_true", help="go on with the run in --out")
    run.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    run.add_argument("--eval-every", type=int, metavar="N", help="steps (a twentieth of the run)")
    run.add_argument("--checkpoint-every", type=int, metavar="N", help="steps (likewise)")
    skips = "give up after so many non-finite gradients in a row (%(default)s)"
    run.add_argument("--max-skips", type=int, default=20, metavar="N", help=skips)
    run.add_argument("--threads", type=int, metavar="N", help="worker threads")


def _add_sample(commands: Any) -> None:
    command = commands.add_parser("sample", help="let a trained model write")
    command.set_defaults(run=run_sample)
    command.add_argument("model", metavar="MODEL", help="a model file of `train`, or its folder")
    command.add_argument("--prime", default="\n", help="what it reads first (a line end)")
    command.add_argument("--length", type=int, default=500, help="characters (%(default)s)")
    command.add_argument("--temperature", type=float, default=0.8, help="(%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    command.add_argument("--threads", type=int, help="worker threads")


def run_train(args: argparse.Namespace) -> int:
    """Train on a text."""
    given = {f.name: getattr(args, f.name) for f in fields(TextOptions) if hasattr(args, f.name)}
    if args.epochs is not None and "steps" in given:
        raise ValueError("argument '--epochs': expected only one of --steps and --epochs")
    for name in ("eval_every", "checkpoint_every", "max_skips"):
        if (value := getattr(args, name)) is not None and value < 1:
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"argument '{flag}': expected at least 1, got {value}")
    name = "stdin" if args.file == "-" else Path(args.file).stem
    out = Path(args.out) if args.out is not None else Path("runs") / name
    if args.resume:
        trainer = _resumed(out / MODEL_FILE, given, args)
    else:
        if (out / MODEL_FILE).exists() and not args.overwrite:
            cures = "--resume goes on with it, --overwrite replaces it"
            expected = "a folder that holds no run yet"
            raise ValueError(f"argument '--out': expected {expected}, got '{out}': {cures}")
        trainer = TextTrainer(read_text(args.file), TextOptions(**given))
        if args.epochs is not None:
            trainer.set_steps(_steps(trainer, args.epochs))
    progress = Progress(trainer.steps, text=True)
    with Interruption() as stop:
        try:
            over = trainer.fit(
                out, eval_every=args.eval_every, checkpoint_every=args.checkpoint_every,
                max_skips=args.max_skips, stop=stop,
                callbacks=[lambda _: progress.show(trainer.history, trainer.steps)],
            )  # fmt: skip
        finally:
            progress.close()
    if not over:
        again = "the same command with --resume goes on"
        print(f"interrupted at step {trainer.step}, saved in {out}: {again}", file=sys.stderr)
        return INTERRUPTED
    bpc = next((row.bpc for row in reversed(trainer.history) if row.bpc is not None), None)
    held_out = "" if bpc is None else f"{bpc:.4f} bits per character on the held-out text, "
    print(f"{trainer.step} steps, {held_out}{trainer.seconds:.1f} s")
    print(f"{out / MODEL_FILE}\n{out / HISTORY_FILE}")
    return 0


def _steps(trainer: TextTrainer, epochs: float) -> int:
    if not 0 < epochs < 1e9:
        raise ValueError(f"argument '--epochs': expected a number above 0, got {epochs}")
    return max(1, round(epochs * trainer.steps_per_epoch))


def _resumed(path: Path, given: dict[str, Any], args: argparse.Namespace) -> TextTrainer:
    """Go on with a run; only its length may change."""
    trainer = TextTrainer.resume(path, read_text(args.file))
    steps = given.pop("steps", trainer.steps)
    if args.epochs is not None:
        steps = _steps(trainer, args.epochs)
    for name, value in given.items():
        if value != (old := getattr(trainer.options, name)):
            flag = "--" + name.replace("_", "-")
            raise ValueError(
                f"argument '{flag}': expected {old}, as the run in {str(path.parent)!r} has "
                f"it, got {value}"
            )
    if steps != trainer.steps:
        trainer.set_steps(steps)
    return trainer


def _model_file(path: str) -> Path:
    """Give the model file of a run, or the file itself."""
    return Path(path) / MODEL_FILE if Path(path).is_dir() else Path(path)


def run_sample(args: argparse.Namespace) -> int:
    """Write what a model writes."""
    model, vocabulary, _ = load_text_model(_model_file(args.model))
    characters = sample(model, vocabulary, args.prime, args.length, args.temperature, args.seed)
    first = next(characters, "")
    print(args.prime, first, sep="", end="")
    for character in characters:
        print(character, end="")
    print()
    return 0


def run_info(args: argparse.Namespace) -> int:
    """Describe the library or a model file."""
    if args.model is None:
        print(f"bptt_native {__version__}")
        print(f"instruction set: {isa()} (this CPU has {', '.join(available_isas())})")
        print(f"threads: {get_num_threads()}")
        print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.platform()}")
        return 0
    path = _model_file(args.model)
    model = load(str(path))
    print(model)
    for name, value in model.state_dict().items():
        print(f"  {name:24} {list(value.shape)}")
    if "training" in model.metadata:
        _, vocabulary, training = load_text_model(path)
        steps, seconds = training["options"]["steps"], training["seconds"]
        print(f"vocabulary: {len(vocabulary)} characters")
        print(f"training: step {training['step']} of {steps}, {seconds:.1f} s")
        print("options: " + ", ".join(f"{k}={v}" for k, v in training["options"].items()))
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
    if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks becomes \\u....
        sys.stdout.reconfigure(errors="backslashreplace")
    args = build_parser().parse_args(argv)
    try:
        if getattr(args, "threads", None) is not None:
            set_num_threads(args.threads)
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone; what Python still holds has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except TrainingDiverged as error:
        print(f"bptt-native: {error}; the last good checkpoint is kept", file=sys.stderr)
        return DIVERGED
    except REFUSED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"bptt-native {args.command}: error: {reason}", file=sys.stderr)
        return BAD_INPUT
    return code
