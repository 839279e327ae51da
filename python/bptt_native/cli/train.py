"""The commands ``train`` and ``predict``: models of a text, a time series, labelled sequences."""

import argparse
import csv
import math
import sys
from collections.abc import Callable
from dataclasses import fields
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
from ..training.progress import Progress
from ..training.run_files import HISTORY_FILE, MODEL_FILE
from ..training.trainer import Trainer
from ..training.watch import Watch
from .streams import warn
from .words import flag_of, with_flags

INTERRUPTED = 130


def _limit(text: str) -> float | None:
    """Return the number that a text holds, or None for 0."""
    return float(text) or None


def _size(text: str) -> int | None:
    return int(text) or None


def _every(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        cure = "put FILE before the option, or write the option with =N"
        raise argparse.ArgumentTypeError(
            f"expected a number of steps, got {text!r}: {cure}"
        ) from None


_limit.__name__, _size.__name__ = "number", "integer"  # the names in the errors of argparse

Kind = Callable[[str], Any]
Flags = dict[str, tuple[Kind, str]]


def _kind(option: Option) -> Kind:
    """Return the function that reads an option of the model."""
    if option.kind in ("choice", "flag"):
        return str if option.kind == "choice" else bool
    whole = option.kind in ("size", "count", "integer", "seed")
    if option.or_none and option.default == 0:
        return _size if whole else _limit
    return int if whole else float


def _meaning(option: Option) -> str:
    """Return the help text of an option of the model: its owner, description and choices."""
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
    "hidden": (int, "number of units per layer"),
    "layers": (int, "number of layers"),
    "bidirectional": (bool, "classify: read the sequences backwards too"),
    "embedding": (_size, "text: size of the embedding of a character, 0: one-hot vectors"),
    **_flags_of("layer"),
    "seed": (int, "seed of the initialisation, the random masks and the order of the data"),
}
TRAINING: Flags = {
    "seq_len": (_size, "not classify: steps of a window of truncated BPTT; forecast: 0, the "
                "default, for no truncation"),
    "batch": (_size, "streams of a text or series per batch, or sequences; forecast: 1 by "
              "default, classify: 32"),
    "accumulate": (int, "not text: batches per update"),
    "steps": (int, "text: steps of training"),
    "epochs": (float, "passes over the data; text: may be given instead of --steps"),
    "schedule": (str, "learning rates: constant, step, exponential, cosine or, not text, "
                 "plateau"),
    "warmup": (int, "steps at the beginning in which the learning rate rises"),
    "decay": (float, "factor of the learning rate of step, exponential and plateau"),
    "decay_every": (_size, "steps between decays of step and exponential; by default a third of "
                    "all steps"),
    "decay_patience": (int, "not text: measurements without progress until a decay of plateau"),
    **_flags_of("optimizer", "model"),
    "label_smoothing": (float, "classify: share of the target that is spread over all classes"),
    "loss": (str, f"forecast: loss, {' or '.join(FORECAST_LOSSES)}"),
    "huber_delta": (float, "forecast: error, in standard deviations, above which huber is linear"),
    "valid_fraction": (float, "share of the training part that is held out; it is the end of a "
                       "text or series"),
    "patience": (_size, "not text: epochs without progress on the held-out share until training "
                 "stops"),
    "min_delta": (float, "not text: smallest decrease of the loss that counts as progress"),
}  # fmt: skip
DATA: Flags = {
    "target": (str, "forecast: column to forecast"),
    "features": (str, "input columns, separated by commas; by default the target (forecast) or all "
                 "numeric columns (classify)"),
    "horizon": (int, "forecast: number of rows to look ahead"),
    "test_from": (str, "forecast: first row of the test part, counted from 1, or COLUMN=VALUE; by "
                  "default the last fifth is the test part"),
    "ar": (int, "forecast: order of the linear autoregression to compare with"),
    "sequence": (str, "classify: column with the name of the sequence of a row"),
    "label": (str, "classify: column of the label"),
    "test_csv": (str, "classify: file of sequences to test on"),
    "test_fraction": (float, "classify: share of the sequences to test on, without --test-csv"),
}  # fmt: skip
METAVARS = {"features": "NAMES", "test_from": "ROW", "test_csv": "FILE"}  # where not by type
KINDS: dict[str, type[RunOptions]] = {
    "text": TextOptions, "forecast": ForecastOptions, "classify": ClassifyOptions,
}  # fmt: skip


_SAID = {"None": "none", "False": "no", "True": "yes"}


def _default(name: str) -> str:
    """Return the default of an option for its help text, by task where it differs."""
    shown: dict[str, str] = {}
    for task, kind in KINDS.items():
        for field in fields(kind):
            if field.name == name and field.default != "":
                shown[task] = _SAID.get(str(field.default), str(field.default))
    if len(set(shown.values())) < 2:
        only = next(iter(shown.values()), "none")
        return "" if only == "none" else f" ({only})"
    others = {v for k, v in shown.items() if k != "text"} - {"none"}
    rest = f", else {', '.join(sorted(others))}" if others else ""
    return f" (text: {shown['text']}{rest})"


def add_train(commands: Any) -> None:
    """Add the command ``train`` to a parser."""
    train = commands.add_parser(
        "train", help="train a model on a text, a time series or labelled sequences",
        description="Train a character language model on a UTF-8 text (FILE). With --csv, train a "
        "model that forecasts a column (--target) or classifies sequences (--sequence, --label). "
        "Ctrl-C saves the run; --resume continues it, with the same result as without a break. "
        "Defaults are in parentheses.",
    )  # fmt: skip
    train.set_defaults(run=run_train, parser=train)
    train.add_argument("file", metavar="FILE", nargs="?", help="text, - for the standard input")
    data = train.add_argument_group("tables")
    data.add_argument("--csv", metavar="FILE", help="table whose first line names the columns")
    data.add_argument("--task", choices=tuple(KINDS),
                      help="task; by default the one that FILE or the columns imply")  # fmt: skip
    model = train.add_argument_group("model")
    training = train.add_argument_group("training (a clipping threshold of 0 is off)")
    for group, options in ((data, DATA), (model, MODEL), (training, TRAINING)):
        for name, (kind, meaning) in options.items():
            how: dict[str, Any] = {"type": kind}
            of_kind = {str: "NAME", int: "N", _size: "N"}.get(kind, "X")
            how["metavar"] = METAVARS.get(name, of_kind)
            if kind is bool:
                how = {"action": argparse.BooleanOptionalAction}
            group.add_argument(
                flag_of(name), default=argparse.SUPPRESS, help=meaning + _default(name), **how
            )
    run = train.add_argument_group("run")
    run.add_argument("--out", metavar="DIR", help="folder of the run (runs/ and the name of FILE)")
    run.add_argument("--resume", action="store_true", help="continue the run in --out")
    run.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    run.add_argument("--eval-every", type=int, metavar="N",
                     help="steps between measurements (text: a twentieth of the run, else an epoch)"
                     )  # fmt: skip
    run.add_argument("--checkpoint-every", type=int, metavar="N",
                     help="steps between checkpoints (as --eval-every)")  # fmt: skip
    skips = "successive non-finite gradients until training stops (%(default)s)"
    run.add_argument("--max-skips", type=int, default=20, metavar="N", help=skips)
    run.add_argument("--watch-gradients", type=_every, nargs="?", const=50, metavar="N",
                     help="record the gradient's flow every N steps (%(const)s), and warn if it "
                     "vanishes or explodes; `report` shows it")  # fmt: skip
    run.add_argument("--threads", type=int, metavar="N", help="number of worker threads")


def add_predict(commands: Any) -> None:
    """Add the command ``predict`` to a parser."""
    command = commands.add_parser(
        "predict", help="forecast a series or classify sequences of a table",
        description="Apply a forecaster or classifier to a table and print the result as CSV.",
    )  # fmt: skip
    command.set_defaults(run=run_predict, parser=command)
    command.add_argument("model", metavar="MODEL", help="model file of `train`, or its folder")
    command.add_argument("--csv", metavar="FILE", required=True, help="table")
    command.add_argument("--threads", type=int, metavar="N", help="number of worker threads")


def _task(args: argparse.Namespace) -> str:
    """Return the task that the arguments imply."""
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
    """Return the options that are on the command line; refuse those of other tasks."""
    names = {*MODEL, *TRAINING, *DATA}
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    known = {field.name for field in fields(KINDS[task])} | {"epochs"}
    for name in sorted(given):
        if name not in known:
            tasks = [t for t, kind in KINDS.items() if name in {f.name for f in fields(kind)}]
            raise ValueError(
                f"argument '{flag_of(name)}': expected only with the task {' or '.join(tasks)}, "
                f"got it with {task}"
            )
    if task != "text" and "epochs" in given:
        if not math.isfinite(got := given["epochs"]) or got != int(got):
            raise ValueError(f"argument '--epochs': expected a whole number, got {got}")
        given["epochs"] = int(given["epochs"])
    return given


def run_train(args: argparse.Namespace) -> int:
    """Train on a text or a table."""
    task = _task(args)
    given = _given(args, task)
    if task == "text" and {"steps", "epochs"} <= set(given):
        raise ValueError("argument '--epochs': expected only one of --steps and --epochs")
    for name in ("eval_every", "checkpoint_every", "max_skips", "watch_gradients"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ValueError(f"argument '{flag_of(name)}': expected at least 1, got {value}")
    data = args.csv if args.file is None else args.file
    name = "stdin" if data == "-" else Path(data).stem
    out = Path(args.out) if args.out is not None else Path("runs") / name
    if not args.resume and (out / MODEL_FILE).exists() and not args.overwrite:
        cures = "--resume continues it, --overwrite replaces it"
        expected = "a folder without a run"
        raise ValueError(f"argument '--out': expected {expected}, got '{out}': {cures}")
    if task == "text":
        return _train_text(args, given, out)
    return _train_table(args, task, given, out)


def _loop(trainer: Trainer, args: argparse.Namespace, out: Path, text: bool) -> bool:
    """Train and show progress; return whether the run ended without an interruption."""
    progress, watch = Progress(trainer.steps, text=text), None
    trainer.provenance.command = args.typed
    if args.watch_gradients is not None:
        watch = Watch(
            args.watch_gradients, say=lambda text: warn("train", with_flags(text, args.parser))
        )
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
        again = "the same command with --resume continues it"
        print(f"interrupted at step {trainer.step}, saved in {out}: {again}", file=sys.stderr)
    return over


def _steps(trainer: Trainer) -> str:
    return f"{trainer.step} step{'' if trainer.step == 1 else 's'}"


def _train_text(args: argparse.Namespace, given: dict[str, Any], out: Path) -> int:
    epochs = given.pop("epochs", None)
    if args.resume:
        trainer = TextTrainer.resume(out / MODEL_FILE, read_text(args.file))
        steps = given.pop("steps", trainer.steps)
        _same(given, trainer.options, out)
    else:
        trainer = TextTrainer(read_text(args.file), TextOptions(**given))
        steps = trainer.steps
    source = "the standard input" if args.file == "-" else Path(args.file).name
    trainer.provenance.data = [(source, trainer.describe()["data_sha256"])]
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
    print(f"{_steps(trainer)}, {held_out}{trainer.seconds:.1f} s")
    print(f"{out / MODEL_FILE}\n{out / HISTORY_FILE}")
    return 0


Options = TypeVar("Options", bound=RunOptions)


def _same(given: dict[str, Any], options: RunOptions, out: Path) -> None:
    """Refuse options that differ from those of the run to continue."""
    for name, value in given.items():
        if value != (old := getattr(options, name)):
            raise ValueError(
                f"argument '{flag_of(name)}': expected {old}, as the run in {str(out)!r} has it, "
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
        never = "" if numbers else ": all losses of the held-out share were NaN"
        early = f" (early stopping{never}; {trainer.steps} at most)"
    print(f"{_steps(trainer)}{early}, {trainer.seconds:.1f} s")
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
