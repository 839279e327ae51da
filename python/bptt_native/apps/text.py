"""The training of a character language model by truncated BPTT: options and trainer.

The text is cut into N streams. Windows follow each other along the streams, and the state is
carried from one window to the next (``batches.Streams``).
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..arguments.values import message
from ..models.model import Model
from ..training.batches import Streams
from ..training.data import Data, Form
from ..training.evaluation import measure
from ..training.run_files import HISTORY_FILE
from ..training.trainer import Trainer
from .run_options import RunOptions
from .sampling import load_text_model
from .text_data import split
from .vocabulary import Tokens, Vocabulary

HELD_OUT_STREAMS = 8  # largest number of streams in which the held-out part is read
HELD_OUT_LENGTH = 1000  # smallest length of one of several such streams
HELD_OUT_WINDOW = 250  # steps
INTERVALS = 20  # of a run, each followed by a measurement and a checkpoint


@dataclass(frozen=True)
class TextOptions(RunOptions):
    """Options of a run, with the names of ``bptt-native train``.

    Where None is allowed, it switches the option off.

    Raises
    ------
    ValueError
        If a value is not allowed. `Model` checks its own options.
    """

    hidden: int = 256
    embedding: int | None = 128
    seq_len: int = 100
    batch: int = 32
    steps: int = 2000
    valid_fraction: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_integers(seq_len=1, batch=1, steps=1)
        if self.schedule == "plateau":
            self.refuse("schedule", "constant, step, exponential or cosine", self.schedule)
        if not 0 <= self.valid_fraction < 1:
            self.refuse("valid_fraction", "a number at least 0 and below 1", self.valid_fraction)


class TextTrainer(Trainer):
    """The trainer of a character language model, with its place in the text.

    Parameters
    ----------
    text : str
        The whole text. All its characters are in the vocabulary; its last part is held out.
    options : TextOptions
        The options of the run.

    Attributes
    ----------
    model : Model
        The model.
    vocabulary : Vocabulary
        The characters of the text.
    step : int
        The number of steps taken.
    history : list of HistoryRow
        One row per step.

    Raises
    ------
    ValueError
        If the text is shorter than one window of all streams, its held-out part is shorter than two
        characters, or an option is not allowed.
    """

    def __init__(self, text: str, options: TextOptions) -> None:
        vocabulary = Vocabulary.of(text)
        model = options.model(
            vocab_size=len(vocabulary), embedding_size=options.embedding,
            output_size=len(vocabulary),
        )  # fmt: skip
        self._begin(text, options, vocabulary, model)

    def _begin(self, text: str, options: TextOptions, vocabulary: Vocabulary, model: Model) -> None:
        self.options, self.vocabulary = options, vocabulary
        self.train, self.valid = split(vocabulary.encode(text), options.valid_fraction)
        self._sha256 = hashlib.sha256(text.encode()).hexdigest()
        need = options.batch * options.seq_len + 1
        if len(self.train) < need:
            what = f"{options.batch} streams of {options.seq_len}, and one more"
            expected = f"at least {need} characters to train on: {what}"
            got = f"{len(self.train)} of {len(text)}: choose fewer streams or a smaller seq_len"
            raise ValueError(message("TextTrainer", "text", expected, got))
        if options.valid_fraction and len(self.valid) < 2:
            expected, got = "at least 2 characters held out", f"{len(self.valid)} of {len(text)}"
            raise ValueError(message("TextTrainer", "text", expected, got))
        form = Form(model, "TextTrainer")
        source = Streams(_next(form, self.train), options.batch, options.seq_len, options.seed)
        super().__init__(
            model, source, steps=options.steps, schedule=options.schedule_over(options.steps)
        )
        if len(self.valid):
            streams = max(1, min(HELD_OUT_STREAMS, len(self.valid) // HELD_OUT_LENGTH))
            held_out = Streams(_next(form, self.valid), streams, HELD_OUT_WINDOW)
            self.validate = lambda: measure(model, held_out, accuracy=False)
        self.provenance.size = (
            f"{len(text):,} characters, {len(vocabulary)} different ones; the last "
            f"{len(self.valid):,} held out"
        )
        model.metadata["vocabulary"] = json.dumps(vocabulary.characters)

    def set_steps(self, steps: int) -> None:
        """Change the length of the run, and with it the following learning rates.

        Parameters
        ----------
        steps : int
            The number of steps of the whole run, above `step`.
        """
        super().set_steps(steps)
        self.options = replace(self.options, steps=steps)
        self.schedule = self.options.schedule_over(steps)

    def evaluate(self) -> float:
        """Return the bits per character of the held-out text, read in up to 8 streams."""
        assert self.validate is not None
        return self.validate().loss / math.log(2)

    @property
    def interval(self) -> int:
        """The number of steps between measurements and checkpoints: a twentieth of the run."""
        return max(1, self.steps // INTERVALS)

    def describe(self) -> dict[str, Any]:
        """Return the options and the SHA-256 of the text."""
        return {"options": asdict(self.options), "data_sha256": self._sha256}

    @classmethod
    def resume(cls, path: str | Path, text: str) -> Self:
        """Return a trainer that continues a saved run, with the same bits as without a break.

        Parameters
        ----------
        path : str or Path
            The model file of the run. The history is read from ``history.csv`` in the same folder,
            if it exists.
        text : str
            The text that the run began with.

        Raises
        ------
        OSError
            If a file cannot be read.
        ValueError
            If it is no model file of a text run, or the text is another one.
        """
        model, vocabulary, training = load_text_model(path)
        self = cls.__new__(cls)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        if sha256 != training["data_sha256"]:
            expected = f"the text of the run, SHA-256 {training['data_sha256'][:16]}..."
            got = f"another one, {sha256[:16]}..."
            raise ValueError(message("TextTrainer.resume", "text", expected, got))
        try:
            options = TextOptions.read(training["options"])
        except ValueError as error:
            expected, got = "the options of a text run", f"{str(path)!r}: {error}"
            raise ValueError(message("TextTrainer.resume", "path", expected, got)) from None
        self._begin(text, options, vocabulary, model)
        self.restore(training, Path(path).with_name(HISTORY_FILE))
        return self


def _next(form: Form, tokens: Tokens) -> Data:
    """Return a text as a sequence, with the next character as the target of each."""
    return Data(form, [tokens[:-1]], [tokens[1:]], single=True)
