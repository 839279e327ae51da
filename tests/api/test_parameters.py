"""Parameters of layers: names, freezing, loading and initial values."""

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import draw
from helpers.cells import GATES, LAYERS, RECURRENT, last_matrix
from helpers.small_nets import H, I, L, N, T


def test_parameters_have_the_names_and_shapes_of_torch(cell):
    layer = LAYERS[cell](I, H, L)
    want = {}
    for k in range(L):
        want[f"weight_ih_l{k}"] = (GATES[cell] * H, I if k == 0 else H)
        if cell in RECURRENT:
            want[f"weight_hh_l{k}"] = (GATES[cell] * H, H)
        want[f"bias_ih_l{k}"] = (GATES[cell] * H,)
        if cell in RECURRENT:
            want[f"bias_hh_l{k}"] = (GATES[cell] * H,)
    assert {k: v.shape for k, v in layer.state_dict().items()} == want
    assert list(layer.state_dict()) == list(want)
    assert [(p.name, p.shape, p.frozen) for p in layer.parameters()] == [
        (name, shape, False) for name, shape in want.items()
    ]
    assert layer.num_parameters == sum(int(np.prod(s)) for s in want.values())
    matrices = [name for name in want if name.startswith("weight") and name.endswith("l0")]
    assert list(LAYERS[cell](I, H, bias=False).state_dict()) == matrices


def test_frozen_parameters_do_not_learn(cell):
    layer = LAYERS[cell](I, H, L)
    frozen = [last_matrix(cell), "bias_ih_l1"]
    layer.freeze(*frozen)
    assert [p.name for p in layer.parameters() if p.frozen] == frozen
    before = layer.state_dict()
    optimizer = bn.Adam(layer, lr=0.1, weight_decay=0.1)
    grads = layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))
    assert not grads[frozen[0]].any()
    assert optimizer.step(grads)
    for name, value in layer.state_dict().items():
        assert np.array_equal(value, before[name]) == (name in frozen)
    layer.unfreeze(frozen[0])
    assert layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))[frozen[0]].any()
    with pytest.raises(
        ValueError, match=r"freeze: argument 'names': expected one of .* got 'nothing'"
    ):
        layer.freeze("weight_ih_l0", "nothing")
    assert [p.name for p in layer.parameters() if p.frozen] == ["bias_ih_l1"]


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
    last = last_matrix(cell)
    one_less = {k: v for k, v in good.items() if k != last}
    cases = {
        f"got no {last}": one_less,
        "the unknown 'more'": good | {"more": np.ones(3, "f4")},
        "'bias_ih_l0': expected a float32 array": good | {"bias_ih_l0": np.ones(3, "f4")},
        "got a float64 array": good | {"bias_ih_l0": before["bias_ih_l0"].astype("f8")},
        "got None": good | {"bias_ih_l0": None},
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
