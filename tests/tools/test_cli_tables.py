"""The commands ``train --csv`` and ``predict``: their output, files and refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.training.history import read_history
from bptt_native.training.schedules import schedule_of
from helpers.fitting import bits
from helpers.program import caller, refused

FORECAST = ["--csv", "wave.csv", "--target", "v", "--test-from", "t=150"]
CLASSIFY = ["--csv", "signs.csv", "--sequence", "id", "--label", "sign"]
SMALL = ["--cell", "gru", "--hidden", 8, "--epochs", 20]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs the program in a folder with two tables."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with Path("wave.csv").open("w") as file:
        file.write("t,v,w\n")
        for t in range(200):
            file.write(f"{t},{100 + 20 * np.sin(t / 3) + rng.normal():.3f},{t % 5}\n")
    with Path("signs.csv").open("w") as file:
        file.write("id,sign,a,b\n")
        for k in range(60):
            sign = rng.choice([-1, 1])
            for _ in range(6):
                name = "plus" if sign > 0 else "minus"
                file.write(f"s{k},{name},{sign + rng.normal():.3f},{rng.normal():.3f}\n")
    return caller(capsys)


def read(path):
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def test_forecast(run):
    code, out, err = run("train", *FORECAST, *SMALL, "--epochs", 300, "--ar", 3)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("300 steps, ")
    assert lines[1].startswith("150 rows to train on, 50 to test; 1 ahead; mean squared error")
    network, still, linear = (float(line.split()[-1]) for line in lines[2:5])
    assert [line.split()[0] for line in lines[2:5]] == ["gru", "persistence", "linear"]
    assert network < 0.5 * still
    assert lines[5:] == ["runs/wave/forecast.csv", "runs/wave/model.safetensors",
                         "runs/wave/history.csv"]  # fmt: skip
    rows = read("runs/wave/forecast.csv")
    assert rows[0] == ["row", "v", "forecast"]
    assert [int(row[0]) for row in rows[1:]] == list(range(151, 201))
    actual, said = np.array([[float(x) for x in row[1:]] for row in rows[1:]]).T
    wave = np.array([float(row[1]) for row in read("wave.csv")[1:]])
    np.testing.assert_array_equal(actual, wave[150:])
    assert ((actual - said) ** 2).mean() == pytest.approx(network, rel=1e-4)
    assert ((wave[150:] - wave[149:-1]) ** 2).mean() == pytest.approx(still, rel=1e-4)
    lags = np.stack([np.ones(197), wave[2:-1], wave[1:-2], wave[:-3]], axis=1)
    weights = np.linalg.lstsq(lags[:147], wave[3:150])[0]
    assert ((lags[147:] @ weights - wave[150:]) ** 2).mean() == pytest.approx(linear, rel=1e-4)

    task = json.loads(bn.load("runs/wave/model.safetensors").metadata["task"])
    assert task["scaling"]["mean"] == [wave[:150].mean()]  # of the training part only
    assert task["scaling"]["std"] == [wave[:150].std()]

    code, out, _ = run("predict", "runs/wave", "--csv", "wave.csv")
    said_again = list(csv.reader(out.splitlines()))
    assert code == 0
    assert said_again[0] == ["row", "v"]
    assert [int(row[0]) for row in said_again[1:]] == list(range(2, 202))  # one row after the end
    np.testing.assert_allclose([float(r[1]) for r in said_again[150:-1]], said, rtol=1e-6)
    code, out, _ = run("info", "runs/wave")
    assert code == 0
    assert "task: forecast" in out


def test_forecast_with_huber(run):
    """The loss is in the model and in its task; other losses do not fit a standardised series."""
    huber = ["--loss", "huber", "--huber-delta", 0.5]
    code, out, err = run("train", *FORECAST, *SMALL, *huber, "--out", "a")
    assert code == 0, err
    assert "mean squared error on the test rows" in out
    model = bn.load("a/model.safetensors")
    assert (model.config["loss"], model.config["huber_delta"]) == ("huber", 0.5)
    options = json.loads(model.metadata["task"])["options"]
    assert (options["loss"], options["huber_delta"]) == ("huber", 0.5)
    code, out, _ = run("predict", "a", "--csv", "wave.csv")
    assert code == 0
    assert len(out.splitlines()) == 201
    run("train", *FORECAST, *SMALL, "--out", "c")
    assert bn.load("c/model.safetensors").config["loss"] == "mse"
    assert bits(model) != bits(bn.load("c/model.safetensors"))
    for wrong in (["--loss", "cross_entropy"], ["--loss", "binary_cross_entropy"]):
        code, _, err = run("train", *FORECAST, *SMALL, *wrong, "--out", "d")
        assert code == 2
        assert "argument '--loss': expected one of 'mse', 'huber', got" in err
    code, _, err = run("train", *FORECAST, *SMALL, "--huber-delta", 2, "--out", "d")
    assert code == 2
    assert "argument '--huber-delta'" in err
    code, _, err = run("train", *CLASSIFY, *SMALL, "--loss", "huber", "--out", "d")
    assert code == 2
    assert "argument '--loss': expected only with the task forecast" in err


def test_the_test_part_decides_nothing(run):
    run("train", *FORECAST, *SMALL, "--out", "a")
    rows = read("wave.csv")
    with Path("wave.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows[:151] + [[r[0], "7", r[2]] for r in rows[151:]])
    run("train", *FORECAST, *SMALL, "--out", "b")
    assert bits(bn.load("a/model.safetensors")) == bits(bn.load("b/model.safetensors"))


def test_forecast_with_all_options(run):
    options = ["--features", "w,v", "--horizon", 4, "--seq-len", 20, "--batch", 2, "--schedule",
               "plateau", "--decay-patience", 1, "--valid-fraction", 0.2, "--patience", 4,
               "--layers", 2, "--optimizer", "sgd", "--lr", 0.1, "--momentum", 0.9,
               "--dtype", "float64", "--seed", 3]  # fmt: skip
    code, out, err = run("train", *FORECAST, *SMALL, *options, "--epochs", 40)
    assert code == 0, err
    assert "150 rows to train on, 50 to test; 4 ahead" in out
    config = bn.load("runs/wave/model.safetensors").config
    assert (config["cell"], config["num_layers"], config["input_size"]) == ("gru", 2, 2)
    assert (config["optimizer"], config["momentum"], config["seed"]) == ("sgd", 0.9, 3)
    rows = read_history("runs/wave/history.csv")
    losses = [row.valid_loss for row in rows if row.valid_loss is not None]
    rule = schedule_of("plateau", 1, patience=1)
    assert rows[-1].lr == pytest.approx(0.1 * rule(0, losses[:-1]))


def test_classify(run):
    code, out, err = run("train", *CLASSIFY, *SMALL, "--epochs", 30, "--seed", 1)
    assert code == 0, err
    lines = out.splitlines()
    assert "48 sequences to train on, 0 to validate, 12 to test; 6 steps of 2" in lines[1]
    assert lines[2].startswith("test accuracy ")
    rows = read("runs/signs/labels.csv")
    right = sum(row[1] == row[2] for row in rows[1:])
    assert f"({right} of 12)" in lines[2]
    assert right >= 10
    code, out, _ = run("predict", "runs/signs", "--csv", "signs.csv")
    said = {row[0]: row[1] for row in list(csv.reader(out.splitlines()))[1:]}
    assert code == 0
    assert len(said) == 60
    assert all(said[row[0]] == row[2] for row in rows[1:])


def test_classify_with_a_test_table_and_early_stopping(run):
    rows = read("signs.csv")
    with Path("other.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows[:61])
    options = ["--test-csv", "other.csv", "--valid-fraction", 0.25, "--patience", 2,
               "--features", "a"]  # fmt: skip
    code, out, err = run("train", *CLASSIFY, *SMALL, *options, "--epochs", 200)
    assert code == 0, err
    assert "(early stopping; " in out
    assert "46 sequences to train on, 14 to validate, 10 to test" in out
    assert "accuracy" in err


@pytest.mark.parametrize("what", [FORECAST, CLASSIFY], ids=["forecast", "classify"])
def test_resume(run, what):
    run("train", *what, *SMALL, "--schedule", "constant", "--out", "whole")
    run("train", *what, *SMALL, "--schedule", "constant", "--epochs", 8, "--out", "parts")
    code, out, err = run("train", *what, "--epochs", 20, "--resume", "--out", "parts")
    assert code == 0, err
    assert bits(bn.load("whole/model.safetensors")) == bits(bn.load("parts/model.safetensors"))
    assert (
        out.splitlines()[1:-3]
        == run("train", *what, "--resume", "--out", "whole")[1].splitlines()[1:-3]
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--csv", "nothing.csv", "--target", "v"], "No such file"),
        (["--csv", "wave.csv"], "expected a column to forecast, or --sequence and --label"),
        (["--csv", "wave.csv", "--target", "x"], "expected one of 't', 'v', 'w', got 'x'"),
        (["--csv", "signs.csv", "--target", "sign"], "got 'plus' in line"),
        ([*FORECAST, "--features", "v,x"], "argument '--features': expected one of"),
        ([*FORECAST, "--test-from", "t=900"], "column 't' reaches, got '900'"),
        ([*FORECAST, "--test-from", "2"], "expected at least 3 training rows"),
        ([*FORECAST, "--horizon", "0"], "'--horizon': expected an integer of at least 1"),
        ([*FORECAST, "--ar", "100"], "training rows for order 100"),
        ([*FORECAST, "--patience", "3"], "expected a share above 0, which early stopping"),
        ([*FORECAST, "--schedule", "plateau"], "expected a share above 0, which the schedule"),
        ([*FORECAST, "--epochs", "1.5"], "'--epochs': expected a whole number, got 1.5"),
        ([*FORECAST, "--epochs", "0"], "'--epochs': expected an integer of at least 1, got 0"),
        ([*FORECAST, "--epochs", "nan"], "'--epochs': expected a whole number, got nan"),
        ([*FORECAST, "--steps", "5"], "'--steps': expected only with the task text"),
        ([*FORECAST, "--seq-len", "500"], "expected at least 1 x 500 steps"),
        ([*FORECAST, "--cell", "lstn"], "did you mean 'lstm'"),
        ([*FORECAST, "--label", "w"], "'--target': expected only with the task forecast"),
        ([*FORECAST, "--task", "text"], "'--task': expected a text FILE"),
        (["wave.csv", *FORECAST], "expected either a text FILE or --csv FILE, got both"),
        ([*CLASSIFY[:-2]], "'--label': expected the name of a column"),
        ([*CLASSIFY, "--features", "c"], "'--features': expected one of"),
        ([*CLASSIFY, "--test-csv", "wave.csv"], "'--sequence': expected one of 't', 'v', 'w'"),
        ([*CLASSIFY, "--test-fraction", "1"], "'--test-fraction': expected"),
        ([*CLASSIFY, "--seq-len", "3"], "'--seq-len': expected no windows"),
        (["--csv", "signs.csv", "--sequence", "sign", "--label", "id"], "one label for sequence"),
        ([*CLASSIFY, "--embedding", "3"], "'--embedding': expected only with the task text"),
    ],
)  # fmt: skip
def test_bad_input(run, tmp_path, arguments, expected):
    assert refused(run("train", *arguments), expected)
    assert not (tmp_path / "runs").exists()


def test_bad_runs(run):
    assert run("train", *FORECAST, *SMALL)[0] == 0
    assert refused(run("train", *FORECAST), "--resume", "--overwrite")
    assert refused(run("train", *FORECAST, "--resume", "--hidden", 9), "expected 8", "got 9")
    assert refused(run("train", *CLASSIFY, "--resume", "--out", "runs/wave"), "'--task'")
    assert refused(run("train", *FORECAST, "--resume", "--out", "nowhere"), "nowhere")
    with Path("wave.csv").open("a") as file:
        file.write("200,100,0\n")
    assert run("train", *FORECAST, "--resume")[0] == 0  # more to test on
    rows = read("wave.csv")
    rows[5][1] = "0"
    with Path("wave.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert refused(run("train", *FORECAST, "--resume"), "expected the data of the run")
    assert refused(run("sample", "runs/wave"), "a character language model")
    assert refused(run("predict", "runs/wave", "--csv", "signs.csv"), "without 'v'")
    bn.Model("rnn", input_size=1, hidden_size=1, output_size=1).save("m")
    assert refused(run("predict", "m", "--csv", "wave.csv"), "forecaster or classifier")


def test_standard_input_is_a_table_too(run, monkeypatch, tmp_path):
    import io
    from types import SimpleNamespace

    data = (tmp_path / "wave.csv").read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    code, out, err = run("train", "--csv", "-", "--target", "v", *SMALL, "--out", "piped")
    assert code == 0, err
    assert "160 rows to train on, 40 to test" in out
