"""What watching a training run found: one record per look at the gradient, a file of JSON lines."""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class LayerRecord:
    """The gradient's flow through one layer, of a loss at the last step.

    Attributes
    ----------
    layer : int
        From 0, the lowest.
    h : list of float
        ||dL/dh|| over all samples and units, [d] being d steps back from the last one.
    c : list of float or None
        ||dL/dc|| likewise (LSTM).
    growth : float
        The factor by which ||dL/dh|| changes per step back; NaN if it cannot be told.
    horizon : tuple of (int or None)
        Steps back until ||dL/dh|| has fallen to 1/e and to 1 %, for good; None: it has not.
    verdict : str
        "vanishing", "healthy" or "exploding".
    saturation : dict of str to float
        Share of the gates' values (RNN: of the states, as "h") that lie at an end of their range.
    activity : dict of str to float
        Their means.
    radius : float
        Spectral radius of W_hh (LSTM, GRU: of the block of the candidate state).
    """

    layer: int
    h: list[float]
    c: list[float] | None
    growth: float
    horizon: tuple[int | None, int | None]
    verdict: str
    saturation: dict[str, float]
    activity: dict[str, float]
    radius: float


@dataclass(frozen=True)
class GradientRecord:
    """A look at the gradient's flow, with the parameters as they were after ``step`` updates.

    Attributes
    ----------
    step : int
        Updates made before; 0: the parameters are the initial ones.
    steps, sequences : int
        Length and number of the sequences that were looked at.
    layers : list of LayerRecord
        From the lowest.
    """

    step: int
    steps: int
    sequences: int
    layers: list[LayerRecord]

    def to_json(self) -> str:
        """Give a line of JSON, numbers that are not finite as null."""
        return json.dumps(_plain(asdict(self)), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is something else.
        """
        values = json.loads(line)
        layers = [_layer(dict(layer)) for layer in values.pop("layers")]
        if not (layers and all(layer.h for layer in layers)):
            raise ValueError("no norms")
        return cls(layers=layers, **values)


def _layer(values: dict[str, Any]) -> LayerRecord:
    for name in ("h", "c"):
        if values[name] is not None:
            values[name] = [_number(v) for v in values[name]]
    for name in ("saturation", "activity"):
        values[name] = {gate: _number(v) for gate, v in values[name].items()}
    one, two = values["horizon"]
    numbers = {name: _number(values[name]) for name in ("growth", "radius")}
    return LayerRecord(**{**values, **numbers, "horizon": (one, two)})


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    """Give numbers with six digits, and None where JSON has no number."""
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def read_records(path: str | Path) -> list[GradientRecord]:
    """Read a file of records.

    Parameters
    ----------
    path : str or Path
        ``gradients.jsonl`` of a run. A last line that was cut short (a killed run) is left out.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not such a file.
    """
    records = []
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                records.append(GradientRecord.from_json(line.decode()))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                expected = f"a record of the gradient in {str(path)!r}, line {number}"
                got = f"{type(error).__name__}: {error}"
                text = f"read_records: argument 'path': expected {expected}, got {got}"
                raise ValueError(text) from None
    return records


class RecordFile:
    """A file of records that grows with the run.

    The file is replaced as a whole by the records so far (by a new file and a rename, so a crash
    leaves the old file or the new one); each further record is written at once.

    Parameters
    ----------
    path : str or Path
    records : iterable of GradientRecord
        The records so far.
    """

    def __init__(self, path: str | Path, records: Iterable[GradientRecord] = ()) -> None:
        self.path = Path(path)
        sibling = self.path.with_name(self.path.name + ".tmp")
        with sibling.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(record.to_json() + "\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
        sibling.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8", newline="\n")

    def append(self, record: GradientRecord) -> None:
        """Add a record and write it."""
        self._file.write(record.to_json() + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
