"""Calls that would change nothing: they are refused, or a warning tells so."""

import copy
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt_native as bn

MODEL = bn.Model("gru", input_size=2, hidden_size=3, output_size=2)
LAYER = bn.GRU(2, 3)
SIZES: dict[str, Any] = {"input_size": 2, "hidden_size": 3, "output_size": 2}


@pytest.mark.parametrize("net", [MODEL, LAYER])
@pytest.mark.parametrize("method", ["freeze", "unfreeze", "set_nonnegative"])
def test_methods_that_take_names_need_one(net: Any, method: str) -> None:
    where = rf"^{type(net).__name__}\.{method}: argument 'names': expected "
    with pytest.raises(TypeError, match=rf"{where}names of parameters, such as '.*', got none \("):
        getattr(net, method)()
    names = list(net.parameters)
    with pytest.raises(TypeError, match=rf"{where}one of .*got a list .*{method}\(\*names\)"):
        getattr(net, method)(names)
    with pytest.raises(TypeError, match=rf"{where}one of .*got a Parameters .*{method}\(\*names"):
        getattr(net, method)(net.parameters)
    assert not any(p.frozen or p.nonnegative for p in net.parameters())


def test_the_flag_of_set_nonnegative_has_a_name() -> None:
    text = r"names of parameters \(on=False is an argument by name\), got False$"
    with pytest.raises(TypeError, match=text):
        LAYER.set_nonnegative("weight_ih_l0", False)  # type: ignore[arg-type]


def test_values_of_parameters_are_read_only() -> None:
    parameter = MODEL.parameters["readout.bias"]
    before = parameter.value
    with pytest.raises(ValueError, match="read-only"):
        parameter.value[:] = 1
    np.testing.assert_array_equal(parameter.value, before)
    assert np.asarray(parameter).flags.writeable
    parameter[0] = 0.25
    assert parameter.value[0] == 0.25


@pytest.mark.parametrize("net", [MODEL, LAYER])
def test_config_is_read_only(net: Any) -> None:
    config, plain = net.config, dict(net.config)
    changes: list[Callable[[], Any]] = [
        lambda: config.__setitem__("dropout", 0.5),
        lambda: config.__delitem__("dropout"),
        lambda: config.__ior__({"dropout": 0.5}),
        lambda: config.update(dropout=0.5),
        lambda: config.setdefault("x", 1),
        lambda: config.pop("dropout"),
        config.popitem,
        config.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError, match=r"^config is read-only: model\.with_options"):
            change()
    assert config == plain == net.config
    for copied in (
        copy.copy(config), copy.deepcopy(config), config.copy(), config | {},
        pickle.loads(pickle.dumps(config)),
    ):  # fmt: skip
        assert type(copied) is dict
        assert copied == plain
    assert json.loads(json.dumps(config)).keys() == plain.keys()
    assert type(net)(**config).config == config


@pytest.mark.parametrize(
    ("optimizer", "given", "text"),
    [
        ("sgd", {"eps": 1e-3}, "argument 'eps': expected None unless the optimizer is 'adagrad', "
         "'adam' or 'rmsprop', got 0.001"),
        ("lion", {"eps": 1e-3}, "argument 'eps': expected None unless the optimizer is 'adagrad', "
         "'adam' or 'rmsprop', got 0.001"),
        ("sgd", {"betas": (0.5, 0.999)}, "argument 'betas': expected None unless the optimizer is "
         "'adam' or 'lion', got 0.5"),
        ("rmsprop", {"betas": (0.9, 0.5)}, "argument 'betas': expected None unless the optimizer "
         "is 'adam' or 'lion', got 0.5"),
    ],
)  # fmt: skip
def test_options_of_other_optimisers(optimizer: Any, given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^Model: {re.escape(text)}$"):
        bn.Model(**SIZES, optimizer=optimizer, **given)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam", "adamw", "rmsprop", "lion"])
@pytest.mark.parametrize("other", ["sgd", "adagrad", "adam", "rmsprop", "lion"])
def test_own_defaults_of_optimisers_are_no_choice(optimizer: Any, other: Any) -> None:
    model = bn.Model(**SIZES, optimizer=optimizer, lr=0.1)
    assert bn.Model(**model.config).config == model.config
    expected = bn.Model(**SIZES, optimizer=other, lr=0.1, weight_decay=model.weight_decay)
    assert model.with_options(optimizer=other).config == expected.config


def test_variational_dropout_without_dropout() -> None:
    text = "^GRU: argument 'variational': True has no effect without dropout$"
    with pytest.warns(UserWarning, match=text) as caught:
        bn.GRU(2, 3, num_layers=2, variational=True)
    assert [warning.filename for warning in caught] == [__file__]
