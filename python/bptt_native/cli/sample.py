"""``bptt-native sample``: text that a trained model writes."""

import argparse
from typing import Any

from ..apps.sampling import load_text_model, sample
from ..training.run_files import model_file_of


def add_sample(commands: Any) -> None:
    """Add the command ``sample``."""
    command = commands.add_parser("sample", help="let a trained model write")
    command.set_defaults(run=run_sample)
    command.add_argument("model", metavar="MODEL", help="a model file of `train`, or its folder")
    command.add_argument("--prime", default="\n", help="what it reads first (a line end)")
    command.add_argument("--length", type=int, default=500, help="characters (%(default)s)")
    command.add_argument("--temperature", type=float, default=0.8, help="(%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    command.add_argument("--threads", type=int, help="worker threads")


def run_sample(args: argparse.Namespace) -> int:
    """Write what a model writes."""
    model, vocabulary, _ = load_text_model(model_file_of(args.model))
    characters = sample(model, vocabulary, args.prime, args.length, args.temperature, args.seed)
    first = next(characters, "")
    print(args.prime, first, sep="", end="")
    for character in characters:
        print(character, end="")
    print()
    return 0
