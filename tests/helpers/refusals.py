"""Calls that must be refused: their messages, bad arrays, and nets that must not change."""

import re
import warnings

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import draw

T, N, I, H, O, V = 5, 3, 4, 6, 3, 7  # noqa: E741
HUGE = 2**62
MESSAGE = re.compile(r"^[\w.]+: argument '([\w.]+)': expected (.+), got .+", re.DOTALL)


class HasNoArray:
    def __repr__(self):
        return "<HasNoArray>"


class BadArray:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no")


def matrix(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(a.reshape(a.shape[0], -1))


# Faults of a float32 array `a` of rank >= 2; the class of the value decides the exception.
BAD_FLOATS = {
    "float64": lambda a: a.astype("f8"),
    "longdouble": lambda a: a.astype("g"),
    "swapped float64": lambda a: a.astype(">f8"),
    "bool": lambda a: a > 0,
    "int64": lambda a: np.ones((1, *a.shape), "i8"),
    "uint32": lambda a: np.ones((1, *a.shape), "u4"),
    "complex": lambda a: a.astype("c8"),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype("U"),
    "bytes": lambda a: a.astype("S"),
    "datetime": lambda a: np.zeros(a.shape, "M8[s]"),
    "timedelta": lambda a: np.zeros(a.shape, "m8[s]"),
    "structured": lambda a: np.zeros(a.shape, [("x", "f4")]),
    "masked": np.ma.array,
    "None in a list": lambda _a: [[None]],
    "str": lambda _a: "x",
    "bytes text": lambda _a: b"x",
    "dict": lambda _a: {"x": 1},
    "set": lambda _a: {1.0},
    "generator": lambda a: (row for row in a),
    "range": lambda _a: range(3),
    "object without an array": lambda _a: HasNoArray(),
    "object with a bad array": lambda _a: BadArray(),
    "function": lambda _a: len,
    "number": lambda _a: 1.5,
    "0-d": lambda _a: np.float32(1),
    "rank 1": lambda a: a.reshape(-1),
    "rank + 1": lambda a: a[None],
    "one feature more": lambda a: np.concatenate([a, a[..., :1]], -1),
    "one feature less": lambda a: a[..., :-1],
    "no features": lambda a: a[..., :0],
    "empty first axis": lambda a: a[:0],
    "empty second axis": lambda a: a[:, :0],
    "empty list": lambda _a: [],
    "ragged list": lambda a: [*a.tolist(), [[1.0]]],
    "matrix": matrix,
    "too large for float32": lambda a: (a.astype("f8") * 1e300).tolist(),
}
lstm = bn.LSTM(I, H, 2)
gru = bn.GRU(I, H)
tokens_model = bn.Model(vocab_size=V, hidden_size=H, output_size=V)
last_model = bn.Model(
    cell="gru", vocab_size=V, embedding_size=2, hidden_size=H, output_size=V, targets="last"
)
mse_model = bn.Model(cell="rnn", input_size=I, hidden_size=H, output_size=O, loss="mse")
x, y, h, gh = draw(T, N, I), draw(T, N, H), draw(2, N, H), draw(1, N, H)
values, ids = draw(T, N, O), np.arange(T * N).reshape(T, N) % V
lstm_tape, gru_tape = lstm.forward(x)[2], gru.forward(x)[2]
mse_tape, out = mse_model.forward(x)[2], draw(T, N, O)


def snapshot():
    """Return everything that a refused call may not have changed."""
    models = (lstm, gru, tokens_model, last_model, mse_model)
    kept = [p.tobytes() for m in models for p in m.state_dict().values()]
    kept += [a.tobytes() for a in (x, y, h, gh, values, ids, out)]
    kept += [(m.step_count, m.skipped_count, m.lr) for m in models[2:]]
    return kept


def refusal(call, error=(TypeError, ValueError)):
    """Make a call that must be refused in one line; return the argument and the expectation."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    found = MESSAGE.match(text)
    assert found, text
    assert "BPTT_" not in text
    assert "\n" not in text
    assert len(text) < 700, text
    return found.groups()


def refused(call, *given, error=(TypeError, ValueError, IndexError)):
    """Make a call that must be refused and change nothing; return the name of the argument."""
    before = snapshot()
    argument, _ = refusal(lambda: call(*given), error)
    assert snapshot() == before
    return argument
