"""Training a character language model by truncated BPTT, with checkpoints that lose nothing.

Windows follow each other along N streams of the text and the state is carried from one to the
next (``tasks.windows``). All that decides the bits of a run is in ``TextOptions``, the text and
the number of the step, so that a run that was stopped goes on as if it had not been.
"""

import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np

from . import Model
from .history import HistoryFile, HistoryRow, read_history
from .sampling import load_text_model
from .tasks import Tokens, Vocabulary, split, windows

MODEL_FILE, HISTORY_FILE = "model.safetensors", "history.csv"
SCHEDULES = ("cosine", "constant")


def learning_rate(
    step: int, lr: float, steps: int, schedule: str = "cosine", warmup: int = 0
) -> float:
    """Give the learning rate of a step.

    Parameters
    ----------
    step : int
        0 for the first.
    lr : float
        The highest rate.
    steps : int
        Steps of the whole run.
    schedule : "cosine" or "constant"
        Cosine: lr (1 + cos(pi s)) / 2, s from 0 to 1 after the warm-up (Loshchilov & Hutter 2017).
    warmup : int
        Over so many steps the rate rises linearly from lr / warmup to lr.
    """
    if step < warmup:
        return lr * (step + 1) / warmup
    if schedule == "constant":
        return lr
    return lr * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


@dataclass(frozen=True)
class TextOptions:
    """What decides a run. The names are those of ``bptt-native train``; None switches off.

    Raises
    ------
    ValueError
        A value is not allowed. (Those that the model takes are judged by ``Model``.)
    """

    cell: str = "lstm"
    nonlinearity: str = "tanh"
    hidden: int = 256
    layers: int = 1
    embedding: int | None = 128
    seq_len: int = 100
    batch: int = 32
    steps: int = 2000
    optimizer: str = "adam"
    lr: float = 5e-3
    schedule: str = "cosine"
    warmup: int = 0
    clip_norm: float | None = 1.0
    clip_value: float | None = None
    clip_step: float | None = None
    clip_step_norm: float | None = None
    init: str = "default"
    forget_bias: float | None = None
    dtype: str = "float32"
    seed: int = 0
    valid_fraction: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("seq_len", 1), ("batch", 1), ("steps", 1), ("warmup", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                self._refuse(name, f"an integer of at least {least}", value)
        if self.schedule not in SCHEDULES:
            self._refuse("schedule", f"one of {', '.join(SCHEDULES)}", self.schedule)
        if not 0 <= self.valid_fraction < 1:
            self._refuse("valid_fraction", "a number at least 0 and below 1", self.valid_fraction)
        if not (math.isfinite(self.lr) and self.lr > 0):
            self._refuse("lr", "a finite number above 0", self.lr)

    def _refuse(self, name: str, expected: str, got: object) -> None:
        raise ValueError(f"TextOptions: argument {name!r}: expected {expected}, got {got!r}")


class TrainingDiverged(RuntimeError):  # noqa: N818 - it names what happened
    """The gradients of too many steps in a row were not finite."""


class Interruption:
    """Turn the first Ctrl-C (SIGINT) into a flag; the second one ends the process at once.

    A context manager; in threads other than the main one it leaves signals alone.
    """

    def __init__(self) -> None:
        self.asked = False
        self._old: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)

    def __call__(self) -> bool:
        """Tell whether Ctrl-C was pressed."""
        return self.asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class TextTrainer:
    """A character language model and its place in the text.

    Parameters
    ----------
    text : str
        All of it: the vocabulary comes from the whole text, the last part is held out.
    options : TextOptions

    Attributes
    ----------
    model : Model
    vocabulary : Vocabulary
    step : int
        Steps taken.
    history : list of HistoryRow
        One row per step.

    Raises
    ------
    ValueError
        The text is shorter than one window of all streams, or its held-out part than two
        characters; an option is not allowed.
    """

    def __init__(self, text: str, options: TextOptions) -> None:
        vocabulary = Vocabulary.of(text)
        model = Model(
            cell=options.cell, nonlinearity=options.nonlinearity, vocab_size=len(vocabulary),
            embedding_size=options.embedding, hidden_size=options.hidden,
            num_layers=options.layers, output_size=len(vocabulary), optimizer=options.optimizer,
            lr=options.lr, clip_norm=options.clip_norm, clip_value=options.clip_value,
            clip_step=options.clip_step, clip_step_norm=options.clip_step_norm,
            init=options.init, forget_bias=options.forget_bias, dtype=options.dtype,
            seed=options.seed,
        )  # fmt: skip
        self._begin(text, options, vocabulary, model)

    def _begin(self, text: str, options: TextOptions, vocabulary: Vocabulary, model: Model) -> None:
        self.options, self.vocabulary, self.model = options, vocabulary, model
        self.train, self.valid = split(vocabulary.encode(text), options.valid_fraction)
        self._sha256 = hashlib.sha256(text.encode()).hexdigest()
        need, what = options.batch * options.seq_len + 1, f"{options.batch} x {options.seq_len}"
        if len(self.train) < need:
            expected = f"at least {need} characters to train on, one window of {what} and one more"
            got = f"{len(self.train)} of {len(text)}: choose a smaller batch or seq_len"
            raise ValueError(f"TextTrainer: argument 'text': expected {expected}, got {got}")
        if options.valid_fraction and len(self.valid) < 2:
            expected, got = "at least 2 characters held out", f"{len(self.valid)} of {len(text)}"
            raise ValueError(f"TextTrainer: argument 'text': expected {expected}, got {got}")
        self.windows_per_epoch = (len(self.train) - 1) // options.batch // options.seq_len
        self.step, self.seconds, self.history = 0, 0.0, list[HistoryRow]()
        self._state: Any = None
        self._skips = 0
        self._epoch, self._windows = -1, list[tuple[Tokens, Tokens]]()

    def set_steps(self, steps: int) -> None:
        """Change the length of the run, and with it the learning rates to come.

        Parameters
        ----------
        steps : int
            More than have been taken.
        """
        if steps <= self.step:
            expected = f"more than the {self.step} steps taken"
            raise ValueError(
                f"TextTrainer.set_steps: argument 'steps': expected {expected}, got {steps}"
            )
        self.options = replace(self.options, steps=steps)

    def _window(self) -> tuple[Tokens, Tokens]:
        """Give the next window. Each epoch begins elsewhere, so that no character is left out."""
        epoch, index = divmod(self.step, self.windows_per_epoch)
        if epoch != self._epoch:
            T, N = self.options.seq_len, self.options.batch
            spare = len(self.train) - 1 - self.windows_per_epoch * T * N
            bits = np.random.Philox(key=[self.options.seed % 2**64, epoch]).random_raw()
            self._windows = list(windows(self.train, T, N, offset=int(bits) % (spare + 1)))
            self._epoch = epoch
        if index == 0:
            self._state = None
        return self._windows[index]

    def train_step(self) -> HistoryRow:
        """Train on one window.

        A gradient that is not finite changes nothing, and the next window starts from a zero state
        (the carried one may be spoilt).
        """
        o, began = self.options, time.perf_counter()
        x, targets = self._window()
        lr = learning_rate(self.step, o.lr, o.steps, o.schedule, o.warmup)
        self.model.optimizer.lr = lr
        result = self.model.train_step(x, targets, self._state)
        self._state = None if result.skipped else result.state
        self._skips = self._skips + 1 if result.skipped else 0
        self.step += 1
        took = time.perf_counter() - began
        self.seconds += took
        row = HistoryRow(
            self.step, float(result.loss), None, float(result.grad_norm), bool(result.clipped),
            bool(result.skipped), lr, x.size / took, self.seconds,
        )  # fmt: skip
        self.history.append(row)
        return row

    def evaluate(self) -> float:
        """Bits per character of the held-out text, read in up to 8 streams with carried state."""
        streams = max(1, min(8, len(self.valid) // 1000))
        total, count, state = 0.0, 0, None
        for x, targets in windows(self.valid, 250, streams, whole=False):
            loss, state = self.model.evaluate(x, targets, state)
            total, count = total + loss * x.size, count + x.size
        return total / count / math.log(2)

    def fit(
        self, out: str | Path | None = None, *, until: int | None = None,
        eval_every: int | None = None, checkpoint_every: int | None = None, max_skips: int = 20,
        stop: Callable[[], bool] = lambda: False,
        show: Callable[["TextTrainer"], None] = lambda _: None,
    ) -> bool:  # fmt: skip
        """Train until the run is over or asked to stop, and leave a checkpoint.

        Parameters
        ----------
        out : str or Path, optional
            Folder of ``model.safetensors`` and ``history.csv``; without it nothing is written.
        until : int, optional
            Stop after this step, although the run may be longer.
        eval_every, checkpoint_every : int, optional
            Steps between measurements of the held-out text and between checkpoints; a twentieth
            of the run when not given. Both also happen at the run's last step.
        max_skips : int
            Steps in a row with a gradient that is not finite before giving up.
        stop : callable
            Asked after each step (``Interruption``).
        show : callable
            Called with the trainer after each step; it may change the length of the run.

        Returns
        -------
        bool
            Whether the run is over.

        Raises
        ------
        TrainingDiverged
            After ``max_skips``; the last checkpoint of a finite step stays.
        OSError
            A file cannot be written.
        """
        often = max(1, self.options.steps // 20)
        eval_every, checkpoint_every = eval_every or often, checkpoint_every or often
        record = None
        if out is not None:
            Path(out).mkdir(parents=True, exist_ok=True)
            record = HistoryFile(Path(out) / HISTORY_FILE, self.history)
            if self.step == 0:
                self.save(Path(out) / MODEL_FILE)
        try:
            ended = self.step >= min(until or math.inf, self.options.steps)
            while not ended:
                row = self.train_step()
                due = self.step % eval_every == 0 or self.step == self.options.steps
                if due and len(self.valid):
                    began = time.perf_counter()
                    row = self.history[-1] = replace(row, bpc=self.evaluate())
                    self.seconds += time.perf_counter() - began
                show(self)
                ended = self.step >= min(until or math.inf, self.options.steps) or stop()
                if record is not None:
                    record.append(row)
                    due = ended or self.step % checkpoint_every == 0
                    if due and self._skips == 0 and self._finite():
                        record.flush()
                        self.save(record.path.with_name(MODEL_FILE))
                if self._skips >= max_skips:
                    raise TrainingDiverged(
                        f"the gradients of {max_skips} steps in a row, up to step {self.step}, "
                        "were not finite: lower the learning rate or the clip norm"
                    )
        finally:
            if record is not None:
                record.close()
        return self.step >= self.options.steps

    def _finite(self) -> bool:
        return all(np.isfinite(values).all() for values in self.model.state_dict().values())

    def save(self, path: str | Path) -> None:
        """Write the model file with all that is needed to go on; see ``resume``."""
        place = {"step": self.step, "seconds": self.seconds, "skips": self._skips}
        training = {"options": asdict(self.options), "text_sha256": self._sha256} | place
        self.model.metadata["vocabulary"] = json.dumps(self.vocabulary.characters)
        self.model.metadata["training"] = json.dumps(training)
        self.model.tensors.clear()
        if self._state is not None:
            parts = self._state if isinstance(self._state, tuple) else (self._state,)
            self.model.tensors.update(zip(("state.h", "state.c"), parts, strict=False))
        self.model.save(str(path))

    @classmethod
    def resume(cls, path: str | Path, text: str) -> Self:
        """Go on where ``save`` was: the same bits as without the interruption.

        Parameters
        ----------
        path : str or Path
            A model file that a trainer wrote. The history is read from the ``history.csv`` beside
            it, if there is one.
        text : str
            The text that the run began with.

        Raises
        ------
        OSError
            A file cannot be read.
        ValueError
            It is not such a model file, or the text is another one.
        """
        model, vocabulary, training = load_text_model(path)
        self = cls.__new__(cls)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        if sha256 != training["text_sha256"]:
            expected = f"the text of the run, SHA-256 {training['text_sha256'][:16]}..."
            got = f"another one, {sha256[:16]}..."
            raise ValueError(f"TextTrainer.resume: argument 'text': expected {expected}, got {got}")
        try:
            options = TextOptions(**training["options"])
        except TypeError as error:
            expected, got = "the options of a text run", f"{str(path)!r}: {error}"
            message = f"TextTrainer.resume: argument 'path': expected {expected}, got {got}"
            raise ValueError(message) from None
        self._begin(text, options, vocabulary, model)
        self.step, self.seconds = training["step"], training["seconds"]
        self._skips = training["skips"]
        if "state.h" in model.tensors:
            h = model.tensors["state.h"]
            self._state = (h, model.tensors["state.c"]) if "state.c" in model.tensors else h
        record = Path(path).with_name(HISTORY_FILE)
        if record.exists():
            self.history = [row for row in read_history(record) if row.step <= self.step]
        return self
