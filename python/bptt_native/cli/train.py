"""``bptt-native train``: a text, a time series or labelled sequences; and ``predict``."""

import argparse
import csv
import math
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..apps.classify import ClassifyOptions, ClassifyTask, apply_classify
from ..apps.forecast import FORECAST_LOSSES, ForecastOptions, ForecastTask, apply_forecast
from ..apps.run_options import MODEL_OPTIONS, RunOptions
from ..apps.saved_tasks import load_task
from ..apps.tables import Table
from ..apps.text import TextOptions, TextTrainer
from ..apps.text_data import read_text
from ..options.table import Option
from ..runtime.interruption import Interruption
from ..training.history import Progress
from ..training.run_files import HISTORY_FILE, MODEL_FILE
from ..training.trainer import Trainer
from ..training.watch import Watch
from .streams import warn

INTERRUPTED = 130


def _limit(text: str) -> float | None:
    """Read a threshold; 0 means none."""
    return float(text) or None


def _size(text: str) -> int | None:
    return int(text) or None


def _every(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        expected = f"expected a number of steps, got {text!r}; FILE goes before it, or after =N"
        raise argparse.ArgumentTypeError(expected) from None


_limit.__name__, _size.__name__ = "number", "integer"  # argparse names them in its errors

Kind = Callable[[str], Any]
Flags = dict[str, tuple[Kind, str]]


def _kind(option: Option) -> Kind:
    """Return what reads an option of the model."""
    if option.kind in ("choice", "flag"):
        return str if option.kind == "choice" else bool
    whole = option.kind in ("size", "count", "integer", "seed")
    if option.or_none and option.default == 0:
        return _size if whole else _limit
    return int if whole else float


def _meaning(option: Option) -> str:
    """Return the help text of an option of the model: whose it is, its line and its choices."""
    text = ", ".join(option.owner_names)
    text = text.upper() if option.owner == "cell" else text
    names = [n for n, v in option.choices.items() if not (option.or_none and v == option.default)]
    choices = f": {', '.join(names)}" if names else ""
    return f"{text}: {option.doc}{choices}" if text else option.doc + choices


def _flags_of(*groups: str) -> Flags:
    return {
        name: (_kind(option), _meaning(option).replace("%", "%%"))
        for name, option in MODEL_OPTIONS.items()
        if option.group in groups
    }


MODEL: Flags = {
    "hidden": (int, "units per layer"),
    "layers": (int, "layers"),
    "bidirectional": (bool, "classify: a second direction reads from the end"),
    "embedding": (_size, "text: size of an embedding table, 0: one-hot"),
    **_flags_of("layer"),
    "seed": (int, "of the initial parameters, of random masks and of the data order"),
}
TRAINING: Flags = {
    "seq_len": (_size, "steps of truncated BPTT; 0: series and sequences as a whole"),
    "batch": (_size, "streams or sequences side by side"),
    "accumulate": (int, "batches per update; not for text"),
    "steps": (int, "steps of training; text only"),
    "epochs": (float, "passes over the data; for text instead of --steps"),
    "schedule": (str, "of the learning rate: constant, step, exponential, cosine or plateau"),
    "warmup": (int, "steps in which the learning rate rises"),
    "decay": (float, "factor of the schedules step, exponential and plateau"),
    "decay_every": (_size, "steps between the factors of step and exponential; a third of all"),
    "decay_patience": (int, "measurements without progress before the factor of plateau"),
    **_flags_of("optimizer", "model"),
    "label_smoothing": (float, "classify: share of the target spread over all classes"),
    "loss": (str, f"forecast: {', '.join(FORECAST_LOSSES)}"),
    "huber_delta": (float, "forecast: error, in standard deviations, from which huber is linear"),
    "valid_fraction": (float, "share of the training part held out: the end of text or series"),
    "patience": (_size, "stop after so many epochs without progress on the held-out share"),
    "min_delta": (float, "what counts as progress"),
}
DATA: Flags = {
    "target": (str, "forecast: the column to forecast"),
    "features": (str, "columns given, with commas between; forecast: the target; classify: all "
                 "columns of numbers"),
    "horizon": (int, "forecast: how many rows ahead"),
    "test_from": (str, "forecast: first test row, from 1, or COLUMN=VALUE; the last fifth"),
    "ar": (int, "forecast: order of the linear autoregression that is reported beside"),
    "sequence": (str, "classify: the column that says which sequence a row belongs to"),
    "label": (str, "classify: the column of the label"),
    "test_csv": (str, "classify: a file of sequences to test on"),
    "test_fraction": (float, "classify: else, share of the sequences to test on"),
}  # fmt: skip
KINDS: dict[str, type[RunOptions]] = {
    "text": TextOptions, "forecast": ForecastOptions, "classify": ClassifyOptions,
}  # fmt: skip


_SAID = {"None": "none", "False": "no", "True": "yes"}


def _default(name: str) -> str:
    """Say what an option is when it is not given, by task where that differs."""
    shown: dict[str, str] = {}
    for task, kind in KINDS.items():
        for field in fields(kind):
            if field.name == name and field.default != "":
                shown[task] = _SAID.get(str(field.default), str(field.default))
    if len(set(shown.values())) < 2:
        only = next(iter(shown.values()), "none")
        return "" if only == "none" else f" ({only})"
    others = {v for k, v in shown.items() if k != "text"}
    return f" (text: {shown['text']}, else {', '.join(sorted(others))})"


def add_train(commands: Any) -> None:
    """Add the command ``train`` to a parser."""
    train = commands.add_parser(
        "train", help="train a model on a text, a time series or labelled sequences",
        description="Train a character language model on a UTF-8 text (FILE), or with --csv a "
        "forecaster of a column (--target) or a classifier of sequences (--sequence, --label). "
        "Ctrl-C saves; --resume goes on to the same bits.",
    )  # fmt: skip
    train.set_defaults(run=run_train)
    train.add_argument("file", metavar="FILE", nargs="?", help="a text, - for the standard input")
    data = train.add_argument_group("tables")
    data.add_argument("--csv", metavar="FILE", help="a table with a line of column names")
    data.add_argument("--task", choices=tuple(KINDS), help="forecast or classify; text for FILE")
    model = train.add_argument_group("the model")
    training = train.add_argument_group("its training (0 switches a clip off)")
    for group, options in ((data, DATA), (model, MODEL), (training, TRAINING)):
        for name, (kind, meaning) in options.items():
            how: dict[str, Any] = {"type": kind}
            how["metavar"] = {str: "NAME", int: "N", _size: "N"}.get(kind, "X")
            if kind is bool:
                how = {"action": argparse.BooleanOptionalAction}
            group.add_argument(
                _flag(name), default=argparse.SUPPRESS, help=meaning + _default(name), **how
            )
    run = train.add_argument_group("the run")
    run.add_argument("--out", metavar="DIR", help="folder of the run (runs/ and FILE's name)")
    run.add_argument("--resume", action="store_true", help="go on with the run in --out")
    run.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    run.add_argument("--eval-every", type=int, metavar="N",
                     help="steps between measurements (a twentieth of the run; not text: an epoch)"
                     )  # fmt: skip
    run.add_argument("--checkpoint-every", type=int, metavar="N", help="steps (likewise)")
    skips = "give up after so many non-finite gradients in a row (%(default)s)"
    run.add_argument("--max-skips", type=int, default=20, metavar="N", help=skips)
    run.add_argument("--watch-gradients", type=_every, nargs="?", const=50, metavar="N",
                     help="look at the gradient's flow every N steps (%(const)s), warn when it "
                     "vanishes or explodes; `report` shows it")  # fmt: skip
    run.add_argument("--threads", type=int, metavar="N", help="worker threads")


def add_predict(commands: Any) -> None:
    """Add the command ``predict`` to a parser."""
    command = commands.add_parser("predict", help="forecast or label what a table holds")
    command.set_defaults(run=run_predict)
    command.add_argument("model", metavar="MODEL", help="a model file of `train`, or its folder")
    command.add_argument("--csv", metavar="FILE", required=True, help="the table")
    command.add_argument("--threads", type=int, help="worker threads")


def _task(args: argparse.Namespace) -> str:
    """Find out what is to be learnt."""
    if (args.file is None) == (args.csv is None):
        got = "neither" if args.file is None else "both"
        raise ValueError(f"argument 'FILE': expected either a text FILE or --csv FILE, got {got}")
    labels = hasattr(args, "label") or hasattr(args, "sequence")
    usual = "text" if args.csv is None else "classify" if labels else "forecast"
    task: str = args.task or usual
    if task == "forecast" and not (hasattr(args, "target") or args.resume):
        expected = "a column to forecast, or --sequence and --label to classify sequences"
        raise ValueError(f"argument '--target': expected {expected}, got none of them")
    if (task == "text") != (args.csv is None):
        needed = "a text FILE" if task == "text" else "--csv FILE"
        raise ValueError(f"argument '--task': expected {needed} for {task!r}")
    return task


def _given(args: argparse.Namespace, task: str) -> dict[str, Any]:
    """Give the options that the command line names; refuse those of other tasks."""
    names = {*MODEL, *TRAINING, *DATA}
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    known = {field.name for field in fields(KINDS[task])} | {"epochs"}
    for name in sorted(given):
        if name not in known:
            tasks = [t for t, kind in KINDS.items() if name in {f.name for f in fields(kind)}]
            raise ValueError(
                f"argument '{_flag(name)}': expected only with the task {' or '.join(tasks)}, "
                f"got it with {task}"
            )
    if task != "text" and "epochs" in given:
        if not math.isfinite(got := given["epochs"]) or got != int(got):
            raise ValueError(f"argument '--epochs': expected a whole number, got {got}")
        given["epochs"] = int(given["epochs"])
    return given


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def run_train(args: argparse.Namespace) -> int:
    """Train on a text or a table."""
    task = _task(args)
    given = _given(args, task)
    if task == "text" and {"steps", "epochs"} <= set(given):
        raise ValueError("argument '--epochs': expected only one of --steps and --epochs")
    for name in ("eval_every", "checkpoint_every", "max_skips", "watch_gradients"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ValueError(f"argument '{_flag(name)}': expected at least 1, got {value}")
    name = "stdin" if args.file == "-" else Path(args.file or args.csv).stem
    out = Path(args.out) if args.out is not None else Path("runs") / name
    if not args.resume and (out / MODEL_FILE).exists() and not args.overwrite:
        cures = "--resume goes on with it, --overwrite replaces it"
        expected = "a folder that holds no run yet"
        raise ValueError(f"argument '--out': expected {expected}, got '{out}': {cures}")
    if task == "text":
        return _train_text(args, given, out)
    return _train_table(args, task, given, out)


def _loop(trainer: Trainer, args: argparse.Namespace, out: Path, text: bool) -> bool:
    """Train with progress; say so if it was interrupted."""
    progress, watch = Progress(trainer.steps, text=text), None
    if args.watch_gradients is not None:
        watch = Watch(args.watch_gradients, say=partial(warn, "train"))
    with Interruption() as stop:
        try:
            over = trainer.fit(
                out, eval_every=args.eval_every, checkpoint_every=args.checkpoint_every,
                max_skips=args.max_skips, stop=stop, watch=watch,
                callbacks=[lambda _: progress.show(trainer.history, trainer.steps)],
            )  # fmt: skip
        finally:
            progress.close()
    if not over:
        again = "the same command with --resume goes on"
        print(f"interrupted at step {trainer.step}, saved in {out}: {again}", file=sys.stderr)
    return over


def _train_text(args: argparse.Namespace, given: dict[str, Any], out: Path) -> int:
    epochs = given.pop("epochs", None)
    if args.resume:
        trainer = TextTrainer.resume(out / MODEL_FILE, read_text(args.file))
        steps = given.pop("steps", trainer.steps)
        _same(given, trainer.options, out)
    else:
        trainer = TextTrainer(read_text(args.file), TextOptions(**given))
        steps = trainer.steps
    if epochs is not None:
        if not 0 < epochs < 1e9:
            raise ValueError(f"argument '--epochs': expected a number above 0, got {epochs}")
        steps = max(1, round(epochs * trainer.steps_per_epoch))
    if steps != trainer.steps:
        trainer.set_steps(steps)
    if not _loop(trainer, args, out, text=True):
        return INTERRUPTED
    bpc = next((row.bpc for row in reversed(trainer.history) if row.bpc is not None), None)
    held_out = "" if bpc is None else f"{bpc:.4f} bits per character on the held-out text, "
    print(f"{trainer.step} steps, {held_out}{trainer.seconds:.1f} s")
    print(f"{out / MODEL_FILE}\n{out / HISTORY_FILE}")
    return 0


Options = TypeVar("Options", bound=RunOptions)


def _same(given: dict[str, Any], options: RunOptions, out: Path) -> None:
    """Refuse options that a run to go on with has otherwise."""
    for name, value in given.items():
        if value != (old := getattr(options, name)):
            raise ValueError(
                f"argument '{_flag(name)}': expected {old}, as the run in {str(out)!r} has it, "
                f"got {value}"
            )


def _train_table(args: argparse.Namespace, name: str, given: dict[str, Any], out: Path) -> int:
    kinds: dict[str, tuple[Any, Any]] = {"forecast": (ForecastOptions, ForecastTask),
                                         "classify": (ClassifyOptions, ClassifyTask)}  # fmt: skip
    kind, make = kinds[name]
    if args.resume:
        model, saved = load_task(out)
        if saved["task"] != name:
            raise ValueError(f"argument '--task': expected {saved['task']}, as the run in "
                             f"{str(out)!r} has it, got {name}")  # fmt: skip
        options = kind.read(saved["options"])
        epochs = given.pop("epochs", None)
        _same(given, options, out)
        table = Table.read(args.csv)
        task = make(table, options)
        note = task.content.compare(saved.get("data"), table.path)
        trainer = task.resume(model, out / MODEL_FILE)
        if note is not None:
            warn("train", note)
        if epochs is not None and epochs != options.epochs:
            trainer.set_steps(epochs * trainer.steps_per_epoch)
    else:
        task = make(Table.read(args.csv), kind(**given))
        trainer = task.start()
    if not _loop(trainer, args, out, text=False):
        return INTERRUPTED
    early = ""
    if trainer.step < trainer.steps:
        numbers = any(metrics.loss < math.inf for metrics in trainer.measured)
        never = "" if numbers else ": no loss of the held-out share was a number"
        early = f" (early stopping{never}; {trainer.steps} at most)"
    print(f"{trainer.step} steps{early}, {trainer.seconds:.1f} s")
    print("\n".join(task.report(trainer.model, out)))
    print(f"{out / MODEL_FILE}\n{out / HISTORY_FILE}")
    return 0


def run_predict(args: argparse.Namespace) -> int:
    """Write forecasts or labels as CSV."""
    model, task = load_task(args.model)
    apply = apply_forecast if task["task"] == "forecast" else apply_classify
    names, columns = apply(model, task, Table.read(args.csv))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return 0
