"""The command ``bptt-native sample``, which prints text that a trained model generates."""

import argparse
from typing import Any

from ..apps.sampling import load_text_model, sample
from ..nn.stream import WEIGHTS
from ..training.run_files import model_file_of


def add_sample(commands: Any) -> None:
    """Add the command ``sample`` to a parser."""
    command = commands.add_parser(
        "sample", help="generate text with a trained model",
        description="Print text that a model of `train` generates, character by character. "
        "Defaults are in parentheses.",
    )  # fmt: skip
    command.set_defaults(run=run_sample, parser=command)
    command.add_argument("model", metavar="MODEL", help="model file of `train`, or its folder")
    command.add_argument(
        "--prime", metavar="TEXT",
        help="text to begin with (a line end, or else a character of the model)",
    )  # fmt: skip
    command.add_argument(
        "--length", type=int, metavar="N", default=500,
        help="number of characters to generate (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--temperature", type=float, metavar="X", default=0.8,
        help="divisor of the logits: near 0 the likeliest characters only (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=int, metavar="N", default=0, help="seed of the text (%(default)s)"
    )
    command.add_argument(
        "--weights", choices=WEIGHTS, default="model",
        help="weights that each step reads: those of the model, or rounded to fewer bits, which "
        "makes large models faster (%(default)s)",
    )  # fmt: skip
    command.add_argument("--threads", type=int, metavar="N", help="number of worker threads")


def run_sample(args: argparse.Namespace) -> int:
    """Print the text that a model generates."""
    model, vocabulary, _ = load_text_model(model_file_of(args.model))
    known = vocabulary.characters
    prime = (
        next(c for c in ("\n", " ", known[0]) if c in known) if args.prime is None else args.prime
    )
    characters = sample(
        model, vocabulary, prime, args.length, args.temperature, args.seed, args.weights
    )
    first = next(characters, "")
    print(prime, first, sep="", end="")
    for character in characters:
        print(character, end="")
    print()
    return 0
