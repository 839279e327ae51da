"""Callbacks: when they are called, what they see and change, and how they end a run."""

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.training.callbacks import Callback, LambdaCallback, ModelCheckpoint
from bptt_native.training.fit import FitTrainer
from helpers.fitting import bits, classifier, figures, sequences


class Log(Callback):
    """Writes down each event with the step and the epoch."""

    def __init__(self):
        self.events = []

    def _note(self, name, run):
        self.events.append((name, run.step, run.epoch))

    def on_train_begin(self, run):
        self._note("train begin", run)

    def on_epoch_begin(self, run):
        self._note("epoch begin", run)

    def on_update_end(self, run):
        self._note("update", run)

    def on_epoch_end(self, run):
        self._note("epoch end", run)

    def on_train_end(self, run):
        self._note("train end", run)


def test_the_order_of_the_events():
    log = Log()
    x, y = sequences(10)
    classifier().fit(x, y, steps=5, batch_size=4, callbacks=[log])  # 3 updates an epoch
    assert log.events == [
        ("train begin", 0, 0), ("epoch begin", 0, 1), ("update", 1, 1), ("update", 2, 1),
        ("update", 3, 1), ("epoch end", 3, 1), ("epoch begin", 3, 2), ("update", 4, 2),
        ("update", 5, 2), ("epoch end", 5, 2), ("train end", 5, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_resumed_run_begins_the_rest_of_an_epoch(tmp_path, stop):
    x, y = sequences(10)
    options = {"epochs": 2, "batch_size": 4, "validation": (x, y), "metrics": "f1"}
    whole, logs = classifier(), []
    record = LambdaCallback(on_epoch_end=lambda run: logs.append(run.logs))
    expected = whole.fit(x, y, **options, callbacks=[record])
    first, second = Log(), Log()
    classifier().fit(x, y, **options, out=tmp_path, callbacks=[first, lambda row: row.step == stop])
    again = []
    record = LambdaCallback(on_epoch_end=lambda run: again.append(run.logs))
    result = bn.resume(tmp_path, x, y, validation=(x, y), callbacks=[second, record])
    assert bits(result.model) == bits(whole)
    assert figures(result.rows) == figures(expected.rows)
    assert first.events[-1] == ("train end", stop, -(-stop // 3))
    epoch = stop // 3 + 1
    assert second.events[:2] == [
        ("train begin", stop, -(-stop // 3)), ("epoch begin", stop, epoch)
    ]  # fmt: skip
    for mine, theirs in zip(again, logs[-len(again) :], strict=True):
        timeless = {k: v for k, v in theirs.items() if k != "seconds"}
        assert {k: v for k, v in mine.items() if k != "seconds"} == pytest.approx(timeless)


def test_the_logs_are_those_of_the_history():
    x, y = sequences(20)
    seen = []
    model = classifier(clip_norm=0.05)
    record = LambdaCallback(on_epoch_end=lambda run: seen.append(run.logs))
    result = model.fit(
        x, y, epochs=3, batch_size=7, validation=(x, y), metrics=["f1"], callbacks=[record]
    )
    assert set(seen[0]) == {
        "epoch", "step", "loss", "grad_norm", "clipped", "skipped", "lr", "seconds", "valid_loss",
        "valid_accuracy", "valid_f1",
    }  # fmt: skip
    for k, logs in enumerate(seen):
        for name, value in logs.items():
            assert value == pytest.approx(result.epochs[name][k]), name
    assert result.epochs["clipped"].sum() > 0


@pytest.mark.parametrize(
    "name", ["on_train_begin", "on_epoch_begin", "on_update_end", "on_epoch_end"]
)
@pytest.mark.parametrize("how", ["True", "numpy", "stop"])
def test_each_event_can_end_the_run(tmp_path, name, how):
    x, y = sequences(10)

    def ends(run):
        if run.step < 3 and name not in ("on_train_begin", "on_update_end"):
            return None
        if how == "stop":
            run.stop()
            return None
        return True if how == "True" else np.bool_(True)

    result = classifier().fit(
        x, y, epochs=4, batch_size=4, out=tmp_path, callbacks=[LambdaCallback(**{name: ends})]
    )
    steps = {"on_train_begin": 0, "on_update_end": 1}.get(name, 3)
    assert (result.ended, len(result.rows)) == ("stopped", steps)
    assert bits(bn.load(tmp_path / "model.safetensors")) == bits(result.model)
    whole = bn.resume(tmp_path, x, y)
    other = classifier()
    other.fit(x, y, epochs=4, batch_size=4)
    assert bits(whole.model) == bits(other)


class Hostile:
    def __bool__(self):
        raise RuntimeError("asked for its truth")

    __eq__ = None


@pytest.mark.parametrize("value", [1, "yes", np.ones(3), Hostile(), [True], None, False])
def test_no_other_value_ends_the_run(value):
    x, y = sequences(4)
    result = classifier().fit(
        x, y, epochs=2,
        callbacks=[lambda row: value, LambdaCallback(on_epoch_end=lambda run: value)],
    )  # fmt: skip
    assert result.ended == "steps"


@pytest.mark.parametrize(
    "name", ["on_train_begin", "on_epoch_begin", "on_update_end", "on_epoch_end"]
)
def test_an_exception_reaches_the_caller_and_the_run_can_be_resumed(tmp_path, name):
    x, y = sequences(10)
    ended = []

    def fail(run):
        if run.step >= 3 or name == "on_train_begin":
            raise KeyError("mine")

    callbacks = [LambdaCallback(**{name: fail}), LambdaCallback(on_train_end=ended.append)]
    model = classifier()
    with pytest.raises(KeyError, match="mine"):
        model.fit(x, y, epochs=3, batch_size=4, out=tmp_path, callbacks=callbacks)
    assert len(ended) == 1
    assert model.lr == 1e-2
    whole, other = bn.resume(tmp_path, x, y), classifier()
    other.fit(x, y, epochs=3, batch_size=4)
    assert bits(whole.model) == bits(other)
    assert [row.step for row in whole.rows] == list(range(1, 10))


def test_all_are_told_of_the_end_and_see_the_best_parameters():
    x, y = sequences(30)
    seen = []

    def fail(run):
        raise KeyError("first")

    def last(run):
        seen.append(bits(run.model))
        raise KeyError("second")

    model = classifier(lr=0.5)
    with pytest.raises(KeyError, match="first"):
        model.fit(
            x, y, epochs=9, validation=(x, y), early_stopping=bn.EarlyStopping(2),
            callbacks=[LambdaCallback(on_train_end=fail), LambdaCallback(on_train_end=last)],
        )  # fmt: skip
    assert seen == [bits(model)]


def test_a_callback_may_change_the_learning_rate_and_the_model():
    x, y = sequences(10)

    def change(run):
        if run.epoch == 1:
            run.model.lr = 0.25
            run.model.load_state_dict({n: 0 * v for n, v in run.model.state_dict().items()})

    model = classifier()
    result = model.fit(x, y, epochs=2, batch_size=10, schedule=lambda step, losses: 0.5,
                       callbacks=[LambdaCallback(on_epoch_end=change)])  # fmt: skip
    assert result.steps["lr"].tolist() == [0.005, 0.125]
    assert model.lr == 0.25
    assert result.rows[1].loss == pytest.approx(np.log(4))  # of the zeros


def test_a_callback_may_train_another_model_and_evaluate_this_one():
    x, y = sequences(10)
    inner, losses = classifier(seed=3), []

    def look(run):
        inner.fit(x, y, epochs=1)
        losses.append(run.model.evaluate(x, y).loss)

    one, two = classifier(), classifier()
    result = one.fit(
        x, y, epochs=3, validation=(x, y), callbacks=[LambdaCallback(on_epoch_end=look)]
    )
    two.fit(x, y, epochs=3)
    assert bits(one) == bits(two)
    assert result.epochs["valid_loss"].tolist() == losses


class Keras(Callback):
    def on_epoch_end(self, epoch, logs=None): ...


class Foreign(Callback):
    def on_train_batch_end(self, run): ...


class Keyword(Callback):
    def on_epoch_end(self, *, run): ...


class Anything(Callback):
    def on_epoch_end(self, *args, **kwargs): ...


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (Keras(), r"expected a method on_epoch_end\(run\).*got Keras.on_epoch_end\(epoch, logs="),
        (Foreign(), "unknown method Foreign.on_train_batch_end; did you mean 'on_update_end'?"),
        (Keyword(), r"expected a method on_epoch_end\(run\)"),
        (Log, "expected an object of the class, got the class Log"),
        (3, "expected a function or a Callback, got the number 3"),
    ],
)  # fmt: skip
def test_what_is_no_callback_is_refused_before_anything_changes(wrong, text):
    model = classifier()
    before = bits(model)
    with pytest.raises(TypeError, match=rf"^fit: argument 'callbacks\[0\]': {text}"):
        model.fit(*sequences(), callbacks=[wrong])
    assert bits(model) == before
    model.fit(*sequences(), epochs=1, callbacks=[Anything(), Log()])


def test_lambda_callbacks_take_functions():
    with pytest.raises(
        TypeError, match="LambdaCallback: argument 'on_epoch_end': expected a function"
    ):
        LambdaCallback(on_epoch_end=3)


# -------------------------------------------------------------------------------- ready to use


def test_early_stopping_may_be_a_callback():
    x, y = sequences(30)
    one, two = classifier(lr=0.5), classifier(lr=0.5)
    rule = bn.callbacks.EarlyStopping(patience=2)
    first = one.fit(x, y, epochs=30, validation=(x, y), callbacks=[rule])
    second = two.fit(x, y, epochs=30, validation=(x, y), early_stopping=rule)
    assert (first.ended, bits(one)) == (second.ended, bits(two))
    assert figures(first.rows) == figures(second.rows)
    alone = classifier(lr=0.5)
    alone.fit(x, y, epochs=30, validation=(x, y), callbacks=rule)
    assert bits(alone) == bits(one)
    alone.fit(x, y, epochs=1, callbacks=(log := Log()))
    assert log.events[-1][0] == "train end"
    with pytest.raises(ValueError, match="argument 'callbacks': expected one EarlyStopping"):
        one.fit(x, y, validation=(x, y), callbacks=[rule], early_stopping=rule)


@pytest.mark.parametrize(("monitor", "pick"), [("loss", np.argmin), ("f1", np.argmax)])
def test_the_best_model_is_saved(tmp_path, monitor, pick):
    x, y = sequences(30)
    best = ModelCheckpoint(tmp_path / "deep" / "best.safetensors", monitor=monitor)
    kept = []
    keep = LambdaCallback(on_epoch_end=lambda run: kept.append(bits(run.model)))
    model = classifier(lr=0.2)
    result = model.fit(x, y, epochs=6, batch_size=10, validation=(x, y), metrics=["f1"],
                       callbacks=[best, keep], out=tmp_path / "run")  # fmt: skip
    at = int(pick(result.epochs[f"valid_{monitor}"]))
    saved = bn.load(best.saved)
    assert best.saved == tmp_path / "deep" / "best.safetensors"
    assert bits(saved) == kept[at]
    assert "training" not in saved.metadata  # it is a model, not a state of the run
    assert not [name for name in saved.tensors if name.startswith("training")]
    assert "training" in model.metadata


def test_each_epoch_can_be_saved_under_its_own_name(tmp_path):
    x, y = sequences(10)
    each = ModelCheckpoint(f"{tmp_path}/{{epoch:02d}}-{{valid_loss:.3f}}.safetensors", monitor=None)
    result = classifier().fit(x, y, epochs=2, validation=(x, y), callbacks=[each])
    names = [f"{k + 1:02d}-{v:.3f}.safetensors" for k, v in enumerate(result.epochs["valid_loss"])]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    wrong = ModelCheckpoint(tmp_path / "{val_loss}", monitor=None)
    with pytest.raises(
        ValueError, match="ModelCheckpoint: argument 'path': expected a name with fields"
    ):
        classifier().fit(x, y, epochs=1, validation=(x, y), callbacks=[wrong])


def test_earlier_measurements_count_in_a_resumed_run(tmp_path):
    x, y = sequences(30)
    path = tmp_path / "best.safetensors"
    options = {"epochs": 3, "batch_size": 10, "validation": (x, y), "schedule": "cosine"}
    classifier().fit(x, y, **options, out=tmp_path / "run", callbacks=[ModelCheckpoint(path)])
    path.unlink()
    worse = LambdaCallback(on_train_begin=lambda run: run.model.load_state_dict(
        {name: 50 * value for name, value in run.model.state_dict().items()}))  # fmt: skip
    again = ModelCheckpoint(path)
    bn.resume(tmp_path / "run", x, y, epochs=4, validation=(x, y), callbacks=[worse, again])
    assert again.saved is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"monitor": "los"}, "'monitor': expected 'loss', .* got 'los'; did you mean 'loss'"),
        ({"monitor": "mine", "mode": "up"}, "'mode': expected one of 'min', 'max'"),
        ({"monitor": 3}, "'monitor': expected .*, got the number 3"),
        ({"path": 3}, "'path': expected"),
    ],
)  # fmt: skip
def test_a_checkpoint_refuses_wrong_arguments(given, text):
    with pytest.raises((TypeError, ValueError), match=f"^ModelCheckpoint: argument {text}"):
        ModelCheckpoint(**{"path": "a.safetensors", **given})


def test_a_checkpoint_needs_its_measurement(tmp_path):
    x, y = sequences(4)
    best = ModelCheckpoint(tmp_path / "a.safetensors", monitor="mine", mode="min")
    names = "'callbacks': expected one that monitors one of 'loss', 'accuracy', .*got 'mine'"
    with pytest.raises(ValueError, match=f"^fit: argument {names}"):
        classifier().fit(x, y, validation=(x, y), callbacks=[best])
    best = ModelCheckpoint(tmp_path / "a.safetensors", monitor="f1")
    text = r"'validation': expected held-out data, which ModelCheckpoint\(monitor='f1'\) needs, "
    with pytest.raises(ValueError, match=f"^fit: argument {text}"):
        classifier().fit(x, y, callbacks=[best])
    trainer = FitTrainer(classifier(), x, y, epochs=2)
    with pytest.raises(ValueError, match="'monitor': expected 'loss' or None without held-out da"):
        trainer.fit(callbacks=[best])


def test_a_checkpoint_measures_its_metric(tmp_path):
    x, y = sequences(30)
    found = []
    for metrics in (None, "f1"):
        best = ModelCheckpoint(tmp_path / "a.safetensors", monitor="f1")
        result = classifier(lr=0.2).fit(
            x, y, epochs=4, validation=(x, y), metrics=metrics, callbacks=best
        )
        found.append((bits(bn.load(best.saved)), result.history["valid_f1"].tolist()))
    assert found[0] == found[1]


def test_without_held_out_data_the_training_loss_decides(tmp_path):
    x, y = sequences(30)
    options = {"batch_size": 10, "epochs": 5, "schedule": lambda step, losses: 1.0 + 20 * step}
    kept = []
    keep = LambdaCallback(on_epoch_end=lambda run: kept.append(bits(run.model)))
    best = ModelCheckpoint(tmp_path / "best.safetensors")
    out = tmp_path / "run"
    result = classifier(lr=0.05).fit(x, y, **options, callbacks=[best, keep], out=out)
    at = int(result.history["loss"].argmin())
    assert at < 4
    assert bits(bn.load(best.saved)) == kept[at]
    again = ModelCheckpoint(tmp_path / "again.safetensors")  # earlier epochs count
    longer = bn.resume(out, x, y, epochs=6, schedule=options["schedule"], callbacks=[again])
    assert (again.saved is None) == (int(longer.history["loss"].argmin()) == at)


@pytest.mark.parametrize("name", ["valid_f1", "val_f1", "F1"])
@pytest.mark.parametrize("kind", [ModelCheckpoint, bn.EarlyStopping])
def test_names_of_a_history_are_guessed(kind, name):
    path = {"path": "a.safetensors"} if kind is ModelCheckpoint else {}
    with pytest.raises(ValueError, match=f"got '{name}'; did you mean 'f1'"):
        kind(monitor=name, **path)
    x, y = sequences(4)
    stopping = bn.EarlyStopping(monitor=name, mode="max")
    with pytest.raises(ValueError, match=f"got '{name}'; did you mean 'f1'"):
        classifier().fit(x, y, validation=(x, y), early_stopping=stopping)


def test_callbacks_of_a_trainer():
    log, x, y = Log(), *sequences(10)
    trainer = FitTrainer(classifier(), x, y, epochs=2, batch_size=4)
    trainer.fit(until=4, callbacks=[log])
    assert log.events[-1] == ("train end", 4, 2)
    trainer.fit(callbacks=[log])
    assert log.events.count(("epoch end", 6, 2)) == 1
    assert trainer.epochs == 2
