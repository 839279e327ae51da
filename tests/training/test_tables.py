"""Tables, forecasts and labelled sequences: reading, dividing, scaling and baselines."""

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.apps.classify import Labelled
from bptt_native.apps.forecast import Forecast, autoregression, first_test_row, persistence
from bptt_native.apps.tables import Scaling, Table


def table(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Table.read(path)


@pytest.mark.parametrize(
    "text",
    ["a,b c\n1,2.5\n3,-4e1\n", "a;b c\r\n1;2.5\r\n3;-4e1", "\ufeffa\tb c\n1\t2.5\n\n3\t-4e1\n",
     '"a","b c"\n"1"," 2.5"\n3,-4e1\n'],
    ids=["comma", "semicolon", "tab", "quoted"],
)  # fmt: skip
def test_reading(tmp_path, text):
    got = table(tmp_path, text)
    assert got.names == ("a", "b c")
    np.testing.assert_array_equal(got.numbers(["b c", "a"], "x"), [[2.5, 1], [-40, 3]])
    assert got.numeric(but=["a"]) == ["b c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n3\n", "expected 2 columns .*, got 1 in line 3"),
        ("a,a\n1,2\n", "different names in .*, got the names 'a', 'a'"),
        ("a,\n1,2\n", "got the names 'a', ''"), ("a,b\n", "got no rows below the names"),
        ("", "expected some text"), (b"a\n\xff\n", "expected UTF-8"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path, text, expected):
    with pytest.raises(ValueError, match=expected):
        table(tmp_path, text)


@pytest.mark.parametrize("wrong", ["x", "", "nan", "inf", "1,5"])
def test_what_is_no_number_is_named_with_its_line(tmp_path, wrong):
    got = table(tmp_path, f'a,b\n1,2\n"{wrong}",4\n')
    with pytest.raises(ValueError, match=f"finite numbers in column 'a', got '{wrong}' in line 3"):
        got.numbers(["a"], "features")
    with pytest.raises(ValueError, match="argument 'target': expected one of 'a', 'b', got 'c'"):
        got.numbers(["c"], "target")


def test_scaling():
    values = np.random.default_rng(0).normal([3, -5e6], [0.1, 7e3], (200, 2))
    scaling = Scaling.of(values)
    standard = scaling(values)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(standard.std(axis=0), 1)
    np.testing.assert_allclose(scaling.back(standard), values)
    constant = Scaling.of(np.full((5, 2), 7.0))
    np.testing.assert_array_equal(constant(np.full((3, 2), 8.0)), 1.0)


# ---------------------------------------------------------------------------------------- forecasts


@pytest.mark.parametrize("horizon", [1, 3])
def test_autoregression_finds_the_recurrence(horizon):
    """A series that obeys a linear recurrence is forecast exactly, by training rows alone."""
    y = np.empty(120)
    y[:2] = 1.0, 0.5
    for t in range(2, 120):
        y[t] = 0.2 + 1.6 * y[t - 1] - 0.95 * y[t - 2]
    np.testing.assert_allclose(autoregression(y, 2, horizon, 60), y[60:], rtol=1e-6, atol=1e-8)
    changed = np.concatenate([y[:60], y[60:] + 5 * np.random.default_rng(0).normal(size=60)])
    first = autoregression(changed, 2, horizon, 60)[0]
    assert first == pytest.approx(y[60], rel=1e-6)  # the fit does not depend on the test part
    np.testing.assert_array_equal(persistence(y, horizon, 60), y[60 - horizon : 120 - horizon])
    with pytest.raises(ValueError, match="argument 'order': expected at least"):
        autoregression(y, 30, 1, 60)


def test_autoregression_is_least_squares():
    y = np.random.default_rng(1).normal(size=80)
    lags = np.array([[1, y[t - 2], y[t - 3], y[t - 4]] for t in range(4, 80)])
    weights = np.linalg.lstsq(lags[:46], y[4:50])[0]
    np.testing.assert_allclose(autoregression(y, 3, 2, 50), lags[46:] @ weights, rtol=1e-10)


def test_pairs_are_shifted_and_scaled_by_the_training_part():
    rng = np.random.default_rng(0)
    features, target = rng.normal(3, 2, (50, 2)), rng.normal(-1, 5, 50)
    data = Forecast.of(features, target, 40, horizon=3)
    x, y = data.training("float32", held_out=5)
    assert (len(x), len(y)) == (32, 32)
    mean, std = features[:40].mean(axis=0), features[:40].std(axis=0)
    np.testing.assert_allclose(x, (features[:32] - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y[:, 0] * target[:40].std() + target[:40].mean(), target[3:35],
                               rtol=1e-5, atol=1e-5)  # fmt: skip
    x, y = data.validation("float64", 5)
    np.testing.assert_allclose(data.target_scaling.back(y)[:, 0], target[35:40])
    np.testing.assert_allclose(data.scaling.back(x), features[32:37])
    assert data.error(target[40:] + 2) == pytest.approx(4)
    for first in (4, 50):
        with pytest.raises(ValueError, match="argument 'first_test': expected at least 5 training"):
            Forecast.of(features, target, first, 3)


def test_forecasts_are_those_of_the_test_rows():
    """A network that passes on its input forecasts by persistence."""
    model = bn.Model("rnn", nonlinearity="identity", input_size=1, hidden_size=1, output_size=1,
                     loss="mse", dtype="float64")  # fmt: skip
    weights = model.state_dict()
    for name, value in weights.items():
        value[...] = 1.0 if name in ("rnn.weight_ih_l0", "readout.weight") else 0.0
    model.load_state_dict(weights)
    y = np.random.default_rng(2).normal(size=30)
    data = Forecast.of(y[:, None], y, 20, 2)
    np.testing.assert_allclose(data.predict(model), persistence(y, 2, 20), rtol=1e-12)


def test_where_the_test_part_begins(tmp_path):
    dates = table(tmp_path, "year,day,v\n" + "".join(f"{1990 + k},2001-01-{k + 10},0\n"
                                                     for k in range(10)))  # fmt: skip
    assert first_test_row(dates, None) == 8
    assert first_test_row(dates, "4") == 3
    assert first_test_row(dates, "year=1995") == first_test_row(dates, "year=1994.5") == 5
    assert first_test_row(dates, "day=2001-01-12") == 2
    for wrong in ("0", "11", "1.5", "x", "year=2000", "yaer=1995"):
        with pytest.raises(ValueError, match="argument 'test_from': expected"):
            first_test_row(dates, wrong)


# ------------------------------------------------------------------------------------------- labels

LONG = "id,label,a,b\nu,x,1,2\nv,y,3,4\nu,x,5,6\nw,x,7,8\nv,y,9,10\nv,y,11,12\n"


def test_sequences_of_a_long_table(tmp_path):
    got = Labelled.read(table(tmp_path, LONG), "id", "label", ["b", "a"])
    assert (got.names, got.labels) == (["u", "v", "w"], ["x", "y", "x"])
    assert [s.tolist() for s in got.sequences] == [
        [[2, 1], [6, 5]], [[4, 3], [10, 9], [12, 11]], [[8, 7]],
    ]  # fmt: skip
    x, y = got.pairs(["x", "y"], got.scaling(), "float32")
    assert y.tolist() == [0, 1, 0]
    np.testing.assert_allclose(np.concatenate(x).mean(axis=0), 0, atol=1e-6)
    with pytest.raises(ValueError, match="one of the 1 labels of the training part, got 'y' of"):
        got.pairs(["x"], got.scaling(), "float32")
    with pytest.raises(ValueError, match="one label for sequence 'u', got 'x' and, in line 4, 'y'"):
        Labelled.read(table(tmp_path, LONG.replace("u,x,5", "u,y,5")), "id", "label", ["a"])


def test_dividing_is_stratified_and_seeded():
    labels = ["a"] * 20 + ["b"] * 10 + ["c"]
    all_of_them = Labelled([str(k) for k in range(31)], [np.full((1, 1), k) for k in range(31)],
                           labels)  # fmt: skip
    rest, held_out = all_of_them.divide(0.3, 5)
    assert sorted(rest.names + held_out.names, key=int) == all_of_them.names
    assert [held_out.labels.count(c) for c in "abc"] == [6, 3, 0]
    assert all(int(n) == s[0, 0] for n, s in zip(rest.names, rest.sequences, strict=True))
    assert all_of_them.divide(0.3, 5)[1].names == held_out.names
    assert all_of_them.divide(0.3, 6)[1].names != held_out.names
    assert all_of_them.divide(0.0, 5)[1].names == []
