"""Layers: shapes, batches, tokens, and the reference on one of each cell."""

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from helpers.arrays import assert_same, draw, generator
from helpers.cells import LAYERS, arrays_of
from helpers.small_nets import H, I, L, N, T, draw_state


def swapped(array):
    return np.swapaxes(array, 0, 1)


def test_shapes_and_dtypes_of_results(cell, dtype):
    layer = LAYERS[cell](I, H, L, dtype=dtype)
    y, state = layer(draw(T, N, I, dtype=dtype))
    assert y.shape == (T, N, H)
    assert y.dtype == layer.dtype == dtype
    assert isinstance(state, tuple) == (cell == "lstm")
    assert all(s.shape == (L, N, H) and s.dtype == dtype for s in arrays_of(state))
    np.testing.assert_array_equal(arrays_of(state)[0][-1], y[-1])


def test_forward_gives_the_bits_of_call_and_does_not_alias(cell):
    layer = LAYERS[cell](I, H, L)
    x, before = draw(T, N, I), draw_state(cell, L, N, H)
    y, state = layer(x, before)
    y2, state2, tape = layer.forward(x, before)
    assert_same(y, y2)
    assert_same(state, state2)
    grads = layer.backward(tape, y)
    y2[:] = np.nan
    x[:] = np.nan
    for array in arrays_of(state2) + arrays_of(before):
        array[:] = np.nan
    np.testing.assert_array_equal(layer.backward(tape, y).flat, grads.flat)


def test_batch_first_is_another_order_of_the_axes_of_sequences_only(cell):
    plain, other = LAYERS[cell](I, H, L, seed=5), LAYERS[cell](I, H, L, seed=5, batch_first=True)
    x, before, dy = draw(T, N, I), draw_state(cell, L, N, H), draw(T, N, H, seed=2)
    y, state, tape = plain.forward(x, before)
    y2, state2, tape2 = other.forward(swapped(x), before)
    assert y2.shape == (N, T, H)
    assert_same(swapped(y2), y)
    assert_same(state2, state)
    grads, grads2 = plain.backward(tape, dy), other.backward(tape2, swapped(dy).copy())
    assert_same(grads2.flat, grads.flat)
    assert_same(swapped(grads2.x), grads.x)
    assert_same(grads2.state, grads.state)
    assert_same(grads2.flow, grads.flow)


def test_one_sequence_needs_no_batch_axis(cell):
    layer = LAYERS[cell](I, H, L, batch_first=True)
    x, before, dy = draw(T, I), draw_state(cell, L, H), draw(T, H, seed=2)
    y, state, tape = layer.forward(x, before)
    assert y.shape == (T, H)
    assert all(s.shape == (L, H) for s in arrays_of(state))
    lifted = tuple(s[:, None] for s in arrays_of(before))
    y2, _, tape2 = layer.forward(x[None], lifted if cell == "lstm" else lifted[0])
    assert_same(y2[0], y)
    grads, grads2 = layer.backward(tape, dy), layer.backward(tape2, dy[None])
    assert grads.x.shape == (T, I)
    assert_same(grads.flat, grads2.flat)
    assert_same(grads.x, grads2.x[0])
    for a, b in zip(arrays_of(grads.state), arrays_of(grads2.state), strict=True):
        assert_same(a, b[:, 0])


def test_tokens_mean_one_hot_vectors(cell):
    layer = LAYERS[cell](I, H, L, dtype="float64")
    tokens = generator(3).integers(0, I, (T, N))
    one_hot = np.eye(I)[tokens]
    y, _, tape = layer.forward(tokens)
    y2, _, tape2 = layer.forward(one_hot)
    np.testing.assert_allclose(y, y2, atol=1e-14)
    dy = draw(T, N, H, dtype="float64")
    grads, grads2 = layer.backward(tape, dy), layer.backward(tape2, dy)
    np.testing.assert_allclose(grads.flat, grads2.flat, atol=1e-12)
    assert grads.x is None
    assert grads2.x.shape == (T, N, I)
    assert_same(layer(tokens[:, 0])[0], layer.forward(tokens[:, :1])[0][:, 0])


@pytest.mark.parametrize(
    "kind", ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "longlong"]
)
def test_tokens_have_any_integer_dtype_and_strides(kind):
    layer = bn.GRU(I, H)
    tokens = generator(4).integers(0, I, (T, N))
    want = layer(tokens)[0]
    assert_same(layer(tokens.astype(kind))[0], want)
    assert_same(layer(np.asfortranarray(tokens.astype(kind)))[0], want)
    assert_same(layer(np.repeat(tokens, 2, 1).astype(kind)[:, ::2])[0], want)
    assert_same(layer(tokens[::-1].astype(kind)[::-1])[0], want)
    assert_same(layer(tokens.tolist())[0], want)


def test_the_reference_agrees(cell):
    layer = LAYERS[cell](I, H, L, dtype="float64", seed=7)
    x, before = draw(T, N, I, dtype="float64"), draw_state(cell, L, N, H, dtype="float64")
    y, state, tape = layer.forward(x, before)
    dy, dstate = (
        draw(T, N, H, dtype="float64", seed=8),
        draw_state(cell, L, N, H, dtype="float64", seed=9),
    )
    want_y, want_state, want_tape = reference.forward(cell, layer.state_dict(), x, before)
    want = reference.backward(cell, layer.state_dict(), want_tape, dy, dstate)
    grads = layer.backward(tape, dy, dstate)
    np.testing.assert_allclose(y, want_y, atol=1e-13)
    for a, b in zip(arrays_of(state), arrays_of(want_state), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
    for name, value in want.params.items():
        np.testing.assert_allclose(grads[name], value, atol=1e-12)
    np.testing.assert_allclose(grads.x, want.x, atol=1e-12)
    np.testing.assert_allclose(grads.flow, want.flow, rtol=1e-12)
