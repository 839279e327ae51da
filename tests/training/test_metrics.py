"""Metrics: against scikit-learn and by hand, over the targets that count, in fit and evaluate."""

import math
import pickle

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import EarlyStopping
from bptt_native.training.evaluation import Metrics
from bptt_native.training.history import open_history, read_history
from bptt_native.training.schedules import Plateau, Warmup
from helpers.fitting import bits, classifier, figures, regressor, sequences, series, tagger

M = bn.metrics
RNG = np.random.default_rng(0)
CLASSES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "top_2", "top_5",
           "cross_entropy", "perplexity", "bits")  # fmt: skip
VALUES = ("mae", "mse", "rmse", "r2")
BITS = (*CLASSES[:5], *VALUES)


def named(name):
    """The function of a name."""
    if name.startswith("top_"):
        return lambda t, o, w=None: M.top_k(t, o, w, k=int(name[4:]))
    return getattr(M, name)


def learned(name):
    """The function of scikit-learn for logits of classes, bits or values, with weights."""
    sk = pytest.importorskip("sklearn.metrics")

    def probabilities(o):
        e = np.exp(o.astype(float) - o.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def of_labels(score, **options):
        def compute(t, o, w):
            if t.ndim == 1:
                return score(t, o.argmax(axis=1), sample_weight=w, **options)
            own = {**options, "average": "binary"} if options else {}
            columns = zip(t.T > 0.5, o.T > 0, strict=True)
            return np.mean([score(a, b, sample_weight=w, **own) for a, b in columns])

        return compute

    macro = {"average": "macro", "zero_division": 0}
    log_loss = lambda t, o, w: sk.log_loss(  # noqa: E731
        t, probabilities(o), sample_weight=w, labels=range(o.shape[1])
    )
    return {
        "accuracy": of_labels(sk.accuracy_score),
        "balanced_accuracy": of_labels(sk.balanced_accuracy_score),
        "precision": of_labels(sk.precision_score, **macro),
        "recall": of_labels(sk.recall_score, **macro), "f1": of_labels(sk.f1_score, **macro),
        **{f"top_{k}": lambda t, o, w, k=k: sk.top_k_accuracy_score(
            t, o, k=k, sample_weight=w, labels=range(o.shape[1])) for k in (2, 5)},
        "cross_entropy": log_loss, "perplexity": lambda *a: math.exp(log_loss(*a)),
        "bits": lambda *a: log_loss(*a) / math.log(2),
        "mae": lambda t, o, w: sk.mean_absolute_error(t, o, sample_weight=w),
        "mse": lambda t, o, w: sk.mean_squared_error(t, o, sample_weight=w),
        "rmse": lambda t, o, w: math.sqrt(sk.mean_squared_error(t, o, sample_weight=w)),
        "r2": lambda t, o, w: sk.r2_score(t, o, sample_weight=w),
    }[name]  # fmt: skip


@pytest.mark.filterwarnings("ignore:y_pred contains classes")  # of scikit-learn
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [*CLASSES, *VALUES])
def test_equals_scikit_learn(name, weighted):
    theirs = learned(name)
    for n, outputs in ((40, 7), (5, 7), (30, 6)):
        w = RNG.uniform(0.1, 3, n) if weighted else None
        o = RNG.standard_normal((n, outputs)).astype("f4")
        classes = RNG.integers(0, outputs - 1, n)  # the last one never
        t = classes if name in CLASSES else RNG.standard_normal((n, outputs))
        assert named(name)(t, o, w) == pytest.approx(theirs(t, o, w), rel=1e-6), (n, outputs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", CLASSES[:5])
def test_bits_equal_scikit_learn(name, outputs, weighted):
    theirs = learned(name)
    t, o = RNG.integers(0, 2, (50, outputs)).astype("f4"), RNG.standard_normal((50, outputs))
    w = RNG.uniform(0.1, 3, 50) if weighted else None
    assert named(name)(t, o, w) == pytest.approx(theirs(t, o, w))


def test_differences_from_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics")
    t, o = RNG.standard_normal((2, 30, 3)) * [1, 2, 4]
    roots = [M.rmse(t[:, k], o[:, k]) for k in range(3)]
    assert sk.root_mean_squared_error(t, o) == pytest.approx(np.mean(roots))
    assert M.rmse(t, o) == pytest.approx(np.sqrt(np.square(t - o).mean()))
    assert M.rmse(t, o) > 1.01 * np.mean(roots)
    classes, labels, w = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), [1, 1, 1, 0]
    for name in ("precision", "recall", "f1"):
        each = getattr(sk, f"{name}_score")(
            classes, labels, sample_weight=w, average=None, zero_division=0
        )
        assert each[2] == 0
        assert getattr(M, name)(classes, labels, w) == pytest.approx(each[:2].mean())


def test_by_hand():
    t, p = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])  # predicted classes in place of logits
    assert M.accuracy(t, p) == 0.5
    assert M.accuracy(t, p, [1, 3, 1, 0]) == 0.4
    assert M.balanced_accuracy(t, p) == pytest.approx((0.5 + 1 + 0) / 3)
    assert M.precision(t, p) == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert M.recall(t, p) == pytest.approx((0.5 + 1 + 0) / 3)
    assert M.f1(t, p) == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    logits = np.array([[3.0, 1, 2], [1, 2, 3], [np.nan, 0, 1], [0, 0, 0]])
    assert M.top_k([0, 0, 0, 2], logits, k=1) == 0.5  # NaN is wrong, and a tie is right
    assert M.top_k([2, 1, 0, 2], logits, k=2) == 0.75
    assert M.cross_entropy([0], [[0.0, 1000.0]]) == 1000
    assert M.perplexity([0], [[0.0, 1000.0]]) == math.inf
    assert M.r2([1.0, 1.0], [1.0, 1.0]) == 1
    assert M.r2([1.0, 1.0], [1.0, 2.0]) == 0
    assert math.isnan(M.r2([1.0], [1.0]))
    assert M.mae(np.zeros((2, 3, 4)), np.ones((2, 3, 4)), np.ones((2, 3))) == 1
    assert math.isnan(M.mae([1.0, 2.0], [1.0, np.nan]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: M.f1([0, 1], np.zeros((3, 2))), "f1: argument 'outputs': expected"),
        (lambda: M.mae([1.0], [[1.0, 2.0]]), "mae: argument 'outputs'"),
        (lambda: M.bits([0, 1], [0, 1]), r"outputs': expected logits \[2, 'O'\]|cross_entropy"),
        (lambda: M.accuracy([], []), "at least one"),
        (lambda: M.accuracy([0, 1], [0, 1], [1.0]), "accuracy: argument 'weights'"),
        (lambda: M.accuracy([0, -100], [0, 1]), "'targets': expected classes >= 0, without"),
        (lambda: M.accuracy([0.0, 1], np.eye(2)), "'targets': expected classes as integers"),
        (lambda: M.bits([0, 2], np.eye(2)), r"^bits: argument 'targets': expected classes 0 ... 1"),
        (lambda: M.bits([0.0, 1], np.eye(2)), "^bits: argument 'targets': expected classes as in"),
        (lambda: M.f1([0, 1], [0, 1], kind="label"), "'kind': expected one of .*got .label"),
        (lambda: M.f1([0, 1], [0, 1], kind="outputs"), "'outputs': expected outputs of each class"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(call, text):
    with pytest.raises(ValueError, match=text):
        call()


# ------------------------------------------------------------------- what predictions are


def softmax(o):
    e = np.exp(o - o.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", CLASSES)
def test_probabilities_and_labels_of_classes(name):
    o, t = RNG.standard_normal((40, 7)), RNG.integers(0, 7, 40)
    function = named(name)
    expected = function(t, o)
    assert function(t, softmax(o).astype("f4")) == pytest.approx(expected, rel=1e-5)
    function = {"top_2": M.top_k, "top_5": M.top_k}.get(name, function)
    expected = function(t, o, kind="outputs")
    assert function(t, softmax(o), kind="probabilities") == pytest.approx(expected)
    assert function(t, softmax(o), kind="outputs") == pytest.approx(function(t, 1 + softmax(o)))
    if name in CLASSES[:5]:
        assert function(t, o.argmax(axis=1)) == expected
        assert function(t, o.argmax(axis=1).astype(float), kind="labels") == expected
    else:
        with pytest.raises(ValueError, match="'kind': expected one of 'outputs', 'probabilities'"):
            function(t, o.argmax(axis=1), kind="labels")
    with pytest.raises(ValueError, match=r"'outputs': expected probabilities .*, which add"):
        function(t, o, kind="probabilities")


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", [float, bool])
@pytest.mark.parametrize("name", CLASSES[:5])
def test_probabilities_and_labels_of_bits(name, dtype, outputs):
    o, t = RNG.standard_normal((40, *outputs)), RNG.integers(0, 2, (40, *outputs)).astype(dtype)
    function, p = getattr(M, name), 1 / (1 + np.exp(-o))
    expected = function(t, o)
    assert function(t, p, kind="probabilities") == expected
    for labels in (o > 0, (o > 0).astype(int), (o > 0).astype("f4")):
        assert function(t, labels) == function(t, labels, kind="labels") == expected
    with pytest.raises(ValueError, match=f"^{name}: argument 'kind': expected kind='outputs' or"):
        function(t, p)  # they may be logits
    with pytest.raises(ValueError, match=r"'outputs': expected probabilities in \[0, 1\], got"):
        function(t, o, kind="probabilities")


@pytest.mark.parametrize("name", CLASSES[:5])
def test_integers_as_targets_of_one_bit(name):
    o, t = RNG.standard_normal(40), RNG.integers(0, 2, 40)
    function = getattr(M, name)
    expected = function(t.astype("f4"), o)
    assert function(t, o) == function(t, o[:, None]) == function(t[:, None], o[:, None]) == expected
    with pytest.raises(
        ValueError, match=r"'outputs': expected labels \[40\] or outputs \[40, 'O'\]"
    ):
        function(t + 1, o[:, None])


@pytest.mark.parametrize("name", CLASSES[:5])
def test_labels_of_one_bit_for_integers(name):
    function, t, o = getattr(M, name), RNG.integers(0, 2, 40), RNG.integers(0, 2, (40, 1))
    expected = function(t[:, None].astype("f4"), o)
    assert function(t, o) == function(t, o, kind="labels") == function(t, o > 0) == expected


@pytest.mark.parametrize("name", CLASSES)
def test_sequences_of_several_lengths(name):
    t = [RNG.integers(0, 7, k) for k in (3, 5, 4)]
    o = [RNG.standard_normal((len(s), 7)) for s in t]
    w = [RNG.uniform(1, 2, len(s)) for s in t]
    whole = [np.concatenate(part) for part in (t, o, w)]
    assert named(name)(t, o, w) == named(name)(*whole)


def test_texts_are_no_labels():
    with pytest.raises(
        TypeError, match=r"^accuracy: argument 'targets': expected numbers, got a st"
    ):
        M.accuracy(["a", "b"], ["a", "b"])
    with pytest.raises(TypeError, match=r"^f1: argument 'outputs': expected numbers, got a str a"):
        M.f1([0, 1], ["0", "1"])


def test_a_prediction_that_is_nan_is_wrong():
    o = np.array([[np.nan, 0.0, 1.0], [3.0, 1.0, 0.0]])
    assert M.accuracy([0, 0], o) == M.recall([0, 0], o) == 0.5
    assert M.precision([0, 0], o) == 1
    assert M.accuracy(np.zeros(2), np.array([np.nan, -1.0])) == 0.5
    assert math.isnan(M.cross_entropy([0, 0], o))
    x, _ = sequences()
    x[3][2, 1] = np.nan
    model = classifier()
    right = model.predict(x, kind="outputs").argmax(axis=1)
    found = model.evaluate(x, right, metrics=["accuracy", "recall"])
    assert found.accuracy == found["accuracy"] == pytest.approx(0.9)
    assert model.evaluate(x, right).accuracy == found.accuracy


def test_predictions_of_a_model():
    x, y = sequences(40)
    model = classifier()
    names = ["accuracy", "f1", "cross_entropy", "perplexity"]
    found = model.evaluate(x, y, metrics=names)
    for kind in ("outputs", "probabilities", None):
        for name in names:
            p = model.predict(x, kind=kind)
            assert getattr(M, name)(y, p) == pytest.approx(found[name], rel=1e-5)
            assert getattr(M, name)(y, p, kind=kind) == pytest.approx(found[name], rel=1e-5)
    assert M.f1(y, model.predict(x, kind="labels")) == pytest.approx(found.f1)


# ---------------------------------------------------------------------------------- in a model


def ragged(n=9):
    """Sequences with ignored targets, and weights some of which are 0."""
    x, _ = sequences(n, T=8, equal=False, seed=1)
    rng = np.random.default_rng(2)
    y = [np.where(rng.random(len(s)) < 0.2, -100, rng.integers(0, 4, len(s))) for s in x]
    w = [np.where(rng.random(len(s)) < 0.2, 0, rng.uniform(0.5, 2, len(s))).astype("f4") for s in x]
    return x, y, w


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_only_targets_that_count(weighted, window, batch_first):
    x, y, w = ragged()
    model = tagger(batch_first=batch_first)
    given = w if weighted else None
    names = [*CLASSES[:6], "top_4", *CLASSES[7:]]
    found = model.evaluate(x, y, weights=given, metrics=names, batch_size=4, window=window)
    out = np.concatenate(model.predict(x, kind="outputs"))
    t, weight = np.concatenate(y), np.concatenate(w) if weighted else None
    real = (t != -100) & (weight > 0 if weighted else True)
    weight = weight[real] if weighted else None
    for name in names:
        assert found[name] == pytest.approx(named(name)(t[real], out[real], weight)), name
    assert found.loss == pytest.approx(found.cross_entropy, rel=1e-5)
    assert found.accuracy == found["accuracy"]


@pytest.mark.parametrize(("loss", "names"), [("mse", VALUES), ("huber", VALUES),
                                             ("binary_cross_entropy", BITS)])  # fmt: skip
def test_of_values_and_bits(loss, names):
    x, _ = sequences(6, equal=False)
    rng = np.random.default_rng(3)
    y = [rng.integers(0, 2, (len(s), 2)).astype("f4") for s in x]
    model = tagger(loss=loss, output_size=2)
    found = model.evaluate(x, y, metrics=list(names), batch_size=4)
    t, out = np.concatenate(y), np.concatenate(model.predict(x, kind="outputs"))
    for name in names:
        o = 1 / (1 + np.exp(-out.astype(float))) if len(names) == 9 and name in VALUES else out
        assert found[name] == pytest.approx(named(name)(t, o), rel=1e-6), name
    assert found.accuracy == (found["accuracy"] if "accuracy" in names else None)


def test_only_top_k_that_the_model_has():
    x, y = sequences()
    with pytest.raises(ValueError, match=r"^evaluate: argument 'metrics': .*'top_4', .*'top_5'"):
        classifier().evaluate(x, y, metrics="top_5")
    stopping = EarlyStopping(monitor="top_9")
    with pytest.raises(ValueError, match=r"^fit: argument 'early_stopping': .* 'top_4', .*'top_9'"):
        classifier().fit(x, y, validation=(x, y), early_stopping=stopping)
    assert classifier().evaluate(x, y, metrics=["top_1", "top_4"]).top_4 == 1
    assert classifier(output_size=9).evaluate(x, y, metrics=M.top_k).top_k <= 1


def test_metrics_are_plain_floats_with_names():
    x, y, _ = ragged()
    found = tagger(output_size=5).evaluate(x, y, metrics=CLASSES)
    assert {type(value) for value in dict(found).values()} == {float}
    assert {*CLASSES, "loss", "keys"} <= set(dir(found))


def test_one_target_per_sequence_and_functions():
    x, y = sequences(12)
    model, seen = classifier(), []

    def mine(targets, outputs):
        seen.append((targets, outputs))
        return np.float32(0.25)

    found = model.evaluate(x, y, metrics=[mine, "f1", M.recall], batch_size=5)
    np.testing.assert_array_equal(np.sort(seen[0][0]), np.sort(y))
    assert seen[0][1].shape == (12, 4)
    assert found.mine == 0.25
    assert found.recall == model.evaluate(x, y, metrics="recall").recall
    assert model.evaluate(x, y, metrics={"other": lambda t, o: math.nan})["other"] != 0.25
    with pytest.raises(TypeError, match="'metrics': expected a function bad that returns a number"):
        model.evaluate(x, y, metrics={"bad": lambda t, o: "high"})
    with pytest.raises(KeyError, match="mine"):
        model.evaluate(x, y, metrics={"bad": lambda t, o: {}["mine"]})


def test_the_result_is_a_tuple_with_names():
    x, y = sequences()
    model = classifier()
    loss, accuracy = plain = model.evaluate(x, y)
    assert (plain.loss, plain.accuracy) == (loss, accuracy) == tuple(plain)
    loss2, f1, top = found = model.evaluate(x, y, metrics=["f1", "top_2"])
    assert (loss2, f1, top) == (found.loss, found.f1, found.top_2)
    assert dict(found) == {"loss": loss, "accuracy": accuracy, "f1": f1, "top_2": top}
    assert found["loss"] == found[0] == loss
    assert found.accuracy == accuracy
    again = pickle.loads(pickle.dumps(found))
    assert (again, dict(again), type(again)) == (found, dict(found), Metrics)
    assert repr(found) == f"Metrics(loss={loss!r}, accuracy={accuracy!r}, f1={f1!r}, top_2={top!r})"
    with pytest.raises(KeyError, match="no 'fscore'; did you mean 'f1'"):
        found["fscore"]
    with pytest.raises(AttributeError, match="'Metrics' object has no attribute 'precision'"):
        found.precision  # noqa: B018
    assert regressor().evaluate(*series()).accuracy is None
    assert tuple(regressor().evaluate(*series()))[1] is None


WRONG = [
    ("acc", "'metrics': expected one of .*, got 'acc' .did you mean 'accuracy'"),
    ("f1_score", "did you mean 'f1'"), ("mae", "'metrics': expected one of 'accuracy'"),
    ("loss", "'metrics': expected one of"), ("top_0", "'metrics': expected one of"),
    (3, "'metrics': expected names of metrics, or functions of targets and outputs, got the num"),
    ([3], "'metrics': expected names of metrics"), (["f1", "f1"], "metric once, got 'f1' twice"),
    ([lambda t, o: 1.0], "'metrics': expected a function with a name, or a mapping"),
    ({"a b": lambda t, o: 1.0}, "'metrics': expected a function with a name"),
    ({"loss": lambda t, o: 1.0}, "'metrics': expected another name"),
    ({"accuracy": lambda t, o: 1.0}, "'metrics': expected another name"),
    ({"accuracy": "f1"}, "'metrics': expected another name"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), WRONG)
def test_what_is_no_metric_is_refused(value, text):
    x, y = sequences()
    model = classifier()
    before = bits(model)
    with pytest.raises((TypeError, ValueError), match=f"^evaluate: .*{text}"):
        model.evaluate(x, y, metrics=value)
    with pytest.raises((TypeError, ValueError), match=f"^fit: .*{text}"):
        model.fit(x, y, validation=(x, y), metrics=value)
    assert bits(model) == before


def test_metrics_need_held_out_data():
    with pytest.raises(
        ValueError, match="'validation': expected held-out data, which metrics need"
    ):
        classifier().fit(*sequences(), metrics="f1")


# --------------------------------------------------------------------------------- in the history


def width(targets, outputs):
    return float(np.ptp(outputs))


def test_the_history_has_their_columns(tmp_path):
    x, y = sequences(20)
    held_out = sequences(10, seed=5)
    model = classifier()
    options = {"epochs": 3, "validation": held_out, "metrics": ["f1", width, "accuracy"]}
    result = model.fit(x, y, batch_size=8, out=tmp_path, **options)
    found = model.evaluate(*held_out, metrics=["f1", width])
    assert result.epochs["valid_f1"][-1] == found.f1
    assert result.history["valid_width"][-1] == result.rows[-1].metrics["width"] == found.width
    assert np.isnan(result.steps["valid_f1"]).tolist() == [True, True, False] * 3
    assert result.epochs["valid_accuracy"][-1] == found.accuracy
    assert "accuracy" not in result.rows[-1].metrics
    rows = read_history(tmp_path / "history.csv")
    assert figures(rows) == figures(result.rows)
    head = (tmp_path / "history.csv").read_text().partition("\n")[0]
    assert head.endswith(",loss_weight,valid_f1,valid_width")
    result.to_csv(tmp_path / "again.csv")
    assert figures(read_history(tmp_path / "again.csv")) == figures(rows)
    assert hash(rows[-1]) == hash(rows[-1])
    with pytest.raises(KeyError, match="no 'val_loss'; did you mean 'valid_loss'"):
        result.history["val_loss"]
    assert "held-out f1" in repr(result)


@pytest.mark.parametrize("more", [",f1", ",valid_loss", ",valid_f1,valid_f1"])
def test_other_columns_are_refused(tmp_path, more):
    open_history(tmp_path / "h.csv").close()
    head = (tmp_path / "h.csv").read_text().strip()
    (tmp_path / "h.csv").write_text(head + more + "\n")
    with pytest.raises(ValueError, match="expected the columns"):
        read_history(tmp_path / "h.csv")


def test_a_resumed_run_measures_the_same(tmp_path):
    x, y = sequences(20)
    held_out = sequences(10, seed=5)
    options = {"epochs": 6, "batch_size": 8, "validation": held_out, "metrics": ["f1", width],
               "early_stopping": EarlyStopping(4, monitor="width", mode="max"),
               "schedule": Plateau(0.5, 0, monitor="f1")}  # fmt: skip
    whole = classifier().fit(x, y, **options)
    classifier().fit(x, y, **options, out=tmp_path, callbacks=[lambda row: row.step == 7])
    with pytest.raises(
        ValueError, match="resume: argument 'metrics': expected the functions width"
    ):
        bn.resume(tmp_path, x, y, validation=held_out)
    with pytest.raises(ValueError, match="resume: argument 'metrics': expected the metrics with"):
        bn.resume(tmp_path, x, y, validation=held_out, metrics=[width, lambda_ := len])
    assert lambda_ is len
    again = bn.resume(tmp_path, x, y, validation=held_out, metrics=[width])
    assert bits(again.model) == bits(whole.model)
    assert figures(again.rows) == figures(whole.rows)
    assert figures(read_history(tmp_path / "history.csv")) == figures(whole.rows)
    assert again.restored == whole.restored


def test_a_run_with_broken_metrics_is_refused(tmp_path):
    import json

    x, y = sequences(20)
    classifier().fit(x, y, epochs=2, validation=(x, y), metrics="f1", out=tmp_path)
    path = tmp_path / "model.safetensors"
    model = bn.load(path)
    for wrong in ({"f1": [0.5]}, {"f1": "0.5"}, {"f1": [None, None]}, {}, {"mae": [1, 1]}, [1]):
        training = json.loads(model.metadata["training"])
        training["metrics"] = wrong
        model.metadata["training"] = json.dumps(training)
        model.save(path)
        with pytest.raises(
            ValueError, match="resume: argument 'path': expected a checkpoint of fit"
        ):
            bn.resume(tmp_path, x, y, validation=(x, y), epochs=3)


# ------------------------------------------------------------------------------------ that decide


@pytest.mark.parametrize(("monitor", "mode", "pick"), [
    ("f1", None, np.argmax), ("perplexity", None, np.argmin), ("accuracy", None, np.argmax),
    ("width", "min", np.argmin), ("width", "max", np.argmax),
])  # fmt: skip
def test_early_stopping_monitors_any(monitor, mode, pick):
    x, y = sequences(30)
    rule = EarlyStopping(3, monitor=monitor, mode=mode)
    given = [width] if monitor == "width" else None  # one of the package need not be named
    model = classifier(lr=0.3)
    result = model.fit(x, y, epochs=40, batch_size=10, validation=(x, y), metrics=given,
                       early_stopping=rule)  # fmt: skip
    values = result.epochs[f"valid_{monitor}"]
    assert result.restored == result.epochs["step"][pick(values)]
    found = model.evaluate(x, y, metrics=[width, "f1", "perplexity"])
    assert found[monitor] == values[pick(values)]


def test_a_plateau_monitors_any():
    x, y = sequences(30)
    rule = Plateau(0.5, patience=0, monitor="f1")
    result = classifier().fit(x, y, epochs=6, validation=(x, y), schedule=Warmup(2, rule))
    values = result.epochs["valid_f1"].tolist()
    expected = [0.5, 1.0, *(rule(0, values[:k]) for k in range(2, 6))]
    assert (result.steps["lr"] / 1e-2).tolist() == pytest.approx(expected)
    falling = [0.9, 0.5, 0.4]
    assert rule(0, falling) == 0.25  # large is good
    assert Plateau(0.5, patience=0)(0, falling) == 1.0
    assert Plateau(0.5, patience=0, monitor="mine", mode="max")(0, falling) == 0.25


def test_what_cannot_be_monitored_is_refused():
    x, y = sequences()
    for rule, text in (
        ({"early_stopping": EarlyStopping(monitor="mae")}, "'early_stopping': expected one that"),
        ({"schedule": Plateau(monitor="r2")}, "'schedule': expected one that monitors"),
        ({"early_stopping": EarlyStopping(monitor="x", mode="min")}, "'early_stopping'.*got 'x'"),
    ):
        with pytest.raises(ValueError, match=f"fit: argument {text}"):
            classifier().fit(x, y, validation=(x, y), **rule)
    with pytest.raises(ValueError, match=r"EarlyStopping: argument 'monitor'.*did you mean 'f1'"):
        EarlyStopping(monitor="f1_score")
