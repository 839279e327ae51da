"""The program: its output, its exit codes, and one line for each bad input."""

import os
import re
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.apps.sampling import load_text_model
from bptt_native.apps.text import TextOptions
from bptt_native.cli.train import TRAINING
from bptt_native.training.history import read_history
from helpers.program import caller, program, refused

TEXT = "the cat sat on the mat and the dog sat on the log.\n" * 40
SMALL = ["--hidden", "8", "--seq-len", "10", "--batch", "4", "--steps", "12"]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs the program in a folder with a text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return caller(capsys)


# --------------------------------------------------------------------------------------- good input


def test_train_sample_info(run, tmp_path):
    code, out, err = run("train", "text.txt", *SMALL, "--clip-norm", "0.3", "--seed", "7")
    assert code == 0, err
    assert re.match(r"12 steps, \d\.\d{4} bits per character on the held-out text, ", out)
    assert out.splitlines()[1:] == ["runs/text/model.safetensors", "runs/text/history.csv"]
    assert "step 12/12" in err
    assert re.search(r"bpc \d.*norm .*clipped \d+%.*chars/s \d", err)
    assert len(read_history(tmp_path / "runs/text/history.csv")) == 12
    options = load_text_model(tmp_path / "runs/text/model.safetensors")[2]["options"]
    assert (options["clip_norm"], options["seed"], options["hidden"]) == (0.3, 7, 8)

    arguments = ["--prime", "the ", "--length", 50, "--temperature", 0.5, "--seed", 3]
    code, one, err = run("sample", "runs/text/model.safetensors", *arguments)
    assert (code, err) == (0, "")
    assert one.startswith("the ")
    assert len(one) == len("the ") + 50 + 1
    assert one == run("sample", "runs/text", *arguments)[1]  # the folder names its model
    code, narrow, err = run("sample", "runs/text", *arguments, "--weights", "int8")
    assert (code, err, len(narrow)) == (0, "", len(one))
    assert refused(run("sample", "runs/text", "--weights", "int4"), "--weights")

    code, out, err = run("info", "runs/text")
    assert (code, err) == (0, "")
    assert "rnn.weight_hh_l0" in out
    assert "[32, 8]" in out
    assert "step 12 of 12" in out
    assert re.search(r"^  --clip-norm +0\.3$", out, re.MULTILINE)
    assert "--momentum" not in out  # it has its default


@pytest.mark.parametrize(("text", "begin"), [("ab " * 200, " "), ("ab" * 200, "a")])
def test_a_sample_begins_with_a_character_of_the_model(run, tmp_path, text, begin):
    (tmp_path / "text.txt").write_text(text)
    sizes = ("--hidden", 4, "--seq-len", 10, "--batch", 2)
    code, out, err = run("train", "text.txt", *sizes, "--steps", 1)
    assert (code, out.startswith("1 step, ")) == (0, True), err
    code, out, err = run("sample", "runs/text", "--length", 9)
    assert (code, err, len(out)) == (0, "", 11)
    assert out.startswith(begin)


def test_info_of_the_library(run):
    code, out, _ = run("info")
    assert code == 0
    assert bn.__version__ in out
    assert bn.isa() in out
    assert str(bn.get_num_threads()) in out


def test_info_of_a_model_without_a_text(run, tmp_path):
    bn.Model(cell="gru", input_size=3, hidden_size=4, output_size=2, loss="mse").save(
        str(tmp_path / "m")
    )
    code, out, _ = run("info", "m")
    assert code == 0
    assert "[12, 4]" in out
    assert refused(run("sample", "m"), "expected the model file of a character language model")


def test_resume(run, tmp_path):
    run("train", "text.txt", *SMALL, "--out", "whole")
    run("train", "text.txt", *SMALL, "--steps", 6, "--out", "parts", "--schedule", "constant")
    run("train", "text.txt", *SMALL, "--out", "long", "--schedule", "constant")
    code, out, _ = run("train", "text.txt", "--resume", "--out", "parts", "--steps", 12)
    assert code == 0
    assert out.startswith("12 steps, ")
    names = ("long", "parts")
    one, two = (load_text_model(tmp_path / n / "model.safetensors")[0] for n in names)
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, two.state_dict()[name])
    code, out, _ = run("train", "text.txt", "--resume", "--out", "whole")  # nothing left to do
    assert (code, out[:9]) == (0, "12 steps,")


def test_epochs_and_zero_clip(run, tmp_path):
    code, out, _ = run("train", "text.txt", *SMALL[:-2], "--epochs", 0.5, "--clip-norm", 0)
    assert code == 0
    characters = len(TEXT) - len(TEXT) // 10
    assert int(out.split()[0]) == round(0.5 * ((characters - 1) // 4 // 10))
    assert not any(row.clipped for row in read_history(tmp_path / "runs/text/history.csv"))


def test_options_of_the_model(run):
    options = ["--layers", 2, "--dropout", 0.1, "--variational", "--recurrent-dropout", 0.2,
               "--layer-norm", "--peephole", "--proj-size", 4,
               "--clip-tensor-norm", 0.5]  # fmt: skip
    assert run("train", "text.txt", *SMALL, *options)[0] == 0
    config = bn.load("runs/text/model.safetensors").config
    assert (config["dropout"], config["recurrent_dropout"], config["proj_size"]) == (0.1, 0.2, 4)
    assert config["variational"] is config["layer_norm"] is config["peephole"] is True
    assert config["clip_tensor_norm"] == 0.5
    options = ["--cell", "gru", "--no-reset-after", "--zoneout", 0.1]
    assert run("train", "text.txt", *SMALL, *options, "--out", "gru")[0] == 0
    config = bn.load("gru/model.safetensors").config
    assert (config["reset_after"], config["zoneout"]) == (False, 0.1)
    options = ["--cell", "rnn", "--alpha", 0.5, "--noise", 0.1, "--dale", 0.8]
    assert run("train", "text.txt", *SMALL, *options, "--out", "rnn")[0] == 0
    config = bn.load("rnn/model.safetensors").config
    assert (config["alpha"], config["noise"], config["dale"]) == (0.5, 0.1, 0.8)
    options = ["--cell", "rnn", "--omega", 0.3]
    assert run("train", "text.txt", *SMALL, *options, "--out", "omega")[0] == 0
    assert bn.load("omega/model.safetensors").config["omega"] == 0.3
    assert refused(run("train", "text.txt", *SMALL, "--bidirectional"), "only with the task")


def test_threads(run, threads_afterwards):
    assert run("train", "text.txt", *SMALL, "--threads", 1)[0] == 0
    assert bn.get_num_threads() == 1


def test_help_and_version(run):
    code, out, _ = run("--version")
    assert (code, out) == (0, f"bptt_native {bn.__version__}\n")
    for command in ("train", "sample", "info", "demo"):
        code, out, _ = run(command, "--help")
        assert code == 0
        assert f"bptt-native {command}" in out
        assert command in run("--help")[1]


def test_the_help_tells_which_options_of_training_a_text_does_not_have():
    of_text = {field.name for field in fields(TextOptions)} | {"epochs"}
    for name, (_, meaning) in TRAINING.items():
        elsewhere = meaning.startswith(("not text: ", "forecast: ", "classify: "))
        assert elsewhere == (name not in of_text), (name, meaning)
    assert "not text, plateau" in TRAINING["schedule"][1]
    assert TRAINING["seq_len"][1].startswith("not classify: ")


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"abc\xfe" * 500, "expected UTF-8 text, got byte 0xfe at position 3"),
        (b"short", "expected at least 41 characters"),
    ],
    ids=["missing", "empty", "not-utf8", "short"],
)
def test_bad_texts(run, tmp_path, content, expected):
    if content is not None:
        (tmp_path / "bad.txt").write_bytes(content)
    assert refused(run("train", "bad.txt", *SMALL), expected)
    assert not (tmp_path / "runs").exists()


def test_unreadable_texts(run, tmp_path):
    assert refused(run("train", ".", *SMALL), "Is a directory")
    (tmp_path / "secret.txt").write_text(TEXT)
    (tmp_path / "secret.txt").chmod(0)
    if not os.access(tmp_path / "secret.txt", os.R_OK):
        assert refused(run("train", "secret.txt", *SMALL), "Permission denied")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--hidden", "0"], ["--hidden", "x"], ["--hidden", "1.5"], ["--hidden", "-3"],
        ["--layers", "0"], ["--seq-len", "0"], ["--batch", "-1"], ["--steps", "0"],
        ["--epochs", "0"], ["--epochs", "nan"], ["--epochs", "inf"], ["--epochs", "1"],
        ["--lr", "nan"], ["--lr", "inf"], ["--lr", "-1"], ["--lr", "0"], ["--lr", ""],
        ["--clip-norm", "nan"], ["--clip-norm", "inf"], ["--clip-norm", "-1"],
        ["--clip-value", "nan"], ["--clip-step", "-1"], ["--clip-step-norm", "inf"],
        ["--forget-bias", "nan"], ["--forget-bias", "1", "--cell", "gru"],
        ["--cell", "lstn"], ["--nonlinearity", "relu"],
        ["--cell", "rnn", "--nonlinearity", "step"], ["--optimizer", "adamm"],
        ["--schedule", "linear"], ["--warmup", "-1"], ["--init", "zeros"], ["--dtype", "float16"],
        ["--embedding", "-1"], ["--valid-fraction", "1"], ["--valid-fraction", "nan"],
        ["--seed", "-1"], ["--threads", "0"], ["--threads", "x"], ["--eval-every", "0"],
        ["--checkpoint-every", "-5"], ["--max-skips", "0"], ["--surprise"], ["more"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_options(run, tmp_path, wrong):
    threads = bn.get_num_threads()
    assert refused(run("train", "text.txt", *SMALL, *wrong))
    assert not (tmp_path / "runs").exists()
    assert bn.get_num_threads() == threads


def test_a_size_that_no_memory_holds(run):
    assert refused(run("train", "text.txt", *SMALL, "--hidden", 10**9))
    assert refused(run("train", "text.txt", *SMALL, "--hidden", 10**30))


def test_no_command_or_an_unknown_one(run):
    assert refused(run())
    assert refused(run("tran"))
    assert refused(run("train"))
    assert refused(run("sample"))


@pytest.fixture
def model(run, tmp_path):
    assert run("train", "text.txt", *SMALL)[0] == 0
    return tmp_path / "runs/text/model.safetensors"


def test_a_run_is_not_overwritten_by_mistake(run, model):
    before = model.read_bytes()
    assert refused(run("train", "text.txt", *SMALL), "--resume", "--overwrite")
    assert model.read_bytes() == before
    assert run("train", "text.txt", *SMALL, "--overwrite", "--seed", 2)[0] == 0
    assert model.read_bytes() != before


def test_bad_resumes(run, model, tmp_path):
    before = model.read_bytes()
    assert refused(run("train", "text.txt", "--resume", "--hidden", 9), "expected 8", "got 9")
    assert refused(run("train", "text.txt", "--resume", "--steps", 5), "more than the 12 steps")
    assert refused(run("train", "text.txt", "--resume", "--out", "nowhere"), "nowhere")
    (tmp_path / "text.txt").write_text(TEXT + "x")
    assert refused(run("train", "text.txt", "--resume"), "expected the text of the run")
    assert model.read_bytes() == before


@pytest.mark.parametrize("command", ["sample", "info"])
def test_bad_model_files(run, model, tmp_path, command):
    good = model.read_bytes()
    altered = bytearray(good)
    altered[-1] ^= 1
    contents = {
        "truncated": good[:-5], "altered": bytes(altered), "empty": b"", "text": TEXT.encode(),
        "pickle": b"\x80\x04\x95" + good, "tail": good + b"x", "half": good[: len(good) // 2],
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert refused(run(command, name), "expected a model file")
    assert refused(run(command, "nothing"), "nothing")
    (tmp_path / "folder").mkdir()
    assert refused(run(command, "folder"))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--prime", "thé"], ["--prime", ""], ["--length", "-1"], ["--length", "x"],
        ["--temperature", "nan"], ["--temperature", "-1"], ["--temperature", "inf"],
        ["--threads", "0"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_sampling(run, model, wrong):
    assert refused(run("sample", model, *wrong))


def test_unknown_character_is_named(run, model):
    assert refused(run("sample", model, "--prime", "thé"), "'é' (U+00E9) at position 2")


@pytest.mark.parametrize("wrong", [["--seconds", "0"], ["--seconds", "nan"], ["--seed", "-1"]])
def test_bad_demo(run, tmp_path, wrong):
    assert refused(run("demo", *wrong))
    assert not (tmp_path / "runs").exists()


def test_output_that_cannot_be_written(run, tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    assert refused(run("train", "text.txt", *SMALL), "runs")


def test_diverging_is_exit_code_3(run, tmp_path):
    wild = ["--steps", 60, "--optimizer", "sgd", "--lr", "1e30", "--clip-norm", 0]
    wild += ["--cell", "rnn", "--nonlinearity", "relu"]
    code, out, err = run("train", "text.txt", *SMALL, *wild, "--max-skips", 5)
    assert (code, out) == (3, "")
    assert "5 steps in a row" in err
    assert "last good checkpoint" in err
    assert "Traceback" not in err
    model = load_text_model(tmp_path / "runs/text/model.safetensors")[0]
    assert all(np.isfinite(value).all() for value in model.state_dict().values())


# ---------------------------------------------------------------------------------------- processes


def test_python_m_is_the_same_program(run, model, tmp_path):
    done = program("sample", model, "--length", 40, text=True)
    assert done.returncode == 0
    assert done.stdout == run("sample", model, "--length", 40)[1]
    assert program("sample", "nothing").returncode == 2


def test_standard_input(run, tmp_path):
    done = program("train", "-", *SMALL, input=TEXT.encode(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/stdin/model.safetensors").exists()
    done = program("train", "-", *SMALL, "--out", "other", input=b"\xff", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"standard input" in done.stderr


def test_output_in_another_encoding(run, tmp_path):
    (tmp_path / "text.txt").write_text("äöü€😀\n" * 200, encoding="utf-8")
    assert run("train", "text.txt", *SMALL)[0] == 0
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = program("sample", tmp_path / "runs/text", "--prime", "ä€", "--length", 30, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(rb"\xe4\u20ac")


def test_a_reader_that_has_gone(model):
    command = [sys.executable, "-m", "bptt_native", "sample", str(model), "--length", "200000"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    assert len(child.stdout.read(10)) == 10
    child.stdout.close()
    errors = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=300) == 141
    assert errors == b""
