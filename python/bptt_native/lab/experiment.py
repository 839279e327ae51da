"""What an experiment of the laboratory is: a claim, cases to measure it on, figure and verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scalar = str | int | float
Case = Mapping[str, Scalar]
"""What one job measures, by name; a job is a case with a seed."""
Row = dict[str, Scalar]
"""One measurement: a line of the CSV file."""


@dataclass(frozen=True)
class Claim:
    """A claim beside what was measured.

    Attributes
    ----------
    text : str
        The claim, one sentence.
    held : bool
        Whether the measurements bear it out.
    measured : str
        The numbers, in words.
    """

    text: str
    held: bool
    measured: str


@dataclass(frozen=True)
class Experiment:
    """An experiment: what it claims, and how to find out.

    Attributes
    ----------
    name : str
        As in ``bptt-native lab NAME``.
    title : str
        What it is about, in a few words.
    claim : str
        What is to be shown, one sentence.
    cases : callable (full) -> sequence of Case
        What is measured, independently of one another; the longest first.
    measure : callable (case, seed) -> sequence of Row
        Measures one case, in a process of its own with one thread: a function at the top of a
        module. The case's items and the seed are put in front of each row.
    figure : callable (rows) -> matplotlib Figure
    verdict : callable (rows) -> sequence of Claim
        Both see the rows of all jobs, ordered by case, then by seed.
    minutes : (float, float)
        CPU time of all jobs of the quick and of the full form; NaN where nobody has run it.
    seeds : int
        With seeds 0 ... ``seeds - 1`` unless others are asked for.
    published : str
        Others' outcomes and their source, as Markdown, to stand beside ours.
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
    """What came out of an experiment.

    Attributes
    ----------
    name : str
    claims : tuple of Claim
        The verdict.
    rows : tuple of Row
        All measurements.
    csv, record, text : Path
        The measurements; verdict, seeds, CPU, versions and time as JSON, and to be read.
    figure : Path or None
        The picture; None without matplotlib.
    seconds : float
        From the beginning to the end.
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
