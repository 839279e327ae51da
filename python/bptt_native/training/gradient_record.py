"""Records of the gradient's flow during a run, one for each look, and their JSON lines file."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..arguments.display import Shown, Table, View, counted
from ..runtime.documents import COUNT, NUMBER, SIZE, judge, one_of, optional, parse, table_of
from ..runtime.files import Growing, lines, refuse_line

VERDICTS = ("vanishing", "healthy", "exploding")
_NORMS = [optional(NUMBER)]
_BACK = optional(COUNT)
_LAYER = {
    "layer": COUNT, "h": _NORMS, "growth": optional(NUMBER), "horizon": (_BACK, _BACK),
    "verdict": one_of(VERDICTS), "saturation": table_of(optional(NUMBER)),
    "activity": table_of(optional(NUMBER)), "radius": optional(NUMBER),
}  # fmt: skip
_RECORD = {"step": COUNT, "steps": SIZE, "sequences": SIZE, "layers": [_LAYER]}


@dataclass(frozen=True, repr=False)
class LayerRecord(Shown):
    """The flow of the gradient of a loss at the last step through one layer.

    Attributes
    ----------
    layer : int
        Number of the layer, from 0 for the lowest.
    h : list of float
        ||dL/dh|| over all samples and units; h[d] is the norm d steps before the last one.
    c : list of float or None
        ||dL/dc|| in the same order (LSTM).
    growth : float
        The factor by which ||dL/dh|| changes per step back; NaN if it cannot be determined.
    horizon : tuple of (int or None)
        Steps back until ||dL/dh|| has permanently fallen to 1/e and to 1 %; None if it has not.
    verdict : str
        "vanishing", "healthy" or "exploding".
    saturation : dict of str to float
        For each gate, the share of values near an end of their range (RNN: states, as "h").
    activity : dict of str to float
        For each gate, the mean of the values.
    radius : float
        Spectral radius of W_hh (LSTM, GRU: of the block of the candidate state; MinGRU: NaN).
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

    def _view(self) -> View:
        table = Table(_HEADER, [_row(self)])
        gates = ", ".join(f"{gate} {share:.1%}" for gate, share in self.saturation.items())
        return View("LayerRecord", (table, f"saturated: {gates}"))


@dataclass(frozen=True, repr=False)
class GradientRecord(Shown):
    """The gradient's flow with the parameters after ``step`` updates.

    Attributes
    ----------
    step : int
        Number of updates made before the look.
    steps, sequences : int
        Length and number of the sequences.
    layers : list of LayerRecord
        The layers, the lowest first.
    """

    step: int
    steps: int
    sequences: int
    layers: list[LayerRecord]

    def _view(self) -> View:
        head = (
            f"GradientRecord after {counted(self.step, 'update')}: "
            f"{counted(self.sequences, 'sequence')} of {counted(self.steps, 'step')}"
        )
        return View(head, (Table(_HEADER, [_row(layer) for layer in self.layers]),))

    def to_json(self) -> str:
        """Return the record as a line of JSON, with null for numbers that are not finite."""
        return json.dumps(_plain(asdict(self)), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the record of a line that `to_json` wrote.

        Raises
        ------
        ValueError
            The line does not hold a record.
        """
        values = parse(line)
        judge(values, _RECORD)
        layers = [_layer(layer, i, values["steps"]) for i, layer in enumerate(values["layers"])]
        if not layers:
            raise ValueError("no layers")
        return cls(values["step"], values["steps"], values["sequences"], layers)


class Records(list[GradientRecord], Shown):
    """The records of a run: a list, whose records are shown by a line for each look and layer."""

    __slots__ = ()

    def _view(self) -> View:
        rows = [(f"{r.step:,}", *_row(layer)) for r in self for layer in r.layers]
        head = f"Records: {counted(len(self), 'record')} of the gradient"
        return View(head, (Table(("updates", *_HEADER), rows),))

    def __repr__(self) -> str:
        return Shown.__repr__(self)


_HEADER = ("layer", "verdict", "last norm", "first norm", "per step", "1/e at", "1 % at", "radius")


def _row(layer: LayerRecord) -> tuple[str, ...]:
    back = ("" if distance is None else str(distance) for distance in layer.horizon)
    ends = f"{layer.h[0]:.3g}", f"{layer.h[-1]:.3g}"
    numbers = f"{layer.growth:.3g}", *back, f"{layer.radius:.3g}"
    return str(layer.layer), layer.verdict, *ends, *numbers


def _layer(values: dict[str, Any], number: int, steps: int) -> LayerRecord:
    place = f"layers[{number}]"
    c = values.get("c")
    if c is not None:
        judge(c, _NORMS, f"{place}.c")
    for name, norms in (("h", values["h"]), ("c", c)):
        if norms is not None and len(norms) != steps:
            raise ValueError(f"{place}.{name}: expected {steps} norms, got {len(norms)}")
    if values["layer"] != number:
        raise ValueError(f"{place}.layer: expected {number}, got {values['layer']}")
    one, two = values["horizon"]
    return LayerRecord(
        number, [*map(_number, values["h"])], None if c is None else [*map(_number, c)],
        _number(values["growth"]), (one, two), values["verdict"],
        {gate: _number(v) for gate, v in values["saturation"].items()},
        {gate: _number(v) for gate, v in values["activity"].items()}, _number(values["radius"]),
    )  # fmt: skip


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    """Round numbers to six digits, and replace those that JSON cannot hold by None."""
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
        ``gradients.jsonl`` of a run. An incomplete last line (of a killed run) is ignored.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not a file of records, or is too large.
    """
    where, records = "read_records", list[GradientRecord]()
    for number, line in lines(path, where):
        if not line.endswith("\n"):
            break
        try:
            record = GradientRecord.from_json(line)
            if records:
                _check_follows(records[-1], record)
            records.append(record)
        except ValueError as error:
            refuse_line(path, number, where, "a record of the gradient", str(error))
    return records


def _check_follows(before: GradientRecord, record: GradientRecord) -> None:
    if record.step < before.step:
        raise ValueError(f"step {record.step} after step {before.step}")
    for name, shape in (("layers and states", _states), ("gates", _gates)):
        if shape(record) != shape(before):
            raise ValueError(f"other {name} than in the records before")


def _states(record: GradientRecord) -> list[bool]:
    return [layer.c is None for layer in record.layers]


def _gates(record: GradientRecord) -> list[list[str]]:
    return [[*layer.saturation, "", *layer.activity] for layer in record.layers]


def open_records(
    path: str | Path, records: Iterable[GradientRecord] = ()
) -> Growing[GradientRecord]:
    """Replace a file of records by those so far and return it, open for further records."""
    return Growing(path, records, _line, "open_records")


def _line(record: GradientRecord) -> bytes:
    return f"{record.to_json()}\n".encode()
