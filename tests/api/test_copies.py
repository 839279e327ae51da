"""Copies, pickles and representations of layers, models and optimisers."""

import copy
import pickle
import re

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import assert_same, draw, generator
from helpers.cells import LAYERS, last_matrix
from helpers.displays import constructor_of
from helpers.small_nets import H, I, L, N, T, model


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_layers_copy_and_pickle(cell, duplicate, dtype):
    layer = LAYERS[cell](
        I, H, L, bias=cell != "gru", dtype=dtype, batch_first=True, seed=3, init="xavier"
    )
    layer.freeze(last_matrix(cell))
    layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()})
    twin = duplicate(layer)
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer)
    assert repr(twin.parameters) == repr(layer.parameters)
    x = draw(N, T, I, dtype=dtype)
    assert_same(twin(x)[0], layer(x)[0])
    twin.load_state_dict({k: v * 0 for k, v in twin.state_dict().items()})
    assert layer(x)[0].any()


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
    assert repr(twin.parameters) == repr(m.parameters)
    a, b = m.train_step(tokens[:-1], tokens[1:]), twin.train_step(tokens[:-1], tokens[1:])
    assert a.loss == b.loss
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])


@pytest.mark.parametrize(
    ("take", "end"),
    [(copy.copy, "copied: Model.stream() returns another one"),
     (copy.deepcopy, "copied: Model.stream() returns another one"),
     (pickle.dumps, "pickled: pickle the model")],
)  # fmt: skip
def test_streams_are_made_by_their_model_alone(take, end) -> None:
    model = bn.Model("gru", input_size=1, hidden_size=2, output_size=1)
    with pytest.raises(TypeError, match=re.escape(f"streams cannot be {end}")):
        take(model.stream())
    with pytest.raises(TypeError, match=r"^Stream: streams are made by Model.stream\(\)$"):
        bn.Stream(model)


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_optimiser_is_not_copied_by_accident(take) -> None:
    """It belongs to its layer: two that share moments would be a trap."""
    with pytest.raises(TypeError, match=r"^optimisers cannot be (copied|pickled): .*state_dict"):
        take(bn.Adam(bn.GRU(3, 4)))


def test_reprs_are_calls():
    for text in (
        "LSTM(4, 6)",
        "LSTM(4, 6, num_layers=2, bias=False, batch_first=True)",
        "RNN(1, 1, nonlinearity='relu', dtype='float64', seed=9)",
        "GRU(3, 5, init=Init('orthogonal', gain=1.5))",
        "LSTM(4, 6, forget_bias=1.0)",
        "Model(cell='rnn', input_size=2, hidden_size=3, output_size=1, loss='mse', targets='last')",
    ):
        made = eval(text, {**vars(bn)})
        if text.startswith("Model"):
            assert eval(constructor_of(made), {**vars(bn)}).config == made.config
        else:
            assert constructor_of(made) == text
    assert "Tape" in repr(bn.RNN(1, 1).forward(np.zeros((1, 1, 1), "f4"))[2])
    assert (
        constructor_of(bn.Adam(bn.RNN(1, 1)))
        == "Adam(RNN, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False, "
        "decay_biases=False)"
    )
