"""The range test of learning rates: growth, smoothing, its end, the suggestion, and its figure."""

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.training.lr_finder import RangeTest, _steepest
from helpers.fitting import bits, classifier, regressor, sequences, series


def data(n=64):
    return sequences(n, T=12)


def test_the_model_does_not_change():
    model = classifier(clip_norm=1.0, dropout=0.25, num_layers=2)
    model.fit(*data(), epochs=1)
    before, state = bits(model), model.optimizer.state_dict()
    found = bn.find_lr(model, *data(), steps=30)
    again = bn.find_lr(model, *data(), steps=30)
    assert bits(model) == before
    assert model.lr == 1e-2
    assert model.optimizer.state_dict()["steps"] == state["steps"]
    for name in ("lr", "loss", "smoothed"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    assert found.suggestion == again.suggestion


def test_the_rates_grow_exponentially_and_the_loss_is_that_of_training():
    model = classifier()
    found = bn.find_lr(
        model, *data(), steps=20, min_lr=1e-4, max_lr=1e-2, smoothing=0.75, batch_size=16, seed=3
    )
    np.testing.assert_allclose(found.lr, np.geomspace(1e-4, 1e-2, 20))
    other = classifier(lr=1.0)
    by_hand = other.fit(
        *data(), steps=20, batch_size=16, seed=3, schedule=lambda step, _: 1e-4 * 100 ** (step / 19)
    )
    np.testing.assert_allclose(found.loss, by_hand.steps["loss"], rtol=1e-6)
    average, expected = 0.0, []
    for k, loss in enumerate(found.loss):
        average = 0.75 * average + 0.25 * loss
        expected.append(average / (1 - 0.75 ** (k + 1)))
    np.testing.assert_allclose(found.smoothed, expected)
    assert not found.diverged


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
def test_it_ends_where_the_loss_diverges(nonfinite):
    x, y = series(400)
    model = regressor(optimizer="sgd", nonfinite=nonfinite)
    found = bn.find_lr(model, x, y, window=20, max_lr=1e6)
    assert found.diverged
    assert len(found.lr) < 100
    assert np.isfinite(found.loss).all()
    assert found.lr[0] < found.suggestion < found.lr[-1]
    small = bn.find_lr(model, x, y, window=20, max_lr=1e6, divergence=1.01)
    assert len(small.lr) < len(found.lr)


def test_the_suggestion_is_a_rate_that_learns():
    x, y = data(256)
    model = classifier(output_size=3, hidden_size=16)
    suggested = bn.find_lr(model, x, y, batch_size=32).suggestion
    losses = {}
    for factor in (1e-3, 1, 1e3):
        tried = model.with_options(lr=factor * suggested)
        losses[factor] = tried.fit(x, y, epochs=4).epochs["loss"][-1]
    assert min(losses, key=losses.get) == 1


def test_the_steepest_descent_of_known_curves():
    lr = np.geomspace(1e-6, 1, 61)
    log = np.log10(lr)
    loss = 2 - 1 / (1 + np.exp(-8 * (log + 2.5)))  # steepest at 10^-2.5
    assert np.log10(_steepest(lr, loss, loss, 7)) == pytest.approx(-2.5, abs=0.06)
    rising = loss + np.where(
        log > -1, 10 * (log + 1), 0
    )  # what comes after the least does not count
    falls_later = np.where(log > -0.5, rising.max() - 50 * (log + 0.5), rising)
    assert np.log10(_steepest(lr, falls_later, rising, 7)) == pytest.approx(-2.5, abs=0.06)
    assert _steepest(lr, log, log, 7) is None  # it never falls
    noisy = loss + 0.02 * np.random.default_rng(0).standard_normal(61)
    assert np.log10(_steepest(lr, noisy, noisy, 7)) == pytest.approx(-2.5, abs=0.35)


def test_batches_without_targets_and_with_weights():
    x, _ = sequences(12, T=6)
    tags = [np.full(6, -100 if k % 3 else 1) for k in range(12)]
    model = classifier(targets="every")
    found = bn.find_lr(model, x, tags, batch_size=1, steps=30)
    assert 10 <= len(found.lr) < 30
    assert np.isfinite(found.loss).all()
    weights = [np.full(6, 1.0 - (k % 2), "f4") for k in range(12)]
    assert len(bn.find_lr(model, x, tags, weights=weights, batch_size=12, steps=10).lr) == 10


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min_lr": 0}, "'min_lr': expected a finite number above 0, got 0"),
        ({"max_lr": 1e-7}, "'max_lr': expected a finite number above 1e-06, got 1e-07"),
        ({"steps": 9}, "'steps': expected an integer >= 10, got 9"),
        ({"smoothing": 1}, r"'smoothing': expected a number in \[0, 1\), got 1"),
        ({"divergence": 1}, "'divergence': expected a finite number above 1, got 1"),
        ({"divergence": np.inf}, "'divergence': expected"), ({"seed": -1}, "'seed'"),
        ({"window": 3}, "'window': expected None"),
    ],
)  # fmt: skip
def test_wrong_arguments(options, text):
    with pytest.raises((TypeError, ValueError), match=f"^find_lr: argument {text}"):
        bn.find_lr(classifier(), *data(), **options)


def test_the_first_rate_may_be_too_large():
    x, y = series(100)
    model = regressor(optimizer="sgd")
    model.load_state_dict({n: v * np.float32(1e30) for n, v in model.state_dict().items()})
    with pytest.raises(
        ValueError, match="find_lr: argument 'min_lr': expected a rate with a finite"
    ):
        bn.find_lr(model, x, y)
    with pytest.raises(TypeError, match="find_lr: argument 'model': expected a Model, got a GRU"):
        bn.find_lr(bn.GRU(1, 2), x, y)


def test_it_is_shown_and_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    lr = np.geomspace(1e-6, 1, 31)
    loss = np.where(lr < 0.1, 1 - 0.2 * np.log10(1e6 * lr) / 5, 3.0)
    found = RangeTest(lr, loss, loss, 1e-3, True)
    assert repr(found).splitlines()[0] == (
        "RangeTest: suggestion 0.001; 31 updates, the loss diverged"
    )
    ax = found.plot()
    assert ax.get_title(loc="left").replace("\n", " ") == (
        "The loss falls fastest at a learning rate of 0.001"
    )
    assert ax.get_xscale() == "log"
    low, high = ax.get_ylim()
    assert low < loss.min() < 1 < high < 3  # the divergence is cut off
    assert bn.plots.plot_lr_finder(found, ax=ax) is ax
    none = RangeTest(lr, lr, lr, None, False)
    assert "None" not in repr(none)
    assert none.plot().get_title(loc="left").startswith("No learning rate lowers")
    assert found._repr_html_().count("data:image/png") == 1
    with pytest.raises(TypeError, match="plot_lr_finder: argument 'found': expected the result of"):
        bn.plots.plot_lr_finder(lr)


def test_a_run_is_drawn():
    pytest.importorskip("matplotlib")
    x, y = data()
    result = classifier().fit(x, y, epochs=2, validation=(x, y))
    ax = result.plot()
    assert ax.get_xlabel() == "update"
    assert result.plot(ax=ax) is ax
