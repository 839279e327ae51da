"""Data of fit and evaluate: weights, a split for validation, sequences of one feature."""

import numpy as np
import pytest

import bptt_native as bn
from helpers.fitting import bits, classifier, figures, regressor, sequences, series, tagger

# ------------------------------------------------------------------------------------ weights


def ragged(n=9, seed=1):
    x, _ = sequences(n, T=8, equal=False, seed=seed)
    rng = np.random.default_rng(seed)
    y = [rng.integers(0, 4, len(s)) for s in x]
    w = [np.where(rng.random(len(s)) < 0.3, 0, rng.uniform(0.5, 2, len(s))).astype("f4") for s in x]
    return x, y, w


def padded(arrays):
    out = np.zeros((max(map(len, arrays)), len(arrays), *arrays[0].shape[1:]), arrays[0].dtype)
    for k, a in enumerate(arrays):
        out[: len(a), k] = a
    return out


@pytest.mark.parametrize("batch_first", [False, True])
def test_weights_are_those_of_a_training_step(batch_first):
    x, y, w = ragged()
    one, two = tagger(batch_first=batch_first), tagger(batch_first=batch_first)
    one.fit(x, y, weights=w, steps=1, batch_size=len(x), seed=0)
    layout = (lambda a: a.swapaxes(0, 1)) if batch_first else (lambda a: a)
    given = [layout(padded(part)) for part in (x, y, w)]
    lengths = np.array(list(map(len, x)))
    step = two.train_step(given[0], given[1], weights=given[2], lengths=lengths)
    for name, value in one.state_dict().items():
        np.testing.assert_allclose(value, two.state_dict()[name], rtol=1e-4, atol=1e-6)
    loss = tagger(batch_first=batch_first).evaluate(x, y, weights=w).loss
    assert loss == pytest.approx(step.loss, rel=1e-6)


def test_accumulated_batches_are_one_batch():
    x, y, w = ragged(12)
    one, two = tagger(dtype="float64"), tagger(dtype="float64")
    data = [s.astype("f8") for s in x], y
    own = [v.astype("f8") for v in w]
    one.fit(*data, weights=own, steps=4, batch_size=12, window=None)
    two.fit(*data, weights=own, steps=4, batch_size=3, accumulate=4)
    for name, value in one.state_dict().items():
        np.testing.assert_allclose(value, two.state_dict()[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("window", [None, 3])
def test_targets_of_weight_0_are_ignored_targets(window):
    x, y, _ = ragged()
    out = [np.arange(len(t)) % 3 == 0 for t in y]
    ignored = [np.where(o, -100, t) for o, t in zip(out, y, strict=True)]
    one, two = tagger(), tagger()
    a = one.fit(x, y, weights=[~o for o in out], epochs=2, batch_size=4, window=window)
    b = two.fit(x, ignored, epochs=2, batch_size=4, window=window)
    assert bits(one) == bits(two)
    assert figures(a.rows) == figures(b.rows)
    weights = [(~o).astype("f4") for o in out]
    assert one.evaluate(x, y, weights=weights, window=window) == one.evaluate(
        x, ignored, window=window
    )


def test_weights_of_sequences():
    x, y, _ = ragged(6)
    own = np.array([1, 0, 2, 0.5, 0, 1], "f4")
    each = [np.full(len(s), w, "f4") for s, w in zip(x, own, strict=True)]
    one, two = tagger(), tagger()
    one.fit(x, y, weights=own, epochs=2, batch_size=4)
    two.fit(x, y, weights=each, epochs=2, batch_size=4)
    assert bits(one) == bits(two)
    equal, targets = sequences(6)[0], np.arange(42).reshape(7, 6) % 4
    whole = np.stack(equal, axis=1)
    model = tagger()
    found = model.evaluate(whole, targets, weights=own)
    assert found == model.evaluate(whole, targets, weights=np.tile(own, (7, 1)))
    assert found == model.evaluate(equal, list(targets.T), weights=own.tolist())
    last = classifier()
    loss = [last.evaluate([s], [0]).loss for s in equal]
    assert last.evaluate(equal, np.zeros(6, int), weights=own).loss == pytest.approx(
        np.average(loss, weights=own), rel=1e-5
    )


def test_weights_of_one_long_sequence():
    x, y = series(100)
    w = np.linspace(0, 2, 100).astype("f4")
    model = regressor()
    out = model.predict(x)
    expected = np.average((out[:, 0] - y) ** 2, weights=w)
    for window in (None, 30):
        assert model.evaluate(x, y, weights=w, window=window).loss == pytest.approx(expected, 1e-5)
    one, two = regressor(), regressor()
    one.fit(x, y, weights=w, window=20, batch_size=2, epochs=2)
    two.fit(x, y, window=20, batch_size=2, epochs=2)
    assert bits(one) != bits(two)
    half = np.full(100, 0.5, "f4")
    three = regressor()
    three.fit(x, y, weights=half, window=20, batch_size=2, epochs=2)
    for name, value in two.state_dict().items():  # a mean does not depend on the scale
        np.testing.assert_allclose(value, three.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_balanced_weights():
    x, _ = sequences(8)
    y = np.array([0, 0, 0, 0, 0, 1, 1, 3])
    own = (8 / (3 * np.array([5, 2, 0, 1])[y])).astype("f4")  # classes without targets do not count
    model = classifier()
    found = model.evaluate(x, y, weights="balanced")
    assert found == model.evaluate(x, y, weights=own)
    assert found.accuracy == pytest.approx(
        model.evaluate(x, y, metrics="balanced_accuracy").balanced_accuracy
    )
    tags = [np.array([0, 1, -100, 1, 1, 1, 1])] * 8
    weights = [np.array([3, 0.6, 0, 0.6, 0.6, 0.6, 0.6], "f4")] * 8
    assert tagger().evaluate(x, tags, weights="balanced") == tagger().evaluate(
        x, tags, weights=weights
    )


def test_weights_of_held_out_data(tmp_path):
    x, y, w = ragged()
    options = {"epochs": 2, "validation": (x, y, w), "weights": w, "batch_size": 4}
    result = tagger().fit(x, y, **options)
    assert (
        result.model.evaluate(x, y, weights=w, batch_size=4).loss == result.epochs["valid_loss"][-1]
    )
    tagger().fit(x, y, **options, out=tmp_path, callbacks=[lambda row: row.step == 2])
    with pytest.raises(ValueError, match="argument 'weights': expected the data of the run"):
        bn.resume(tmp_path, x, y, validation=(x, y, w))
    again = bn.resume(tmp_path, x, y, weights=w, validation=(x, y, w))
    assert bits(again.model) == bits(result.model)


WRONG = [
    ([np.ones(8, "f4")] * 2, r"'weights': expected a list of 9 arrays, as x, got a list of 2"),
    (np.ones(8, "f4"), r"'weights': expected float32 \[9\], got"),
    (np.full(9, -1, "f4"), r"'weights': expected float32 \[9\], finite and >= 0, got -1.0"),
    (np.full(9, np.nan, "f4"), r"'weights': .*got nan"),
    (np.zeros(9, "f4"), r"'targets': expected at least one that is not ignored and that has a we"),
    ("balance", r"'weights': expected numbers, or 'balanced' with classes, got 'balance'"),
    ({0: 1.0}, "'weights': expected float32"),
]


@pytest.mark.parametrize(("weights", "text"), WRONG)
def test_wrong_weights(weights, text):
    x, y, _ = ragged()
    model = tagger()
    before = bits(model)
    with pytest.raises((TypeError, ValueError), match=f"^fit: argument {text}"):
        model.fit(x, y, weights=weights)
    with pytest.raises((TypeError, ValueError), match=f"^evaluate: argument {text}"):
        model.evaluate(x, y, weights=weights)
    assert bits(model) == before
    with pytest.raises(ValueError, match="'balanced' with classes"):
        regressor().fit(*series(), weights="balanced")


# ------------------------------------------------------------------------ targets in [0, 1]


def refused(model, text, *data, **options):
    """Assert that fit and evaluate refuse data with this text and change nothing."""
    before = bits(model)
    for where, call in (("fit", model.fit), ("evaluate", model.evaluate)):
        with pytest.raises((TypeError, ValueError, IndexError)) as caught:
            call(*data, **options)
        assert str(caught.value).startswith(f"{where}: argument {text}"), str(caught.value)
    assert bits(model) == before
    assert model.step_count == 0


@pytest.mark.parametrize("wrong", [1.5, -0.25, np.nan])
def test_targets_outside_0_and_1_are_found_before_the_first_update(wrong):
    x, _ = sequences(200)
    model = classifier(loss="binary_cross_entropy", output_size=2)
    y = np.zeros((200, 2), "f4")
    y[199, 1] = wrong
    expected = "numbers in [0, 1]"
    place = f"got {wrong} at sequence 199 of 200, output 1 (counted from 0)"
    if wrong == wrong:
        refused(model, f"'targets': expected {expected}, {place}", x, y)
    with pytest.raises(ValueError, match=r"^evaluate: argument 'targets': expected numbers in \["):
        model.evaluate(x, y)
    with pytest.raises(
        ValueError, match=r"^fit: argument 'validation\[1\]': expected .*sequence 199"
    ):
        model.fit(x, np.zeros((200, 2), "f4"), validation=(x, y))
    own = np.ones(200, "f4")
    own[199] = 0  # then it does not count
    assert model.evaluate(x, y, weights=own).loss > 0
    steps = tagger(loss="binary_cross_entropy", output_size=1)
    y = [np.zeros(7, "f4") for _ in x]
    y[7][5] = 2
    refused(steps, f"'targets': expected {expected}, got 2.0 at sequence 7 of 200, step 5", x, y)
    refused(steps, f"'targets': expected {expected}, got 2.0 at step 5, output 0", x[7], y[7])


def test_weights_without_a_finite_sum_are_refused():
    x, y = sequences()
    own = np.full(10, 1e308)
    data = [s.astype("f8") for s in x], y
    refused(classifier(dtype="float64"), "'weights': expected targets whose weights have a finite",
            *data, weights=own)  # fmt: skip


# ------------------------------------------------------------------------ first mistakes


def test_targets_of_another_loss():
    x, y = sequences(6)
    values = np.linspace(0, 1, 6, dtype="f4")
    expected = "'targets': expected classes (integers) [6], got a float32 array of shape [6] "
    refused(classifier(), f"{expected}(for values, make the Model with loss='mse')", x, values)
    numbers = regressor(targets="last", input_size=3, output_size=3)
    text = "(for classes, make the Model with loss='cross_entropy')"
    refused(numbers, f"'targets': expected float32 [6, 3], got an int64 array of shape [6] {text}",
            x, y)  # fmt: skip
    bits_ = classifier(output_size=1, loss="binary_cross_entropy")
    text = '(targets.astype("float32") are values 0 and 1)'
    refused(bits_, f"'targets': expected float32 [6, 1], got a bool array of shape [6] {text}",
            x, y > 1)  # fmt: skip
    assert bits_.evaluate(x, (y > 1).astype("float32")).loss > 0


def test_classes_out_of_range():
    x, _ = sequences(4)
    text = "'targets': expected classes 0 ... 0, got 0 ... 1 (output_size is the number of class"
    refused(classifier(output_size=1), text, x, np.array([0, 1, 1, 0]))
    y = np.array([0, -1, 3, 2])
    text = "'targets': expected classes 0 ... 3, got -1 ... 3 (Model(ignore_index=-1) leaves out "
    refused(classifier(), text, x, y)
    assert classifier(ignore_index=-1).evaluate(x, y).loss > 0
    text = "'targets': expected classes 0 ... 3, got -2 ... 3 (np.unique(targets, return_inverse"
    refused(classifier(), text, x, y - (y == -1))


def test_weights_of_classes_by_class():
    x, y = sequences(6)
    text = "'weights': expected float32 [6], got a dict (Model(class_weights=[...]) has weights of"
    refused(classifier(), text, x, y, weights={0: 1.0, 1: 2.0})


def test_sequences_that_are_no_list():
    x, y = sequences(6, equal=False)
    whole = np.empty(6, object)
    whole[:] = x
    for wrong, kind in ((iter(x), "list_iterator"), (map(np.asarray, x), "map"), (whole, "object")):
        model = classifier()
        with pytest.raises(TypeError, match=rf"^fit: argument 'x': .* got an? {kind}.*\(list\(x\)"):
            model.fit(wrong, y)
        assert model.step_count == 0
        assert model.evaluate(list(wrong), y) == model.evaluate(x, y)


# ------------------------------------------------------------------------ a split for validation


def test_the_last_sequences_are_held_out(tmp_path):
    x, y = sequences(10)
    one, two = classifier(), classifier()
    a = one.fit(x, y, epochs=3, validation_split=0.3, out=tmp_path)
    b = two.fit(x[:7], y[:7], epochs=3, validation=(x[7:], y[7:]))
    assert bits(one) == bits(two)
    assert figures(a.rows) == figures(b.rows)
    more = bn.resume(tmp_path, x, y, epochs=5)  # the split is made again
    assert len(more.epochs["valid_loss"]) == 5
    small = classifier().fit(x[:2], y[:2], epochs=1, validation_split=0.01)  # at least one
    assert len(small.rows) == 1


def test_balanced_weights_are_those_of_the_part_that_is_trained_on():
    x, _ = sequences(12)
    y = np.array([0, 0, 0, 1, 1, 2, 0, 1, 3, 3, 3, 3])
    options = {"epochs": 2, "weights": "balanced", "metrics": "f1"}
    one, two = classifier(), classifier()
    a = one.fit(x, y, validation_split=1 / 3, **options)
    b = two.fit(x[:8], y[:8], validation=(x[8:], y[8:]), **options)
    assert bits(one) == bits(two)
    assert figures(a.rows) == figures(b.rows)
    assert a.rows[-1].valid_loss == one.evaluate(x[8:], y[8:]).loss
    own = np.linspace(0.5, 2, 12).astype("f4")
    c = one.fit(x, y, validation_split=1 / 3, epochs=1, weights=own)
    assert c.rows[-1].valid_loss == one.evaluate(x[8:], y[8:], weights=own[8:]).loss
    with pytest.raises(ValueError, match=r"^fit: argument 'weights': expected numbers, or 'b"):
        one.fit(x, y, validation_split=1 / 3, weights="equal")


def test_the_last_steps_of_one_sequence_are_held_out():
    x, y = series(100)
    w = np.linspace(1, 2, 100).astype("f4")
    one, two = regressor(), regressor()
    a = one.fit(x, y, weights=w, epochs=3, window=10, validation_split=0.25)
    b = two.fit(x[:75], y[:75], weights=w[:75], epochs=3, window=10,
                validation=(x[75:], y[75:], w[75:]))  # fmt: skip
    assert bits(one) == bits(two)
    assert figures(a.rows) == figures(b.rows)


@pytest.mark.parametrize(
    ("split", "text"),
    [
        (0, "'validation_split': expected a number above 0 and below 1, got 0"),
        (1.0, "'validation_split': expected a number above 0 and below 1, got 1.0"),
        ("0.2", "'validation_split': expected a number above 0 and below 1, got the text"),
        (True, "'validation_split': expected"),
        (
            0.96,
            "'validation_split': expected a fraction that leaves targets in both parts, got 0.96",
        ),
    ],
)
def test_wrong_splits(split, text):
    x, y = sequences()
    with pytest.raises((TypeError, ValueError), match=f"^fit: argument {text}"):
        classifier().fit(x, y, validation_split=split)


def test_a_split_or_held_out_data():
    x, y = sequences()
    with pytest.raises(ValueError, match="'validation': expected None with validation_split"):
        classifier().fit(x, y, validation_split=0.2, validation=(x, y))
    with pytest.raises(ValueError, match=r"got 0.5 of 1 sequence$"):
        classifier().fit(x[0], y[0], validation_split=0.5)


# ------------------------------------------------------------------------ sequences of one feature


def test_series_of_one_feature():
    x, y = series(60)
    flat, model = x[:, 0], regressor()
    assert model.evaluate(flat, y) == model.evaluate(x, y[:, None])
    np.testing.assert_array_equal(model.predict(flat), model.predict(x))
    one, two = regressor(), regressor()
    one.fit(flat, y, window=10, epochs=2)
    two.fit(x, y, window=10, epochs=2)
    assert bits(one) == bits(two)


def test_lists_of_sequences_of_one_feature():
    x, _ = sequences(6, I=1, equal=False)
    flat, targets = [s[:, 0] for s in x], [2 * s[:, 0] for s in x]
    one, two = regressor(), regressor()
    one.fit(flat, targets, epochs=2, batch_size=4)
    two.fit(x, [t[:, None] for t in targets], epochs=2, batch_size=4)
    assert bits(one) == bits(two)
    assert [p.shape for p in one.predict(flat)] == [(len(s), 1) for s in x]
    last = regressor(targets="last")
    assert last.evaluate(flat, np.ones(6, "f4")) == last.evaluate(x, np.ones((6, 1), "f4"))
    with pytest.raises(ValueError, match=r"'x\[0\]': expected float32 \[T, 3\]"):
        classifier().predict(flat)


@pytest.mark.parametrize("wrong", [np.ones((5, 2), "f4"), np.ones((2, 2, 2, 2), "f4"), 1.0])
def test_other_shapes_of_one_feature_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=r"'x': expected float32 .*\[T, 1\], \[T\]"):
        regressor().predict(wrong)


# ------------------------------------------------------------------------ how data were read


def test_a_result_tells_how_the_data_were_read():
    x, y = sequences(20, equal=False)
    steps = sorted(map(len, x[:15]))
    result = classifier().fit(x, y, epochs=1, validation_split=0.25)
    assert result.data == f"15 sequences of {steps[0]} to {steps[-1]} steps; 5 sequences held out"
    assert result.data in repr(result)
    x, y = series(200)
    options = {"batch_size": 4, "window": 10, "steps": 1}
    result = regressor().fit(x, y, **options, validation_split=0.25)
    assert result.data == "one sequence of 150 steps in 4 streams; 50 steps held out"
    assert regressor().fit(x, y, steps=1).data == "one sequence of 200 steps"


def test_a_result_names_only_clips_and_skips_that_there_are():
    x, y = series(50)
    text = repr(regressor().fit(x, y, steps=1))
    assert "FitResult: 1 step in 1 epoch" in text
    assert " s; it was taken\n" in text
    assert "clipped" not in text
    assert "skipped" not in text
    assert "0% of the updates clipped\n" in repr(regressor(clip_norm=1e9).fit(x, y, steps=1))
    assert "100% of the updates clipped\n" in repr(regressor(clip_norm=1e-9).fit(x, y, steps=1))
    x = np.full((50, 1), 1e38, "f4")
    text = repr(regressor(nonfinite="skip").fit(x, np.full(50, -3e38, "f4"), steps=1))
    assert "1 update skipped" in text
