"""Classification of nine speakers by two vowels, with ragged sequences and a bidirectional network.

    python examples/japanese_vowels.py             # five seeds with the values that --search chose
    python examples/japanese_vowels.py --search    # cross-validation on the training part

The 270 training and 370 test utterances have 7 to 29 steps of 12 coefficients (Kudo, Toyama &
Shimbo 1999). They are part of aeon (`pip install --no-deps aeon`); nothing is downloaded. The
speaker is the target of each step, and the mean of the outputs over an utterance decides.
"""

import argparse
import itertools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import bptt_native as bn
from bptt_native.apps.tables import Scaling

CHOSEN = {"cell": "gru", "num_layers": 2, "recurrent_dropout": 0.0}  # the best of --search
GRID = {"cell": ("lstm", "gru"), "num_layers": (1, 2), "recurrent_dropout": (0.0, 0.3)}
EPOCHS = 60


def load(part: str) -> tuple[list[Any], Any]:
    """Return the utterances [T_i, 12] of "TRAIN" or "TEST", and their speakers from 0."""
    found = find_spec("aeon")
    if found is None or found.origin is None:
        raise SystemExit("japanese_vowels.py needs aeon: pip install --no-deps aeon")
    folder = Path(found.origin).parent / "datasets" / "data" / "JapaneseVowels"
    sequences, speakers = [], []
    for line in (folder / f"JapaneseVowels_{part}.ts").read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#@":
            *channels, speaker = line.split(":")
            sequences.append(np.array([[float(x) for x in c.split(",")] for c in channels]).T)
            speakers.append(int(speaker) - 1)
    return sequences, np.array(speakers)


def accuracy(
    train: tuple[list[Any], Any], test: tuple[list[Any], Any], seed: int, cell: str,
    num_layers: int, recurrent_dropout: float, epochs: int = EPOCHS,
) -> float:  # fmt: skip
    """Train a model and return its accuracy on the test utterances."""
    scaling = Scaling.of(np.concatenate(train[0]))
    x, x_test = ([scaling(s, np.float32) for s in part[0]] for part in (train, test))
    model = bn.Model(
        cell, input_size=12, hidden_size=64, num_layers=num_layers, output_size=9, lr=5e-3,
        bidirectional=True, dropout=0.5 if num_layers > 1 else 0.0,
        recurrent_dropout=recurrent_dropout, clip_norm=1.0,
        seed=seed,
    )  # fmt: skip
    every = [np.full(len(s), speaker) for s, speaker in zip(x, train[1], strict=True)]
    model.fit(x, every, epochs=epochs, batch_size=16, schedule="cosine", seed=seed)
    predicted = [out.mean(axis=0).argmax() for out in model.predict(x_test)]
    return float(np.mean(predicted == test[1]))


def search(repeats: int = 2, folds: int = 5) -> None:
    """Cross-validate all combinations of the grid on the training part."""
    x, y = load("TRAIN")
    seeds = np.random.SeedSequence(0).spawn(repeats)
    parts = []
    for seed in seeds:  # all folds have the same number of utterances of each speaker
        order = np.random.default_rng(seed).permutation(len(y))
        order = order[np.argsort(y[order], kind="stable")]
        parts += [order[k::folds] for k in range(folds)]
    lines = []
    for values in itertools.product(*GRID.values()):
        options = dict(zip(GRID, values, strict=True))
        shares = []
        for k, held_out in enumerate(parts):
            rest = np.setdiff1d(np.arange(len(y)), held_out)
            pair = [([x[i] for i in part], y[part]) for part in (rest, held_out)]
            shares.append(accuracy(*pair, seed=k, **options))
        lines.append((np.mean(shares), np.std(shares), options))
        print(".", end="", flush=True)
    print(
        f"\nmean and deviation of the accuracy over {repeats} x {folds} folds of the training part"
    )
    for mean, deviation, options in sorted(lines, key=lambda line: -line[0]):
        print(f"{mean:.4f}  {deviation:.4f}  {options}")


def main(seeds: int = 5) -> None:
    """Train with several seeds and print the test accuracy."""
    train, test = load("TRAIN"), load("TEST")
    shares = [accuracy(train, test, seed, **CHOSEN) for seed in range(seeds)]
    print(f"{len(train[1])} training utterances, {len(test[1])} test utterances; {CHOSEN}")
    print("test accuracy by seed:", *(f"{share:.4f}" for share in shares))
    print(f"mean {np.mean(shares):.4f}, deviation {np.std(shares):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--search", action="store_true", help="search for the best values")
    search() if parser.parse_args().search else main()
