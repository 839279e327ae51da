"""The training of a character model: schedule, order of data, checkpoints, divergence."""

import dataclasses
import math

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import TrainingDiverged
from bptt_native.apps.sampling import load_text_model
from bptt_native.apps.text import TextTrainer
from bptt_native.apps.vocabulary import Vocabulary
from bptt_native.training.history import read_history
from bptt_native.training.progress import summary
from bptt_native.training.trainer import HISTORY_FILE, MODEL_FILE
from helpers.fitting import figures
from helpers.texts import SMALL, TEXT, small


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

    assert len(trainer.valid) < 2000  # a text this short is read in one stream
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
