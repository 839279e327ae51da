"""The files of a run: their formats, their state after a crash, and their removal by a new run."""

import dataclasses
import errno
import json
import math
import os
import random
import resource
import signal
import stat
import threading
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import EarlyStopping, Watch, fit, resume
from bptt_native.apps.tables import write_table
from bptt_native.apps.text_data import read_text
from bptt_native.cli.main import main
from bptt_native.runtime import documents, files
from bptt_native.training.gradient_record import open_records, read_records
from bptt_native.training.history import open_history, read_history
from bptt_native.training.run_files import (
    FORECAST_FILE,
    GRADIENTS_FILE,
    HISTORY_FILE,
    RESULTS,
    clear,
)
from helpers.fitting import bits, figures
from helpers.program import caller, refused

COMPANIONS = ("history.csv", "gradients.jsonl", "forecast.csv", "labels.csv")
TRAIN = {
    "text": ["text.txt", "--hidden", "4", "--embedding", "3", "--seq-len", "5", "--batch", "4",
             "--steps", "6"],
    "forecast": ["--csv", "wave.csv", "--target", "v", "--hidden", "3", "--epochs", "5",
                 "--valid-fraction", "0.2", "--patience", "9", "--schedule", "plateau"],
    "classify": ["--csv", "signs.csv", "--sequence", "id", "--label", "sign", "--hidden", "3",
                 "--epochs", "5"],
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished and watched run of each task, with its data."""
    root = tmp_path_factory.mktemp("runs")
    rng, before = np.random.default_rng(0), Path.cwd()
    (root / "text.txt").write_text("the cat sat on the mat.\n" * 20)
    wave = (f"{np.sin(t / 3) + 0.1 * rng.normal():.3f}\n" for t in range(60))
    (root / "wave.csv").write_text("v\n" + "".join(wave))
    with (root / "signs.csv").open("w") as file:
        file.write("id,sign,a,b\n")
        for k in range(20):
            for _ in range(4):
                file.write(f"s{k},{'plus' if k % 2 else 'minus'},{k % 2 + rng.normal():.3f},1\n")
    os.chdir(root)
    try:
        for task, options in TRAIN.items():
            assert main(["train", *options, "--watch-gradients=2", "--out", task]) == 0
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def call(runs, capsys, monkeypatch):
    """Return a function that runs the program where the runs are."""
    monkeypatch.chdir(runs)
    return caller(capsys)


def go_on(call, task, out):
    data = TRAIN[task][: 1 if task == "text" else 2 * len([a for a in TRAIN[task] if a in
                       ("--csv", "--target", "--sequence", "--label")])]  # fmt: skip
    return call("train", *data, "--resume", "--out", out)


def copy(runs, task, folder):
    folder.mkdir()
    for path in (runs / task).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


# ----------------------------------------------------------------------- files that are read or not


@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "sparse"])
@pytest.mark.parametrize(
    ("task", "name"),
    [("text", "history.csv"), ("text", "gradients.jsonl"), ("forecast", "forecast.csv"),
     ("classify", "labels.csv")],
)  # fmt: skip
def test_only_regular_files_of_a_size_are_read(call, runs, tmp_path, task, name, kind):
    folder = copy(runs, task, tmp_path / "run")
    path = folder / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 36)
    assert refused(call("report", folder), name)
    if name in ("history.csv", "gradients.jsonl"):
        assert refused(go_on(call, task, folder), name)


def test_texts_and_tables_are_regular_files_too(call, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        assert refused(call("train", tmp_path / name, "--out", tmp_path / "o"), name, "regular")
        table = ("--csv", tmp_path / name, "--target", "v")
        assert refused(call("train", *table, "--out", tmp_path / "o"), name, "regular")
        assert refused(call("predict", "forecast", "--csv", tmp_path / name), name, "regular")
    assert not (tmp_path / "o").exists()


def mutated_bytes(rng, content):
    """Another content: cut short, with bytes changed, left out or put in, with lines moved."""
    kind, at = rng.randrange(6), rng.randrange(len(content))
    lines = content.splitlines(keepends=True)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + content[at + rng.randrange(1, 9) :]
    if kind == 3:
        put = rng.choice([b"\0", b'"', b"\xff", b",", b"[" * 9000, b"9" * 6000, b"nan", b"1e999"])
        return content[:at] + put + content[at:]
    rng.shuffle(lines)
    return b"".join(lines) if kind == 4 else b"".join(lines[:1] + lines[2:] + lines[-1:])


WRONG = (
    None,
    True,
    -1,
    0.5,
    10**400,
    math.nan,
    math.inf,
    "",
    "x",
    "\ud800",
    [],
    [[]],
    {},
    {"a": 1},
)


def mutated_json(rng, text):
    """The JSON with one of its parts another, left out, or deeply nested."""
    value = json.loads(text)
    if rng.random() < 0.05:
        return "[" * 100_000 + "]" * 100_000
    if rng.random() < 0.05:
        return rng.choice(["", "{", "null", '"\\ud800"', text[: len(text) // 2], "1" * 5000])
    place, key = (whole := [value]), 0
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.85:
        place = place[key]
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    if isinstance(place, dict) and rng.random() < 0.3:
        del place[key]
    else:
        place[key] = rng.choice(WRONG)
    return json.dumps(whole[0])


def check(result, folder):
    """Either it works, or one line says what is wrong with which file."""
    code, out, err = result
    assert code in (0, 2), err
    if code == 2:
        assert out == ""
        assert err.count("\n") == 1, err
        assert str(folder) in err or "the data of the run" in err, err  # these no longer fit
    return code


@pytest.mark.parametrize("task", list(TRAIN))
def test_no_companion_and_no_metadata_breaks_the_program(call, runs, tmp_path, task):
    """Random variations of the files of a run and of its metadata are read or refused."""
    rng, folder = random.Random(task), copy(runs, task, tmp_path / "run")
    codes = []
    for name in COMPANIONS:
        if not (folder / name).exists():
            continue
        good = (folder / name).read_bytes()
        for k in range(15):
            (folder / name).write_bytes(mutated_bytes(rng, good))
            codes.append(check(call("report", folder), folder))
            if k % 5 == 0 and name in ("history.csv", "gradients.jsonl"):
                codes.append(check(go_on(call, task, folder), folder))
            (folder / name).write_bytes(good)
    model = folder / "model.safetensors"
    good = {path: path.read_bytes() for path in folder.iterdir()}
    for name in ("training", "vocabulary" if task == "text" else "task"):
        for _ in range(25):
            changed = bn.load(model)
            text = mutated_json(rng, changed.metadata[name])
            changed.metadata[name] = text
            changed.save(model)
            codes.append(check(call("report", folder), folder))
            codes.append(check(call("info", folder), folder))
            codes.append(check(go_on(call, task, folder), folder))
            if task != "text":
                assert call("predict", folder, "--csv", TRAIN[task][1])[0] in (0, 2)
            for path, content in good.items():
                path.write_bytes(content)
    assert 0 < codes.count(0) < len(codes)


def test_json_is_bounded():
    assert documents.parse('{"a": ["[[[\\"[", 1]}') == {"a": ['[[["[', 1]}
    deep = "[" * documents.DEPTH + "]" * documents.DEPTH
    assert documents.parse(deep)
    for text in ("[" + deep + "]", '{"a":' * 10**6, "[" * 10**6):
        with pytest.raises(ValueError, match="expected at most"):
            documents.parse(text)
    for text in ('"' + '\\"' * 10**6, '"' * 10**6 + "\\", ""):  # linear time even if it is no JSON
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra"):
            documents.parse(text)


# ------------------------------------------------------------------------------------------ writing


def writers():
    rows = [dataclasses.replace(ROW)]
    return {
        "history": lambda path: open_history(path, rows).close(),
        "gradients": lambda path: open_records(path).close(),
        "table": lambda path: write_table(path, ("a",), [[1]]),
        "file": lambda path: files.replace(path, b"new"),
    }


ROW = fit(
    bn.Model("rnn", input_size=1, hidden_size=1, output_size=1, loss="mse"),
    np.ones((3, 1), "f"), np.ones((3, 1), "f"), steps=1,
).rows[0]  # fmt: skip


@pytest.mark.parametrize("name", ["history", "gradients", "table", "file"])
def test_links_and_modes_stay(tmp_path, name):
    write = writers()[name]
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    link.symlink_to("there/target")
    write(link)  # even if the target of the link does not exist
    assert link.is_symlink()
    kept = target.read_bytes()
    target.write_bytes(b"old")
    target.chmod(0o640)
    write(link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target.read_bytes() == kept
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["link", "target", "there"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe, socket or device"):
        write(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        write(tmp_path / "loop")


@pytest.mark.parametrize("name", ["fsync", "replace", "fchmod"])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, name):
    (tmp_path / "a").write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match=r"argument 'path': expected .*'.*a': No space left"):
        files.replace(tmp_path / "a", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_what_a_crash_left_is_removed_and_what_is_being_written_is_not(tmp_path, monkeypatch):
    (tmp_path / ".a.bptt-tmp-1-1").write_bytes(b"left")
    (tmp_path / ".b.bptt-tmp-1-1").write_bytes(b"another's")
    other, syncs = [], []

    def sync(number, kept=os.fsync):
        syncs.append(number)
        if len(syncs) == 1:  # while one thread writes, another one writes the same file
            other.append(threading.Thread(target=files.replace, args=(tmp_path / "a", b"two")))
            other[0].start()
            other[0].join()
        kept(number)

    monkeypatch.setattr(os, "fsync", sync)
    files.replace(tmp_path / "a", b"one")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.bptt-tmp-1-1", "a"]


def test_the_content_is_synced_before_the_name_and_the_folder_after(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, real=real, name=name: (done.append(name), real(*a))[1]
        )
    files.replace(tmp_path / "a", b"one")
    assert done == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("method", ["append", "flush", "sync", "close"])
def test_what_fails_while_a_file_grows_names_it(tmp_path, method):
    with files_of_at_most(1 << 10):
        file = files.Growing(tmp_path / "a.csv", [b"begin"], bytes, "train", delay=math.inf)
        arguments = (bytes(1 << 20),) if method == "append" else ()
        if method != "append":
            file.append(bytes(1 << 11))  # it stays in the buffer
        with pytest.raises(OSError, match=r"train: argument 'path': expected .*a\.csv': ") as error:
            getattr(file, method)(*arguments)
        assert error.value.errno == errno.EFBIG
        with suppress(OSError):
            file.close()


@contextmanager
def files_of_at_most(size):
    """Let the system refuse to write more into a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("failing", [HISTORY_FILE, GRADIENTS_FILE])
def test_all_files_are_closed_although_one_cannot_be(tmp_path, monkeypatch, failing):
    closed = []

    def close(self, real=files.Growing.close):
        real(self)
        closed.append(self.path.name)
        if self.path.name == failing:
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files.Growing, "close", close)
    with pytest.raises(OSError, match="full"):
        train(tmp_path)
    assert set(closed) == {HISTORY_FILE, GRADIENTS_FILE}


def test_a_pipe_by_its_number_is_a_pipe():
    """As of /dev/stdout, /dev/fd or the shell's <(...), whose links lead to no name."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="pipe, socket or device"):
            files.replace(f"/dev/fd/{writer}", b"new")
        with pytest.raises(OSError, match="pipe, socket or device; pipe it to -"):
            read_text(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
        os.close(writer)


# ------------------------------------------------------------------------------------------ crashes


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 12, 3)).astype(np.float32), rng.integers(0, 4, 12)


def train(out, seed=1):
    x, y = data()
    model = bn.Model("gru", input_size=3, hidden_size=4, output_size=4, targets="last", seed=seed)
    return fit(
        model, x, y, steps=6, batch_size=5, out=out, checkpoint_every=2, validation=(x, y),
        early_stopping=EarlyStopping(9), watch=Watch(2, say=[].append),
    )  # fmt: skip


def what_counts(folder):
    """The bits of a run's files; the clock decides the rest."""
    model = bn.load(folder / "model.safetensors")
    training = json.loads(model.metadata["training"]) | {"seconds": 0, "run": {}}
    rows = read_history(folder / "history.csv")
    return (
        bits(model), training, figures(rows),
        read_records(folder / "gradients.jsonl"),
    )  # fmt: skip


def killed_at(point, work):
    """Work in a child that SIGKILL ends at its n-th look at the disk; return whether it did."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the threads of the pool sleep
        child = os.fork()
    if child == 0:
        left = [point]

        def count_down():
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def deadly(real):
            def call(*arguments, **options):
                count_down()
                result = real(*arguments, **options)
                count_down()
                return result

            return call

        try:
            for name in ("fsync", "replace", "unlink"):
                setattr(os, name, deadly(getattr(os, name)))
            bn.Model.save = deadly(bn.Model.save)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_kill_at_any_point_leaves_a_run_that_goes_on(tmp_path):
    """In a folder with an older run, which is replaced: it is one run or the other at any point."""
    x, y = data()
    train(tmp_path / "whole")
    train(tmp_path / "older", seed=2)
    wanted, older = what_counts(tmp_path / "whole"), what_counts(tmp_path / "older")
    seen = set()
    for point in range(1, 200):
        folder = tmp_path / f"run{point}"
        folder.mkdir()
        for path in (tmp_path / "older").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "forecast.csv").write_text("row,v,forecast\n")
        if not killed_at(point, lambda folder=folder: train(folder)):
            break
        result = resume(folder, x, y, validation=(x, y), watch=Watch(2, say=[].append))
        assert len(result.rows) == 6
        found = what_counts(folder)
        seen.add(found[0] == wanted[0])
        assert found == (wanted if found[0] == wanted[0] else older)
        assert (folder / "forecast.csv").exists() == (found[0] == older[0])
    assert 20 < point < 199
    assert seen == {True, False}


# --------------------------------------------------------------- runs that continue or are replaced


def test_the_last_look_stays_when_a_finished_run_goes_on(tmp_path):
    x, y = data()
    train(tmp_path)
    before = read_records(tmp_path / "gradients.jsonl")
    assert [r.step for r in before] == [0, 2, 4, 6]
    for watch in (None, Watch(4, say=[].append)):
        resume(tmp_path, x, y, validation=(x, y), watch=watch)
        assert read_records(tmp_path / "gradients.jsonl") == before
    resume(tmp_path, x, y, validation=(x, y), steps=9, watch=Watch(4, say=[].append))
    assert [r.step for r in read_records(tmp_path / "gradients.jsonl")] == [0, 2, 4, 8, 9]


@pytest.mark.parametrize("task", ["forecast", "classify"])
def test_a_run_that_replaces_another_removes_its_files(call, runs, tmp_path, task):
    folder = copy(runs, task, tmp_path / "run")
    assert call("report", folder)[0] == 0
    (folder / "notes.txt").write_text("mine")
    (folder / "forecast.csv" if task == "classify" else folder / "labels.csv").write_text("mine")
    assert call("train", *TRAIN["text"], "--out", folder, "--overwrite")[0] == 0
    other = "forecast.csv" if task == "classify" else "labels.csv"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["history.csv", "model.safetensors", "notes.txt", other]
    )


def test_results_of_an_earlier_end_do_not_stay_while_a_run_goes_on(call, runs, tmp_path):
    folder = copy(runs, "forecast", tmp_path / "run")
    assert go_on(call, "forecast", folder)[0] == 0  # it is over
    before = (folder / "forecast.csv").read_bytes()
    assert before == (runs / "forecast" / "forecast.csv").read_bytes()
    seen = SimpleNamespace(there=None)

    def progress(*_):
        seen.there = (folder / "forecast.csv").exists()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bptt_native.training.progress.Progress.show", progress)
        data = TRAIN["forecast"][:4]
        assert call("train", *data, "--resume", "--epochs", 7, "--out", folder)[0] == 0
    assert seen.there is False
    assert (folder / "forecast.csv").exists()


@pytest.mark.parametrize("wrong", ["gradients.jsonl", "history.csv", "model.safetensors"])
def test_a_run_that_may_not_go_on_keeps_its_results(call, runs, tmp_path, monkeypatch, wrong):
    folder = copy(runs, "forecast", tmp_path / "run")
    if wrong == "gradients.jsonl":
        (folder / wrong).write_text("no record\n")
    else:  # root may write what is read-only
        monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != wrong)
    before = contents(folder)
    more = ("--resume", "--epochs", 7, "--out", folder)
    assert refused(call("train", *TRAIN["forecast"][:4], *more), wrong)
    assert contents(folder) == before
    assert "forecast.csv" in before


@pytest.mark.parametrize("wrong", ["history.csv", "gradients.jsonl"])
def test_a_new_run_that_is_refused_leaves_the_old_one(call, runs, tmp_path, wrong):
    folder = copy(runs, "forecast", tmp_path / "run")
    (folder / wrong).unlink()
    os.mkfifo(folder / wrong)
    before = contents(folder)
    watched = ("--watch-gradients=2", "--out", folder, "--overwrite")
    assert refused(call("train", *TRAIN["text"], *watched), wrong, "pipe")
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["a, b", 'a "b"', "a\nb", "a\r\nb", "\n", "a\rb", "a\n" * 9000])
def test_results_are_known_whatever_the_target_is_called(tmp_path, name):
    path = tmp_path / FORECAST_FILE
    for names in (("row", name), ("row", name, "forecasts"), ("rows", name, "forecast")):
        write_table(path, names, [[1]] * len(names))
        clear(tmp_path, RESULTS)
        assert path.exists()
    write_table(path, ("row", name, "forecast"), [[1], [2], [3]])
    clear(tmp_path, RESULTS)
    assert not path.exists()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_text_of_the_standard_input_is_bounded(monkeypatch):
    class Endless:
        @staticmethod
        def read(size):
            assert 0 < size < 1 << 33
            return b"abc"

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Endless))
    assert read_text("-") == "abc"
