"""The ends of a run: early stopping, the best parameters, and data that cannot be trained on."""

import json
import re
from contextlib import nullcontext

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import EarlyStopping, TrainingDiverged, evaluate, fit, predict, resume
from bptt_native.training import fit as fit_module
from bptt_native.training.evaluation import Metrics
from bptt_native.training.fit import FitTrainer
from helpers.fitting import bits, classifier, figures, regressor, sequences, tagger


class Stopped(Exception):  # noqa: N818 - it is no error
    """The exception of a callback."""


def ways_to_end(trainer, way, step):
    """Make a trainer end after a step, in one of several ways."""

    def ends(row):
        if row.step == step and way in ("raises", "interrupt"):
            raise Stopped if way == "raises" else KeyboardInterrupt
        return way == "callback" and row.step == step

    def stop():
        return way == "stop" and trainer.step == step

    try:
        trainer.fit(callbacks=[ends], stop=stop, until=step if way == "until" else None)
    except (Stopped, KeyboardInterrupt):
        assert way in ("raises", "interrupt")


@pytest.mark.parametrize("way", ["callback", "stop", "until", "raises", "interrupt"])
def test_whatever_ends_a_run_the_best_is_restored(way):
    x, y = sequences(30)
    validation = (sequences(30, seed=9)[0], np.random.default_rng(6).integers(0, 4, 30))
    options = {"epochs": 100, "validation": validation, "early_stopping": EarlyStopping(50)}
    model = classifier(lr=5e-2)
    trainer = FitTrainer(model, x, y, **options)
    ways_to_end(trainer, way, 12)
    losses = [metrics.loss for metrics in trainer.measured]
    best = int(np.argmin(losses))
    assert best + 1 < len(losses) == 12
    assert evaluate(model, *validation).loss == losses[best]
    assert trainer.restored == best + 1
    trainer.fit(until=14)  # goes on from the last parameters, not from the best
    whole = FitTrainer(classifier(lr=5e-2), x, y, **options)
    whole.fit(until=14)
    assert figures(whole.history) == figures(trainer.history)
    assert bits(whole.model) == bits(model)
    result = fit(classifier(lr=5e-2), x, y, callbacks=[lambda row: row.step == 12], **options)
    assert (result.ended, result.restored) == ("stopped", best + 1)


@pytest.mark.parametrize(
    "reader",
    [
        {"early_stopping": EarlyStopping(2, monitor="r2")},
        {"schedule": bn.schedules.Plateau(patience=1, monitor="r2")},
        {"callbacks": bn.callbacks.ModelCheckpoint("never.safetensors", monitor="r2")},
        {
            "early_stopping": EarlyStopping(2, monitor="r2"),
            "schedule": bn.schedules.Warmup(1, bn.schedules.Plateau(monitor="r2")),
        },
    ],
)
def test_measurements_that_are_all_nan_are_reported_once(reader):
    x = sequences(4, I=1)[0]
    model, held_out = regressor(targets="last"), (x[:1], np.ones(1, "f4"))  # r2 needs two
    with pytest.warns(RuntimeWarning, match="^fit: all measurements of 'r2' are NaN") as found:
        result = model.fit(x, np.ones(4, "f4"), epochs=4, validation=held_out, **reader)
    assert len(found) == 1
    assert np.isnan(result.history["valid_r2"]).all()


def test_a_validation_that_is_no_number(monkeypatch):
    """NaN is never the best: the best number is restored, or, without one, nothing."""
    x, y = sequences(30)
    for values, best in (([2.0, 1.0, np.nan, np.nan, np.nan], 2), ([np.nan] * 3, None)):
        kept, model, given = {}, classifier(lr=5e-2), iter(values)
        monkeypatch.setattr(fit_module, "measure", lambda *_, g=given, **__: Metrics(next(g), None))
        warns = pytest.warns(RuntimeWarning, match="'loss' are NaN")
        with warns if best is None else nullcontext():
            result = fit(
                model, x, y, epochs=20, validation=(x, y), early_stopping=EarlyStopping(3),
                callbacks=[lambda row, k=kept, m=model: k.update({row.step: bits(m)})],
            )  # fmt: skip
        assert (result.ended, result.restored) == ("early stopping", best)
        assert len(result.rows) == len(values)
        assert bits(model) == kept[best or len(values)]


# ---------------------------------------------------------------------- numbers that are not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "targets", "validation[0]", "validation[1]"])
@pytest.mark.parametrize("kind", ["list", "array", "single", "last"])
def test_a_number_that_is_not_finite_is_named_before_training(value, where, kind):
    rng, n, last = np.random.default_rng(0), 64, kind == "last"
    model = regressor(input_size=2, output_size=3, targets="last" if last else "every")

    def parts():
        x = rng.standard_normal((9, n, 2)).astype(np.float32)
        y = rng.standard_normal((n, 3) if last else (9, n, 3)).astype(np.float32)
        if kind == "array":
            return [x, y]
        x = list(x.swapaxes(0, 1))
        y = y if last else list(y.swapaxes(0, 1))
        return [x[5], y[5]] if kind == "single" else [x, y]

    train, held_out = parts(), parts()
    place = (held_out if "validation" in where else train)[where.endswith(("1]", "targets"))]
    target = where.endswith(("1]", "targets"))
    if target and last:
        place[5, 1], text = value, "sequence 5 of 64, output 1"
    elif kind == "array":
        place[7, 5, 1], text = value, "sequence 5 of 64, step 7, "
    elif kind == "single":
        place[7, 1], text = value, "step 7, "
    else:
        place[5][7, 1], text = value, "sequence 5 of 64, step 7, "
    if not (target and last):
        text += "output 1" if target else "feature 1"
    before, (x, y) = bits(model), train
    expected = f"fit: argument {where!r}: expected finite numbers, got {value} at {text} (counted"
    with pytest.raises(ValueError, match=re.escape(expected)):
        fit(model, x, y, validation=tuple(held_out))
    assert bits(model) == before
    assert model.step_count == model.skipped_count == 0


def test_what_is_measured_may_have_them():
    """The outputs of a sequence with NaN are NaN from there on, and those of the others are not."""
    x, _ = sequences(4)
    y = [np.zeros(7, int) for _ in x]
    wanted = predict(tagger(), x)
    x[2][3, 1] = np.nan
    out = predict(tagger(), x)
    for i in range(4):
        good = slice(None) if i != 2 else slice(3)
        np.testing.assert_array_equal(out[i][good], wanted[i][good])
    assert np.isnan(out[2][3:]).all()
    assert np.isnan(evaluate(tagger(), x, y).loss)


# ------------------------------------------------------------- a run that ends at a step it skipped


def spoilt(*which):
    """A series in windows; the gradient of some updates overflows. Its targets are finite."""
    t = np.arange(80, dtype=np.float32)
    x, y = np.sin(t / 3)[:, None], np.sin((t + 1) / 3)
    for step in which:
        y[10 * (step - 1) : 10 * step] = 3e38
    return x, y


def over_windows(x, y, **options):
    model = regressor(reduction="sum", dropout=0.3, num_layers=2)
    held_out = np.float32([[0.5], [0.1], [-0.4]]), np.float32([0.1, -0.4, 0.2])
    given = {"window": 10, "epochs": 2, "validation": held_out, "checkpoint_every": 3}
    return fit(model, x, y, **(given | options)), held_out


@pytest.mark.parametrize("restores", [False, True])
@pytest.mark.parametrize("stop", [4, 5, 12])
def test_a_run_that_stops_at_a_skipped_step_leaves_that_step(tmp_path, stop, restores):
    """And goes on from it to the same bits: the next window begins with a zero state."""
    x, y = spoilt(4, 5)
    options = {"early_stopping": EarlyStopping(9) if restores else None}
    whole, held_out = over_windows(x, y, out=tmp_path / "whole", **options)
    assert np.flatnonzero(whole.steps["skipped"]).tolist() == [3, 4, 11, 12]
    callbacks = [lambda row: row.step == stop]
    over_windows(x, y, out=tmp_path / "parts", callbacks=callbacks, **options)
    left = bn.load(tmp_path / "parts" / "model.safetensors")
    assert json.loads(left.metadata["training"])["step"] == stop
    assert "training.state.h" not in left.tensors
    again = resume(tmp_path / "parts", x, y, validation=held_out)
    assert repr(figures(again.rows)) == repr(figures(whole.rows))  # NaN is not equal to NaN
    assert bits(again.model) == bits(whole.model)
    ends = [bn.load(tmp_path / part / "model.safetensors") for part in ("whole", "parts")]
    assert bits(ends[0]) == bits(ends[1])
    assert {k: v.tobytes() for k, v in ends[0].tensors.items()} == {
        k: v.tobytes() for k, v in ends[1].tensors.items()
    }


def test_a_run_whose_last_step_is_skipped_leaves_that_step(tmp_path):
    x, y = spoilt(8)
    result, _ = over_windows(x, y, out=tmp_path, early_stopping=EarlyStopping(9))
    assert result.rows[-1].skipped
    left = bn.load(tmp_path / "model.safetensors")
    assert json.loads(left.metadata["training"])["step"] == len(result.rows) == 16
    assert bits(left) == bits(result.model)


def test_a_run_that_diverges_leaves_its_last_step_that_was_not_skipped(tmp_path):
    x, y = spoilt(7, 8)
    with pytest.raises(TrainingDiverged, match="2 steps in a row, up to step 8"):
        over_windows(x, y, out=tmp_path, epochs=1, max_skips=2)
    left = bn.load(tmp_path / "model.safetensors")
    assert json.loads(left.metadata["training"])["step"] == 6
