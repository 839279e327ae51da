"""The environment of the program: streams, variables, and names that are no text."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import fit
from bptt_native.apps.sampling import load_text_model
from bptt_native.cli.main import main
from helpers.paths import DATA
from helpers.program import program

TEXT = "the cat sat on the mat and the dog sat on the log.\n" * 40
SMALL = ["--hidden", "8", "--seq-len", "10", "--batch", "4", "--steps", "12"]
TABLE = "a,b\n" + "".join(f"{(7 * k) % 11},{(5 * k) % 13}\n" for k in range(80))
STRANGE = b"\xff"  # in no text in UTF-8


def refused(done: subprocess.CompletedProcess[bytes]) -> bytes:
    assert done.returncode == 2, done.stderr
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert done.stderr.startswith(b"bptt-native"), done.stderr
    assert b"codec can't" not in done.stderr, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a table and runs on them, under plain and under strange names."""
    folder = tmp_path_factory.mktemp("runs")
    for name, content in (("text", TEXT), ("table", TABLE)):
        (folder / name).write_text(content)
        Path(os.fsdecode(os.fsencode(folder / name) + STRANGE)).write_text(content)
    for end in (b"", STRANGE):
        text, run = b"text" + end, b"run" + end
        done = program("train", text, *SMALL, "--out", run, cwd=folder)
        assert done.returncode == 0, done.stderr
        table = [b"--csv", b"table" + end, "--target", "a", "--epochs", 1, "--hidden", 4]
        done = program("train", *table, "--out", b"forecast" + end, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


COMMANDS: dict[str, list[Any]] = {
    "train": ["train", "text", *SMALL, "--out", "new", "--overwrite"],
    "sample": ["sample", "run", "--length", "20"],
    "predict": ["predict", "forecast", "--csv", "table"],
    "report": ["report", "run"],
    "bench": ["bench", "--hidden", "8", "--steps", "4", "--batch", "2", "--seconds", "0"],
    "lab": ["lab"],
    "info": ["info"],
    "info of a model": ["info", "run"],
    "version": ["--version"],
    "help": ["--help"],
    "help of a command": ["train", "--help"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_docstrings_and_assertions_do_not_matter(command: str, place: Path) -> None:
    done = program(*COMMANDS[command], cwd=place, env=os.environ | {"PYTHONOPTIMIZE": "2"})
    if command == "bench":
        assert refused(done)  # 0 seconds
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout


def closed(*descriptors: int) -> Any:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


STREAMS: dict[str, dict[str, Any]] = {
    "no output": {"preexec_fn": closed(1), "stdout": None},
    "no error": {"preexec_fn": closed(2), "stderr": None},
    "neither": {"preexec_fn": closed(1, 2), "stdout": None, "stderr": None},
    "nothing": {"preexec_fn": closed(0, 1, 2), "stdout": None, "stderr": None},
    "full error": {"stderr": "/dev/full"},
    "full output": {"stdout": "/dev/full"},
    "both full": {"stdout": "/dev/full", "stderr": "/dev/full"},
}


@pytest.mark.parametrize(
    ("command", "streams"),
    [
        *(("train", streams) for streams in STREAMS),
        *(
            (command, streams)
            for command in (
                "sample",
                "predict",
                "info",
                "info of a model",
                "lab",
                "version",
                "help",
                "help of a command",
            )
            for streams in ("nothing", "full output", "both full")
        ),
    ],
)
def test_streams_that_take_nothing_end_no_run(command: str, streams: str, place: Path) -> None:
    for run in (place / "new").glob("*"):
        run.unlink()
    settings = dict(STREAMS[streams])
    full = [name for name, value in settings.items() if value == "/dev/full"]
    with open("/dev/full", "wb") as device:  # noqa: PTH123
        done = program(
            *COMMANDS[command], cwd=place, env=os.environ | {"PYTHONWARNINGS": "ignore"},
            **settings | dict.fromkeys(full, device),
        )  # fmt: skip
    assert done.returncode == (2 if "stdout" in full else 0), done.stderr
    assert b"Traceback" not in (done.stderr or b"")
    assert b"Exception ignored" not in (done.stderr or b"")
    if full == ["stdout"]:
        last = done.stderr.splitlines()[-1]
        assert last.endswith(b" error: the standard output: No space left on device")
        assert done.stderr.count(b"error") == 1
    if full == ["stderr"] or streams == "no error":
        assert done.stdout
    if command == "train":
        assert load_text_model(place / "new/model.safetensors")[2]["step"] == 12


def test_an_error_of_a_file_names_it_once_and_has_no_number(place: Path) -> None:
    for arguments in (["info"], ["train"], ["report"], ["sample"]):
        told = refused(program(*arguments, "nosuch", cwd=place))
        assert told.endswith(b", got 'nosuch': No such file or directory\n"), told
        assert told.count(b"nosuch") == 1
        assert b"Errno" not in told
    occupied = ["train", "text", *SMALL, "--out", "text"]
    told = refused(program(*occupied, cwd=place))
    assert told.count(b"'text'") == 1
    assert b"Errno" not in told


def test_a_reader_of_messages_that_has_gone_ends_no_run(place: Path) -> None:
    for run in (place / "new").glob("*"):
        run.unlink()
    reading, writing = os.pipe()
    os.close(reading)
    done = program(*COMMANDS["train"], cwd=place, stderr=writing)
    os.close(writing)
    assert done.returncode == 0
    assert load_text_model(place / "new/model.safetensors")[2]["step"] == 12


@pytest.mark.parametrize(
    ("name", "command"),
    [(b"nonsense", "nothing"), (b"nonsense", "info"), (b"nonsense", "train"), (STRANGE, "info")],
)
def test_an_instruction_set_that_is_not_there_is_one_line(
    name: bytes, command: str, place: Path
) -> None:
    env = os.environb | {b"BPTT_ISA": name}
    told = refused(program(*COMMANDS.get(command, []), cwd=place, env=env))
    assert b"BPTT_ISA" in told
    assert (b"'nonsense'" if name == b"nonsense" else rb"'\xff'") in told


def test_the_installed_program_says_it_in_one_line_too() -> None:
    script = Path(sysconfig.get_path("scripts")) / "bptt-native"
    if not script.exists():
        pytest.skip("the program is not installed beside this Python")
    done = subprocess.run(
        [script, "info"], env=os.environ | {"BPTT_ISA": "nonsense"}, check=False,
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert b"BPTT_ISA" in refused(done)


def test_another_program_gets_an_import_error_that_can_be_read(tmp_path: Path) -> None:
    env = os.environb | {b"BPTT_ISA": STRANGE}
    (tmp_path / "other.py").write_text("import bptt_native")
    for code in (["-c", "import bptt_native"], ["-m", "other"]):
        done = subprocess.run(
            [sys.executable, *code], env=env, check=False, capture_output=True, timeout=300,
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(b"ImportError: bptt_native: environment")


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", b"run\xff"],
        ["sample", b"run\xff", "--length", "5"],
        ["report", b"run\xff"],
        ["report", b"run\xff", "-o", b"page\xff", "--text", b"text\xff"],
        ["report", b"forecast\xff", "--csv", b"table\xff"],
        ["predict", b"forecast\xff", "--csv", b"table\xff"],
        ["train", b"text\xff", *SMALL, "--out", b"run\xff", "--resume"],
        ["train", "--csv", b"table\xff", "--target", "a", "--out", b"forecast\xff", "--resume"],
    ],
    ids=repr,
)
def test_names_of_files_need_be_no_text(arguments: list[Any], place: Path) -> None:
    done = program(*arguments, cwd=place, env=os.environ | {"PYTHONIOENCODING": "ascii:strict"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [STRANGE],
        ["info", STRANGE],
        ["info", b"--\xff"],
        ["sample", STRANGE],
        ["sample", "run", "--prime", STRANGE],
        ["predict", STRANGE, "--csv", "table"],
        ["predict", "forecast", "--csv", STRANGE],
        ["report", STRANGE],
        ["report", "run", "--text", STRANGE],
        ["report", "run", "-o", b"\xff/page"],
        ["train", STRANGE],
        *(
            ["train", "text", f"--{option}", STRANGE]
            for option in ("cell", "nonlinearity", "init", "dtype", "compute", "optimizer",
                           "schedule", "hidden", "lr", "task", "clip-norm", "watch-gradients")
        ),
        ["train", "--csv", STRANGE, "--target", "a"],
        *(
            ["train", "--csv", "table", "--target", "a", "--epochs", "1", "--out", "x", o, STRANGE]
            for o in ("--target", "--features", "--test-from", "--task", "--horizon", "--ar")
        ),
        ["train", "--csv", "table", "--sequence", STRANGE, "--label", "a", "--out", "x"],
        ["train", "--csv", "table", "--sequence", "a", "--label", STRANGE, "--out", "x"],
        ["lab", STRANGE],
        ["bench", "--cell", STRANGE],
        ["bench", "--dtype", STRANGE],
        ["demo", "--seconds", STRANGE],
    ],
    ids=repr,
)  # fmt: skip
def test_arguments_that_are_no_text_are_one_line(
    arguments: list[Any],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    try:
        code: Any = main([os.fsdecode(argument) for argument in arguments])
    except SystemExit as end:  # of the argument parser
        code = end.code
    out, told = capsys.readouterr()
    assert (code, out) == (2, ""), told
    assert told.count("\n") == 1
    assert told.startswith("bptt-native")
    assert "codec can't" not in told
    assert "\\udcff" in told or "\\xff" in told, told


@pytest.mark.parametrize("stream", ["none", "closed", "full"])
def test_progress_needs_no_standard_error(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.zeros((5, 2, 1), "f4"), np.zeros((5, 2, 1), "f4")
    model = bn.Model(cell="rnn", input_size=1, hidden_size=2, output_size=1, loss="mse")
    with open("/dev/full", "w") as device:  # noqa: PTH123
        monkeypatch.setattr("sys.stderr", None if stream == "none" else device)
        if stream == "closed":
            device.close()
        fit(model, x, y, epochs=2, verbose=1)
    assert model.step_count == 2


def test_a_warning_is_one_line():
    old = DATA / "model_last_row.safetensors"
    done = program("info", old)
    assert done.returncode == 0
    text = done.stderr.decode()
    assert text.startswith(f"bptt-native info: warning: {old}: this bidirectional model")
    assert text.count("\n") == 1
