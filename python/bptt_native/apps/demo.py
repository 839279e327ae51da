"""The demonstration: train a language model, and compare the gradient flow of small networks."""

import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..arguments.values import message
from ..diagnostics import GradientFlow, gradient_flow
from ..plots import save_figure, training_figure
from ..runtime.files import remove
from ..runtime.interruption import Interruption
from ..runtime.settings import get_num_threads, isa
from ..training.history import BITS, HistoryRow
from ..training.progress import Progress, summary
from ..training.run_files import HISTORY_FILE, MODEL_FILE
from .ngram import ngram_bits
from .sampling import sample
from .text import TextOptions, TextTrainer
from .text_data import pydoc_prose, windows

RECIPE = TextOptions(
    cell="lstm", hidden=256, embedding=128, seq_len=100, batch=32, steps=1000, optimizer="adam",
    lr=0.012, warmup=20, clip_norm=0.18, init="orthogonal", forget_bias=1.0,
)  # fmt: skip

SMALL = TextOptions(hidden=64, embedding=64, steps=200, lr=5e-3, warmup=20, clip_norm=0.5)
CELLS: dict[str, dict[str, Any]] = {
    "sigmoid RNN": {"cell": "rnn", "nonlinearity": "sigmoid"},
    "tanh RNN": {"cell": "rnn"},
    "GRU": {"cell": "gru"},
    "LSTM": {"forget_bias": 1.0},
}
SMALL_CELLS = {name: replace(SMALL, **options) for name, options in CELLS.items()}

SEQUENCES = 256  # number of held-out sequences over which the flow is measured

Flows = dict[str, GradientFlow]


def train_within(trainer: TextTrainer, out: Path, seconds: float, stop: Interruption) -> bool:
    """Train a model, and shorten the run if it would last longer than ``seconds``.

    In a shorter run the learning rate also decays over fewer steps. The time is estimated from the
    warm-up steps, which do not depend on the length of the run.
    """
    progress = Progress(trainer.steps, text=True)

    def show(row: HistoryRow) -> None:
        rows = trainer.history
        if trainer.step % 20 == 0 and trainer.step < trainer.steps:
            each = (trainer.seconds - rows[4].seconds) / (trainer.step - 5)
            fits = trainer.step + max(1, int((seconds - trainer.seconds) / each))
            if fits < trainer.steps:
                trainer.set_steps(fits)
        progress.show(rows, trainer.steps)

    try:
        return trainer.fit(out, eval_every=50, checkpoint_every=200, stop=stop, callbacks=[show])
    finally:
        progress.close()


def compare_flows(text: str, seed: int, stop: Interruption) -> tuple[Flows, Flows]:
    """Return the gradient flow of small networks of each kind before and after brief training."""
    before: Flows = {}
    after: Flows = {}
    for name, options in SMALL_CELLS.items():
        trainer = TextTrainer(text, replace(options, seed=seed))
        x, targets = next(windows(trainer.valid, options.seq_len, SEQUENCES))
        before[name] = gradient_flow(trainer.model, x, targets[-1])
        trainer.fit(eval_every=options.steps, stop=stop)
        after[name] = gradient_flow(trainer.model, x, targets[-1])
        if stop():
            break
    return before, after


def flow_table(before: Mapping[str, GradientFlow], after: Mapping[str, GradientFlow]) -> list[str]:
    """Return the decay per step of each network as lines of text."""
    lines = [f"{'':14}{'before':>10}{'after':>10}{'half-life after':>20}"]
    for name, flow in after.items():
        life = f"{flow.half_life:.1f} steps"
        lines.append(f"{name + ' h':14}{before[name].decay:10.3f}{flow.decay:10.3f}{life:>20}")
        if flow.decay_c is not None:
            lines.append(f"{name + ' c':14}{before[name].decay_c:10.3f}{flow.decay_c:10.3f}")
    return lines


def say(*lines: str) -> None:
    """Write lines to the standard output."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def run(
    out: str | Path = "runs/demo", seconds: float = 55.0, seed: int = 0, command: str | None = None
) -> bool:
    """Run the demonstration and write model, history and picture.

    Parameters
    ----------
    out : str or Path
        Folder of ``model.safetensors``, ``history.csv`` and ``gradient.png``. The files of an
        earlier demonstration are replaced.
    seconds : float
        Time limit of the training, including measurements of the held-out text.
    seed : int
    command : str, optional
        Command line, which the model file records.

    Returns
    -------
    bool
        False if it was interrupted (Ctrl-C). The model is saved in that case too.
    """
    if not 0 < seconds < math.inf:
        expected = "a finite number above 0"
        raise ValueError(message("demo.run", "seconds", expected, str(seconds)))
    out, text = Path(out), pydoc_prose()
    trainer = TextTrainer(text, replace(RECIPE, seed=seed))
    o, parameters = trainer.options, trainer.model.num_parameters
    picture = out / "gradient.png"
    remove(picture)
    say(
        f"Text: {len(text):,} characters, {len(trainer.vocabulary)} different ones, from the "
        f"language reference of CPython {platform.python_version()}; the last "
        f"{o.valid_fraction:.0%} are held out.",
        f"Model: LSTM of {o.hidden} units, {parameters:,} parameters; {o.batch} streams, BPTT over "
        f"{o.seq_len} steps; {isa()}, {get_num_threads()} thread(s).",
    )
    ngram = ngram_bits(trainer.train, trainer.valid, len(trainer.vocabulary), order=4)
    origin = trainer.provenance
    source = f"language reference of CPython {platform.python_version()}"
    origin.data, origin.command = [(source, trainer.describe()["data_sha256"])], command
    origin.baselines, origin.tested = {"order-4 n-gram": ngram}, len(trainer.valid) - 1
    with Interruption() as stop:
        over = train_within(trainer, out, seconds, stop)
        rows, figures = trainer.history, summary(trainer.history, text=True)
        say(
            f"Trained {trainer.step} steps ({trainer.step / trainer.steps_per_epoch:.1f} times "
            f"through the text) in {trainer.seconds:.1f} s, {figures['chars/s']} characters/s; "
            f"{figures['clipped']} of the steps clipped to norm {o.clip_norm}."
        )
        if not over:
            say(f"Interrupted; {out / MODEL_FILE} holds the model.")
            return False
        say(
            "", f"Held-out text: {rows[-1].bpc:.3f} bits per character",
            f"order-4 n-gram: {ngram:.3f} bits per character", "", "Sample:",
        )  # fmt: skip
        written = "".join(sample(trainer.model, trainer.vocabulary, "The ", 400, 0.6, seed))
        say(*(f"  | {line}" for line in ("The " + written).splitlines()), "")
        before, after = compare_flows(text, seed, stop)
    if stop():
        return False
    say(
        "Factor per step back in time of the gradient of a loss at the last step (64 units, "
        f"trained for {SMALL.steps} steps):",
        *flow_table(before, after),
        "",
    )
    files = [out / MODEL_FILE, out / HISTORY_FILE]
    if find_spec("matplotlib"):
        files.append(picture)
        references = {"order-4 n-gram": ngram}
        figure = training_figure(rows, o.clip_norm, before, after, references, BITS)
        save_figure(figure, files[-1])
    else:
        say("No figure: matplotlib is missing (pip install 'bptt_native[plot]').")
    say("Written: " + ", ".join(map(str, files)))
    return True
