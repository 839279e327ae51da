"""The history of a run: its file, which keeps all bits, and the progress that is printed."""

import io
import math
import re
import sys
import types

import numpy as np
import pytest

from bptt_native.training.history import (
    COLUMNS,
    HistoryRow,
    epochs,
    open_history,
    read_history,
)
from bptt_native.training.progress import Progress, bar_text
from helpers.fitting import classifier, sequences, tagger


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


@pytest.mark.parametrize("options", [{}, {"weights": True}, {"accumulate": 3}])
def test_the_loss_of_an_epoch_is_the_mean_over_its_targets(options, tmp_path):
    x, y = sequences(23)
    x, y = x[:20] + [s[:2] for s in x[20:]], [np.full(len(s), t) for s, t in zip(x, y, strict=True)]
    y = y[:20] + [t[:2] for t in y[20:]]
    w = [np.linspace(0, 3, len(s)).astype("f4") for s in x]
    own = {"weights": w} if options.pop("weights", False) else {}
    still = tagger(lr=1e-12)  # the parameters keep their values
    given = {**own, **options, "batch_size": 5, "out": tmp_path}
    result = still.fit(x, y, epochs=2, **given)
    expected = still.evaluate(x, y, **own).loss
    np.testing.assert_allclose(result.history["loss"], expected, rtol=1e-6)
    each = result.steps["loss"].reshape(2, -1).mean(axis=1)
    assert abs(each / expected - 1).max() > 1e-4
    total = sum(map(len, x)) if not own else float(np.concatenate(w).sum(dtype="f8"))
    assert result.steps["loss_weight"].sum() == pytest.approx(2 * total)
    assert read_history(tmp_path / "history.csv")[-1].loss_weight == result.rows[-1].loss_weight
    summed = tagger(lr=1e-12, reduction="sum").fit(x, y, epochs=1, batch_size=5)
    assert summed.history["loss"] == pytest.approx(summed.steps["loss"].mean())


def test_histories_without_weights_of_losses(tmp_path):
    text = "\n".join([",".join([*COLUMNS[:-1], "valid_f1"]), "1,1,2.0,,,1,0,0,1,1,1,1,0,0.5",
                      "2,1,4.0,,,1,0,0,1,1,1,1,0,"]) + "\n"  # fmt: skip
    (tmp_path / "h.csv").write_text(text)
    old = read_history(tmp_path / "h.csv")
    assert old[0].loss_weight is None
    assert old[0].metrics == {"f1": 0.5}
    assert epochs(old)["loss"] == 3
    assert epochs([old[0], row(2, loss=4.0, loss_weight=9.0)])["loss"] == 3  # a resumed run
    both = [row(1, loss=2.0, loss_weight=1.0), row(2, loss=4.0, loss_weight=3.0)]
    assert epochs(both)["loss"] == 3.5


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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_on_a_terminal():
    pytest.importorskip("tqdm")
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
    assert " 99%|" in stream.getvalue()
    assert "991/1000" in stream.getvalue()


@pytest.mark.parametrize("total", [9, 123456])
def test_a_bar_fits_80_columns(total):
    pytest.importorskip("tqdm")
    full = {"valid_loss": 1 / 3, "valid_accuracy": 2 / 3, "clipped": True, "skipped": True,
            "metrics": {"balanced_accuracy": 1 / 7, "f1": 1 / 9}}  # fmt: skip
    progress = Progress(total, stream=(stream := Terminal()))
    progress.show([row(total, **full)], total)
    progress.close()
    assert max(map(len, re.split(r"[\r\n]", stream.getvalue()))) <= 80
    assert "loss 0.3333, valid 0.3333" in stream.getvalue()
    assert bar_text([row(1, **full)], width=1000) == (
        "loss 0.3333, valid 0.3333, acc 66.7%, balanced_accuracy 0.1429, f1 0.1111, norm 0.3, "
        "clipped 100%, skipped 1, 123k/s"
    )
    assert bar_text([row(1)], width=30) == "loss 0.3333, norm 0.3, 123k/s"  # clipped 0% says little
    assert bar_text([row(1)], width=5) == ""


@pytest.mark.parametrize(
    ("speed", "text"),
    [(0.2, "0/s"), (999.4, "999/s"), (999.6, "1.0k/s"), (9960, "10k/s"), (2.5e6, "2.5M/s"),
     (3e13, "30000G/s"), (float("nan"), "nan")],
)  # fmt: skip
def test_speeds_are_short(speed, text):
    assert text in bar_text([row(1, targets_per_s=speed)], width=60)


def test_a_notebook_has_a_bar_of_its_own(monkeypatch):
    made = []

    class Bar:
        n, total, ncols = 0, 0, None

        def __init__(self, **options):
            made.append(options)

        def set_postfix_str(self, text, refresh):
            made.append(text)

        def update(self, steps):
            self.n += steps

        def close(self):
            made.append("closed")

    class ZMQInteractiveShell: ...

    ipython = types.SimpleNamespace(get_ipython=ZMQInteractiveShell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=Bar))
    progress = Progress(2)
    progress.show([row(1)], 2)
    progress.close()
    assert "file" not in made[0]
    assert made[1:] == ["loss 0.3333, norm 0.3, 123k/s", "closed"]


def test_terminal_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    stream = io.StringIO()
    stream.isatty = lambda: True
    Progress(1, stream=stream).show([row(1)], 1)
    assert stream.getvalue().startswith("step 1/1")


def test_progress_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    classifier().fit(*sequences(), epochs=2, validation=sequences(5, seed=1), verbose=1)
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("step 2/2  loss ")
    assert "accuracy" in last


def test_a_line_per_epoch(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    x, y = sequences(9)
    options = {"batch_size": 4, "validation": sequences(5, seed=1), "metrics": "f1"}
    result = classifier(clip_norm=0.1).fit(x, y, epochs=2, **options, verbose=2)
    first, second = stream.getvalue().splitlines()
    assert first.startswith(f"epoch 1/2  loss {result.epochs['loss'][0]:.4g}  valid ")
    assert f"  f1 {result.epochs['valid_f1'][0]:.4g}  norm " in first
    assert f"  clipped {result.epochs['clipped'][1]}  " in second
    assert re.search(r"  \d+\.\d s$", second)
    classifier().fit(x, y, epochs=1, verbose=0)
    classifier().fit(x, y, epochs=1, verbose=False)
    assert stream.getvalue().count("\n") == 2
    classifier().fit(x, y, epochs=1, verbose=True)
    assert stream.getvalue().splitlines()[-1].startswith("step 1/1")


@pytest.mark.parametrize("verbose", [-1, 3, 1.0, "auto", None])
def test_wrong_verbosity(verbose):
    with pytest.raises(
        (TypeError, ValueError), match="fit: argument 'verbose': expected an integer"
    ):
        classifier().fit(*sequences(), verbose=verbose)
