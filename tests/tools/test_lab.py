"""The framework of the laboratory: jobs in processes, files, verdicts and the command."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import lab, plots
from bptt_native.cli.main import main
from bptt_native.lab.results import duration


def cases(full: bool) -> list[lab.Case]:
    return [{"width": width} for width in ((3, 2, 1) if full else (2, 1))]


def measure(case: lab.Case, seed: int) -> list[lab.Row]:
    width = int(case["width"])
    layer = bn.RNN(width, width, seed=seed)
    x = np.random.default_rng(seed).standard_normal((4, 1, width)).astype("f")
    print("what a job prints does not disturb its answer")
    return [{"t": t, "y": round(float(np.abs(y).sum()), 3)} for t, y in enumerate(layer(x)[0])]


def fails(case: lab.Case, seed: int) -> list[lab.Row]:
    if case["width"] == 1 and seed == 1:
        raise ZeroDivisionError("on purpose")
    return measure(case, seed)


def reads_too_far(case: lab.Case, seed: int) -> list[lab.Row]:
    raise EOFError("on purpose")


def dies(case: lab.Case, seed: int) -> list[lab.Row]:
    os._exit(7)


def settings(case: lab.Case, seed: int) -> list[lab.Row]:
    return [{"pid": os.getpid(), "threads": bn.get_num_threads()}]


def figure(rows: Sequence[lab.Row]) -> Any:
    drawn = plots.new_figure(3, 2)
    drawn.subplots().plot([float(row["y"]) for row in rows])
    return drawn


def verdict(rows: Sequence[lab.Row]) -> list[lab.Claim]:
    widest = max(int(row["width"]) for row in rows)
    return [lab.Claim("There are two widths.", widest == 2, f"{widest} widths")]


def experiment(measured: Any = measure, drawn: Any = figure) -> lab.Experiment:
    return lab.Experiment(
        "widths", "Widths", "Widths are two.", cases, measured, drawn, verdict, (math.nan, 1.0)
    )


def test_rows_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    one = lab.run(experiment(), tmp_path / "1", jobs=1, progress=lambda *n: seen.append(n))
    three = lab.run(experiment(), tmp_path / "3", jobs=3)
    assert one.rows == three.rows
    assert one.csv.read_bytes() == three.csv.read_bytes()
    assert seen == [(k, 6) for k in range(1, 7)]
    expected = [
        {**case, "seed": seed, **row}
        for case in cases(False) for seed in range(3) for row in measure(case, seed)
    ]  # fmt: skip
    assert list(one.rows) == expected
    assert lab.read_rows(one.csv) == expected


def test_what_a_run_leaves_behind(tmp_path: Path) -> None:
    done = lab.run(experiment(), tmp_path, full=True, seeds=[5, 2], jobs=2)
    assert not done.held
    record = json.loads(done.record.read_text())
    assert record["seeds"] == [5, 2]
    assert (record["full"], record["jobs"], record["workers"]) == (True, 6, 2)
    assert record["isa"] == bn.isa()
    assert record["claims"] == [
        {"claim": "There are two widths.", "held": False, "measured": "3 widths"}
    ]
    text = done.text.read_text()
    assert "**did not hold**" in text
    assert "![Widths](widths.png)" in text
    assert "bptt-native lab widths --full" in text
    assert done.figure is not None
    assert done.figure.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "widths.csv", "widths.json", "widths.md", "widths.png"
    ]  # fmt: skip


def test_a_run_is_judged_and_drawn_again(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(lab.EXPERIMENTS, "widths", experiment())
    done = lab.run("widths", tmp_path, full=True, seeds=2, jobs=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert done.figure is not None
    done.figure.unlink()
    again = lab.redraw("widths", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert again == done
    assert main(["lab", "widths", "--redraw", "--out", str(tmp_path)]) == 1
    assert "[DID NOT HOLD] There are two widths." in capsys.readouterr().out
    assert main(["lab", "widths", "--redraw", "--full"]) == 2
    assert "expected no option for new measurements, got" in capsys.readouterr().err
    kept, rows = done.record.read_text(), done.csv.read_text()
    for other in ("width,y\n1,2\n", "", rows.replace(",1,", ",7,")):
        done.csv.write_text(other)
        with pytest.raises(ValueError, match=r"expected the cases and seeds of its record in "):
            lab.redraw("widths", tmp_path)
    done.csv.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"expected UTF-8 text in '.*widths.csv', line 1, got"):
        lab.redraw("widths", tmp_path)
    done.csv.write_text(rows)
    done.record.write_text(kept.replace('"widths"', '"heights"'))
    with pytest.raises(ValueError, match="got ValueError: the record of 'heights'"):
        lab.redraw("widths", tmp_path)
    done.record.write_text("{}")
    with pytest.raises(ValueError, match=r"lab.redraw: argument 'out': expected the record of a"):
        lab.redraw("widths", tmp_path)
    with pytest.raises(LookupError, match=r"lab.redraw: argument 'name': expected one of"):
        lab.redraw("nothing", tmp_path)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a file")
    for out in ("here", "here/below"):
        with pytest.raises(NotADirectoryError, match=r"lab.run: argument 'out': expected a folder"):
            lab.run(experiment(), tmp_path / out)


def test_each_job_has_one_thread_in_another_process(tmp_path: Path) -> None:
    rows = lab.run(experiment(settings, lambda _: plots.new_figure(1, 1)), tmp_path, jobs=2).rows
    assert {row["threads"] for row in rows} == {1}
    assert os.getpid() not in {row["pid"] for row in rows}


def test_a_job_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(lab.JobError, match=r"(?s)'width': 1.*seed 1.*ZeroDivisionError: on purp"):
        lab.run(experiment(fails), tmp_path, jobs=2)
    with pytest.raises(lab.JobError, match=r"(?s)reads_too_far.*EOFError: on purpose"):
        lab.run(experiment(reads_too_far), tmp_path, jobs=2)
    with pytest.raises(lab.JobError, match="its process ended with 7"):
        lab.run(experiment(dies), tmp_path, jobs=2)
    with pytest.raises(Exception, match="pickle"):
        lab.run(experiment(lambda case, seed: []), tmp_path, jobs=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "nothing"}, "lab.run: argument 'name': expected one of "),
        (
            {"name": 3},
            "lab.run: argument 'name': expected the name of an experiment, got the number 3",
        ),
        ({"seeds": 0}, "lab.run: argument 'seeds': expected an integer >= 1"),
        ({"seeds": [1, 1]}, "lab.run: argument 'seeds': expected at least one seed, each once"),
        ({"seeds": []}, "lab.run: argument 'seeds': expected at least one seed, each once"),
        ({"seeds": "12"}, "lab.run: argument 'seeds': expected a number of seeds or"),
        ({"seeds": [-1]}, "lab.run: argument 'seeds': expected"),
        ({"jobs": 0}, "lab.run: argument 'jobs': expected an integer >= 1"),
    ],
)
def test_refusals(arguments: dict[str, Any], error: str, tmp_path: Path) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)) as caught:
        lab.run(**{"name": experiment(), "out": tmp_path / "new"} | arguments)
    assert error in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_interruption_ends_all_processes(tmp_path: Path) -> None:
    program = (
        "from bptt_native import lab\nimport test_lab\n"
        "lab.run(test_lab.experiment(test_lab.sleeps), 'out', jobs=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    while len(list(tmp_path.glob("*.pid"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in errors
    assert len(workers) == 2
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def sleeps(case: lab.Case, seed: int) -> list[lab.Row]:
    Path(f"{os.getpid()}.pid").touch()
    time.sleep(600)
    return []


def test_the_command(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(lab.EXPERIMENTS, "widths", experiment())
    assert main(["lab"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in lab.EXPERIMENTS)
    assert "not measured" in listed
    assert "CPU time of all jobs on an AMD EPYC" in listed
    arguments = ["lab", "widths", "--out", str(tmp_path), "--seeds", "2", "--jobs", "2"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "[held] There are two widths." in printed.out
    assert printed.err.endswith("4 of 4 jobs\n")
    assert main([*arguments, "--full"]) == 1
    assert "[DID NOT HOLD]" in capsys.readouterr().out
    monkeypatch.setitem(lab.EXPERIMENTS, "widths", experiment(fails))
    assert main(arguments) == 4
    assert "a job failed: {'width': 1}, seed 1: " in capsys.readouterr().err
    assert main(["lab", "nothing"]) == 2
    assert "expected one of" in capsys.readouterr().err


def test_durations() -> None:
    assert [duration(s) for s in (2.04, 45, 120, 7200, math.nan)] == [
        "2.0 s", "45 s", "2.0 min", "2.0 h", "not measured"
    ]  # fmt: skip
