"""Texts as data: reading, vocabulary, streams and windows, the n-gram."""

import io
import math
import sys
from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt_native.apps.ngram import ngram_bits
from bptt_native.apps.text_data import pydoc_prose, read_text, split, windows
from bptt_native.apps.vocabulary import Vocabulary

# ------------------------------------------------------------------------------------------ reading


def test_text_is_read_as_it_is(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("a\r\nß€\n😀\x00\n".encode())
    assert read_text(path) == read_text(str(path)) == "a\r\nß€\n😀\x00\n"


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("zü".encode())))
    assert read_text("-") == "zü"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r"expected some text, got '.*text': empty"),
        (b"ab\xffcd", r"expected UTF-8 text, got byte 0xff at position 2 .* in '.*text'"),
        ("abß".encode()[:-1], r"byte 0xc3 at position 2 \(unexpected end of data\)"),
    ],
)
def test_bad_texts_are_named(tmp_path, content, expected):
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="read_text: argument 'path': .*" + expected):
        read_text(path)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(OSError, match=r"argument 'path': .* got '.*nothing': No such file"):
        read_text(tmp_path / "nothing")
    with pytest.raises(OSError, match="Is a directory"):
        read_text(tmp_path)
    with pytest.raises(ValueError, match="argument 'path'"):
        read_text("a\0b")


def test_prose():
    prose = pydoc_prose()
    assert len(prose) > 300_000
    assert prose == pydoc_prose()
    assert sum(c.isalpha() or c == " " for c in prose) > 0.8 * len(prose)


# --------------------------------------------------------------------------------------- vocabulary


@given(st.text(min_size=1))
def test_encoding_and_back(text):
    vocabulary = Vocabulary.of(text)
    tokens = vocabulary.encode(text)
    assert tokens.dtype == np.int64
    assert set(tokens.tolist()) == set(range(len(vocabulary)))
    assert vocabulary.decode(tokens) == text
    assert [vocabulary.characters[t] for t in tokens] == list(text)


def test_unknown_characters_are_named():
    vocabulary = Vocabulary.of("hello")
    with pytest.raises(ValueError, match=r"'x' \(U\+0078\) at position 2"):
        vocabulary.encode("hexx")
    with pytest.raises(ValueError, match=r"'a' \(U\+0061\) at position 0"):
        vocabulary.encode("a")  # before the first that is known
    with pytest.raises(IndexError, match=r"expected 0 \.\.\. 3, got 1 \.\.\. 4"):
        vocabulary.decode([1, 4])
    with pytest.raises(IndexError, match="got -1"):
        vocabulary.decode([-1])


@pytest.mark.parametrize("characters", ["", "ba", "aab"])
def test_vocabulary_is_ascending(characters):
    with pytest.raises(ValueError, match="Vocabulary: argument 'characters': expected distinct"):
        Vocabulary(characters)


# --------------------------------------------------------------------------------- streams, windows


@given(
    n=st.integers(0, 300), time=st.integers(1, 9), streams=st.integers(1, 7),
    offset=st.integers(0, 20), whole=st.booleans(),
)  # fmt: skip
def test_windows_read_on(n, time, streams, offset, whole):
    tokens = np.arange(n)
    got = list(windows(tokens, time, streams, offset, whole))
    length = max(0, n - 1 - offset) // streams
    steps = length - length % time if whole else length
    assert sum(len(x) for x, _ in got) == steps
    for x, targets in got:
        assert x.shape == targets.shape == (len(x), streams)
        assert len(x) == time or (not whole and x is got[-1][0])
        np.testing.assert_array_equal(targets, x + 1)  # the character that follows
    for s in range(streams if got else 0):
        stream = np.concatenate([x[:, s] for x, _ in got])
        np.testing.assert_array_equal(stream, offset + s * length + np.arange(steps))


@given(n=st.integers(0, 1000), fraction=st.floats(0, 0.99))
def test_split_holds_out_the_end(n, fraction):
    train, valid = split(np.arange(n), fraction)
    np.testing.assert_array_equal(np.concatenate([train, valid]), np.arange(n))
    assert len(valid) == int(n * fraction)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, math.nan, math.inf])
def test_split_refuses(fraction):
    with pytest.raises(ValueError, match="split: argument 'valid_fraction': expected a number"):
        split(np.arange(10), fraction)


# ------------------------------------------------------------------------------------------- n-gram


def witten_bell(train, valid, vocab_size, order):
    """The definition, character by character."""
    counts = defaultdict(Counter)
    for i, w in enumerate(train):
        for k in range(min(i, order) + 1):
            counts[tuple(train[i - k : i])][w] += 1

    def p(w, h):
        lower = p(w, h[1:]) if h else 1 / vocab_size
        seen = counts[h]
        mass = sum(seen.values()) + len(seen)
        return (seen[w] + len(seen) * lower) / mass if mass else lower

    text = list(train) + list(valid)
    at = range(len(train) + 1, len(text))
    return -sum(math.log2(p(text[i], tuple(text[max(0, i - order) : i]))) for i in at) / len(at)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6), n=st.integers(0, 120), m=st.integers(2, 30),
    vocab_size=st.integers(1, 6), order=st.integers(0, 5),
)  # fmt: skip
def test_ngram_is_witten_bell(seed, n, m, vocab_size, order):
    tokens = np.random.default_rng(seed).integers(0, vocab_size, n + m)
    train, valid = tokens[:n], tokens[n:]
    expected = witten_bell(train.tolist(), valid.tolist(), vocab_size, order)
    assert ngram_bits(train, valid, vocab_size, order) == pytest.approx(expected, rel=1e-12)


def test_ngram_is_a_distribution():
    """The probabilities of all possible next characters sum to one."""
    tokens = np.random.default_rng(1).integers(0, 5, 200)
    bits = [ngram_bits(tokens, np.append(tokens[-1:], w), 5, order=3) for w in range(5)]
    assert sum(2.0**-b for b in bits) == pytest.approx(1, rel=1e-12)


def test_ngram_of_prose():
    text = pydoc_prose()
    vocabulary = Vocabulary.of(text)
    train, valid = split(vocabulary.encode(text), 0.1)
    bits = ngram_bits(train, valid, len(vocabulary), order=4)
    assert 1.6 < bits < 2.2


def test_ngram_refuses():
    with pytest.raises(ValueError, match="argument 'valid': expected at least two characters"):
        ngram_bits(np.arange(3), np.arange(1), 3)
    with pytest.raises(ValueError, match="argument 'order': expected at least 0, got -1"):
        ngram_bits(np.arange(3), np.arange(3), 3, -1)
