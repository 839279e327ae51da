"""Tables of numbers and labels: reading, hashing and writing CSV files, and scaling of columns."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ..arguments.values import choice, message
from ..runtime.files import csv_bytes, replace
from .text_data import read_text

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes
    ----------
    names : tuple of str
        Names of the columns.
    rows : list of list of str
    lines : list of int
        The last line of each row in the file.
    path : str
        The file.
    sha256 : str
        SHA-256 of the file.
    """

    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    path: str
    sha256: str

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a CSV file with a line of names. Commas, semicolons or tabs separate the columns.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is not UTF-8, has no names or no rows, or a row has another number of columns.
        """
        whole = read_text(path)
        text = whole.removeprefix("\ufeff")
        first = text.split("\n", 1)[0]
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
        rows, lines = list[list[str]](), list[int]()
        names: tuple[str, ...] = ()
        try:
            names = tuple(name.strip() for name in next(reader))
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
        except csv.Error as error:
            got = f"line {reader.line_num} of {str(path)!r}: {error}"
            raise ValueError(message("read_csv", "path", "a CSV file", got)) from None
        wrong = [i for i, row in enumerate(rows) if len(row) != len(names)]
        got = ""
        if len(set(names)) < len(names) or "" in names:
            got = f"the names {', '.join(map(repr, names))}"
        elif wrong:
            got = f"{len(rows[wrong[0]])} in line {lines[wrong[0]]}"
        elif not rows:
            got = "no rows below the names"
        if got:
            expected = f"{len(names)} columns with different names in {str(path)!r}"
            raise ValueError(message("read_csv", "path", expected, got))
        return cls(names, rows, lines, str(path), hashlib.sha256(whole.encode()).hexdigest())

    @property
    def source(self) -> tuple[str, str]:
        """The name of the file without its folders, and its SHA-256."""
        return Path(self.path).name, self.sha256

    def need(self, names: Sequence[str]) -> None:
        """Refuse a table to which a model cannot be applied, because a column is missing.

        Raises
        ------
        ValueError
            One of the names is none of a column.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            expected = (
                f"a table with the columns {', '.join(map(repr, names))}, which the model reads"
            )
            got = f"{self.path!r} without {missing[0]!r}"
            raise ValueError(message("predict", "csv", expected, got))

    def texts(self, name: str, argument: str) -> list[str]:
        """Return a column as texts.

        Parameters
        ----------
        name : str
            Name of the column.
        argument : str
            The option that names it, for messages.

        Raises
        ------
        ValueError
            There is no such column; the message lists all columns.
        """
        at = choice(name, {n: i for i, n in enumerate(self.names)}, self.path, argument)
        return [row[at].strip() for row in self.rows]

    def numbers(self, names: Sequence[str], argument: str) -> Floats:
        """Return columns as numbers.

        Returns
        -------
        float64 [rows, len(names)]

        Raises
        ------
        ValueError
            There is no such column, or a value in it is not a finite number.
        """
        result = np.empty((len(self.rows), len(names)))
        for k, name in enumerate(names):
            for i, text in enumerate(self.texts(name, argument)):
                value = as_number(text)
                if value is None or not np.isfinite(value):
                    expected = f"finite numbers in column {name!r}"
                    got = f"{text!r} in line {self.lines[i]}"
                    raise ValueError(message(self.path, argument, expected, got))
                result[i, k] = value
        return result

    def numeric(self, but: Sequence[str]) -> list[str]:
        """Return the columns with a number in the first row, except those named by ``but``."""
        first = dict(zip(self.names, self.rows[0], strict=True))
        return [n for n in self.names if n not in but and as_number(first[n]) is not None]


def as_number(text: str) -> float | None:
    """Return the number that a text holds, or None."""
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Scaling:
    """Means and standard deviations by which columns are standardised.

    Attributes
    ----------
    mean, std : list of float
        Per column; a constant column has the deviation 1.
    """

    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the scaling of columns [rows, columns]."""
        std = values.std(axis=0)
        std[std <= 1e-12 * np.abs(values).max(axis=0)] = 1.0
        return cls(values.mean(axis=0).tolist(), std.tolist())

    def __call__(self, values: Floats, dtype: Any = np.float64) -> npt.NDArray[Any]:
        """Standardise columns [..., columns]."""
        scaled: npt.NDArray[Any] = ((values - self.mean) / np.array(self.std)).astype(dtype)
        return scaled

    def back(self, values: npt.NDArray[Any]) -> Floats:
        """Return values [..., columns] before standardisation."""
        unscaled: Floats = np.asarray(values, np.float64) * self.std + self.mean
        return unscaled


class Content(NamedTuple):
    """Hashes of a run's table, to compare it with another table.

    Attributes
    ----------
    train : str
        SHA-256 of the training and validation data as read: names, labels, numbers.
    tested : int
        Number of rows or sequences of the test part.
    test : callable (int)
        Returns the SHA-256 of the first n of them.
    unit : str
        "rows" or "sequences".
    """

    train: str
    tested: int
    test: Callable[[int], str]
    unit: str

    def to_json(self) -> dict[str, Any]:
        """Return the hashes as an object for the model file."""
        return {"train": self.train, "test": self.test(self.tested), "tested": self.tested}

    def compare(self, before: dict[str, Any] | None, path: str) -> str | None:
        """Compare a table with the one that a run began with.

        Parameters
        ----------
        before : dict, optional
            The result of `to_json`; None for an older run, which did not store it.
        path : str
            The file of the table.

        Returns
        -------
        str or None
            A note for the user, if there is something to report.

        Raises
        ------
        ValueError
            The table differs.
        """
        if before is None:
            return ("this run is from an older version, which stored no hash of the table; only "
                    "the standardised training data were compared")  # fmt: skip
        if self.train != before["train"]:
            expected = f"the data of the run, SHA-256 {before['train'][:16]}..."
            got = f"another training part in {path!r}, {self.train[:16]}..."
            if self.unit == "rows":
                got += "; rows may be added only if the run began with --test-from"
            raise ValueError(message("resume", "csv", expected, got))
        known = before["tested"]
        if self.tested < known or self.test(known) != before["test"]:
            expected = f"the data of the run, with its test part of {known}"
            got = f"another test part of {self.tested} in {path!r}"
            raise ValueError(message("resume", "csv", expected, got))
        if self.tested > known:
            return f"the test part grew from {known} to {self.tested} {self.unit}"
        return None


def sha256_of(*parts: Sequence[str] | Floats) -> str:
    """Return the SHA-256 of texts and numbers."""
    sha256 = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha256.update(f"{part.shape}".encode())
            sha256.update(np.ascontiguousarray(part).data)
        else:
            sha256.update(json.dumps(part).encode())
    return sha256.hexdigest()


def write_table(
    path: str | Path, names: Sequence[str], columns: Sequence[Sequence[object]]
) -> None:
    """Write columns of the same length as a CSV file; see ``files.replace``."""
    replace(path, csv_bytes([names, *zip(*columns, strict=True)]), "write_table")
