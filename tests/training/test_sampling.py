"""Samples of a character language model: seeds, temperature, the softmax."""

import math

import numpy as np
import pytest

from bptt_native.apps.sampling import sample
from bptt_native.apps.text import TextTrainer
from helpers.texts import TEXT, small


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


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_narrow_weights_write_nearly_the_same(trained, weights):
    written = {
        "".join(sample(*trained, "Anna ", 40, 0.0, weights=kind)) for kind in ("model", weights)
    }
    assert len({text[:10] for text in written}) == 1


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
