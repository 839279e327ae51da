"""Arrays as arguments of layers: dtypes, memory orders and lists."""

import numpy as np

import bptt_native as bn
from helpers.arrays import assert_same, draw
from helpers.cells import LAYERS
from helpers.small_nets import H, I, L, N, T, draw_state


def test_what_loses_nothing_is_converted(cell):
    wide = LAYERS[cell](I, H, dtype="float64")
    x = draw(T, N, I)
    want = wide(x.astype("float64"))[0]
    for given in (x, x.tolist(), x.astype(">f4"), x.astype(">f8"), x.astype("f8").tolist()):
        assert_same(wide(given)[0], want)
    assert_same(wide(np.round(x).astype("int32"))[0], wide(np.round(x).astype("f8"))[0])
    assert_same(wide([[[1, 2, 3, 4]]])[0], wide(np.array([[[1.0, 2, 3, 4]]]))[0])
    assert_same(
        LAYERS[cell](I, H)(x.astype("f2"))[0], LAYERS[cell](I, H)(x.astype("f2").astype("f4"))[0]
    )


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
    assert_same(layer(mapped, state)[0], y)
    for name, given in memory_orders(x):
        np.testing.assert_array_equal(layer(given, state)[0], y, err_msg=name)
    for name, given in memory_orders(before):
        given_state = (given, before * 2) if cell == "lstm" else given
        np.testing.assert_array_equal(layer(x, given_state)[0], y, err_msg=name)
        assert_same(layer.backward(tape, dy, given_state).flat, want.flat)
    for _, given in memory_orders(dy):
        assert_same(layer.backward(tape, given, state).flat, want.flat)


def test_a_broadcast_input_costs_no_copy_and_is_right():
    layer = bn.LSTM(I, H)
    x = np.broadcast_to(draw(1, N, I), (T, N, I))
    assert_same(layer(x)[0], layer(x.copy())[0])


def test_a_state_may_be_a_list():
    layer = bn.LSTM(I, H)
    h, c = draw_state("lstm", 1, N, H)
    assert_same(layer(draw(T, N, I), [h, c])[0], layer(draw(T, N, I), (h, c))[0])
