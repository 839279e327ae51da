"""fit, resume, evaluate, predict: batches, windows, stopping, checkpoints, on arrays and lists."""

import json

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import EarlyStopping, TrainingDiverged, evaluate, fit, predict, resume
from bptt_native.training.batches import Sequences, Streams, source_of
from bptt_native.training.data import read_data
from bptt_native.training.history import read_history
from bptt_native.training.schedules import Cosine, Plateau, StepDecay, Warmup
from helpers.fitting import bits, classifier, figures, regressor, sequences, series, tagger

# ------------------------------------------------------------------------------------------ batches


def test_each_epoch_has_every_sequence_once_in_another_order():
    x, y = sequences(10)
    source = source_of(read_data(classifier(), x, y, "fit"), 4, seed=3)
    again = source_of(read_data(classifier(), x, y, "fit"), 4, seed=3)
    orders = []
    for epoch in (0, 1, 5):
        batches = [source.batch(epoch, i) for i in range(source.batches)]
        assert [len(b.members) for b in batches] == [4, 4, 2]
        order = np.concatenate([b.members for b in batches])
        assert sorted(order) == list(range(10))
        orders.append(order.tolist())
        for i, b in enumerate(batches):
            for n, member in enumerate(b.members):
                np.testing.assert_array_equal(b.x[:, n], x[member])
                assert b.targets[n] == y[member]
            assert b.carried("anything") is None
            np.testing.assert_array_equal(again.batch(epoch, i).x, b.x)
    assert orders[0] != orders[1] != orders[2]
    other = source_of(read_data(classifier(), x, y, "fit"), 4, seed=4)
    assert other.batch(0, 0).members.tolist() != orders[0][:4]


def test_the_order_is_the_same_on_every_platform():
    source = source_of(read_data(classifier(), *sequences(8), "fit"), 8, seed=1)
    words = np.random.Philox(key=[1, 2]).random_raw(9)[:8]
    assert source.batch(2, 0).members.tolist() == sorted(range(8), key=lambda i: words[i])


def test_padding():
    x, _ = sequences(5, equal=False)
    y = [np.arange(len(s)) % 4 for s in x]
    batch = source_of(read_data(tagger(), x, y, "fit"), 5).batch(0, 0)
    longest = max(map(len, x))
    assert batch.x.shape == (longest, 5, 3)
    assert batch.targets.shape == (longest, 5)
    assert batch.lengths.tolist() == [len(s) for s in x]
    assert batch.mass == sum(map(len, x))
    for n, s in enumerate(x):
        np.testing.assert_array_equal(batch.x[: len(s), n], s)
        assert not batch.x[len(s) :, n].any()
        np.testing.assert_array_equal(batch.targets[: len(s), n], y[n])
    even = source_of(read_data(tagger(), [s[:2] for s in x], [t[:2] for t in y], "fit"), 5)
    assert even.batch(0, 0).lengths is None


@pytest.mark.parametrize("seed", [None, 7])
def test_windows_of_ragged_sequences(seed):
    """Each step of each sequence comes once an epoch, in order; those that are over drop out."""
    x, _ = sequences(9, T=23, equal=False)
    y = [np.arange(len(s)) % 4 for s in x]
    source = source_of(read_data(tagger(), x, y, "fit"), 4, window=5, seed=seed)
    for epoch in (0, 1):
        seen = [np.zeros((0, 3), np.float32) for _ in x]
        before = None
        for i in range(source.batches):
            batch = source.batch(epoch, i)
            assert len(batch.x) <= 5
            state = np.arange(before.size).reshape(1, -1, 1) if before is not None else None
            carried = batch.carried(state)
            if batch.start == 0:
                assert carried is None
            else:  # carried states belong to the same sequences
                np.testing.assert_array_equal(before[carried[0, :, 0]], batch.members)
            before = batch.members
            for n, member in enumerate(batch.members):
                t = 5 if batch.lengths is None else batch.lengths[n]
                assert len(seen[member]) == batch.start
                seen[member] = np.concatenate([seen[member], batch.x[:t, n]])
        for a, b in zip(seen, x, strict=True):
            np.testing.assert_array_equal(a, b)


def test_streams_of_one_sequence():
    x, y = series(103)
    source = source_of(read_data(regressor(), x, y, "fit"), 4, window=6, seed=1)
    assert isinstance(source, Streams)
    assert source.batches == 103 // 4 // 6
    starts = set()
    for epoch in range(6):
        first = source.batch(epoch, 0)
        assert first.x.shape == (6, 4, 1)
        offset = int(np.flatnonzero(x[:, 0] == first.x[0, 0, 0])[0])
        starts.add(offset)
        for i in range(source.batches):
            batch = source.batch(epoch, i)
            assert batch.start == 6 * i
            np.testing.assert_array_equal(batch.targets[:-1, :, 0], batch.x[1:, :, 0])
            for n in range(4):
                at = offset + n * ((103 - offset) // 4) + 6 * i
                np.testing.assert_array_equal(batch.x[:, n], x[at : at + 6])
    assert len(starts) > 1
    whole = source_of(read_data(regressor(), x, y, "fit"), 1, window=50)
    assert [len(whole.batch(0, i).x) for i in range(whole.batches)] == [50, 50, 3]


def test_an_array_is_the_list_of_its_sequences():
    x, y = sequences(6)
    array = np.stack(x, axis=1)
    batch = source_of(read_data(classifier(), array, y, "fit"), 6).batch(0, 0)
    np.testing.assert_array_equal(batch.x, array)
    np.testing.assert_array_equal(predict(classifier(), array), predict(classifier(), x))
    one, two, tags = classifier(), classifier(), np.arange(42).reshape(7, 6) % 4
    fit(one, array, y, batch_size=4, epochs=2)
    fit(two, x, y, batch_size=4, epochs=2)
    assert bits(one) == bits(two)
    out = predict(tagger(), array)
    assert out.shape == (7, 6, 4)
    np.testing.assert_array_equal(out[:, 2], predict(tagger(), x)[2])
    got = evaluate(tagger(), array, tags)
    assert got == evaluate(tagger(), x, list(tags.T))


@pytest.mark.parametrize("window", [None, 3])
def test_batch_first(window):
    """The same bits, whichever axis comes first; ragged too."""
    x, _ = sequences(6, T=9, equal=False)
    y = [np.arange(len(s)) % 4 for s in x]
    one, two = tagger(), tagger(batch_first=True)
    fit(one, x, y, batch_size=4, epochs=3, window=window)
    fit(two, x, y, batch_size=4, epochs=3, window=window)
    assert bits(one) == bits(two)
    assert evaluate(one, x, y, window=window) == evaluate(two, x, y, window=window)
    array, tags = np.stack([s[:2] for s in x], axis=1), np.stack([t[:2] for t in y], axis=1)
    assert evaluate(one, array, tags) == evaluate(two, array.swapaxes(0, 1), tags.T)
    np.testing.assert_array_equal(
        predict(one, array), predict(two, array.swapaxes(0, 1)).swapaxes(0, 1)
    )


@pytest.mark.parametrize(
    ("x", "y", "kind", "text"),
    [
        ([], [], ValueError, r"'x': expected at least one sequence"),
        ([np.zeros((3, 2), "f")], [0], ValueError, r"'x\[0\]': expected float32 \[T, 3\]"),
        ([np.zeros((0, 3), "f")], [0], ValueError, r"'x\[0\]'"),
        ([np.zeros((3, 3))], [0], TypeError, r"'x\[0\]'.*no silent loss"),
        (np.zeros((4, 2, 2), "f"), [0, 1], ValueError, r"'x': expected float32 \[T, N, 3\]"),
        ([np.zeros((3, 3), "f")], [0, 1], ValueError, r"'targets': expected classes .* \[1\]"),
        ([np.zeros((3, 3), "f")], [0.5], TypeError, r"'targets': expected classes"),
        ([np.zeros((3, 3), "f")], [4], IndexError, r"'targets': expected classes 0 ... 3, got 4"),
        ("text", [0], TypeError, r"'x': expected float32"),
    ],
)  # fmt: skip
def test_wrong_data(x, y, kind, text):
    model = classifier()
    before = bits(model)
    with pytest.raises(kind, match=f"fit: argument {text}"):
        fit(model, x, y)
    assert bits(model) == before
    assert model.step_count == 0


def test_wrong_data_per_step():
    x, _ = sequences(2)
    with pytest.raises(
        ValueError, match=r"'targets': expected a list of 2 arrays, as x, got a list of 1"
    ):
        fit(tagger(), x, [np.zeros(7, int)])
    with pytest.raises(ValueError, match=r"'targets\[1\]': expected classes \(integers\) \[7\]"):
        fit(tagger(), x, [np.zeros(7, int), np.zeros(6, int)])
    words = bn.Model("rnn", vocab_size=5, hidden_size=4, output_size=5)
    with pytest.raises(IndexError, match=r"'x\[0\]': expected tokens 0 ... 4, got 1 ... 5"):
        fit(words, [[1, 5]], [[1, 1]])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": 0}, "'epochs': expected an integer >= 1"),
        ({"epochs": 1, "steps": 1}, "'epochs': expected only one of"),
        ({"batch_size": 0}, "'batch_size'"), ({"accumulate": 0}, "'accumulate'"),
        ({"window": 3}, "'window': expected None with targets"), ({"seed": -1}, "'seed'"),
        ({"early_stopping": EarlyStopping()}, "'validation': expected held-out data"),
        ({"schedule": "cosin"}, "'schedule'"),
        ({"schedule": "plateau"}, "'validation': expected held-out data, which the"),
        ({"schedule": Warmup(3, Plateau())}, "'validation': expected held-out data, which the"),
        ({"schedule": Cosine(3), "warmup": 2}, "'warmup': expected 0"),
        ({"validation": ([1], [2], [3], [4])}, "'validation': expected"),
        ({"validation": (np.zeros((3, 2), "f"), [1])}, r"'validation\[0\]': expected float32"),
    ],
)  # fmt: skip
def test_wrong_options(changes, text):
    with pytest.raises((TypeError, ValueError), match=f"fit: argument {text}"):
        fit(classifier(), *sequences(), **changes)


def test_a_window_of_two_directions_is_refused():
    x, y = series()
    with pytest.raises(ValueError, match="'window': expected None for a bidirectional model"):
        fit(regressor(bidirectional=True), x, y, window=20)


# ----------------------------------------------------------------------------------------- learning


def test_it_learns_classes():
    x, y = sequences(200)
    model = classifier(output_size=3, hidden_size=16)
    held_out = sequences(100, seed=1)
    result = fit(model, x, y, epochs=30, validation=held_out, schedule="cosine", warmup=10)
    assert result.ended == "steps"
    assert result.model is model
    assert result.epochs["epoch"].tolist() == list(range(1, 31))
    assert len(result.steps["loss"]) == 30 * 7
    assert result.epochs["valid_accuracy"][-1] > 0.85
    assert evaluate(model, *held_out).accuracy == result.epochs["valid_accuracy"][-1]
    out = predict(model, held_out[0], batch_size=7)
    assert (out.argmax(axis=1) == held_out[1]).mean() == result.epochs["valid_accuracy"][-1]
    rates = result.steps["lr"]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[9] == rates.max() == 1e-2
    assert rates[-1] < 1e-5
    assert model.lr == 1e-2  # unchanged, for another run
    losses, masses = (result.steps[name].reshape(30, 7) for name in ("loss", "loss_weight"))
    np.testing.assert_allclose(result.epochs["loss"], np.average(losses, 1, masses))


def test_windows_carry_the_state():
    """With windows and one step of training, what the model sees is the whole sequence."""
    x, y = series()
    model = regressor()
    whole, parts = evaluate(model, x, y), evaluate(model, x, y, window=30)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    np.testing.assert_array_equal(predict(model, x, window=30), predict(model, x))
    result = fit(model, x, y, epochs=40, window=20)
    assert evaluate(model, x, y).loss < 0.1 * whole.loss
    state, by_hand = None, regressor()
    source = source_of(read_data(by_hand, x, y, "fit"), 1, 20, seed=0)
    for epoch in range(40):
        for i in range(source.batches):
            b = source.batch(epoch, i)
            state = by_hand.train_step(b.x, b.targets, None if i == 0 else state).state
    assert bits(by_hand) == bits(result.model)


def test_tokens_and_values():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 5, 300)
    model = bn.Model("gru", vocab_size=5, hidden_size=12, output_size=5, lr=2e-2)
    fit(model, tokens, np.roll(tokens, 2), epochs=40, window=25, batch_size=4)  # remember two back
    assert evaluate(model, tokens, np.roll(tokens, 2)).accuracy > 0.95
    x, _ = sequences(64)
    targets = np.stack([s.sum(axis=0)[:2] for s in x])
    model = classifier(loss="mse", output_size=2, hidden_size=16)
    before = evaluate(model, x, targets)
    assert before.accuracy is None
    fit(model, x, targets, epochs=40, batch_size=8)
    assert evaluate(model, x, targets).loss < 0.1 * before.loss


def test_evaluation_is_the_mean_over_all_targets():
    x, y = sequences(10)
    model = classifier()
    whole, _ = model.eval_step(np.stack(x, axis=1), y)
    assert evaluate(model, x, y, batch_size=3).loss == pytest.approx(whole, rel=1e-6)
    total = classifier(reduction="sum")
    whole, _ = total.eval_step(np.stack(x, axis=1), y)
    assert evaluate(total, x, y, batch_size=3).loss == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("window", [None, 4])
def test_ragged_sequences_are_what_they_are_alone(window):
    x, _ = sequences(9, T=17, equal=False)
    y = [np.arange(len(s)) % 4 for s in x]
    model = tagger(dtype="float64")
    x = [s.astype(np.float64) for s in x]
    alone = [model(s)[0] for s in x]
    together = predict(model, x, kind="outputs", batch_size=4, window=window)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    losses = [model.eval_step(s, t)[0] * len(s) for s, t in zip(x, y, strict=True)]
    got = evaluate(model, x, y, batch_size=4, window=window)
    assert got.loss == pytest.approx(sum(losses) / sum(map(len, x)), rel=1e-12)
    right = sum((a.argmax(axis=1) == t).sum() for a, t in zip(alone, y, strict=True))
    assert got.accuracy == right / sum(map(len, x))


def test_the_accuracy_is_that_of_the_pass_of_the_loss(monkeypatch):
    """No sequence goes through the model a second time."""
    x, y = sequences(20, equal=False)
    model = classifier()
    right = np.mean(np.asarray(predict(model, x)).argmax(axis=1) == y)
    calls = []

    def counted(name, run):
        def call(*arguments, **more):
            calls.append(name)
            return run(*arguments, **more)

        return call

    for name in ("__call__", "eval_step", "forward"):
        monkeypatch.setattr(bn.Model, name, counted(name, getattr(bn.Model, name)))
    assert evaluate(model, x, y, batch_size=5).accuracy == right
    assert calls == ["eval_step"] * 4


def test_ragged_sequences_are_learnt():
    x, y = sequences(200, T=12, equal=False)
    model = classifier(output_size=3, hidden_size=16)
    fit(model, x, y, epochs=30)
    assert evaluate(model, *sequences(100, T=12, seed=1, equal=False)).accuracy > 0.8


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {}, {"reduction": "sum"}, {"class_weights": [1.0, 0.5, 3.0, 2.0], "ignore_index": 1},
        {"class_weights": [1.0, 0.5, 3.0, 2.0], "label_smoothing": 0.2},
    ],
    ids=["mean", "sum", "ignored", "weighted"],
)  # fmt: skip
def test_accumulated_batches_are_one_batch(changes, equal):
    """Two batches of four, also ragged ones, give the update of the eight together."""
    x, _ = sequences(16, T=9, equal=equal)
    x = [s.astype(np.float64) for s in x]
    y = [np.random.default_rng(k).integers(0, 4, len(s)) for k, s in enumerate(x)]
    options = {"dtype": "float64", "optimizer": "sgd", "lr": 0.05, **changes}
    one, two = tagger(**options, clip_norm=0.1), tagger(**options, clip_norm=0.1)
    a = fit(one, x, y, epochs=3, batch_size=8)
    b = fit(two, x, y, epochs=3, batch_size=4, accumulate=2)
    assert len(a.rows) == len(b.rows) == 6
    for name, value in one.state_dict().items():
        np.testing.assert_allclose(value, two.state_dict()[name], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(a.steps["loss"], b.steps["loss"], rtol=1e-10)
    np.testing.assert_allclose(a.steps["grad_norm"], b.steps["grad_norm"], rtol=1e-9)


def test_updates_do_not_cross_epochs():
    result = fit(classifier(), *sequences(10), batch_size=2, accumulate=2, epochs=2)
    assert [row.epoch for row in result.rows] == [1, 1, 1, 2, 2, 2]


# ----------------------------------------------------------------------- stopping, schedules, calls


def test_early_stopping_restores_the_best():
    x, y = sequences(30)
    validation = sequences(30, seed=9)
    kept = {}
    model = classifier(lr=5e-2)

    def keep(row):
        if row.valid_loss is not None:
            kept[row.epoch] = bits(model)

    stopping = EarlyStopping(patience=3)
    result = fit(model, x, y, epochs=100, validation=validation, early_stopping=stopping,
                 callbacks=[keep])  # fmt: skip
    losses = result.epochs["valid_loss"]
    assert result.ended == "early stopping"
    assert len(losses) == int(losses.argmin()) + 1 + 3 < 100
    assert bits(model) == kept[int(losses.argmin()) + 1]
    assert evaluate(model, *validation).loss == losses.min()

    model = classifier(lr=5e-2)
    stopping = EarlyStopping(patience=3, restore_best=False)
    fit(model, x, y, epochs=100, validation=validation, early_stopping=stopping,
        callbacks=[keep])  # fmt: skip
    assert bits(model) == kept[len(losses)]


def test_plateau_in_a_run():
    x, y = sequences(20)
    result = fit(classifier(lr=1e-3), x, y, epochs=6, validation=(x, y),
                 schedule=Plateau(0.5, patience=0, threshold=1.0))  # fmt: skip
    # a loss is never better than 0: each measurement but the first halves the rate
    assert result.epochs["lr"].tolist() == [1e-3 * 0.5**k for k in (0, 0, 1, 2, 3, 4)]


def test_callbacks():
    rows = []
    result = fit(classifier(), *sequences(), epochs=5, batch_size=5, callbacks=[rows.append])
    assert rows == result.rows
    assert [row.step for row in rows] == list(range(1, 11))
    result = fit(classifier(), *sequences(), epochs=5, callbacks=[lambda row: row.step == 3])
    assert result.ended == "stopped"
    assert len(result.rows) == 3


def test_history_to_csv(tmp_path):
    result = fit(classifier(), *sequences(), epochs=3, validation=sequences(5, seed=1))
    result.to_csv(tmp_path / "h.csv")
    assert figures(read_history(tmp_path / "h.csv")) == figures(result.rows)
    assert not np.isnan(result.epochs["valid_loss"]).any()


# ----------------------------------------------------------------------------------------- resuming


def random_classifier():
    return classifier(num_layers=2, dropout=0.3, recurrent_dropout=0.2, zoneout=0.1,
                      bidirectional=True)  # fmt: skip


def ragged(seed=0):
    return sequences(seed=seed, equal=False)


CASES = {
    "classes": (classifier, sequences, {"batch_size": 3, "schedule": "cosine", "warmup": 3}),
    "windows": (regressor, series, {"batch_size": 2, "window": 15, "schedule": StepDecay(4, 0.5)}),
    "plateau": (classifier, sequences, {"schedule": Plateau(0.5, 0), "batch_size": 4}),
    "accumulate": (classifier, sequences, {"batch_size": 2, "accumulate": 2}),
    "masks": (random_classifier, ragged, {"batch_size": 3}),
    "masks, accumulated": (random_classifier, ragged, {"batch_size": 2, "accumulate": 2}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("until", [1, 5, 9])
def test_resuming_goes_on_to_the_same_bits(tmp_path, name, until):
    make, data, options = CASES[name]
    x, y = data()
    options = options | {"epochs": 4, "validation": data(seed=1)}
    whole = fit(make(), x, y, out=tmp_path / "whole", **options)
    fit(make(), x, y, out=tmp_path / "parts", callbacks=[lambda row: row.step == until], **options)
    again = resume(tmp_path / "parts", x, y, validation=data(seed=1))
    assert bits(again.model) == bits(whole.model)
    assert figures(again.rows) == figures(whole.rows)
    files = [read_history(tmp_path / part / "history.csv") for part in ("whole", "parts")]
    assert figures(files[0]) == figures(files[1])
    once_more = resume(tmp_path / "parts", x, y, validation=data(seed=1))  # nothing is left to do
    assert bits(once_more.model) == bits(whole.model)


@pytest.mark.parametrize("until", [1, 7])
def test_resuming_remembers_early_stopping(tmp_path, until):
    x, y = sequences(30)
    validation = sequences(30, seed=9)
    options = {"validation": validation, "early_stopping": EarlyStopping(3), "epochs": 100}
    whole = fit(classifier(lr=5e-2), x, y, out=tmp_path / "whole", **options)
    assert 7 < len(whole.rows) < 100
    fit(classifier(lr=5e-2), x, y, out=tmp_path / "parts",
        callbacks=[lambda row: row.step == until], **options)  # fmt: skip
    again = resume(tmp_path / "parts", x, y, validation=validation)
    assert again.ended == "early stopping"
    assert bits(again.model) == bits(whole.model)
    assert figures(again.rows) == figures(whole.rows)
    assert bits(bn.load(tmp_path / "parts" / "model.safetensors")) == bits(whole.model)


def test_a_longer_run_goes_on_from_the_last_step_not_from_the_best(tmp_path):
    """The file of a run that is over holds the best parameters, and the last ones for going on."""
    x, y = sequences(30)
    validation = (sequences(30, seed=9)[0], np.random.default_rng(6).integers(0, 4, 30))
    options = {"validation": validation, "early_stopping": EarlyStopping(50)}
    long = fit(classifier(lr=5e-2), x, y, out=tmp_path / "long", epochs=20, **options)
    short = fit(classifier(lr=5e-2), x, y, out=tmp_path / "short", epochs=12, **options)
    assert int(short.epochs["valid_loss"].argmin()) < 11
    again = resume(tmp_path / "short", x, y, epochs=20, validation=validation)
    assert figures(again.rows) == figures(long.rows)
    assert bits(again.model) == bits(long.model)


def test_resuming_refuses(tmp_path):
    x, y = sequences()
    fit(classifier(), x, y, out=tmp_path / "a", epochs=1, schedule=lambda step, losses: 0.5)
    with pytest.raises(ValueError, match="resume: argument 'schedule': expected the function"):
        resume(tmp_path / "a", x, y)
    result = resume(tmp_path / "a", x, y, epochs=3, schedule=lambda step, losses: 0.5)
    assert result.steps["lr"].tolist() == [5e-3] * 3
    with pytest.raises(ValueError, match="argument 'targets': expected the data of the run"):
        resume(tmp_path / "a", x, y[::-1].copy(), schedule=Cosine(3))
    with pytest.raises(ValueError, match="resume: argument 'steps': expected a run longer than"):
        resume(tmp_path / "a", x, y, steps=2, schedule=Cosine(3))
    classifier().save(tmp_path / "other")
    with pytest.raises(ValueError, match="argument 'path': expected a checkpoint of fit"):
        resume(tmp_path / "other", x, y)
    with pytest.raises(OSError, match="nothing"):
        resume(tmp_path / "nothing", x, y)


def test_what_the_user_put_into_the_file_stays(tmp_path):
    model = classifier()
    model.metadata["mine"], model.tensors["mine"] = "a", np.arange(3.0)
    fit(model, *sequences(), epochs=2, out=tmp_path, validation=sequences(4, seed=1),
        early_stopping=EarlyStopping())  # fmt: skip
    loaded = bn.load(tmp_path / "model.safetensors")
    assert loaded.metadata["mine"] == "a"
    assert loaded.tensors["mine"].tolist() == [0, 1, 2]
    assert json.loads(loaded.metadata["training"])["fit"]["early_stopping"]["patience"] == 10


def test_numbers_of_numpy_are_options_too(tmp_path):
    x, y = sequences()
    three = np.int64(3)
    fit(classifier(), x, y, epochs=three, batch_size=three, seed=np.uint64(2**64 - 1), out=tmp_path,
        accumulate=three, schedule=StepDecay(three, np.float32(0.5)))  # fmt: skip
    assert resume(tmp_path, x, y, epochs=np.int32(5)).ended == "steps"


def test_an_update_that_is_skipped_is_counted_and_changes_nothing():
    x, _ = sequences(I=1)
    y = [np.full(s.shape, 3e38, np.float32) for s in x]  # finite, but their gradient is not
    model = regressor(reduction="sum")
    before = bits(model)
    result = fit(model, x, y, epochs=3, batch_size=10)
    assert result.steps["skipped"].all()
    assert result.epochs["skipped"].tolist() == [1, 1, 1]
    assert bits(model) == before
    assert (model.step_count, model.skipped_count) == (0, 3)
    with pytest.raises(TrainingDiverged, match="2 steps in a row"):
        fit(model, x, y, epochs=3, batch_size=10, max_skips=2)


def test_one_sequence_of_a_classifier_is_no_stream():
    x, _ = sequences(1)
    assert isinstance(source_of(read_data(classifier(), x[0], 1, "fit")), Sequences)
    fit(classifier(), x[0], 1, epochs=1)


# ------------------------------------------------------------------------------- ignored targets


def prompts(n=5, ignored=8):
    """Sequences whose first classes do not count, so that whole windows have no target."""
    x, _ = sequences(n, 20, equal=False, seed=3)
    x = [np.concatenate([s, s, s, s])[:24] for s in x]
    y = [s.argmax(axis=1) for s in x]
    for classes in y:
        classes[:ignored] = -100
    return x, y


@pytest.mark.parametrize("accumulate", [1, 2, 20])
def test_a_window_without_targets_carries_the_states_on(accumulate, tmp_path):
    x, y = prompts()
    model = tagger()
    assert evaluate(model, x, y, window=4).loss == pytest.approx(evaluate(model, x, y).loss)
    options = {"window": 4, "batch_size": 2, "accumulate": accumulate}
    result = fit(model, x, y, epochs=3, validation=(x, y), out=tmp_path / "a", **options)
    empty = np.isnan(result.steps["loss"])
    assert empty.any() == (accumulate < 20)
    assert model.step_count == (~empty).sum()
    assert (result.steps["grad_norm"][empty] == 0).all()
    assert np.isfinite(result.epochs["loss"]).all()
    assert np.isfinite(result.epochs["valid_loss"]).all()
    written = figures(read_history(tmp_path / "a" / "history.csv"))
    assert list(map(repr, written)) == list(map(repr, figures(result.rows)))


def test_data_of_which_no_target_counts_are_refused():
    x, y = prompts(ignored=24)
    model = tagger()
    before = bits(model)
    expected = r"argument 'targets': expected at least one that is not ignored .*, got none"
    with pytest.raises(ValueError, match=rf"^fit: {expected}"):
        fit(model, x, y)
    with pytest.raises(ValueError, match=rf"^evaluate: {expected}"):
        evaluate(model, x, y)
    assert bits(model) == before
