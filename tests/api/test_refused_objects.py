"""Bad tapes, gradients, streams, metadata and paths are refused by name; nothing changes."""

import errno
import os

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import draw
from helpers.refusals import (
    BAD_FLOATS,
    H,
    I,
    N,
    O,
    T,
    V,
    gru,
    gru_tape,
    lstm,
    lstm_tape,
    mse_model,
    mse_tape,
    out,
    refused,
    tokens_model,
    x,
    y,
)


@pytest.mark.parametrize("bad", [None, 3, "tape", x, (lstm_tape,)])
def test_bad_tapes(bad):
    assert refused(lambda: lstm.backward(bad, y)) == "tape"
    assert refused(lambda: mse_model.backward(bad, out)) == "tape"


@pytest.mark.parametrize("tape", [gru_tape, mse_tape])
def test_tapes_of_others(tape):
    assert refused(lambda: lstm.backward(tape, draw(T, N, H)), error=RuntimeError) == "tape"


@pytest.mark.parametrize("bad", [3, "g", np.zeros(10, "f4"), {}, gru.backward(gru_tape, y)])
def test_bad_gradients(bad):
    assert refused(lambda: lstm.backward(lstm_tape, y, accumulate=bad)) == "accumulate"
    assert refused(lambda: bn.Adam(lstm).step(bad)) == "grads"
    if not isinstance(bad, bn.Gradients):
        assert refused(lambda: bn.clip_grad_norm_(bad, 1.0)) == "grads"
        assert refused(lambda: bn.clip_grad_value_(bad, 1.0)) == "grads"
        assert refused(lambda: bn.clip_grad_tensor_norm_(bad, 1.0)) == "grads"


@pytest.mark.parametrize("bad", [np.nan, -1, -np.inf, "1", None, [1], 1j, True])
def test_bad_thresholds(bad):
    grads = gru.backward(gru_tape, y)
    assert refused(lambda: bn.clip_grad_norm_(grads, bad)) == "max_norm"
    assert refused(lambda: bn.clip_grad_norm_(grads, 1.0, eps=bad)) == "eps"
    assert refused(lambda: bn.clip_grad_value_(grads, bad)) == "value"
    assert refused(lambda: bn.clip_grad_tensor_norm_(grads, bad)) == "max_norm"


def test_bad_stream_input():
    stream = mse_model.stream()
    good = draw(I)
    for bad in (
        *(spoil(draw(2, I)) for spoil in BAD_FLOATS.values()),
        draw(I + 1),
        3,
        np.int64(1),
        None,
    ):
        assert refused(lambda b=bad: stream.step(b)) == "x"
    buffer = np.zeros(2 * O, "f4")
    locked = np.zeros(O, "f4")
    locked.flags.writeable = False
    for bad in (
        buffer,
        buffer[::2],
        buffer[:O, None],
        locked,
        np.zeros(O, "f8"),
        [0.0] * O,
        "x",
        3,
        np.zeros(O, ">f4"),
        np.ma.zeros(O, "f4"),
        np.zeros((O, 1), "f4"),
    ):
        assert refused(lambda b=bad: stream.step(good, out=b)) == "out"
    shared = np.zeros(I + O, "f4")
    assert refused(lambda: stream.step(shared[:I], out=shared[I - 1 : I - 1 + O])) == "out"
    stream.step(shared[:I], out=shared[I : I + O])
    for bad in (
        draw(2, 1, H),
        draw(1, H),
        "x",
        3,
        (draw(1, 1, H), draw(1, 1, H)),
        draw(1, 1, H).astype("f8"),
    ):
        assert refused(lambda b=bad: setattr(stream, "state", b)) == "state"
    for call in (
        lambda: stream.step(),
        lambda: stream.step(good, None, 3),
        lambda: stream.step(good, other=1),
        lambda: stream.step(good, x=good),
    ):
        with pytest.raises(TypeError, match=r"Stream.step: expected arguments"):
            call()


@pytest.mark.parametrize(
    "bad", [-1, V, 2**63, -(2**70), 1.0, None, "a", True, [1], np.array([1]), np.float32(1), b"a"]
)
def test_bad_stream_tokens(bad):
    stream = tokens_model.stream()
    assert refused(lambda: stream.step(bad)) == "x"
    stream.step(np.int32(V - 1))
    stream.step(np.array(0))


def test_an_empty_stream_object_is_refused():
    with pytest.raises(TypeError, match=r"^Stream\.step: the object is empty, because"):
        bn.Stream.__new__(bn.Stream).step(1)


def test_bad_metadata_and_tensors():
    m = tokens_model
    for key in ("", "k" * 257, "a\0b", 3, None, "\ud800"):
        assert refused(lambda k=key: m.metadata.__setitem__(k, "v")) == "key"
        assert refused(lambda k=key: m.tensors.__setitem__(k, np.ones(3))) == "key"
    for value in (3, None, b"x", "a\0b", "\udc00"):
        assert refused(lambda v=value: m.metadata.__setitem__("k", v)) == "value"
    for value in (
        None,
        "x",
        np.ones(3, "c8"),
        np.array([None]),
        np.ones(3, bool),
        np.ones((1,) * 9),
        np.ma.ones(3),
        np.array([2**63], "u8"),
        np.ones(2, "g"),
        {},
    ):
        assert refused(lambda v=value: m.tensors.__setitem__("k", v)) == "value"
    assert not m.metadata
    assert not m.tensors


@pytest.mark.parametrize("bad", [3, None, 1.5, ["a"], "", "a\0b", b"\0"])
def test_bad_paths(bad):
    assert refused(lambda: bn.load(bad)) == "path"
    assert refused(lambda: tokens_model.save(bad)) == "path"


def test_errors_of_the_system_have_their_number_and_name(tmp_path):
    missing = tmp_path / "no" / "model"
    for call in (lambda: bn.load(missing), lambda: tokens_model.save(missing)):
        with pytest.raises(
            FileNotFoundError, match=r"argument 'path': expected .+, got "
        ) as caught:
            call()
        assert caught.value.errno == errno.ENOENT
        assert os.fspath(caught.value.filename) == str(missing)
    with pytest.raises(IsADirectoryError):
        bn.load(tmp_path)
