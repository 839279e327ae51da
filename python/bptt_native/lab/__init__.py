"""The laboratory: claims about recurrent learning as reproducible experiments.

`run` measures an experiment and writes measurements, figure and verdict; ``bptt-native lab NAME``
does the same from the command line. `Experiment` describes the parts of an experiment.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments.names import with_guess
from ..arguments.values import integer, message, refuse_type
from ..plots import save_figure
from ..runtime.files import replace
from . import benchmark_tasks, clipping, initialisation, long_range, pascanu, vanish_explode
from .experiment import Case, Claim, Experiment, Outcome, Row, Scalar
from .results import (
    as_text,
    machine,
    read_circumstances,
    read_rows,
    record_of,
    write_record,
    write_rows,
)
from .workers import JobError, measure_all

__all__ = [
    "EXPERIMENTS",
    "Case",
    "Claim",
    "Experiment",
    "JobError",
    "Outcome",
    "Row",
    "Scalar",
    "read_rows",
    "redraw",
    "run",
]

COLOURS = 256  # of the picture, which makes its file small
_ALL: tuple[Experiment, ...] = (
    vanish_explode.EXPERIMENT,
    clipping.EXPERIMENT,
    initialisation.EXPERIMENT,
    benchmark_tasks.ADDING,
    benchmark_tasks.COPY_MEMORY,
    benchmark_tasks.TEMPORAL_ORDER,
    long_range.EXPERIMENT,
    pascanu.EXPERIMENT,
)
EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in _ALL}
"""All experiments by name."""


def run(
    name: str | Experiment, out: str | Path, *, full: bool = False,
    seeds: int | Sequence[int] | None = None, jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:  # fmt: skip
    """Run an experiment and write the results.

    Measurements depend on the seeds and on the instruction set, not on ``jobs``. They are rounded
    to seven digits.

    Parameters
    ----------
    name : str or Experiment
        A name in ``EXPERIMENTS``, or an `Experiment`.
    out : str or Path
        The folder for NAME.csv, NAME.png, NAME.json and NAME.md.
    full : bool
        Whether to run the long form.
    seeds : int or sequence of int, optional
        The number of seeds (0, 1, ...), or the seeds themselves. The default is the experiment's
        number of seeds.
    jobs : int, optional
        Number of parallel processes. The default is the number of processors.
    progress : callable (jobs done, jobs in all), optional
        Called after each job.

    Returns
    -------
    Outcome

    Raises
    ------
    TypeError, ValueError
        An argument is invalid; nothing was measured.
    LookupError
        There is no experiment of this name.
    OSError
        The folder cannot be written to.
    JobError
        A job failed. This is a RuntimeError whose message holds the case, the seed and the
        traceback of the job.
    """
    experiment = name if isinstance(name, Experiment) else _find(name, "lab.run")
    chosen = _seeds(seeds, experiment.seeds)
    workers = _processors() if jobs is None else integer(jobs, "lab.run", "jobs", 1)
    folder = _folder(out)
    start = time.perf_counter()
    todo = [(case, seed) for case in experiment.cases(full) for seed in chosen]
    measured, cpu_seconds = measure_all(experiment.measure, todo, workers, progress)
    rows: list[Row] = [
        {**case, "seed": seed, **{key: _seven(value) for key, value in row.items()}}
        for (case, seed), found in zip(todo, measured, strict=True)
        for row in found
    ]
    circumstances = {
        "full": full, "seeds": chosen, "jobs": len(todo), "workers": workers,
        "seconds": round(time.perf_counter() - start, 1), "cpu_seconds": round(cpu_seconds, 1),
        **machine(),
    }  # fmt: skip
    write_rows(folder / f"{experiment.name}.csv", rows)
    return _write(experiment, folder, rows, tuple(experiment.verdict(rows)), circumstances)


def redraw(name: str | Experiment, out: str | Path) -> Outcome:
    """Write verdict and figure of an earlier run again from its measurements.

    Parameters
    ----------
    name : str or Experiment
    out : str or Path
        The folder of `run`. NAME.csv stays as it is, NAME.json supplies the circumstances of the
        run. Figure and verdict are replaced.

    Returns
    -------
    Outcome

    Raises
    ------
    TypeError, LookupError
        There is no such experiment.
    OSError, ValueError
        A file of the run is missing, or does not belong to this experiment.
    """
    experiment = name if isinstance(name, Experiment) else _find(name, "lab.redraw")
    folder = Path(out)
    circumstances = read_circumstances(folder / f"{experiment.name}.json", experiment.name)
    place = folder / f"{experiment.name}.csv"
    try:
        rows = read_rows(place)
        measured = {row["seed"] for row in rows}
        fits = measured == set(circumstances["seeds"]) and all(
            any(case.items() <= row.items() for row in rows)
            for case in experiment.cases(circumstances["full"])
        )
    except KeyError:
        fits = False
    if not fits:
        expected = f"the cases and seeds of its record in {str(place)!r}"
        raise ValueError(message("lab.redraw", "out", expected, "others"))
    try:
        claims = tuple(experiment.verdict(rows))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        expected = f"the measurements of {experiment.name} in {str(place)!r}"
        got = f"others: {type(error).__name__}: {error}"
        raise ValueError(message("lab.redraw", "out", expected, got)) from None
    return _write(experiment, folder, rows, claims, circumstances)


def _write(
    experiment: Experiment, folder: Path, rows: list[Row], claims: tuple[Claim, ...],
    circumstances: Mapping[str, Any],
) -> Outcome:  # fmt: skip
    """Draw the figure; write it with the verdict and the circumstances."""
    csv, picture, record, text = (
        folder / f"{experiment.name}.{ending}" for ending in ("csv", "png", "json", "md")
    )
    figure = picture if find_spec("matplotlib") else None
    if figure is not None:
        save_figure(experiment.figure(rows), figure, colours=COLOURS)
    facts = record_of(experiment, claims, circumstances)
    write_record(record, facts)
    shown = figure.name if figure else None
    replace(text, as_text(experiment, facts, shown).encode(), "lab.run")
    seconds = float(circumstances["seconds"])
    return Outcome(experiment.name, claims, tuple(rows), csv, record, text, figure, seconds)


def _folder(out: str | Path) -> Path:
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        got = f"{str(out)!r}, where a file is in the way"
        raise NotADirectoryError(message("lab.run", "out", "a folder", got)) from None
    return folder


def _find(name: object, where: str) -> Experiment:
    if not isinstance(name, str):
        refuse_type(name, where, "name", "the name of an experiment")
    if name not in EXPERIMENTS:
        got = with_guess(name, EXPERIMENTS)
        raise LookupError(message(where, "name", f"one of {', '.join(EXPERIMENTS)}", got))
    return EXPERIMENTS[name]


def _seeds(given: int | Sequence[int] | None, usual: int) -> list[int]:
    if given is None or isinstance(given, int | np.integer):
        return list(range(usual if given is None else integer(given, "lab.run", "seeds", 1)))
    if not isinstance(given, list | tuple | range):
        refuse_type(given, "lab.run", "seeds", "a number of seeds or a sequence of them")
    chosen = [integer(seed, "lab.run", "seeds", 0) for seed in given]
    if not chosen or len(set(chosen)) < len(chosen):
        expected = "at least one seed, each once"
        raise ValueError(message("lab.run", "seeds", expected, repr(list(given))))
    return chosen


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _seven(value: Scalar) -> Scalar:
    return float(f"{value:.7g}") if isinstance(value, float) else value
