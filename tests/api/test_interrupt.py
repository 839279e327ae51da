"""Ctrl-C in a long native call: the call stops and changes nothing.

tests/capi/cancel.c counts how often a call polls for it, and that it stops at the first request.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.diagnostics import jacobian_product, lyapunov


def interrupted(call: Callable[[], Any]) -> None:
    """Make the call, and send Ctrl-C as soon as it has given the GIL up."""
    begins = threading.Event()

    def strike() -> None:
        begins.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e6)  # the other thread runs in the call only
    try:
        begins.set()
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        sys.setswitchinterval(usual)
        thread.join()


@pytest.mark.parametrize("what", ["forward", "train_step"])
def test_interrupt(what: str) -> None:
    m = bn.Model(cell="lstm", input_size=32, hidden_size=256, output_size=8, dtype="float32")
    x = np.zeros((20_000, 4, 32), np.float32)
    y = np.zeros((20_000, 4), np.int64)
    before = m.state_dict()
    interrupted({"forward": lambda: m(x), "train_step": lambda: m.train_step(x, y)}[what])
    assert (m.step_count, m.optimizer.steps) == (0, 0)
    for name, values in m.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    r = m.train_step(x[:5], y[:5])  # the next call works
    assert np.isfinite(r.loss)
    assert not r.skipped


@pytest.mark.parametrize("what", ["many steps", "a large state", "singular values"])
def test_interrupt_of_a_spectrum(what: str) -> None:
    units, steps = (256, 20_000) if what == "many steps" else (1800, 3)
    net = bn.RNN(2, units, seed=0)
    tape = net.forward(np.zeros((steps, 1, 2), np.float32))[2]
    few = lyapunov(net, tape, count=2, last=3).exponents
    measure = jacobian_product if what == "singular values" else lyapunov
    interrupted(lambda: measure(net, tape, interval=steps))
    assert np.array_equal(lyapunov(net, tape, count=2, last=3).exponents, few)


def interrupt_at_work(seconds: float, look: Callable[[], bool]) -> list[bool]:
    """Interrupt after some of this process's work; `look` is noted at that moment."""
    seen: list[bool] = []

    def arrived(number: int, frame: object) -> None:
        seen.append(look())
        raise KeyboardInterrupt

    signal.signal(signal.SIGPROF, arrived)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    return seen


def is_open(path: Path) -> bool:
    return any(os.path.realpath(entry) == str(path) for entry in Path("/proc/self/fd").iterdir())


def test_interrupt_of_a_save_and_of_a_load(tmp_path: Path) -> None:
    """The handler runs while the file is written or read, not afterwards."""
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3)
    m.tensors["large"] = np.zeros(40 << 20, np.float32)
    path = tmp_path / "m"
    before = signal.getsignal(signal.SIGPROF)
    try:
        seen = interrupt_at_work(0.02, path.exists)
        with pytest.raises(KeyboardInterrupt):
            m.save(path)
        assert seen == [False]
        assert list(tmp_path.iterdir()) == []
        m.save(path)
        seen = interrupt_at_work(0.02, lambda: is_open(path))
        with pytest.raises(KeyboardInterrupt):
            bn.load(path)
        assert seen == [True]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert bn.load(path).tensors["large"].shape == (40 << 20,)
