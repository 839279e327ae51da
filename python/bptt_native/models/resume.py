"""The continuation of a run of `Model.fit` from its checkpoint."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arguments.names import guided
from ..arguments.values import integer, message
from ..options.words import Verbosity
from ..runtime.files import path_of
from ..training.callbacks import Callback, Function
from ..training.fit import FitResult, FitTrainer, run
from ..training.run_files import model_file_of
from ..training.schedules import Schedule
from ..training.watch import Watch
from .model import Model
from .model_file import load


@guided
def resume(
    path: str | Path,
    x: Any,
    targets: Any,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    weights: Any = None,
    validation: tuple[Any, ...] | None = None,
    metrics: Any = None,
    schedule: Schedule | None = None,
    callbacks: Sequence[Callback | Function] = (),
    checkpoint_every: int | None = None,
    max_skips: int = 20,
    verbose: Verbosity = 0,
    watch: int | Watch | None = None,
) -> FitResult[Model]:
    """Continue a run of `Model.fit` with ``out``, with the same bits as without a break.

    Parameters
    ----------
    path : str or Path
        The folder of the run, or its model file. The run is written to the same folder.
    x, targets, weights, validation : array_like
        The data that the run began with; a `validation_split` is made again.
    epochs, steps : int, optional
        A new length of the whole run, above the number of steps taken.
    metrics : callable, or sequence or mapping of them, optional
        The functions among the metrics that the run began with; others are known by name.
    schedule : callable, optional
        The schedule, if the run began with a function that is not in ``bptt_native.schedules``.
    callbacks, checkpoint_every, max_skips, verbose, watch : optional
        As in `Model.fit`.

    Returns
    -------
    FitResult
        As in `Model.fit`; ``model`` is a new object.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    ValueError
        If the file is no checkpoint of `Model.fit`, or the data differ.
    TypeError, IndexError, TrainingDiverged
        As in `Model.fit`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((10, 16, 2), np.float32)
    >>> labels = (x[-1, :, 0] > 0).astype(int)
    >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=2, targets="last")
    >>> first = model.fit(x, labels, epochs=2, out="run")
    >>> result = bn.resume("run", x, labels, epochs=4)
    >>> len(result.rows), result.rows[1].loss == first.rows[1].loss
    (4, True)
    """
    file = model_file_of(path_of(path, "resume", "path"))
    trainer = FitTrainer.go_on(
        _loaded(path, file), file, x, targets, weights=weights, validation=validation,
        schedule=schedule, metrics=metrics,
    )  # fmt: skip
    if epochs is not None:
        each = trainer.steps_per_epoch
        steps = integer(epochs, "resume", "epochs", 1) * each
        _check_longer("epochs", steps, trainer.step, f"{epochs}, which is {steps} steps")
    elif steps is not None:
        steps = integer(steps, "resume", "steps", 1)
        _check_longer("steps", steps, trainer.step, str(steps))
    if steps is not None:
        trainer.set_steps(steps)
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return run(trainer, folder, callbacks, verbose, checkpoint_every, max_skips, watch, "resume")


def _loaded(path: str | Path, file: Path) -> Model:
    """Return the model of a run; errors name the function and argument that the user typed."""
    if not file.exists():
        got = repr(str(path)) + (f", which has no {file.name}" if Path(path).is_dir() else "")
        text = message("resume", "path", "the folder of a run or its model file", got)
        raise FileNotFoundError(errno.ENOENT, text)
    try:
        return load(file)
    except ValueError as error:
        raise ValueError(str(error).replace("load:", "resume:", 1)) from None


def _check_longer(argument: str, steps: int, taken: int, got: str) -> None:
    if steps <= taken:
        expected = f"a run longer than the {taken} steps taken"
        raise ValueError(message("resume", argument, expected, got))
