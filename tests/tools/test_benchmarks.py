"""The benchmarks: peers compute the same as this library, and figures mean what they claim."""

import csv
import ctypes
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from helpers.cprograms import compiler, cpp_compiler
from helpers.figures import faults
from helpers.paths import ROOT

FOLDER = ROOT / "benchmarks"
sys.path.insert(0, str(FOLDER))

import compare  # noqa: E402
import fixed_points  # noqa: E402
import guard  # noqa: E402
import peers  # noqa: E402
import phases  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import run  # noqa: E402
import serve  # noqa: E402
from items import JOBS, Item, Skip, Task  # noqa: E402
from workers import ynnpack  # noqa: E402

BOTH, SINGLE = ("float32", "float64"), ("float32",)
OTHERS = {"bptt-c": BOTH, "numpy": BOTH, "torch": BOTH, "jax": BOTH, "onnxruntime": SINGLE,
          "onednn": SINGLE}  # fmt: skip
BOUND = {"float32": 1e-5, "float64": 1e-11}


@pytest.fixture(scope="module")
def workers():
    """A running worker by name, or the reason why there is none."""
    running = {}
    setting = peers.Setting(1, None, False, True, peers.prefixes())

    def get(name: str) -> peers.Worker:
        if name not in running:
            try:
                running[name] = peers.Worker(name, peers.PEERS[name], setting)
            except Skip as why:
                running[name] = str(why)
        if isinstance(running[name], str):
            pytest.skip(f"{name}: {running[name]}")
        return running[name]

    yield get
    for worker in running.values():
        if not isinstance(worker, str):
            worker.close()


def item_of(job: str, cell: str, dtype: str) -> Item:
    layers = 1 if job in ("step", "lm", "minchar") else 2
    return Item(job, cell, "own", 7, 1 if job in ("step", "minchar") else 3, 5, 12, layers, dtype)


@pytest.mark.parametrize(
    ("name", "job", "cell", "dtype"),
    [
        (name, job, cell, dtype)
        for name, dtypes in OTHERS.items() for dtype in dtypes
        for job in JOBS if job in peers.PEERS[name].jobs and job != "train-fixed"
        for cell in JOBS[job][1]
    ],
)  # fmt: skip
def test_peers_compute_what_we_compute(workers, tmp_path, name, job, cell, dtype) -> None:
    item = item_of(job, cell, dtype)
    data = tmp_path / "data"
    item.flat().tofile(data)
    found = []
    for worker in (workers("bptt"), workers(name)):
        worker.setup(item, data)
        assert len(worker.run(3)) == 3
        if job not in ("lm", "minchar"):  # their weights have changed
            found.append(worker.result())
            continue
        worker.setup(item, data)
        found.append(worker.result())
    ours, theirs = found
    assert ours.shape == theirs.shape
    assert np.abs(ours).max() > 0
    assert np.abs(ours - theirs).max() <= BOUND[dtype] * np.abs(ours).max()


def test_a_result_has_the_gradients_of_everything(workers, tmp_path) -> None:
    item = item_of("train", "lstm", "float32")
    (tmp_path / "data").write_bytes(b"")
    worker = workers("bptt")
    worker.setup(item, tmp_path / "data")
    parameters = sum(w.size for w in item.weights().values())
    assert worker.result().size == parameters + item.inputs["x"].size + 2 * item.inputs["h0"].size


def test_weights_change_before_each_timed_run() -> None:
    calls = []
    task = Task(lambda: calls.append("run"), list, lambda: calls.append("change"))
    times = list(serve.timed(task, 3, 2))
    assert len(times) == 3
    assert calls == ["change", "run"] * 4, "the first run of a turn is not timed"
    assert Item.named("train", "rnn", "tiny").weights(0).keys() == (
        Item.named("train", "rnn", "tiny").weights(1).keys()
    )


def test_operations() -> None:
    forward = 2 * 100 * 32 * 4 * 256 * ((128 + 256) + 2 * (256 + 256))
    assert Item.named("infer", "lstm", "deep").operations == forward
    assert Item.named("train", "lstm", "deep").operations == 3 * forward
    assert Item.named("step", "gru", "H=32").operations == 2 * 3 * 32 * 64
    assert Item.named("minchar", "rnn", "minchar").operations == 6 * 25 * 100 * (100 + 65)


def row(who: str, ms: float, shape: str = "tiny", threads: int = 1) -> results.Row:
    spread = (round(factor * ms, 4) for factor in (0.95, 1.05, 0.98, 1.02))
    return results.Row(
        "train", "lstm", shape, "float32", threads, who, ms, *spread, 50, 1, 10.0, 20.0, 1.0, 25.0
    )


def test_medians_come_with_quartiles_and_an_interval() -> None:
    median, q1, q3, low, high = results.order_statistics([float(k) for k in range(101, 0, -1)])
    assert (median, q1, q3) == (51, 26, 76)
    assert (low, high) == (41, 61)  # 50.5 -+ 0.98 sqrt(101)
    assert results.order_statistics([2.0, 1.0])[3:] == (1.0, 2.0)


def test_disturbed_runs_are_left_out_if_others_are_left() -> None:
    assert results.undisturbed([(1.0, 0.99), (1.1, 1.1), (3.0, 1.0)]) == [1.0, 1.1]
    assert results.undisturbed([(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]) == [1.0, 2.0, 3.0]


def test_results_are_read_back(tmp_path) -> None:
    path, rows = tmp_path / "a" / "r.csv", [row("bptt", 1.25), row("torch", 3.5, "small")]
    results.write(path, {"date": "today", "peak": "a: b"}, rows)
    assert results.read(path) == ({"date": "today", "peak": "a: b"}, rows)


def test_results_of_older_versions_have_no_tile_rate(tmp_path) -> None:
    path = tmp_path / "r.csv"
    results.write(path, {}, [row("bptt", 1.25)])
    lines = path.read_text().splitlines()
    assert lines[0].endswith(",percent_of_tile")
    path.write_text("\n".join(line.rpartition(",")[0] for line in lines))
    (found,) = results.read(path)[1]
    assert (found.ms, found.percent_of_peak, found.times_ours) == (1.25, 20.0, 1.0)
    assert np.isnan(found.percent_of_tile)
    assert "percent of the FMA peak" in report.text([found], {}, True)
    assert "tile" not in report.text([found], {}, True)


def test_rates_of_a_core() -> None:
    isa = bn.available_isas()[0]
    try:
        rates = programs.rates(isa)
    except Skip as why:
        pytest.skip(str(why))
    found = programs.fastest([*rates, programs.Rate("peak", "float32", 1e-3)])
    assert {("peak", "float32"), ("tile", "float32"), ("peak", "float64"), ("tile", "float64")} <= (
        found.keys()
    )
    assert all(rate.gflops > 0.1 for rate in found.values())
    assert re.fullmatch(
        r"float32 [\d.]+ Gflop/s \(\d+ x \d vectors; K = (64|256)\)",
        str(found["tile", "float32"]),
    )
    assert re.fullmatch(r"float64 [\d.]+ Gflop/s", str(found["peak", "float64"]))


def test_the_summary_compares_with_the_best_peer() -> None:
    rows = [row("bptt", 1.0), row("bptt-c", 0.5), row("onednn", 2.0), row("torch", 9.0),
            row("numpy", 3.0), row("bptt", 1.0, "large"), row("onednn", 8.0, "large"),
            row("torch", 4.0, "large")]  # fmt: skip
    text = report.text(rows, {"cpu": "one"}, True)
    lines = {line[2:48].strip(): line[48:].split() for line in text.splitlines()}
    assert lines["best peer of all"][:4] == ["2.83", "without", "large", "2.00"]
    assert lines["best of the Python packages"][:4] == ["3.46", "without", "large", "3.00"]
    assert lines["torch alone"][0] == "6.00"
    assert lines["bptt_native from C"][0] == "0.50"
    assert (
        "the FMA peak (best peer's), and best peer's time over ours\n  tiny     lstm  20 ( 10)"
        in (text)
    )
    assert (
        "the tile rate (best peer's), and best peer's time over ours\n  tiny     lstm  25 ( 12)"
        in (text)
    )
    assert text.count("( 10)     2.00") == text.count("( 12)     2.00") == 1
    assert "INCOMPLETE" not in text
    assert "quoted: KANN" in text
    without = report.text([r for r in rows if r.who != "onednn"], {}, True)
    assert without.startswith("INCOMPLETE: oneDNN")
    assert "quoted" not in without.split("best of all, including quoted ones")[-1]


def test_the_summary_tells_what_two_threads_give() -> None:
    rows = [row("bptt", 1.0, threads=2), row("bptt-1", 1.9, threads=2),
            row("onednn", 1.5, threads=2)]  # fmt: skip
    assert "1.9 ->         1 ms x1.90   best peer       1.5 ms x1.50" in (
        report.text(rows, {"cpu": "one"}, True)
    )


def test_compare(tmp_path, capsys) -> None:
    before = [row("bptt", 2.0), row("torch", 5.0), row("bptt", 3.0, "small")]
    after = [row("bptt", 1.0), row("torch", 5.05), row("bptt", 6.0, "small"), row("jax", 1.0)]
    results.write(tmp_path / "a" / "r.csv", {}, before)
    results.write(tmp_path / "b" / "r.csv", {}, after)
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "x2.000 (1.944 to 2.057)  faster" in lines[0]
    assert "x0.990 (0.962 to 1.019)" in lines[1]
    assert not lines[1].endswith(("faster", "SLOWER"))
    assert lines[2].endswith("SLOWER")
    assert lines[3] == "train bptt: geometric mean of 2: x1.000"
    assert "jax" not in "".join(lines)
    results.write(tmp_path / "c" / "r.csv", {}, [row("numpy", 1.0)])
    with pytest.raises(SystemExit, match="no row in common"):
        compare.main([str(tmp_path / "a"), str(tmp_path / "c")])
    with pytest.raises(SystemExit, match="expected a folder with results"):
        compare.main([str(tmp_path / "a"), str(tmp_path / "none")])
    (tmp_path / "c" / "r.csv").write_text("job,ms\ntrain,1\n")
    with pytest.raises(SystemExit, match=r"expected the columns .*, got \['job', 'ms'\]"):
        compare.main([str(tmp_path / "a"), str(tmp_path / "c")])


def test_phases_have_the_operations_of_the_step_and_add_up_to_it() -> None:
    item = Item.named("train", "gru", "deep")
    assert sum(phases.operations(item).values()) == item.operations
    seconds = dict.fromkeys(phases.PRODUCTS, 2.0) | {"pointwise": 1.0, "packing": 0.5}
    rows = phases.rows_of(item, 10.0, seconds)
    assert [row.measured for row in rows] == [2.0, 2.0, 2.0, 2.0, 1.0, 0.5, 0.5, 10.0]
    rates = [programs.Rate("peak", "float32", 500.0), programs.Rate("tile", "float32", 250.0)]
    least = [item.operations / rate / 1e6 for rate in (500, 250)]
    lines = phases.table("avx2", [(item, rows)], rates).splitlines()
    assert len(lines) == 10
    assert lines[6] == "| avx2 | deep gru | pointwise | 0 | 1 | 1 | - | - | 0 |"
    assert lines[7] == "| avx2 | deep gru | packing | 0 | 0 | 0.5 | - | - | 0.5 |"
    assert lines[9] == (
        f"| avx2 | deep gru | whole step | {least[0]:.4g} | {least[1] + 1:.4g} | 10 "
        f"| {10 * least[0]:.0f} % | {10 * least[1]:.0f} % | {9 - least[1]:.4g} |"
    )


def test_the_command_of_phases_prints_the_table_of_the_page() -> None:
    cpp_compiler()  # for the rates
    isa = bn.available_isas()[0]
    done = subprocess.run(
        [sys.executable, str(FOLDER), "--phases", "--shapes", "tiny", "--cells", "rnn",
         "--isa", isa, "--budget", "0"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert phases.HEAD in done.stdout
    assert phases.HEAD in (ROOT / "docs" / "speed.md").read_text()
    found = re.findall(rf"^\| {isa} \| tiny rnn \| ([\w ]+) \| .* \|$", done.stdout, re.MULTILINE)
    assert found == [*phases.PRODUCTS, "pointwise", "packing", "rest", "whole step"]


def test_the_guard_names_losses_of_percentages_beyond_their_interval() -> None:
    def found(shape: str, ms: float, percent: float) -> results.Row:
        return replace(row("bptt", ms, shape), percent_of_peak=percent)

    pairs = [
        (found("tiny", 1.0, 50.0), found("tiny", 2.0, 40.0)),  # of another peak: 25 % slower
        (found("small", 1.0, 50.0), found("small", 1.04, 48.0)),  # the interval begins below 3 %
        (found("deep", 1.0, 50.0), found("deep", 2.0, 50.0)),  # the peak is lower, too
        (found("long", 1.0, 50.0), found("long", 1.0, 40.0)),  # only the peak is higher
    ]
    assert guard.losses(pairs) == [
        "train tiny lstm: 50.0 -> 40.0 % of the FMA peak, 25 % slower (22 to 29 %)"
    ]


def test_the_guard_measures_only_where_results_are_kept(tmp_path, monkeypatch, capsys) -> None:
    cpp_compiler()  # for the peak
    monkeypatch.setattr(results, "KEPT", tmp_path)
    monkeypatch.setattr(programs, "cpu_name", lambda: "Some CPU, 3rd")
    monkeypatch.setattr(guard, "pin", lambda threads: [])
    options = ["guard", "--shapes", "tiny", "--cells", "rnn", "--budget", "0", "--rounds", "2"]
    main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]
    folder = results.folder_of("Some CPU, 3rd", bn.isa())
    assert folder.name == f"some-cpu-3rd-{bn.isa()}"
    assert main(options) == 0
    none = f"benchmarks guard: there are no kept results of this CPU, {folder.name}\n"
    assert capsys.readouterr().out == none
    kept = replace(row("bptt", 1e-3), cell="rnn", percent_of_peak=1e6)
    results.write(folder / "float32-1.csv", {"date": "2026-01-02"}, [kept])
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert "benchmarks guard: 1 of 1 items are slower" in printed
    assert "SLOWER than 2026-01-02: train tiny rnn: 1000000.0 -> " in printed


def test_a_whole_run(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER), "--peers", "numpy", "--shapes", "tiny", "--cells", "rnn",
         "--jobs", "train", "infer", "--budget", "0", "--rounds", "2", "--check",
         "--save", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "INCOMPLETE: oneDNN" in done.stdout
    assert "best of the Python packages" in done.stdout
    header, rows = results.read(tmp_path / "float32-1.csv")
    assert {(r.job, r.who) for r in rows} == {
        (job, who) for job in ("train", "infer") for who in ("bptt", "numpy")
    }
    assert all(0 < r.low_ms <= r.ms <= r.high_ms for r in rows)
    assert header["isa"] in programs.ISA_FLAGS
    assert header["threads"] == "1"
    assert (tmp_path / "float32-1.txt").read_text() in done.stdout
    assert (tmp_path / "float32-1-train.png").stat().st_size > 3_000
    if header.get("peak"):
        for kind in ("peak", "tile"):
            rate = float(header[kind].split()[1])
            for r in rows:
                assert getattr(r, f"percent_of_{kind}") == pytest.approx(
                    100 * r.gflops / rate, 0.02
                )
    with (tmp_path / "float32-1.csv").open() as file:
        assert next(csv.reader(line for line in file if line[0] != "#"))[0] == "job"


@pytest.mark.parametrize("folder", sorted(results.KEPT.iterdir()), ids=lambda path: path.name)
def test_charts_of_kept_results(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    import chart

    drawn: dict[str, Any] = {}

    def keep(figure: Any, path: Path, **options: int) -> None:
        drawn[path.name] = figure

    monkeypatch.setattr(chart.base, "save_figure", keep)
    assert chart.main([str(folder)]) == 0
    assert drawn.keys() == {path.name for path in folder.glob("*.png")}
    for name, figure in drawn.items():
        assert faults(figure) == [], name
        _, rows = results.read(folder / f"{name.rpartition('-')[0]}.csv")
        shown = [row for row in rows if f"-{row.job}." in name and row.who in chart.STYLES]
        dots = [line for ax in figure.axes for line in ax.lines if line.get_linestyle() == "None"]
        assert len(dots) == len(shown)
        for dot in dots:
            low, high = dot.axes.get_xlim()
            assert low < float(dot.get_xdata()[0]) < high  # it is not cut off


def test_limited_peers_get_their_variables_and_the_header_names_the_others() -> None:
    for isa, name in (("avx2", "AVX2"), ("sse2", "SSE4_2")):
        limited = peers.Setting(1, isa, True, True, {}).environment(peers.PEERS["jax"])
        assert limited["XLA_FLAGS"].endswith(f"--xla_cpu_max_isa={name}")
        assert limited["BPTT_BENCH_LIMIT"] == limited["BPTT_ISA"] == isa
        assert {"X86_V4"} <= set(limited["NPY_DISABLE_CPU_FEATURES"].split())
    free = peers.Setting(1, "avx2", False, True, {}).environment(peers.PEERS["jax"])
    assert not {"BPTT_BENCH_LIMIT", "ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES"} & free.keys()
    assert "isa" not in free["XLA_FLAGS"]
    found = {
        isa: run.limits(isa, [peers.PEERS[name] for name in ("jax", "torch", "onnxruntime")])
        for isa in ("avx2", "sse2")
    }
    assert found == {
        "avx2": ", peers limited to it, but not onnxruntime",
        "sse2": ", peers limited to it, but not torch, but not onnxruntime",
    }


YNNPACK = """
unsigned long found __asm__("_ZZN3ynn24get_supported_arch_flagsEvE5flags");
unsigned long find(void) __asm__("_ZN3ynn24get_supported_arch_flagsEv");
unsigned long find(void) { return found = found ? found : 0x3fff; }
unsigned long now(void) { return found; }
"""


def test_ynnpack_is_limited_in_memory(tmp_path) -> None:
    def library(name: str, text: str) -> tuple[ctypes.CDLL, Path]:
        source, path = tmp_path / f"{name}.c", tmp_path / f"{name}.so"
        source.write_text(text)
        subprocess.run([compiler(), "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
        return ctypes.CDLL(str(path)), path

    loaded, path = library("ynnpack", YNNPACK)
    assert ynnpack.limit(path, "avx2")
    assert loaded.now() == 0xFF
    assert ynnpack.limit(path, "sse2")
    assert loaded.now() == 0x07
    _, other = library("other", YNNPACK.replace("arch_flags", "other_flags"))
    assert not ynnpack.limit(other, "avx2")


def test_diagnostics_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER), "--diagnostics", "--peers", "numpy", "--shapes", "tiny",
         "--budget", "0"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no comparison with torch, which is not installed or not among --peers" in done.stdout
    found = re.findall(r"tiny +(\w+) +([\d.]+) \(.* x([\d.]+) \(.*, 5 pairs", done.stdout)
    assert [cell for cell, _, _ in found] == ["rnn", "lstm", "gru"]
    assert all(float(ms) > 0 and 0.2 < float(ratio) < 5 for _, ms, ratio in found)


@pytest.mark.long
def test_the_searches_for_fixed_points_agree() -> None:
    """The points of each search, ours and those with torch, are points of the other ones."""
    pytest.importorskip("torch")
    net = bn.Model("gru", input_size=3, hidden_size=fixed_points.UNITS, output_size=3, seed=1)
    weight = net.state_dict()["rnn.weight_hh_l0"].copy()
    weight[2 * fixed_points.UNITS :] += 6 / fixed_points.UNITS  # h = n has three solutions
    net.load_state_dict({**net.state_dict(), "rnn.weight_hh_l0": weight})
    starts = np.random.default_rng(0).uniform(-1, 1, (40, 1)) * np.ones((1, fixed_points.UNITS))
    search = fixed_points.Torch(net, starts)
    ours = bn.diagnostics.fixed_points(net, starts=starts, slow=0.0).states
    assert len(ours) == 3
    again = fixed_points.Torch(net, ours).newton()
    assert np.abs(again - ours).max() < 1e-9
    assert fixed_points.distances(search.newton(), ours).max() < 1e-9
    assert fixed_points.distances(search.adam(700), ours).max() < fixed_points.NEAR


@pytest.mark.long
def test_fixed_points_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER), "--fixed-points", "--peers", "numpy", "--rounds", "1"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no comparison with torch" in done.stdout
    assert re.search(r"finds (\d+) of \1 points, and its starts end at 0 other places", done.stdout)


def test_a_wrong_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="expected PEER=FOLDER with PEER one of bptt"):
        peers.prefix_of("tensorflow=/")
    with pytest.raises(ValueError, match="got 'torch=/no/such/folder'"):
        peers.prefix_of("torch=/no/such/folder")
