"""Forks while another thread is inside a public call: the child makes every call and ends."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import diagnostics

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

FORKS = 4
SECONDS = 60  # that a child may take before it counts as one that hangs

x = np.random.default_rng(0).standard_normal((20, 16, 24)).astype(np.float32)
classes = np.zeros((20, 16), np.int64)


class Bench:
    """The objects that parent and child share, and every kind of call on them."""

    def __init__(self) -> None:
        self.model = bn.Model(cell="lstm", input_size=24, hidden_size=32, output_size=5)
        self.layer = bn.GRU(24, 32)
        self.adam = bn.Adam(self.layer)

    def train(self) -> None:
        self.model.train_step(x, classes)

    def halves(self) -> None:
        self.model.apply(self.model.gradients(x, classes)[1])

    def evaluate(self) -> None:
        self.model.eval_step(x, classes)
        self.model(x)

    def passes(self) -> None:
        for net in (self.model, self.layer):
            out, _, tape = net.forward(x)
            net.backward(tape, np.ones_like(out))
            tape.states()
            tape.gates()

    def old_tapes(self) -> None:
        for net, rule in ((self.model, self.model.optimizer), (self.layer, self.adam)):
            out, _, tape = net.forward(x)
            rule.step(net.backward(net.forward(x)[2], np.ones_like(out)))
            net.backward(tape, np.ones_like(out))

    def look(self) -> None:
        tape = self.layer.forward(x)[2]
        diagnostics.lyapunov(self.layer, tape, count=2)
        diagnostics.jacobian(self.layer, tape, 3)
        diagnostics.backward_seeds(self.layer, tape, times=[19], outputs=[0])

    def parameters(self) -> None:
        for net in (self.model, self.layer):
            net.load_state_dict(net.state_dict())
            net.freeze(*net.state_dict())
            net.unfreeze(*net.state_dict())
        bn.clip_grad_norm_(self.model.gradients(x, classes)[1], 1.0)

    def optimizers(self) -> None:
        out, _, tape = self.layer.forward(x)
        self.adam.step(self.layer.backward(tape, np.ones_like(out)))
        for rule in (self.adam, self.model.optimizer):
            rule.load_state_dict(rule.state_dict())
            rule.lr = rule.lr

    def metadata(self) -> None:
        self.model.metadata["key"] = "value"
        assert dict(self.model.metadata)["key"] == "value"

    def tensors(self) -> None:
        self.model.tensors["name"] = np.arange(1000.0)
        assert dict(self.model.tensors)["name"][3] == 3

    def files(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.model.save(Path(folder, "model"))
            bn.load(Path(folder, "model"))

    def stream(self) -> None:
        stream = self.model.stream()
        stream.step(x[0, 0])
        stream.state = stream.state

    def objects(self) -> None:
        bn.Model(cell="rnn", input_size=3, hidden_size=4, output_size=2)
        bn.LSTM(3, 4)
        assert self.model.config

    def profile(self) -> None:
        with bn.profile():
            pass

    def library(self) -> None:
        bn.set_num_threads(2)
        bn.isa()
        bn.available_isas()


CALLS = [name for name in vars(Bench) if not name.startswith("_")]


def call_all(bench: Bench) -> list[str]:
    """Make every call twice; return the refused ones with the reason."""
    refused = []
    for name in 2 * CALLS:
        try:
            getattr(bench, name)()
        except RuntimeError as error:
            refused.append(f"{name}: {error}")
    return refused


def is_of_the_fork(refusal: str) -> bool:
    """Whether another thread was changing the object, or had opened a profile."""
    return "when this process was forked" in refusal or refusal.startswith("profile: ")


def fork_now(bench: Bench) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            code = 0 if all(map(is_of_the_fork, call_all(bench))) else 2
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFSIGNALED(status), f"the child ended by signal {os.WTERMSIG(status)}"
    assert os.WEXITSTATUS(status) == 0


def while_busy(busy: Callable[[], None], then: Callable[[], None], second_forks: bool) -> None:
    """Repeat `busy` on one thread while the other does `then`."""
    done, failures = threading.Event(), []

    def repeat() -> None:
        while not done.is_set():
            busy()

    def fork_often() -> None:
        try:
            for i in range(FORKS):
                time.sleep(0.0007 * i)
                then()
        except BaseException as error:
            failures.append(error)
        done.set()

    first, second = (repeat, fork_often) if second_forks else (fork_often, repeat)
    other = threading.Thread(target=second)
    other.start()
    first()
    other.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("second_forks", [False, True], ids=["main forks", "another forks"])
@pytest.mark.parametrize("name", CALLS)
def test_a_child_forked_during_a_call_can_make_every_call(name: str, second_forks: bool) -> None:
    bench = Bench()
    bn.set_num_threads(2)
    while_busy(getattr(bench, name), lambda: fork_now(bench), second_forks)
    assert not call_all(bench)  # in the parent all is as ever
