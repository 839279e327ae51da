"""The forecast of a time series: data, options, training, results and simple baselines.

At each row the model reads the features of this row and forecasts the target ``horizon`` rows
later. The rows from ``first_test`` on are the test part. The model reads the rows before them when
it forecasts, but neither its weights nor the scaling depend on the test part.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..arguments.values import choice, integer, message
from ..models.model import Model
from ..options.losses import LOSSES
from ..training.evaluation import outputs
from ..training.fit import FitTrainer
from ..training.run_files import FORECAST_FILE
from .run_options import SequenceOptions
from .tables import Content, Floats, Scaling, Table, as_number, sha256_of, write_table

FORECAST_LOSSES = [name for name, it in LOSSES.items() if not (it.classes or it.unit_interval)]
"""The losses of values of any size."""


def autoregression(series: Floats, order: int, horizon: int, first_test: int) -> Floats:
    """Forecast by a linear autoregression, fitted to the training part by least squares.

    The forecast of ``y[t + horizon]`` is a constant plus a weighted sum of
    ``y[t], ..., y[t - order + 1]``.

    Parameters
    ----------
    series : float64 [rows]
        The series y.
    order : int
        The number of rows that a forecast depends on.
    horizon : int
        The number of rows to look ahead.
    first_test : int
        The first row of the test part, counted from 0.

    Returns
    -------
    float64 [rows - first_test]
        Forecasts of the test rows.

    Raises
    ------
    ValueError
        If the training part has fewer rows than the regression has coefficients.
    """
    n, first = len(series), order + horizon - 1  # the first row that has all its lags
    if first_test - first <= order:
        expected = f"at least {2 * order + horizon} training rows for order {order}"
        raise ValueError(message("autoregression", "order", expected, str(first_test)))
    rows = np.arange(first, n)
    lags = [series[rows - horizon - k] for k in range(order)]
    inputs = np.stack([np.ones(len(rows)), *lags], axis=1)
    known = rows < first_test
    weights = np.linalg.lstsq(inputs[known], series[rows[known]])[0]
    result: Floats = inputs[~known] @ weights
    return result


def persistence(series: Floats, horizon: int, first_test: int) -> Floats:
    """Forecast the test rows by ``y[t + horizon] = y[t]``: nothing changes."""
    return series[first_test - horizon : len(series) - horizon]


@dataclass(frozen=True)
class Forecast:
    """A series, divided into training and test part, and its scaling.

    Attributes
    ----------
    features : float64 [rows, F]
        The features that the model reads.
    target : float64 [rows]
        The series to forecast.
    first_test : int
        The first row of the test part, counted from 0.
    horizon : int
        The number of rows to look ahead.
    scaling, target_scaling : Scaling
        The scaling of features and target, computed from the training part.
    """

    features: Floats
    target: Floats
    first_test: int
    horizon: int
    scaling: Scaling
    target_scaling: Scaling

    @classmethod
    def of(cls, features: Floats, target: Floats, first_test: int, horizon: int = 1) -> Self:
        """Return a divided series, with the scaling of its training part.

        Raises
        ------
        TypeError, ValueError
            If the horizon is not positive, or a part has too few rows.
        """
        integer(horizon, "Forecast", "horizon", 1)
        if not horizon + 2 <= first_test < len(target):
            expected = f"at least {horizon + 2} training rows for horizon {horizon}, and a test row"
            got = f"{first_test} and {len(target) - first_test}"
            raise ValueError(message("Forecast", "first_test", expected, got))
        known = features[:first_test], target[:first_test, None]
        scaling, target_scaling = (Scaling.of(part) for part in known)
        return cls(features, target, first_test, horizon, scaling, target_scaling)

    def pairs(self, first: int, end: int, dtype: str) -> tuple[Any, Any]:
        """Return standardised inputs, and the targets of rows ``first`` to ``end - 1``.

        Returns
        -------
        x : ndarray [end - first, F]
            The features, ``horizon`` rows earlier.
        y : ndarray [end - first, 1]
            The targets.
        """
        x = self.scaling(self.features[first - self.horizon : end - self.horizon], dtype)
        return x, self.target_scaling(self.target[first:end, None], dtype)

    def training(self, dtype: str, held_out: int = 0) -> tuple[Any, Any]:
        """Return inputs and targets of the training part without its last ``held_out`` rows."""
        return self.pairs(self.horizon, self.first_test - held_out, dtype)

    def validation(self, dtype: str, held_out: int) -> tuple[Any, Any]:
        """Return inputs and targets of the last ``held_out`` rows of the training part."""
        return self.pairs(self.first_test - held_out, self.first_test, dtype)

    def predict(self, model: Model) -> Floats:
        """Forecast the test rows. The model reads the series from its beginning."""
        n, dtype = len(self.target), str(model.config["dtype"])
        said: Any = outputs(model, self.pairs(self.horizon, n, dtype)[0])
        return self.target_scaling.back(said[self.first_test - self.horizon :])[:, 0]

    def error(self, forecasts: npt.ArrayLike) -> float:
        """Return the mean squared error of forecasts of the test rows, in the target's unit."""
        return float(np.mean((np.asarray(forecasts) - self.target[self.first_test :]) ** 2))


def first_test_row(table: Table, given: str | None) -> int:
    """Return the first row of the test part.

    Parameters
    ----------
    table : Table
        The table.
    given : str, optional
        The number of the row, counted from 1; or ``COLUMN=VALUE`` for the first row whose value in
        this column is at least VALUE. Numbers are compared as numbers, other values, such as ISO
        dates, as texts. By default the test part is the last fifth of the rows.

    Returns
    -------
    int
        The row, counted from 0.

    Raises
    ------
    ValueError
        If there is no such column or row.
    """
    if given is None:
        return len(table.rows) - len(table.rows) // 5
    name, equals, value = given.partition("=")
    if not equals:
        row = as_number(given)
        if row is None or row != int(row) or not 1 <= row <= len(table.rows):
            expected = f"a row from 1 to {len(table.rows)}, or COLUMN=VALUE"
            raise ValueError(message(table.path, "test_from", expected, repr(given)))
        return int(row) - 1
    limit = as_number(value)
    for i, text in enumerate(table.texts(name, "test_from")):
        number = as_number(text)
        if (number >= limit) if number is not None and limit is not None else text >= value:
            return i
    expected = f"a value that column {name!r} reaches"
    raise ValueError(message(table.path, "test_from", expected, repr(value)))


@dataclass(frozen=True)
class ForecastOptions(SequenceOptions):
    """Options of a run that trains a forecaster of a column of a table.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    target: str = ""
    features: str | None = None
    horizon: int = 1
    test_from: str | None = None
    ar: int = 9
    loss: str = "mse"
    huber_delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_integers(horizon=1, ar=1)
        choice(self.loss, dict.fromkeys(FORECAST_LOSSES), type(self).__name__, "loss")
        if not self.target:
            self.refuse("target", "the name of a column", self.target)


class ForecastTask:
    """The task of forecasting a column of a table.

    Parameters
    ----------
    table : Table
        The table of the series.
    options : ForecastOptions
        The options of the run.

    Raises
    ------
    ValueError
        If a column is missing or holds no numbers, or a part has too few rows.
    """

    def __init__(self, table: Table, options: ForecastOptions) -> None:
        self.options = options
        self.features = features_of(options)
        target = table.numbers([options.target], "target")[:, 0]
        first = first_test_row(table, options.test_from)
        features = table.numbers(self.features, "features")
        self.series = Forecast.of(features, target, first, options.horizon)
        known = slice(0, first)
        self.content = Content(
            sha256_of([*self.features, options.target], features[known], target[known]),
            len(target) - first,
            lambda n: sha256_of(features[first : first + n], target[first : first + n]),
            "rows",
        )
        self._held_out = round(options.valid_fraction * first)
        simple = persistence(target, options.horizon, first)
        linear = autoregression(target, options.ar, options.horizon, first)
        self.baselines = {"persistence": self.series.error(simple),
                          f"linear AR({options.ar})": self.series.error(linear)}  # fmt: skip
        self._source = table.source

    def start(self) -> FitTrainer:
        """Return the trainer of a new model, whose file will hold the task."""
        options, series = self.options, self.series
        model = options.model(input_size=len(self.features), output_size=1)
        model.metadata["task"] = json.dumps({
            "task": "forecast", "options": asdict(options), "scaling": asdict(series.scaling),
            "target_scaling": asdict(series.target_scaling), "data": self.content.to_json(),
        })  # fmt: skip
        x, y = series.training(options.dtype, self._held_out)
        return self._with_origin(options.trainer(model, x, y, self.validation))

    def resume(self, model: Model, path: Path) -> FitTrainer:
        """Return a trainer that continues a run, whose model was loaded from `path`."""
        x, y = self.series.training(self.options.dtype, self._held_out)
        return self._with_origin(FitTrainer.go_on(model, path, x, y, validation=self.validation))

    def _with_origin(self, trainer: FitTrainer) -> FitTrainer:
        """Return the trainer, which records the table and the baselines."""
        origin, first, tested = trainer.provenance, self.series.first_test, self.content.tested
        origin.data, origin.baselines, origin.tested = [self._source], self.baselines, tested
        held_out = f", of which the last {self._held_out:,} held out" * bool(self._held_out)
        origin.size = f"{first:,} rows to train on{held_out}; {tested:,} to test"
        return trainer

    @property
    def validation(self) -> tuple[Any, Any] | None:
        """Inputs and targets of the rows held out of the training part, or None."""
        if not self._held_out:
            return None
        return self.series.validation(self.options.dtype, self._held_out)

    def report(self, model: Model, out: Path) -> list[str]:
        """Forecast the test part, write ``forecast.csv`` and return lines of text about it."""
        series, options = self.series, self.options
        said = series.predict(model)
        rows = range(series.first_test, len(series.target))
        actual = series.target[series.first_test :].tolist()
        columns = [[row + 1 for row in rows], actual, said.tolist()]
        write_table(out / FORECAST_FILE, ("row", options.target, "forecast"), columns)
        errors = {
            f"{options.cell} network": series.error(said),
            **self.baselines,
        }
        lines = [f"{series.first_test} rows to train on, {len(rows)} to test; {options.horizon} "
                 f"ahead; mean squared error on the test rows:"]  # fmt: skip
        lines += [f"  {name:16} {error:.6g}" for name, error in errors.items()]
        return [*lines, str(out / FORECAST_FILE)]


def features_of(options: ForecastOptions) -> list[str]:
    """Return the names of the columns of features."""
    return options.features.split(",") if options.features else [options.target]


def apply_forecast(model: Model, task: dict[str, Any], table: Table) -> tuple[list[str], list[Any]]:
    """Forecast from each row of a table, including the last one.

    Parameters
    ----------
    model : Model
        A forecaster.
    task : dict
        The task of its model file.
    table : Table
        A table with the columns of the features.

    Returns
    -------
    names : list of str
        The names of the columns.
    columns : list of list
        The number of each row that is forecast, counted from 1, and the forecast.
    """
    options = ForecastOptions(**task["options"])
    table.need(features_of(options))
    features = table.numbers(features_of(options), "features")
    said: Any = outputs(model, Scaling(**task["scaling"])(features, options.dtype))
    forecasts = Scaling(**task["target_scaling"]).back(said)[:, 0].tolist()
    rows = [row + 1 + options.horizon for row in range(len(forecasts))]
    return ["row", options.target], [rows, forecasts]
