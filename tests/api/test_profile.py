"""The profile of the engine's time, and the command that shows it."""

import threading
import time

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.cli.main import main
from helpers.cells import LAYERS

PHASES = {
    "packing", "input", "recurrent", "pointwise", "weight_gradients", "input_gradients",
    "readout", "clip", "optimizer", "other",
}  # fmt: skip


@pytest.fixture
def one_thread(threads_afterwards):
    bn.set_num_threads(1)


def layer_step(layer, steps=60, batch=16):
    rng = np.random.Generator(np.random.Philox(3))
    x = rng.standard_normal((steps, batch, layer.input_size)).astype(layer.dtype)
    tape = layer.forward(x)[2]
    layer.backward(tape, np.ones((steps, batch, layer.hidden_size), layer.dtype))


@pytest.mark.parametrize("cell", LAYERS.values())
def test_phases_of_a_layer_sum_to_its_time(cell, isa, one_thread) -> None:
    layer = cell(24, 96)
    layer_step(layer)
    with bn.profile() as p:
        for _ in range(10):
            layer_step(layer)
    assert set(p.seconds) == PHASES
    total = sum(p.seconds.values())
    assert 0 < total <= p.elapsed * 1.05
    for name in ("input", "recurrent", "pointwise", "weight_gradients", "input_gradients"):
        assert p.seconds[name] > 0, name
    for name in ("readout", "clip", "optimizer"):
        assert p.seconds[name] == 0, name


def test_phases_of_a_model_sum_to_its_time(one_thread) -> None:
    model = bn.Model("lstm", input_size=24, hidden_size=96, output_size=20, clip_norm=1.0)
    rng = np.random.Generator(np.random.Philox(4))
    x = rng.standard_normal((80, 32, 24)).astype(np.float32)
    targets = rng.integers(0, 20, (80, 32))
    model.train_step(x, targets)
    worked = time.process_time()  # however long other processes have the CPU
    with bn.profile() as p:
        for _ in range(20):
            model.train_step(x, targets)
    worked = time.process_time() - worked
    total = sum(p.seconds.values())
    assert 0.5 * worked <= total <= 1.05 * p.elapsed
    for name in ("packing", "recurrent", "readout", "clip", "optimizer"):
        assert p.seconds[name] > 0, name


def test_nothing_counts_outside_a_profile() -> None:
    with bn.profile() as p:
        pass
    layer_step(bn.LSTM(8, 16))
    assert set(p.seconds.values()) == {0.0}
    with bn.profile() as q:
        pass
    assert set(q.seconds.values()) == {0.0}


def test_results_have_the_same_bits_in_a_profile() -> None:
    x = np.random.Generator(np.random.Philox(5)).standard_normal((20, 5, 8)).astype(np.float32)
    layer = bn.GRU(8, 40)
    plain = layer.forward(x)[0]
    with bn.profile():
        profiled = layer.forward(x)[0]
    np.testing.assert_array_equal(plain, profiled)


def test_threads_count_together() -> None:
    layer = bn.LSTM(8, 32)
    with bn.profile() as p:
        threads = [threading.Thread(target=layer_step, args=(layer,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert p.seconds["recurrent"] > 0


def test_one_profile_at_a_time() -> None:
    with bn.profile(), pytest.raises(RuntimeError, match="profile"), bn.profile():
        pass
    with bn.profile():  # the first has ended
        pass


BENCH = ["bench", "--hidden", "24", "--steps", "20", "--batch", "4", "--seconds", "0.05"]


@pytest.mark.parametrize("cell", LAYERS)
def test_bench_shows_the_step_and_its_phases(cell, capsys) -> None:
    assert main([*BENCH, "--cell", cell, "--threads", "1", "--profile"]) == 0
    out = capsys.readouterr().out
    for word in ("step: median", "GFLOP/s", "recurrent", "pointwise", "weight gradients", "python"):
        assert word in out, word


def test_bench_of_a_model(capsys) -> None:
    assert main([*BENCH, "--outputs", "7", "--layers", "2", "--dtype", "float64", "--profile"]) == 0
    out = capsys.readouterr().out
    assert "readout" in out
    assert "optimizer" in out


@pytest.mark.parametrize(
    "wrong", [["--hidden", "0"], ["--seconds", "-1"], ["--seconds", "nan"], ["--cell", "elman"]]
)
def test_bench_refuses(wrong, capsys) -> None:
    try:
        code = main([*BENCH, *wrong])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    err = capsys.readouterr().err
    assert "expected" in err or "invalid choice" in err
    assert err.count("\n") == 1
