"""Tapes and gradients: their owners, the results of backward calls, and clipping."""

import copy
import gc
import pickle

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from helpers.arrays import assert_same, draw
from helpers.cells import GATES, LAYERS, RECURRENT, last_matrix
from helpers.small_nets import H, I, L, N, T


def test_a_tape_says_how_much_it_holds():
    layer = bn.LSTM(I, H)
    tape = layer.forward(draw(T, N, I))[2]
    assert isinstance(tape, bn.Tape)
    assert (tape.steps, tape.batch) == (T, N)
    assert tape.nbytes >= T * N * 6 * H * 4


def test_a_tape_serves_any_number_of_backward_calls(cell):
    layer = LAYERS[cell](I, H, L)
    _, _, tape = layer.forward(draw(T, N, I))
    dy = draw(T, N, H, seed=2)
    first = layer.backward(tape, dy)
    for _ in range(3):
        again = layer.backward(tape, dy)
        assert_same(again.flat, first.flat)
        assert_same(again.x, first.x)


def test_a_tape_of_another_layer_is_refused(cell):
    layer, twin = LAYERS[cell](I, H), LAYERS[cell](I, H)
    _, _, tape = twin.forward(draw(T, N, I))
    with pytest.raises(RuntimeError, match=r"argument 'tape': expected .* got a tape of another"):
        layer.backward(tape, draw(T, N, H))
    del twin
    gc.collect()
    with pytest.raises(RuntimeError, match="another"):
        layer.backward(tape, draw(T, N, H))


def test_gradients_are_a_mapping_over_one_vector(cell):
    layer = LAYERS[cell](I, H, L)
    grads = layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))
    assert list(grads) == list(layer.state_dict())
    assert len(grads) == (4 if cell in RECURRENT else 2) * L
    last = last_matrix(cell)
    assert last in grads
    assert "nothing" not in grads
    assert {k: v.shape for k, v in grads.items()} == {
        k: v.shape for k, v in layer.state_dict().items()
    }
    np.testing.assert_array_equal(np.concatenate([g.ravel() for g in grads.values()]), grads.flat)
    grads[last][:] = 7
    assert (grads.flat == 7).sum() == GATES[cell] * H * (H if cell in RECURRENT else I)
    assert grads.norm() == pytest.approx(np.linalg.norm(grads.flat.astype(float)), rel=1e-12)
    with pytest.raises(KeyError):
        grads["nothing"]


def test_gradients_add_scale_and_copy(cell):
    layer = LAYERS[cell](I, H)
    _, _, tape = layer.forward(draw(T, N, I))
    a, b = layer.backward(tape, draw(T, N, H)), layer.backward(tape, draw(T, N, H, seed=3))
    kept = copy.copy(a)
    want = a.flat + b.flat
    a += b
    np.testing.assert_array_equal(a.flat, want)
    a *= 0.5
    np.testing.assert_array_equal(a.flat, want * np.float32(0.5))
    assert not np.shares_memory(kept.flat, a.flat)
    again = pickle.loads(pickle.dumps(a))
    np.testing.assert_array_equal(again["weight_ih_l0"], a["weight_ih_l0"])
    assert_same(again.state, a.state)
    with pytest.raises(TypeError, match=r"Gradients.__imul__: argument 'factor': expected"):
        a *= "2"
    with pytest.raises(TypeError, match=r"Gradients.__iadd__: argument 'other': expected"):
        a += a.flat


def test_accumulate_adds_into_the_earlier_vector(cell):
    layer = LAYERS[cell](I, H)
    _, _, tape = layer.forward(draw(T, N, I))
    dy, dy2 = draw(T, N, H), draw(T, N, H, seed=3)
    first, second = layer.backward(tape, dy), layer.backward(tape, dy2)
    total = layer.backward(tape, dy)
    kept_x = total.x.copy()
    result = layer.backward(tape, dy2, accumulate=total)
    assert np.shares_memory(result.flat, total.flat)
    np.testing.assert_allclose(result.flat, first.flat + second.flat, rtol=1e-5, atol=1e-5)
    assert_same(result.x, second.x)
    assert_same(total.x, kept_x)


def test_flow_is_the_norm_of_the_total_derivative_and_can_be_off(cell):
    layer = LAYERS[cell](I, H, L, dtype="float64")
    _, _, tape = layer.forward(draw(T, N, I, dtype="float64"))
    dy = draw(T, N, H, dtype="float64")
    grads = layer.backward(tape, dy)
    assert grads.flow.shape == (L, T)
    assert grads.flow.dtype == np.float64
    assert grads.flow[-1, -1] == pytest.approx(np.linalg.norm(dy[-1]), rel=1e-12)
    assert (grads.flow_c is not None) == (cell == "lstm")
    off = layer.backward(tape, dy, flow=False)
    assert off.flow is None
    assert off.flow_c is None
    assert_same(off.flat, grads.flat)


def test_what_is_not_asked_for_is_zero_or_left_out(cell):
    layer = LAYERS[cell](I, H)
    _, state, tape = layer.forward(draw(T, N, I))
    nothing = layer.backward(tape, None)
    assert not nothing.flat.any()
    assert not nothing.x.any()
    zeros = layer.backward(tape, np.zeros((T, N, H), "f4"))
    assert_same(nothing.flat, zeros.flat)
    assert layer.backward(tape, None, state).flat.any()
    assert layer.backward(tape, None, state, input_gradient=False).x is None


def test_clipping_inside_the_loop(cell):
    layer = LAYERS[cell](I, H, dtype="float64")
    x, dy = draw(T, N, I, dtype="float64"), 10 * draw(T, N, H, dtype="float64")
    _, _, tape = layer.forward(x)
    for option in ({"clip_step": 1e-3}, {"clip_step_norm": 1e-3}):
        clipped = layer.backward(tape, dy, **option)
        _, _, ref_tape = reference.forward(cell, layer.state_dict(), x)
        want = reference.backward(cell, layer.state_dict(), ref_tape, dy, **option)
        for name, value in want.params.items():
            np.testing.assert_allclose(clipped[name], value, atol=1e-12)
        assert clipped.norm() < layer.backward(tape, dy).norm()


def test_clip_functions_do_what_they_say(dtype):
    layer = bn.LSTM(I, H, dtype=dtype)
    grads = layer.backward(layer.forward(draw(T, N, I, dtype=dtype))[2], draw(T, N, H, dtype=dtype))
    before, norm = grads.flat.copy(), grads.norm()
    assert bn.clip_grad_norm_(grads, 2 * norm) == norm
    np.testing.assert_array_equal(grads.flat, before)
    assert bn.clip_grad_norm_(grads, np.inf) == norm
    np.testing.assert_array_equal(grads.flat, before)
    assert bn.clip_grad_norm_(grads, norm / 3) == norm
    np.testing.assert_allclose(grads.flat, before / 3, rtol=1e-6)
    assert grads.norm() <= norm / 3 * (1 + 1e-6)
    bn.clip_grad_value_(grads, 1e-2)
    assert np.abs(grads.flat).max() == np.dtype(dtype).type(1e-2)
    norms = bn.clip_grad_tensor_norm_(grads, 1e-3)
    assert list(norms) == list(grads)
    assert all(np.linalg.norm(g.astype(float)) <= 1e-3 * (1 + 1e-6) for g in grads.values())
    grads.flat[0] = np.nan
    kept = grads.flat.copy()
    assert np.isnan(bn.clip_grad_norm_(grads, 1e-9))
    np.testing.assert_array_equal(grads.flat, kept)
