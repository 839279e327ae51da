"""The public surface: shapes, dtypes, states, tapes, gradients, optimisers, copies."""

import ast
import copy
import gc
import inspect
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from helpers.arrays import draw, generator
from helpers.cells import GATES, LAYERS, arrays_of

T, N, I, H, L = 5, 3, 4, 6, 2  # noqa: E741


@pytest.fixture(params=LAYERS)
def cell(request):
    return request.param


def draw_state(cell, *shape, dtype="float32", seed=1):
    h, c = generator(seed).standard_normal((2, *shape)).astype(dtype)
    return (h, c) if cell == "lstm" else h


def swapped(array):
    return np.swapaxes(array, 0, 1)


def same(a, b):
    for x, y in zip(arrays_of(a), arrays_of(b), strict=True):
        np.testing.assert_array_equal(x, y)


# ------------------------------------------------------------------------------------------- shapes


def test_parameters_have_the_names_and_shapes_of_torch(cell):
    layer = LAYERS[cell](I, H, L)
    want = {}
    for k in range(L):
        want[f"weight_ih_l{k}"] = (GATES[cell] * H, I if k == 0 else H)
        want[f"weight_hh_l{k}"] = (GATES[cell] * H, H)
        want[f"bias_ih_l{k}"] = want[f"bias_hh_l{k}"] = (GATES[cell] * H,)
    assert {k: v.shape for k, v in layer.state_dict().items()} == want
    assert list(layer.state_dict()) == list(want)
    assert [(p.name, p.shape, p.frozen) for p in layer.parameters()] == [
        (name, shape, False) for name, shape in want.items()
    ]
    assert layer.num_parameters == sum(int(np.prod(s)) for s in want.values())
    assert list(LAYERS[cell](I, H, bias=False).state_dict()) == ["weight_ih_l0", "weight_hh_l0"]


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
    same(y, y2)
    same(state, state2)
    grads = layer.backward(tape, y)
    y2[:] = np.nan
    x[:] = np.nan
    for array in arrays_of(state2) + arrays_of(before):
        array[:] = np.nan
    np.testing.assert_array_equal(layer.backward(tape, y).flat, grads.flat)


def test_a_tape_says_how_much_it_holds():
    layer = bn.LSTM(I, H)
    tape = layer.forward(draw(T, N, I))[2]
    assert isinstance(tape, bn.Tape)
    assert (tape.steps, tape.batch) == (T, N)
    assert tape.nbytes >= T * N * 6 * H * 4


def test_batch_first_is_another_order_of_the_axes_of_sequences_only(cell):
    plain, other = LAYERS[cell](I, H, L, seed=5), LAYERS[cell](I, H, L, seed=5, batch_first=True)
    x, before, dy = draw(T, N, I), draw_state(cell, L, N, H), draw(T, N, H, seed=2)
    y, state, tape = plain.forward(x, before)
    y2, state2, tape2 = other.forward(swapped(x), before)
    assert y2.shape == (N, T, H)
    same(swapped(y2), y)
    same(state2, state)
    grads, grads2 = plain.backward(tape, dy), other.backward(tape2, swapped(dy).copy())
    same(grads2.flat, grads.flat)
    same(swapped(grads2.x), grads.x)
    same(grads2.state, grads.state)
    same(grads2.flow, grads.flow)


def test_one_sequence_needs_no_batch_axis(cell):
    layer = LAYERS[cell](I, H, L, batch_first=True)
    x, before, dy = draw(T, I), draw_state(cell, L, H), draw(T, H, seed=2)
    y, state, tape = layer.forward(x, before)
    assert y.shape == (T, H)
    assert all(s.shape == (L, H) for s in arrays_of(state))
    lifted = tuple(s[:, None] for s in arrays_of(before))
    y2, _, tape2 = layer.forward(x[None], lifted if cell == "lstm" else lifted[0])
    same(y2[0], y)
    grads, grads2 = layer.backward(tape, dy), layer.backward(tape2, dy[None])
    assert grads.x.shape == (T, I)
    same(grads.flat, grads2.flat)
    same(grads.x, grads2.x[0])
    for a, b in zip(arrays_of(grads.state), arrays_of(grads2.state), strict=True):
        same(a, b[:, 0])


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
    same(layer(tokens[:, 0])[0], layer.forward(tokens[:, :1])[0][:, 0])


@pytest.mark.parametrize(
    "kind", ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "longlong"]
)
def test_tokens_have_any_integer_dtype_and_strides(kind):
    layer = bn.GRU(I, H)
    tokens = generator(4).integers(0, I, (T, N))
    want = layer(tokens)[0]
    same(layer(tokens.astype(kind))[0], want)
    same(layer(np.asfortranarray(tokens.astype(kind)))[0], want)
    same(layer(np.repeat(tokens, 2, 1).astype(kind)[:, ::2])[0], want)
    same(layer(tokens[::-1].astype(kind)[::-1])[0], want)
    same(layer(tokens.tolist())[0], want)


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


# ------------------------------------------------------------------------------------------- dtypes


def test_what_loses_nothing_is_converted(cell):
    wide = LAYERS[cell](I, H, dtype="float64")
    x = draw(T, N, I)
    want = wide(x.astype("float64"))[0]
    for given in (x, x.tolist(), x.astype(">f4"), x.astype(">f8"), x.astype("f8").tolist()):
        same(wide(given)[0], want)
    same(wide(np.round(x).astype("int32"))[0], wide(np.round(x).astype("f8"))[0])
    same(wide([[[1, 2, 3, 4]]])[0], wide(np.array([[[1.0, 2, 3, 4]]]))[0])
    same(LAYERS[cell](I, H)(x.astype("f2"))[0], LAYERS[cell](I, H)(x.astype("f2").astype("f4"))[0])


def memory_orders(x):
    padded = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    padded[..., ::2] = x
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    shifted[:] = x
    fields = np.zeros(x.shape, [("pad", "i1"), ("x", x.dtype)])
    fields["x"] = x
    yield "fortran", np.asfortranarray(x)
    yield "transposed", np.ascontiguousarray(x.T).T
    yield "every second", padded[..., ::2]
    yield "rows with gaps", np.concatenate([x, x], axis=-1)[..., : x.shape[-1]]
    yield "reversed twice", np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    yield "reversed features", np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    yield "unaligned", shifted
    yield "a field", fields["x"]
    yield "swapped bytes", x.astype(x.dtype.newbyteorder())
    yield "a list", x.tolist()
    locked = x.copy()
    locked.flags.writeable = False
    yield "read-only", locked


def test_every_memory_order_gives_the_same_bits(cell, dtype, tmp_path):
    layer = LAYERS[cell](I, H, L, dtype=dtype)
    x, before, dy = (draw(*s, dtype=dtype) for s in ((T, N, I), (L, N, H), (T, N, H)))
    state = (before, before * 2) if cell == "lstm" else before
    y, _, tape = layer.forward(x, state)
    want = layer.backward(tape, dy, state)
    mapped = np.memmap(tmp_path / "x", dtype, "w+", shape=x.shape)
    mapped[:] = x
    same(layer(mapped, state)[0], y)
    for name, given in memory_orders(x):
        np.testing.assert_array_equal(layer(given, state)[0], y, err_msg=name)
    for name, given in memory_orders(before):
        given_state = (given, before * 2) if cell == "lstm" else given
        np.testing.assert_array_equal(layer(x, given_state)[0], y, err_msg=name)
        same(layer.backward(tape, dy, given_state).flat, want.flat)
    for _, given in memory_orders(dy):
        same(layer.backward(tape, given, state).flat, want.flat)


def test_a_broadcast_input_costs_no_copy_and_is_right():
    layer = bn.LSTM(I, H)
    x = np.broadcast_to(draw(1, N, I), (T, N, I))
    same(layer(x)[0], layer(x.copy())[0])


def test_a_state_may_be_a_list():
    layer = bn.LSTM(I, H)
    h, c = draw_state("lstm", 1, N, H)
    same(layer(draw(T, N, I), [h, c])[0], layer(draw(T, N, I), (h, c))[0])


# --------------------------------------------------------------------------------- tapes, gradients


def test_a_tape_serves_any_number_of_backward_calls(cell):
    layer = LAYERS[cell](I, H, L)
    _, _, tape = layer.forward(draw(T, N, I))
    dy = draw(T, N, H, seed=2)
    first = layer.backward(tape, dy)
    for _ in range(3):
        again = layer.backward(tape, dy)
        same(again.flat, first.flat)
        same(again.x, first.x)


def test_a_stale_tape_is_refused_and_a_new_one_works(cell):
    layer = LAYERS[cell](I, H)
    x, dy = draw(T, N, I), draw(T, N, H)
    changes = [
        lambda: layer.load_state_dict(layer.state_dict()),
        lambda: bn.SGD(layer, lr=0.1).step(layer.backward(layer.forward(x)[2], dy)),
    ]
    for change in changes:
        _, _, tape = layer.forward(x)
        change()
        with pytest.raises(
            RuntimeError, match=r"backward: argument 'tape': expected .* got .*before"
        ):
            layer.backward(tape, dy)
        layer.backward(layer.forward(x)[2], dy)


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
    assert len(grads) == 4 * L
    assert "weight_hh_l0" in grads
    assert "nothing" not in grads
    assert {k: v.shape for k, v in grads.items()} == {
        k: v.shape for k, v in layer.state_dict().items()
    }
    np.testing.assert_array_equal(np.concatenate([g.ravel() for g in grads.values()]), grads.flat)
    grads["weight_hh_l0"][:] = 7
    assert (grads.flat == 7).sum() == GATES[cell] * H * H
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
    np.testing.assert_array_equal(again["weight_hh_l0"], a["weight_hh_l0"])
    same(again.state, a.state)
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
    same(result.x, second.x)
    same(total.x, kept_x)


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
    same(off.flat, grads.flat)


def test_what_is_not_asked_for_is_zero_or_left_out(cell):
    layer = LAYERS[cell](I, H)
    _, state, tape = layer.forward(draw(T, N, I))
    nothing = layer.backward(tape, None)
    assert not nothing.flat.any()
    assert not nothing.x.any()
    zeros = layer.backward(tape, np.zeros((T, N, H), "f4"))
    same(nothing.flat, zeros.flat)
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


# ------------------------------------------------------------------------ freezing, copies, pickles


def test_frozen_parameters_do_not_learn(cell):
    layer = LAYERS[cell](I, H, L)
    layer.freeze("weight_hh_l0", "bias_ih_l1")
    assert [p.name for p in layer.parameters() if p.frozen] == ["weight_hh_l0", "bias_ih_l1"]
    before = layer.state_dict()
    optimizer = bn.Adam(layer, lr=0.1, weight_decay=0.1)
    grads = layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))
    assert not grads["weight_hh_l0"].any()
    assert optimizer.step(grads)
    for name, value in layer.state_dict().items():
        assert np.array_equal(value, before[name]) == (name in ("weight_hh_l0", "bias_ih_l1"))
    layer.unfreeze("weight_hh_l0")
    assert layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))["weight_hh_l0"].any()
    with pytest.raises(
        ValueError, match=r"freeze: argument 'names': expected one of .* got 'nothing'"
    ):
        layer.freeze("weight_ih_l0", "nothing")
    assert [p.name for p in layer.parameters() if p.frozen] == ["bias_ih_l1"]


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_layers_copy_and_pickle(cell, duplicate, dtype):
    layer = LAYERS[cell](
        I, H, L, bias=cell != "gru", dtype=dtype, batch_first=True, seed=3, init="orthogonal"
    )
    layer.freeze("weight_hh_l1")
    layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()})
    twin = duplicate(layer)
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer)
    assert twin.parameters() == layer.parameters()
    x = draw(N, T, I, dtype=dtype)
    same(twin(x)[0], layer(x)[0])
    twin.load_state_dict({k: v * 0 for k, v in twin.state_dict().items()})
    assert layer(x)[0].any()


def model(**options):
    settings = {
        "vocab_size": 7,
        "hidden_size": H,
        "output_size": 7,
        "optimizer": "adam",
        "lr": 0.01,
    }
    return bn.Model(**(settings | options))


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_models_copy_and_pickle_with_all_that_they_know(duplicate):
    m = model(clip_norm=0.1, num_layers=2, dtype="float64")
    tokens = generator().integers(0, 7, (T + 1, N))
    m.freeze("rnn.weight_hh_l0")
    m.metadata["note"] = "ä"
    m.tensors["a"] = np.arange(3)
    for _ in range(3):
        m.train_step(tokens[:-1], tokens[1:])
    twin = duplicate(m)
    assert repr(twin) == repr(m)
    assert twin.config == m.config
    assert twin.step_count == 3
    assert dict(twin.metadata) == {"note": "ä"}
    np.testing.assert_array_equal(twin.tensors["a"], np.arange(3))
    assert twin.parameters() == m.parameters()
    a, b = m.train_step(tokens[:-1], tokens[1:]), twin.train_step(tokens[:-1], tokens[1:])
    assert a.loss == b.loss
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])


def test_reprs_are_calls():
    for text in (
        "LSTM(4, 6)",
        "LSTM(4, 6, num_layers=2, bias=False, batch_first=True)",
        "RNN(1, 1, nonlinearity='relu', dtype='float64', seed=9)",
        "GRU(3, 5, init=Init(weights='orthogonal', gain=1.5, forget_bias=None, "
        "spectral_radius=0.95, time_scale=None))",
        "LSTM(4, 6, forget_bias=1.0)",
        "Model(cell='rnn', input_size=2, hidden_size=3, output_size=1, loss='mse', targets='last')",
    ):
        made = eval(text, {**vars(bn)})
        if text.startswith("Model"):
            assert eval(repr(made), {**vars(bn)}).config == made.config
        else:
            assert repr(made) == text
    assert "Tape" in repr(bn.RNN(1, 1).forward(np.zeros((1, 1, 1), "f4"))[2])
    assert (
        repr(bn.Adam(bn.RNN(1, 1)))
        == "Adam(RNN, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False, "
        "decay_biases=False)"
    )


# ------------------------------------------------------------------------- loading and initialising


def test_load_state_dict_copies_and_takes_what_turns_into_arrays(cell):
    class Tensor:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array if dtype is None else self.array.astype(dtype)

    layer, other = LAYERS[cell](I, H, seed=1), LAYERS[cell](I, H, seed=2)
    state = other.state_dict()
    layer.load_state_dict({k: Tensor(v) for k, v in reversed(state.items())})
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    value[:] = 5
    state[name][:] = 6
    np.testing.assert_array_equal(layer.state_dict()[name], other.state_dict()[name])


def test_a_bad_state_dict_changes_nothing(cell):
    layer = LAYERS[cell](I, H)
    before = layer.state_dict()
    good = {k: v + 1 for k, v in before.items()}
    one_less = {k: v for k, v in good.items() if k != "weight_hh_l0"}
    cases = {
        "got no weight_hh_l0": one_less,
        "the unknown more": good | {"more": np.ones(3, "f4")},
        "'bias_hh_l0': expected a float32 array": good | {"bias_hh_l0": np.ones(3, "f4")},
        "got a float64 array": good | {"bias_hh_l0": before["bias_hh_l0"].astype("f8")},
        "got None": good | {"bias_hh_l0": None},
        "expected a mapping": list(good.items()),
    }
    for text, bad in cases.items():
        with pytest.raises((ValueError, TypeError), match=f"load_state_dict: argument .*{text}"):
            layer.load_state_dict(bad)
        for name, value in layer.state_dict().items():
            np.testing.assert_array_equal(value, before[name])


def test_the_seed_decides_the_parameters_and_dtypes_agree(cell):
    a, b = LAYERS[cell](I, H, seed=11).state_dict(), LAYERS[cell](I, H, seed=11).state_dict()
    other = LAYERS[cell](I, H, seed=12).state_dict()
    wide = LAYERS[cell](I, H, seed=11, dtype="float64").state_dict()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])
        assert not np.array_equal(value, other[name])
        np.testing.assert_allclose(value, wide[name], rtol=1e-6, atol=1e-7)
        assert np.abs(value).max() <= 1 / np.sqrt(H)


def test_initialisers():
    ortho = bn.GRU(I, H, init=bn.Init("orthogonal", gain=2.0), dtype="float64").state_dict()
    for gate in np.split(ortho["weight_hh_l0"], 3):
        np.testing.assert_allclose(gate @ gate.T, 4 * np.eye(H), atol=1e-12)
    irnn = bn.RNN(I, H, init="identity", nonlinearity="relu").state_dict()
    np.testing.assert_array_equal(irnn["weight_hh_l0"], np.eye(H))
    assert not irnn["bias_ih_l0"].any()
    for layer in (bn.LSTM(I, H, forget_bias=1.5), bn.LSTM(I, H, init=bn.Init(forget_bias=1.5))):
        state = layer.state_dict()
        np.testing.assert_array_equal(state["bias_ih_l0"][H : 2 * H], 1.5)
        np.testing.assert_array_equal(state["bias_hh_l0"][H : 2 * H], 0)


# --------------------------------------------------------------------------------------- optimisers


@pytest.mark.parametrize(
    "make",
    [
        lambda p: bn.SGD(p, lr=0.1),
        lambda p: bn.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda p: bn.Adagrad(p, lr=0.1, weight_decay=0.01),
        lambda p: bn.Adam(p, lr=0.1, betas=(0.8, 0.99), weight_decay=0.01),
    ],
)
def test_optimisers_go_on_from_their_state(make, dtype):
    layer = bn.GRU(I, H, dtype=dtype)
    optimizer = make(layer)
    x, dy = draw(T, N, I, dtype=dtype), draw(T, N, H, dtype=dtype)
    for _ in range(3):
        assert optimizer.step(layer.backward(layer.forward(x)[2], dy))
    assert optimizer.steps == 3
    twin = copy.deepcopy(layer)
    again = make(twin)
    again.lr = 9
    again.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    assert again.lr == optimizer.lr == 0.1
    for _ in range(3):
        optimizer.step(layer.backward(layer.forward(x)[2], dy))
        again.step(twin.backward(twin.forward(x)[2], dy))
    np.testing.assert_array_equal(
        twin.state_dict()["weight_hh_l0"], layer.state_dict()["weight_hh_l0"]
    )
    state = optimizer.state_dict()
    for bad in (
        state | {"steps": -1},
        state | {"lr": np.nan},
        state | {"algorithm": "other"},
        {k: v for k, v in state.items() if k != "lr"},
        state | {"more": 1},
        {k: v[:-1] if isinstance(v, np.ndarray) else v for k, v in state.items()} | {"steps": 1.5},
    ):
        with pytest.raises(
            (ValueError, TypeError), match=r"load_state_dict: argument '\w+': expected .*, got"
        ):
            again.load_state_dict(bad)


def test_a_gradient_that_is_not_finite_changes_no_bit():
    layer = bn.LSTM(I, H)
    optimizer = bn.Adam(layer)
    grads = layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))
    assert optimizer.step(grads)
    before, state = layer.state_dict(), optimizer.state_dict()
    for value in (np.nan, np.inf, -np.inf):
        bad = copy.copy(grads)
        bad.flat[3] = value
        assert not optimizer.step(bad)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert optimizer.steps == 1
    np.testing.assert_array_equal(optimizer.state_dict()["exp_avg"], state["exp_avg"])


def test_an_optimiser_takes_gradients_of_its_kind_only():
    layer, twin, other = bn.RNN(I, H), bn.RNN(I, H), bn.RNN(I, H + 1)
    optimizer = bn.SGD(layer)
    assert optimizer.step(twin.backward(twin.forward(draw(T, N, I))[2], draw(T, N, H)))
    grads = other.backward(other.forward(draw(T, N, I))[2], draw(T, N, H + 1))
    with pytest.raises(
        ValueError, match=r"SGD.step: argument 'grads': expected Gradients of .*, got those of"
    ):
        optimizer.step(grads)
    with pytest.raises(
        TypeError, match=r"SGD.step: argument 'grads': expected .*, got a float32 array"
    ):
        optimizer.step(grads.flat)
    wide = bn.RNN(I, H, dtype="float64")
    wide_grads = wide.backward(
        wide.forward(draw(T, N, I, dtype="f8"))[2], draw(T, N, H, dtype="f8")
    )
    with pytest.raises(TypeError, match="float32"):
        optimizer.step(wide_grads)


# ------------------------------------------------------------------------------------------- models


def test_model_parameters_have_prefixes():
    assert list(model(embedding_size=5).state_dict()) == [
        "embedding.weight",
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
        "rnn.bias_ih_l0",
        "rnn.bias_hh_l0",
        "readout.weight",
        "readout.bias",
    ]


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_step_equals_its_parts(cell, targets, loss, reduction):
    settings = {
        "cell": cell,
        "input_size": I,
        "hidden_size": H,
        "output_size": 3,
        "num_layers": L,
        "loss": loss,
        "targets": targets,
        "reduction": reduction,
        "dtype": "float64",
        "optimizer": "sgd",
        "lr": 0.1,
    }
    m, parts = bn.Model(**settings), bn.Model(**settings)
    x, state = draw(T, N, I, dtype="f8"), draw_state(cell, L, N, H, dtype="f8")
    shape = (T, N) if targets == "every" else (N,)
    aim = (
        generator().integers(0, 3, shape)
        if loss == "cross_entropy"
        else draw(*shape, 3, dtype="f8")
    )
    evaluated, state_after = m.evaluate(x, aim, state)
    out, out_state, tape = parts.forward(x, state)
    assert out.shape == (*shape, 3)
    same(parts(x, state)[0], out)
    if loss == "mse":
        value, dout = np.sum((out - aim) ** 2), 2 * (out - aim)
        count = out.size
    else:
        p = np.exp(out - out.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        chosen = np.take_along_axis(p, aim[..., None], -1)
        value, dout, count = -np.log(chosen).sum(), p - np.eye(3)[aim], aim.size
    if reduction == "mean":
        value, dout = value / count, dout / count
    grads = parts.backward(tape, dout)
    r = m.train_step(x, aim, state)
    assert r.loss == pytest.approx(value, rel=1e-12)
    assert evaluated == pytest.approx(r.loss, rel=1e-14)
    same(r.state, out_state)
    same(r.state, state_after)
    assert r.grad_norm == pytest.approx(grads.norm(), rel=1e-10)
    np.testing.assert_allclose(r.flow, grads.flow, rtol=1e-9)
    assert (r.flow_c is not None) == (cell == "lstm")
    assert not r.clipped
    assert not r.skipped
    parts.optimizer.step(grads)
    for name, want in parts.state_dict().items():
        np.testing.assert_allclose(m.state_dict()[name], want, atol=1e-13)
    assert m.train_step(x, aim, state, flow=False).flow is None


def test_models_take_one_sequence_without_a_batch_axis():
    m = model()
    tokens = generator().integers(0, 7, T + 1)
    loss, state = m.evaluate(tokens[:-1], tokens[1:])
    assert state[0].shape == (1, H)
    batched, _ = m.evaluate(tokens[:-1, None], tokens[1:, None])
    assert loss == batched
    out, _, tape = m.forward(tokens[:-1], state)
    assert out.shape == (T, 7)
    assert m.backward(tape, out).state[1].shape == (1, H)
    last = model(targets="last")
    assert last.evaluate(tokens[:-1], tokens[-1])[0] > 0
    assert last(tokens)[0].shape == (7,)


def test_clipping_is_reported_and_changes_the_step():
    tokens = generator().integers(0, 7, (T + 1, N))
    for option in ("clip_norm", "clip_tensor_norm", "clip_value"):
        free, bound = model(optimizer="sgd"), model(optimizer="sgd", **{option: 1e-3})
        a, b = free.train_step(tokens[:-1], tokens[1:]), bound.train_step(tokens[:-1], tokens[1:])
        assert not a.clipped
        assert b.clipped
        assert a.grad_norm == b.grad_norm > 1e-3
        assert not np.array_equal(
            free.state_dict()["readout.bias"], bound.state_dict()["readout.bias"]
        )
        loose = model(optimizer="sgd", **{option: 1e3})
        assert not loose.train_step(tokens[:-1], tokens[1:]).clipped
        same(loose.state_dict()["readout.bias"], free.state_dict()["readout.bias"])


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    m = bn.Model(input_size=I, hidden_size=H, output_size=1, loss="mse")
    x, aim = draw(T, N, I), draw(T, N, 1)
    m.train_step(x, aim)
    before, moments = m.state_dict(), m.optimizer.state_dict()
    x[2, 1, 0] = np.nan
    r = m.train_step(x, aim)
    assert r.skipped
    assert np.isnan(r.loss)
    assert not np.isfinite(r.grad_norm)
    assert (m.step_count, m.skipped_count) == (1, 1)
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(m.optimizer.state_dict()["exp_avg_sq"], moments["exp_avg_sq"])


def test_the_learning_rate_can_be_changed():
    m = model(lr=0.5)
    assert m.lr == m.optimizer.lr == 0.5
    m.lr = 0.25
    assert m.optimizer.lr == 0.25
    m.optimizer.lr = 0.0
    assert m.lr == 0
    before = m.state_dict()
    tokens = generator().integers(0, 7, (T + 1, N))
    m.train_step(tokens[:-1], tokens[1:])
    same(before["readout.bias"], m.state_dict()["readout.bias"])
    assert type(m.optimizer) is bn.Adam
    assert m.config["lr"] == 0


def test_a_config_makes_the_same_model_again():
    m = bn.Model(
        cell="lstm",
        vocab_size=9,
        embedding_size=4,
        hidden_size=H,
        num_layers=2,
        output_size=5,
        bias=True,
        targets="last",
        reduction="sum",
        optimizer="adagrad",
        lr=0.3,
        eps=1e-9,
        weight_decay=0.1,
        clip_norm=1.5,
        clip_tensor_norm=1.0,
        clip_value=0.5,
        clip_step=0.25,
        clip_step_norm=2.0,
        dtype="float64",
        seed=2**63,
        init=bn.Init("orthogonal", 0.5),
        forget_bias=1.0,
    )
    twin = bn.Model(**m.config)
    assert twin.config == m.config
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])


def test_metadata_and_tensors_are_mappings():
    m = model()
    m.metadata.update(a="1", b="zwei")
    assert dict(m.metadata) == {"a": "1", "b": "zwei"}
    assert len(m.metadata) == 2
    del m.metadata["a"]
    with pytest.raises(KeyError):
        m.metadata["a"]
    with pytest.raises(KeyError):
        del m.metadata["a"]
    m.metadata.clear()
    assert not m.metadata
    values = {
        "f": draw(2, 3),
        "d": draw(4, dtype="f8"),
        "i": np.arange(3),
        "s": np.int32(4),
        "e": np.zeros((0, 2)),
    }
    m.tensors.update(values)
    assert list(m.tensors) == sorted(values)
    for name, value in values.items():
        np.testing.assert_array_equal(m.tensors[name], value)
    assert m.tensors["s"].dtype == np.int64
    assert m.tensors["f"].dtype == np.float32
    m.tensors.clear()
    assert not m.tensors
    with pytest.raises(KeyError):
        m.tensors["f"]


# -------------------------------------------------------------------------------- threads, the stub


def test_threads_may_share_a_layer(cell):
    layer = LAYERS[cell](I, H, L)
    x, dy = draw(T, N, I), draw(T, N, H)
    y, _, tape = layer.forward(x)
    want = layer.backward(tape, dy).flat
    wrong = []

    def work():
        for _ in range(50):
            got_y, _, own = layer.forward(x)
            got = layer.backward(own, dy).flat
            if not (np.array_equal(got_y, y) and np.array_equal(got, want)):
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_may_train_one_model_in_turns():
    m = model()
    tokens = generator().integers(0, 7, (T + 1, N))

    def work():
        for _ in range(25):
            m.train_step(tokens[:-1], tokens[1:])
            m(tokens)
            m.state_dict()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert m.step_count == m.optimizer.steps == 100


def test_many_layers_come_and_go():
    layers = [bn.RNN(1, 1) for _ in range(2000)]
    del layers[::2]
    layers += [bn.GRU(1, 1) for _ in range(1000)]
    assert all(layer(np.ones((1, 1, 1), "f4"))[0].shape == (1, 1, 1) for layer in layers)


def test_the_stub_names_what_the_module_has():
    stub = ast.parse((Path(bn.__file__).parent / "_core.pyi").read_text())
    core = bn._core

    def public(names):
        return {name for name in names if not name.startswith("_")}

    declared = {n.name: n for n in stub.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert public(declared) == public(vars(core))
    for name, node in declared.items():
        if isinstance(node, ast.ClassDef):
            members = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            assert public(members) == public(vars(getattr(core, name))), name


def test_public_names_are_documented():
    for name in bn.__all__:
        thing = getattr(bn, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(thing), name
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not method.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, property)
            ):
                assert inspect.getdoc(value), f"{name}.{method}"


def test_num_threads_can_be_set():
    before = bn.get_num_threads()
    try:
        bn.set_num_threads(1)
        assert bn.get_num_threads() == 1
        bn.set_num_threads(np.int64(3))
        assert bn.get_num_threads() == 3
    finally:
        bn.set_num_threads(before)
    assert bn.isa() in bn.available_isas()


@pytest.mark.parametrize(
    ("rule", "moment", "bad"),
    [
        ("Adam", "exp_avg", np.nan),
        ("Adam", "exp_avg_sq", -1.0),
        ("Adagrad", "sum", -1e-3),
        ("SGD", "momentum_buffer", np.inf),
    ],
)
def test_moments_that_would_spoil_the_next_step_are_refused(
    rule: str, moment: str, bad: float
) -> None:
    layer = bn.GRU(3, 4)
    opt = getattr(bn, rule)(layer, lr=0.1, **({"momentum": 0.9} if rule == "SGD" else {}))
    before = opt.state_dict()
    values = before[moment].copy()
    values[5] = bad
    with pytest.raises(ValueError, match=f"argument '{moment}': expected finite numbers.*at 5"):
        opt.load_state_dict({**before, moment: values})
    np.testing.assert_array_equal(opt.state_dict()[moment], before[moment])


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_optimiser_is_not_copied_by_accident(take) -> None:
    """It belongs to its layer: two that share moments would be a trap."""
    with pytest.raises(TypeError, match="state_dict"):
        take(bn.Adam(bn.GRU(3, 4)))
