"""The files of a run's folder, and in which order they are written.

The model file is the run: what it says of its place decides what is read of the others.

- Before a checkpoint the history and the looks at the gradient are synced, so that they always
  reach at least as far as the model file. Going on, what lies beyond its step is dropped.
- No checkpoint is due at a step that was skipped, but for one that a run ends or stops at.
- What can be refused is refused before anything is replaced or removed.
- A run that begins writes its model file first. From then on the rows of an older run in the
  folder lie beyond its step; then the older run's files are replaced or removed.
- Results (forecasts, labels) are of the model file as it is. They are written last, and removed
  before training goes on.
"""

import csv
import io
from pathlib import Path

from ..runtime.files import reading, remove

MODEL_FILE, HISTORY_FILE, GRADIENTS_FILE = "model.safetensors", "history.csv", "gradients.jsonl"
FORECAST_FILE, LABELS_FILE, REPORT_FILE = "forecast.csv", "labels.csv", "report.html"
LABELS_NAMES = ("sequence", "label", "predicted")
RESULTS = (FORECAST_FILE, LABELS_FILE)
_PAGE = (b"<!DOCTYPE html>", b"img-src data:", b'<h1 id="title"></h1>')


def model_file_of(path: str | Path) -> Path:
    """Return the model file of a run's folder, or the path itself if it is no folder."""
    path = Path(path)
    return path / MODEL_FILE if path.is_dir() else path


def clear(folder: Path, names: tuple[str, ...]) -> None:
    """Remove the named files if an older run wrote them.

    Parameters
    ----------
    folder : Path
    names : tuple of str
        Of files, among those above.
    """
    for name in names:
        if _is_ours(folder / name):
            remove(folder / name)


def _is_ours(path: Path) -> bool:
    """Return whether a run, or the report of one, wrote a file, by its beginning."""
    try:
        with reading(path, 1 << 40, "run_files") as file:
            begin = file.read(1 << 17)
            if path.name == GRADIENTS_FILE:
                return not begin or begin.startswith(b'{"step": ')
            if path.name == REPORT_FILE:
                return all(part in begin for part in _PAGE)
            text = io.StringIO(begin.decode(errors="replace"), newline="\n")
            names = next(csv.reader(text), [])  # a name may have line ends in it
            if path.name == FORECAST_FILE:
                return names[:1] + names[2:] == ["row", "forecast"]
            if path.name == LABELS_FILE:
                return tuple(names) == LABELS_NAMES
    except (OSError, ValueError, csv.Error):  # not there, or a folder, a pipe, a device
        pass
    return False
