"""Training a character language model: schedule, data order, checkpoints, resuming, diverging."""

import dataclasses
import io
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.apps.sampling import load_text_model, sample
from bptt_native.apps.text import TextOptions, TextTrainer
from bptt_native.apps.vocabulary import Vocabulary
from bptt_native.runtime.interruption import Interruption
from bptt_native.training.history import (
    COLUMNS,
    HistoryRow,
    Progress,
    open_history,
    read_history,
    summary,
)
from bptt_native.training.trainer import HISTORY_FILE, MODEL_FILE, TrainingDiverged
from helpers.fitting import figures

TEXT = "".join(
    f"{a} {verb} the {b} {where}.\n"
    for a in ("Anna", "Otto", "Emma", "Ida")
    for verb in ("sees", "follows", "paints", "forgets")
    for b in ("cat", "river", "house", "moon", "letter")
    for where in ("again", "at night", "in the garden", "with joy")
)
SMALL = TextOptions(hidden=12, seq_len=10, batch=6, steps=30, lr=1e-2, warmup=4, clip_norm=0.4)


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


def assert_same(a, b):
    """The same bits: parameters, moments, position, carried state, history."""
    one, two = a.model.state_dict(), b.model.state_dict()
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].tobytes() == two[name].tobytes(), name
    assert_same_tree(a.model.optimizer.state_dict(), b.model.optimizer.state_dict())
    assert a.step == b.step
    assert figures(a.history) == figures(b.history)
    assert np.asarray(a._state).tobytes() == np.asarray(b._state).tobytes()


def assert_same_tree(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same_tree(a[key], b[key])
    else:
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq_len": 0}, {"batch": -1}, {"steps": 0}, {"steps": 1.5}, {"warmup": -1},
        {"schedule": "linear"}, {"schedule": "plateau"}, {"decay": -1.0}, {"decay_every": 0},
        {"valid_fraction": 1.0}, {"valid_fraction": math.nan},
        {"lr": math.nan}, {"lr": math.inf}, {"lr": 0.0},
    ],
)  # fmt: skip
def test_options_are_judged(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"TextOptions: argument '{name}': expected .*, got"):
        small(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 0}, {"cell": "lstn"}, {"optimizer": "adamm"}, {"dtype": "float16"},
        {"clip_norm": math.nan}, {"clip_step": -1.0}, {"init": "zero"}, {"layers": 0},
    ],
)  # fmt: skip
def test_the_model_judges_its_options(wrong):
    with pytest.raises((TypeError, ValueError), match=r"argument '.*': expected .*, got"):
        TextTrainer(TEXT, small(**wrong))


def test_short_texts_are_refused():
    TextTrainer("ab" * 40, small(valid_fraction=0.1))
    with pytest.raises(ValueError, match="argument 'text': expected at least 61 characters"):
        TextTrainer("ab" * 30, small(valid_fraction=0.0))
    with pytest.raises(ValueError, match="expected at least 2 characters held out"):
        TextTrainer("ab" * 40, small(valid_fraction=0.02))


# ----------------------------------------------------------------------------------------- learning


def test_it_learns_and_evaluates_with_carried_state():
    trainer = TextTrainer(TEXT, small(steps=250, hidden=24))
    first = trainer.evaluate()
    assert first == pytest.approx(math.log2(len(trainer.vocabulary)), rel=0.1)
    assert trainer.fit()
    assert [row.step for row in trainer.history] == list(range(1, 251))
    assert trainer.history[-1].bpc == trainer.evaluate() < 0.6 * first
    assert any(row.clipped for row in trainer.history)
    for row in trainer.history:
        assert row.clipped == (row.grad_norm > 0.4)

    assert len(trainer.valid) < 2000  # so short a text is read in one stream
    out, _ = trainer.model(trainer.valid[:-1, None])
    out = out[:, 0].astype(np.float64)
    log_p = out - np.log(np.exp(out).sum(axis=1, keepdims=True))
    bits = -log_p[np.arange(len(out)), trainer.valid[1:]].mean() / math.log(2)
    assert trainer.evaluate() == pytest.approx(bits, rel=1e-5)


def test_without_a_held_out_part():
    trainer = TextTrainer(TEXT, small(steps=3, valid_fraction=0.0))
    assert trainer.fit()
    assert [row.bpc for row in trainer.history] == [None] * 3


def test_the_state_is_carried_within_an_epoch_only():
    trainer = TextTrainer(TEXT, SMALL)
    trainer.train_step()
    h, c = trainer._state
    assert h.shape == c.shape == (1, 6, 12)
    assert np.any(h)
    trainer.step = trainer.steps_per_epoch
    batch = trainer.source.batch(1, 0)
    assert batch.carried(trainer._state) is None
    assert trainer.source.batch(1, 1).carried(trainer._state)[0].tobytes() == h.tobytes()


def test_data_order_follows_the_seed():
    def order(seed):
        trainer = TextTrainer(TEXT, small(seed=seed))
        each = trainer.steps_per_epoch
        batches = (trainer.source.batch(*divmod(step, each)) for step in range(4 * each))
        return np.stack([batch.x for batch in batches]), each

    one, each = order(3)
    assert one.tobytes() == order(3)[0].tobytes()
    assert one.tobytes() != order(4)[0].tobytes()
    starts = {one[k * each].tobytes() for k in range(4)}
    assert len(starts) > 1  # epochs begin at different characters


def test_steps_can_change_on_the_way():
    trainer = TextTrainer(TEXT, SMALL)
    trainer.fit(until=10)
    with pytest.raises(ValueError, match="argument 'steps': expected more than the 10 steps"):
        trainer.set_steps(10)
    trainer.set_steps(12)
    assert trainer.fit()
    assert trainer.step == 12
    assert trainer.history[-1].bpc is not None


# ---------------------------------------------------------------------------- checkpoints, resuming


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"cell": "gru", "layers": 2, "optimizer": "sgd", "lr": 0.5},
        {"cell": "rnn", "nonlinearity": "relu", "embedding": 5, "optimizer": "adagrad"},
        {"dtype": "float64", "schedule": "constant", "clip_step": 0.01, "forget_bias": 1.0},
    ],
    ids=["lstm-adam", "gru-sgd", "rnn-adagrad", "float64"],
)  # fmt: skip
def test_resuming_goes_on_to_the_same_bits(tmp_path, changes):
    options = small(**changes)
    whole = TextTrainer(TEXT, options)
    assert whole.fit(tmp_path / "whole", eval_every=4)
    assert not TextTrainer(TEXT, options).fit(tmp_path / "parts", until=15, eval_every=4)
    resumed = TextTrainer.resume(tmp_path / "parts" / MODEL_FILE, TEXT)
    assert resumed.options == options
    assert resumed.step == 15
    assert resumed.fit(tmp_path / "parts", eval_every=4)
    assert_same(whole, resumed)
    rows = [read_history(tmp_path / part / HISTORY_FILE) for part in ("whole", "parts")]
    assert figures(rows[0]) == figures(rows[1]) == figures(whole.history)
    assert resumed.fit(tmp_path / "parts")  # nothing is left to do
    assert_same(whole, resumed)


def test_resuming_at_the_start_and_after_a_kill(tmp_path):
    """The history may have run ahead of the checkpoint, and its last line may be cut short."""
    whole = TextTrainer(TEXT, SMALL)
    whole.fit(eval_every=5)
    TextTrainer(TEXT, SMALL).fit(tmp_path, until=8, eval_every=5)
    ahead = TextTrainer.resume(tmp_path / MODEL_FILE, TEXT)
    with (tmp_path / HISTORY_FILE).open("a") as file:
        ahead_rows = [ahead.train_step() for _ in range(3)]
        file.write("".join(f"{row.step},1,1.5,,,0.25,1,0,0.003,100,1.5\n" for row in ahead_rows))
        file.write("12,1.4")
    resumed = TextTrainer.resume(tmp_path / MODEL_FILE, TEXT)
    assert len(resumed.history) == 8
    resumed.fit(tmp_path, eval_every=5)
    assert_same(whole, resumed)
    assert figures(read_history(tmp_path / HISTORY_FILE)) == figures(whole.history)

    (tmp_path / "start").mkdir()
    with pytest.raises(TrainingDiverged):
        diverge(tmp_path / "start")
    start = TextTrainer.resume(tmp_path / "start" / MODEL_FILE, TEXT)
    assert start.step == 0
    assert start.history == []


def test_resuming_needs_the_same_text(tmp_path):
    TextTrainer(TEXT, SMALL).fit(tmp_path, until=1)
    with pytest.raises(ValueError, match="argument 'text': expected the text of the run, SHA-256"):
        TextTrainer.resume(tmp_path / MODEL_FILE, TEXT + "x")


def test_foreign_files_are_refused(tmp_path):
    model = bn.Model(cell="gru", vocab_size=4, hidden_size=3, output_size=4)
    model.save(str(tmp_path / "other"))
    expected = "the model file of a character language model, got .*other': it has no metadata 'voc"
    with pytest.raises(ValueError, match=f"expected {expected}"):
        TextTrainer.resume(tmp_path / "other", TEXT)
    with pytest.raises(OSError, match="nothing"):
        TextTrainer.resume(tmp_path / "nothing", TEXT)
    (tmp_path / "text").write_text(TEXT)
    with pytest.raises(ValueError, match="expected"):
        load_text_model(tmp_path / "text")


def test_a_model_file_knows_its_vocabulary(tmp_path):
    text = TEXT + '"\\\u2028\U0001f600'
    trainer = TextTrainer(text, SMALL)
    trainer.fit(tmp_path, until=2)
    model, vocabulary, training = load_text_model(tmp_path / MODEL_FILE)
    assert vocabulary == trainer.vocabulary == Vocabulary.of(text)
    assert training["options"] == dataclasses.asdict(SMALL)
    assert training["step"] == 2
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], value)


# ---------------------------------------------------------------------------------------- diverging


def diverge(out, checkpoint_every=25):
    """Train an unbounded network with a rate that soon leaves no numbers."""
    wild = {"cell": "rnn", "nonlinearity": "relu", "optimizer": "sgd", "lr": 1e30}
    trainer = TextTrainer(TEXT, small(**wild, clip_norm=None, warmup=0))
    try:
        trainer.fit(out, max_skips=20, checkpoint_every=checkpoint_every)
    finally:
        assert trainer.step <= 30
    return trainer


@pytest.mark.parametrize("checkpoint_every", [1, 25])
def test_diverging_stops_and_keeps_the_last_good_checkpoint(tmp_path, checkpoint_every):
    with pytest.raises(TrainingDiverged, match="20 steps in a row"):
        diverge(tmp_path, checkpoint_every)
    rows = read_history(tmp_path / HISTORY_FILE)
    assert [row.skipped for row in rows[-20:]] == [True] * 20
    assert not any(row.skipped for row in rows[:-20])
    assert all(not math.isfinite(row.grad_norm) for row in rows[-20:])
    assert summary(rows)["skipped"] == "20"
    model, _, training = load_text_model(tmp_path / MODEL_FILE)
    assert training["step"] <= len(rows) - 20
    assert all(np.isfinite(p).all() for p in model.state_dict().values())


def test_a_step_that_would_overflow_parameters_is_skipped(tmp_path):
    """A finite gradient can still send parameters beyond the numbers: model and file stay."""
    wild = {"cell": "rnn", "nonlinearity": "relu", "optimizer": "sgd", "lr": 1e38}
    trainer = TextTrainer(TEXT, small(**wild, clip_norm=None, warmup=0))
    large = {name: 3 * value for name, value in trainer.model.state_dict().items()}
    trainer.model.load_state_dict(large)
    trainer.fit(tmp_path, until=1, checkpoint_every=1)
    assert trainer.history[0].skipped
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, large[name])
    model, _, training = load_text_model(tmp_path / MODEL_FILE)
    assert (training["step"], training["skips"]) == (1, 1)
    np.testing.assert_array_equal(model.state_dict()["readout.weight"], large["readout.weight"])


def test_a_skipped_step_changes_nothing_and_the_next_one_starts_afresh():
    trainer = TextTrainer(TEXT, SMALL)
    trainer.fit(until=5)
    before = trainer.model.state_dict()
    moments = trainer.model.optimizer.state_dict() | {"lr": None}
    trainer._state = tuple(np.full_like(s, np.nan) for s in trainer._state)
    row = trainer.train_step()
    assert row.skipped
    assert not math.isfinite(row.grad_norm)
    for name, value in trainer.model.state_dict().items():
        assert value.tobytes() == before[name].tobytes()
    assert_same_tree(trainer.model.optimizer.state_dict() | {"lr": None}, moments)
    row = trainer.train_step()
    assert not row.skipped
    assert math.isfinite(row.loss)
    assert trainer._skips == 0


# ------------------------------------------------------------------------------------- interruption


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


# The program, which a thread of its own ends at some moment after step 700. It waits for that, so
# that it is never over before.
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
        assert "--resume goes on" in errors
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


# ----------------------------------------------------------------------------- history and progress


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
    assert "clipped=100%" in stream.getvalue()

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


# ----------------------------------------------------------------------------------------- sampling


@pytest.fixture(scope="module")
def trained():
    trainer = TextTrainer(TEXT, small(hidden=32, steps=400))
    trainer.fit()
    return trainer.model, trainer.vocabulary


def test_samples_follow_the_seed(trained):
    def write(**changes):
        return "".join(sample(*trained, **({"prime": "Anna ", "length": 200, "seed": 5} | changes)))

    one = write()
    assert len(one) == 200
    assert one == write()
    assert one != write(seed=6)
    assert write(length=0) == ""
    known = set(TEXT.split())
    assert sum(word in known for word in one.split()) > 0.6 * len(one.split())


def test_temperature(trained):
    greedy = {"".join(sample(*trained, "O", 60, 0.0, seed)) for seed in range(3)}
    assert len(greedy) == 1
    assert "".join(sample(*trained, "O", 60, 1e-6)) in greedy
    wild = "".join(sample(*trained, "O", 3000, 1e6))
    counts = np.array([wild.count(c) for c in trained[1].characters])
    assert counts.min() > 0.5 * 3000 / len(counts)


def test_sampling_is_from_the_softmax(trained):
    model, vocabulary = trained
    temperature = 1.5
    logits = np.asarray(model.stream().step(int(vocabulary.encode("A")[0])), np.float64)
    p = np.exp(logits / temperature)
    p /= p.sum()
    draws = 3000
    got = [next(sample(model, vocabulary, "A", 1, temperature, seed)) for seed in range(draws)]
    counts = np.array([got.count(c) for c in vocabulary.characters])
    z = (counts - draws * p) / np.sqrt(draws * p * (1 - p) + 1)
    assert np.abs(z).max() < 5


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"prime": ""}, "prime"), ({"prime": "é"}, "text"), ({"length": -1}, "length"),
        ({"temperature": -0.1}, "temperature"), ({"temperature": math.nan}, "temperature"),
    ],
)  # fmt: skip
def test_sampling_refuses(trained, wrong, argument):
    with pytest.raises(ValueError, match=f"argument '{argument}': expected"):
        next(sample(*trained, **wrong))


def test_nothing_heavy_is_imported():
    code = (
        "import sys, bptt_native.cli.main\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} & {'tqdm', 'matplotlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert Path(bn.__file__).parent.name == "bptt_native"
