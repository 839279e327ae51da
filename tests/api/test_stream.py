"""Streams: single steps, their equality with a whole window, and no allocation."""

import gc
import sys

import numpy as np
import pytest

import bptt_native as bn
from helpers.cells import GATES, arrays_of
from helpers.cprograms import build, build_shim, run
from helpers.nets import TOLERANCE
from helpers.streams import INPUTS, OPTIONS, H, I, O, T, make, sequence


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("inputs", INPUTS)
def test_a_stream_equals_the_window(cell, inputs, dtype, isa):
    m, x = make(cell, inputs, dtype), sequence(inputs, dtype)
    want, state = m(x)
    stream = m.stream()
    got = np.array([stream.step(step) for step in x])
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, atol=TOLERANCE[dtype])
    for a, b in zip(arrays_of(stream.state), arrays_of(state), strict=True):
        assert a.shape == (2, 1, H)
        np.testing.assert_allclose(a[:, 0], b, atol=TOLERANCE[dtype])


@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=str)
@pytest.mark.parametrize("inputs", INPUTS)
def test_a_stream_of_any_cell_equals_the_window(cell, options, inputs, dtype, isa):
    m, x = make(cell, inputs, dtype, **options), sequence(inputs, dtype)
    want, state = m(x)
    stream = m.stream()
    for _ in range(2):
        got = np.array([stream.step(step) for step in x])
        np.testing.assert_allclose(got, want, atol=TOLERANCE[dtype])
        for a, b in zip(arrays_of(stream.state), arrays_of(state), strict=True):
            assert a.shape == (2, 1, b.shape[-1])
            np.testing.assert_allclose(a[:, 0], b, atol=TOLERANCE[dtype])
        stream.state = stream.state
        stream.reset()


@pytest.mark.parametrize("cell", GATES)
def test_states_are_carried_set_and_reset(cell):
    m, x = make(cell), sequence("values")
    stream = m.stream()
    first = np.array([stream.step(step) for step in x])
    middle = stream.state
    second = np.array([stream.step(step) for step in x])
    assert not np.array_equal(first, second)
    stream.state = middle
    np.testing.assert_array_equal(np.array([stream.step(step) for step in x]), second)
    stream.reset()
    assert not any(s.any() for s in arrays_of(stream.state))
    np.testing.assert_array_equal(np.array([stream.step(step) for step in x]), first)
    stream.state = None
    np.testing.assert_array_equal(np.array([stream.step(step) for step in x]), first)
    _, state = m(x)
    other = m.stream()
    other.state = tuple(s[:, None] for s in state) if cell == "lstm" else state[:, None]
    np.testing.assert_allclose(other.step(x[0]), second[0], atol=1e-5)


def test_out_is_written_and_nothing_beside_it():
    m, x = make(), sequence("values")
    plain, stream = m.stream(), m.stream()
    room = np.full(O + 40, 7, "f4")
    for step in x:
        want = plain.step(step)
        got = stream.step(step, out=room[20 : 20 + O])
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(room[20 : 20 + O], want)
        assert (room[:20] == 7).all()
        assert (room[20 + O :] == 7).all()
    out = np.empty(O, "f4")
    assert stream.step(x[0], out) is out
    assert stream.step(x=x[0], out=out) is out


def test_steps_take_what_turns_into_an_array():
    m, x = make(), sequence("values")
    want = m.stream().step(x[0])
    for given in (
        x[0].tolist(),
        np.repeat(x[0], 2)[::2],
        x[0].astype(">f4"),
        x[0][::-1].copy()[::-1],
    ):
        np.testing.assert_array_equal(m.stream().step(given), want)
    tokens = make(inputs="one-hot")
    want = tokens.stream().step(3)
    for given in (np.int8(3), np.uint64(3), np.array(3)):
        np.testing.assert_array_equal(tokens.stream().step(given), want)


def test_a_stream_keeps_the_weights_of_its_creation():
    m, x = make("gru", loss="mse"), sequence("values")
    stream, want = m.stream(), m(x)[0]
    m.train_step(x, np.zeros((T, O), "f4"))
    first = stream.step(x[0])
    assert not np.allclose(m(x)[0][0], want[0], atol=1e-6)
    del m
    gc.collect()
    got = np.array([first, *(stream.step(step) for step in x[1:])])
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_streams_do_not_disturb_each_other():
    m, x = make(), sequence("values")
    streams = [m.stream() for _ in range(5)]
    for step in x:
        outs = [stream.step(step) for stream in streams]
        assert all(np.array_equal(out, outs[0]) for out in outs)
    streams[0].step(x[0])
    np.testing.assert_array_equal(streams[1].step(x[0]), streams[2].step(x[0]))


def test_nan_in_a_step_stays_in_its_stream():
    m = make()
    stream, clean = m.stream(), m.stream()
    assert np.isnan(stream.step(np.full(I, np.nan, "f4"))).all()
    assert np.isfinite(clean.step(np.zeros(I, "f4"))).all()
    stream.reset()
    assert np.isfinite(stream.step(np.zeros(I, "f4"))).all()


def test_a_step_is_one_call_of_c():
    """The point of a stream is that Python's share is small: no function of Python's is called."""
    m = bn.Model("rnn", input_size=2, hidden_size=4, output_size=1, loss="mse")
    stream, x, out = m.stream(), np.zeros(2, "f4"), np.zeros(1, "f4")
    stream.step(x, out)  # the first one of a process looks NumPy's functions up
    seen = []
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    try:
        stream.step(x, out)
    finally:
        sys.setprofile(None)
    assert seen == ["c_call", "c_return", "c_call"]  # the last one is sys.setprofile


def test_a_step_allocates_nothing_takes_no_lock_and_makes_no_system_call(tmp_path, isa):
    shim = build_shim(tmp_path)
    printed = run(build("stream", tmp_path), LD_PRELOAD=str(shim), BPTT_ISA=isa)
    assert "48 streams of 500 steps: no allocation, no lock, no system call" in printed
