"""Labelled sequences: reading them from a table, dividing them, naming their classes."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..arguments.values import message
from ..nn.model import Model
from ..nn.probabilities import softmax
from ..training.batches import random_words
from ..training.evaluation import predict
from ..training.fit import FitTrainer
from ..training.run_files import LABELS_FILE, LABELS_NAMES
from .run_options import SequenceOptions
from .tables import Content, Floats, Scaling, Table, sha256_of, write_table


@dataclass(frozen=True)
class Labelled:
    """Sequences of feature rows, each with a label.

    Attributes
    ----------
    names : list of str
        Of the sequences.
    sequences : list of float64 [T_i, F]
    labels : list of str
        One per sequence.
    """

    names: list[str]
    sequences: list[Floats]
    labels: list[str]

    @classmethod
    def read(cls, table: Table, sequence: str, label: str, features: Sequence[str]) -> Self:
        """Take the sequences out of a table in long format: one row per step.

        Parameters
        ----------
        table : Table
        sequence : str
            The column that says which sequence a row belongs to; the rows of a sequence are in
            the order of its steps.
        label : str
            The column of the label, the same in all rows of a sequence.
        features : sequence of str

        Raises
        ------
        ValueError
            A column is missing, a feature is no finite number, or a sequence has two labels.
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
        """Give some of the sequences."""
        names, sequences, labels = (
            [values[i] for i in members] for values in (self.names, self.sequences, self.labels)
        )
        return Labelled(names, sequences, labels)  # type: ignore[arg-type]

    def divide(self, fraction: float, seed: int) -> tuple["Labelled", "Labelled"]:
        """Hold out a share of each class, chosen by the seed.

        Parameters
        ----------
        fraction : float
            At least 0 and below 1; at least one sequence of each class stays.
        seed : int

        Returns
        -------
        rest, held_out : Labelled
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
        """Measure the features over all steps."""
        return Scaling.of(np.concatenate(self.sequences))

    def pairs(
        self, classes: Sequence[str], scaling: Scaling, dtype: str
    ) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.int64]]:
        """Give standardised sequences and the numbers of their classes.

        Raises
        ------
        ValueError
            A label is none of the classes.
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
    """Options of a run that learns to label sequences.

    Raises
    ------
    ValueError
        A value is not allowed.
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
            self.refuse("seq_len", "None, as the label is that of the whole sequence", self.seq_len)


class ClassifyTask:
    """A table of sequences that are to be labelled.

    Parameters
    ----------
    table : Table
    options : ClassifyOptions

    Raises
    ------
    OSError
        The test table cannot be read.
    ValueError
        A column is missing or holds no numbers; there are fewer than two labels; the test part
        has other labels.
    """

    def __init__(self, table: Table, options: ClassifyOptions) -> None:
        self.options = options
        fixed = (options.sequence, options.label)
        given = options.features
        self.features = given.split(",") if given else table.numeric(but=fixed)
        if not self.features:
            expected, got = "columns of numbers", "none beside sequence and label"
            raise ValueError(message(table.path, "features", expected, got))
        train = Labelled.read(table, *fixed, self.features)
        if options.test_csv is not None:
            test = Labelled.read(Table.read(options.test_csv), *fixed, self.features)
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
        """The sequences held out of the training part, if there are some."""
        return self._pairs(self.valid) if self.valid.names else None

    def start(self) -> FitTrainer:
        """Make the model, with all that labelling needs in its file, and its trainer."""
        options = self.options
        model = options.model(
            input_size=len(self.features), output_size=len(self.classes), targets="last"
        )
        model.metadata["task"] = json.dumps({
            "task": "classify", "options": asdict(options), "features": self.features,
            "classes": self.classes, "scaling": asdict(self.scaling),
            "data": self.content.to_json(),
        })  # fmt: skip
        return options.trainer(model, *self._pairs(self.train), self.validation)

    def resume(self, model: Model, path: Path) -> FitTrainer:
        """Go on with a run, whose model was loaded from a path."""
        x, y = self._pairs(self.train)
        return FitTrainer.go_on(model, path, x, y, validation=self.validation)

    def report(self, model: Model, out: Path) -> list[str]:
        """Label the test part, write ``labels.csv`` and give lines about it."""
        steps = [len(s) for s in (*self.train.sequences, *self.test.sequences)]
        lines = [
            f"{len(self.train.names)} sequences to train on, {len(self.valid.names)} to validate, "
            f"{len(self.test.names)} to test; {min(steps)} to {max(steps)} steps of "
            f"{len(self.features)} features, {len(self.classes)} classes"
        ]
        if not self.test.names:
            return lines
        x, y = self._test_pairs
        said = np.asarray(predict(model, x)).argmax(axis=1)
        right = int((said == y).sum())
        usual = Counter(self.train.labels).most_common(1)[0][0]
        share = self.test.labels.count(usual) / len(y)
        columns = [self.test.names, self.test.labels, [self.classes[k] for k in said]]
        write_table(out / LABELS_FILE, LABELS_NAMES, columns)
        return [
            *lines,
            f"test accuracy {right / len(y):.2%} ({right} of {len(y)}); always {usual!r}: "
            f"{share:.2%}",
            str(out / LABELS_FILE),
        ]


def apply_classify(model: Model, task: dict[str, Any], table: Table) -> tuple[list[str], list[Any]]:
    """Label the sequences of a table.

    Parameters
    ----------
    model : Model
    task : dict
        What its file says of the task.
    table : Table
        With the columns of the sequences and features; labels are not needed.

    Returns
    -------
    names : list of str
    columns : list of list
        The sequence, its likeliest class and that class's probability.
    """
    options = ClassifyOptions(**task["options"])
    unlabelled = Labelled.read(table, options.sequence, options.sequence, task["features"])
    scaling, classes = Scaling(**task["scaling"]), task["classes"]
    x = [scaling(values, options.dtype) for values in unlabelled.sequences]
    p = softmax(np.asarray(predict(model, x)))
    said = [classes[k] for k in p.argmax(axis=1)]
    return ["sequence", "predicted", "probability"], [unlabelled.names, said, p.max(axis=1)]
