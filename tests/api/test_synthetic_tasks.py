"""The synthetic tasks: their definitions and baselines."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bptt_native import tasks

Maker = Callable[[int, int, np.random.Generator], tuple[Any, Any]]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_copy_memory() -> None:
    x, y = tasks.copy_memory(7, 300, rng())
    assert x.shape == y.shape == (27, 300)
    assert set(x[:10].ravel()) == set(range(8))
    assert (x[10:16] == tasks.BLANK).all()
    assert (x[16] == tasks.DELIMITER).all()
    assert (x[17:] == tasks.BLANK).all()
    assert (y[:17] == tasks.BLANK).all()
    assert np.array_equal(y[17:], x[:10])


def test_baselines() -> None:
    assert tasks.copy_memory_baseline(500) == pytest.approx(0.0400, abs=5e-5)
    assert tasks.copy_memory_baseline(1000) == pytest.approx(0.0204, abs=5e-5)
    _, y = tasks.copy_memory(30, 50, rng())
    known = np.where(np.arange(50) < 40, 0.0, math.log(8))
    assert tasks.copy_memory_baseline(30) == pytest.approx(known.mean())
    assert len(y) == len(known)


def test_temporal_order() -> None:
    x, y = tasks.temporal_order(40, 2000, rng())
    told = x < 2
    assert (told.sum(0) == 2).all()
    first, second = (
        np.argmax(told[part], 0) + part.start for part in (slice(0, 20), slice(20, 40))
    )
    assert set(first) == set(range(4, 8))
    assert set(second) == set(range(20, 24))
    each = np.arange(2000)
    assert np.array_equal(y, 2 * x[first, each] + x[second, each])
    assert np.bincount(y, minlength=4) / 2000 == pytest.approx(np.full(4, 0.25), abs=0.04)
    assert set(x.ravel()) == set(range(6))


def test_flip_flop() -> None:
    x, y = tasks.flip_flop(50, 400, rng(), bits=4, probability=0.2)
    assert x.shape == y.shape == (50, 400, 4)
    assert x.dtype == y.dtype == np.float32
    assert set(x.ravel()) == {-1, 0, 1}
    assert x[0].all(), "all channels have a first pulse"
    kept = x[0]
    for pulses, target in zip(x, y, strict=True):
        kept = np.where(pulses == 0, kept, pulses)
        assert np.array_equal(target, kept)
    assert (x[1:] != 0).mean() == pytest.approx(0.2, abs=0.01)
    assert x[x != 0].mean() == pytest.approx(0, abs=0.03)
    channels = np.corrcoef(y.reshape(-1, 4).T) - np.eye(4)
    assert np.abs(channels).max() < 0.1, "the channels are independent"


def test_agreement_text() -> None:
    x, y = tasks.agreement_text(20, 800, rng())
    text = [" ".join(tasks.TEXT_WORDS[word] for word in words) for words in x.T]
    for words, language in zip(text, y, strict=True):
        sentences = words.split(" . ")
        assert sentences[0] == f"I grew up in {tasks.COUNTRIES[language]}"
        assert sentences[-1] == "I speak fluent"
        assert [len(s.split()) for s in sentences[1:-1]] == [4] * 4
        assert "I" not in " ".join(sentences[1:-1]).split()
    others = [w for words in text for w in words.split()[6:] if w in tasks.COUNTRIES]
    assert len(others) / (4 * 800) == pytest.approx(0.25, abs=0.03)
    assert set(others) == set(tasks.COUNTRIES)
    assert np.bincount(y, minlength=8) / 800 == pytest.approx(np.full(8, 0.125), abs=0.04)
    assert tasks.agreement_text(0, 3, rng())[0].shape == (9, 3)


@pytest.mark.parametrize(
    "make", [tasks.copy_memory, tasks.flip_flop, tasks.temporal_order, tasks.agreement_text]
)
def test_a_seed_makes_the_same_batch(make: Maker) -> None:
    x, y = make(20, 5, rng(3))
    again = make(20, 5, rng(3))
    other = make(20, 5, rng(4))
    assert np.array_equal(x, again[0])
    assert np.array_equal(y, again[1])
    assert not np.array_equal(x, other[0])


def test_refusals() -> None:
    with pytest.raises(
        ValueError, match="agreement_text: argument 'gap': expected a multiple of 5"
    ):
        tasks.agreement_text(7, 2, rng())
    with pytest.raises(ValueError, match="temporal_order: argument 'T': expected an integer >= 10"):
        tasks.temporal_order(9, 2, rng())
    with pytest.raises(ValueError, match="copy_memory: argument 'N': expected an integer >= 1"):
        tasks.copy_memory(9, 0, rng())
    with pytest.raises(ValueError, match="flip_flop: argument 'probability': expected a number"):
        tasks.flip_flop(9, 1, rng(), probability=0.0)
    with pytest.raises(ValueError, match="flip_flop: argument 'bits': expected an integer >= 1"):
        tasks.flip_flop(9, 1, rng(), bits=0)
