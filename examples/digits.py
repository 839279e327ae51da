"""Classification of handwritten digits, read row by row: eight steps of eight pixels.

    python examples/digits.py             # five seeds with the values that --search chose
    python examples/digits.py --search    # cross-validation on the training part

The 1797 images are part of scikit-learn (`pip install 'bptt_native[examples]'`); nothing is
downloaded. A stratified quarter of them is the test part.
"""

import argparse
import itertools
from typing import Any

import numpy as np

import bptt_native as bn

CHOSEN = {"cell": "gru", "hidden": 128, "lr": 1e-2}  # the best of --search
GRID = {"cell": ("lstm", "gru"), "hidden": (64, 128), "lr": (2e-3, 5e-3, 1e-2)}
EPOCHS = 60


def load() -> tuple[Any, ...]:
    """Return training rows [8, N, 8], test rows, and their classes."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise SystemExit("digits.py needs scikit-learn: pip install scikit-learn") from None
    data = load_digits()
    rows = (data.images / 16).astype(np.float32)
    a, b, c, d = train_test_split(rows, data.target, test_size=0.25, random_state=0,
                                  stratify=data.target)  # fmt: skip
    return a.swapaxes(0, 1), b.swapaxes(0, 1), c, d


def accuracy(
    train: tuple[Any, Any], test: tuple[Any, Any], seed: int, cell: str, hidden: int, lr: float,
    epochs: int = EPOCHS,
) -> float:  # fmt: skip
    """Train a model and return its accuracy."""
    model = bn.Model(cell, input_size=8, hidden_size=hidden, output_size=10, targets="last",
                     lr=lr, clip_norm=1.0, seed=seed)  # fmt: skip
    model.fit(*train, epochs=epochs, schedule="cosine", seed=seed)
    return model.evaluate(*test).accuracy or 0.0


def search(folds: int = 5) -> None:
    """Cross-validate all combinations of the grid on the training part."""
    from sklearn.model_selection import StratifiedKFold

    x, _, y, _ = load()
    parts = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(y, y))
    lines = []
    for values in itertools.product(*GRID.values()):
        options = dict(zip(GRID, values, strict=True))
        shares = [
            accuracy((x[:, a], y[a]), (x[:, b], y[b]), seed, **options)
            for seed, (a, b) in enumerate(parts)
        ]
        lines.append((np.mean(shares), np.std(shares), options))
    print(f"mean and deviation of the accuracy over {folds} folds of the training part")
    for mean, deviation, options in sorted(lines, key=lambda line: -line[0]):
        print(f"{mean:.4f}  {deviation:.4f}  {options}")


def main(seeds: int = 5) -> None:
    """Train with several seeds and print the test accuracy."""
    x, x_test, y, y_test = load()
    shares = [accuracy((x, y), (x_test, y_test), seed, **CHOSEN) for seed in range(seeds)]
    print(f"{len(y)} training images, {len(y_test)} test images; {CHOSEN}, {EPOCHS} epochs")
    print("test accuracy by seed:", *(f"{share:.4f}" for share in shares))
    print(f"mean {np.mean(shares):.4f}, deviation {np.std(shares):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--search", action="store_true", help="search for the best values")
    search() if parser.parse_args().search else main()
