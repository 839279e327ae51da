"""Interrupted runs: the first signal sets a flag, the second ends the program; both can resume."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from bptt_native.apps.sampling import load_text_model
from bptt_native.apps.text import TextTrainer
from bptt_native.runtime.interruption import Interruption
from bptt_native.training.history import (
    read_history,
)
from bptt_native.training.trainer import HISTORY_FILE, MODEL_FILE
from helpers.fitting import figures
from helpers.texts import SMALL, TEXT


def test_first_interrupt_is_a_flag():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_ends_at_once():
    code = (
        "import os, signal, time; from bptt_native.runtime.interruption import Interruption\n"
        "with Interruption() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGINT); assert stop(); print('one', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(600)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "one\n")


def test_other_threads_leave_signals_alone():
    before, failed = signal.getsignal(signal.SIGINT), []

    def enter():
        try:
            with Interruption() as stop:
                assert not stop()
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failed
    assert signal.getsignal(signal.SIGINT) is before


# The program, and a thread in it that ends it at some moment after step 700. The run waits for the
# thread, so it never ends before.
ENDED = """
import os, signal, sys, threading
from bptt_native.training import trainer
from bptt_native.cli.main import main

ended, usual = threading.Event(), trainer.Trainer.train_step

def end():
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    ended.set()

def train_step(self):
    if self.step == 700:
        threading.Thread(target=end).start()
    if self.step == 900:
        ended.wait()
    return usual(self)

trainer.Trainer.train_step = train_step
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_run_that_was_ended_goes_on(tmp_path, name):
    """Ctrl-C or a kill at some moment, then --resume, gives the bits of a run without it."""
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text(TEXT)
    steps = 2000
    options = ["--hidden", "24", "--seq-len", "10", "--batch", "6", "--steps", str(steps)]
    command = ["train", str(text), *options, "--checkpoint-every", "50"]
    program = [sys.executable, "-m", "bptt_native"]
    train = [*command, "--out", str(out)]
    child = subprocess.run(
        [sys.executable, "-c", ENDED, name, *train], capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    errors = child.stderr
    assert child.stdout == ""
    assert "Traceback" not in errors
    step = load_text_model(out / MODEL_FILE)[2]["step"]
    rows = read_history(out / HISTORY_FILE)
    assert [row.step for row in rows] == list(range(1, len(rows) + 1))
    if name == "SIGINT":
        assert child.returncode == 130, errors
        assert "--resume continues it" in errors
        assert 0 < step == len(rows) < steps
    else:
        assert child.returncode == -signal.SIGKILL
        assert step <= len(rows) < steps
        assert step % 50 == 0

    resumed = [*program, *train, "--resume"]
    done = subprocess.run(resumed, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    whole = [*program, *command, "--out", str(tmp_path / "whole")]
    subprocess.run(whole, capture_output=True, check=True, timeout=300)
    one, two = (load_text_model(o / MODEL_FILE)[0].state_dict() for o in (out, tmp_path / "whole"))
    for key in one:
        assert one[key].tobytes() == two[key].tobytes()
    histories = [read_history(o / HISTORY_FILE) for o in (out, tmp_path / "whole")]
    assert figures(histories[0]) == figures(histories[1])


def test_interrupt_between_steps_in_process(tmp_path):
    trainer = TextTrainer(TEXT, SMALL)
    asked = iter([False] * 6 + [True])
    assert not trainer.fit(tmp_path, stop=lambda: next(asked))
    assert trainer.step == 7
    assert load_text_model(tmp_path / MODEL_FILE)[2]["step"] == 7
