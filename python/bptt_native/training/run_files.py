"""Files of a run's folder, and the order in which they are written.

The model file represents the run: the step that it holds decides how much of the other files is
read.

- The history and the records of the gradient are synced before each checkpoint, so that they
  always reach at least as far as the model file. A resumed run drops their rows beyond its step.
- A skipped step gets no checkpoint, unless the run ends or stops there.
- Everything is checked before anything is replaced or removed.
- A new run writes its model file first. The rows of an older run in the folder are then beyond its
  step. Next, the older run's files are replaced or removed.
- Results (forecasts, labels) belong to the current model file. They are written last, and removed
  before training continues.
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
    """Return the model file of a run's folder, or the path itself if it is not a folder."""
    path = Path(path)
    return path / MODEL_FILE if path.is_dir() else path


def clear(folder: Path, names: tuple[str, ...]) -> None:
    """Remove the named files if an older run wrote them.

    Parameters
    ----------
    folder : Path
    names : tuple of str
        File names among those above.
    """
    for name in names:
        if _is_ours(folder / name):
            remove(folder / name)


def _is_ours(path: Path) -> bool:
    """Return whether a run or its report wrote a file, judging by its beginning."""
    try:
        with reading(path, 1 << 40, "run_files") as file:
            begin = file.read(1 << 17)
            if path.name == GRADIENTS_FILE:
                return not begin or begin.startswith(b'{"step": ')
            if path.name == REPORT_FILE:
                return all(part in begin for part in _PAGE)
            text = io.StringIO(begin.decode(errors="replace"), newline="\n")
            names = next(csv.reader(text), [])  # a name may contain line ends
            if path.name == FORECAST_FILE:
                return names[:1] + names[2:] == ["row", "forecast"]
            if path.name == LABELS_FILE:
                return tuple(names) == LABELS_NAMES
    except (OSError, ValueError, csv.Error):  # missing, or a folder, a pipe, a device
        pass
    return False
