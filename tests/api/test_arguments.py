"""Arguments that do not fit: refused before they cost memory, with messages that explain them."""

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import diagnostics, evaluate, fit, predict

T, N, I, H, O, V = 5, 3, 4, 6, 3, 7  # noqa: E741
Call = Callable[[Any], Any]

lstm = bn.LSTM(I, H)
tokens_net = bn.Model(vocab_size=V, hidden_size=H, output_size=V)
mse = bn.Model(cell="rnn", input_size=I, hidden_size=H, output_size=O, loss="mse")
x, y, h, values = (np.zeros(s, "f4") for s in ((T, N, I), (T, N, H), (1, N, H), (T, N, O)))
ids = np.zeros((T, N), np.int64)
tape, mse_tape = lstm.forward(x)[2], mse.forward(x)[2]
adam = bn.Adam(lstm)
names = list(lstm.state_dict())

# Every argument that takes an array: its name in messages, and a call with it.
ENTRIES: dict[str, tuple[str, Call]] = {
    "call x": ("x", lambda v: lstm(v)),
    "forward x": ("x", lambda v: lstm.forward(v)),
    "state h": ("state", lambda v: lstm(x, (v, h))),
    "state c": ("state", lambda v: lstm(x, (h, v))),
    "state": ("state", lambda v: mse(x, v)),
    "lengths": ("lengths", lambda v: lstm(x, lengths=v)),
    "resets": ("resets", lambda v: lstm(x, resets=v)),
    "dy": ("dy", lambda v: lstm.backward(tape, v)),
    "dstate": ("dstate", lambda v: lstm.backward(tape, y, (v, h))),
    "dout": ("dout", lambda v: mse.backward(mse_tape, v)),
    "tokens": ("x", lambda v: tokens_net(v)),
    "targets": ("targets", lambda v: tokens_net.train_step(ids, v)),
    "values": ("targets", lambda v: mse.train_step(x, v)),
    "weights": ("weights", lambda v: mse.train_step(x, values, weights=v)),
    "gradients x": ("x", lambda v: mse.gradients(v, values)),
    "eval_step targets": ("targets", lambda v: mse.eval_step(x, v)),
    "class_weights": ("class_weights", lambda v: bn.Model(
        vocab_size=V, hidden_size=H, output_size=V, class_weights=v)),
    "parameters": (names[0], lambda v: lstm.load_state_dict({**lstm.state_dict(), names[0]: v})),
    "moments": ("exp_avg", lambda v: adam.load_state_dict({**adam.state_dict(), "exp_avg": v})),
    "apply": ("gradients", lambda v: mse._native.apply(v)),
    "stream x": ("x", lambda v: mse.stream().step(v)),
    "stream state": ("state", lambda v: setattr(mse.stream(), "state", v)),
    "seeds times": ("times", lambda v: diagnostics.backward_seeds(lstm, tape, v, outputs=[0])),
    "seeds samples": ("samples",
        lambda v: diagnostics.backward_seeds(lstm, tape, [0], samples=v, outputs=[0])),
    "seeds outputs": ("outputs", lambda v: diagnostics.backward_seeds(lstm, tape, [0], outputs=v)),
    "seeds dy": ("dy", lambda v: diagnostics.backward_seeds(lstm, tape, [0], dy=v)),
    "spectrum start": ("start", lambda v: diagnostics.lyapunov(lstm, tape, start=v)),
    "gain": ("gradient", lambda v: diagnostics.gain_bounds(mse, mse_tape, v)),
    "omega": ("dout", lambda v: diagnostics.omega_ratios(mse, x, dout=v)),
    "fit x": ("x", lambda v: fit(mse, v, values, epochs=1)),
    "fit x[0]": ("x[0]", lambda v: fit(mse, [v], [values[:, 0]], epochs=1)),
    "fit tokens": ("x", lambda v: fit(tokens_net, v, ids, epochs=1)),
    "fit targets": ("targets", lambda v: fit(mse, x, v, epochs=1)),
    "fit targets[0]": ("targets[0]", lambda v: fit(mse, [x[:, 0]], [v], epochs=1)),
    "fit classes": ("targets", lambda v: fit(tokens_net, ids, v, epochs=1)),
    "evaluate x": ("x", lambda v: evaluate(mse, v, values)),
    "predict x": ("x", lambda v: predict(mse, v)),
}  # fmt: skip

HUGE = (2**20, 2, 2, 2, 2)  # 2^24 elements over a buffer of one: a copy takes at least 16 MB
WRONG: dict[str, Any] = {
    dtype: np.broadcast_to(np.ones((), dtype), HUGE)
    for dtype in ("f4", "f8", ">f4", "f2", "i8", "u8", "i4", "?", "c8", "O", "U3")
}
WRONG["list"] = [WRONG["f4"]]
WRONG["list of lists"] = [[np.broadcast_to(np.float32(1), 2**24)]] * 3
WRONG["Fortran order"] = np.broadcast_to(np.float32(1), HUGE[::-1]).T


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_does_not_fit_is_refused_before_it_is_copied(entry: str) -> None:
    argument, call = ENTRIES[entry]
    for name, value in WRONG.items():
        tracemalloc.start()
        try:
            with pytest.raises((TypeError, ValueError)) as caught:
                call(value)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2**20, f"{name}: {peak} bytes"
        told = re.match(r"[\w.]+: argument '(.+?)': expected (.+), got (.+)$", str(caught.value))
        assert told is not None, str(caught.value)
        assert told[1].split("[")[0] in (argument.split("[")[0], "targets"), str(caught.value)


class Tensor:
    """An array of another library, which cannot be read."""

    dtype = "torch.float64"
    shape = (7, 2)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise KeyError("it requires grad")


class Hidden:
    """An object whose attributes raise an exception."""

    @property
    def shape(self) -> tuple[int, ...]:
        raise ZeroDivisionError("no shape")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise ZeroDivisionError("not now")


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_exception_of_another_library_is_named_and_chained(entry: str) -> None:
    argument, call = ENTRIES[entry]
    what = r"a float64 Tensor of shape \[7, 2\].* that NumPy cannot read \(KeyError: .*grad"
    with pytest.raises(TypeError, match=rf"argument '{re.escape(argument)}': .*, got {what}") as c:
        call(Tensor())
    assert isinstance(c.value.__cause__, KeyError)
    with pytest.raises(TypeError, match=r"got a Hidden.* \(ZeroDivisionError: not now\)"):
        call(Hidden())


def test_an_exception_in_a_list_is_named_too() -> None:
    """Also where arrays of any shape or of several dtypes are taken."""
    calls: list[Call] = [
        lambda v: mse.tensors.__setitem__("k", v),
        lambda v: diagnostics.gradient_flow(lstm, x, v),
        lambda v: fit(mse, [v], [values[:, 0]], epochs=1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"argument '.+': .*, got a list.* \(ZeroDivisionErr"):
            call([Hidden()])


def test_tensors_of_a_model_take_what_all_other_entries_take() -> None:
    model = bn.Model("rnn", input_size=1, hidden_size=2, output_size=1)
    model.tensors["a"] = Once(np.ones(2, "f4"), None)
    np.testing.assert_array_equal(model.tensors["a"], np.ones(2, "f4"))
    for bad in ("text", {}, Once(np.array(["text"]), None)):
        with pytest.raises(TypeError, match=r"Model.tensors: argument 'value': expected a float32"):
            model.tensors["a"] = bad


def readonly(a: Any) -> Any:
    a.flags.writeable = False
    return a


def unaligned(count: int) -> Any:
    return np.frombuffer(bytearray(4 * count + 1), np.uint8)[1:].view(np.float32)


FLOATS = "expected a float32 array of shape [1, 3, 6]"
OUT = "expected a writable contiguous float32 array of shape [3]"
MESSAGES: dict[str, tuple[Call, Any, type[Exception], str]] = {
    "object": (ENTRIES["call x"][1], np.array([None]), TypeError, "got an object array of shape"),
    "text": (ENTRIES["call x"][1], np.array(["a"]), TypeError, "got a str array of shape [1]"),
    "bytes": (ENTRIES["call x"][1], np.array([b"a"]), TypeError, "got a bytes array of shape [1]"),
    "no c": (ENTRIES["state c"][1], None, TypeError, "got None as c"),
    "no h": (ENTRIES["state h"][1], None, TypeError, "got None as h"),
    "wrong c": (ENTRIES["state c"][1], h[0], ValueError, "float32 array of shape [3, 6] as c"),
    "wide c": (ENTRIES["state c"][1], h.astype("f8"), TypeError, "of shape [1, 3, 6] as c (no"),
    "no state": (ENTRIES["state"][1], h[0], ValueError, FLOATS + ", got a float32 array of shape"),
    "lengths": (ENTRIES["lengths"][1], [9, 1, 1], ValueError, "got 9 for sequence 0"),
    "unsigned": (ENTRIES["lengths"][1], np.array([2**63, 1, 1], "u8"), ValueError,
        "got 9223372036854775808 in a uint64 array of shape [3]"),
    "beyond": (ENTRIES["lengths"][1], [2**70, 1, 1], ValueError,
        "got an integer beyond 64 bits in a list of shape [3]"),
    "a token beyond": (ENTRIES["tokens"][1], [2**70, 1, 1], IndexError, "beyond 64 bits"),
    "a large token": (ENTRIES["tokens"][1], np.array([2**63], "u8"), IndexError, "uint64 array"),
    "scalar": (ENTRIES["call x"][1], np.float64(1.5), ValueError, "got the number 1.5 (float64)"),
    "shape first": (lambda v: mse.stream().step(v, np.zeros(O, "f4")), np.int64(3), ValueError,
        "expected a float32 array of shape [4], got the number 3 (int64)"),
    "large lengths": (lambda v: lstm(x, lengths=v), [2**63] * N, ValueError,
        "got 9223372036854775808 in a list of shape [3]"),
    "large and small lengths": (lambda v: lstm(x, lengths=v), [2**63, 1, 1], ValueError,
        "got an integer beyond 64 bits in a list of shape [3]"),
    "no name": (bn.load, "", ValueError, "expected the name of a file, got ''"),
    "bool": (ENTRIES["call x"][1], [[True] * I] * T, TypeError, "[5, 4] of bool elements"),
    "bool and float": (ENTRIES["call x"][1], [[True, 0.5, 0.5, 0.5]] * T, TypeError,
        "got a list of shape [5, 4] of bool and float64 elements"),
    "bool and int": (ENTRIES["tokens"][1], [True, 2], TypeError,
        "got a list of shape [2] of bool and int64 elements"),
    "read-only": (lambda v: mse.stream().step(x[0, 0], v), readonly(np.zeros(O, "f4")), ValueError,
        OUT + ", got a float32 array of shape [3], read-only"),
    "strided": (lambda v: mse.stream().step(x[0, 0], v), np.zeros(2 * O, "f4")[::2], ValueError,
        OUT + ", got a float32 array of shape [3], not contiguous"),
    "unaligned": (lambda v: mse.stream().step(x[0, 0], v), unaligned(O), ValueError,
        OUT + ", got a float32 array of shape [3], not aligned"),
    "swapped": (lambda v: mse.stream().step(x[0, 0], v), np.zeros(O, ">f4"), TypeError,
        OUT + ", got a float32 array of shape [3], byte-swapped"),
    "subclass": (lambda v: mse.stream().step(x[0, 0], v), np.zeros(O, "f4").view(np.recarray),
        TypeError, OUT + ", got a float32 recarray of shape [3]"),
    "accumulate": (
        lambda v: lstm.backward(tape, y, accumulate=bn.Gradients(v, lstm._layout)),
        readonly(np.zeros(lstm.num_parameters, "f4")), ValueError, "], read-only"),
    "clip": (lambda v: bn.clip_grad_norm_(bn.Gradients(v, lstm._layout), 1.0),
        np.zeros(6, "f4")[::2], ValueError, "got a float32 array of shape [3], not contiguous"),
    "digits": (ENTRIES["call x"][1], 10**5000, TypeError, "got an integer of more digits"),
    "large size": (lambda v: bn.LSTM(v, 1), 10**5000, ValueError, "got an integer above 2**64"),
    "small size": (lambda v: bn.LSTM(v, 1), -(10**5000), ValueError, "got an integer below -2**64"),
    "ragged": (ENTRIES["call x"][1], [[1.0], [1.0, 2.0]], ValueError, "sequences of different len"),
    "nested in itself": (ENTRIES["call x"][1], [[...]], TypeError, "a list of shape [1, 1] of"),
    "mask": (ENTRIES["resets"][1], [[2] * N] * T, ValueError, "[5, 3] (or of 0 and 1), got 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_say_what_was_wrong(name: str) -> None:
    call, value, kind, text = MESSAGES[name]
    with pytest.raises(kind) as caught:
        call(value)
    assert text in str(caught.value)
    expected, got = re.search(r"expected (.+), got (.+)$", str(caught.value)).groups()  # type: ignore[union-attr]
    assert got not in expected


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ([0.1, 0.2], np.array([0.1, 0.2], "f4")),  # Python's floats: the nearest of the dtype
        ((0.5, 1), np.array([0.5, 1], "f4")),
        ([2**24, -(2**31)], np.array([2**24, -(2**31)], "f4")),
        ([1e-50, -1e-50], np.array([0, -0.0], "f4")),
        ([np.float32(0.1), 0.1], np.array([0.1, 0.1], "f4")),
        (np.float32([0.1, 0.2]), np.array([0.1, 0.2], "f4")),
        (np.float16([0.1, 0.2]), np.float16([0.1, 0.2]).astype("f4")),
        (np.int16([5, 6]), np.array([5, 6], "f4")),
        ([0.1, np.float64(0.2)], TypeError),  # whatever has a dtype keeps it
        ([np.float64(0.5), np.float64(1)], TypeError),
        (np.float64([0.5, 1]), TypeError),
        ([np.int64(1), 2], TypeError),
        (np.int64([1, 2]), TypeError),
        ([2**24 + 1, 0], ValueError),  # integers are kept exactly
        ([2**24 + 1, 0.5], ValueError),
        ([0.5, -(2**24) - 1], ValueError),
        ([2**24 + 1, np.float32(0.5)], ValueError),
        ([2.0**24 + 1, 1], np.array([2**24, 1], "f4")),  # floats are rounded
        ([2**24 + 2, 0.5], np.array([2**24 + 2, 0.5], "f4")),
        ([True, 0.5], TypeError),
        ([np.True_, 0.5], TypeError),
        ([True, 1], TypeError),
        ([1e300, 0.0], ValueError),
    ],
    ids=repr,
)
def test_digits_are_lost_by_one_rule(value: Any, kept: Any) -> None:
    """Arrays and NumPy's scalars, in lists too, have a dtype; Python's numbers have none."""
    name = "bias_ih_l0"
    net = bn.RNN(1, 2, seed=0)
    given = {**net.state_dict(), name: value}
    if isinstance(kept, type):
        with pytest.raises(kept, match=f"argument '{name}': expected a float32 array"):
            net.load_state_dict(given)
        return
    net.load_state_dict(given)
    np.testing.assert_array_equal(net.state_dict()[name], kept)


def test_the_rule_holds_in_nested_lists_and_for_float64() -> None:
    wide = [[np.ones(I), np.ones(I)]] * T
    with pytest.raises(TypeError, match=r"of float64 elements \(no silent loss .*np.asarray\(x, "):
        lstm(wide)
    narrow = [[row.astype("f4") for row in pair] for pair in wide]
    np.testing.assert_array_equal(lstm(narrow)[0], lstm(np.array(wide, "f4"))[0])
    net = bn.RNN(1, 2, dtype="float64")
    scalars = [np.int64(2**53 + 1), 0.5]
    for large in (
        [2**53 + 1, 0],
        [2**53 + 1, 0.5],
        scalars,
        list(map(np.array, scalars)),
        np.int64([2**53 + 1, 0]),
        np.uint64([2**64 - 1, 0]),
    ):
        with pytest.raises(ValueError, match=r"got \d+, which float64 does not hold exactly"):
            net.load_state_dict({**net.state_dict(), "bias_ih_l0": large})
    net.load_state_dict({**net.state_dict(), "bias_ih_l0": np.int64([2**62, -(2**63)])})
    with pytest.raises(ValueError, match=r"got 16777217, which float32 does not hold exactly"):
        bn.RNN(1, 2).forward([[[2**24 + 1]], [[0.5]]])


class Once:
    """An array that is another one when it is read again."""

    def __init__(self, first: Any, then: Any) -> None:
        self.values = [first, then]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values.pop(0)


def test_diagnostics_read_an_argument_once() -> None:
    """Diagnostics continue with the lengths of the tape, which the net has read."""
    net, plain = bn.RNN(I, H, seed=1), np.array([3, 5, 2])
    own = np.random.Generator(np.random.Philox(0)).standard_normal((T, N, I)).astype("f4")
    measures: list[Call] = [
        lambda v: diagnostics.gradient_flow(net, own, lengths=v).h,
        lambda v: diagnostics.connectivity(net, own, sample=0, lengths=v).matrix,
        lambda v: diagnostics.saturation(net, own, lengths=v).mean["h"],
        lambda v: diagnostics.omega_ratios(net, own, lengths=v).ratios,
        lambda v: diagnostics.gradient_flow(net, own if v is plain else Once(own, own * 9)).h,
        lambda v: diagnostics.gradient_flow(net, own if v is plain else own.tolist()).h,
    ]
    for measure in measures:
        np.testing.assert_array_equal(measure(Once(plain, plain * 0 + 1)), measure(plain))
