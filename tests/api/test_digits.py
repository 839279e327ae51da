"""One rule for the digits of all arguments: float64 arrays and NumPy's numbers, also in lists, are
refused where float32 is expected, while lists of Python's floats are rounded."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt_native as bn

RNG = np.random.default_rng(0)
X, Y, H = RNG.normal(size=(4, 1, 2)), RNG.normal(size=(4, 1, 1)), np.zeros((1, 1, 3))
X32, Y32 = X.astype("f4"), Y.astype("f4")
LSTM, GRU = bn.LSTM(2, 3), bn.GRU(2, 3)
MODEL = bn.Model("gru", input_size=2, hidden_size=3, output_size=1, loss="mse")
TAPE, MODEL_TAPE, STREAM = GRU.forward(X32)[2], MODEL.forward(X32)[2], MODEL.stream()
ADAM = bn.Adam(GRU)
DIAGNOSTICS = bn.diagnostics

Values = Callable[[Any], Any]


def set_state(values: Values) -> None:
    STREAM.state = values(H)


def set_bias(values: Values) -> None:
    GRU.parameters["bias_hh_l0"] = values(np.zeros(9))


def set_some(values: Values) -> None:
    GRU.parameters["bias_hh_l0"][:2] = values(np.zeros(2))


# Calls with an argument that a function makes of a float64 array.
CALLS: dict[str, Callable[[Values], Any]] = {
    "layer x": lambda v: GRU(v(X)),
    "layer state": lambda v: GRU(X32, v(H)),
    "layer states": lambda v: LSTM(X32, (v(H), v(H))),
    "forward x": lambda v: GRU.forward(v(X)),
    "backward dy": lambda v: GRU.backward(TAPE, v(np.zeros((4, 1, 3)))),
    "backward dstate": lambda v: GRU.backward(TAPE, None, v(H)),
    "model x": lambda v: MODEL(v(X)),
    "backward dout": lambda v: MODEL.backward(MODEL_TAPE, v(Y)),
    "train_step x": lambda v: MODEL.train_step(v(X), Y32),
    "train_step targets": lambda v: MODEL.train_step(X32, v(Y)),
    "train_step weights": lambda v: MODEL.train_step(X32, Y32, weights=v(np.ones((4, 1)))),
    "eval_step targets": lambda v: MODEL.eval_step(X32, v(Y)),
    "gradients targets": lambda v: MODEL.gradients(X32, v(Y)),
    "output_gradient outputs": lambda v: MODEL.output_gradient(v(Y), Y32),
    "output_gradient targets": lambda v: MODEL.output_gradient(Y32, v(Y)),
    "fit x": lambda v: MODEL.fit([v(X[:, 0])], [Y32[:, 0]], epochs=1),
    "fit targets": lambda v: MODEL.fit(X32, v(Y), epochs=1),
    "fit targets of a list": lambda v: MODEL.fit([X32[:, 0]], [v(Y[:, 0])], epochs=1),
    "fit weights": lambda v: MODEL.fit(X32, Y32, epochs=1, weights=v(np.ones((4, 1)))),
    "fit validation": lambda v: MODEL.fit(X32, Y32, epochs=1, validation=(X32, v(Y))),
    "evaluate targets": lambda v: MODEL.evaluate(X32, v(Y)),
    "predict": lambda v: MODEL.predict([v(X[:, 0])]),
    "stream step": lambda v: STREAM.step(v(X[0, 0])),
    "stream state": set_state,
    "load_state_dict": lambda v: GRU.load_state_dict(
        {name: v(value.astype(float)) for name, value in GRU.state_dict().items()}
    ),
    "parameters": set_bias,
    "part of a parameter": set_some,
    "optimizer": lambda v: ADAM.load_state_dict({**ADAM.state_dict(), "exp_avg": v(np.zeros(63))}),
    "gradient_flow": lambda v: DIAGNOSTICS.gradient_flow(GRU, v(X)),
    "saturation": lambda v: DIAGNOSTICS.saturation(GRU, v(X)),
    "connectivity": lambda v: DIAGNOSTICS.connectivity(GRU, v(X)),
}


def numbers(array: np.ndarray) -> Any:
    """Return nested lists of NumPy's numbers."""
    return [numbers(part) for part in array] if array.ndim else np.float64(array)


REFUSED = {"array": np.asarray, "list of arrays": list, "list of numbers": numbers}


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.parametrize("name", CALLS)
def test_float64_is_refused(name: str, form: str) -> None:
    with pytest.raises(TypeError, match="no silent loss of digits"):
        CALLS[name](REFUSED[form])


@pytest.mark.parametrize("name", CALLS)
def test_pythons_floats_are_rounded(name: str) -> None:
    CALLS[name](np.ndarray.tolist)


@pytest.mark.parametrize("form", REFUSED)
def test_class_weights_are_float64_everywhere(form: str) -> None:
    weights = REFUSED[form](np.array([0.1, 0.9]))
    model = bn.Model("gru", input_size=1, hidden_size=1, output_size=2, class_weights=weights)
    np.testing.assert_array_equal(model.config["class_weights"], [0.1, 0.9])
