"""The messages of the program: each names the flag or file that was typed, as it was typed."""

import csv
import math
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.cli.main import build_parser, main
from bptt_native.cli.words import POSITIONAL, flags_of, with_flags
from helpers.paths import TESTS

TEXT = "the cat sat on the mat and the dog sat on the log.\n" * 40
SHORT = {
    "TEXT": "train text.txt --hidden 8 --seq-len 10 --batch 4 --steps 4 --out x --overwrite",
    "SERIES": "train --csv wave.csv --target v --hidden 4 --epochs 2 --out x --overwrite",
    "SIGNS": "train --csv signs.csv --sequence id --label sign --hidden 4 --epochs 2 --out x "
    "--overwrite",
}
RUNS = ("train text.txt --hidden 8 --seq-len 10 --batch 4 --steps 4",
        "train --csv wave.csv --target v --hidden 4 --epochs 2",
        "train --csv signs.csv --sequence id --label sign --hidden 4 --epochs 2")  # fmt: skip

# Pairs of a command line and the message about it.
LINES = (TESTS / "data" / "cli_messages.txt").read_text().splitlines()
TABLE = list(zip(LINES[::2], LINES[1::2], strict=True))

# Flags that no value makes wrong, with any other flags.
NEVER_WRONG = {"--help", "--profile", "--bias", "--decay-biases", "--variational",
               "--learn-initial-state"}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder of good and bad files, with a run of each task."""
    folder = tmp_path_factory.mktemp("messages")
    before = Path.cwd()
    os.chdir(folder)
    random = np.random.default_rng(0)
    wave = [[i, math.sin(i / 5), i % 7] for i in range(200)]
    signs = [
        [f"s{k}", *random.random(2).round(3), "plus" if k % 3 else "minus"]
        for k in range(20)
        for _ in range(4)
    ]
    for name, names, rows in (
        ("wave.csv", "t v w", wave), ("signs.csv", "id a b sign", signs),
        ("bad.csv", "a b", [[1, 2], [3]]), ("dup.csv", "a a", [[1, 2]]), ("norows.csv", "a b", []),
    ):  # fmt: skip
        with Path(name).open("w", newline="") as file:
            csv.writer(file).writerows([names.split(), *rows])
    for name, content in (
        ("text.txt", TEXT.encode()), ("empty.txt", b""), ("latin.txt", b"caf\xe9 " * 300),
        ("locked.txt", b"x"), ("junk", b"junk" * 100), ("quote.csv", b'a,b\n1,"x\0\n'),
    ):  # fmt: skip
        Path(name).write_bytes(content)
    Path("folder").mkdir()
    bn.Model("rnn", input_size=1, hidden_size=1, output_size=1).save("m")
    for line in RUNS:
        assert main(shlex.split(line)) == 0
    yield folder
    os.chdir(before)


@pytest.mark.parametrize(("line", "message"), TABLE, ids=[line for line, _ in TABLE])
def test_messages(place, capsys, line, message) -> None:
    for name, text in SHORT.items():
        line = re.sub(f"^{name}", text, line)
    words = shlex.split(line)
    try:
        code = main(words)
    except SystemExit as end:  # of the argument parser
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    found = re.fullmatch(r"bptt-native( \w+)?: error: (.*)\n", err)
    assert found is not None, err
    assert found[2] == message.strip()
    for word in words:  # a file is named once, and no argument by its name in Python
        if Path(word).suffix in (".txt", ".csv"):
            assert err.count(word) <= 1
    assert not re.search(r"argument '(?!--|[A-Z]+')", err)
    assert "_" not in re.sub("'[^']*'|bptt_native", "", err)  # nor any other name


def test_the_table_has_every_flag() -> None:
    parser = build_parser()
    commands = next(a.choices for a in parser._actions if a.dest == "command")
    messages = {" ".join(pair) for pair in TABLE}
    for name, command in commands.items():
        flags = {f for f in flags_of(command) if not f.startswith("--no-")} - NEVER_WRONG
        own = [m for m in messages if m.split()[0] in (name, *(SHORT if name == "train" else ()))]
        missing = {f for f in flags if not any(re.search(rf"{f}\b", m) for m in own)}
        missing -= {"--threads"} if name != "sample" else set()
        assert not missing, (name, missing)
    assert all(any(f"'{name}'" in message for _, message in TABLE) for name in POSITIONAL.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("try init='orthogonal' or omega above 0", "try --init orthogonal or omega above 0"),
        (
            "try a larger forget_bias or Init('chrono', time_scale=longest dependency)",
            "try a larger --forget-bias or --init chrono with --time-scale (longest dependency)",
        ),
        ("an LSTM or GRU (cell='lstm')", "an LSTM or GRU (--cell lstm)"),
        ("expected None with coupled=True, got 1",
         "expected no such option with --coupled, got 1"),
        ("expected True with reset_after=False", "expected True with --no-reset-after"),
        ("unless the optimizer is 'sgd'", "unless --optimizer is 'sgd'"),
        ("unknown_name=3 stays", "unknown_name=3 stays"),
    ],
)  # fmt: skip
def test_settings_become_flags(text: str, expected: str) -> None:
    train = next(a.choices for a in build_parser()._actions if a.dest == "command")["train"]
    assert with_flags(text, train) == expected
