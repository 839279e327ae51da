"""The examples, shortened, if the packages that hold their data are installed."""

import importlib.util
import sys

import numpy as np
import pytest

from helpers.paths import ROOT

EXAMPLES = ROOT / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def test_sunspots():
    needs("statsmodels")
    sunspots = example("sunspots")
    years, numbers = sunspots.load()
    assert years[0] == 1700
    assert numbers[list(years).index(1957)] == pytest.approx(190, abs=1)
    data = sunspots.series(1920, 1979)
    assert (data.first_test, len(data.target)) == (221, 280)
    still, linear = sunspots.simple(data)
    assert linear < 0.5 * still
    assert sunspots.test_error(data, 0, **sunspots.CHOSEN) < 0.5 * still


def test_digits():
    needs("sklearn")
    digits = example("digits")
    x, x_test, y, y_test = digits.load()
    assert (x.shape, x_test.shape, len(y), len(y_test)) == ((8, 1347, 8), (8, 450, 8), 1347, 450)
    small = digits.CHOSEN | {"hidden": 32}
    assert digits.accuracy((x, y), (x_test, y_test), 0, **small, epochs=6) > 0.9


def test_japanese_vowels():
    needs("aeon")
    vowels = example("japanese_vowels")
    train, test = vowels.load("TRAIN"), vowels.load("TEST")
    assert (len(train[0]), len(test[0])) == (270, 370)
    lengths = [len(s) for s in (*train[0], *test[0])]
    assert (min(lengths), max(lengths)) == (7, 29)
    assert np.bincount(train[1]).tolist() == [30] * 9
    small = vowels.CHOSEN | {"num_layers": 1}
    assert vowels.accuracy(train, test, 0, **small, epochs=8) > 0.85


@pytest.mark.long
@pytest.mark.parametrize(("name", "package"), [("digits", "sklearn"), ("japanese_vowels", "aeon")])
def test_the_accuracy_is_at_least_97_percent(name, package, capsys):
    needs(package)
    example(name).main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert float(last.split()[1].rstrip(",")) >= 0.97


@pytest.mark.parametrize(
    ("name", "package"),
    [("sunspots", "statsmodels"), ("digits", "sklearn"), ("japanese_vowels", "aeon")],
)
def test_a_missing_package_is_named(name, package, monkeypatch):
    module = example(name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.datasets", None)
    if name == "japanese_vowels":
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="pip install"):
        module.load("TRAIN") if name == "japanese_vowels" else module.load()


def test_flip_flop():
    needs("matplotlib")
    flip_flop = example("flip_flop")
    points, _ = flip_flop.search(flip_flop.train(hidden=32, epochs=16, sequences=1024))
    assert points.stable.sum() == 8
    signs = np.sign(points.outputs[points.stable])
    assert len({tuple(row) for row in signs}) == 8, "each memory is a stable point"
    assert (points.unstable == 1).sum() >= 12, "one saddle or more on each edge of the cube"
