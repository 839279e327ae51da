"""Forecast of yearly sunspot numbers by a recurrent network and by a linear autoregression.

    python examples/sunspots.py             # ten seeds with the values that --search chose
    python examples/sunspots.py --search    # the search, on the years before 1921

The numbers since 1700 are part of statsmodels (`pip install 'bptt_native[examples]'`); nothing is
downloaded. The years to 1920 are the training part and 1921-1979 the test part, as in Weigend,
Huberman & Rumelhart (1990).
"""

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np

import bptt_native as bn
from bptt_native.apps.forecast import Forecast, autoregression, persistence

CHOSEN = {"cell": "gru", "hidden": 32, "epochs": 100}  # the best of --search
GRID = {"cell": ("rnn", "gru", "lstm"), "hidden": (8, 16, 32, 64), "epochs": (50, 100, 200)}
FOLDS = ((1760, 1800), (1800, 1840), (1840, 1880), (1880, 1920))  # ends of training and test
ORDER = 9


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return the years and their sunspot numbers."""
    try:
        import statsmodels
    except ImportError:
        raise SystemExit("sunspots.py needs statsmodels: pip install statsmodels") from None
    path = Path(statsmodels.__file__).parent / "datasets" / "sunspots" / "sunspots.csv"
    with path.open(newline="") as file:
        rows = np.array([[float(x) for x in row] for row in list(csv.reader(file))[1:]])
    return rows[:, 0], rows[:, 1]


def series(last_known: int, last: int) -> Forecast:
    """Return the numbers up to the year `last`, with a test part after `last_known`."""
    years, numbers = load()
    numbers = numbers[years <= last]
    return Forecast.of(numbers[:, None], numbers, int((years <= last_known).sum()))


def test_error(data: Forecast, seed: int, cell: str, hidden: int, epochs: int) -> float:
    """Train a model and return its mean squared error on the test part."""
    model = bn.Model(cell, input_size=1, hidden_size=hidden, output_size=1, loss="mse",
                     lr=1e-2, clip_norm=1.0, seed=seed)  # fmt: skip
    model.fit(*data.training("float32"), epochs=epochs, schedule="cosine", seed=seed)
    return data.error(data.predict(model))


def simple(data: Forecast) -> tuple[float, float]:
    """Return the errors of persistence and of the linear autoregression."""
    linear = autoregression(data.target, ORDER, 1, data.first_test)
    return data.error(persistence(data.target, 1, data.first_test)), data.error(linear)


def search(seeds: int = 5) -> None:
    """Compare all combinations of the grid on the forty years after each training part."""
    folds = [series(*years) for years in FOLDS]
    unit = np.array([simple(fold)[0] for fold in folds])
    print("mean over the folds of the squared error, persistence = 1; then the errors by fold")
    linear = np.array([simple(fold)[1] for fold in folds])
    lines = [(float((linear / unit).mean()), f"linear AR({ORDER})", linear)]
    for values in itertools.product(*GRID.values()):
        options = dict(zip(GRID, values, strict=True))
        errors = [[test_error(f, seed, **options) for seed in range(seeds)] for f in folds]
        by_fold = np.mean(errors, axis=1)
        lines.append((float((by_fold / unit).mean()), str(options), by_fold))
    for mean, name, by_fold in sorted(lines, key=lambda line: line[0]):
        print(f"{mean:.3f}  {name:50} ", *(f"{error:6.0f}" for error in by_fold))


def main(seeds: int = 10) -> None:
    """Train with several seeds, and print the errors and those of the simple rules."""
    data = series(1920, 1979)
    errors = [test_error(data, seed, **CHOSEN) for seed in range(seeds)]
    still, linear = simple(data)
    print(f"{data.first_test} training years, {len(data.target) - data.first_test} test years")
    print(f"mean squared error 1921-1979, {CHOSEN}:")
    print(f"  network        {np.mean(errors):6.1f}  (deviation {np.std(errors):.1f}, "
          f"{min(errors):.1f} to {max(errors):.1f} over {seeds} seeds)")  # fmt: skip
    print(f"  linear AR({ORDER})   {linear:6.1f}\n  persistence    {still:6.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--search", action="store_true", help="search for the best values")
    search() if parser.parse_args().search else main()
