"""Bad arrays, generated: each public call refuses them by name and changes nothing."""

import itertools

import numpy as np
import pytest

from helpers.refusals import (
    BAD_FLOATS,
    I,
    N,
    T,
    gh,
    gru,
    gru_tape,
    h,
    ids,
    last_model,
    lstm,
    lstm_tape,
    mse_model,
    mse_tape,
    out,
    refused,
    tokens_model,
    values,
    x,
    y,
)

BAD_TOKENS = {
    "float": lambda a: a.astype("f4"),
    "float64": lambda a: a.astype("f8"),
    "bool": lambda a: a > 0,
    "complex": lambda a: a.astype("c8"),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype("U"),
    "datetime": lambda a: a.astype("M8[s]"),
    "masked": np.ma.array,
    "list of floats": lambda a: a.astype(float).tolist(),
    "None": lambda _a: None,
    "str": lambda _a: "abc",
    "dict": lambda _a: {},
    "rank + 1": lambda a: a[..., None],
    "0-d": lambda _a: np.array(1),
    "empty first axis": lambda a: a[:0],
    "empty second axis": lambda a: a[:, :0],
    "empty list": lambda _a: [],
    "ragged list": lambda a: [*a.tolist(), [1]],
    "negative": lambda a: a - 10,
    "one too large": lambda a: np.where(np.arange(a.size).reshape(a.shape) == a.size - 1, 99, a),
    "int8 negative": lambda a: (a - 10).astype("i1"),
    "beyond int64": lambda a: a.astype("u8") + np.uint64(2**63),
    "beyond int64 in a list": lambda a: [[2**70] * a.shape[1]] * a.shape[0],
}
FLOAT_ENTRIES = {
    "LSTM.__call__ x": ("x", x, lambda v: lstm(v)),
    "LSTM.forward x": ("x", x, lambda v: lstm.forward(v)),
    "LSTM.forward h": ("state", h, lambda v: lstm.forward(x, (v, h))),
    "LSTM.forward c": ("state", h, lambda v: lstm.forward(x, (h, v))),
    "LSTM.forward state": ("state", h, lambda v: lstm.forward(x, v)),
    "GRU.forward state": ("state", gh, lambda v: gru.forward(x, v)),
    "LSTM.backward dy": ("dy", y, lambda v: lstm.backward(lstm_tape, v)),
    "LSTM.backward dstate": ("dstate", h, lambda v: lstm.backward(lstm_tape, y, (h, v))),
    "GRU.backward dstate": ("dstate", gh, lambda v: gru.backward(gru_tape, y, v)),
    "Model.train_step x": ("x", x, lambda v: mse_model.train_step(v, values)),
    "Model.train_step targets": ("targets", values, lambda v: mse_model.train_step(x, v)),
    "Model.train_step state": ("state", gh, lambda v: mse_model.train_step(x, values, v)),
    "Model.train_step weights": (
        "weights",
        np.ones((T, N), "f4"),
        lambda v: mse_model.train_step(x, values, weights=v),
    ),
    "Model.eval_step targets": ("targets", values, lambda v: mse_model.eval_step(x, v)),
    "Model.__call__ x": ("x", x, lambda v: mse_model(v)),
    "Model.backward dout": ("dout", out, lambda v: mse_model.backward(mse_tape, v)),
}
TOKEN_ENTRIES = {
    "Model.train_step x": ("x", ids, lambda v: tokens_model.train_step(v, ids)),
    "Model.train_step targets": ("targets", ids, lambda v: tokens_model.train_step(ids, v)),
    "Model.eval_step x": ("x", ids, lambda v: tokens_model.eval_step(v, ids)),
    "Model.forward x": ("x", ids, lambda v: tokens_model.forward(v)),
    "Model.__call__ x, embedding": ("x", ids, lambda v: last_model(v)),
    "LSTM.__call__ x": ("x", ids % I, lambda v: lstm(v)),
}


def cases():
    for (entry, (argument, good, call)), (name, spoil) in itertools.product(
        FLOAT_ENTRIES.items(), BAD_FLOATS.items()
    ):
        if name == "matrix" and good.ndim == 2:
            continue  # it has the right shape
        if name == "bool" and argument == "weights":
            continue  # which targets count
        yield pytest.param(call, spoil(good), argument, id=f"{entry}: {name}")
    for (entry, (argument, good, call)), (name, spoil) in itertools.product(
        TOKEN_ENTRIES.items(), BAD_TOKENS.items()
    ):
        yield pytest.param(call, spoil(good), argument, id=f"{entry}: tokens {name}")


@pytest.mark.parametrize(("call", "bad", "argument"), list(cases()))
def test_bad_arrays(call, bad, argument):
    kept = bad.copy() if isinstance(bad, np.ndarray) else None
    assert refused(call, bad) == argument
    if kept is not None:
        assert kept.tobytes() == bad.tobytes()


def test_values_that_are_not_finite_stay_in_their_own_row():
    clean, _ = lstm(x)
    for value in (np.nan, np.inf):
        dirty = x.copy()
        dirty[2, 1, 0] = value
        got, _ = lstm(dirty)
        np.testing.assert_array_equal(got[:, [0, 2]], clean[:, [0, 2]])
        np.testing.assert_array_equal(got[:2], clean[:2])
    assert np.isnan(lstm(np.where(x == x[2, 1, 0], np.float32(np.nan), x))[0][2:, 1]).all()
