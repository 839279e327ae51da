"""The origin of a run in its model file: data, baselines, and sessions."""

import hashlib
import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import fit, resume
from bptt_native.cli.main import main
from bptt_native.runtime.documents import judge
from bptt_native.training.provenance import FORM, SESSIONS, Provenance

X = np.random.default_rng(0).standard_normal((6, 12, 3)).astype(np.float32)
Y = np.arange(12) % 4


def origin(folder):
    """The origin that the model file of a run records."""
    training = json.loads(bn.load(folder / "model.safetensors").metadata["training"])
    judge(training["run"], FORM)
    return training["run"]


def begun(folder, **options):
    model = bn.Model("rnn", input_size=3, hidden_size=4, output_size=4, targets="last")
    fit(model, X, Y, steps=6, batch_size=6, out=folder, **options)


def test_a_run_of_fit_has_its_machine_and_times_but_no_command_line(tmp_path):
    before = datetime.now(UTC).replace(microsecond=0)
    begun(tmp_path, validation=(X[:, :5], Y[:5]))
    run = origin(tmp_path)
    (session,) = run["sessions"]
    began, saved = (datetime.fromisoformat(session[k]) for k in ("began", "saved"))
    assert before <= began <= saved <= datetime.now(UTC)
    assert session["version"] == bn.__version__
    assert (session["isa"], session["threads"]) == (bn.isa(), bn.get_num_threads())
    assert session["processor"]
    assert session["command"] is None
    assert (session["step"], run["data"], run["baselines"]) == (0, [], {})
    assert run["size"] == "12 sequences of 6 steps; 5 sequences held out"


def test_a_resumed_run_has_two_sessions(tmp_path):
    begun(tmp_path, callbacks=[lambda row: row.step == 3])
    first = origin(tmp_path)["sessions"]
    resume(tmp_path, X, Y)
    sessions = origin(tmp_path)["sessions"]
    assert sessions[:1] == first
    assert [session["step"] for session in sessions] == [0, 3]
    resume(tmp_path, X, Y)  # complete: nothing is trained
    assert origin(tmp_path)["sessions"] == sessions


def test_the_number_of_sessions_is_limited():
    run = Provenance()
    for step in range(SESSIONS + 9):
        run.begin(step)
    steps = [session["step"] for session in run.to_json()["sessions"]]
    assert steps == [0, *range(10, SESSIONS + 9)]


def test_an_older_file_without_an_origin_is_resumed(tmp_path):
    begun(tmp_path, callbacks=[lambda row: row.step == 3])
    path = tmp_path / "model.safetensors"
    model = bn.load(path)
    training = json.loads(model.metadata["training"])
    del training["run"]
    model.metadata["training"] = json.dumps(training)
    model.save(path)
    assert len(resume(tmp_path, X, Y).rows) == 6
    assert [session["step"] for session in origin(tmp_path)["sessions"]] == [3]


@pytest.mark.parametrize(("change", "error"), [
    ({"run": []}, "training.run: expected an object"),
    ({"run": {}}, "training.run.data: missing"),
    ({"began": "yesterday"}, "sessions[0].began: expected a date and time in UTC, got 'yesterday'"),
    ({"threads": 0}, "sessions[0].threads: expected an integer of at least 1, got 0"),
    ({"command": 3}, "sessions[0].command: expected a text, or null, got 3"),
])  # fmt: skip
def test_another_form_is_refused(tmp_path, change, error):
    begun(tmp_path)
    path = tmp_path / "model.safetensors"
    model = bn.load(path)
    training = json.loads(model.metadata["training"])
    if "run" in change:
        training |= change
    else:
        training["run"]["sessions"][0] |= change
    model.metadata["training"] = json.dumps(training)
    model.save(path)
    with pytest.raises(ValueError, match="resume: argument 'path'") as raised:
        resume(tmp_path, X, Y)
    assert error in str(raised.value)


def test_a_text_has_its_file_and_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = "abcdefgh " * 60
    (tmp_path / "a b.txt").write_text(text)
    sizes = ["--hidden", "4", "--embedding", "0", "--seq-len", "10", "--batch", "4", "--steps", "3"]
    assert main(["train", "a b.txt", *sizes, "--out", "run"]) == 0
    run = origin(tmp_path / "run")
    sha256 = hashlib.sha256((tmp_path / "a b.txt").read_bytes()).hexdigest()
    assert run["data"] == [{"name": "a b.txt", "sha256": sha256}]
    assert run["size"] == "540 characters, 9 different ones; the last 54 held out"
    (session,) = run["sessions"]
    assert session["command"] == f"bptt-native train 'a b.txt' {' '.join(sizes)} --out run"


def test_tables_have_their_files_and_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    series = "\n".join(f"{np.sin(k / 3):.4f}" for k in range(99))
    (tmp_path / "wave.csv").write_text(f"\ufeffv\n{series}\n")
    rows = "\n".join(f"s{s},{s % 3},c{s % 3}" for s in range(30) for _ in range(4))
    (tmp_path / "rows.csv").write_text(f"seq,v,label\n{rows}\n")
    common = ["--hidden", "4", "--epochs", "2"]
    assert main(["train", "--csv", "wave.csv", "--target", "v", *common, "--out", "a"]) == 0
    said = capsys.readouterr().out
    run = origin(tmp_path / "a")
    sha256 = hashlib.sha256((tmp_path / "wave.csv").read_bytes()).hexdigest()
    assert run["data"] == [{"name": "wave.csv", "sha256": sha256}]
    assert run["tested"] == 19
    assert run["size"] == "80 rows to train on; 19 to test"
    for name, value in run["baselines"].items():
        assert re.search(rf"{re.escape(name)} +{value:.6g}\n", said)
    assert list(run["baselines"]) == ["persistence", "linear AR(9)"]
    given = ["--csv", "rows.csv", "--sequence", "seq", "--label", "label", "--test-csv", "rows.csv"]
    assert main(["train", *given, *common, "--out", "b"]) == 0
    run = origin(tmp_path / "b")
    assert [file["name"] for file in run["data"]] == ["rows.csv", "rows.csv"]
    assert run["baselines"] == {"always 'c0'": 1 / 3}
    assert run["tested"] == 30
