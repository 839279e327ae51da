"""The history of a run: its file, which keeps all bits, and the progress that is printed."""

import io
import math
import sys

import pytest

from bptt_native.training.history import (
    COLUMNS,
    HistoryRow,
    open_history,
    read_history,
)
from bptt_native.training.progress import Progress


def row(step=1, **changes):
    values = {
        "step": step, "epoch": 1, "loss": 1 / 3, "valid_loss": None, "valid_accuracy": None,
        "grad_norm": 0.1 + 0.2, "clipped": False, "skipped": False, "lr": 1e-3,
        "targets_per_s": 123456.0, "seconds": 0.125,
    }  # fmt: skip
    return HistoryRow(**(values | changes))


def test_history_file_keeps_every_bit(tmp_path):
    rows = [
        row(1), row(2, valid_loss=2.0**0.5, valid_accuracy=1 / 7, clipped=True),
        row(3, loss=math.inf, grad_norm=math.inf, skipped=True),
    ]  # fmt: skip
    file = open_history(tmp_path / "h.csv", rows[:2])
    file.append(rows[2])
    file.flush()
    assert read_history(tmp_path / "h.csv") == rows
    file.append(row(4, loss=math.nan))
    file.close()
    again = read_history(tmp_path / "h.csv")
    assert again[:3] == rows
    assert math.isnan(again[3].loss)
    assert [p.name for p in tmp_path.iterdir()] == ["h.csv"]
    with (tmp_path / "h.csv").open() as lines:
        assert next(lines) == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", ",".join(COLUMNS) + "\n1,1,x,,,1,0,0,1,1,1\n"]
)
def test_other_files_are_no_history(tmp_path, content):
    (tmp_path / "h.csv").write_text(content)
    with pytest.raises(ValueError, match="read_history: argument 'path': expected"):
        read_history(tmp_path / "h.csv")


def test_progress_in_plain_lines():
    stream = io.StringIO()
    progress = Progress(3, every=0.0, stream=stream, text=True)
    rows = [
        row(1, valid_loss=3 * math.log(2)),
        row(2, clipped=True),
        row(3, skipped=True, grad_norm=math.nan),
    ]
    for k in range(3):
        progress.show(rows[: k + 1], 3)
    progress.close()
    first, second, third = stream.getvalue().splitlines()
    assert first == "step 1/3  loss 0.333  bpc 3.000  norm 0.3  clipped 0%  chars/s 123,456"
    assert "clipped 50%" in second
    assert "skipped 1" in third
    assert "norm nan" in third


def test_progress_is_quiet_between_its_lines():
    stream = io.StringIO()
    progress = Progress(100, every=1000.0, stream=stream)
    for k in range(100):
        progress.show([row(k + 1)], 100)
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/100", "100/100"]


def test_progress_ends_with_the_last_step():
    """Also where a run ends before its last step: early stopping, Ctrl-C."""
    stream = io.StringIO()
    progress = Progress(100, every=1000.0, stream=stream)
    for k in range(7):
        progress.show([row(k + 1)], 100)
    progress.close()
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["1/100", "7/100"]


def test_progress_bar_on_a_terminal():
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = Progress(4, stream=stream)
    for k in range(4):
        progress.show([row(k + 1, clipped=True)], 4)
    progress.close()
    assert "4/4" in stream.getvalue()
    assert "clipped 100%" in stream.getvalue()

    progress = Progress(1000, stream=(stream := Terminal()))
    progress.show([row(991)], 1000)  # a resumed run
    progress.close()
    assert "991/1000" in stream.getvalue()


def test_terminal_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    stream = io.StringIO()
    stream.isatty = lambda: True
    Progress(1, stream=stream).show([row(1)], 1)
    assert stream.getvalue().startswith("step 1/1")
