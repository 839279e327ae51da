"""The classification of labelled sequences from a table: data, options, training and results."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..arguments.values import message
from ..models.model import Model
from ..nn.probabilities import softmax
from ..training.batches import random_words
from ..training.evaluation import outputs
from ..training.fit import FitTrainer
from ..training.run_files import LABELS_FILE, LABELS_NAMES
from .run_options import SequenceOptions
from .tables import Content, Floats, Scaling, Table, sha256_of, write_table


@dataclass(frozen=True)
class Labelled:
    """Sequences of rows of features, each sequence with a label.

    Attributes
    ----------
    names : list of str
        The names of the sequences.
    sequences : list of float64 [T_i, F]
        The features of each sequence.
    labels : list of str
        One label per sequence.
    """

    names: list[str]
    sequences: list[Floats]
    labels: list[str]

    @classmethod
    def read(cls, table: Table, sequence: str, label: str, features: Sequence[str]) -> Self:
        """Return the sequences of a table in long format, which has one row per step.

        Parameters
        ----------
        table : Table
            The table.
        sequence : str
            The column with the name of the sequence of a row. The rows of a sequence must be in the
            order of its steps.
        label : str
            The column of the label, which must be the same in all rows of a sequence.
        features : sequence of str
            The columns of the features.

        Raises
        ------
        ValueError
            If a column is missing, a feature is no finite number, or a sequence has two labels.
        """
        ids, labels = table.texts(sequence, "sequence"), table.texts(label, "label")
        values = table.numbers(features, "features")
        rows: dict[str, list[int]] = {}
        for i, name in enumerate(ids):
            rows.setdefault(name, []).append(i)
        for name, which in rows.items():
            for i in which:
                if labels[i] != labels[which[0]]:
                    expected = f"one label for sequence {name!r}"
                    got = f"{labels[which[0]]!r} and, in line {table.lines[i]}, {labels[i]!r}"
                    raise ValueError(message(table.path, "label", expected, got))
        return cls(
            list(rows),
            [values[which] for which in rows.values()],
            [labels[which[0]] for which in rows.values()],
        )

    def part(self, members: Sequence[int]) -> "Labelled":
        """Return some of the sequences, by their indices."""
        names, sequences, labels = (
            [values[i] for i in members] for values in (self.names, self.sequences, self.labels)
        )
        return Labelled(names, sequences, labels)  # type: ignore[arg-type]

    def divide(self, fraction: float, seed: int) -> tuple["Labelled", "Labelled"]:
        """Divide the sequences at random, with the same share of each class.

        Parameters
        ----------
        fraction : float
            The share to hold out, in [0, 1). At least one sequence of each class is not held out.
        seed : int
            The seed of the choice.

        Returns
        -------
        rest, held_out : Labelled
            The two parts.
        """
        order = np.argsort(random_words(seed, 2**64 - 1, len(self.labels)), kind="stable").tolist()
        held_out: list[int] = []
        for label in sorted(set(self.labels)):
            members = [i for i in order if self.labels[i] == label]
            held_out += members[: min(round(fraction * len(members)), len(members) - 1)]
        chosen = set(held_out)
        rest = [i for i in range(len(self.labels)) if i not in chosen]
        return self.part(rest), self.part(sorted(held_out))

    def sha256(self) -> str:
        """Return the SHA-256 of names, labels and numbers."""
        return sha256_of(self.names, self.labels, *self.sequences)

    def scaling(self) -> Scaling:
        """Return the scaling that standardises the features over all steps."""
        return Scaling.of(np.concatenate(self.sequences))

    def pairs(
        self, classes: Sequence[str], scaling: Scaling, dtype: str
    ) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.int64]]:
        """Return the standardised sequences and the numbers of their classes.

        Parameters
        ----------
        classes : sequence of str
            The labels in the order of their numbers.
        scaling : Scaling
            The scaling of the features.
        dtype : str
            The dtype of the sequences.

        Raises
        ------
        ValueError
            If a label is none of the classes.
        """
        number = {name: k for k, name in enumerate(classes)}
        for name, label in zip(self.names, self.labels, strict=True):
            if label not in number:
                expected = f"one of the {len(classes)} labels of the training part"
                got = f"{label!r} of sequence {name!r}"
                raise ValueError(message("Labelled.pairs", "label", expected, got))
        x = [scaling(values, dtype) for values in self.sequences]
        return x, np.array([number[label] for label in self.labels], np.int64)


@dataclass(frozen=True)
class ClassifyOptions(SequenceOptions):
    """Options of a run that trains a classifier of sequences.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    sequence: str = ""
    label: str = ""
    features: str | None = None
    test_csv: str | None = None
    test_fraction: float = 0.2
    bidirectional: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sequence", "label"):
            if not getattr(self, name):
                self.refuse(name, "the name of a column", getattr(self, name))
        if not 0 <= self.test_fraction < 1:
            self.refuse("test_fraction", "a number at least 0 and below 1", self.test_fraction)
        if self.seq_len is not None:
            expected = "no windows, because a label belongs to a whole sequence"
            self.refuse("seq_len", expected, self.seq_len)


class ClassifyTask:
    """The task of classifying the sequences of a table.

    Parameters
    ----------
    table : Table
        The table of the sequences.
    options : ClassifyOptions
        The options of the run.

    Raises
    ------
    OSError
        If the test table cannot be read.
    ValueError
        If a column is missing or holds no numbers, there are fewer than two labels, or the test
        part has other labels.
    """

    def __init__(self, table: Table, options: ClassifyOptions) -> None:
        self.options = options
        fixed = (options.sequence, options.label)
        given = options.features
        self.features = given.split(",") if given else table.numeric(but=fixed)
        if not self.features:
            expected, got = "columns of numbers", "none except sequence and label"
            raise ValueError(message(table.path, "features", expected, got))
        train = Labelled.read(table, *fixed, self.features)
        self._sources = [table.source]
        if options.test_csv is not None:
            test_table = Table.read(options.test_csv)
            self._sources.append(test_table.source)
            test = Labelled.read(test_table, *fixed, self.features)
        else:
            train, test = train.divide(options.test_fraction, options.seed)
        train, valid = train.divide(options.valid_fraction, options.seed + 1)
        self.classes = sorted(set(train.labels))
        if len(self.classes) < 2:
            expected = "at least two labels in the training part"
            raise ValueError(message(table.path, "label", expected, repr(self.classes)))
        self.train, self.valid, self.test = train, valid, test
        self.scaling = train.scaling()
        self.content = Content(
            sha256_of(self.features, self.classes, train.sha256(), valid.sha256()),
            len(test.names),
            lambda n: test.part(range(n)).sha256(),
            "sequences",
        )
        self._test_pairs = self._pairs(test)

    def _pairs(self, part: Labelled) -> tuple[Any, Any]:
        return part.pairs(self.classes, self.scaling, self.options.dtype)

    @property
    def validation(self) -> tuple[Any, Any] | None:
        """The sequences held out of the training part, or None."""
        return self._pairs(self.valid) if self.valid.names else None

    def start(self) -> FitTrainer:
        """Return the trainer of a new model, whose file will hold the task."""
        options = self.options
        model = options.model(
            input_size=len(self.features), output_size=len(self.classes), targets="last"
        )
        model.metadata["task"] = json.dumps({
            "task": "classify", "options": asdict(options), "features": self.features,
            "classes": self.classes, "scaling": asdict(self.scaling),
            "data": self.content.to_json(),
        })  # fmt: skip
        return self._with_origin(options.trainer(model, *self._pairs(self.train), self.validation))

    def resume(self, model: Model, path: Path) -> FitTrainer:
        """Return a trainer that continues a run, whose model was loaded from `path`."""
        x, y = self._pairs(self.train)
        return self._with_origin(FitTrainer.go_on(model, path, x, y, validation=self.validation))

    def _with_origin(self, trainer: FitTrainer) -> FitTrainer:
        """Return the trainer, which records the tables and the baseline."""
        origin, (usual, share) = trainer.provenance, self._majority()
        origin.data, origin.size = self._sources, self._size()
        origin.tested = len(self.test.names)
        origin.baselines = {f"always {usual!r}": share} if origin.tested else {}
        return trainer

    def _majority(self) -> tuple[str, float]:
        """Return the most frequent label of the training part, and its share of the test part."""
        usual = Counter(self.train.labels).most_common(1)[0][0]
        return usual, self.test.labels.count(usual) / max(1, len(self.test.labels))

    def _size(self) -> str:
        steps = {len(s) for s in (*self.train.sequences, *self.test.sequences)}
        length = " to ".join(map(str, sorted({min(steps), max(steps)})))
        return (
            f"{len(self.train.names)} sequences to train on, {len(self.valid.names)} to validate, "
            f"{len(self.test.names)} to test; {length} steps of "
            f"{len(self.features)} feature{'s' * (len(self.features) != 1)}, {len(self.classes)} "
            "classes"
        )

    def report(self, model: Model, out: Path) -> list[str]:
        """Classify the test part, write ``labels.csv`` and return lines of text about it."""
        lines = [self._size()]
        if not self.test.names:
            return lines
        x, y = self._test_pairs
        said = np.asarray(outputs(model, x)).argmax(axis=1)
        right = int((said == y).sum())
        usual, share = self._majority()
        columns = [self.test.names, self.test.labels, [self.classes[k] for k in said]]
        write_table(out / LABELS_FILE, LABELS_NAMES, columns)
        return [
            *lines,
            f"test accuracy {right / len(y):.2%} ({right} of {len(y)}); always {usual!r}: "
            f"{share:.2%}",
            str(out / LABELS_FILE),
        ]


def apply_classify(model: Model, task: dict[str, Any], table: Table) -> tuple[list[str], list[Any]]:
    """Classify the sequences of a table.

    Parameters
    ----------
    model : Model
        A classifier.
    task : dict
        The task of its model file.
    table : Table
        A table with the columns of the sequence and the features. Labels are not needed.

    Returns
    -------
    names : list of str
        The names of the columns.
    columns : list of list
        The name of each sequence, its likeliest class and the probability of this class.
    """
    options = ClassifyOptions(**task["options"])
    table.need([options.sequence, *task["features"]])
    unlabelled = Labelled.read(table, options.sequence, options.sequence, task["features"])
    scaling, classes = Scaling(**task["scaling"]), task["classes"]
    x = [scaling(values, options.dtype) for values in unlabelled.sequences]
    p = softmax(np.asarray(outputs(model, x)))
    said = [classes[k] for k in p.argmax(axis=1)]
    return ["sequence", "predicted", "probability"], [unlabelled.names, said, p.max(axis=1)]
