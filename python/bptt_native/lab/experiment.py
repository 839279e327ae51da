"""Experiments of the laboratory: claims, the cases that measure them, figure and verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scalar = str | int | float
Case = Mapping[str, Scalar]
"""The options of one measurement, by name. A job measures a case with one seed."""
Row = dict[str, Scalar]
"""One measurement: a line of the CSV file."""


@dataclass(frozen=True)
class Claim:
    """A claim and the measurements that support or refute it.

    Attributes
    ----------
    text : str
        The claim, one sentence.
    held : bool
        Whether the measurements support it.
    measured : str
        The measured numbers as text.
    """

    text: str
    held: bool
    measured: str


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes
    ----------
    name : str
        The name for ``bptt-native lab NAME``.
    title : str
        The subject in a few words.
    claim : str
        The claim in one sentence.
    cases : callable (full) -> sequence of Case
        Lists the cases, the slowest first. They are measured independently.
    measure : callable (case, seed) -> sequence of Row
        Measures one case, in a separate process with one thread. It must be a function at the top
        of a module. The case's items and the seed are added in front of each row.
    figure : callable (rows) -> matplotlib Figure
    verdict : callable (rows) -> sequence of Claim
        Both take the rows of all jobs, ordered by case, then by seed.
    minutes : (float, float)
        CPU time of all jobs in the quick and in the full form; NaN if it is unknown.
    seeds : int
        Number of seeds; the default seeds are 0 ... ``seeds - 1``.
    published : str
        Published results and their sources, as Markdown.
    """

    name: str
    title: str
    claim: str
    cases: Callable[[bool], Sequence[Case]]
    measure: Callable[[Case, int], Sequence[Row]]
    figure: Callable[[Sequence[Row]], "Figure"]
    verdict: Callable[[Sequence[Row]], Sequence[Claim]]
    minutes: tuple[float, float]
    seeds: int = 3
    published: str = ""


@dataclass(frozen=True)
class Outcome:
    """The results of an experiment.

    Attributes
    ----------
    name : str
    claims : tuple of Claim
        The verdict.
    rows : tuple of Row
        All measurements.
    csv : Path
        The file of the measurements.
    record, text : Path
        The files of the verdict, seeds, CPU, versions and time, as JSON and as Markdown.
    figure : Path or None
        The file of the figure; None without matplotlib.
    seconds : float
        Duration of the run.
    """

    name: str
    claims: tuple[Claim, ...]
    rows: tuple[Row, ...]
    csv: Path
    record: Path
    text: Path
    figure: Path | None
    seconds: float

    @property
    def held(self) -> bool:
        """Whether all claims held."""
        return all(claim.held for claim in self.claims)
