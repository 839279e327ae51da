"""Resumed runs: their data and options must be those that they began with."""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.training.history import read_history
from helpers.fitting import bits
from helpers.program import caller, refused

FORECAST = ["--csv", "wave.csv", "--target", "v", "--features", "v,w", "--test-from", "40"]
CLASSIFY = ["--csv", "signs.csv", "--sequence", "id", "--label", "sign"]
TESTED = [*CLASSIFY, "--test-csv", "tested.csv"]
SMALL = ["--cell", "gru", "--hidden", 4, "--epochs", 6, "--schedule", "constant"]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs the program in a folder with tables."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [["v", "w"]] + [[f"{np.sin(t / 3) + 3:.3f}", str(t % 5)] for t in range(50)]
    write("wave.csv", rows)
    for name, n in (("signs.csv", 20), ("tested.csv", 6)):
        write(name, [["id", "sign", "a", "b"], *(
            [f"s{k}", "plus" if k % 2 else "minus", f"{k % 2 + rng.normal():.3f}", str(t)]
            for k in range(n) for t in range(3)
        )])  # fmt: skip
    return caller(capsys)


def write(name, rows):
    with Path(name).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def change(name, how):
    """Write a table again, as a function of its rows (without the names) has it."""
    with Path(name).open(newline="") as file:
        names, *rows = csv.reader(file)
    write(name, [names, *how(rows)])


def scaled(column, factor, shift, rows=slice(None)):
    def how(table):
        for row in table[rows]:
            row[column] = repr(float(row[column]) * factor + shift)
        return table

    return how


def renamed(column, names):
    return lambda rows: [[names.get(c, c) if k == column else c for k, c in enumerate(row)]
                         for row in rows]  # fmt: skip


# ------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("what", "table", "how", "expected"),
    [
        (FORECAST, "wave.csv", scaled(0, 2, 0), "another training part in 'wave.csv'"),
        (FORECAST, "wave.csv", scaled(0, 1, 8), "another training part in 'wave.csv'"),
        (FORECAST, "wave.csv", scaled(1, 4, 0), "another training part in 'wave.csv'"),
        (FORECAST, "wave.csv", scaled(0, 1, 1, slice(45, 46)), "another test part of 11"),
        (FORECAST, "wave.csv", lambda rows: rows[:-1], "test part of 11, got another test part of"),
        (CLASSIFY, "signs.csv", scaled(2, 2, 0), "another training part in 'signs.csv'"),
        (CLASSIFY, "signs.csv", renamed(1, {"plus": "yes", "minus": "no"}), "another training"),
        (CLASSIFY, "signs.csv", renamed(0, {"s3": "t3"}), "in 'signs.csv'"),
        (TESTED, "tested.csv", lambda rows: rows[:-3], "of 6, got another test part of 5"),
        (TESTED, "tested.csv", scaled(2, 2, 0), "another test part of 6"),
        (TESTED, "tested.csv", renamed(0, {"s3": "t3"}), "another test part of 6"),
    ],
)  # fmt: skip
def test_another_table_is_refused(run, what, table, how, expected):
    assert run("train", *what, *SMALL, "--out", "run")[0] == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    change(table, how)
    assert refused(run("train", *what, "--resume", "--out", "run"), expected)
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


def test_names_of_columns_are_data_too(run):
    assert run("train", *CLASSIFY, *SMALL, "--out", "run")[0] == 0
    text = Path("signs.csv").read_text()
    Path("signs.csv").write_text(text.replace("id,sign,a,b", "id,sign,c,b"))
    assert refused(run("train", *CLASSIFY, "--resume", "--out", "run"), "another training part")


@pytest.mark.parametrize(("what", "table"), [(FORECAST, "wave.csv"), (TESTED, "tested.csv")])
def test_a_longer_test_part_is_said(run, what, table):
    assert run("train", *what, *SMALL, "--out", "run")[0] == 0
    last, said = {
        "wave.csv": ([["3", "1"]], "grew from 11 to 12 rows"),
        "tested.csv": ([["new", "plus", "1", "0"]], "grew from 6 to 7 sequences"),
    }[table]
    change(table, lambda rows: rows + last)
    code, out, err = run("train", *what, "--resume", "--out", "run")
    assert code == 0
    assert f"bptt-native train: warning: the test part {said}\n" in err
    assert "to test" in out


def test_the_same_numbers_written_otherwise_are_the_same(run):
    assert run("train", *FORECAST, *SMALL, "--out", "run")[0] == 0
    change("wave.csv", lambda rows: [[f" {row[0]}00", row[1]] for row in rows])
    code, _, err = run("train", *FORECAST, "--resume", "--out", "run")
    assert (code, "warning" in err) == (0, False)


def test_a_run_from_before_the_hash_goes_on_and_that_is_said(run):
    assert run("train", *FORECAST, *SMALL, "--out", "run")[0] == 0
    model = bn.load("run/model.safetensors")
    task = json.loads(model.metadata["task"])
    del task["data"]
    model.metadata["task"] = json.dumps(task)
    model.save("run/model.safetensors")
    code, _, err = run("train", *FORECAST, "--resume", "--out", "run")
    assert code == 0
    assert "warning: this run is from an older version, which stored no hash" in err
    change("wave.csv", lambda rows: [["9", "9"], *rows[1:]])
    assert refused(run("train", *FORECAST, "--resume", "--out", "run"), "the data of the run")


# ------------------------------------------------------------------- the interval of measurements

PLATEAU = ["--valid-fraction", 0.3, "--schedule", "plateau", "--decay-patience", 0, "--seq-len", 4,
           "--lr", 0.5, "--decay", 0.5]  # fmt: skip


@pytest.mark.parametrize("how", [PLATEAU, [*PLATEAU, "--patience", 20]], ids=["plateau", "early"])
def test_how_often_a_run_measures_is_kept(run, how):
    """It decides the learning rates: going on without the option gives the same bits."""
    small = ["--cell", "gru", "--hidden", 4, "--eval-every", 2, *how]
    assert run("train", *FORECAST, *small, "--epochs", 6, "--out", "whole")[0] == 0
    assert run("train", *FORECAST, *small, "--epochs", 4, "--out", "parts")[0] == 0
    again = ["train", *FORECAST, "--resume", "--epochs", 6, "--out", "parts"]
    for other in (1, 3):
        assert refused(run(*again, "--eval-every", other), "'--eval-every': expected 2, the steps")
    assert run(*again)[0] == 0
    assert bits(bn.load("whole/model.safetensors")) == bits(bn.load("parts/model.safetensors"))
    measured = [
        [(r.step, r.valid_loss, r.lr) for r in read_history(f"{out}/history.csv")]
        for out in ("whole", "parts")
    ]
    assert measured[0] == measured[1]
    assert len({lr for _, _, lr in measured[0]}) > 1
    assert run("train", *FORECAST, "--resume", "--out", "parts", "--eval-every", 2)[0] == 0


def test_where_it_decides_nothing_it_may_change(run):
    Path("text.txt").write_text("the cat sat on the mat.\n" * 30)
    text = ["text.txt", "--hidden", 4, "--seq-len", 5, "--batch", 4, "--steps", 6]
    assert run("train", *text, "--eval-every", 2, "--out", "run", "--schedule", "constant")[0] == 0
    again = ["train", "text.txt", "--resume", "--steps", 12, "--out", "run"]
    assert run(*again, "--eval-every", 3)[0] == 0
    rows = read_history("run/history.csv")
    assert [r.step for r in rows if r.valid_loss is not None] == [2, 4, 6, 9, 12]


# ------------------------------------------------------------ runs with the old meaning of "last"


def test_a_classifier_of_two_directions_from_before_works_as_it_did(run):
    """Its file says "last" and is loaded with the meaning "last_row", which it keeps."""
    assert run("train", *CLASSIFY, *SMALL, "--bidirectional", "--out", "run")[0] == 0
    made = bn.load("run/model.safetensors")
    old = bn.Model(**{**made.config, "targets": "last_row"})
    old.load_state_dict(made.state_dict())
    old.metadata.update(made.metadata)
    old.tensors.update(made.tensors)
    old.save("run/model.safetensors")
    for command in (
        ("predict", "run", "--csv", "signs.csv"), ("report", "run"), ("info", "run"),
        ("train", *CLASSIFY, "--resume", "--epochs", 7, "--out", "run"),
    ):  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            code, _, err = run(*command)
        assert code == 0, err
        assert err.count("this bidirectional model reads both directions") == 1
    with pytest.warns(UserWarning, match="reads both directions at the last"):
        again = bn.load("run/model.safetensors")
    assert again.config["targets"] == "last_row"
    assert len(read_history("run/history.csv")) == 7
