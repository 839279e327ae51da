"""Ctrl-C in a long native call stops it soon and changes nothing."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.diagnostics import jacobian_product, lyapunov


def interrupt_after(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    return timer


@pytest.mark.parametrize("what", ["forward", "train_step"])
def test_interrupt(what: str) -> None:
    m = bn.Model(cell="lstm", input_size=32, hidden_size=256, output_size=8, dtype="float32")
    x = np.zeros((60_000, 4, 32), np.float32)
    y = np.zeros((60_000, 4), np.int64)
    before = m.state_dict()
    timer = interrupt_after(0.3)
    start = time.perf_counter()
    call = {"forward": lambda: m(x), "train_step": lambda: m.train_step(x, y)}[what]
    with pytest.raises(KeyboardInterrupt):
        call()
    taken = time.perf_counter() - start
    timer.cancel()
    assert taken < 0.3 + 1.0, f"{taken:.2f} s until the call stopped"
    for name, values in m.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    r = m.train_step(x[:5], y[:5])  # the next call works
    assert np.isfinite(r.loss)
    assert not r.skipped


@pytest.mark.parametrize("what", ["many steps", "a large state", "singular values"])
def test_interrupt_of_a_spectrum(what: str) -> None:
    units, steps = (256, 60_000) if what == "many steps" else (1800, 3)
    net = bn.RNN(2, units, seed=0)
    tape = net.forward(np.zeros((steps, 1, 2), np.float32))[2]
    few = lyapunov(net, tape, count=2, last=3).exponents
    timer = interrupt_after(0.3)
    start = time.perf_counter()
    measure = jacobian_product if what == "singular values" else lyapunov
    with pytest.raises(KeyboardInterrupt):
        measure(net, tape, interval=steps)
    taken = time.perf_counter() - start
    timer.cancel()
    assert taken < 0.3 + 1.0, f"{taken:.2f} s until the call stopped"
    assert np.array_equal(lyapunov(net, tape, count=2, last=3).exponents, few)
